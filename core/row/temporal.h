#ifndef DD_ROW_TEMPORAL_H
#define DD_ROW_TEMPORAL_H

/* The proleptic Gregorian calendar in integers. Year 0 is 1 BC, as in ISO 8601. */

#include <stdbool.h>
#include <stdint.h>

#define DD_US_PER_DAY INT64_C(86400000000)
#define DD_DATE_INFINITY INT32_MAX
#define DD_DATE_MINUS_INFINITY INT32_MIN
#define DD_TIMESTAMP_INFINITY INT64_MAX
#define DD_TIMESTAMP_MINUS_INFINITY INT64_MIN

/* Days since 1970-01-01. The date must be valid. */
int32_t dd_days_from_date(int year, int month, int day);
void dd_date_from_days(int32_t days, int *year, int *month, int *day);
/* True for a day that exists in the calendar (month 1 to 12, day within the month). */
bool dd_date_exists(int year, int month, int day);

#endif
