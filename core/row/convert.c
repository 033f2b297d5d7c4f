#include "row/convert.h"

#include <stdlib.h>

#include "row/field.h"
#include "row/number.h"
#include "row/raw.h"
#include "row/text.h"

bool dd_convertible(dd_kind from, dd_kind to) {
    if (from == to) return from != DD_KIND_UNSUPPORTED;
    switch (from) {
    case DD_KIND_BOOL: return to == DD_KIND_INT || to == DD_KIND_BITS;
    case DD_KIND_INT: return to == DD_KIND_DECIMAL || to == DD_KIND_BOOL;
    case DD_KIND_DECIMAL: return to == DD_KIND_INT;
    case DD_KIND_FLOAT32: return to == DD_KIND_FLOAT64;
    case DD_KIND_TEXT: return to == DD_KIND_JSON || to == DD_KIND_UUID;
    case DD_KIND_JSON: return to == DD_KIND_TEXT;
    case DD_KIND_UUID: return to == DD_KIND_TEXT || to == DD_KIND_BYTES;
    case DD_KIND_BYTES: return to == DD_KIND_UUID;
    case DD_KIND_BITS: return to == DD_KIND_BOOL;
    case DD_KIND_FLOAT64:
    case DD_KIND_DATE:
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP:
    case DD_KIND_UNSUPPORTED: break;
    }
    return false;
}

/* Longest value that is copied to the stack before its field is written anew. */
#define SHORT_VALUE 64

/* Parses the text of the last field as kind `to`; a long text is set aside, since the field that
 * replaces it goes to the same bytes. */
static dd_status parse_text(dd_buf *row, size_t at, uint32_t length, dd_kind to, dd_err *err) {
    uint8_t short_text[SHORT_VALUE] = {0}, *text = short_text;
    if (length > sizeof short_text) text = dd_alloc(length);
    if (length) memcpy(text, row->data + at + 4, length);
    row->length = at;
    dd_status status = dd_text_parse(to, (const char *)text, length, row, err);
    if (text != short_text) free(text);
    return status;
}

static dd_status integer_to_bool(dd_buf *row, size_t at, uint64_t bits, dd_err *err) {
    row->length = at;
    if (bits > 1) return dd_fail(err, DD_DATA, "integer other than 0 and 1 is not a boolean");
    dd_row_add_bool(row, bits == 1);
    return DD_OK;
}

static dd_status decimal_to_integer(dd_buf *row, size_t at, uint32_t length, dd_err *err) {
    bool negative;
    uint64_t bits;
    bool fits = dd_number_integer((const char *)row->data + at + 4, length, &negative, &bits);
    row->length = at;
    if (!fits)
        return dd_fail(err, DD_DATA, "decimal is not an integer between -2^63 and 2^64-1");
    dd_put_int(dd_row_add_room(row, DD_INT_LENGTH), negative, bits);
    return DD_OK;
}

dd_status dd_convert_field(dd_buf *row, size_t at, dd_kind from, dd_kind to, dd_err *err) {
    if (from == to) return DD_OK;
    if (!dd_convertible(from, to))
        return dd_fail(err, DD_SCHEMA, "%s cannot be read as %s", dd_kind_name(from),
                       dd_kind_name(to));
    uint32_t length = dd_field_length(row->data + at);
    if (length == DD_NULL_LENGTH) return DD_OK;
    dd_value value = {.kind = from, .length = length, .data = row->data + at + 4};
    if (dd_value_is_raw(&value))
        return dd_fail(err, DD_DATA, "value that is no %s cannot be read as %s", dd_kind_name(from),
                       dd_kind_name(to));
    switch (from) {
    case DD_KIND_BOOL: {
        bool set = dd_value_bool(&value);
        row->length = at;
        if (to == DD_KIND_BITS) dd_row_add(row, set ? "1" : "0", 1);
        else dd_row_add_int(row, set);
        return DD_OK;
    }
    case DD_KIND_INT: {
        bool negative = value.data[0] == 0;
        uint64_t bits = dd_get_u64(value.data + 1);
        if (to == DD_KIND_BOOL) return integer_to_bool(row, at, bits, err);
        uint8_t digits[24];
        unsigned count = dd_number_put_integer(digits, negative, bits);
        row->length = at;
        dd_row_add(row, digits, count);
        return DD_OK;
    }
    case DD_KIND_DECIMAL: return decimal_to_integer(row, at, length, err);
    case DD_KIND_FLOAT32: {
        float number = dd_value_float32(&value);
        row->length = at;
        dd_row_add_float64(row, (double)number);
        return DD_OK;
    }
    case DD_KIND_TEXT: return parse_text(row, at, length, to, err);
    case DD_KIND_JSON: return DD_OK; /* canonical JSON is text as it stands */
    case DD_KIND_UUID: {
        if (to == DD_KIND_BYTES) return DD_OK; /* the same 16 bytes */
        uint8_t bytes[DD_UUID_LENGTH];
        memcpy(bytes, value.data, sizeof bytes);
        value.data = bytes;
        row->length = at;
        size_t field = dd_field_begin(row);
        dd_text_render(&value, row);
        return dd_field_end(row, field, err);
    }
    case DD_KIND_BYTES:
        if (length == DD_UUID_LENGTH) return DD_OK;
        row->length = at;
        return dd_fail(err, DD_DATA, "%u bytes are not a uuid, which has 16", length);
    case DD_KIND_BITS: {
        bool set = length == 1 && value.data[0] == '1';
        row->length = at;
        if (length != 1) return dd_fail(err, DD_DATA, "%u bits are not a boolean", length);
        dd_row_add_bool(row, set);
        return DD_OK;
    }
    case DD_KIND_FLOAT64:
    case DD_KIND_DATE:
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP:
    case DD_KIND_UNSUPPORTED: break;
    }
    return dd_fail(err, DD_INTERNAL, "conversion from %s is missing", dd_kind_name(from));
}
