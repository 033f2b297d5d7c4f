#ifndef DD_BIND_VALUE_H
#define DD_BIND_VALUE_H

#include <lua.h>

#include "row/value.h"

/*
 * Lua values and canonical values. NULL is a light userdata with no address (so it equals cjson's
 * null); bytes are marked by a userdata on the way in and are plain strings on the way out.
 */

/* Pushes the Lua value: see design, "Values". `text` is scratch. */
void dd_push_value(lua_State *L, const dd_value *value, dd_buf *text);

/* Adds the Lua value at `index` to `row` as a field of the given kind. Fails with class `data`. */
DD_MUST_CHECK dd_status dd_add_value(lua_State *L, int index, dd_kind kind, dd_buf *row,
                                     dd_err *err);

/* Pushes the digest of a row as text: what digest(row) returns. */
void dd_push_digest(lua_State *L, const dd_digest *digest);

/* The kind that a Lua value has by itself, as a parameter: DD_KIND_UNSUPPORTED for tables and such;
 * nil and NULL are text. */
dd_kind dd_natural_kind(lua_State *L, int index);

/* A scratch buffer that lives as long as the userdata it is in; pushes the userdata. */
dd_buf *dd_new_scratch(lua_State *L);

/* A checked string of kind letters. */
const char *dd_check_kinds(lua_State *L, int index, unsigned *count);

/* Adds NULL, bytes, pack, unpack, prefix, row_json and friends to the module table on the top. */
void dd_open_value(lua_State *L);

#endif
