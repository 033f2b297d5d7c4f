#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "row/decimal.h"
#include "row/field.h"
#include "row/json_canonical.h"
#include "row/number.h"
#include "row/temporal.h"
#include "row/text.h"
#include "row/utf8.h"

/* What is left of the text that is being parsed. */
typedef struct cursor {
    const char *at;
    const char *end;
} cursor;

static dd_status not_a(dd_kind kind, dd_err *err) {
    return dd_fail(err, DD_DATA, "text is not %s %s",
                   kind == DD_KIND_INT ? "an" : kind == DD_KIND_BITS ? "a string of" : "a",
                   dd_kind_name(kind));
}

static bool is_word(const char *text, size_t length, const char *word) {
    return length == strlen(word) && strncasecmp(text, word, length) == 0;
}

static bool take(cursor *c, char expected) {
    if (c->at == c->end || *c->at != expected) return false;
    c->at++;
    return true;
}

/* Digits, `least` to `most` of them. */
static bool take_digits(cursor *c, unsigned least, unsigned most, int64_t *out) {
    unsigned count = 0;
    int64_t value = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && count < most) {
        value = value * 10 + (*c->at++ - '0');
        count++;
    }
    *out = value;
    return count >= least;
}

/* ---- dates and times ---- */

/* No server has days beyond these years; they keep the arithmetic within its types. */
#define FIRST_YEAR (-4713)
#define LAST_YEAR 5874897

static bool take_date(cursor *c, int32_t *days) {
    int64_t year, month, day;
    bool before = take(c, '-');
    if (!take_digits(c, 4, 7, &year) || !take(c, '-') || !take_digits(c, 2, 2, &month) ||
        !take(c, '-') || !take_digits(c, 2, 2, &day))
        return false;
    if (before) year = -year;
    if (year < FIRST_YEAR || year > LAST_YEAR || !dd_date_exists((int)year, (int)month, (int)day))
        return false;
    *days = dd_days_from_date((int)year, (int)month, (int)day);
    return true;
}

/* H:MM[:SS[.ffffff]]; digits past the sixth must be zeros, since dropping others loses data. */
static bool take_clock(cursor *c, unsigned hour_digits, int64_t *microseconds) {
    int64_t hour, minute, second = 0, fraction = 0;
    if (!take_digits(c, 1, hour_digits, &hour) || !take(c, ':') ||
        !take_digits(c, 2, 2, &minute) || minute > 59)
        return false;
    if (take(c, ':')) {
        if (!take_digits(c, 2, 2, &second) || second > 59) return false;
        if (take(c, '.')) {
            const char *start = c->at;
            if (!take_digits(c, 1, 6, &fraction)) return false;
            for (long digits = c->at - start; digits < 6; digits++) fraction *= 10;
            while (take(c, '0')) continue;
        }
    }
    *microseconds = ((hour * 60 + minute) * 60 + second) * 1000000 + fraction;
    return true;
}

/* Z, +HH, +HHMM or +HH:MM, or nothing, which is UTC. */
static bool take_zone(cursor *c, int64_t *microseconds) {
    *microseconds = 0;
    if (c->at == c->end || take(c, 'Z') || take(c, 'z')) return true;
    bool west = take(c, '-');
    if (!west && !take(c, '+')) return false;
    int64_t hour, minute = 0;
    if (!take_digits(c, 2, 2, &hour) || hour > 15) return false;
    bool colon = take(c, ':');
    if ((colon || c->at < c->end) && (!take_digits(c, 2, 2, &minute) || minute > 59)) return false;
    *microseconds = (hour * 60 + minute) * 60000000 * (west ? -1 : 1);
    return true;
}

static bool parse_date(const char *text, size_t length, int32_t *days) {
    if (is_word(text, length, "infinity")) return *days = DD_DATE_INFINITY, true;
    if (is_word(text, length, "-infinity")) return *days = DD_DATE_MINUS_INFINITY, true;
    cursor c = {text, text + length};
    return take_date(&c, days) && c.at == c.end;
}

static bool parse_time(const char *text, size_t length, int64_t *microseconds) {
    cursor c = {text, text + length};
    bool negative = take(&c, '-');
    if (!negative) take(&c, '+');
    if (!take_clock(&c, 9, microseconds) || c.at != c.end) return false;
    if (negative) *microseconds = -*microseconds;
    return true;
}

static bool parse_timestamp(const char *text, size_t length, int64_t *microseconds) {
    if (is_word(text, length, "infinity")) return *microseconds = DD_TIMESTAMP_INFINITY, true;
    if (is_word(text, length, "-infinity"))
        return *microseconds = DD_TIMESTAMP_MINUS_INFINITY, true;
    cursor c = {text, text + length};
    int32_t days;
    int64_t clock = 0, zone = 0;
    if (!take_date(&c, &days)) return false;
    if (c.at < c.end) {
        if (!take(&c, ' ') && !take(&c, 'T') && !take(&c, 't')) return false;
        if (!take_clock(&c, 2, &clock) || clock >= DD_US_PER_DAY || !take_zone(&c, &zone) ||
            c.at != c.end)
            return false;
    }
    int64_t result;
    if (__builtin_mul_overflow((int64_t)days, DD_US_PER_DAY, &result) ||
        __builtin_add_overflow(result, clock - zone, &result))
        return false;
    if (result == DD_TIMESTAMP_INFINITY || result == DD_TIMESTAMP_MINUS_INFINITY) return false;
    *microseconds = result;
    return true;
}

/* ---- the others ---- */

static bool parse_bool(const char *text, size_t length, bool *out) {
    static const char *const yes[] = {"true", "t", "1"}, *const no[] = {"false", "f", "0"};
    for (unsigned i = 0; i < 3; i++) {
        if (is_word(text, length, yes[i])) return *out = true, true;
        if (is_word(text, length, no[i])) return *out = false, true;
    }
    return false;
}

static bool parse_uuid(const char *text, size_t length, uint8_t bytes[DD_UUID_LENGTH]) {
    if (length != 36 && length != 32) return false;
    size_t at = 0;
    for (unsigned i = 0; i < 2 * DD_UUID_LENGTH; i++, at++) {
        if (length == 36 && (i == 8 || i == 12 || i == 16 || i == 20) && text[at++] != '-')
            return false;
        unsigned char c = (unsigned char)text[at];
        unsigned digit;
        if (c >= '0' && c <= '9') digit = c - '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f') digit = (c | 32) - 'a' + 10U;
        else return false;
        bytes[i / 2] = (uint8_t)(i % 2 ? bytes[i / 2] | digit : digit << 4);
    }
    return true;
}

static bool is_bits(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] != '0' && text[i] != '1') return false;
    return true;
}

static dd_status parse_int(const char *text, size_t length, dd_buf *row, dd_err *err) {
    bool negative;
    uint64_t bits;
    if (!dd_number_integer(text, length, &negative, &bits)) {
        /* 1e3 and 7.0 are integers too, if one looks longer. */
        dd_buf decimal = {0};
        bool ok = dd_decimal_canonical(text, length, &decimal, err) == DD_OK &&
                  dd_number_integer((const char *)decimal.data, decimal.length, &negative, &bits);
        dd_buf_free(&decimal);
        if (!ok) return not_a(DD_KIND_INT, err);
    }
    dd_put_int(dd_row_add_room(row, DD_INT_LENGTH), negative, bits);
    return DD_OK;
}

/*
 * strtod also takes blanks, hexadecimal and nan(...), and wants a NUL byte; it rounds to infinity
 * and to zero what the type cannot hold, which would be a silent change of the value.
 */
static dd_status parse_float(dd_kind kind, const char *text, size_t length, dd_buf *row,
                             dd_err *err) {
    size_t sign = length > 0 && (text[0] == '-' || text[0] == '+');
    double v;
    dd_number number;
    if (is_word(text, length, "nan")) {
        v = NAN;
    } else if (is_word(text + sign, length - sign, "infinity")) {
        v = text[0] == '-' ? -INFINITY : INFINITY;
    } else if (length > 0 && dd_number_scan(text, length, false, &number) == length) {
        char short_text[64], *terminated = short_text;
        if (length >= sizeof short_text) terminated = dd_alloc(length + 1);
        memcpy(terminated, text, length);
        terminated[length] = '\0';
        /* Directly to single precision: rounding twice can give another number. */
        v = kind == DD_KIND_FLOAT32 ? (double)strtof(terminated, NULL) : strtod(terminated, NULL);
        if (terminated != short_text) free(terminated);
        if (isinf(v) || (v == 0 && !dd_number_is_zero(&number)))
            return dd_fail(err, DD_DATA, "number out of range for %s", dd_kind_name(kind));
    } else {
        return not_a(kind, err);
    }
    if (kind == DD_KIND_FLOAT32) dd_row_add_float32(row, (float)v);
    else dd_row_add_float64(row, v);
    return DD_OK;
}

static dd_status parse_variable(dd_kind kind, const char *text, size_t length, dd_buf *row,
                                dd_err *err) {
    size_t at = dd_field_begin(row);
    dd_status status = DD_OK;
    if (kind == DD_KIND_DECIMAL) status = dd_decimal_canonical(text, length, row, err);
    else if (kind == DD_KIND_JSON) status = dd_json_canonical(text, length, row, err);
    else if (kind == DD_KIND_TEXT && !dd_utf8_valid((const uint8_t *)text, length))
        status = dd_fail(err, DD_DATA, "text is not valid UTF-8");
    else dd_buf_add(row, text, length);
    if (status != DD_OK) {
        row->length = at;
        return status;
    }
    return dd_field_end(row, at, err);
}

dd_status dd_text_parse(dd_kind kind, const char *text, size_t length, dd_buf *row, dd_err *err) {
    if (length == 0) text = "";
    switch (kind) {
    case DD_KIND_BOOL: {
        bool v;
        if (!parse_bool(text, length, &v)) return not_a(kind, err);
        dd_row_add_bool(row, v);
        return DD_OK;
    }
    case DD_KIND_INT: return parse_int(text, length, row, err);
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64: return parse_float(kind, text, length, row, err);
    case DD_KIND_DATE: {
        int32_t days;
        if (!parse_date(text, length, &days)) return not_a(kind, err);
        dd_row_add_date(row, days);
        return DD_OK;
    }
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP: {
        int64_t microseconds;
        bool ok = kind == DD_KIND_TIME ? parse_time(text, length, &microseconds)
                                       : parse_timestamp(text, length, &microseconds);
        if (!ok) return not_a(kind, err);
        dd_row_add_time(row, microseconds);
        return DD_OK;
    }
    case DD_KIND_UUID: {
        uint8_t bytes[DD_UUID_LENGTH];
        if (!parse_uuid(text, length, bytes)) return not_a(kind, err);
        dd_row_add(row, bytes, DD_UUID_LENGTH);
        return DD_OK;
    }
    case DD_KIND_BITS:
        if (!is_bits(text, length)) return not_a(kind, err);
        return parse_variable(kind, text, length, row, err);
    case DD_KIND_DECIMAL:
    case DD_KIND_JSON:
    case DD_KIND_TEXT:
    case DD_KIND_BYTES: return parse_variable(kind, text, length, row, err);
    case DD_KIND_UNSUPPORTED: break;
    }
    return dd_fail(err, DD_INTERNAL, "no kind of value has the letter %d", (int)kind);
}
