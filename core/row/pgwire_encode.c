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
    if (dd_value_is_unreadable(value)) {
        dd_unreadable parts = dd_value_unreadable(value);
        return dd_fail(err, DD_DATA, "%.*s", (int)parts.reason_length, parts.reason);
    }
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

/* Room for a length and a value of it; the length is written. */
static inline uint8_t *add_room(dd_buf *out, uint32_t length) {
    uint8_t *at = dd_buf_reserve(out, (size_t)length + 4);
    dd_put_u32(at, length);
    out->length += (size_t)length + 4;
    return at + 4;
}

/*
 * Most values are of these few types, and nothing is to be said against them: they are written in
 * one go. False for all others, which encode_value writes or refuses.
 */
static inline bool encode_plain(uint32_t oid, const dd_value *value, dd_buf *out) {
    const uint8_t *data = value->data;
    const uint32_t length = value->length;
    switch (value->kind) {
    case DD_KIND_INT:
        if (oid != INT8 || length != DD_INT_LENGTH || (data[0] && data[1] >> 7)) return false;
        memcpy(add_room(out, 8), data + 1, 8);
        return true;
    case DD_KIND_BOOL:
        if (oid != BOOL || length != 1) return false;
        *add_room(out, 1) = data[0] != 0;
        return true;
    case DD_KIND_TIMESTAMP: {
        if ((oid != TIMESTAMP && oid != TIMESTAMPTZ) || length != 8) return false;
        const int64_t us = (int64_t)(dd_get_u64(data) ^ UINT64_C(1) << 63);
        if (us < PG_FIRST_US + PG_EPOCH_US || us == DD_TIMESTAMP_INFINITY) return false;
        dd_put_u64(add_room(out, 8), (uint64_t)(us - PG_EPOCH_US));
        return true;
    }
    case DD_KIND_TEXT:
        if (!is_text_type(oid) || length == 0 || length > PG_LONGEST_VALUE ||
            memchr(data, 0, length) || !dd_utf8_valid(data, length))
            return false;
        memcpy(add_room(out, length), data, length);
        return true;
    case DD_KIND_BYTES:
        if (oid != BYTEA || length == 0 || length > PG_LONGEST_VALUE) return false;
        memcpy(add_room(out, length), data, length);
        return true;
    default: return false;
    }
}

dd_status dd_pg_encode(uint32_t oid, const dd_value *value, dd_buf *out, dd_err *err) {
    if (!value->data) {
        dd_buf_add_u32(out, UINT32_MAX);
        return DD_OK;
    }
    if (encode_plain(oid, value, out)) return DD_OK;
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
