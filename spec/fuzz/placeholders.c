/*
 * Any text as SQL, for both servers: refused, or rewritten with a place for each parameter, into a
 * text that ends where it says.
 */

#include "fuzz.h"

#include "db/placeholders.h"

static void check(const char *sql, bool numbered) {
    static dd_buf out;
    dd_err err;
    unsigned count = 0;
    dd_buf_clear(&out);
    if (dd_placeholders(sql, numbered, &out, &count, &err) != DD_OK) {
        REQUIRE(err.class_ == DD_USAGE);
        return;
    }
    size_t marks = 0;
    for (const char *at = sql; *at; at++) marks += *at == '?';
    REQUIRE(count <= marks);
    REQUIRE(strlen((const char *)out.data) == out.length);
    if (marks == 0) REQUIRE(strcmp((const char *)out.data, sql) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *sql = malloc(size + 1);
    if (size) memcpy(sql, data, size);
    sql[size] = 0;
    check(sql, false);
    check(sql, true);
    free(sql);
    return 0;
}
