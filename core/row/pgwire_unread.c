#include "row/field.h"
#include "row/pgwire.h"
#include "row/pgwire_types.h"
#include "row/raw.h"
#include "row/text.h"

/* Values that dd_pg_decode refuses: what they are as text. Rare, so nothing here is quick. */

static void put_hex(const uint8_t *wire, size_t length, dd_buf *out) {
    dd_text_of_unread(&(dd_value){DD_KIND_BYTES, (uint32_t)length, wire}, out);
}

static void put_clock(int64_t microseconds, dd_buf *out) {
    uint8_t bytes[8];
    dd_put_u64(bytes, dd_flip64(microseconds));
    dd_text_render(&(dd_value){DD_KIND_TIME, sizeof bytes, bytes}, out);
}

/* Of the server's last years, whose microseconds since 1970 no int64 has. */
static void put_timestamp(int64_t microseconds, dd_buf *out) {
    int64_t days = microseconds / DD_US_PER_DAY, rest = microseconds % DD_US_PER_DAY;
    if (rest < 0) rest += DD_US_PER_DAY, days--;
    uint8_t bytes[4];
    dd_put_u32(bytes, dd_flip32((int32_t)days + PG_EPOCH_DAYS));
    dd_text_render(&(dd_value){DD_KIND_DATE, sizeof bytes, bytes}, out);
    dd_buf_add_byte(out, ' ');
    put_clock(rest, out);
}

static void put_number(int32_t number, const char *unit, dd_buf *out) {
    uint8_t digits[24];
    uint64_t bits = (uint64_t)(int64_t)number;
    const unsigned count = dd_number_put_integer(digits, number < 0, bits);
    dd_buf_add(out, digits, count);
    dd_buf_add_text(out, unit);
}

static void put_refused(uint32_t oid, const uint8_t *wire, size_t length, dd_buf *out) {
    switch (oid) {
    case TEXT:
    case VARCHAR:
    case BPCHAR:
    case NAME:
    case CHAR:
    case UNKNOWN:
    case JSON: dd_buf_add(out, wire, length); return;
    case JSONB:
        if (length > 0) dd_buf_add(out, wire + 1, length - 1);
        return;
    case TIMESTAMP:
    case TIMESTAMPTZ:
        if (length != 8) break;
        put_timestamp((int64_t)dd_get_u64(wire), out);
        return;
    case TIMETZ:
        if (length != 12) break;
        put_clock((int64_t)dd_get_u64(wire), out);
        put_number((int32_t)dd_get_u32(wire + 8), " seconds west of UTC", out);
        return;
    case INTERVAL:
        if (length != 16) break;
        put_number((int32_t)dd_get_u32(wire + 12), " months ", out);
        put_number((int32_t)dd_get_u32(wire + 8), " days ", out);
        put_clock((int64_t)dd_get_u64(wire), out);
        return;
    default: break;
    }
    put_hex(wire, length, out);
}

static bool is_text(uint32_t oid) {
    return dd_pg_kind(oid) == DD_KIND_TEXT || oid >= FIRST_NORMAL_OID;
}

dd_status dd_pg_add_unread(uint32_t oid, dd_kind want, const uint8_t *wire, size_t length,
                           dd_buf *row, dd_err *err) {
    if (err->class_ != DD_DATA) return DD_FAIL;
    if (want == DD_KIND_TEXT && is_text(oid)) {
        /* Text of another encoding than the database claims; the other server has such texts too. */
        if (length >= DD_NULL_LENGTH) return DD_FAIL;
        dd_row_add(row, wire, (uint32_t)length);
        return DD_OK;
    }
    const dd_kind natural = dd_pg_kind(oid);
    const char kinds[] = {(char)natural, 0};
    dd_buf own = {0};
    dd_value value;
    dd_err ignored;
    dd_status status;
    if (natural != DD_KIND_UNSUPPORTED &&
        dd_pg_decode(oid, natural, wire, length, &own, &ignored) == DD_OK &&
        dd_row_split(own.data, own.length, kinds, 1, &value, &ignored) == DD_OK) {
        status = dd_row_add_unread(row, want, err->message, &value, err);
    } else {
        dd_buf_clear(&own);
        put_refused(oid, wire, length, &own);
        status = dd_row_add_unreadable(row, want, err->message, own.data, own.length, err);
    }
    dd_buf_free(&own);
    return status;
}
