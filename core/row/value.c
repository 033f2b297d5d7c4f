#include "row/value.h"

#include <xxhash.h>

#include "row/decimal.h"
#include "row/field.h"
#include "row/raw.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "field lengths and base/buf.h are written for little-endian hosts");
_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE 754 single and double");

dd_status dd_field_end(dd_buf *row, size_t at, dd_err *err) {
    size_t length = row->length - at - 4;
    if (length >= DD_NULL_LENGTH) {
        row->length = at;
        return dd_fail(err, DD_DATA, "value of %zu bytes is longer than 4 GiB", length);
    }
    uint32_t bytes = (uint32_t)length;
    memcpy(row->data + at, &bytes, 4);
    return DD_OK;
}

void dd_row_add_bool(dd_buf *row, bool value) { dd_row_add_room(row, 1)[0] = value ? 1 : 0; }

void dd_row_add_int(dd_buf *row, int64_t value) {
    dd_put_int(dd_row_add_room(row, DD_INT_LENGTH), value < 0, (uint64_t)value);
}

void dd_row_add_uint(dd_buf *row, uint64_t value) {
    dd_put_int(dd_row_add_room(row, DD_INT_LENGTH), false, value);
}

void dd_row_add_float32(dd_buf *row, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    dd_put_u32(dd_row_add_room(row, 4), dd_float32_canonical(bits));
}

void dd_row_add_float64(dd_buf *row, double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    dd_put_u64(dd_row_add_room(row, 8), dd_float64_canonical(bits));
}

void dd_row_add_date(dd_buf *row, int32_t days) {
    dd_put_u32(dd_row_add_room(row, 4), dd_flip32(days));
}

void dd_row_add_time(dd_buf *row, int64_t microseconds) {
    dd_put_u64(dd_row_add_room(row, 8), dd_flip64(microseconds));
}

void dd_row_add_timestamp(dd_buf *row, int64_t microseconds) { dd_row_add_time(row, microseconds); }

bool dd_value_bool(const dd_value *value) { return value->data[0] != 0; }

bool dd_value_int(const dd_value *value, int64_t *signed_value, uint64_t *low) {
    uint64_t bits = dd_get_u64(value->data + 1);
    if (value->data[0] != 0 && bits > (uint64_t)INT64_MAX) {
        *low = bits;
        return false;
    }
    *signed_value = (int64_t)bits;
    return true;
}

float dd_value_float32(const dd_value *value) {
    uint32_t bits = dd_get_u32(value->data);
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

double dd_value_float64(const dd_value *value) {
    uint64_t bits = dd_get_u64(value->data);
    double result;
    memcpy(&result, &bits, 8);
    return result;
}

int32_t dd_value_date(const dd_value *value) {
    return (int32_t)(dd_get_u32(value->data) ^ UINT32_C(0x80000000));
}

int64_t dd_value_time(const dd_value *value) {
    return (int64_t)(dd_get_u64(value->data) ^ (UINT64_C(1) << 63));
}

dd_status dd_row_split(const uint8_t *row, size_t length, const char *kinds, unsigned count,
                       dd_value *out, dd_err *err) {
    const uint8_t *at = row, *end = row + length;
    for (unsigned i = 0; i < count; i++) {
        const dd_kind kind = (dd_kind)kinds[i];
        if (end - at < 4)
            return dd_fail(err, DD_INTERNAL, "row ends before field %u of %u", i + 1, count);
        const uint32_t bytes = dd_field_length(at);
        at += 4;
        if (bytes == DD_NULL_LENGTH) {
            out[i] = (dd_value){.kind = kind};
            continue;
        }
        if (end - at < bytes)
            return dd_fail(err, DD_INTERNAL, "row ends inside field %u of %u", i + 1, count);
        const uint32_t width = dd_kind_width(kind);
        if (width != 0 && width != bytes && !dd_raw_valid(kind, at, bytes))
            return dd_fail(err, DD_INTERNAL, "field %u is %s but has %u bytes, not %u", i + 1,
                           dd_kind_name(kind), bytes, width);
        out[i] = (dd_value){.kind = kind, .length = bytes, .data = at};
        at += bytes;
    }
    if (at != end)
        return dd_fail(err, DD_INTERNAL, "row has %zu bytes after its %u fields",
                       (size_t)(end - at), count);
    return DD_OK;
}

size_t dd_row_prefix(const uint8_t *row, unsigned count) {
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t bytes = dd_field_length(row + at);
        at += 4;
        if (bytes != DD_NULL_LENGTH) at += bytes;
    }
    return at;
}

static int compare_bytes(const uint8_t *a, uint32_t a_length, const uint8_t *b,
                         uint32_t b_length) {
    uint32_t common = a_length < b_length ? a_length : b_length;
    int order = common ? memcmp(a, b, common) : 0;
    if (order != 0) return order;
    return (a_length > b_length) - (a_length < b_length);
}

/* IEEE bits as an unsigned number that grows with the value: -0 just before 0, NaN last. */
static uint64_t float_rank(const uint8_t *data, uint32_t length) {
    if (length == 4) {
        uint32_t bits = dd_get_u32(data);
        return bits >> 31 ? (uint32_t)~bits : bits | UINT32_C(0x80000000);
    }
    uint64_t bits = dd_get_u64(data);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

int dd_key_compare(const uint8_t *a, const uint8_t *b, const char *kinds, unsigned key_columns) {
    for (unsigned i = 0; i < key_columns; i++) {
        uint32_t a_length = dd_field_length(a), b_length = dd_field_length(b);
        bool a_null = a_length == DD_NULL_LENGTH, b_null = b_length == DD_NULL_LENGTH;
        a += 4;
        b += 4;
        if (a_null || b_null) {
            if (a_null != b_null) return a_null ? -1 : 1;
            continue;
        }
        int order;
        dd_kind kind = (dd_kind)kinds[i];
        if (kind == DD_KIND_DECIMAL) {
            order = dd_decimal_compare(a, a_length, b, b_length);
        } else if ((kind == DD_KIND_FLOAT32 || kind == DD_KIND_FLOAT64) && a_length == b_length) {
            uint64_t a_rank = float_rank(a, a_length), b_rank = float_rank(b, b_length);
            order = (a_rank > b_rank) - (a_rank < b_rank);
        } else {
            order = compare_bytes(a, a_length, b, b_length);
        }
        if (order != 0) return order;
        a += a_length;
        b += b_length;
    }
    return 0;
}

dd_digest dd_row_digest(const uint8_t *row, size_t length) {
    XXH128_hash_t hash = XXH3_128bits(row, length);
    return (dd_digest){.low = hash.low64, .high = hash.high64};
}
