#include <math.h>

#include "row/raw.h"
#include "row/text.h"
#include "row/utf8.h"

/* Integers up to here are exact in every JSON reader, those that keep doubles too. */
#define EXACT_IN_DOUBLE (UINT64_C(1) << 53)

static const char hex[] = "0123456789abcdef";

static uint8_t *put_escape(uint8_t *at, uint8_t c) {
    *at++ = '\\';
    switch (c) {
    case '"':
    case '\\': *at++ = c; return at;
    case '\b': *at++ = 'b'; return at;
    case '\f': *at++ = 'f'; return at;
    case '\n': *at++ = 'n'; return at;
    case '\r': *at++ = 'r'; return at;
    case '\t': *at++ = 't'; return at;
    default:
        memcpy(at, "u00", 3);
        at[3] = (uint8_t)hex[c >> 4];
        at[4] = (uint8_t)hex[c & 15];
        return at + 5;
    }
}

void dd_json_string(const char *text, size_t length, dd_buf *out) {
    const uint8_t *bytes = (const uint8_t *)text;
    dd_buf_add_byte(out, '"');
    size_t i = 0;
    while (i < length) {
        size_t run = i;
        while (i < length && bytes[i] >= 0x20 && bytes[i] < 0x80 && bytes[i] != '"' &&
               bytes[i] != '\\')
            i++;
        dd_buf_add(out, bytes + run, i - run);
        if (i == length) break;
        if (bytes[i] < 0x80) {
            uint8_t *at = dd_buf_reserve(out, 6);
            out->length += (size_t)(put_escape(at, bytes[i++]) - at);
            continue;
        }
        unsigned count = dd_utf8_length(bytes + i, length - i);
        if (count == 0) dd_buf_add_text(out, "\xEF\xBF\xBD");
        else dd_buf_add(out, bytes + i, count);
        i += count ? count : 1;
    }
    dd_buf_add_byte(out, '"');
}

static void render_quoted(const dd_value *value, dd_buf *out) {
    dd_buf_add_byte(out, '"');
    dd_text_render(value, out);
    dd_buf_add_byte(out, '"');
}

static void render_bytes(const dd_value *value, dd_buf *out) {
    uint8_t *at = dd_buf_reserve(out, 2 * (size_t)value->length + 5);
    out->length += 2 * (size_t)value->length + 5;
    memcpy(at, "\"\\\\x", 4);
    at += 4;
    for (uint32_t i = 0; i < value->length; i++) {
        *at++ = (uint8_t)hex[value->data[i] >> 4];
        *at++ = (uint8_t)hex[value->data[i] & 15];
    }
    *at = '"';
}

static bool is_exact_integer(const dd_value *value) {
    int64_t v;
    uint64_t large;
    if (!dd_value_int(value, &v, &large)) return false;
    return (v < 0 ? 0 - (uint64_t)v : (uint64_t)v) <= EXACT_IN_DOUBLE;
}

void dd_json_render(const dd_value *value, dd_buf *out) {
    if (!value->data) {
        dd_buf_add_text(out, "null");
        return;
    }
    if (dd_value_is_unreadable(value)) {
        dd_unreadable parts = dd_value_unreadable(value);
        dd_json_string((const char *)parts.text, parts.text_length, out);
        return;
    }
    bool bare = false;
    switch (value->kind) {
    case DD_KIND_TEXT:
        dd_json_string((const char *)value->data, value->length, out);
        return;
    case DD_KIND_BYTES:
    case DD_KIND_UNSUPPORTED: render_bytes(value, out); return;
    case DD_KIND_JSON: bare = true; break;
    case DD_KIND_BOOL: bare = !dd_value_is_raw(value) || is_exact_integer(value); break;
    case DD_KIND_INT: bare = is_exact_integer(value); break;
    case DD_KIND_FLOAT32: bare = isfinite(dd_value_float32(value)); break;
    case DD_KIND_FLOAT64: bare = isfinite(dd_value_float64(value)); break;
    case DD_KIND_DECIMAL:
    case DD_KIND_DATE:
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP:
    case DD_KIND_UUID:
    case DD_KIND_BITS: break;
    }
    if (bare) dd_text_render(value, out);
    else render_quoted(value, out);
}
