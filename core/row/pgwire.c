#include "row/pgwire.h"

#include "row/convert.h"
#include "row/decimal.h"
#include "row/field.h"
#include "row/json_canonical.h"
#include "row/number.h"
#include "row/pgwire_types.h"
#include "row/raw.h"
#include "row/temporal.h"
#include "row/text.h"
#include "row/utf8.h"

static const struct {
    uint32_t oid;
    dd_kind kind;
    const char *name;
} types[] = {
    {BOOL, DD_KIND_BOOL, "bool"},
    {BYTEA, DD_KIND_BYTES, "bytea"},
    {CHAR, DD_KIND_TEXT, "\"char\""},
    {NAME, DD_KIND_TEXT, "name"},
    {INT8, DD_KIND_INT, "int8"},
    {INT2, DD_KIND_INT, "int2"},
    {INT4, DD_KIND_INT, "int4"},
    {TEXT, DD_KIND_TEXT, "text"},
    {OID, DD_KIND_INT, "oid"},
    {JSON, DD_KIND_JSON, "json"},
    {FLOAT4, DD_KIND_FLOAT32, "float4"},
    {FLOAT8, DD_KIND_FLOAT64, "float8"},
    {UNKNOWN, DD_KIND_TEXT, "unknown"},
    {BPCHAR, DD_KIND_TEXT, "bpchar"},
    {VARCHAR, DD_KIND_TEXT, "varchar"},
    {DATE, DD_KIND_DATE, "date"},
    {TIME, DD_KIND_TIME, "time"},
    {TIMESTAMP, DD_KIND_TIMESTAMP, "timestamp"},
    {TIMESTAMPTZ, DD_KIND_TIMESTAMP, "timestamptz"},
    {INTERVAL, DD_KIND_TIME, "interval"},
    {TIMETZ, DD_KIND_TIME, "timetz"},
    {BIT, DD_KIND_BITS, "bit"},
    {VARBIT, DD_KIND_BITS, "varbit"},
    {NUMERIC, DD_KIND_DECIMAL, "numeric"},
    {UUID, DD_KIND_UUID, "uuid"},
    {JSONB, DD_KIND_JSON, "jsonb"},
};
#define TYPE_COUNT (sizeof types / sizeof types[0])

dd_kind dd_pg_kind(uint32_t oid) {
    for (unsigned i = 0; i < TYPE_COUNT; i++)
        if (types[i].oid == oid) return types[i].kind;
    return DD_KIND_UNSUPPORTED;
}

const char *dd_pg_type_name(uint32_t oid) {
    for (unsigned i = 0; i < TYPE_COUNT; i++)
        if (types[i].oid == oid) return types[i].name;
    return NULL;
}

/* ---- decode ---- */

static dd_status not_binary(uint32_t oid, size_t length, dd_err *err) {
    return dd_fail(err, DD_INTERNAL, "%zu bytes are not the binary form of %s", length,
                   label_of(oid).text);
}

static void add_integer(dd_buf *row, int64_t v) {
    dd_put_int(dd_row_add_room(row, DD_INT_LENGTH), v < 0, (uint64_t)v);
}

static dd_status add_text(dd_buf *row, const uint8_t *wire, size_t length, dd_err *err) {
    /* A database in SQL_ASCII sends whatever was stored. */
    if (!dd_utf8_valid(wire, length)) return dd_fail(err, DD_DATA, "text is not valid UTF-8");
    if (length >= DD_NULL_LENGTH) return dd_fail(err, DD_DATA, "text is longer than 4 GiB");
    dd_row_add(row, wire, (uint32_t)length);
    return DD_OK;
}

static dd_status decode_date(const uint8_t *wire, dd_buf *row, dd_err *err) {
    int32_t days = (int32_t)dd_get_u32(wire);
    if (days != DD_DATE_INFINITY && days != DD_DATE_MINUS_INFINITY &&
        (__builtin_add_overflow(days, PG_EPOCH_DAYS, &days) || days == DD_DATE_INFINITY))
        return dd_fail(err, DD_DATA, "date out of range");
    dd_put_u32(dd_row_add_room(row, 4), dd_flip32(days));
    return DD_OK;
}

static dd_status decode_timestamp(const uint8_t *wire, dd_buf *row, dd_err *err) {
    int64_t us = (int64_t)dd_get_u64(wire);
    /* The last 29 years of PostgreSQL's range are past 2^63 microseconds since 1970. */
    if (us != DD_TIMESTAMP_INFINITY && us != DD_TIMESTAMP_MINUS_INFINITY &&
        (__builtin_add_overflow(us, PG_EPOCH_US, &us) || us == DD_TIMESTAMP_INFINITY))
        return dd_fail(err, DD_DATA, "timestamp out of range");
    dd_put_u64(dd_row_add_room(row, 8), dd_flip64(us));
    return DD_OK;
}

/* A time of day far from Greenwich is another moment than the same one here. */
static dd_status decode_timetz(const uint8_t *wire, dd_buf *row, dd_err *err) {
    if (dd_get_u32(wire + 8) != 0)
        return dd_fail(err, DD_DATA, "time with a zone other than UTC has no counterpart");
    dd_put_u64(dd_row_add_room(row, 8), dd_flip64((int64_t)dd_get_u64(wire)));
    return DD_OK;
}

/* int64 microseconds, int32 days, int32 months. A month has no length; a day has 24 hours, as the
 * server itself has it when it compares intervals. */
static dd_status decode_interval(const uint8_t *wire, dd_buf *row, dd_err *err) {
    int64_t us = (int64_t)dd_get_u64(wire);
    int64_t days = (int32_t)dd_get_u32(wire + 8);
    if (dd_get_u32(wire + 12) != 0)
        return dd_fail(err, DD_DATA, "interval with months or years is no time");
    if (__builtin_mul_overflow(days, DD_US_PER_DAY, &days) ||
        __builtin_add_overflow(us, days, &us))
        return dd_fail(err, DD_DATA, "interval out of range");
    dd_put_u64(dd_row_add_room(row, 8), dd_flip64(us));
    return DD_OK;
}

/* The number of bits, then the bits, the first one highest; what the last byte has more is zero. */
static bool decode_bits(const uint8_t *wire, size_t length, dd_buf *row) {
    if (length < 4) return false;
    uint32_t count = dd_get_u32(wire);
    if (count > INT32_MAX || length - 4 != ((size_t)count + 7) / 8) return false;
    uint8_t *at = dd_row_add_room(row, count);
    for (uint32_t i = 0; i < count; i++)
        at[i] = (uint8_t)('0' + (wire[4 + i / 8] >> (7 - i % 8) & 1));
    return true;
}

/* Values whose length is known only when they are written. */
static dd_status decode_written(dd_status (*write)(const uint8_t *, size_t, dd_buf *, dd_err *),
                                const uint8_t *wire, size_t length, dd_buf *row, dd_err *err) {
    size_t at = dd_field_begin(row);
    if (write(wire, length, row, err) != DD_OK) {
        row->length = at;
        return DD_FAIL;
    }
    return dd_field_end(row, at, err);
}

static dd_status write_json(const uint8_t *text, size_t length, dd_buf *row, dd_err *err) {
    return dd_json_canonical((const char *)text, length, row, err);
}

/* Adds the field in the type's natural kind, which goes to *natural. */
static dd_status decode_natural(uint32_t oid, dd_kind *natural, const uint8_t *wire,
                                size_t length, dd_buf *row, dd_err *err) {
    switch (oid) {
    case INT4:
        *natural = DD_KIND_INT;
        if (length != 4) break;
        add_integer(row, (int32_t)dd_get_u32(wire));
        return DD_OK;
    case INT8:
        *natural = DD_KIND_INT;
        if (length != 8) break;
        add_integer(row, (int64_t)dd_get_u64(wire));
        return DD_OK;
    case INT2:
        *natural = DD_KIND_INT;
        if (length != 2) break;
        add_integer(row, (int16_t)dd_get_u16(wire));
        return DD_OK;
    case OID:
        *natural = DD_KIND_INT;
        if (length != 4) break;
        add_integer(row, dd_get_u32(wire));
        return DD_OK;
    case TEXT:
    case VARCHAR:
    case NAME:
    case UNKNOWN:
        *natural = DD_KIND_TEXT;
        return add_text(row, wire, length, err);
    case BPCHAR:
        *natural = DD_KIND_TEXT;
        while (length > 0 && wire[length - 1] == ' ') length--;
        return add_text(row, wire, length, err);
    case CHAR:
        /* One byte; a NUL byte is the empty text. */
        *natural = DD_KIND_TEXT;
        if (length != 1) break;
        return add_text(row, wire, wire[0] ? 1 : 0, err);
    case TIMESTAMP:
    case TIMESTAMPTZ:
        *natural = DD_KIND_TIMESTAMP;
        if (length != 8) break;
        return decode_timestamp(wire, row, err);
    case BOOL:
        *natural = DD_KIND_BOOL;
        if (length != 1) break;
        dd_row_add_room(row, 1)[0] = wire[0] ? 1 : 0;
        return DD_OK;
    case FLOAT8:
        *natural = DD_KIND_FLOAT64;
        if (length != 8) break;
        dd_put_u64(dd_row_add_room(row, 8), dd_float64_canonical(dd_get_u64(wire)));
        return DD_OK;
    case FLOAT4:
        *natural = DD_KIND_FLOAT32;
        if (length != 4) break;
        dd_put_u32(dd_row_add_room(row, 4), dd_float32_canonical(dd_get_u32(wire)));
        return DD_OK;
    case NUMERIC:
        *natural = DD_KIND_DECIMAL;
        return decode_written(dd_decimal_from_pg, wire, length, row, err);
    case DATE:
        *natural = DD_KIND_DATE;
        if (length != 4) break;
        return decode_date(wire, row, err);
    case TIME:
        *natural = DD_KIND_TIME;
        if (length != 8) break;
        dd_put_u64(dd_row_add_room(row, 8), dd_flip64((int64_t)dd_get_u64(wire)));
        return DD_OK;
    case TIMETZ:
        *natural = DD_KIND_TIME;
        if (length != 12) break;
        return decode_timetz(wire, row, err);
    case INTERVAL:
        *natural = DD_KIND_TIME;
        if (length != 16) break;
        return decode_interval(wire, row, err);
    case BIT:
    case VARBIT:
        *natural = DD_KIND_BITS;
        if (!decode_bits(wire, length, row)) break;
        return DD_OK;
    case BYTEA:
        *natural = DD_KIND_BYTES;
        if (length >= DD_NULL_LENGTH) break;
        dd_row_add(row, wire, (uint32_t)length);
        return DD_OK;
    case UUID:
        *natural = DD_KIND_UUID;
        if (length != DD_UUID_LENGTH) break;
        memcpy(dd_row_add_room(row, DD_UUID_LENGTH), wire, DD_UUID_LENGTH);
        return DD_OK;
    case JSON:
        *natural = DD_KIND_JSON;
        return decode_written(write_json, wire, length, row, err);
    case JSONB:
        *natural = DD_KIND_JSON;
        if (length < 1 || wire[0] != 1) break;
        return decode_written(write_json, wire + 1, length - 1, row, err);
    default:
        *natural = DD_KIND_UNSUPPORTED;
        return DD_OK;
    }
    return not_binary(oid, length, err);
}

dd_status dd_pg_decode(uint32_t oid, dd_kind want, const uint8_t *wire, size_t length, dd_buf *row,
                       dd_err *err) {
    size_t at = row->length;
    dd_kind natural;
    if (decode_natural(oid, &natural, wire, length, row, err) != DD_OK) return DD_FAIL;
    if (natural == want) return DD_OK;
    if (natural == DD_KIND_UNSUPPORTED && want == DD_KIND_TEXT && oid >= FIRST_NORMAL_OID)
        return add_text(row, wire, length, err);
    if (!dd_convertible(natural, want)) {
        row->length = at;
        return dd_fail(err, DD_SCHEMA, "%s cannot be read as %s", label_of(oid).text,
                       dd_kind_name(want));
    }
    if (dd_convert_field(row, at, natural, want, err) == DD_OK) return DD_OK;
    row->length = at;
    return DD_FAIL;
}
