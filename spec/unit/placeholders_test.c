#include "db/placeholders.h"
#include "support/check.h"

/* What dd_placeholders makes of `sql`: text and count, or the message of its error. */
static void check(bool numbered, const char *sql, const char *expected, unsigned placeholders) {
    dd_buf out = {0};
    dd_err err;
    unsigned count = 999;
    dd_buf_add_text(&out, "before:"); /* the text is appended */
    dd_status status = dd_placeholders(sql, numbered, &out, &count, &err);
    CHECK_MESSAGE(status == DD_OK, "%s: fails", sql);
    if (status == DD_OK) {
        CHECK_TEXT(out.data + 7, out.length - 7, expected);
        CHECK_MESSAGE(out.data[out.length] == 0, "%s: no NUL byte at the end", sql);
        CHECK_MESSAGE(count == placeholders, "%s: %u placeholders", sql, count);
    }
    dd_buf_free(&out);
}

static void postgres(const char *sql, const char *expected, unsigned placeholders) {
    check(true, sql, expected, placeholders);
}
static void mysql(const char *sql, const char *expected, unsigned placeholders) {
    check(false, sql, expected, placeholders);
}

/* Text in which no question mark is a placeholder. */
static void postgres_leaves(const char *sql) { postgres(sql, sql, 0); }
static void mysql_leaves(const char *sql) { mysql(sql, sql, 0); }

static void refused(bool numbered, const char *sql, const char *message) {
    dd_buf out = {0};
    dd_err err = {0};
    unsigned count;
    dd_buf_add_text(&out, "before");
    dd_status status = dd_placeholders(sql, numbered, &out, &count, &err);
    CHECK_MESSAGE(status == DD_FAIL, "%s: accepted", sql);
    CHECK(err.class_ == DD_USAGE);
    CHECK_TEXT(err.message, strlen(err.message), message);
    CHECK_TEXT(out.data, out.length, "before");
    dd_buf_free(&out);
}

static void placeholders_are_numbered_from_one(void) {
    postgres("", "", 0);
    postgres("select 1", "select 1", 0);
    postgres("?", "$1", 1);
    postgres("select ?, ?", "select $1, $2", 2);
    postgres("(?,?,?,?,?,?,?,?,?,?,?)", "($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)", 11);
    mysql("select ?, ?", "select ?, ?", 2);
}

static void a_doubled_question_mark_is_a_plain_one(void) {
    postgres("select a ?? b", "select a ? b", 0);
    postgres("select a ??| ? and b ??& ?", "select a ?| $1 and b ?& $2", 2);
    postgres("a ???", "a ?$1", 1);
    postgres("a ????", "a ??", 0);
    mysql("select ??", "select ?", 0);
    mysql("select ???", "select ??", 1);
}

static void a_number_never_melts_into_its_neighbours(void) {
    postgres("limit?", "limit $1", 1);
    postgres("?and", "$1 and", 1);
    postgres("x=?and y=?1", "x=$1 and y=$2 1", 2);
    postgres("7?7", "7 $1 7", 1);
    postgres("?::int+?", "$1::int+$2", 2);
    postgres("$$a$$?", "$$a$$ $1", 1);
    postgres("\xC3\xA9?\xC3\xA9", "\xC3\xA9 $1 \xC3\xA9", 1);
    postgres("?$$a$$", "$1 $$a$$", 1);
    postgres("??", "?", 0);
}

static void literals_and_names_are_left_alone(void) {
    postgres_leaves("select '?', 'it''s ?', \"a?\", \"a\"\"?\", '', ''''");
    postgres("'a'?'b'", "'a'$1'b'", 1);
    postgres("'\\'?", "'\\'$1", 1); /* a backslash is an ordinary character */
    postgres_leaves("U&'\\0041?' U&\"?\" B'01?' x'?' N'?'");
    mysql_leaves("select '?', 'it''s ?', 'it\\'s ?', \"a?\", \"a\"\"?\", \"\\\"?\", `a?`, `a``?`");
    mysql("'\\\\'?", "'\\\\'?", 1);
    mysql("`\\`?", "`\\`?", 1); /* no backslashes in names */
    postgres("`?`", "`$1`", 1); /* no quote here */
}

static void escape_strings_end_where_postgresql_ends_them(void) {
    postgres_leaves("E'a\\'?', e'\\\\', E'''?\\''");
    postgres("E'\\\\'?", "E'\\\\'$1", 1);
    postgres("name'\\'?", "name'\\'$1", 1);     /* the e belongs to a name */
    postgres("e '\\'?", "e '\\'$1", 1);         /* the e stands alone */
    postgres("1e'\\'?'?", "1e'\\'?'$1", 1);
    postgres_leaves("E'a'\n'\\'?'");            /* the next line is still an escape string */
    postgres_leaves("E'a' -- x\n -- y\n '\\'?'");
    postgres("E'a' '\\'?", "E'a' '\\'$1", 1);   /* on the same line it is not */
    postgres("E'a'\n?", "E'a'\n$1", 1);
    postgres("E'a'\n-- '\n?", "E'a'\n-- '\n$1", 1);
    refused(true, "E'\\'", "statement has an unterminated quoted text");
    refused(true, "E'\\", "statement has an unterminated quoted text");
    refused(true, "E'a'\n'\\'", "statement has an unterminated quoted text");
}

static void dollar_quotes_end_with_their_own_tag(void) {
    postgres_leaves("$$?$$");
    postgres_leaves("$tag$ ? $$ ? $tagg$ ? $tag$");
    postgres_leaves("$a$ $b$ ? $b$ ' $a$");
    postgres_leaves("$\xC3\xA9$?$\xC3\xA9$");
    postgres_leaves("$_1$?$_1$");
    postgres_leaves("do $body$ begin perform '?' -- ?\n; end $body$");
    postgres("a$b$?", "a$b$ $1", 1);           /* a name */
    postgres("a$b$ ? c$b$", "a$b$ $1 c$b$", 1);
}

static void a_dollar_number_beside_placeholders_is_refused(void) {
    postgres_leaves("select $1, $2");
    postgres_leaves("prepare p as select $1");
    refused(true, "select $1, ?", "statement has both ? and $1 placeholders");
    refused(true, "select ?, $12", "statement has both ? and $1 placeholders");
    postgres("select '$1', ?, \"$2\", $$ $3 $$, a$4 /* $5 */ -- $6",
             "select '$1', $1, \"$2\", $$ $3 $$, a$4 /* $5 */ -- $6", 1);
    mysql("select a$1, ?", "select a$1, ?", 1);
}

static void comments_are_left_alone(void) {
    postgres_leaves("-- ?");
    postgres_leaves("--?");
    postgres_leaves("--");
    postgres("select 1 -- ' ?\n, ?", "select 1 -- ' ?\n, $1", 1);
    postgres("-- ?\r?", "-- ?\r$1", 1);
    postgres("a - - ?", "a - - $1", 1);
    postgres("1--?\n+?", "1--?\n+$1", 1);
    postgres("/* ? */ ?", "/* ? */ $1", 1);
    postgres("/* /* ? */ ' ? */ ?", "/* /* ? */ ' ? */ $1", 1);
    postgres("/*/* */*/?", "/*/* */*/$1", 1);
    postgres("/**/?/***/", "/**/$1/***/", 1);
    postgres("? # ?", "$1 # $2", 2); /* an operator */
    mysql("-- ?\n?", "-- ?\n?", 1);
    mysql_leaves("--");
    mysql_leaves("-- ?");
    mysql_leaves("--\t?");
    mysql("--?", "--?", 1); /* two minus signs */
    mysql("5--?\n", "5--?\n", 1);
    mysql("# ' ?\n?", "# ' ?\n?", 1);
    mysql_leaves("select 1 # ?");
    mysql("/* /* ? */ ?", "/* /* ? */ ?", 1); /* not nested */
    mysql_leaves("/*! ? */");
    mysql_leaves("/*!80000 ? */");
    mysql_leaves("/*+ ? */");
    mysql("/*! straight_join */ ?", "/*! straight_join */ ?", 1);
    mysql_leaves("/*! ?? */");
}

static void quotes_in_comments_and_comments_in_quotes_do_not_count(void) {
    postgres("/* ' */ ? '/*' ? '*/' ?", "/* ' */ $1 '/*' $2 '*/' $3", 3);
    postgres("'--' ? \"--\" ? $$--$$ ?", "'--' $1 \"--\" $2 $$--$$ $3", 3);
    postgres("-- /*\n ?", "-- /*\n $1", 1);
    postgres("/* -- */ ?", "/* -- */ $1", 1);
    mysql("'#' ? \"-- \" ? `/*` ?", "'#' ? \"-- \" ? `/*` ?", 3);
    mysql("# /*\n?", "# /*\n?", 1);
}

static void what_is_not_terminated_is_refused(void) {
    static const char *const quoted[] = {"'", "'a", "'a''", "\"", "\"a\"\"", "select ? '?"};
    for (size_t i = 0; i < sizeof quoted / sizeof *quoted; i++) {
        refused(true, quoted[i], "statement has an unterminated quoted text");
        refused(false, quoted[i], "statement has an unterminated quoted text");
    }
    refused(false, "'\\'", "statement has an unterminated quoted text");
    refused(false, "'\\", "statement has an unterminated quoted text");
    refused(false, "`a", "statement has an unterminated quoted text");
    refused(true, "$$ a", "statement has an unterminated quoted text");
    refused(true, "$a$ $$ $b$ $A$", "statement has an unterminated quoted text");
    refused(true, "/* a", "statement has an unterminated comment");
    refused(true, "/* /* */", "statement has an unterminated comment");
    refused(true, "/*/", "statement has an unterminated comment");
    refused(false, "/* a", "statement has an unterminated comment");
    refused(false, "/*/", "statement has an unterminated comment");
}

/* Any bytes at all: no read past the end, and MySQL's text never grows. */
static void no_text_makes_it_read_past_the_end(void) {
    static const char alphabet[] = "?''?\"\"`$$$-/*#\\\n eEx1_ \xC3";
    uint64_t seed = 42;
    for (unsigned i = 0; i < 200000; i++) {
        const size_t length = check_random(&seed) % 24;
        char *sql = dd_alloc(length + 1); /* on the heap, where sanitizers see the end */
        for (size_t j = 0; j < length; j++)
            sql[j] = alphabet[check_random(&seed) % (sizeof alphabet - 1)];
        sql[length] = '\0';
        for (int numbered = 0; numbered <= 1; numbered++) {
            dd_buf out = {0};
            dd_err err;
            unsigned count;
            if (dd_placeholders(sql, numbered, &out, &count, &err) == DD_OK)
                CHECK_MESSAGE(count <= length && (numbered || out.length <= length), "%s", sql);
            dd_buf_free(&out);
        }
        free(sql);
    }
}

int main(void) {
    RUN(placeholders_are_numbered_from_one);
    RUN(a_doubled_question_mark_is_a_plain_one);
    RUN(a_number_never_melts_into_its_neighbours);
    RUN(literals_and_names_are_left_alone);
    RUN(escape_strings_end_where_postgresql_ends_them);
    RUN(dollar_quotes_end_with_their_own_tag);
    RUN(a_dollar_number_beside_placeholders_is_refused);
    RUN(comments_are_left_alone);
    RUN(quotes_in_comments_and_comments_in_quotes_do_not_count);
    RUN(what_is_not_terminated_is_refused);
    RUN(no_text_makes_it_read_past_the_end);
    return CHECK_RESULT();
}
