/* Values as the text of a file that LOAD DATA reads. */

#include <math.h>

#include "db/mysql_load.h"
#include "row/temporal.h"
#include "support/check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static dd_buf row, out;
static dd_err err;
static dd_mysql_params params;

/* The text of the one value that was added to `row`. */
static bool put(dd_kind kind) {
    dd_value value;
    const char kinds[] = {(char)kind, 0};
    dd_buf_clear(&out);
    dd_mysql_params_reserve(&params, 1);
    if (dd_row_split(row.data, row.length, kinds, 1, &value, &err) != DD_OK) return false;
    if (dd_mysql_params_set(&params, 0, &value, "column", 1, &err) != DD_OK) return false;
    bool done = dd_mysql_infile_put(params.binds, &out);
    if (!done) CHECK(out.length == 0);
    dd_buf_clear(&row);
    return done;
}

#define CHECK_PUT(kind, expected) \
    do { \
        CHECK(put(kind)); \
        CHECK_TEXT(out.data, out.length, expected); \
    } while (0)

static void null_is_a_backslash_and_n(void) {
    dd_row_add_null(&row);
    CHECK_PUT(DD_KIND_TEXT, "\\N");
    dd_row_add(&row, "\\N", 2);
    CHECK_PUT(DD_KIND_TEXT, "\\\\N");
    dd_row_add(&row, "NULL", 4);
    CHECK_PUT(DD_KIND_TEXT, "NULL");
    dd_row_add(&row, "", 0);
    CHECK_PUT(DD_KIND_TEXT, "");
}

static void what_ends_a_field_or_a_row_is_escaped(void) {
    dd_row_add(&row, "a\tb\nc\\d\0e\rf\xC3\xA9", 13);
    CHECK_PUT(DD_KIND_TEXT, "a\\tb\\nc\\\\d\\0e\\rf\xC3\xA9");
}

static void text_that_is_not_utf8_is_left_to_an_insert(void) {
    dd_row_add(&row, "a\xC3", 2);
    CHECK(!put(DD_KIND_TEXT));
    dd_buf_clear(&row);
}

static void bytes_are_hexadecimal_digits(void) {
    dd_row_add(&row, "\x00\xFF\x5C", 3);
    CHECK_PUT(DD_KIND_BYTES, "00FF5C");
    dd_row_add(&row, "", 0);
    CHECK_PUT(DD_KIND_BYTES, "");
}

static void whole_numbers_have_all_their_digits(void) {
    dd_row_add_int(&row, INT64_MIN);
    CHECK_PUT(DD_KIND_INT, "-9223372036854775808");
    dd_row_add_uint(&row, UINT64_MAX);
    CHECK_PUT(DD_KIND_INT, "18446744073709551615");
    dd_row_add_bool(&row, true);
    CHECK_PUT(DD_KIND_BOOL, "1");
    dd_row_add(&row, "101", 3);
    CHECK_PUT(DD_KIND_BITS, "5");
}

static void floats_are_read_back_as_they_were(void) {
    static const double doubles[] = {0.1, -0.0, 5e-324, 1.7976931348623157e308, 123456789.123456789};
    for (size_t i = 0; i < COUNT(doubles); i++) {
        dd_row_add_float64(&row, doubles[i]);
        CHECK(put(DD_KIND_FLOAT64));
        dd_buf_add_byte(&out, 0);
        const double back = strtod((const char *)out.data, NULL);
        CHECK(memcmp(&back, &doubles[i], sizeof back) == 0);
        const float single = (float)doubles[i];
        if (!isfinite(single)) continue;
        dd_row_add_float32(&row, single);
        CHECK(put(DD_KIND_FLOAT32));
        dd_buf_add_byte(&out, 0);
        CHECK((float)strtod((const char *)out.data, NULL) == single);
    }
}

static void a_long_time_with_a_fraction_has_its_days_apart(void) {
    static const struct { int64_t microseconds; const char *text; } cases[] = {
        {0, "00:00:00"},
        {1, "00:00:00.000001"},
        {-1, "-00:00:00.000001"},
        {INT64_C(359999999999), "99:59:59.999999"},
        {INT64_C(360000000000), "100:00:00"},
        {INT64_C(360000500000), "04 04:00:00.500000"},
        {INT64_C(-3016799999999), "-34 21:59:59.999999"},
        {INT64_C(-3020399999999), "-34 22:59:59.999999"},
        {INT64_C(3020399000000), "838:59:59"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        dd_row_add_time(&row, cases[i].microseconds);
        CHECK_PUT(DD_KIND_TIME, cases[i].text);
    }
}

static void days_have_four_digits_of_a_year(void) {
    dd_row_add_date(&row, dd_days_from_date(99, 1, 2));
    CHECK_PUT(DD_KIND_DATE, "0099-01-02");
    dd_row_add_timestamp(&row, dd_days_from_date(9999, 12, 31) * DD_US_PER_DAY + 86399999999);
    CHECK_PUT(DD_KIND_TIMESTAMP, "9999-12-31 23:59:59.999999");
    dd_row_add_timestamp(&row, -1);
    CHECK_PUT(DD_KIND_TIMESTAMP, "1969-12-31 23:59:59.999999");
    dd_row_add(&row, "2020-02-31", 10); /* raw: the server says what it thinks of it */
    CHECK_PUT(DD_KIND_DATE, "2020-02-31");
}

static void a_uuid_has_hyphens(void) {
    dd_row_add(&row, "\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x14\x17\x40\x00", 16);
    CHECK_PUT(DD_KIND_UUID, "123e4567-e89b-12d3-a456-426614174000");
}

int main(void) {
    RUN(null_is_a_backslash_and_n);
    RUN(what_ends_a_field_or_a_row_is_escaped);
    RUN(text_that_is_not_utf8_is_left_to_an_insert);
    RUN(bytes_are_hexadecimal_digits);
    RUN(whole_numbers_have_all_their_digits);
    RUN(floats_are_read_back_as_they_were);
    RUN(a_long_time_with_a_fraction_has_its_days_apart);
    RUN(days_have_four_digits_of_a_year);
    RUN(a_uuid_has_hyphens);
    dd_buf_free(&row);
    dd_buf_free(&out);
    dd_mysql_params_free(&params);
    return CHECK_RESULT();
}
