#ifndef DD_ROW_RAW_H
#define DD_ROW_RAW_H

/*
 * Raw values: what a server holds in a column of a kind that has no such value. A row may carry them
 * in place of the kind's own form, from which their length or their first byte tells them apart:
 *
 *   date, timestamp   the ASCII text of a day that no calendar has: "0000-00-00",
 *                     "2020-00-15 10:00:00", "2020-02-31 10:00:00.000001"
 *   boolean           the 9 bytes of the integer, which is neither 0 nor 1
 *
 * and, of every kind that not all values of the column's type can be read as (dd_kind_has_unreadable),
 * what could not be read:
 *
 *   unreadable        DD_UNREADABLE_TAG, the length of the reason in one byte, the reason, and the
 *                     value as text: text that is no JSON, a fraction where an integer is wanted
 *
 * The tag is longer than all fixed sizes, and no JSON begins with its byte ff. Raw values are read,
 * compared, digested and shown like all others. Nothing writes them to a server that does not have
 * them, and nothing writes unreadable ones at all.
 */

#include "row/value.h"

/* 17 bytes. */
#define DD_UNREADABLE_TAG "\xff" "unreadable value"

/* True for a value (not NULL) that is not of its kind's own form. */
bool dd_value_is_raw(const dd_value *value);

bool dd_kind_has_unreadable(dd_kind kind);
bool dd_value_is_unreadable(const dd_value *value);

/* The parts of an unreadable value, which they point into. */
typedef struct dd_unreadable {
    const char *reason;      /* lowercase, without the value */
    const uint8_t *text;
    uint32_t reason_length, text_length;
} dd_unreadable;
dd_unreadable dd_value_unreadable(const dd_value *value);

/* Adds one whose kind the column should have. Fails with class `data`, and `reason` for a message,
 * when the kind has none. `reason` may be err->message. */
DD_MUST_CHECK dd_status dd_row_add_unreadable(dd_buf *row, dd_kind kind, const char *reason,
                                              const void *text, size_t length, dd_err *err);

/* The same of a value that another kind has; bytes are shown as hexadecimal digits. */
DD_MUST_CHECK dd_status dd_row_add_unread(dd_buf *row, dd_kind kind, const char *reason,
                                          const dd_value *value, dd_err *err);
void dd_text_of_unread(const dd_value *value, dd_buf *out);

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
