#include "pair/crossing_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "row/field.h"
#include "row/json_canonical.h"
#include "row/raw.h"
#include "row/temporal.h"
#include "row/utf8.h"

static const char replacement[] = "\xEF\xBF\xBD";

static void because(dd_refusal *refusal, const char *format, ...) DD_PRINTF(2, 3);
static void because(dd_refusal *refusal, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal->reason, sizeof refusal->reason, format, arguments);
    va_end(arguments);
}

/* What a policy without a value of its own makes of one that was refused. */
static dd_crossed null_or_refused(const dd_crossing_column *column, dd_policy policy,
                                  uint64_t *counts) {
    if (column->actions[policy] != DD_CROSS_NULL) return DD_CROSSED_REFUSED;
    counts[policy]++;
    return DD_CROSSED_NULL;
}

static dd_crossed changed(dd_policy policy, uint64_t *counts) {
    counts[policy]++;
    return DD_CROSSED_CHANGED;
}

/* The bytes of the field that was added to an empty buffer, without its length. */
static void drop_length(dd_buf *value) {
    value->length -= 4;
    memmove(value->data, value->data + 4, value->length);
}

/* ---- numbers ---- */

static dd_crossed cross_bool(const dd_crossing_column *column, const dd_value *value, dd_buf *out,
                             uint64_t *counts, dd_refusal *refusal) {
    if (!dd_value_is_raw(value)) return DD_CROSSED_SAME;
    const bool negative = value->data[0] == 0;
    const uint64_t bits = dd_get_u64(value->data + 1);
    if (negative) because(refusal, "%lld is not a boolean", (long long)(int64_t)bits);
    else because(refusal, "%llu is not a boolean", (unsigned long long)bits);
    if (column->actions[DD_POLICY_OVERFLOW] != DD_CROSS_CLAMP)
        return null_or_refused(column, DD_POLICY_OVERFLOW, counts);
    dd_buf_add_byte(out, negative ? 0 : 1);
    return changed(DD_POLICY_OVERFLOW, counts);
}

static dd_crossed cross_int(const dd_crossing_column *column, const dd_value *value, dd_buf *out,
                            uint64_t *counts, dd_refusal *refusal) {
    if (!column->limited) return DD_CROSSED_SAME;
    const bool negative = value->data[0] == 0;
    const uint64_t bits = dd_get_u64(value->data + 1);
    const bool below = negative && (int64_t)bits < column->least;
    if (!below && (negative || bits <= column->most)) return DD_CROSSED_SAME;
    if (negative) because(refusal, "%lld is out of range", (long long)(int64_t)bits);
    else because(refusal, "%llu is out of range", (unsigned long long)bits);
    if (column->actions[DD_POLICY_OVERFLOW] != DD_CROSS_CLAMP)
        return null_or_refused(column, DD_POLICY_OVERFLOW, counts);
    if (below) dd_row_add_int(out, column->least);
    else dd_row_add_uint(out, column->most);
    drop_length(out);
    return changed(DD_POLICY_OVERFLOW, counts);
}

/* Canonical decimals have no leading and no trailing zeros but the single one before the point. */
static dd_crossed cross_decimal(const dd_crossing_column *column, const dd_value *value,
                                dd_buf *out, uint64_t *counts, dd_refusal *refusal) {
    if (!column->counted_digits) return DD_CROSSED_SAME;
    const uint8_t *text = value->data;
    uint32_t length = value->length;
    const bool negative = length > 0 && text[0] == '-';
    if (negative) text++, length--;
    if (length > 0 && (text[0] < '0' || text[0] > '9')) return DD_CROSSED_SAME; /* NaN */
    const uint8_t *point = length ? memchr(text, '.', length) : NULL;
    const uint32_t whole = point ? (uint32_t)(point - text) : length;
    const uint32_t fraction = point ? length - whole - 1 : 0;
    const bool zero = whole == 1 && text[0] == '0';
    if (fraction > column->fraction_digits) {
        because(refusal, "%.*s has more than %u digits after the point",
                (int)(value->length < 80 ? value->length : 80), (const char *)value->data,
                column->fraction_digits);
        return DD_CROSSED_REFUSED;
    }
    if (zero || whole <= column->whole_digits) return DD_CROSSED_SAME;
    because(refusal, "%.*s is out of range", (int)(value->length < 80 ? value->length : 80),
            (const char *)value->data);
    if (column->actions[DD_POLICY_OVERFLOW] != DD_CROSS_CLAMP)
        return null_or_refused(column, DD_POLICY_OVERFLOW, counts);
    if (negative) dd_buf_add_byte(out, '-');
    if (column->whole_digits == 0) dd_buf_add_byte(out, '0');
    for (unsigned i = 0; i < column->whole_digits; i++) dd_buf_add_byte(out, '9');
    if (column->fraction_digits) dd_buf_add_byte(out, '.');
    for (unsigned i = 0; i < column->fraction_digits; i++) dd_buf_add_byte(out, '9');
    return changed(DD_POLICY_OVERFLOW, counts);
}

static double rounded(double number, unsigned digits) {
    char text[64];
    if (!isfinite(number)) return number;
    snprintf(text, sizeof text, "%.*e", (int)digits - 1, number);
    return strtod(text, NULL);
}

/* Puts the number there in the value's own kind; SAME when that gives the same bytes. */
static dd_crossed put_float(const dd_value *value, double number, dd_buf *out) {
    if (value->kind == DD_KIND_FLOAT32) dd_row_add_float32(out, (float)number);
    else dd_row_add_float64(out, number);
    drop_length(out);
    return memcmp(out->data, value->data, value->length) == 0 ? DD_CROSSED_SAME
                                                              : DD_CROSSED_CHANGED;
}

static double float_of(const dd_value *value) {
    return value->kind == DD_KIND_FLOAT32 ? (double)dd_value_float32(value)
                                          : dd_value_float64(value);
}

static dd_crossed cross_float(const dd_crossing_column *column, const dd_value *value, dd_buf *out,
                              uint64_t *counts, dd_refusal *refusal) {
    if (!column->digits && !column->single) return DD_CROSSED_SAME;
    double number = float_of(value), kept = number;
    if (column->digits) kept = rounded(kept, column->digits);
    if (column->single) {
        const double held = (double)(float)kept;
        if (isfinite(kept) && (!isfinite(held) || (!column->digits && held != kept))) {
            because(refusal, "%.17g is not exact in 32 bits", number);
            return DD_CROSSED_REFUSED;
        }
        kept = held;
    }
    if (isnan(number) || put_float(value, kept, out) == DD_CROSSED_SAME) return DD_CROSSED_SAME;
    return changed(DD_POLICY_FLOAT_DIGITS, counts);
}

dd_crossed dd_settle_value(const dd_crossing_column *column, const dd_value *value,
                           dd_crossing_scratch *scratch, uint64_t *counts, dd_refusal *refusal) {
    (void)counts, (void)refusal;
    double number = float_of(value);
    dd_buf_clear(&scratch->value);
    if (!isfinite(number)) return DD_CROSSED_SAME;
    return put_float(value, rounded(number, column->digits), &scratch->value);
}

/* ---- dates and times ---- */

static dd_crossed cross_date(const dd_crossing_column *column, const dd_value *value, dd_buf *out,
                             uint64_t *counts, dd_refusal *refusal) {
    if (!dd_value_is_raw(value)) return DD_CROSSED_SAME;
    because(refusal, "%.*s is not a date", (int)value->length, (const char *)value->data);
    if (column->actions[DD_POLICY_ZERO_DATES] != DD_CROSS_SET)
        return null_or_refused(column, DD_POLICY_ZERO_DATES, counts);
    if (value->kind == DD_KIND_DATE) dd_row_add_date(out, column->date);
    else if (column->date == DD_DATE_INFINITY) dd_row_add_timestamp(out, DD_TIMESTAMP_INFINITY);
    else dd_row_add_timestamp(out, column->date * DD_US_PER_DAY);
    drop_length(out);
    return changed(DD_POLICY_ZERO_DATES, counts);
}

static dd_crossed cross_time(const dd_crossing_column *column, const dd_value *value, dd_buf *out,
                             uint64_t *counts, dd_refusal *refusal) {
    if (!column->within_day) return DD_CROSSED_SAME;
    const int64_t us = dd_value_time(value);
    if (us >= 0 && us <= DD_US_PER_DAY) return DD_CROSSED_SAME;
    because(refusal, "a time of %lld seconds is not within a day", (long long)(us / 1000000));
    if (column->actions[DD_POLICY_TIME_RANGE] != DD_CROSS_CLAMP)
        return null_or_refused(column, DD_POLICY_TIME_RANGE, counts);
    dd_row_add_time(out, us < 0 ? 0 : DD_US_PER_DAY);
    drop_length(out);
    return changed(DD_POLICY_TIME_RANGE, counts);
}

/* ---- text ---- */

static void replace_invalid(const uint8_t *text, size_t length, dd_buf *out) {
    for (size_t i = 0; i < length;) {
        unsigned bytes = dd_utf8_length(text + i, length - i);
        if (bytes) dd_buf_add(out, text + i, bytes);
        else dd_buf_add_text(out, replacement);
        i += bytes ? bytes : 1;
    }
}

static void without_nul(const uint8_t *text, size_t length, bool replace, dd_buf *out) {
    for (size_t i = 0; i < length;) {
        const uint8_t *nul = memchr(text + i, 0, length - i);
        size_t run = nul ? (size_t)(nul - text) - i : length - i;
        dd_buf_add(out, text + i, run);
        if (nul && replace) dd_buf_add_text(out, replacement);
        i += run + (nul ? 1 : 0);
    }
}

/* Bytes that the first `most` characters take; `length` when there are no more. */
static size_t characters_end(const uint8_t *text, size_t length, uint32_t most) {
    if (length <= most) return length;
    uint32_t seen = 0;
    for (size_t i = 0; i < length; i++)
        if ((text[i] & 0xC0) != 0x80 && seen++ == most) return i;
    return length;
}

/* The text so far is `*value` or, once changed, in out. */
static void take(dd_buf *out, dd_buf *next, dd_value *value) {
    dd_buf kept = *out;
    *out = *next;
    *next = kept;
    dd_buf_clear(next);
    /* An empty text is not NULL. */
    if (!out->data) dd_buf_reserve(out, 1);
    value->data = out->data;
    value->length = (uint32_t)out->length;
}

static dd_crossed cross_text(const dd_crossing_column *column, const dd_value *given,
                             dd_crossing_scratch *scratch, uint64_t *counts, dd_refusal *refusal) {
    dd_value value = *given;
    dd_crossed result = DD_CROSSED_SAME;
    dd_buf_clear(&scratch->spare);
    if (!dd_utf8_valid(value.data, value.length)) {
        because(refusal, "text is not valid UTF-8");
        if (column->actions[DD_POLICY_INVALID_UTF8] != DD_CROSS_REPLACE)
            return null_or_refused(column, DD_POLICY_INVALID_UTF8, counts);
        replace_invalid(value.data, value.length, &scratch->spare);
        take(&scratch->value, &scratch->spare, &value);
        result = changed(DD_POLICY_INVALID_UTF8, counts);
    }
    if (!column->holds_nul && value.length && memchr(value.data, 0, value.length)) {
        const dd_cross_action action = column->actions[DD_POLICY_NUL];
        because(refusal, "text has a NUL byte");
        if (action == DD_CROSS_REFUSE) return DD_CROSSED_REFUSED;
        without_nul(value.data, value.length, action == DD_CROSS_REPLACE, &scratch->spare);
        take(&scratch->value, &scratch->spare, &value);
        result = changed(DD_POLICY_NUL, counts);
    }
    if (column->most_characters) {
        const size_t end = characters_end(value.data, value.length, column->most_characters);
        if (end < value.length) {
            because(refusal, "text is longer than %u characters", column->most_characters);
            if (column->actions[DD_POLICY_OVERFLOW] != DD_CROSS_CLAMP)
                return null_or_refused(column, DD_POLICY_OVERFLOW, counts);
            dd_buf_add(&scratch->spare, value.data, end);
            take(&scratch->value, &scratch->spare, &value);
            result = changed(DD_POLICY_OVERFLOW, counts);
        }
    }
    if (column->drops_blanks && value.length && value.data[value.length - 1] == ' ') {
        because(refusal, "the type does not keep the blanks at the end of the text");
        return DD_CROSSED_REFUSED;
    }
    return result;
}

/* Where \u0000 stands at or after `at`, or `length`. */
static size_t find_json_nul(const uint8_t *text, size_t length, size_t at) {
    while (at < length) {
        const uint8_t *escape = memchr(text + at, '\\', length - at);
        if (!escape) return length;
        at = (size_t)(escape - text);
        if (length - at >= 6 && memcmp(text + at + 1, "u0000", 5) == 0) return at;
        at += 2; /* what is escaped may be a backslash */
    }
    return length;
}

static dd_crossed cross_json(const dd_crossing_column *column, const dd_value *value,
                             dd_crossing_scratch *scratch, uint64_t *counts, dd_refusal *refusal) {
    const size_t length = value->length;
    size_t nul = column->holds_nul ? length : find_json_nul(value->data, length, 0);
    if (nul == length) return DD_CROSSED_SAME;
    const dd_cross_action action = column->actions[DD_POLICY_NUL];
    because(refusal, "json has a \\u0000");
    if (action == DD_CROSS_REFUSE) return DD_CROSSED_REFUSED;
    size_t at = 0;
    dd_buf_clear(&scratch->spare);
    for (; at < length; nul = find_json_nul(value->data, length, at)) {
        dd_buf_add(&scratch->spare, value->data + at, nul - at);
        if (nul < length && action == DD_CROSS_REPLACE)
            dd_buf_add_text(&scratch->spare, replacement);
        at = nul < length ? nul + 6 : length;
    }
    /* Names have changed too: their order may be another one, and two may be the same now. */
    dd_err err;
    if (dd_json_canonical((const char *)scratch->spare.data, scratch->spare.length,
                          &scratch->value, &err) != DD_OK) {
        because(refusal, "%s", err.message);
        return DD_CROSSED_REFUSED;
    }
    return changed(DD_POLICY_NUL, counts);
}

dd_crossed dd_cross_value(const dd_crossing_column *column, const dd_value *value,
                          dd_crossing_scratch *scratch, uint64_t *counts, dd_refusal *refusal) {
    dd_buf *out = &scratch->value;
    dd_buf_clear(out);
    if (dd_value_is_unreadable(value)) {
        dd_unreadable parts = dd_value_unreadable(value);
        because(refusal, "%.*s", (int)parts.reason_length, parts.reason);
        return DD_CROSSED_REFUSED;
    }
    switch (value->kind) {
    case DD_KIND_BOOL: return cross_bool(column, value, out, counts, refusal);
    case DD_KIND_INT: return cross_int(column, value, out, counts, refusal);
    case DD_KIND_DECIMAL: return cross_decimal(column, value, out, counts, refusal);
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64: return cross_float(column, value, out, counts, refusal);
    case DD_KIND_DATE:
    case DD_KIND_TIMESTAMP: return cross_date(column, value, out, counts, refusal);
    case DD_KIND_TIME: return cross_time(column, value, out, counts, refusal);
    case DD_KIND_TEXT: return cross_text(column, value, scratch, counts, refusal);
    case DD_KIND_JSON: return cross_json(column, value, scratch, counts, refusal);
    default: return DD_CROSSED_SAME;
    }
}
