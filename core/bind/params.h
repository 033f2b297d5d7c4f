#ifndef DD_BIND_PARAMS_H
#define DD_BIND_PARAMS_H

#include "bind/conn.h"

/* The Lua values from stack index `first` to the top, each by its natural kind, as parameters in
 * conn->values. Raises on values that cannot be bound. */
unsigned dd_natural_params(lua_State *L, dd_lua_conn *conn, int first);

/* A kinds string at `index` and a canonical row at index + 1, as parameters in conn->values; nil
 * kinds mean no parameters. The views point into the Lua string. */
unsigned dd_packed_params(lua_State *L, dd_lua_conn *conn, int index);

/* Pushes { affected, insert_id, tag, warned }. */
int dd_push_result(lua_State *L, const dd_result *result);

#endif
