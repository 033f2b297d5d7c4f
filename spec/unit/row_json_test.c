/* Canonical JSON: the same content gives the same bytes, other content gives other bytes. */

#include "row/json_canonical.h"
#include "row/raw.h"
#include "row/text.h"
#include "support/check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static dd_buf out, again;
static dd_err err;

static dd_status canonical(const char *text, size_t length, dd_buf *to) {
    /* A copy of exactly this length, so that a sanitizer sees a read past it. */
    char *copy = dd_alloc(length);
    memcpy(copy, text, length);
    dd_buf_clear(to);
    dd_status status = dd_json_canonical(copy, length, to, &err);
    free(copy);
    if (status != DD_OK) CHECK(err.class_ == DD_DATA);
    return status;
}

static bool same(void) {
    return out.length == again.length && memcmp(out.data, again.data, out.length) == 0;
}

static void json_of_the_same_content_has_one_text(void) {
    static const struct { const char *text, *expected; } cases[] = {
        {" { } ", "{}"}, {"[ ]", "[]"}, {"\t\r\n null", "null"}, {"true", "true"},
        {"[ 1 , [ false , { \"a\" : [ ] } ] ]", "[1,[false,{\"a\":[]}]]"},
        /* members by the bytes of their names, whatever the escapes; of duplicates the last */
        {"{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"},
        {"{\"aa\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"aa\":1,\"b\":2}"},
        {"{\"a\":1,\"\\u0061\":2,\"a\":{\"z\":0,\"z\":3}}", "{\"a\":{\"z\":3}}"},
        {"{\"\\\\\":1,\"\\\"\":2,\"\\n\":3,\"\":4,\"]\":5}",
         "{\"\":4,\"\\n\":3,\"\\\"\":2,\"\\\\\":1,\"]\":5}"},
        {"{\"\xc3\xa9\":1,\"z\":2,\"\\u00e8\":3}", "{\"z\":2,\"\xc3\xa8\":3,\"\xc3\xa9\":1}"},
        {"{\"\xf0\x9f\x98\x80\":1,\"\xef\xbf\xbd\":2}",
         "{\"\xef\xbf\xbd\":2,\"\xf0\x9f\x98\x80\":1}"},
        /* escapes */
        {"\"\\u0041\\/\\b\\f\\n\\r\\t\\u0000\\u001F\\u007f\"",
         "\"A/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\""},
        {"\"\\ud83d\\ude00\\u20AC\\u00e9\"", "\"\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa9\""},
        {"\"\\\\u0000\"", "\"\\\\u0000\""}, {"\"\"", "\"\""}, {"{\"\":\"\"}", "{\"\":\"\"}"},
        /* numbers */
        {"[1,1.0,1e0,10E-1,0.1e+1]", "[1,1,1,1,1]"}, {"[0,-0,-0.0,0e9,0.00e-9]", "[0,0,0,0,0]"},
        {"18446744073709551616", "18446744073709551616"}, {"-12.50", "-12.5"},
        {"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"},
        {"1e22", "10000000000000000000000"}, {"123e-5", "0.00123"}, {"1e-3", "0.001"},
        {"1e1001", "1e1001"}, {"10e1000", "1e1001"}, {"0.001e1004", "1e1001"},
        {"-150e-1003", "-1.5e-1001"}, {"12.5e99999", "1.25e100000"},
        {"1e999999999999999", "1e999999999999999"}, {"0e99999999999999999999999", "0"},
        {"1e0000000000000000000000000000001", "10"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (canonical(cases[i].text, strlen(cases[i].text), &out) != DD_OK)
            CHECK_MESSAGE(false, "%s: %s", cases[i].text, err.message);
        else
            CHECK_TEXT(out.data, out.length, cases[i].expected);
    }
    /* 1001 digits are plain, 1002 are not. */
    char digits[1003];
    memset(digits, '7', sizeof digits);
    CHECK(canonical(digits, 1001, &out) == DD_OK && out.length == 1001 && out.data[1] == '7');
    CHECK(canonical(digits, 1002, &out) == DD_OK && out.length == 1003 + 5 && out.data[1] == '.');
}

static void text_that_is_not_json_is_refused(void) {
    static const char *const cases[] = {
        "", " ", "nul", "nulll", "tru", "{", "[", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
        "{\"a\":1,}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{1:2}", "{\"a\" 1}", "{a:1}",
        "{\"a\":1 \"b\":2}", "]", "}", "[}", "{]", "01", "-", "-a", "+1", ".5", "1.", "1.e5", "1e",
        "1e+", "0x1", "NaN", "Infinity", "1 2", "\"", "\"a", "\"\\", "\"\\\"", "\"\\x\"", "\"\\u\"",
        "\"\\u12\"", "\"\\u123", "\"\\u12g4\"", "'a'", "\"\t\"", "\"\n\"", "\"\\ud800\"",
        "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\ud800\\", "\"\\ud800\\u", "\"\\ude00\"",
        "\"\\ud83d\\ud83d\"", "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xc0\xaf\"",
        "\xef\xbb\xbf[]", "[] x", "// c\n1", "1e1000000000000001", "1e99999999999999999999",
        "190e999999999999998",
        "-1e-99999999999999999999999999", "\"a\" \"b\"", "{\"a\":1}}",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_MESSAGE(canonical(cases[i], strlen(cases[i]), &out) != DD_OK, "%s", cases[i]);
        CHECK(out.length == 0);
    }
    CHECK(canonical("\"a\0b\"", 5, &out) != DD_OK);
    CHECK(canonical("[\"s3cret\"", 9, &out) != DD_OK && strstr(err.message, "s3cret") == NULL);
}

static void nesting_of_512_is_taken_and_deeper_is_refused(void) {
    char text[2 * 100000 + 1];
    for (unsigned depth = 511; depth < 514; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        CHECK((canonical(text, 2 * depth, &out) == DD_OK) == (depth <= 512));
    }
    memset(text, '[', sizeof text);
    CHECK(canonical(text, sizeof text, &out) != DD_OK);
    for (unsigned i = 0; i < 600; i++) memcpy(text + 5 * i, "{\"a\":", 5);
    CHECK(canonical(text, 3000, &out) != DD_OK);
    /* Depth, not number. */
    for (unsigned i = 0; i < 2000; i++) memcpy(text + 1 + 3 * i, "[],", 3);
    text[0] = '[';
    text[6000] = ']';
    CHECK(canonical(text, 6001, &out) == DD_OK);
}

static void large_documents_cost_no_more_than_sorting_them(void) {
    /* 300000 members from the last name to the first, each name twice, 400 levels down. */
    dd_buf text = {0};
    for (unsigned i = 0; i < 400; i++) dd_buf_add_text(&text, "{\"z\":1,\"a\":");
    dd_buf_add_byte(&text, '{');
    for (unsigned i = 300000; i > 0; i--) {
        char member[48];
        int length = snprintf(member, sizeof member, "%s\"n%06u\":%u", i < 300000 ? "," : "",
                              i / 2, i);
        dd_buf_add(&text, member, (size_t)length);
    }
    for (unsigned i = 0; i < 401; i++) dd_buf_add_byte(&text, '}');
    CHECK(canonical((char *)text.data, text.length, &out) == DD_OK);
    CHECK(canonical((char *)out.data, out.length, &again) == DD_OK);
    CHECK(same());
    CHECK(memcmp(out.data + 400 * 5, "{\"n000000\":1,\"n000001\":2,\"n000002\":4,", 37) == 0);
    dd_buf_free(&text);
}

/* ---- one random document, written in two ways ---- */

static uint64_t shape, style; /* seeds: what the document is, and how it is written */

static unsigned pick(uint64_t *seed, unsigned below) {
    return (unsigned)(check_random(seed) >> 33) % below;
}

static void write_blank(dd_buf *to) {
    static const char *const blanks[] = {"", "", "", " ", "\n", "\t \r"};
    dd_buf_add_text(to, blanks[pick(&style, COUNT(blanks))]);
}

static void write_string(dd_buf *to, const char *prefix) {
    static const struct { const char *forms[3]; } characters[] = {
        {{"a", "\\u0061", "a"}},
        {{"/", "\\/", "\\u002F"}},
        {{"\\n", "\\u000a", "\\u000A"}},
        {{"\\\"", "\\u0022", "\\\""}},
        {{"\\\\", "\\u005c", "\\\\"}},
        {{"\xc3\xa9", "\\u00e9", "\\u00E9"}},
        {{"\xf0\x9f\x98\x80", "\\ud83d\\ude00", "\\uD83D\\uDE00"}},
        {{"\\u0000", "\\u0000", "\\u0000"}},
        {{"longer plain text", "longer\\u0020plain text", "longer plain text"}},
    };
    dd_buf_add_byte(to, '"');
    dd_buf_add_text(to, prefix);
    for (unsigned count = pick(&shape, 4); count > 0; count--)
        dd_buf_add_text(to, characters[pick(&shape, COUNT(characters))].forms[pick(&style, 3)]);
    dd_buf_add_byte(to, '"');
}

static void write_number(dd_buf *to) {
    static const struct { const char *forms[3]; } numbers[] = {
        {{"0", "-0.0", "0e7"}},
        {{"-12", "-1.2e1", "-12.000"}},
        {{"1e5", "100000", "1000e+2"}},
        {{"0.25", "25E-2", "0.2500"}},
        {{"1e-2000", "0.1e-1999", "10E-2001"}},
    };
    dd_buf_add_text(to, numbers[pick(&shape, COUNT(numbers))].forms[pick(&style, 3)]);
}

static void write_value(dd_buf *to, unsigned depth);

static void write_array(dd_buf *to, unsigned depth) {
    dd_buf_add_byte(to, '[');
    for (unsigned i = 0, count = pick(&shape, 5); i < count; i++) {
        if (i) dd_buf_add_byte(to, ',');
        write_value(to, depth + 1);
    }
    dd_buf_add_byte(to, ']');
}

/* The members are made in one order and put down in another. */
static void write_object(dd_buf *to, unsigned depth) {
    dd_buf members[8] = {{0}};
    unsigned count = pick(&shape, 8);
    for (unsigned i = 0; i < count; i++) {
        char prefix[2] = {(char)('A' + i), 0};
        write_string(&members[i], prefix);
        write_blank(&members[i]);
        dd_buf_add_byte(&members[i], ':');
        write_value(&members[i], depth + 1);
    }
    dd_buf_add_byte(to, '{');
    for (unsigned left = count; left > 0; left--) {
        unsigned i = pick(&style, left);
        if (left < count) dd_buf_add_byte(to, ',');
        write_blank(to);
        dd_buf_add(to, members[i].data, members[i].length);
        dd_buf_free(&members[i]);
        members[i] = members[left - 1];
    }
    dd_buf_add_byte(to, '}');
}

static void write_value(dd_buf *to, unsigned depth) {
    write_blank(to);
    switch (pick(&shape, depth > 5 ? 3 : 5)) {
    case 0: dd_buf_add_text(to, pick(&shape, 2) ? "true" : "null"); break;
    case 1: write_number(to); break;
    case 2: write_string(to, ""); break;
    case 3: write_array(to, depth); break;
    default: write_object(to, depth); break;
    }
    write_blank(to);
}

static void random_documents_have_one_text_however_they_are_written(void) {
    dd_buf first = {0}, second = {0}, mangled = {0};
    uint64_t noise = 99;
    for (uint64_t i = 1; i <= 20000; i++) {
        dd_buf_clear(&first);
        dd_buf_clear(&second);
        shape = i, style = 2 * i;
        write_value(&first, 0);
        shape = i, style = 3 * i + 1;
        write_value(&second, 0);
        CHECK(canonical((char *)first.data, first.length, &out) == DD_OK);
        CHECK(canonical((char *)second.data, second.length, &again) == DD_OK);
        CHECK_MESSAGE(same(), "document %u: %.*s", (unsigned)i, (int)out.length, (char *)out.data);
        CHECK(canonical((char *)out.data, out.length, &again) == DD_OK);
        CHECK_MESSAGE(same(), "not idempotent: %.*s", (int)out.length, (char *)out.data);
        /* Broken documents are refused or taken, but never read past their end. */
        dd_buf_clear(&mangled);
        dd_buf_add(&mangled, first.data, pick(&noise, (unsigned)first.length) + 1);
        mangled.data[pick(&noise, (unsigned)mangled.length)] = (uint8_t)check_random(&noise);
        if (canonical((char *)mangled.data, mangled.length, &out) == DD_OK)
            CHECK(canonical((char *)out.data, out.length, &again) == DD_OK);
    }
    dd_buf_free(&first);
    dd_buf_free(&second);
    dd_buf_free(&mangled);
}

/* ---- values as JSON ---- */

/* Whether the JSON in `out` is the row of one field in `again`. */
static bool comes_back(dd_kind kind) {
    dd_buf row = {0};
    char *copy = dd_alloc(out.length);
    memcpy(copy, out.data, out.length);
    bool same_bytes = dd_json_parse(kind, copy, out.length, &row, &err) == DD_OK &&
                      row.length == again.length &&
                      memcmp(row.data, again.data, row.length) == 0;
    free(copy);
    dd_buf_free(&row);
    return same_bytes;
}

static void raw_values_come_back_from_json(void) {
    static const struct { char kind; const char *text; } dates[] = {
        {'D', "0000-00-00"}, {'D', "2020-02-31"}, {'S', "2020-00-15 10:00:00.500000"},
        {'S', "0000-00-00 00:00:00"},
    };
    for (size_t i = 0; i < COUNT(dates); i++) {
        char kinds[2] = {dates[i].kind, 0};
        dd_value value;
        dd_buf_clear(&again);
        CHECK(dd_row_add_raw_text(&again, (dd_kind)dates[i].kind, dates[i].text,
                                  strlen(dates[i].text), &err) == DD_OK);
        CHECK(dd_row_split(again.data, again.length, kinds, 1, &value, &err) == DD_OK);
        dd_buf_clear(&out);
        dd_json_render(&value, &out);
        CHECK(comes_back((dd_kind)dates[i].kind));
    }
    const uint64_t numbers[] = {2, 127, UINT64_MAX};
    for (size_t i = 0; i < COUNT(numbers); i++)
        for (unsigned negative = 0; negative < 2; negative++) {
            dd_value value;
            dd_buf_clear(&again);
            const uint64_t below = 0 - (numbers[i] >> 1 | 1);
            dd_row_add_raw_bool(&again, negative, negative ? below : numbers[i]);
            CHECK(dd_row_split(again.data, again.length, "b", 1, &value, &err) == DD_OK);
            dd_buf_clear(&out);
            dd_json_render(&value, &out);
            CHECK(comes_back(DD_KIND_BOOL));
        }
}

static void json_of_another_kind_is_refused(void) {
    static const struct { char kind; const char *text; } cases[] = {
        {'i', "true"}, {'i', "1.5"}, {'i', "\"x\""}, {'i', ""}, {'i', "[1]"}, {'b', "0"},
        {'b', "1"},
        {'b', "\"yes\""}, {'t', "5"}, {'t', "{}"}, {'t', "\"a"}, {'t', "\"a\"b\""},
        {'x', "\"6869\""}, {'x', "\"\\\\x6\""}, {'x', "\"\\\\xZZ\""}, {'x', "\"\\\\\""},
        {'D', "20200101"}, {'D', "\"2020-13-01\""}, {'u', "\"a0ee\""}, {'j', "{"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        dd_buf_clear(&out);
        CHECK_MESSAGE(dd_json_parse((dd_kind)cases[i].kind, cases[i].text, strlen(cases[i].text),
                                    &out, &err) != DD_OK && out.length == 0,
                      "%c: %s", cases[i].kind, cases[i].text);
    }
}

static void add_member(void *context, const dd_json_member *member) {
    dd_buf *text = context;
    dd_buf_add(text, member->name, member->name_length);
    dd_buf_add_byte(text, '=');
    dd_buf_add(text, member->value, member->value_length);
    dd_buf_add_byte(text, ';');
}

static void the_members_of_an_object_are_given_in_order(void) {
    static const char object[] =
        " { \"a\" : {\"b\": [1, \"\\u0041\"]} ,\"\\u00e9\":\"x\\n\", \"\":1e5 , "
        "\"a\":null } ";
    dd_buf_clear(&out);
    CHECK(dd_json_members(object, sizeof object - 1, add_member, &out, &err) == DD_OK);
    CHECK_TEXT(out.data, out.length,
               "a={\"b\": [1, \"\\u0041\"]};\xc3\xa9=\"x\\n\";=1e5;a=null;");
    static const char *const wrong[] = {"", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
                                        "{a:1}", "{} {}", "{\"a\":1 \"b\":2}", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        CHECK_MESSAGE(dd_json_members(wrong[i], strlen(wrong[i]), add_member, &out, &err) != DD_OK,
                      "%s", wrong[i]);
}

static void values_leave_as_json_without_losing_a_digit(void) {
    static const struct { char kind; const char *text, *expected; } cases[] = {
        {'b', "1", "true"}, {'i', "-12", "-12"}, {'i', "9007199254740992", "9007199254740992"},
        {'i', "9007199254740993", "\"9007199254740993\""},
        {'i', "-9007199254740992", "-9007199254740992"},
        {'i', "-9223372036854775808", "\"-9223372036854775808\""},
        {'i', "18446744073709551615", "\"18446744073709551615\""}, {'d', "1.50", "\"1.5\""},
        {'f', "0.5", "0.5"}, {'g', "1e300", "1e+300"}, {'g', "NaN", "\"NaN\""}, {'g', "-0", "-0"},
        {'f', "-Infinity", "\"-Infinity\""},
        {'t', "a\"b\\\n\x01/", "\"a\\\"b\\\\\\n\\u0001/\""},
        {'x', "hi\xff", "\"\\\\x6869ff\""}, {'D', "2026-11-22", "\"2026-11-22\""},
        {'T', "-1:00:00", "\"-01:00:00\""},
        {'S', "2026-11-22T01:02:03Z", "\"2026-11-22 01:02:03\""},
        {'j', "{\"b\":1,\"a\":\"x\"}", "{\"a\":\"x\",\"b\":1}"},
        {'u', "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        dd_value value;
        char kinds[2] = {cases[i].kind, 0};
        dd_buf_clear(&again);
        CHECK(dd_text_parse((dd_kind)cases[i].kind, cases[i].text, strlen(cases[i].text), &again,
                            &err) == DD_OK);
        CHECK(dd_row_split(again.data, again.length, kinds, 1, &value, &err) == DD_OK);
        dd_buf_clear(&out);
        dd_json_render(&value, &out);
        CHECK_TEXT(out.data, out.length, cases[i].expected);
        CHECK(comes_back((dd_kind)cases[i].kind));
    }
    dd_value null = {.kind = DD_KIND_INT};
    dd_buf_clear(&out);
    dd_json_render(&null, &out);
    CHECK_TEXT(out.data, out.length, "null");
    dd_buf_clear(&out);
    dd_json_string("a\xff\xe2\x82z\xf0\x9f\x98\x80", 9, &out);
    CHECK_TEXT(out.data, out.length, "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xf0\x9f\x98\x80\"");
}

int main(void) {
    RUN(json_of_the_same_content_has_one_text);
    RUN(text_that_is_not_json_is_refused);
    RUN(nesting_of_512_is_taken_and_deeper_is_refused);
    RUN(large_documents_cost_no_more_than_sorting_them);
    RUN(random_documents_have_one_text_however_they_are_written);
    RUN(values_leave_as_json_without_losing_a_digit);
    RUN(raw_values_come_back_from_json);
    RUN(json_of_another_kind_is_refused);
    RUN(the_members_of_an_object_are_given_in_order);
    dd_buf_free(&out);
    dd_buf_free(&again);
    return CHECK_RESULT();
}
