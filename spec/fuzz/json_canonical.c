/* Any text as JSON: refused, or made canonical; and what is canonical stays what it is. */

#include "fuzz.h"

#include "row/json_canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static dd_buf once, twice;
    dd_err err;
    dd_buf_clear(&once);
    if (dd_json_canonical((const char *)data, size, &once, &err) != DD_OK) {
        REQUIRE(err.class_ == DD_DATA);
        return 0;
    }
    dd_buf_clear(&twice);
    REQUIRE(dd_json_canonical((const char *)once.data, once.length, &twice, &err) == DD_OK);
    REQUIRE(fuzz_same(&once, &twice));
    return 0;
}
