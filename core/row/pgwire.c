#include "row/pgwire.h"

#include "row/convert.h"
#include "row/decimal.h"
#include "row/field.h"
#include "row/json_canonical.h"
#include "row/number.h"
#include "row/raw.h"
#include "row/temporal.h"
#include "row/text.h"
#include "row/utf8.h"

/* catalog/pg_type.dat */
enum {
    BOOL = 16,
    BYTEA = 17,
    CHAR = 18,
    NAME = 19,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    TEXT = 25,
    OID = 26,
    JSON = 114,
    FLOAT4 = 700,
    FLOAT8 = 701,
    UNKNOWN = 705,
    BPCHAR = 1042,
    VARCHAR = 1043,
    DATE = 1082,
    TIME = 1083,
    TIMESTAMP = 1114,
    TIMESTAMPTZ = 1184,
    INTERVAL = 1186,
    TIMETZ = 1266,
    BIT = 1560,
    VARBIT = 1562,
    NUMERIC = 1700,
    UUID = 2950,
    JSONB = 3802
};

/* OIDs below this one are made by initdb, so none of them is an enum, and their binary form is not
 * text. access/transam.h */
#define FIRST_NORMAL_OID 16384

/* 2000-01-01, the beginning of PostgreSQL's days and microseconds. */
#define PG_EPOCH_DAYS 10957
#define PG_EPOCH_US (PG_EPOCH_DAYS * DD_US_PER_DAY)

/* datatype/timestamp.h: first day (Julian day 0), end of days, first microsecond. */
#define PG_FIRST_DAY INT64_C(-2451545)
#define PG_END_DAY (INT64_C(2147483494) - 2451545)
#define PG_FIRST_US INT64_C(-211813488000000000)

/* What fits into one allocation of the server (MaxAllocSize), its header included. */
#define PG_LONGEST_VALUE (0x3fffffffU - 8)
#define PG_LONGEST_NAME 63
#define PG_LONGEST_WHOLE 131072   /* digits of a numeric before the point */
#define PG_LONGEST_FRACTION 16383 /* and after it */

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

/* For messages; a type without a name is called by its number. */
typedef struct type_label {
    char text[24];
} type_label;

static type_label label_of(uint32_t oid) {
    type_label label = {{0}};
    const char *name = dd_pg_type_name(oid);
    if (name) {
        memcpy(label.text, name, strlen(name));
    } else {
        memcpy(label.text, "type ", 5);
        dd_number_put_integer((uint8_t *)label.text + 5, false, oid);
    }
    return label;
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

/* ---- encode ---- */

static dd_status no_such_column(uint32_t oid, dd_kind kind, dd_err *err) {
    return dd_fail(err, DD_SCHEMA, "%s cannot be written to %s", dd_kind_name(kind),
                   label_of(oid).text);
}

static dd_status out_of_range(uint32_t oid, dd_kind kind, dd_err *err) {
    return dd_fail(err, DD_DATA, "%s out of range for %s", dd_kind_name(kind), label_of(oid).text);
}

static bool is_integer_type(uint32_t oid) {
    return oid == INT2 || oid == INT4 || oid == INT8 || oid == OID;
}

/* `kind` is what the integer was, for messages. */
static dd_status encode_integer(uint32_t oid, dd_kind kind, bool negative, uint64_t bits,
                                dd_buf *out, dd_err *err) {
    int64_t v = (int64_t)bits;
    bool fits = negative || bits <= (uint64_t)INT64_MAX;
    switch (oid) {
    case INT2:
        if (!fits || v < INT16_MIN || v > INT16_MAX) return out_of_range(oid, kind, err);
        dd_buf_add_u16(out, (uint16_t)v);
        return DD_OK;
    case INT4:
        if (!fits || v < INT32_MIN || v > INT32_MAX) return out_of_range(oid, kind, err);
        dd_buf_add_u32(out, (uint32_t)v);
        return DD_OK;
    case INT8:
        if (!fits) return out_of_range(oid, kind, err);
        dd_buf_add_u64(out, bits);
        return DD_OK;
    case OID:
        if (negative || bits > UINT32_MAX) return out_of_range(oid, kind, err);
        dd_buf_add_u32(out, (uint32_t)bits);
        return DD_OK;
    case BOOL:
        if (bits > 1) return out_of_range(oid, kind, err);
        dd_buf_add_byte(out, (uint8_t)bits);
        return DD_OK;
    case NUMERIC: {
        uint8_t digits[24];
        return dd_decimal_to_pg(digits, dd_number_put_integer(digits, negative, bits), out, err);
    }
    default: return no_such_column(oid, kind, err);
    }
}

static dd_status encode_decimal(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (oid == NUMERIC) return dd_decimal_to_pg(value->data, value->length, out, err);
    if (!is_integer_type(oid)) return no_such_column(oid, value->kind, err);
    bool negative;
    uint64_t bits;
    if (!dd_number_integer((const char *)value->data, value->length, &negative, &bits))
        return out_of_range(oid, value->kind, err);
    return encode_integer(oid, value->kind, negative, bits, out, err);
}

static dd_status encode_float(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (oid != FLOAT4 && oid != FLOAT8) return no_such_column(oid, value->kind, err);
    bool single = value->kind == DD_KIND_FLOAT32;
    if (single == (oid == FLOAT4)) {
        dd_buf_add(out, value->data, value->length);
        return DD_OK;
    }
    if (single) {
        double wide = (double)dd_value_float32(value);
        uint64_t bits;
        memcpy(&bits, &wide, 8);
        dd_buf_add_u64(out, dd_float64_canonical(bits));
        return DD_OK;
    }
    double wide = dd_value_float64(value);
    float narrow = (float)wide;
    if (wide == wide && (double)narrow != wide)
        return dd_fail(err, DD_DATA, "float64 is not exact in float4");
    uint32_t bits;
    memcpy(&bits, &narrow, 4);
    dd_buf_add_u32(out, dd_float32_canonical(bits));
    return DD_OK;
}

static bool is_text_type(uint32_t oid) { return oid == TEXT || oid == VARCHAR || oid == BPCHAR; }

/* Why jsonb refuses a number, given in JSON's own form: it keeps numbers as numeric. */
static bool number_fits_numeric(const dd_number *number) {
    int64_t whole = (int64_t)number->whole_length + number->exponent;
    int64_t fraction = (int64_t)number->fraction_length - number->exponent;
    return whole <= PG_LONGEST_WHOLE && fraction <= PG_LONGEST_FRACTION;
}

/* Looks for what json allows and jsonb does not. */
static dd_status check_jsonb(const uint8_t *text, uint32_t length, dd_err *err) {
    bool inside = false;
    for (uint32_t i = 0; i < length; i++) {
        uint8_t c = text[i];
        if (inside && c == '\\') {
            if (length - i >= 6 && memcmp(text + i + 1, "u0000", 5) == 0)
                return dd_fail(err, DD_DATA, "json with a NUL character cannot be stored as jsonb");
            i++;
        } else if (c == '"') {
            inside = !inside;
        } else if (!inside && (c == '-' || (c >= '0' && c <= '9'))) {
            dd_number number;
            size_t used = dd_number_scan((const char *)text + i, length - i, true, &number);
            if (used == 0) continue;
            if (!number_fits_numeric(&number))
                return dd_fail(err, DD_DATA, "json number out of range for jsonb");
            i += (uint32_t)used - 1;
        }
    }
    return DD_OK;
}

static dd_status encode_jsonb(const dd_value *value, dd_buf *out, dd_err *err) {
    if (check_jsonb(value->data, value->length, err) != DD_OK) return DD_FAIL;
    dd_buf_add_byte(out, 1);
    dd_buf_add(out, value->data, value->length);
    return DD_OK;
}

static dd_status encode_text(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    bool known = is_text_type(oid) || oid == NAME || oid == CHAR || oid == UNKNOWN ||
                 oid == JSON || oid == JSONB;
    if (!known && oid < FIRST_NORMAL_OID) return no_such_column(oid, value->kind, err);
    if (value->length > 0 && memchr(value->data, 0, value->length))
        return dd_fail(err, DD_DATA, "text with a NUL byte cannot be stored as %s",
                       label_of(oid).text);
    if (!dd_utf8_valid(value->data, value->length))
        return dd_fail(err, DD_DATA, "text is not valid UTF-8");
    if (oid == NAME && value->length > PG_LONGEST_NAME) return out_of_range(oid, value->kind, err);
    if (oid == JSONB) return encode_jsonb(value, out, err);
    if (oid == CHAR) {
        if (value->length > 1) return out_of_range(oid, value->kind, err);
        dd_buf_add_byte(out, value->length ? value->data[0] : 0);
        return DD_OK;
    }
    dd_buf_add(out, value->data, value->length);
    return DD_OK;
}

static dd_status encode_date(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (oid != DATE) return no_such_column(oid, value->kind, err);
    int64_t days = dd_value_date(value);
    if (days != DD_DATE_INFINITY && days != DD_DATE_MINUS_INFINITY) {
        days -= PG_EPOCH_DAYS;
        if (days < PG_FIRST_DAY || days >= PG_END_DAY) return out_of_range(oid, value->kind, err);
    }
    dd_buf_add_u32(out, (uint32_t)days);
    return DD_OK;
}

static dd_status encode_time(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    int64_t us = dd_value_time(value);
    if (oid == INTERVAL) {
        dd_buf_add_u64(out, (uint64_t)us);
        dd_buf_add_u64(out, 0); /* days, months */
        return DD_OK;
    }
    if (oid != TIME && oid != TIMETZ) return no_such_column(oid, value->kind, err);
    if (us < 0 || us > DD_US_PER_DAY) return out_of_range(oid, value->kind, err);
    dd_buf_add_u64(out, (uint64_t)us);
    if (oid == TIMETZ) dd_buf_add_u32(out, 0);
    return DD_OK;
}

static dd_status encode_timestamp(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (oid != TIMESTAMP && oid != TIMESTAMPTZ) return no_such_column(oid, value->kind, err);
    int64_t us = dd_value_time(value);
    if (us != DD_TIMESTAMP_INFINITY && us != DD_TIMESTAMP_MINUS_INFINITY) {
        /* The end of PostgreSQL's range lies beyond ours. */
        if (us < PG_FIRST_US + PG_EPOCH_US) return out_of_range(oid, value->kind, err);
        us -= PG_EPOCH_US;
    }
    dd_buf_add_u64(out, (uint64_t)us);
    return DD_OK;
}

static dd_status encode_json(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (oid == JSONB) return encode_jsonb(value, out, err);
    if (oid != JSON && !is_text_type(oid)) return no_such_column(oid, value->kind, err);
    dd_buf_add(out, value->data, value->length);
    return DD_OK;
}

static dd_status encode_uuid(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (oid == UUID) dd_buf_add(out, value->data, value->length);
    else if (is_text_type(oid)) dd_text_render(value, out);
    else return no_such_column(oid, value->kind, err);
    return DD_OK;
}

static dd_status refuse_raw(const dd_value *value, dd_err *err) {
    char text[40] = "";
    if (value->kind == DD_KIND_BOOL)
        return dd_fail(err, DD_DATA, "integer other than 0 and 1 is not a boolean");
    memcpy(text, value->data, value->length < sizeof text ? value->length : sizeof text - 1);
    return dd_fail(err, DD_DATA, "%s is not a date", text);
}

static dd_status encode_bits(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (oid == BOOL) {
        if (value->length != 1) return out_of_range(oid, value->kind, err);
        dd_buf_add_byte(out, value->data[0] == '1');
        return DD_OK;
    }
    if (oid != BIT && oid != VARBIT) return no_such_column(oid, value->kind, err);
    size_t bytes = ((size_t)value->length + 7) / 8;
    dd_buf_add_u32(out, value->length);
    uint8_t *at = dd_buf_reserve(out, bytes);
    memset(at, 0, bytes);
    for (uint32_t i = 0; i < value->length; i++)
        if (value->data[i] == '1') at[i / 8] = (uint8_t)(at[i / 8] | 0x80U >> i % 8);
    out->length += bytes;
    return DD_OK;
}

static dd_status encode_bytes(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (oid == UUID && value->length != DD_UUID_LENGTH) return out_of_range(oid, value->kind, err);
    if (oid != BYTEA && oid != UUID) return no_such_column(oid, value->kind, err);
    dd_buf_add(out, value->data, value->length);
    return DD_OK;
}

static dd_status encode_value(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (dd_value_is_raw(value)) return refuse_raw(value, err);
    switch (value->kind) {
    case DD_KIND_INT:
        return encode_integer(oid, value->kind, value->data[0] == 0, dd_get_u64(value->data + 1),
                              out, err);
    case DD_KIND_BOOL:
        if (oid == BIT || oid == VARBIT) {
            dd_buf_add_u32(out, 1);
            dd_buf_add_byte(out, dd_value_bool(value) ? 0x80 : 0);
            return DD_OK;
        }
        if (oid != BOOL && !is_integer_type(oid)) break;
        return encode_integer(oid, value->kind, false, dd_value_bool(value), out, err);
    case DD_KIND_DECIMAL: return encode_decimal(oid, value, out, err);
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64: return encode_float(oid, value, out, err);
    case DD_KIND_TEXT: return encode_text(oid, value, out, err);
    case DD_KIND_BYTES: return encode_bytes(oid, value, out, err);
    case DD_KIND_BITS: return encode_bits(oid, value, out, err);
    case DD_KIND_DATE: return encode_date(oid, value, out, err);
    case DD_KIND_TIME: return encode_time(oid, value, out, err);
    case DD_KIND_TIMESTAMP: return encode_timestamp(oid, value, out, err);
    case DD_KIND_JSON: return encode_json(oid, value, out, err);
    case DD_KIND_UUID: return encode_uuid(oid, value, out, err);
    case DD_KIND_UNSUPPORTED: break;
    }
    return no_such_column(oid, value->kind, err);
}

dd_status dd_pg_encode(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (!value->data) {
        dd_buf_add_u32(out, UINT32_MAX);
        return DD_OK;
    }
    size_t at = out->length;
    dd_buf_add_u32(out, 0);
    dd_status status = encode_value(oid, value, out, err);
    size_t length = out->length - at - 4;
    if (status == DD_OK && length > PG_LONGEST_VALUE)
        status = dd_fail(err, DD_DATA, "%s of %zu bytes is too long for %s",
                         dd_kind_name(value->kind), length, label_of(oid).text);
    if (status == DD_OK) dd_put_u32(out->data + at, (uint32_t)length);
    else out->length = at;
    return status;
}
