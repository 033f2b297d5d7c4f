/*
 * Any text as a decimal: refused, or made canonical, which it then stays; the same value comes back
 * from PostgreSQL's binary form; and it is in order with itself and with the text before it.
 */

#include "fuzz.h"

#include "row/decimal.h"

static void check_order(const dd_buf *a, const dd_buf *b) {
    int ab = dd_decimal_compare(a->data, a->length, b->data, b->length);
    int ba = dd_decimal_compare(b->data, b->length, a->data, a->length);
    REQUIRE((ab > 0) == (ba < 0) && (ab < 0) == (ba > 0));
    REQUIRE((ab == 0) == fuzz_same(a, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static dd_buf once, twice, wire, before;
    dd_err err;
    dd_buf_clear(&once);
    if (dd_decimal_canonical((const char *)data, size, &once, &err) != DD_OK) {
        REQUIRE(err.class_ == DD_DATA);
        return 0;
    }
    dd_buf_clear(&twice);
    REQUIRE(dd_decimal_canonical((const char *)once.data, once.length, &twice, &err) == DD_OK);
    REQUIRE(fuzz_same(&once, &twice));
    REQUIRE(dd_decimal_compare(once.data, once.length, twice.data, twice.length) == 0);
    if (before.length) check_order(&once, &before);
    dd_buf_clear(&before);
    dd_buf_add(&before, once.data, once.length);

    dd_buf_clear(&wire);
    if (dd_decimal_to_pg(once.data, once.length, &wire, &err) != DD_OK) {
        REQUIRE(err.class_ == DD_DATA);
        return 0;
    }
    dd_buf_clear(&twice);
    REQUIRE(dd_decimal_from_pg(wire.data, wire.length, &twice, &err) == DD_OK);
    REQUIRE(fuzz_same(&once, &twice));
    return 0;
}
