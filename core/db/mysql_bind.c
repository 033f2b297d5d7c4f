/* Canonical values as bound parameters. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/mysql_driver.h"
#include "row/field.h"
#include "row/raw.h"
#include "row/temporal.h"

static const int64_t longest_time = INT64_C(3020399999999); /* 838:59:59.999999 */
static const int64_t late_time = INT64_C(3016800000000);    /* 838:00:00 */

void dd_mysql_params_reserve(dd_mysql_params *params, unsigned count) {
    if (count <= params->capacity) return;
    params->binds = dd_realloc(params->binds, count * sizeof *params->binds);
    params->slots = dd_realloc(params->slots, count * sizeof *params->slots);
    params->capacity = count;
}

void dd_mysql_params_free(dd_mysql_params *params) {
    free(params->binds);
    free(params->slots);
    *params = (dd_mysql_params){0};
}

static dd_status set_date(MYSQL_TIME *time, int32_t days) {
    int year, month, day;
    dd_date_from_days(days, &year, &month, &day);
    if (year < 0 || year > 9999) return DD_FAIL;
    time->year = (unsigned)year;
    time->month = (unsigned)month;
    time->day = (unsigned)day;
    return DD_OK;
}

static void set_clock(MYSQL_TIME *time, int64_t microseconds) {
    time->second_part = (unsigned long)(microseconds % 1000000);
    int64_t seconds = microseconds / 1000000;
    time->second = (unsigned)(seconds % 60);
    time->minute = (unsigned)(seconds / 60 % 60);
    time->hour = (unsigned)(seconds / 3600 % 24);
}

static dd_status set_timestamp(MYSQL_TIME *time, int64_t microseconds) {
    int64_t days = microseconds / DD_US_PER_DAY, rest = microseconds % DD_US_PER_DAY;
    if (rest < 0) {
        rest += DD_US_PER_DAY;
        days--;
    }
    if (days < INT32_MIN || days > INT32_MAX || set_date(time, (int32_t)days) != DD_OK)
        return DD_FAIL;
    set_clock(time, rest);
    return DD_OK;
}

/*
 * Not as text: MySQL takes '100:00:00.000000' for the year 100, and then for 00:00:00. But in
 * binary it refuses (with an error) a fraction of a second in the hour 838, which columns hold; see
 * set_late_time.
 */
static dd_status set_time(MYSQL_TIME *time, int64_t microseconds) {
    if (microseconds < -longest_time || microseconds > longest_time) return DD_FAIL;
    time->neg = microseconds < 0;
    if (time->neg) microseconds = -microseconds;
    /* Not every client library turns hours beyond 23 into days. */
    time->day = (unsigned)(microseconds / DD_US_PER_DAY);
    set_clock(time, microseconds);
    return DD_OK;
}

static void set_bytes(MYSQL_BIND *bind, enum enum_field_types type, const void *bytes,
                      size_t length) {
    bind->buffer_type = type;
    bind->buffer = (void *)(uintptr_t)bytes; /* only read, whatever the library's type says */
    bind->buffer_length = length;
    bind->length = NULL; /* then buffer_length counts */
}

/* The form with days is taken for nothing else: 34 days and 22 hours are 838 hours. */
static void set_late_time(MYSQL_BIND *bind, dd_mysql_slot *slot, int64_t microseconds) {
    MYSQL_TIME time = {0};
    bool negative = microseconds < 0;
    set_clock(&time, negative ? -microseconds : microseconds);
    int length = snprintf(slot->text, sizeof slot->text, "%s34 22:%02u:%02u.%06lu",
                          negative ? "-" : "", time.minute, time.second, time.second_part);
    set_bytes(bind, MYSQL_TYPE_STRING, slot->text, (size_t)length);
}

static bool is_late_time(int64_t microseconds) {
    if (microseconds < -longest_time || microseconds > longest_time) return false;
    return (microseconds >= late_time || microseconds <= -late_time) && microseconds % 1000000 != 0;
}

static dd_status set_temporal(MYSQL_BIND *bind, MYSQL_TIME *time, const dd_value *value,
                              const char *what, unsigned number, dd_err *err) {
    if (dd_value_is_raw(value)) {
        set_bytes(bind, MYSQL_TYPE_STRING, value->data, value->length);
        return DD_OK;
    }
    memset(time, 0, sizeof *time);
    bind->buffer = time;
    switch (value->kind) {
    case DD_KIND_DATE: {
        int32_t days = dd_value_date(value);
        bind->buffer_type = MYSQL_TYPE_DATE;
        time->time_type = MYSQL_TIMESTAMP_DATE;
        if (days == DD_DATE_INFINITY || days == DD_DATE_MINUS_INFINITY)
            return dd_fail(err, DD_DATA, "%s %u is an infinite date, which mysql does not have",
                           what, number);
        if (set_date(time, days) != DD_OK)
            return dd_fail(err, DD_DATA, "%s %u is a date outside the years 0 to 9999", what,
                           number);
        return DD_OK;
    }
    case DD_KIND_TIME:
        bind->buffer_type = MYSQL_TYPE_TIME;
        time->time_type = MYSQL_TIMESTAMP_TIME;
        if (set_time(time, dd_value_time(value)) != DD_OK)
            return dd_fail(err, DD_DATA, "%s %u is a time beyond 838:59:59.999999", what, number);
        return DD_OK;
    default: {
        int64_t moment = dd_value_time(value);
        bind->buffer_type = MYSQL_TYPE_DATETIME;
        time->time_type = MYSQL_TIMESTAMP_DATETIME;
        if (moment == DD_TIMESTAMP_INFINITY || moment == DD_TIMESTAMP_MINUS_INFINITY)
            return dd_fail(err, DD_DATA,
                           "%s %u is an infinite timestamp, which mysql does not have", what,
                           number);
        if (set_timestamp(time, moment) != DD_OK)
            return dd_fail(err, DD_DATA, "%s %u is a timestamp outside the years 0 to 9999", what,
                           number);
        return DD_OK;
    }
    }
}

static dd_status set_float(MYSQL_BIND *bind, dd_mysql_slot *slot, const dd_value *value,
                           bool one_zero, const char *what, unsigned number, dd_err *err) {
    bool finite, negative_zero;
    if (value->kind == DD_KIND_FLOAT32) {
        slot->single = dd_value_float32(value);
        finite = isfinite(slot->single);
        negative_zero = slot->single == 0 && signbit(slot->single);
        bind->buffer_type = MYSQL_TYPE_FLOAT;
    } else {
        slot->twice = dd_value_float64(value);
        finite = isfinite(slot->twice);
        negative_zero = slot->twice == 0 && signbit(slot->twice);
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
    }
    bind->buffer = slot;
    if (negative_zero && one_zero)
        return dd_fail(err, DD_DATA, "%s %u is -0, which mariadb stores as 0", what, number);
    if (finite) return DD_OK;
    return dd_fail(err, DD_DATA, "%s %u is NaN or infinite, which mysql does not have", what,
                   number);
}

/* Of the canonical decimals NaN, Infinity and -Infinity are the ones with letters. */
static bool not_a_number(const dd_value *value) {
    uint8_t last = value->length ? value->data[value->length - 1] : '0';
    return last < '0' || last > '9';
}

static void set_uuid(MYSQL_BIND *bind, dd_mysql_slot *slot, const uint8_t *uuid) {
    static const char digits[] = "0123456789abcdef";
    char *at = slot->text;
    for (unsigned i = 0; i < DD_UUID_LENGTH; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
        *at++ = digits[uuid[i] >> 4];
        *at++ = digits[uuid[i] & 15];
    }
    set_bytes(bind, MYSQL_TYPE_STRING, slot->text, sizeof slot->text);
}

/* As an integer: the server takes text and bytes for numbers where it compares them with bits. */
static dd_status set_bits(MYSQL_BIND *bind, dd_mysql_slot *slot, const dd_value *value,
                          const char *what, unsigned number, dd_err *err) {
    if (value->length > 64)
        return dd_fail(err, DD_DATA, "%s %u has %u bits, and mysql's bit has at most 64", what,
                       number, value->length);
    slot->whole = 0;
    for (uint32_t i = 0; i < value->length; i++)
        slot->whole = slot->whole << 1 | (value->data[i] == '1');
    bind->buffer_type = MYSQL_TYPE_LONGLONG;
    bind->is_unsigned = 1;
    bind->buffer = slot;
    return DD_OK;
}

dd_status dd_mysql_params_set(dd_mysql_params *params, unsigned at, const dd_value *value,
                              const char *what, unsigned number, dd_err *err) {
    MYSQL_BIND *bind = &params->binds[at];
    dd_mysql_slot *slot = &params->slots[at];
    memset(bind, 0, sizeof *bind);
    if (!value->data) {
        bind->buffer_type = MYSQL_TYPE_NULL;
        return DD_OK;
    }
    if (dd_value_is_unreadable(value)) {
        dd_unreadable parts = dd_value_unreadable(value);
        return dd_fail(err, DD_DATA, "%s %u: %.*s", what, number, (int)parts.reason_length,
                       parts.reason);
    }
    switch (value->kind) {
    case DD_KIND_BOOL:
        if (!dd_value_is_raw(value)) {
            slot->whole = dd_value_bool(value);
            bind->buffer_type = MYSQL_TYPE_TINY;
            bind->buffer = slot;
            return DD_OK;
        }
        __attribute__((fallthrough)); /* a raw one has the bytes of an integer */
    case DD_KIND_INT: {
        int64_t whole;
        bool is_signed = dd_value_int(value, &whole, &slot->whole);
        bind->is_unsigned = is_signed ? 0 : 1;
        if (is_signed) slot->whole = (uint64_t)whole;
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = slot;
        return DD_OK;
    }
    case DD_KIND_DECIMAL:
        if (not_a_number(value))
            return dd_fail(err, DD_DATA, "%s %u is NaN or infinite, which mysql does not have",
                           what, number);
        set_bytes(bind, MYSQL_TYPE_NEWDECIMAL, value->data, value->length);
        return DD_OK;
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64:
        return set_float(bind, slot, value, params->one_zero, what, number, err);
    case DD_KIND_TEXT:
    case DD_KIND_JSON:
        set_bytes(bind, MYSQL_TYPE_STRING, value->data, value->length);
        return DD_OK;
    case DD_KIND_BYTES:
        set_bytes(bind, MYSQL_TYPE_BLOB, value->data, value->length);
        return DD_OK;
    case DD_KIND_UUID:
        set_uuid(bind, slot, value->data);
        return DD_OK;
    case DD_KIND_BITS:
        return set_bits(bind, slot, value, what, number, err);
    case DD_KIND_TIME:
        if (is_late_time(dd_value_time(value))) {
            set_late_time(bind, slot, dd_value_time(value));
            return DD_OK;
        }
        return set_temporal(bind, &slot->time, value, what, number, err);
    case DD_KIND_DATE:
    case DD_KIND_TIMESTAMP:
        return set_temporal(bind, &slot->time, value, what, number, err);
    case DD_KIND_UNSUPPORTED:
        break;
    }
    return dd_fail(err, DD_INTERNAL, "%s %u has a kind that cannot be bound", what, number);
}
