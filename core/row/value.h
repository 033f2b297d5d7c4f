#ifndef DD_ROW_VALUE_H
#define DD_ROW_VALUE_H

/*
 * Canonical rows. A row of n columns is n fields one after the other: a 32-bit little-endian length
 * and that many bytes, or DD_NULL_LENGTH and no bytes. It is what is digested, compared, sent to
 * Lua, and written to either server.
 */

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "row/kind.h"

#define DD_NULL_LENGTH UINT32_MAX

/* A view of one value; `data` belongs to someone else. data == NULL means NULL. */
typedef struct dd_value {
    dd_kind kind;
    uint32_t length;
    const uint8_t *data;
} dd_value;

static inline uint32_t dd_field_length(const uint8_t *field) {
    uint32_t length;
    memcpy(&length, field, 4);
    return length; /* little-endian hosts only, checked in value.c */
}

static inline void dd_row_add_null(dd_buf *row) {
    uint32_t length = DD_NULL_LENGTH;
    dd_buf_add(row, &length, 4);
}

static inline void dd_row_add(dd_buf *row, const void *bytes, uint32_t length) {
    uint8_t *at = dd_buf_reserve(row, (size_t)length + 4);
    memcpy(at, &length, 4);
    if (length) memcpy(at + 4, bytes, length);
    row->length += (size_t)length + 4;
}

/*
 * For a value whose length is known only once it is written: begin returns where the field starts,
 * end fills in its length from row->length. end fails with class `data` past 4 GiB.
 */
static inline size_t dd_field_begin(dd_buf *row) {
    size_t at = row->length;
    dd_row_add_null(row);
    return at;
}
DD_MUST_CHECK dd_status dd_field_end(dd_buf *row, size_t at, dd_err *err);

/* Fixed-size values; each adds a whole field. */
void dd_row_add_bool(dd_buf *row, bool value);
void dd_row_add_int(dd_buf *row, int64_t value);
void dd_row_add_uint(dd_buf *row, uint64_t value);
void dd_row_add_float32(dd_buf *row, float value);
void dd_row_add_float64(dd_buf *row, double value);
void dd_row_add_date(dd_buf *row, int32_t days);
void dd_row_add_time(dd_buf *row, int64_t microseconds);
void dd_row_add_timestamp(dd_buf *row, int64_t microseconds);

/* Reading them back; the value must be of that kind and not NULL. */
bool dd_value_bool(const dd_value *value);
/* An INT: returns true and the signed value, or false when it is above 2^63-1 (then *low is the
 * unsigned value). */
bool dd_value_int(const dd_value *value, int64_t *signed_value, uint64_t *low);
float dd_value_float32(const dd_value *value);
double dd_value_float64(const dd_value *value);
int32_t dd_value_date(const dd_value *value);
int64_t dd_value_time(const dd_value *value);      /* also of a TIMESTAMP */

/*
 * Splits a row into `count` views with the kinds given. Fails with class `internal` when the bytes
 * are not exactly that many fields (rows come back from Lua as strings) or a fixed-size value has
 * another size.
 */
DD_MUST_CHECK dd_status dd_row_split(const uint8_t *row, size_t length, const char *kinds,
                                     unsigned count, dd_value *out, dd_err *err);

/* Bytes that the first `count` fields of a row take. The row must be whole. */
size_t dd_row_prefix(const uint8_t *row, unsigned count);

/*
 * Order of two keys, the leading fields of two rows. NULL sorts before everything. Meaningful as
 * the servers' order only for kinds with dd_kind_ordered(); a total order for all.
 */
int dd_key_compare(const uint8_t *a, const uint8_t *b, const char *kinds, unsigned key_columns);

/* XXH3-128 of a canonical row (or of any leading part of it). */
typedef struct dd_digest {
    uint64_t low, high;
} dd_digest;
dd_digest dd_row_digest(const uint8_t *row, size_t length);

#endif
