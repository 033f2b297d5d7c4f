#include "row/text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "row/number.h"
#include "row/raw.h"
#include "row/temporal.h"

static uint8_t *put_two(uint8_t *at, unsigned v) {
    at[0] = (uint8_t)('0' + v / 10 % 10);
    at[1] = (uint8_t)('0' + v % 10);
    return at + 2;
}

/* The digits of a number, at least `width` of them. */
static uint8_t *put_padded(uint8_t *at, uint64_t v, unsigned width) {
    uint8_t digits[20];
    unsigned count = dd_number_put_integer(digits, false, v);
    for (; width > count; width--) *at++ = '0';
    memcpy(at, digits, count);
    return at + count;
}

static uint8_t *put_word(uint8_t *at, const char *word) {
    size_t length = strlen(word);
    memcpy(at, word, length);
    return at + length;
}

static uint8_t *put_date(uint8_t *at, int32_t days) {
    int year, month, day;
    dd_date_from_days(days, &year, &month, &day);
    if (year < 0) *at++ = '-';
    at = put_padded(at, (uint64_t)(year < 0 ? -(int64_t)year : year), 4);
    *at++ = '-';
    at = put_two(at, (unsigned)month);
    *at++ = '-';
    return put_two(at, (unsigned)day);
}

static uint8_t *put_clock(uint8_t *at, uint64_t microseconds) {
    uint64_t seconds = microseconds / 1000000, fraction = microseconds % 1000000;
    at = put_padded(at, seconds / 3600, 2);
    *at++ = ':';
    at = put_two(at, (unsigned)(seconds / 60 % 60));
    *at++ = ':';
    at = put_two(at, (unsigned)(seconds % 60));
    if (fraction) {
        *at++ = '.';
        at = put_padded(at, fraction, 6);
    }
    return at;
}

static uint8_t *put_timestamp(uint8_t *at, int64_t microseconds) {
    if (microseconds == DD_TIMESTAMP_INFINITY) return put_word(at, "infinity");
    if (microseconds == DD_TIMESTAMP_MINUS_INFINITY) return put_word(at, "-infinity");
    int64_t days = microseconds / DD_US_PER_DAY, rest = microseconds % DD_US_PER_DAY;
    if (rest < 0) {
        rest += DD_US_PER_DAY;
        days--;
    }
    at = put_date(at, (int32_t)days);
    *at++ = ' ';
    return put_clock(at, (uint64_t)rest);
}

/* Longest text of a float: sign, 17 digits, point, exponent; and a NUL byte. */
#define FLOAT_TEXT 32

static uint8_t *put_float64(uint8_t *at, double v) {
    if (isnan(v)) return put_word(at, "NaN");
    if (isinf(v)) return put_word(at, v < 0 ? "-Infinity" : "Infinity");
    /* 15 digits survive in every normal double, so %g's own cutting of zeros finds anything
     * shorter; denormals have fewer. */
    char text[FLOAT_TEXT];
    for (int digits = v != 0 && fabs(v) < DBL_MIN ? 1 : 15;; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (digits >= 17 || strtod(text, NULL) == v) return put_word(at, text);
    }
}

static uint8_t *put_float32(uint8_t *at, float v) {
    if (!isfinite(v)) return put_float64(at, (double)v);
    char text[FLOAT_TEXT];
    for (int digits = v != 0 && fabsf(v) < FLT_MIN ? 1 : 6;; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (digits >= 9 || strtof(text, NULL) == v) return put_word(at, text);
    }
}

static uint8_t *put_uuid(uint8_t *at, const uint8_t *bytes) {
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
        *at++ = (uint8_t)hex[bytes[i] >> 4];
        *at++ = (uint8_t)hex[bytes[i] & 15];
    }
    return at;
}

static uint8_t *put_time(uint8_t *at, int64_t microseconds) {
    if (microseconds < 0) *at++ = '-';
    return put_clock(at, microseconds < 0 ? 0 - (uint64_t)microseconds : (uint64_t)microseconds);
}

static uint8_t *put_days(uint8_t *at, int32_t days) {
    if (days == DD_DATE_INFINITY) return put_word(at, "infinity");
    if (days == DD_DATE_MINUS_INFINITY) return put_word(at, "-infinity");
    return put_date(at, days);
}

/* No text of a fixed-size value is longer (a uuid has 36 bytes). */
#define FIXED_TEXT 48

static void render_raw(const dd_value *value, dd_buf *out) {
    if (dd_value_is_unreadable(value)) {
        dd_unreadable parts = dd_value_unreadable(value);
        dd_buf_add(out, parts.text, parts.text_length);
    } else if (value->kind == DD_KIND_BOOL) {
        dd_text_render(&(dd_value){DD_KIND_INT, value->length, value->data}, out);
    } else {
        dd_buf_add(out, value->data, value->length);
    }
}

void dd_text_render(const dd_value *value, dd_buf *out) {
    if (dd_value_is_raw(value)) {
        render_raw(value, out);
        return;
    }
    uint8_t *start = dd_buf_reserve(out, FIXED_TEXT), *at = start;
    switch (value->kind) {
    case DD_KIND_BOOL: at = put_word(at, dd_value_bool(value) ? "true" : "false"); break;
    case DD_KIND_INT:
        at += dd_number_put_integer(at, value->data[0] == 0, dd_get_u64(value->data + 1));
        break;
    case DD_KIND_FLOAT32: at = put_float32(at, dd_value_float32(value)); break;
    case DD_KIND_FLOAT64: at = put_float64(at, dd_value_float64(value)); break;
    case DD_KIND_DATE: at = put_days(at, dd_value_date(value)); break;
    case DD_KIND_TIME: at = put_time(at, dd_value_time(value)); break;
    case DD_KIND_TIMESTAMP: at = put_timestamp(at, dd_value_time(value)); break;
    case DD_KIND_UUID: at = put_uuid(at, value->data); break;
    case DD_KIND_DECIMAL:
    case DD_KIND_TEXT:
    case DD_KIND_BYTES:
    case DD_KIND_JSON:
    case DD_KIND_BITS:
    case DD_KIND_UNSUPPORTED: dd_buf_add(out, value->data, value->length); return;
    }
    out->length += (size_t)(at - start);
}
