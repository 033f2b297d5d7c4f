#ifndef DD_ROW_RAW_H
#define DD_ROW_RAW_H

/*
 * Raw values: what a server holds in a column of a kind that has no such value. A row may carry them
 * in place of the kind's fixed size, which is how they are told apart:
 *
 *   date, timestamp   the ASCII text of a day that no calendar has: "0000-00-00",
 *                     "2020-00-15 10:00:00", "2020-02-31 10:00:00.000001"
 *   boolean           the 9 bytes of the integer, which is neither 0 nor 1
 *
 * They are read, compared, digested and shown like all others; nothing writes them to a server that
 * does not have them.
 */

#include "row/value.h"

/* True for a value (not NULL) that is not of its kind's own form. */
bool dd_value_is_raw(const dd_value *value);

/* True when the bytes are the one raw form of some value of the kind. */
bool dd_raw_valid(dd_kind kind, const uint8_t *bytes, uint32_t length);

/* The clock is left out for a DATE. The day must not exist (dd_date_exists). Fails with class `data`
 * for numbers that are no part of a date at all. */
DD_MUST_CHECK dd_status dd_row_add_raw_date(dd_buf *row, dd_kind kind, const unsigned day[3],
                                            uint64_t clock_us, dd_err *err);

/* The same from its text, whose fraction may have one to six digits, zeros too. */
DD_MUST_CHECK dd_status dd_row_add_raw_text(dd_buf *row, dd_kind kind, const char *text,
                                            size_t length, dd_err *err);

/* The integer must not be 0 or 1. */
void dd_row_add_raw_bool(dd_buf *row, bool negative, uint64_t bits);

#endif
