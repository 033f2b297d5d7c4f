/* Bound values as the text of a file that LOAD DATA reads. */

#include <stdio.h>

#include "db/mysql_load.h"
#include "row/number.h"
#include "row/utf8.h"

/* What follows a backslash that stands for the byte; 0 for bytes that stand for themselves. */
static const uint8_t escapes[256] = {
    ['\0'] = '0', ['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r', ['\\'] = '\\',
};

static void put_text(const uint8_t *text, size_t length, dd_buf *out) {
    if (length == 0) return;
    uint8_t *at = dd_buf_reserve(out, length * 2);
    uint8_t *const start = at;
    for (size_t i = 0; i < length; i++) {
        const uint8_t escape = escapes[text[i]];
        if (escape) *at++ = '\\';
        *at++ = escape ? escape : text[i];
    }
    out->length += (size_t)(at - start);
}

static void put_hex(const uint8_t *bytes, size_t length, dd_buf *out) {
    static const char digits[] = "0123456789ABCDEF";
    if (length == 0) return;
    uint8_t *at = dd_buf_reserve(out, length * 2);
    for (size_t i = 0; i < length; i++) {
        *at++ = (uint8_t)digits[bytes[i] >> 4];
        *at++ = (uint8_t)digits[bytes[i] & 15];
    }
    out->length += length * 2;
}

static void put_whole(bool is_signed, uint64_t whole, dd_buf *out) {
    uint8_t *at = dd_buf_reserve(out, 24);
    out->length += dd_number_put_integer(at, is_signed && (int64_t)whole < 0, whole);
}

/* 17 digits are enough for any double to be read back as it was, a float among them. */
static void put_double(double number, dd_buf *out) {
    char *at = (char *)dd_buf_reserve(out, 32);
    out->length += (size_t)snprintf(at, 32, "%.17g", number);
}

static uint8_t *put_digits(uint8_t *at, unsigned long number, unsigned count) {
    for (unsigned i = count; i-- > 0; number /= 10) at[i] = (uint8_t)('0' + number % 10);
    return at + count;
}

static uint8_t *put_clock(uint8_t *at, unsigned hour, const MYSQL_TIME *time) {
    at = put_digits(at, hour, hour > 99 ? 3 : 2);
    *at++ = ':';
    at = put_digits(at, time->minute, 2);
    *at++ = ':';
    at = put_digits(at, time->second, 2);
    if (time->second_part == 0) return at;
    *at++ = '.';
    return put_digits(at, time->second_part, 6);
}

static uint8_t *put_day(uint8_t *at, const MYSQL_TIME *time) {
    at = put_digits(at, time->year, 4);
    *at++ = '-';
    at = put_digits(at, time->month, 2);
    *at++ = '-';
    return put_digits(at, time->day, 2);
}

/*
 * From 12 characters on MySQL tries whether a time is a timestamp first, and takes 100:00:00.000000
 * for one of the year 100. So a time of three digits with a fraction has its days apart, which
 * nothing else has.
 */
static uint8_t *put_time(uint8_t *at, const MYSQL_TIME *time) {
    const unsigned hours = time->day * 24 + time->hour;
    if (time->neg) *at++ = '-';
    if (hours < 100 || time->second_part == 0) return put_clock(at, hours, time);
    at = put_digits(at, hours / 24, 2);
    *at++ = ' ';
    return put_clock(at, hours % 24, time);
}

static void put_temporal(const MYSQL_TIME *time, dd_buf *out) {
    uint8_t *const start = dd_buf_reserve(out, 40), *at = start;
    switch (time->time_type) {
    case MYSQL_TIMESTAMP_TIME: at = put_time(at, time); break;
    case MYSQL_TIMESTAMP_DATE: at = put_day(at, time); break;
    default:
        at = put_day(at, time);
        *at++ = ' ';
        at = put_clock(at, time->hour, time);
    }
    out->length += (size_t)(at - start);
}

bool dd_mysql_infile_put(const MYSQL_BIND *bind, dd_buf *out) {
    switch ((int)bind->buffer_type) {
    case MYSQL_TYPE_NULL: dd_buf_add(out, "\\N", 2); return true;
    case MYSQL_TYPE_TINY: put_whole(true, *(const uint8_t *)bind->buffer, out); return true;
    case MYSQL_TYPE_LONGLONG:
        put_whole(!bind->is_unsigned, *(const uint64_t *)bind->buffer, out);
        return true;
    case MYSQL_TYPE_FLOAT: put_double((double)*(const float *)bind->buffer, out); return true;
    case MYSQL_TYPE_DOUBLE: put_double(*(const double *)bind->buffer, out); return true;
    case MYSQL_TYPE_DATE:
    case MYSQL_TYPE_TIME:
    case MYSQL_TYPE_DATETIME: put_temporal(bind->buffer, out); return true;
    case MYSQL_TYPE_BLOB: put_hex(bind->buffer, bind->buffer_length, out); return true;
    default:
        if (!dd_utf8_valid(bind->buffer, bind->buffer_length)) return false;
        put_text(bind->buffer, bind->buffer_length, out);
        return true;
    }
}
