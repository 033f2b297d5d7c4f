/* What the server would round without a word, not even a warning. */

#include <math.h>

#include "db/mysql_load.h"
#include "row/raw.h"
#include "row/temporal.h"

void dd_mysql_limit_of(dd_mysql_limit *limit, const MYSQL_FIELD *field) {
    *limit = (dd_mysql_limit){.unit = 1};
    switch ((int)field->type) {
    case MYSQL_TYPE_YEAR: limit->year = true; __attribute__((fallthrough));
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG: limit->whole = true; return;
    case MYSQL_TYPE_FLOAT: limit->single = true; return;
    case MYSQL_TYPE_TIME:
    case MYSQL_TYPE_DATETIME:
    case MYSQL_TYPE_TIMESTAMP:
        for (unsigned digits = field->decimals; digits < 6; digits++) limit->unit *= 10;
        return;
    default: return;
    }
}

static bool has_fraction(const dd_value *value) {
    switch (value->kind) {
    case DD_KIND_DECIMAL: return memchr(value->data, '.', value->length) != NULL;
    case DD_KIND_FLOAT32: return truncf(dd_value_float32(value)) != dd_value_float32(value);
    case DD_KIND_FLOAT64: return trunc(dd_value_float64(value)) != dd_value_float64(value);
    default: return false;
    }
}

static bool is_short_year(const dd_value *value) {
    int64_t year;
    uint64_t low;
    return value->kind == DD_KIND_INT && dd_value_int(value, &year, &low) && year > 0 && year < 100;
}

static bool is_finer(const dd_value *value, int64_t unit) {
    if (value->kind != DD_KIND_TIME && value->kind != DD_KIND_TIMESTAMP) return false;
    const int64_t moment = dd_value_time(value);
    if (moment == DD_TIMESTAMP_INFINITY || moment == DD_TIMESTAMP_MINUS_INFINITY) return false;
    return moment % unit != 0;
}

static bool is_double(const dd_value *value) {
    if (value->kind != DD_KIND_FLOAT64) return false;
    const double number = dd_value_float64(value);
    return isfinite(number) && (double)(float)number != number;
}

dd_status dd_mysql_within(const dd_mysql_limit *limit, const dd_value *value, unsigned number,
                          dd_err *err) {
    if (!value->data || dd_value_is_raw(value)) return DD_OK;
    if (limit->whole && has_fraction(value))
        return dd_fail(err, DD_DATA, "column %u has a fraction, which an integer has not", number);
    if (limit->year && is_short_year(value))
        return dd_fail(err, DD_DATA, "column %u is a year of the first century", number);
    if (limit->single && is_double(value))
        return dd_fail(err, DD_DATA, "column %u is not exact in 32 bits", number);
    if (limit->unit > 1 && is_finer(value, limit->unit))
        return dd_fail(err, DD_DATA, "column %u has more digits of a second than its type", number);
    return DD_OK;
}
