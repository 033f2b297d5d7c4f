/* PostgreSQL's binary forms, both ways. The bytes of the natural forms are what a server sent; those of
 * errors and one-way cases were written by hand after its sources. */

#include "row/convert.h"
#include "row/decimal.h"
#include "row/pgwire.h"
#include "row/temporal.h"
#include "row/text.h"
#include "support/check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static dd_buf row, wire, out;
static dd_err err;

static const struct { uint32_t oid; const char *name; char kind; } types[] = {
    {16, "bool", 'b'},        {17, "bytea", 'x'},     {18, "\"char\"", 't'},
    {19, "name", 't'},        {20, "int8", 'i'},      {21, "int2", 'i'},
    {23, "int4", 'i'},        {25, "text", 't'},      {26, "oid", 'i'},
    {114, "json", 'j'},       {700, "float4", 'f'},   {701, "float8", 'g'},
    {705, "unknown", 't'},    {1042, "bpchar", 't'},  {1043, "varchar", 't'},
    {1082, "date", 'D'},      {1083, "time", 'T'},    {1114, "timestamp", 'S'},
    {1184, "timestamptz", 'S'}, {1700, "numeric", 'd'}, {2950, "uuid", 'u'},
    {3802, "jsonb", 'j'},    {1186, "interval", 'T'}, {1266, "timetz", 'T'},
    {1560, "bit", 'B'},      {1562, "varbit", 'B'},
};

static uint32_t oid_of(const char *name) {
    for (size_t i = 0; i < COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0) return types[i].oid;
    return (uint32_t)strtoul(name, NULL, 10);
}

/* From a copy of exactly this length, so that a sanitizer sees a read past it. */
static dd_status decode(uint32_t oid, dd_kind want, const uint8_t *bytes, size_t length) {
    uint8_t *copy = dd_alloc(length);
    if (length) memcpy(copy, bytes, length);
    dd_buf_clear(&row);
    dd_status status = dd_pg_decode(oid, want, copy, length, &row, &err);
    free(copy);
    if (status != DD_OK) CHECK(row.length == 0);
    return status;
}

/* The text of the only field of `row`, NUL-terminated. */
static const char *row_text(dd_kind kind) {
    dd_value value;
    char kinds[2] = {(char)kind, 0};
    if (dd_row_split(row.data, row.length, kinds, 1, &value, &err) != DD_OK) return err.message;
    dd_buf_clear(&out);
    if (value.data) dd_text_render(&value, &out);
    else dd_buf_add_text(&out, "null");
    *dd_buf_reserve(&out, 1) = 0;
    return (const char *)out.data;
}

/* Encodes `text` of the given kind; the bytes, without their length, are in `wire`. */
static dd_status encode(uint32_t oid, dd_kind kind, const char *text) {
    dd_value value;
    char kinds[2] = {(char)kind, 0};
    dd_buf_clear(&row);
    dd_buf_clear(&wire);
    if (dd_text_parse(kind, text, strlen(text), &row, &err) != DD_OK) return DD_FAIL;
    if (dd_row_split(row.data, row.length, kinds, 1, &value, &err) != DD_OK) return DD_FAIL;
    if (dd_pg_encode(oid, &value, &wire, &err) != DD_OK) {
        CHECK(wire.length == 0);
        return DD_FAIL;
    }
    CHECK(wire.length >= 4 && dd_get_u32(wire.data) == wire.length - 4);
    memmove(wire.data, wire.data + 4, wire.length -= 4);
    return DD_OK;
}

static size_t from_hex(const char *hex, uint8_t *bytes) {
    size_t length = strlen(hex) / 2;
    for (size_t i = 0; i < length; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return length;
}

static void every_type_has_its_natural_kind_and_others_have_none(void) {
    for (size_t i = 0; i < COUNT(types); i++) {
        CHECK(dd_pg_kind(types[i].oid) == (dd_kind)types[i].kind);
        CHECK(strcmp(dd_pg_type_name(types[i].oid), types[i].name) == 0);
    }
    static const uint32_t others[] = {0, 142, 600, 790, 1007, 1187, 869, 2278, 16385, UINT32_MAX};
    for (size_t i = 0; i < COUNT(others); i++) {
        CHECK(dd_pg_kind(others[i]) == DD_KIND_UNSUPPORTED && !dd_pg_type_name(others[i]));
        CHECK((decode(others[i], DD_KIND_TEXT, (const uint8_t *)"red", 3) == DD_OK) ==
              (others[i] >= 16384));
        CHECK(decode(others[i], DD_KIND_INT, (const uint8_t *)"redd", 4) != DD_OK);
        CHECK(err.class_ == DD_SCHEMA);
    }
    CHECK(decode(16385, DD_KIND_TEXT, (const uint8_t *)"red", 3) == DD_OK);
    CHECK_TEXT(row_text(DD_KIND_TEXT), row.length - 4, "red");
}

static void the_servers_bytes_and_the_canonical_value_turn_into_each_other(void) {
    static const struct { const char *type; char kind; const char *hex, *text; } cases[] = {
        {"bool", 'b', "01", "true"}, {"bool", 'i', "00", "0"}, {"int2", 'i', "8000", "-32768"},
        {"int2", 'i', "7fff", "32767"}, {"int2", 'b', "0001", "true"},
        {"int4", 'i', "ffffffff", "-1"}, {"int4", 'd', "80000000", "-2147483648"},
        {"int8", 'i', "8000000000000000", "-9223372036854775808"},
        {"int8", 'i', "7fffffffffffffff", "9223372036854775807"},
        {"interval", 'T', "00000000000f424000000000" "00000000", "00:00:01"},
        {"interval", 'T', "0000000000000000" "00000000" "00000000", "00:00:00"},
        {"interval", 'T', "fffffd40c2218401" "00000000" "00000000", "-838:59:59.999999"},
        {"timetz", 'T', "000000141dd75fff" "00000000", "23:59:59.999999"},
        {"bit", 'B', "00000001" "80", "1"}, {"bit", 'B', "0000000a" "0040", "0000000001"},
        {"varbit", 'B', "00000000", ""}, {"varbit", 'B', "00000008" "a5", "10100101"},
        {"bit", 'b', "00000001" "00", "false"}, {"bool", 'B', "01", "1"},
        {"uuid", 'x', "61626364656667686162636465666768", "abcdefghabcdefgh"},
        {"oid", 'i', "ffffffff", "4294967295"}, {"float4", 'f', "3dcccccd", "0.1"},
        {"float4", 'f', "7fc00000", "NaN"}, {"float4", 'f', "80000000", "-0"},
        {"float4", 'f', "00000001", "1e-45"}, {"float8", 'g', "3fb999999999999a", "0.1"},
        {"float8", 'g', "fff0000000000000", "-Infinity"},
        {"float8", 'g', "0000000000000001", "5e-324"}, {"float8", 'g', "7ff8000000000000", "NaN"},
        {"numeric", 'd', "0000000000000000", "0"}, {"numeric", 'd', "00010000000000000001", "1"},
        {"numeric", 'd', "00010000400000000001", "-1"},
        {"numeric", 'd', "00010001000000000001", "10000"},
        {"numeric", 'd', "0001ffff000000041388", "0.5000"},
        {"numeric", 'd', "0001fffe000000080001", "0.00000001"},
        {"numeric", 'd', "0002000000000002007b1194", "123.45"},
        {"numeric", 'd', "000200010000000000010002", "10002"},
        {"numeric", 'd', "00030001400000010001000003e8", "-10000.1"},
        {"numeric", 'i', "000500040000000007341a5802e103bb064f", "18446744073709551615"},
        {"numeric", 'd', "00000000c0000000", "NaN"}, {"text", 't', "", ""},
        {"text", 't', "c3a9", "\xc3\xa9"}, {"varchar", 't', "6120", "a "},
        {"bpchar", 't', "2061", " a"}, {"name", 't', "78", "x"}, {"\"char\"", 't', "61", "a"},
        {"\"char\"", 't', "00", ""}, {"unknown", 't', "61", "a"}, {"bytea", 'x', "6869", "hi"},
        {"date", 'D', "00000000", "2000-01-01"}, {"date", 'D', "ffffd533", "1970-01-01"},
        {"date", 'D', "002c95d3", "9999-12-31"}, {"date", 'D', "fff4dbf9", "0001-01-01"},
        {"date", 'D', "ffda97a7", "-4713-11-24"}, {"date", 'D', "7fda970c", "5874897-12-31"},
        {"date", 'D', "7fffffff", "infinity"}, {"date", 'D', "80000000", "-infinity"},
        {"time", 'T', "0000000000000000", "00:00:00"},
        {"time", 'T', "000000141dd76000", "24:00:00"},
        {"time", 'T', "000000141dd75fff", "23:59:59.999999"},
        {"timestamp", 'S', "0000000000000000", "2000-01-01 00:00:00"},
        {"timestamp", 'S', "ffffffffffffffff", "1999-12-31 23:59:59.999999"},
        {"timestamptz", 'S', "fffca2fec4c82000", "1970-01-01 00:00:00"},
        {"timestamp", 'S', "0380e70b913b7fff", "9999-12-31 23:59:59.999999"},
        {"timestamp", 'S', "fd0f7cc1411fa000", "-4713-11-24 00:00:00"},
        {"timestamp", 'S', "7fffffffffffffff", "infinity"},
        {"timestamptz", 'S', "8000000000000000", "-infinity"},
        {"uuid", 'u', "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {"json", 'j', "7b2261223a317d", "{\"a\":1}"},
        {"jsonb", 'j', "017b2261223a317d", "{\"a\":1}"}, {"text", 'j', "5b315d", "[1]"},
        {"16385", 't', "726564", "red"},
    };
    uint8_t bytes[64];
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t oid = oid_of(cases[i].type);
        dd_kind kind = (dd_kind)cases[i].kind;
        size_t length = from_hex(cases[i].hex, bytes);
        const char *text = cases[i].text;
        if (strcmp(text, "0.5000") == 0) text = "0.5"; /* the server's zeros are not the value's */
        const char *got = decode(oid, kind, bytes, length) == DD_OK ? row_text(kind) : err.message;
        CHECK_MESSAGE(strcmp(got, text) == 0, "%s %s is '%s', not '%s'", cases[i].type,
                      cases[i].hex, got, text);
        if (strcmp(text, "0.5") == 0) continue;
        if (encode(oid, kind, cases[i].text) != DD_OK)
            CHECK_MESSAGE(false, "%s %s: %s", cases[i].type, cases[i].text, err.message);
        else
            CHECK_MESSAGE(wire.length == length && memcmp(wire.data, bytes, length) == 0,
                          "%s %s gives other bytes", cases[i].type, cases[i].text);
    }
}

static void decoding_makes_one_value_of_what_means_the_same(void) {
    static const struct { const char *type; char want; const char *hex, *text; } cases[] = {
        {"interval", 'T', "0000000000000001" "00000022" "00000000", "816:00:00.000001"},
        {"bpchar", 't', "61202020", "a"}, {"bpchar", 't', "2020", ""}, {"bool", 'b', "05", "true"},
        {"float4", 'f', "ffc00123", "NaN"}, {"float8", 'g', "7ff0000000000001", "NaN"},
        {"numeric", 'd', "0001000000000006" "0001", "1"}, {"numeric", 'd', "0000000040000002", "0"},
        {"numeric", 'd', "000200010000000000000007", "7"}, /* a leading zero group */
        {"numeric", 'd', "00020000000000040007" "0000", "7"},
        {"json", 'j', "7b2262223a312e302c2261223a317d", "{\"a\":1,\"b\":1}"},
        {"numeric", 'd', "00000000d0000020", "Infinity"},
        {"numeric", 'd', "00000000f0000020", "-Infinity"},
        {"json", 't', "5b20315d", "[1]"}, {"float4", 'g', "3dcccccd", "0.10000000149011612"},
        {"uuid", 't', "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {"bpchar", 'u', "613065656263393939633062346566386262366436626239626433383061313120",
         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
    };
    uint8_t bytes[64];
    for (size_t i = 0; i < COUNT(cases); i++) {
        dd_kind want = (dd_kind)cases[i].want;
        size_t length = from_hex(cases[i].hex, bytes);
        bool ok = decode(oid_of(cases[i].type), want, bytes, length) == DD_OK;
        const char *got = ok ? row_text(want) : err.message;
        CHECK_MESSAGE(strcmp(got, cases[i].text) == 0, "%s %s is '%s'", cases[i].type,
                      cases[i].hex, got);
    }
}

static void values_that_cannot_be_represented_are_refused_by_class(void) {
    static const struct { const char *type; char want; const char *hex, *class_; } decodes[] = {
        {"int4", 'b', "00000002", "data"}, {"int4", 'j', "00000002", "schema"},
        {"int4", 't', "00000002", "schema"}, {"numeric", 'i', "0001ffff000000041388", "data"},
        {"float8", 'f', "3fb999999999999a", "schema"}, {"text", 't', "ff", "data"},
        {"interval", 'T', "0000000000000000" "00000000" "00000001", "data"},
        {"interval", 'T', "7fffffffffffffff" "7fffffff" "00000000", "data"},
        {"interval", 'T', "00000000000000000000000000", "internal"},
        {"timetz", 'T', "0000000000000000" "00000e10", "data"},
        {"bit", 'b', "00000002" "c0", "data"},
        {"bit", 'B', "00000009" "ff", "internal"}, {"bit", 'B', "ffffffff", "internal"},
        {"bytea", 'u', "6161", "data"}, {"text", 'u', "61", "data"},
        {"text", 'j', "7b", "data"}, {"\"char\"", 't', "e9", "data"},
        {"json", 'j', "5b", "data"}, {"jsonb", 'j', "025b5d", "internal"},
        {"numeric", 'd', "0000000012340000", "internal"},
        {"numeric", 'd', "00010000000000002710", "internal"},
        {"numeric", 'd', "ffff0000000000000001", "internal"},
        {"numeric", 'd', "000100000000000000010002", "internal"}, {"date", 'D', "7fffd532", "data"},
        {"date", 'D', "7fffffe0", "data"}, {"timestamp", 'S', "7ffca2fecc8a7fff", "data"},
        {"timestamp", 'S', "7fffffffffff0000", "data"},
    };
    uint8_t bytes[64];
    for (size_t i = 0; i < COUNT(decodes); i++) {
        size_t length = from_hex(decodes[i].hex, bytes);
        bool ok = decode(oid_of(decodes[i].type), (dd_kind)decodes[i].want, bytes, length) == DD_OK;
        CHECK_MESSAGE(!ok && strcmp(dd_class_name(err.class_), decodes[i].class_) == 0,
                      "%s %s as %c: %s", decodes[i].type, decodes[i].hex, decodes[i].want,
                      ok ? "taken" : err.message);
    }
    static const struct { const char *type; char kind; const char *text, *class_; } encodes[] = {
        {"int2", 'i', "32768", "data"}, {"int2", 'i', "-32769", "data"},
        {"int4", 'i', "2147483648", "data"}, {"int4", 'i', "-2147483649", "data"},
        {"int8", 'i', "9223372036854775808", "data"}, {"int2", 'i', "18446744073709551615", "data"},
        {"oid", 'i', "-1", "data"}, {"oid", 'i', "4294967296", "data"}, {"bool", 'i', "2", "data"},
        {"bool", 'i', "-1", "data"}, {"text", 'i', "1", "schema"}, {"numeric", 'b', "1", "schema"},
        {"int4", 'd', "1.5", "data"}, {"int4", 'd', "2147483648", "data"},
        {"int8", 'd', "NaN", "data"}, {"bool", 'd', "1", "schema"},
        {"numeric", 'd', "1e-16384", "data"}, {"float4", 'g', "0.1", "data"},
        {"float4", 'g', "1e300", "data"}, {"float4", 'g', "5e-324", "data"},
        {"numeric", 'g', "1", "schema"}, {"bytea", 't', "a", "schema"},
        {"text", 'x', "a", "schema"},
        {"name", 't', "1234567890123456789012345678901234567890123456789012345678901234", "data"},
        {"\"char\"", 't', "ab", "data"}, {"interval", 't', "1 day", "schema"},
        {"timetz", 'T', "24:00:01", "data"}, {"bool", 'B', "10", "data"},
        {"int4", 'B', "1", "schema"}, {"text", 'B', "1", "schema"}, {"uuid", 'x', "short", "data"},
        {"790", 't', "12345678", "schema"}, {"timestamp", 'D', "2026-01-01", "schema"},
        {"date", 'D', "-4713-11-23", "data"}, {"time", 'T', "-00:00:01", "data"},
        {"time", 'T', "24:00:00.000001", "data"}, {"time", 'T', "838:59:59", "data"},
        {"timestamp", 'S', "-4713-11-23 23:59:59.999999", "data"},
        {"date", 'S', "2026-01-01", "schema"}, {"jsonb", 'j', "[\"\\u0000\"]", "data"},
        {"jsonb", 'j', "{\"a\\u0000\":1}", "data"}, {"jsonb", 't', "[\"\\u0000\"]", "data"},
        {"jsonb", 'j', "[1e131072]", "data"}, {"jsonb", 'j', "1e-16384", "data"},
        {"bytea", 'j', "[]", "schema"}, {"name", 'u', "a0eebc999c0b4ef8bb6d6bb9bd380a11", "schema"},
    };
    for (size_t i = 0; i < COUNT(encodes); i++) {
        uint32_t oid = oid_of(encodes[i].type);
        bool ok = encode(oid, (dd_kind)encodes[i].kind, encodes[i].text) == DD_OK;
        CHECK_MESSAGE(!ok && strcmp(dd_class_name(err.class_), encodes[i].class_) == 0,
                      "%s %.40s: %s", encodes[i].type, encodes[i].text, ok ? "taken" : err.message);
    }
    CHECK(encode(23, DD_KIND_INT, "2147483648") != DD_OK);
    CHECK_TEXT(err.message, strlen(err.message), "integer out of range for int4");
    dd_value nul = {.kind = DD_KIND_TEXT, .length = 3, .data = (const uint8_t *)"a\0b"};
    static const uint32_t texts[] = {25, 1043, 1042, 19, 705, 114, 3802, 16385};
    for (size_t i = 0; i < COUNT(texts); i++) {
        CHECK(dd_pg_encode(texts[i], &nul, &wire, &err) != DD_OK && err.class_ == DD_DATA);
    }
    dd_value bad = {.kind = DD_KIND_TEXT, .length = 1, .data = (const uint8_t *)"\xff"};
    CHECK(dd_pg_encode(25, &bad, &wire, &err) != DD_OK && err.class_ == DD_DATA);
}

/* Text is looked at many bytes at a time. */
static void a_bad_byte_is_found_wherever_it_stands(void) {
    static const uint8_t bad[] = {0x00, 0x80, 0xc3, 0xff};
    uint8_t text[80];
    for (uint32_t length = 1; length <= sizeof text; length++)
        for (uint32_t at = 0; at < length; at++)
            for (size_t i = 0; i < COUNT(bad); i++) {
                dd_value value = {.kind = DD_KIND_TEXT, .length = length, .data = text};
                memset(text, 'a', length);
                if (at >= 2) memcpy(text + at - 2, "\xc3\xa9", 2);
                dd_buf_clear(&wire);
                CHECK(dd_pg_encode(25, &value, &wire, &err) == DD_OK);
                CHECK(wire.length == length + 4 && memcmp(wire.data + 4, text, length) == 0);
                text[at] = bad[i];
                dd_buf_clear(&wire);
                CHECK(dd_pg_encode(25, &value, &wire, &err) != DD_OK && wire.length == 0);
                CHECK(bad[i] == 0 || decode(25, DD_KIND_TEXT, text, length) != DD_OK);
            }
}

static void encoding_reaches_the_ends_of_each_type(void) {
    static const struct { const char *type; char kind; const char *text, *hex; } cases[] = {
        {"bool", 'i', "1", "01"}, {"int4", 'b', "true", "00000001"},
        {"int2", 'd', "-32768", "8000"},
        {"numeric", 'i', "-9223372036854775808", "0005000440000000039a0d2c0170156516b0"},
        {"float8", 'f', "0.1", "3fb99999a0000000"}, {"float4", 'g', "0.5", "3f000000"},
        {"float4", 'g', "NaN", "7fc00000"}, {"float4", 'g', "-Infinity", "ff800000"},
        {"jsonb", 'j', "\"\\\\u0000\"", "01225c5c753030303022"}, {"jsonb", 'j', "[1e131071]", NULL},
        {"jsonb", 'j', "1e-16383", NULL}, {"text", 'j', "[ 1]", "5b315d"},
        {"json", 't', "[ 1]", "5b20315d"},
        {"text", 'u', "A0EEBC999C0B4EF8BB6D6BB9BD380A11",
         "61306565626339392d396330622d346566382d626236642d366262396264333830613131"},
        {"numeric", 'd', "1e100000", NULL}, {"numeric", 'd', "-Infinity", "00000000f0000000"},
        {"numeric", 'd', "1e-16383", NULL},
        {"timestamp", 'S', "294247-01-10 04:00:54.775806", NULL},
    };
    uint8_t bytes[64];
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool ok = encode(oid_of(cases[i].type), (dd_kind)cases[i].kind, cases[i].text) == DD_OK;
        CHECK_MESSAGE(ok, "%s %s: %s", cases[i].type, cases[i].text, err.message);
        if (!ok || !cases[i].hex) continue;
        size_t length = from_hex(cases[i].hex, bytes);
        CHECK_MESSAGE(wire.length == length && memcmp(wire.data, bytes, length) == 0,
                      "%s %s gives other bytes", cases[i].type, cases[i].text);
    }
    char *digits = dd_alloc(131073);
    memset(digits, '9', 131073);
    dd_value longest = {.kind = DD_KIND_DECIMAL, .length = 131072, .data = (uint8_t *)digits};
    CHECK(dd_pg_encode(1700, &longest, &wire, &err) == DD_OK);
    longest.length++;
    CHECK(dd_pg_encode(1700, &longest, &wire, &err) != DD_OK && err.class_ == DD_DATA);
    free(digits);
    dd_value null = {.kind = DD_KIND_TEXT};
    dd_buf_clear(&wire);
    CHECK(dd_pg_encode(23, &null, &wire, &err) == DD_OK && wire.length == 4);
    CHECK(dd_get_u32(wire.data) == UINT32_MAX);
}

static void no_bytes_make_a_decoder_read_out_of_bounds(void) {
    static const char kinds[] = "bidfgtxDTSju!";
    uint64_t seed = 17;
    uint8_t bytes[40];
    for (size_t i = 0; i < COUNT(types); i++)
        for (const char *want = kinds; *want; want++)
            for (size_t length = 0; length < sizeof bytes; length++)
                for (unsigned round = 0; round < 20; round++) {
                    for (size_t k = 0; k < length; k++)
                        bytes[k] = round < 2 ? (uint8_t)-round : (uint8_t)check_random(&seed);
                    /* Near a numeric's own form. */
                    if (round > 10 && length > 8) dd_put_u16(bytes, (uint16_t)((length - 8) / 2));
                    if (decode(types[i].oid, (dd_kind)*want, bytes, length) == DD_OK)
                        (void)row_text((dd_kind)*want);
                }
    /* Fixed-size types take their size and no other. */
    static const struct { const char *type; size_t length; } fixed[] = {
        {"bool", 1}, {"\"char\"", 1}, {"int2", 2}, {"int4", 4}, {"int8", 8}, {"oid", 4},
        {"float4", 4}, {"float8", 8}, {"date", 4}, {"time", 8}, {"timestamp", 8},
        {"timestamptz", 8}, {"uuid", 16},
    };
    memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i < COUNT(fixed); i++)
        for (size_t length = 0; length < sizeof bytes; length++) {
            uint32_t oid = oid_of(fixed[i].type);
            bool ok = decode(oid, dd_pg_kind(oid), bytes, length) == DD_OK;
            CHECK_MESSAGE(ok == (length == fixed[i].length), "%s of %zu bytes", fixed[i].type,
                          length);
            if (!ok) CHECK(err.class_ == DD_INTERNAL);
        }
}

/* ---- decimals ---- */

/* A random decimal with superfluous zeros, and its canonical text made the slow way. */
static void random_decimal(uint64_t *seed, char *text, char *expected) {
    unsigned whole = (unsigned)(check_random(seed) >> 40) % 40;
    unsigned fraction = (unsigned)(check_random(seed) >> 40) % 40;
    bool negative = check_random(seed) >> 63;
    bool sparse = check_random(seed) >> 63; /* long runs of zeros, whole groups of them */
    if (whole + fraction == 0) whole = 1;
    char digits[80];
    for (unsigned i = 0; i < whole + fraction; i++) {
        bool gap = sparse && check_random(seed) >> 61;
        digits[i] = gap ? '0' : (char)('0' + (check_random(seed) >> 40) % 10);
    }
    sprintf(text, "%s%.*s%s%.*s", negative ? "-" : "", (int)whole, digits, fraction ? "." : "",
            (int)fraction, digits + whole);
    unsigned start = 0, end = whole + fraction;
    while (start < whole && digits[start] == '0') start++;
    while (end > whole && digits[end - 1] == '0') end--;
    bool zero = start == whole && end == whole;
    sprintf(expected, "%s%.*s%s%s%.*s", negative && !zero ? "-" : "", (int)(whole - start),
            digits + start, start == whole ? "0" : "", end > whole ? "." : "", (int)(end - whole),
            digits + whole);
}

static void decimals_go_to_the_wire_and_back_unchanged(void) {
    uint64_t seed = 23;
    char text[100], expected[100];
    for (unsigned i = 0; i < 100000; i++) {
        random_decimal(&seed, text, expected);
        CHECK(encode(1700, DD_KIND_DECIMAL, text) == DD_OK);
        const char *got = row_text(DD_KIND_DECIMAL);
        CHECK_MESSAGE(strcmp(got, expected) == 0, "%s is %s", text, got);
        /* The form that the server itself makes: no zero group at either end. */
        unsigned count = dd_get_u16(wire.data);
        CHECK(wire.length == 8 + 2 * count);
        if (count) CHECK(dd_get_u16(wire.data + 8) && dd_get_u16(wire.data + wire.length - 2));
        const char *point = strchr(expected, '.');
        CHECK(dd_get_u16(wire.data + 6) == (point ? strlen(point + 1) : 0));
        CHECK(decode(1700, DD_KIND_DECIMAL, wire.data, wire.length) == DD_OK);
        got = row_text(DD_KIND_DECIMAL);
        CHECK_MESSAGE(strcmp(got, expected) == 0, "%s comes back as %s", text, got);
    }
}

static void decimals_order_as_their_values_do(void) {
    uint64_t seed = 29;
    for (unsigned i = 0; i < 100000; i++) {
        /* Both are integers over the same power of ten, so integers are the reference. */
        int64_t a = (int64_t)check_random(&seed) >> (20 + check_random(&seed) % 44);
        int64_t b = (int64_t)check_random(&seed) >> (20 + check_random(&seed) % 44);
        if (i % 7 == 0) b = a;
        unsigned scale = (unsigned)check_random(&seed) % 12;
        char text[32];
        dd_buf_clear(&out);
        dd_buf_clear(&wire);
        (void)snprintf(text, sizeof text, "%llde-%u", (long long)a, scale);
        CHECK(dd_decimal_canonical(text, strlen(text), &out, &err) == DD_OK);
        (void)snprintf(text, sizeof text, "%llde-%u", (long long)b, scale);
        CHECK(dd_decimal_canonical(text, strlen(text), &wire, &err) == DD_OK);
        int order = dd_decimal_compare(out.data, out.length, wire.data, wire.length);
        CHECK_MESSAGE(order == (a > b) - (a < b), "%.*s and %.*s: %d", (int)out.length,
                      (char *)out.data, (int)wire.length, (char *)wire.data, order);
    }
}

/* ---- dates ---- */

static void dates_and_timestamps_keep_their_distance_on_the_wire(void) {
    uint8_t bytes[8];
    for (int64_t days = -2451545; days < INT64_C(2147483494) - 2451545; days += 99991) {
        dd_put_u32(bytes, (uint32_t)days);
        CHECK(decode(1082, DD_KIND_DATE, bytes, 4) == DD_OK);
        dd_value value = {.kind = DD_KIND_DATE, .length = 4, .data = row.data + 4};
        CHECK(dd_value_date(&value) == days + 10957);
        dd_buf_clear(&wire);
        CHECK(dd_pg_encode(1082, &value, &wire, &err) == DD_OK && wire.length == 8);
        CHECK(memcmp(wire.data + 4, bytes, 4) == 0);
    }
    uint64_t seed = 31;
    for (unsigned i = 0; i < 100000; i++) {
        int64_t us = (int64_t)(check_random(&seed) >> (1 + check_random(&seed) % 40));
        if (i & 1) us = -us;
        if (us < INT64_C(-211813488000000000)) continue;
        if (us >= INT64_MAX - INT64_C(946684800000000)) continue;
        dd_put_u64(bytes, (uint64_t)us);
        CHECK(decode(1114, DD_KIND_TIMESTAMP, bytes, 8) == DD_OK);
        dd_value value = {.kind = DD_KIND_TIMESTAMP, .length = 8, .data = row.data + 4};
        CHECK(dd_value_time(&value) == us + INT64_C(946684800000000));
        dd_buf_clear(&wire);
        CHECK(dd_pg_encode(1184, &value, &wire, &err) == DD_OK && wire.length == 12);
        CHECK(memcmp(wire.data + 4, bytes, 8) == 0);
    }
}

int main(void) {
    RUN(every_type_has_its_natural_kind_and_others_have_none);
    RUN(the_servers_bytes_and_the_canonical_value_turn_into_each_other);
    RUN(decoding_makes_one_value_of_what_means_the_same);
    RUN(values_that_cannot_be_represented_are_refused_by_class);
    RUN(a_bad_byte_is_found_wherever_it_stands);
    RUN(encoding_reaches_the_ends_of_each_type);
    RUN(no_bytes_make_a_decoder_read_out_of_bounds);
    RUN(decimals_go_to_the_wire_and_back_unchanged);
    RUN(decimals_order_as_their_values_do);
    RUN(dates_and_timestamps_keep_their_distance_on_the_wire);
    dd_buf_free(&row);
    dd_buf_free(&wire);
    dd_buf_free(&out);
    return CHECK_RESULT();
}
