#ifndef DD_BIND_ARGUMENTS_H
#define DD_BIND_ARGUMENTS_H

#include <lua.h>

#include "bind/conn.h"
#include "pair/compare.h"
#include "pair/copy.h"

/*
 * The fields of the table of arguments at stack index 1. Texts and values live as long as they are in
 * that table; each call leaves what it read on the stack. All raise on what is none.
 */

const char *dd_arg_text(lua_State *L, const char *name);
const char *dd_arg_kinds(lua_State *L, const char *name, unsigned *count);
bool dd_arg_flag(lua_State *L, const char *name);
/* `otherwise` when the field is absent. */
double dd_arg_number(lua_State *L, const char *name, double otherwise);
lua_Integer dd_arg_integer(lua_State *L, const char *name, lua_Integer otherwise);
/* key_columns: 1 to `count`, or 0 when it is absent and not required. */
unsigned dd_arg_key(lua_State *L, unsigned count, bool required);
dd_lua_conn *dd_arg_conn(lua_State *L, const char *name);
/* The stack index of a function, or 0 when it is absent and not required. */
int dd_arg_function(lua_State *L, const char *name, bool required);
/* The crossing, or NULL when it is absent. */
dd_crossing *dd_arg_crossing(lua_State *L);
/* Parameters of a query: the field `kinds` has their kinds, `row` a canonical row of them; none when
 * they are absent. The views are in a userdata, which is left on the stack. */
dd_query_params dd_arg_params(lua_State *L, const char *kinds, const char *row);
/* What is copied: source, target, query, param_kinds, params, kinds, table, columns, crossing,
 * most_seconds, most_bytes. Returns the number of columns; the connections go to `conns`, the source
 * first. */
unsigned dd_arg_copy(lua_State *L, dd_copy_spec *spec, dd_lua_conn *conns[2]);
/* What is compared: primary, secondary, primary_query, primary_param_kinds|nil, primary_params|nil,
 * secondary_query, secondary_param_kinds|nil, secondary_params|nil, kinds, key_columns, ordered,
 * repeats|nil, expected_rows|nil, spill_directory|nil, crossing|nil, chunk_rows|nil, chunk_bytes|nil,
 * most_seconds|nil. Returns the number of columns; the connections go to `conns`. */
unsigned dd_arg_compare(lua_State *L, dd_compare_spec *spec, dd_lua_conn *conns[2]);

#endif
