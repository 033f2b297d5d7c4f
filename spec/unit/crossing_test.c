/* A row on its way: what fits is not copied, what does not is refused or crosses by its policy. */

#include "pair/crossing.h"
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

int main(void) {
    RUN(a_row_that_fits_is_not_copied);
    RUN(policies_change_their_values_and_keep_all_others);
    RUN(a_raw_value_has_one_form);
    dd_buf_free(&row);
    dd_buf_free(&text);
    return CHECK_RESULT();
}
