#include "bind/transformed.h"

dd_status dd_take_transformed(lua_State *L, const char *kinds, unsigned count, dd_value *values,
                              dd_buf *out, bool *keep, dd_err *err) {
    dd_status status = DD_OK;
    *keep = lua_type(L, -1) == LUA_TSTRING;
    if (*keep) {
        size_t length;
        const char *text = lua_tolstring(L, -1, &length);
        if (dd_row_split((const uint8_t *)text, length, kinds, count, values, err))
            status = dd_fail(err, DD_USAGE, "the transform returned no row of these columns");
        else
            dd_buf_add(out, text, length);
    }
    lua_pop(L, 1);
    return status;
}
