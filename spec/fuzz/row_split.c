/*
 * Rows that come back from Lua as strings of any bytes: they are split or refused, and what is
 * split is shown, compared and digested without a look beyond its end.
 *
 * Input: a byte with the number of columns, their kinds, the row.
 */

#include "fuzz.h"

#include "row/text.h"

#define MOST_COLUMNS 8

static const char letters[] = "bidfgtxDTSjuB";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static dd_buf text;
    if (size < 1) return 0;
    unsigned count = data[0] % (MOST_COLUMNS + 1);
    if (size < 1 + count) return 0;
    char kinds[MOST_COLUMNS + 1] = {0};
    for (unsigned i = 0; i < count; i++) {
        /* As a letter where it is one, so that a corpus can be read. */
        const char *known = data[1 + i] ? strchr(letters, data[1 + i]) : NULL;
        kinds[i] = known ? *known : letters[data[1 + i] % (sizeof letters - 1)];
    }
    size_t length = size - 1 - count;
    uint8_t *row = malloc(length + 1); /* of just this length, for the sanitizer */
    row = realloc(row, length ? length : 1);
    if (length) memcpy(row, data + 1 + count, length);
    dd_value values[MOST_COLUMNS];
    dd_err err;
    if (dd_row_split(row, length, kinds, count, values, &err) == DD_OK) {
        for (unsigned i = 0; i < count; i++) {
            dd_buf_clear(&text);
            if (values[i].data) dd_text_render(&values[i], &text);
            dd_json_render(&values[i], &text);
        }
        REQUIRE(dd_row_prefix(row, count) == length);
        dd_digest digest = dd_row_digest(row, length), same = dd_row_digest(row, length);
        REQUIRE(digest.low == same.low && digest.high == same.high);
    } else {
        REQUIRE(err.class_ == DD_INTERNAL);
    }
    free(row);
    return 0;
}
