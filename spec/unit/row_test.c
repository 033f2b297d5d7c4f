/* What CANONICAL.md promises, value by value, and what hostile bytes must not do. */

#include <float.h>
#include <math.h>

#include "row/convert.h"
#include "row/decimal.h"
#include "row/json_canonical.h"
#include "row/pgwire.h"
#include "row/temporal.h"
#include "row/text.h"
#include "support/check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static dd_buf row, out, other;
static dd_err err;

static dd_value only_value(dd_kind kind) {
    dd_value value;
    char kinds[2] = {(char)kind, 0};
    if (dd_row_split(row.data, row.length, kinds, 1, &value, &err) != DD_OK) abort();
    return value;
}

static dd_status parse(dd_kind kind, const char *text) {
    dd_buf_clear(&row);
    return dd_text_parse(kind, text, strlen(text), &row, &err);
}

/* The canonical text of `text`, NUL-terminated, or "data", ... when it is refused. */
static const char *reread(dd_kind kind, const char *text) {
    if (parse(kind, text) != DD_OK) {
        CHECK(row.length == 0);
        return dd_class_name(err.class_);
    }
    dd_value value = only_value(kind);
    dd_buf_clear(&out);
    dd_text_render(&value, &out);
    *dd_buf_reserve(&out, 1) = 0;
    return (const char *)out.data;
}

#define REREAD(kind, text, expected)                                                  \
    do {                                                                              \
        const char *got_ = reread((kind), (text));                                    \
        CHECK_MESSAGE(strcmp(got_, (expected)) == 0, "%s '%s' gives '%.200s', not '%s'", \
                      dd_kind_name(kind), (text), got_, (expected));                  \
    } while (0)

static const char all_kinds[] = "bidfgtxDTSjuB";

/* ---- values and rows ---- */

static void integers_keep_their_order_and_value_from_minus_2_63_to_2_64(void) {
    static const char *const texts[] = {
        "-9223372036854775808", "-9223372036854775807", "-4294967296", "-1", "0", "1", "4294967296",
        "9223372036854775807", "9223372036854775808", "18446744073709551615"};
    uint8_t last[13];
    for (size_t i = 0; i < COUNT(texts); i++) {
        REREAD(DD_KIND_INT, texts[i], texts[i]);
        CHECK(row.length == 13);
        if (i > 0) {
            CHECK(dd_key_compare(last, row.data, "i", 1) < 0);
            CHECK(memcmp(last, row.data, 13) < 0);
        }
        memcpy(last, row.data, 13);
    }
    REREAD(DD_KIND_INT, "18446744073709551616", "data");
    REREAD(DD_KIND_INT, "-9223372036854775809", "data");
    REREAD(DD_KIND_INT, "+007", "7");
    REREAD(DD_KIND_INT, "-0", "0");
    REREAD(DD_KIND_INT, "12e2", "1200");
    REREAD(DD_KIND_INT, "7.0", "7");
    REREAD(DD_KIND_INT, "7.5", "data");
    REREAD(DD_KIND_INT, "", "data");
    REREAD(DD_KIND_INT, " 7", "data");
    REREAD(DD_KIND_INT, "0x10", "data");
    dd_buf_clear(&row);
    dd_row_add_uint(&row, UINT64_MAX);
    int64_t v = 0;
    uint64_t large = 0;
    dd_value value = only_value(DD_KIND_INT);
    CHECK(!dd_value_int(&value, &v, &large) && large == UINT64_MAX);
    dd_buf_clear(&row);
    dd_row_add_int(&row, INT64_MIN);
    value = only_value(DD_KIND_INT);
    CHECK(dd_value_int(&value, &v, &large) && v == INT64_MIN);
}

static void a_row_splits_into_its_fields_and_nothing_else(void) {
    dd_buf_clear(&row);
    dd_row_add_int(&row, 7);
    dd_row_add_null(&row);
    dd_row_add(&row, "", 0);
    dd_row_add(&row, "hi", 2);
    dd_value v[5];
    CHECK(dd_row_split(row.data, row.length, "ittt", 4, v, &err) == DD_OK);
    CHECK(v[1].data == NULL && v[2].data != NULL && v[2].length == 0 && v[3].length == 2);
    CHECK(dd_row_prefix(row.data, 4) == row.length && dd_row_prefix(row.data, 1) == 13);
    CHECK(dd_row_split(row.data, row.length, "itt", 3, v, &err) != DD_OK);
    CHECK(dd_row_split(row.data, row.length, "itttt", 5, v, &err) != DD_OK);
    CHECK(dd_row_split(row.data, row.length, "gttt", 4, v, &err) != DD_OK);
    CHECK(err.class_ == DD_INTERNAL);
    for (size_t length = 0; length < row.length; length++) {
        uint8_t *copy = dd_alloc(length); /* exactly so long, so that a sanitizer sees one more */
        memcpy(copy, row.data, length);
        CHECK(dd_row_split(copy, length, "ittt", 4, v, &err) != DD_OK);
        free(copy);
    }
}

static void digests_tell_null_empty_and_moved_values_apart(void) {
    static const char *const rows[][2] = {{NULL, ""}, {"", NULL}, {"", ""},      {NULL, NULL},
                                          {"a", "bc"}, {"ab", "c"}, {"NULL", ""}};
    dd_digest digests[COUNT(rows)];
    for (size_t i = 0; i < COUNT(rows); i++) {
        dd_buf_clear(&row);
        for (unsigned j = 0; j < 2; j++) {
            if (rows[i][j]) dd_row_add(&row, rows[i][j], (uint32_t)strlen(rows[i][j]));
            else dd_row_add_null(&row);
        }
        digests[i] = dd_row_digest(row.data, row.length);
        for (size_t k = 0; k < i; k++)
            CHECK(digests[i].low != digests[k].low && digests[i].high != digests[k].high);
    }
    /* The number is part of the written form: reports and stored digests outlive a release. */
    dd_buf_clear(&row);
    dd_row_add_int(&row, 1);
    dd_digest digest = dd_row_digest(row.data, row.length);
    CHECK_MESSAGE(digest.high == UINT64_C(0x941a7334724c4247) &&
                  digest.low == UINT64_C(0xb92e3dee1290cb48),
                  "digest is %016llx%016llx", (unsigned long long)digest.high,
                  (unsigned long long)digest.low);
}

static void keys_sort_as_numbers_days_and_bytes_do(void) {
    static const struct { char kind; const char *sorted[8]; } cases[] = {
        {'d', {"-Infinity", "-10", "-9.5", "0", "0.5", "9", "10", "NaN"}},
        {'g', {"-Infinity", "-1", "-1e-300", "-0", "0", "1e-300", "Infinity", "NaN"}},
        {'f', {"-Infinity", "-1", "-1e-30", "-0", "0", "1e-30", "Infinity", "NaN"}},
        {'D', {"-infinity", "-4712-01-01", "-0001-12-31", "0000-01-01", "0001-01-01",
                        "1969-12-31", "2026-11-22", "infinity"}},
        {'T', {"-838:59:59.999999", "-838:59:59", "-00:00:00.000001", "00:00:00",
                        "00:00:00.000001", "23:59:59", "24:00:00", "838:59:59"}},
        {'S', {"-infinity", "0001-01-01 00:00:00", "1969-12-31 23:59:59.999999",
                             "1970-01-01 00:00:00", "1970-01-01 00:00:00.000001",
                             "9999-12-31 23:59:59.999999", "294246-12-31 00:00:00", "infinity"}},
        {'x', {"", "\x01", "\x01\x01", "a", "a\x01", "aa", "b", "\xff"}},
        {'b', {"false", "true"}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char kinds[2] = {cases[i].kind, 0};
        dd_kind kind = (dd_kind)cases[i].kind;
        for (unsigned a = 0; a < 8 && cases[i].sorted[a]; a++) {
            CHECK(parse(kind, cases[i].sorted[a]) == DD_OK);
            dd_buf_clear(&other);
            dd_buf_add(&other, row.data, row.length);
            if (kind != DD_KIND_BYTES)
                REREAD(kind, cases[i].sorted[a], cases[i].sorted[a]);
            for (unsigned b = 0; b < 8 && cases[i].sorted[b]; b++) {
                CHECK(parse(kind, cases[i].sorted[b]) == DD_OK);
                int order = dd_key_compare(other.data, row.data, kinds, 1);
                CHECK_MESSAGE((order > 0) - (order < 0) == (a > b) - (a < b), "%s: %s and %s",
                              dd_kind_name(kind), cases[i].sorted[a], cases[i].sorted[b]);
            }
        }
    }
    dd_buf_clear(&other);
    dd_row_add_null(&other);
    CHECK(dd_key_compare(other.data, row.data, "b", 1) < 0);
    CHECK(dd_key_compare(row.data, other.data, "b", 1) > 0);
    CHECK(dd_key_compare(other.data, other.data, "b", 1) == 0);
}

/* ---- text ---- */

static void text_of_each_kind_is_read_in_its_common_forms(void) {
    static const struct { char kind; const char *text, *expected; } cases[] = {
        {'b', "TRUE", "true"}, {'b', "0", "false"}, {'b', "2", "data"}, {'d', "-0.00", "0"},
        {'d', "+00012.3400", "12.34"}, {'d', ".5", "0.5"}, {'d', "5.", "5"}, {'d', ".", "data"},
        {'d', "1.5e3", "1500"}, {'d', "15E-3", "0.015"}, {'d', "0e5", "0"}, {'d', "nan", "NaN"},
        {'d', "-INFINITY", "-Infinity"}, {'d', "1e100001", "data"},
        {'d', "1e99999999999999999999", "data"}, {'d', "1e", "data"}, {'d', "1 ", "data"},
        {'d', "--1", "data"}, {'d', "-", "data"},
        {'d', "99999999999999999999999999999999999.999999999999999999999999999999",
         "99999999999999999999999999999999999.999999999999999999999999999999"},
        {'g', "0.1", "0.1"}, {'g', "0.30000000000000004", "0.30000000000000004"},
        {'g', "5e-324", "5e-324"}, {'g', "2.2250738585072014e-308", "2.2250738585072014e-308"},
        {'g', "1.7976931348623157e308", "1.7976931348623157e+308"}, {'g', "1e309", "data"},
        {'g', "1e-400", "data"}, {'g', "0e-400", "0"}, {'g', "-0.0", "-0"}, {'g', "0x1p3", "data"},
        {'g', "-nan", "data"}, {'g', "+Infinity", "Infinity"}, {'f', "0.1", "0.1"},
        {'f', "16777217", "16777216"}, {'f', "1e-45", "1e-45"},
        {'f', "3.4028235e38", "3.4028235e+38"}, {'f', "1e39", "data"},
        {'D', "2024-02-29", "2024-02-29"}, {'D', "2023-02-29", "data"}, {'D', "1900-02-29", "data"},
        {'D', "2000-02-29", "2000-02-29"}, {'D', "0000-00-00", "data"}, {'D', "2020-00-15", "data"},
        {'D', "0000-01-01", "0000-01-01"}, {'D', "-0044-03-15", "-0044-03-15"},
        {'D', "5874897-12-31", "5874897-12-31"}, {'D', "9999999-12-31", "data"},
        {'D', "2026-1-1", "data"}, {'D', "2026-01-01 ", "data"}, {'T', "1:02", "01:02:00"},
        {'T', "-0:00:00", "00:00:00"}, {'T', "12:34:56.7", "12:34:56.700000"},
        {'T', "12:60:00", "data"}, {'T', "12:34:56.1234560000", "12:34:56.123456"},
        {'T', "12:34:56.1234567", "data"}, {'T', "12:34:56.", "data"}, {'T', "12", "data"},
        {'S', "2026-11-22T10:11:12Z", "2026-11-22 10:11:12"},
        {'S', "2026-11-22 10:11:12.5+05:30", "2026-11-22 04:41:12.500000"},
        {'S', "2026-01-01 00:00:00+01", "2025-12-31 23:00:00"},
        {'S', "2026-01-01 00:00:00-0130", "2026-01-01 01:30:00"},
        {'S', "2026-11-22", "2026-11-22 00:00:00"}, {'S', "2026-11-22 24:00:00", "data"},
        {'S', "2026-11-22 ", "data"}, {'S', "2026-11-22 10:11:12 x", "data"},
        {'S', "0000-00-00 00:00:00", "data"}, {'S', "-4713-11-24 00:00:00", "-4713-11-24 00:00:00"},
        {'S', "294247-01-10 04:00:54.775806", "294247-01-10 04:00:54.775806"},
        {'S', "294247-01-10 04:00:54.775807", "data"}, {'S', "5874897-01-01 00:00:00", "data"},
        {'u', "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {'u', "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {'u', "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", "data"},
        {'u', "a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11", "data"},
        {'t', "Gr\xc3\xbc\xc3\x9f" "e \xf0\x9f\x98\x80", "Gr\xc3\xbc\xc3\x9f" "e \xf0\x9f\x98\x80"},
        {'t', "\xff", "data"}, {'t', "\xed\xa0\x80", "data"}, {'t', "\xc0\x80", "data"},
        {'t', "12345678\xf4\x90\x80\x80", "data"}, {'t', "\xf0\x9f\x98", "data"},
        {'x', "\xff", "\xff"}, {'!', "x", "internal"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        REREAD((dd_kind)cases[i].kind, cases[i].text, cases[i].expected);
    CHECK(parse(DD_KIND_DATE, "s3cret") != DD_OK && strstr(err.message, "s3cret") == NULL);
    CHECK(strstr(err.message, "date") != NULL);
}

/* Digits of the mantissa as they were written, without zeros at either end. */
static int significant_digits(const char *text, size_t length) {
    int count = 0, zeros = 0;
    for (size_t i = 0; i < length && text[i] != 'e'; i++) {
        if (text[i] < '0' || text[i] > '9' || (text[i] == '0' && count + zeros == 0)) continue;
        if (text[i] == '0') zeros++;
        else count += zeros + 1, zeros = 0;
    }
    return count;
}

static void floats_are_written_with_the_fewest_digits_that_read_back(void) {
    uint64_t seed = 11;
    for (unsigned i = 0; i < 50000; i++) {
        uint64_t bits = check_random(&seed);
        if (i % 10 == 0) bits &= UINT64_C(0x800fffffffffffff); /* denormals */
        double v;
        memcpy(&v, &bits, 8);
        dd_buf_clear(&row);
        dd_row_add_float64(&row, v);
        dd_buf_clear(&other);
        dd_buf_add(&other, row.data, row.length);
        dd_value value = only_value(DD_KIND_FLOAT64);
        dd_buf_clear(&out);
        dd_text_render(&value, &out);
        dd_buf_clear(&row);
        CHECK(dd_text_parse(DD_KIND_FLOAT64, (char *)out.data, out.length, &row, &err) == DD_OK);
        CHECK(row.length == 12 && memcmp(row.data, other.data, 12) == 0);
        for (int digits = 1; digits < significant_digits((char *)out.data, out.length); digits++) {
            char fewer[400];
            snprintf(fewer, sizeof fewer, "%.*g", digits, v);
            CHECK_MESSAGE(strtod(fewer, NULL) != v, "%s does as well", fewer);
        }
        float narrow;
        uint32_t bits32 = (uint32_t)bits;
        memcpy(&narrow, &bits32, 4);
        dd_buf_clear(&row);
        dd_row_add_float32(&row, narrow);
        dd_value single = only_value(DD_KIND_FLOAT32);
        dd_buf_clear(&out);
        dd_text_render(&single, &out);
        dd_buf_clear(&other);
        CHECK(dd_text_parse(DD_KIND_FLOAT32, (char *)out.data, out.length, &other, &err) == DD_OK);
        CHECK(other.length == 8 && memcmp(row.data, other.data, 8) == 0);
    }
    dd_buf_clear(&row);
    uint64_t odd_nan = UINT64_C(0xfff8000000000123);
    double v;
    memcpy(&v, &odd_nan, 8);
    dd_row_add_float64(&row, v);
    CHECK(dd_get_u64(row.data + 4) == UINT64_C(0x7ff8000000000000));
}

static void every_day_of_the_calendar_is_one_after_the_day_before(void) {
    int32_t expected = dd_days_from_date(-4713, 1, 1);
    for (int year = -4713; year < 10001; year++)
        for (int month = 1; month <= 12; month++)
            for (int day = 1; dd_date_exists(year, month, day); day++, expected++) {
                int y, m, d;
                int32_t days = dd_days_from_date(year, month, day);
                dd_date_from_days(days, &y, &m, &d);
                CHECK_MESSAGE(days == expected && y == year && m == month && d == day,
                              "%d-%d-%d is %d", year, month, day, days);
            }
    CHECK(dd_days_from_date(1970, 1, 1) == 0 && dd_days_from_date(2000, 1, 1) == 10957);
    uint64_t seed = 5;
    for (unsigned i = 0; i < 100000; i++) {
        int y, m, d;
        int32_t days = i == 0 ? INT32_MIN : i == 1 ? INT32_MAX : (int32_t)check_random(&seed);
        dd_date_from_days(days, &y, &m, &d);
        CHECK(dd_date_exists(y, m, d) && dd_days_from_date(y, m, d) == days);
    }
}

static void rendered_times_and_timestamps_read_back(void) {
    uint64_t seed = 3;
    for (unsigned i = 0; i < 50000; i++) {
        /* Of every size; timestamps below year -4713 exist on no server. */
        int64_t v = (int64_t)(check_random(&seed)) >> (check_random(&seed) % 60);
        for (unsigned k = 0; k < 2; k++) {
            dd_kind kind = k ? DD_KIND_TIMESTAMP : DD_KIND_TIME;
            if (k ? v < INT64_C(-210866803200000000) : v < -INT64_C(3000000000000000000)) continue;
            if (!k && v > INT64_C(3000000000000000000)) continue;
            dd_buf_clear(&other);
            dd_row_add_time(&other, v);
            dd_value value = {.kind = kind, .length = 8, .data = other.data + 4};
            dd_buf_clear(&out);
            dd_text_render(&value, &out);
            dd_buf_clear(&row);
            CHECK(dd_text_parse(kind, (char *)out.data, out.length, &row, &err) == DD_OK);
            CHECK_MESSAGE(row.length == 12 && memcmp(row.data, other.data, 12) == 0, "%s %.*s",
                          dd_kind_name(kind), (int)out.length, (char *)out.data);
        }
    }
}

/* ---- conversions ---- */

static void kinds_are_read_as_others_only_when_nothing_is_lost(void) {
    static const struct { char from; const char *text; char to; const char *expected; } cases[] = {
        {'i', "18446744073709551615", 'd', "18446744073709551615"},
        {'i', "-9223372036854775808", 'd', "-9223372036854775808"},
        {'d', "18446744073709551615", 'i', "18446744073709551615"},
        {'d', "-9223372036854775808", 'i', "-9223372036854775808"},
        {'d', "18446744073709551616", 'i', "data"}, {'d', "1.5", 'i', "data"},
        {'d', "NaN", 'i', "data"}, {'i', "0", 'b', "false"}, {'i', "1", 'b', "true"},
        {'i', "2", 'b', "data"}, {'i', "-1", 'b', "data"}, {'b', "true", 'i', "1"},
        {'f', "0.1", 'g', "0.10000000149011612"}, {'f', "NaN", 'g', "NaN"}, {'f', "-0", 'g', "-0"},
        {'t', "{\"b\": 1.0, \"a\": \"0123456789012345678901234567890123456789012345678901234567\"}",
         'j', "{\"a\":\"0123456789012345678901234567890123456789012345678901234567\",\"b\":1}"},
        {'t', "{", 'j', "data"}, {'j', "[1.0]", 't', "[1]"},
        {'t', "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", 'u', "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {'u', "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 't', "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {'B', "1", 'b', "true"}, {'B', "0", 'b', "false"}, {'B', "01", 'b', "data"},
        {'b', "true", 'B', "1"}, {'x', "abc", 'u', "data"},
        {'x', "abcdefghabcdefgh", 'u', "61626364-6566-6768-6162-636465666768"},
        {'u', "61626364-6566-6768-6162-636465666768", 'x', "abcdefghabcdefgh"},
        {'t', "", 'u', "data"}, {'d', "1", 'b', "schema"}, {'g', "1", 'f', "schema"},
        {'D', "2026-01-01", 'S', "schema"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        dd_kind from = (dd_kind)cases[i].from, to = (dd_kind)cases[i].to;
        CHECK(parse(from, cases[i].text) == DD_OK);
        const char *got = "";
        bool can = dd_convertible(from, to);
        if (dd_convert_field(&row, 0, from, to, &err) != DD_OK) {
            got = dd_class_name(err.class_);
            CHECK(can == (err.class_ == DD_DATA));
        } else {
            dd_value value = only_value(to);
            dd_buf_clear(&out);
            dd_text_render(&value, &out);
            *dd_buf_reserve(&out, 1) = 0;
            got = (const char *)out.data;
            CHECK(can);
        }
        CHECK_MESSAGE(strcmp(got, cases[i].expected) == 0, "%s %s as %s is %s",
                      dd_kind_name(from), cases[i].text, dd_kind_name(to), got);
    }
    for (const char *from = all_kinds; *from; from++) {
        CHECK(dd_kind_valid(*from) && dd_convertible((dd_kind)*from, (dd_kind)*from));
        for (const char *to = all_kinds; *to; to++) {
            dd_buf_clear(&row);
            dd_row_add_null(&row);
            bool ok = dd_convert_field(&row, 0, (dd_kind)*from, (dd_kind)*to, &err) == DD_OK;
            CHECK(ok == dd_convertible((dd_kind)*from, (dd_kind)*to) && row.length == 4);
        }
    }
    CHECK(!dd_kind_valid('!') && !dd_kind_valid('z') && !dd_kind_valid('\0'));
}

int main(void) {
    RUN(integers_keep_their_order_and_value_from_minus_2_63_to_2_64);
    RUN(a_row_splits_into_its_fields_and_nothing_else);
    RUN(digests_tell_null_empty_and_moved_values_apart);
    RUN(keys_sort_as_numbers_days_and_bytes_do);
    RUN(text_of_each_kind_is_read_in_its_common_forms);
    RUN(floats_are_written_with_the_fewest_digits_that_read_back);
    RUN(every_day_of_the_calendar_is_one_after_the_day_before);
    RUN(rendered_times_and_timestamps_read_back);
    RUN(kinds_are_read_as_others_only_when_nothing_is_lost);
    dd_buf_free(&row);
    dd_buf_free(&out);
    dd_buf_free(&other);
    return CHECK_RESULT();
}
