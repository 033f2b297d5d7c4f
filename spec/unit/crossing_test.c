/* A row on its way: what fits is not copied, what does not is refused or crosses by its policy. */

#include "pair/crossing.h"
#include "pair/crossing_value.h"
#include "row/pgwire.h"
#include "row/raw.h"
#include "row/text.h"
#include "support/check.h"

#define CHECK_SAME(text, expected) CHECK_TEXT(text, strlen(text), expected)

static dd_buf row, text;
static dd_err err;

/* A row of texts; NULL stands for NULL. */
static void make(const char *kinds, const char *const *values) {
    dd_buf_clear(&row);
    for (unsigned i = 0; kinds[i]; i++) {
        if (!values[i]) dd_row_add_null(&row);
        else CHECK(dd_text_parse((dd_kind)kinds[i], values[i], strlen(values[i]), &row, &err) ==
                   DD_OK);
    }
}

/* The row as text, fields separated by |. */
static const char *shown(const char *kinds, const uint8_t *bytes, size_t length) {
    dd_value values[8];
    dd_buf_clear(&text);
    if (dd_row_split(bytes, length, kinds, (unsigned)strlen(kinds), values, &err) != DD_OK)
        return err.message;
    for (unsigned i = 0; kinds[i]; i++) {
        if (i) dd_buf_add_byte(&text, '|');
        if (values[i].data) dd_text_render(&values[i], &text);
        else dd_buf_add_text(&text, "NULL");
    }
    dd_buf_add_byte(&text, 0);
    return (const char *)text.data;
}

static void a_row_that_fits_is_not_copied(void) {
    const dd_crossing_column columns[] = {
        {.index = 1, .kind = DD_KIND_TEXT, .narrow = true, .most_characters = 3},
        {.index = 2, .kind = DD_KIND_INT, .narrow = true, .limited = true, .least = -5, .most = 5},
    };
    dd_crossing *crossing = dd_crossing_new(columns, 2);
    make("iti", (const char *[]){"1", "\xc3\xa9t\xc3\xa9", "-5"});
    const uint8_t *out;
    size_t length;
    dd_refusal refusal;
    CHECK(dd_crossing_has_work(crossing, DD_CROSS_LOADING));
    CHECK(!dd_crossing_has_work(crossing, DD_CROSS_COMPARING));
    CHECK(dd_crossing_apply(crossing, DD_CROSS_ALL, row.data, row.length, &out, &length, &refusal));
    CHECK(out == row.data && length == row.length);
    make("iti", (const char *[]){"1", "abcd", "-5"});
    CHECK(!dd_crossing_apply(crossing, DD_CROSS_LOADING, row.data, row.length, &out, &length,
                             &refusal));
    CHECK(refusal.column == 1);
    CHECK_SAME(refusal.reason, "text is longer than 3 characters");
    make("iti", (const char *[]){"1", NULL, "18446744073709551615"});
    CHECK(!dd_crossing_apply(crossing, DD_CROSS_ALL, row.data, row.length, &out, &length,
                             &refusal));
    CHECK(refusal.column == 2);
    CHECK_SAME(refusal.reason, "18446744073709551615 is out of range");
    dd_crossing_free(crossing);
}

static void policies_change_their_values_and_keep_all_others(void) {
    const dd_crossing_column columns[] = {
        {.index = 0, .kind = DD_KIND_INT, .limited = true, .least = -5, .most = 5,
         .actions[DD_POLICY_OVERFLOW] = DD_CROSS_CLAMP},
        {.index = 2, .kind = DD_KIND_TEXT, .most_characters = 2,
         .actions[DD_POLICY_OVERFLOW] = DD_CROSS_CLAMP},
        {.index = 4, .kind = DD_KIND_TIME, .within_day = true, .takes_null = true,
         .actions[DD_POLICY_TIME_RANGE] = DD_CROSS_NULL},
        {.index = 5, .kind = DD_KIND_FLOAT64, .digits = 3},
    };
    static const char kinds[] = "ittxTg";
    dd_crossing *crossing = dd_crossing_new(columns, 4);
    const uint8_t *out;
    size_t length;
    dd_refusal refusal;
    make(kinds, (const char *[]){"-7", "left", "\xc3\xa9\xc3\xa9\xc3\xa9", "as is", "25:00:00",
                                 "0.12345"});
    CHECK(dd_crossing_apply(crossing, DD_CROSS_COMPARING, row.data, row.length, &out, &length,
                            &refusal));
    CHECK_SAME(shown(kinds, out, length), "-5|left|\xc3\xa9\xc3\xa9|as is|NULL|0.123");
    const uint64_t *counts = dd_crossing_counts(crossing);
    CHECK(counts[DD_POLICY_OVERFLOW] == 2 && counts[DD_POLICY_TIME_RANGE] == 1 &&
          counts[DD_POLICY_FLOAT_DIGITS] == 1 && counts[DD_POLICY_NUL] == 0);
    CHECK(dd_crossing_settles(crossing));
    dd_crossing_settle(crossing, row.data, row.length, &out, &length);
    CHECK_SAME(shown(kinds, out, length),
               "-7|left|\xc3\xa9\xc3\xa9\xc3\xa9|as is|25:00:00|0.123");
    dd_crossing_free(crossing);
}

static void a_raw_value_has_one_form(void) {
    static const struct { dd_kind kind; const char *text; bool valid; } cases[] = {
        {DD_KIND_DATE, "0000-00-00", true}, {DD_KIND_DATE, "2020-02-31", true},
        {DD_KIND_DATE, "2020-02-29", false}, {DD_KIND_DATE, "2020-13-01", false},
        {DD_KIND_DATE, "2020-00-32", false}, {DD_KIND_DATE, "0000-00-0", false},
        {DD_KIND_DATE, "0000-00-00 00:00:00", false}, {DD_KIND_TIMESTAMP, "0000-00-00", false},
        {DD_KIND_TIMESTAMP, "0000-00-00 00:00:00", true},
        {DD_KIND_TIMESTAMP, "0000-00-00 24:00:00", false},
        {DD_KIND_TIMESTAMP, "0000-00-00 00:00:00.000001", true},
        {DD_KIND_TIMESTAMP, "0000-00-00 00:00:00.000000", false},
        {DD_KIND_TIMESTAMP, "0000-00-00 00:00:00.00001", false},
        {DD_KIND_TIME, "0000-00-00", false},
        {DD_KIND_BOOL, "\1\0\0\0\0\0\0\0\2", true}, {DD_KIND_BOOL, "\1\0\0\0\0\0\0\0\1", false},
        {DD_KIND_BOOL, "\0\0\0\0\0\0\0\0\2", false}, {DD_KIND_BOOL, "\2\0\0\0\0\0\0\0\2", false},
        {DD_KIND_BOOL, "\0\377\377\377\377\377\377\377\377", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint32_t length =
            cases[i].kind == DD_KIND_BOOL ? 9 : (uint32_t)strlen(cases[i].text);
        if (dd_raw_valid(cases[i].kind, (const uint8_t *)cases[i].text, length) != cases[i].valid)
            CHECK_MESSAGE(false, "%.26s", cases[i].text);
    }
}

/* What could not be read is told from everything that could, shown, refused by name, and written
 * nowhere. */
static void what_could_not_be_read_is_carried_and_refused(void) {
    static const dd_kind kinds[] = {DD_KIND_BOOL, DD_KIND_INT,       DD_KIND_DATE, DD_KIND_TIME,
                                    DD_KIND_JSON, DD_KIND_TIMESTAMP, DD_KIND_UUID};
    dd_crossing_column column = {0};
    dd_crossing_scratch scratch = {0};
    dd_refusal refusal;
    uint64_t counts[DD_POLICY_COUNT] = {0};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char letters[] = {(char)kinds[i], 0};
        dd_value value;
        dd_buf_clear(&row);
        CHECK(dd_row_add_unreadable(&row, kinds[i], "text is no such thing", "a\"b", 3, &err) ==
              DD_OK);
        CHECK(dd_row_split(row.data, row.length, letters, 1, &value, &err) == DD_OK);
        CHECK(dd_value_is_raw(&value) && dd_value_is_unreadable(&value));
        CHECK_SAME(shown(letters, row.data, row.length), "a\"b");
        dd_buf_clear(&text);
        dd_json_render(&value, &text);
        dd_buf_add_byte(&text, 0);
        CHECK_SAME((const char *)text.data, "\"a\\\"b\"");
        column.kind = kinds[i];
        for (unsigned p = 0; p < DD_POLICY_COUNT; p++) column.actions[p] = DD_CROSS_NULL;
        CHECK(dd_cross_value(&column, &value, &scratch, counts, &refusal) == DD_CROSSED_REFUSED);
        CHECK_SAME(refusal.reason, "text is no such thing");
        static const uint32_t oids[] = {16, 20, 25, 114, 1082, 1083, 1114, 1700, 2950, 3802};
        for (size_t o = 0; o < sizeof oids / sizeof oids[0]; o++) {
            dd_buf_clear(&text);
            CHECK(dd_pg_encode(oids[o], &value, &text, &err) == DD_FAIL);
            CHECK(err.class_ == DD_DATA && text.length == 0);
        }
        value.length = 17; /* a tag that nothing follows is not one */
        CHECK(!dd_value_is_unreadable(&value));
    }
    dd_buf_clear(&row);
    CHECK(dd_row_add_unreadable(&row, DD_KIND_TEXT, "text is none", "a", 1, &err) == DD_FAIL);
    CHECK(row.length == 0);
    dd_buf_free(&scratch.value);
    dd_buf_free(&scratch.spare);
}

/* What PostgreSQL has that no kind holds, as text. */
static void what_postgres_alone_holds_is_shown(void) {
    static const struct { uint32_t oid; dd_kind want; const char *wire; size_t length;
                          const char *text; } cases[] = {
        {25, DD_KIND_JSON, "{", 1, "{"},
        {25, DD_KIND_UUID, "x", 1, "x"},
        {17, DD_KIND_UUID, "\1\377", 2, "\\x01ff"},
        {1186, DD_KIND_TIME, "\0\0\0\0\0\17\102\100\0\0\0\2\377\377\377\377", 16,
         "-1 months 2 days 00:00:01"},
        {1266, DD_KIND_TIME, "\0\0\0\0\0\17\102\100\377\377\361\360", 12,
         "00:00:01-3600 seconds west of UTC"},
        {1560, DD_KIND_BOOL, "\0\0\0\2\200", 5, "10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *wire = (const uint8_t *)cases[i].wire;
        const char letters[] = {(char)cases[i].want, 0};
        dd_buf_clear(&row);
        CHECK(dd_pg_decode(cases[i].oid, cases[i].want, wire, cases[i].length, &row, &err) ==
              DD_FAIL);
        row.length = 0;
        CHECK(dd_pg_add_unread(cases[i].oid, cases[i].want, wire, cases[i].length, &row, &err) ==
              DD_OK);
        CHECK_SAME(shown(letters, row.data, row.length), cases[i].text);
    }
}

int main(void) {
    RUN(a_row_that_fits_is_not_copied);
    RUN(policies_change_their_values_and_keep_all_others);
    RUN(a_raw_value_has_one_form);
    RUN(what_could_not_be_read_is_carried_and_refused);
    RUN(what_postgres_alone_holds_is_shown);
    dd_buf_free(&row);
    dd_buf_free(&text);
    return CHECK_RESULT();
}
