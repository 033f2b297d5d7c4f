#ifndef DD_ROW_KIND_H
#define DD_ROW_KIND_H

/*
 * The kinds of canonical values: what a value *is*, whichever server it came from. The letters are
 * the kind's short name; a string of them ("it?"...) describes the columns of a row, in C and in
 * Lua. The bytes of each kind are fixed by CANONICAL.md; change them only with its version.
 */

#include <stdbool.h>

#define DD_CANONICAL_VERSION 1

typedef enum {
    DD_KIND_BOOL = 'b',      /* 1 byte, 0 or 1 */
    DD_KIND_INT = 'i',       /* -2^63 .. 2^64-1: sign byte (0 negative, 1 not), 8 bytes big-endian
                                two's complement; memcmp order is numeric order */
    DD_KIND_DECIMAL = 'd',   /* ASCII: -?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?, never "-0";
                                or NaN, Infinity, -Infinity */
    DD_KIND_FLOAT32 = 'f',   /* IEEE 754 bits, 4 bytes big-endian; one NaN (0x7fc00000) */
    DD_KIND_FLOAT64 = 'g',   /* IEEE 754 bits, 8 bytes big-endian; one NaN (0x7ff8000000000000) */
    DD_KIND_TEXT = 't',      /* UTF-8 */
    DD_KIND_BYTES = 'x',     /* as they are */
    DD_KIND_DATE = 'D',      /* days since 1970-01-01, int32 big-endian with the sign bit flipped */
    DD_KIND_TIME = 'T',      /* microseconds, may be negative or beyond a day; int64 big-endian,
                                sign bit flipped */
    DD_KIND_TIMESTAMP = 'S', /* microseconds since 1970-01-01 00:00 UTC; int64 big-endian, sign bit
                                flipped */
    DD_KIND_JSON = 'j',      /* canonical JSON text, see json_canonical.h */
    DD_KIND_UUID = 'u',      /* 16 bytes */
    DD_KIND_BITS = 'B',      /* ASCII 0 and 1, one for each bit, most significant first */
    DD_KIND_UNSUPPORTED = '!'
} dd_kind;

/* "integer", "decimal", ... as messages say it. */
const char *dd_kind_name(dd_kind kind);
/* True for the letters above, DD_KIND_UNSUPPORTED excepted. */
bool dd_kind_valid(char letter);
/*
 * True when both servers' ORDER BY on a column of this kind is the order of dd_key_compare, so that
 * a key made of such columns can be read in chunks. Text is never so: collations differ.
 */
bool dd_kind_ordered(dd_kind kind);

#endif
