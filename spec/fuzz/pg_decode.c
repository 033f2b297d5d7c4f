/*
 * PostgreSQL's binary form of every type, from a server that sends anything. What is accepted is a
 * whole field of the kind, and is the same value after it was written and read again. What cannot be
 * read, but is carried, is written nowhere.
 *
 * Input: a byte that chooses the type, one that chooses the kind, the value.
 */

#include "fuzz.h"

#include "row/convert.h"
#include "row/pgwire.h"
#include "row/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* All that have a kind, and some that have none: point, an array, an enum's. */
static const uint32_t oids[] = {16,   17,   18,   19,   20,   21,   23,   25,   26,   114,
                                600,  700,  701,  705,  1007, 1042, 1043, 1082, 1083, 1114,
                                1184, 1186, 1266, 1560, 1562, 1700, 2950, 3802, 16384};
static const char kinds[] = "bidfgtxDTSjuB";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static dd_buf row, wire, again;
    dd_err err;
    if (size < 2) return 0;
    uint32_t oid = oids[data[0] % COUNT(oids)];
    dd_kind natural = dd_pg_kind(oid);
    dd_kind want = data[1] < 128 && natural != DD_KIND_UNSUPPORTED
                       ? natural
                       : (dd_kind)kinds[data[1] % (sizeof kinds - 1)];
    dd_buf_clear(&row);
    const char kind[] = {(char)want, 0};
    dd_value value;
    if (dd_pg_decode(oid, want, data + 2, size - 2, &row, &err) != DD_OK) {
        REQUIRE(err.class_ == DD_DATA || err.class_ == DD_INTERNAL || err.class_ == DD_SCHEMA);
        dd_buf_clear(&row);
        if (dd_pg_add_unread(oid, want, data + 2, size - 2, &row, &err) != DD_OK) return 0;
        REQUIRE(dd_row_split(row.data, row.length, kind, 1, &value, &err) == DD_OK && value.data);
        dd_buf_clear(&wire);
        dd_json_render(&value, &wire);
        dd_buf_clear(&wire);
        REQUIRE(dd_pg_encode(oid, &value, &wire, &err) != DD_OK);
        return 0;
    }
    REQUIRE(dd_row_split(row.data, row.length, kind, 1, &value, &err) == DD_OK && value.data);
    dd_buf_clear(&wire);
    dd_text_render(&value, &wire);
    dd_buf_clear(&wire);
    if (dd_pg_encode(oid, &value, &wire, &err) != DD_OK) return 0;
    REQUIRE(wire.length >= 4);
    dd_buf_clear(&again);
    REQUIRE(dd_pg_decode(oid, want, wire.data + 4, wire.length - 4, &again, &err) == DD_OK);
    REQUIRE(fuzz_same(&row, &again));
    return 0;
}
