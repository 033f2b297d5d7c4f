/*
 * Rows as LOAD DATA reads them: whatever the values are, the text has as many fields and rows as it
 * should, and a field read by the server's rules is the value again, where its text is its bytes.
 *
 * Input: the number of columns and a kind for each, then the row.
 */

#include "fuzz.h"

#include "db/mysql_load.h"

enum { MOST_COLUMNS = 8 };
static const char letters[] = "bidfgtxDTSjuB";

static uint8_t unescaped(uint8_t byte) {
    switch (byte) {
    case '0': return '\0';
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'b': return '\b';
    case 'Z': return 26;
    default: return byte;
    }
}

/* Reads the field at the start of the text as the server does; returns what it takes. */
static size_t read_field(const uint8_t *text, size_t length, dd_buf *value, bool *is_null) {
    size_t at = 0;
    dd_buf_clear(value);
    *is_null = length >= 2 && text[0] == '\\' && text[1] == 'N' &&
               (length == 2 || text[2] == '\t');
    for (; at < length && text[at] != '\t'; at++) {
        REQUIRE(text[at] != '\n');
        const bool escaped = text[at] == '\\';
        if (escaped) REQUIRE(++at < length);
        dd_buf_add_byte(value, escaped ? unescaped(text[at]) : text[at]);
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static dd_buf text, field;
    static dd_mysql_params params;
    dd_value values[MOST_COLUMNS];
    dd_err err;
    if (size < 1) return 0;
    const unsigned count = 1 + data[0] % MOST_COLUMNS;
    if (size < 1 + count) return 0;
    char kinds[MOST_COLUMNS + 1] = {0};
    for (unsigned i = 0; i < count; i++) kinds[i] = letters[data[1 + i] % (sizeof letters - 1)];
    if (dd_row_split(data + 1 + count, size - 1 - count, kinds, count, values, &err) != DD_OK)
        return 0;
    dd_mysql_params_reserve(&params, count);
    dd_buf_clear(&text);
    for (unsigned i = 0; i < count; i++) {
        const size_t before = text.length;
        if (dd_mysql_params_set(&params, i, &values[i], "column", i + 1, &err) != DD_OK) return 0;
        if (!dd_mysql_infile_put(&params.binds[i], &text)) {
            REQUIRE(text.length == before);
            return 0;
        }
        dd_buf_add_byte(&text, i + 1 < count ? '\t' : '\n');
    }
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        bool is_null;
        at += read_field(text.data + at, text.length - 1 - at, &field, &is_null);
        REQUIRE(text.data[at] == (i + 1 < count ? '\t' : '\n'));
        at++;
        REQUIRE(is_null == !values[i].data);
        const bool as_it_is = kinds[i] == DD_KIND_TEXT || kinds[i] == DD_KIND_JSON ||
                              kinds[i] == DD_KIND_DECIMAL;
        if (!is_null && as_it_is)
            REQUIRE(field.length == values[i].length &&
                    (field.length == 0 || memcmp(field.data, values[i].data, field.length) == 0));
    }
    REQUIRE(at == text.length);
    return 0;
}
