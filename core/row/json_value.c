/* What dd_json_render has written, back as a canonical value. */

#include "row/json_canonical.h"
#include "row/number.h"
#include "row/raw.h"
#include "row/text.h"

static bool is(const char *text, size_t length, const char *word) {
    return length == strlen(word) && memcmp(text, word, length) == 0;
}

static dd_status refuse(dd_kind kind, dd_err *err) {
    return dd_fail(err, DD_DATA, "json value is no %s", dd_kind_name(kind));
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* "\\x" and two digits a byte. */
static dd_status add_bytes(const dd_buf *text, dd_buf *row, dd_err *err) {
    const uint8_t *at = text->data;
    if (text->length < 2 || text->length % 2 || at[0] != '\\' || at[1] != 'x')
        return refuse(DD_KIND_BYTES, err);
    const size_t field = dd_field_begin(row), count = text->length / 2 - 1;
    uint8_t *out = dd_buf_reserve(row, count);
    for (size_t i = 0; i < count; i++) {
        const int high = hex_digit(at[2 * i + 2]), low = hex_digit(at[2 * i + 3]);
        if (high < 0 || low < 0) {
            row->length = field;
            return refuse(DD_KIND_BYTES, err);
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    row->length += count;
    return dd_field_end(row, field, err);
}

/* True or false, or another integer, which is raw. */
static dd_status add_bool(const char *text, size_t length, dd_buf *row, dd_err *err) {
    bool negative;
    uint64_t bits;
    if (is(text, length, "true") || is(text, length, "false")) {
        dd_row_add_bool(row, text[0] == 't');
        return DD_OK;
    }
    if (!dd_number_integer(text, length, &negative, &bits) || (!negative && bits <= 1))
        return refuse(DD_KIND_BOOL, err);
    dd_row_add_raw_bool(row, negative, bits);
    return DD_OK;
}

static dd_status add_quoted(dd_kind kind, const dd_buf *text, dd_buf *row, dd_err *err) {
    const char *at = text->length ? (const char *)text->data : "";
    switch (kind) {
    case DD_KIND_BYTES: return add_bytes(text, row, err);
    case DD_KIND_BOOL: return add_bool(at, text->length, row, err);
    case DD_KIND_DATE:
    case DD_KIND_TIMESTAMP:
        if (dd_text_parse(kind, at, text->length, row, err) == DD_OK) return DD_OK;
        return dd_row_add_raw_text(row, kind, at, text->length, err);
    default: return dd_text_parse(kind, at, text->length, row, err);
    }
}

dd_status dd_json_parse(dd_kind kind, const char *text, size_t length, dd_buf *row, dd_err *err) {
    if (is(text, length, "null")) {
        dd_row_add_null(row);
        return DD_OK;
    }
    if (kind == DD_KIND_JSON) return dd_text_parse(kind, text, length, row, err);
    if (length && text[0] == '"') {
        dd_buf plain = {0};
        dd_status status = dd_json_unquote(text, length, &plain, err);
        if (status == DD_OK) status = add_quoted(kind, &plain, row, err);
        dd_buf_free(&plain);
        return status;
    }
    switch (kind) {
    case DD_KIND_BOOL: return add_bool(text, length, row, err);
    case DD_KIND_INT:
    case DD_KIND_DECIMAL:
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64: return dd_text_parse(kind, text, length, row, err);
    default: return refuse(kind, err);
    }
}
