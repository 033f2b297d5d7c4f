#ifndef DD_BIND_TRANSFORMED_H
#define DD_BIND_TRANSFORMED_H

#include <lua.h>

#include "base/buf.h"
#include "row/value.h"

/*
 * Takes what a model's transform returned off the top of the stack: a packed row of `count` kinds is
 * added to `out` and *keep set; anything else leaves the row out. `values` has room for the row. Class
 * `usage` for a text that is no such row: whoever reads it trusts its lengths.
 */
DD_MUST_CHECK dd_status dd_take_transformed(lua_State *L, const char *kinds, unsigned count,
                                            dd_value *values, dd_buf *out, bool *keep,
                                            dd_err *err);

#endif
