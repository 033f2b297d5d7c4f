#ifndef DD_ROW_NUMBER_H
#define DD_ROW_NUMBER_H

/* Inside of the row layer: a decimal number in its text, taken apart and written canonically. */

#include <stdbool.h>

#include "base/buf.h"

/* Views into the text that was scanned. */
typedef struct dd_number {
    bool negative;
    const char *whole;         /* digits before the point, leading zeros included; may be empty */
    size_t whole_length;
    const char *fraction;      /* digits after it; may be empty */
    size_t fraction_length;
    int64_t exponent;          /* stays at +-DD_EXPONENT_SATURATED when the text says more */
} dd_number;

#define DD_EXPONENT_SATURATED INT64_C(1000000000000000)

/*
 * Takes the longest number at the start of the text apart; returns how many bytes it has, 0 when
 * there is none. `json` allows only what RFC 8259 does; else "+1", "007", "1." and ".5" are numbers
 * too.
 */
size_t dd_number_scan(const char *text, size_t length, bool json, dd_number *out);

/* True for an optional sign and digits that name an integer between -2^63 and 2^64-1; `bits` is
 * then its two's complement. */
bool dd_number_integer(const char *text, size_t length, bool *negative, uint64_t *bits);

/* Writes an integer so given in decimal, at most 20 bytes; returns how many. */
unsigned dd_number_put_integer(uint8_t *at, bool negative, uint64_t bits);

bool dd_number_is_zero(const dd_number *number);

/* The exponent of the first significant digit: 2 for 150, -1 for 0.15. Not of zero. */
int64_t dd_number_exponent(const dd_number *number);

/*
 * Appends the canonical text: plain digits, or, when the exponent of the first significant digit is
 * beyond +-plain_limit, one digit, the others after a point, and the exponent ("1.5e-1001").
 */
void dd_number_write(const dd_number *number, int64_t plain_limit, dd_buf *out);

#endif
