#ifndef DD_ROW_FIELD_H
#define DD_ROW_FIELD_H

/* Inside of the row layer: one way to write a field, and the widths of the fixed-size kinds. */

#include "row/value.h"

/* Adds a field of `length` bytes that the caller fills in. */
static inline uint8_t *dd_row_add_room(dd_buf *row, uint32_t length) {
    uint8_t *at = dd_buf_reserve(row, (size_t)length + 4);
    memcpy(at, &length, 4);
    row->length += (size_t)length + 4;
    return at + 4;
}

/* An INT's bytes: the sign byte, then two's complement. */
static inline void dd_put_int(uint8_t *at, bool negative, uint64_t bits) {
    at[0] = negative ? 0 : 1;
    dd_put_u64(at + 1, bits);
}

#define DD_INT_LENGTH 9
#define DD_UUID_LENGTH 16

/* One NaN, whatever bits a server sends. */
static inline uint32_t dd_float32_canonical(uint32_t bits) {
    return (bits & 0x7fffffffU) > 0x7f800000U ? 0x7fc00000U : bits;
}
static inline uint64_t dd_float64_canonical(uint64_t bits) {
    return (bits & UINT64_C(0x7fffffffffffffff)) > UINT64_C(0x7ff0000000000000)
               ? UINT64_C(0x7ff8000000000000)
               : bits;
}

/* Unsigned images of signed values whose byte order is the numeric order. */
static inline uint32_t dd_flip32(int32_t v) { return (uint32_t)v ^ UINT32_C(0x80000000); }
static inline uint64_t dd_flip64(int64_t v) { return (uint64_t)v ^ (UINT64_C(1) << 63); }

/* Bytes that a value of the kind always has, or 0 when they vary. */
static inline uint32_t dd_kind_width(dd_kind kind) {
    static const uint8_t widths[128] = {
        [DD_KIND_BOOL] = 1,    [DD_KIND_INT] = DD_INT_LENGTH, [DD_KIND_FLOAT32] = 4,
        [DD_KIND_FLOAT64] = 8, [DD_KIND_DATE] = 4,            [DD_KIND_TIME] = 8,
        [DD_KIND_TIMESTAMP] = 8, [DD_KIND_UUID] = DD_UUID_LENGTH,
    };
    return widths[(unsigned)kind & 127U];
}

#endif
