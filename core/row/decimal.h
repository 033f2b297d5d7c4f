#ifndef DD_ROW_DECIMAL_H
#define DD_ROW_DECIMAL_H

/* Decimals as text, never through binary floating point. */

#include "base/buf.h"
#include "base/error.h"

/*
 * Appends the canonical text of a decimal number: optional sign, digits with an optional point,
 * optional exponent (at most +-100000). Also NaN, Infinity, -Infinity in any case. Fails with class
 * `data` on anything else.
 */
DD_MUST_CHECK dd_status dd_decimal_canonical(const char *text, size_t length, dd_buf *out,
                                             dd_err *err);

/* Numeric order of two canonical decimals: <0, 0, >0. -Infinity < numbers < Infinity < NaN. */
int dd_decimal_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);

/*
 * PostgreSQL's binary numeric (int16 ndigits, weight, sign, dscale, then base-10000 digits; src
 * backend/utils/adt/numeric.c, numeric_send) to canonical text and back.
 */
DD_MUST_CHECK dd_status dd_decimal_from_pg(const uint8_t *wire, size_t length, dd_buf *out,
                                           dd_err *err);
DD_MUST_CHECK dd_status dd_decimal_to_pg(const uint8_t *text, size_t length, dd_buf *out,
                                         dd_err *err);

#endif
