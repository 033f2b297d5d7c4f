#include "bind/arguments.h"

#include <lauxlib.h>

#include "bind/crossing.h"
#include "bind/error.h"
#include "bind/value.h"

const char *dd_arg_text(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    if (lua_type(L, -1) != LUA_TSTRING) dd_raise_usage(L, "%s: text expected", name);
    return lua_tostring(L, -1);
}

const char *dd_arg_kinds(lua_State *L, const char *name, unsigned *count) {
    dd_arg_text(L, name);
    return dd_check_kinds(L, lua_gettop(L), count);
}

bool dd_arg_flag(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    return lua_toboolean(L, -1);
}

double dd_arg_number(lua_State *L, const char *name, double otherwise) {
    lua_getfield(L, 1, name);
    if (lua_isnil(L, -1)) return otherwise;
    if (!lua_isnumber(L, -1)) dd_raise_usage(L, "%s: number expected", name);
    return lua_tonumber(L, -1);
}

lua_Integer dd_arg_integer(lua_State *L, const char *name, lua_Integer otherwise) {
    lua_getfield(L, 1, name);
    if (lua_isnil(L, -1)) return otherwise;
    if (!lua_isinteger(L, -1)) dd_raise_usage(L, "%s: integer expected", name);
    return lua_tointeger(L, -1);
}

unsigned dd_arg_key(lua_State *L, unsigned count, bool required) {
    lua_getfield(L, 1, "key_columns");
    if (lua_isnil(L, -1) && !required) return 0;
    lua_Integer key_columns = luaL_checkinteger(L, -1);
    if (key_columns < 1 || key_columns > (lua_Integer)count)
        dd_raise_usage(L, "key_columns: 1 to the number of columns expected");
    return (unsigned)key_columns;
}

dd_lua_conn *dd_arg_conn(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    return dd_check_conn(L, lua_gettop(L));
}

int dd_arg_function(lua_State *L, const char *name, bool required) {
    lua_getfield(L, 1, name);
    if (lua_isnil(L, -1) && !required) return 0;
    if (!lua_isfunction(L, -1)) dd_raise_usage(L, "%s: function expected", name);
    return lua_gettop(L);
}

dd_crossing *dd_arg_crossing(lua_State *L) {
    lua_getfield(L, 1, "crossing");
    return lua_isnil(L, -1) ? NULL : dd_check_crossing(L, lua_gettop(L));
}

dd_query_params dd_arg_params(lua_State *L, const char *kinds_name, const char *row_name) {
    lua_getfield(L, 1, kinds_name);
    if (lua_isnil(L, -1)) return (dd_query_params){0};
    unsigned count;
    const char *kinds = dd_check_kinds(L, lua_gettop(L), &count);
    lua_getfield(L, 1, row_name);
    size_t length;
    const char *row = lua_tolstring(L, -1, &length);
    if (!row) dd_raise_usage(L, "%s: a canonical row expected", row_name);
    dd_value *values = lua_newuserdatauv(L, (count + 1) * sizeof *values, 0);
    dd_err err;
    if (dd_row_split((const uint8_t *)row, length, kinds, count, values, &err)) dd_raise(L, &err);
    return (dd_query_params){values, count};
}

/* A count; none when it is absent or negative. */
static uint64_t count_of(lua_State *L, const char *name) {
    lua_Integer value = dd_arg_integer(L, name, 0);
    return value > 0 ? (uint64_t)value : 0;
}

unsigned dd_arg_copy(lua_State *L, dd_copy_spec *spec, dd_lua_conn *conns[2]) {
    unsigned count;
    luaL_checkstack(L, 20, "copy");
    *spec = (dd_copy_spec){0};
    conns[0] = dd_arg_conn(L, "source");
    conns[1] = dd_arg_conn(L, "target");
    spec->source = conns[0]->conn;
    spec->target = conns[1]->conn;
    spec->query = dd_arg_text(L, "query");
    spec->params = dd_arg_params(L, "param_kinds", "params");
    spec->kinds = dd_arg_kinds(L, "kinds", &count);
    spec->table = dd_arg_text(L, "table");
    spec->columns = dd_arg_text(L, "columns");
    spec->crossing = dd_arg_crossing(L);
    spec->most_seconds = dd_arg_number(L, "most_seconds", 0);
    spec->most_bytes = count_of(L, "most_bytes");
    return count;
}

unsigned dd_arg_compare(lua_State *L, dd_compare_spec *spec, dd_lua_conn *conns[2]) {
    unsigned count;
    luaL_checkstack(L, 40, "compare");
    *spec = (dd_compare_spec){0};
    conns[0] = dd_arg_conn(L, "primary");
    conns[1] = dd_arg_conn(L, "secondary");
    spec->conn[0] = conns[0]->conn;
    spec->conn[1] = conns[1]->conn;
    spec->query[0] = dd_arg_text(L, "primary_query");
    spec->query[1] = dd_arg_text(L, "secondary_query");
    spec->params[0] = dd_arg_params(L, "primary_param_kinds", "primary_params");
    spec->params[1] = dd_arg_params(L, "secondary_param_kinds", "secondary_params");
    spec->kinds = dd_arg_kinds(L, "kinds", &count);
    spec->key_columns = dd_arg_key(L, count, true);
    spec->ordered = dd_arg_flag(L, "ordered");
    spec->repeats = dd_arg_flag(L, "repeats");
    spec->expected_rows = count_of(L, "expected_rows");
    lua_getfield(L, 1, "spill_directory");
    spec->spill_directory = luaL_optstring(L, -1, NULL);
    spec->crossing = dd_arg_crossing(L);
    spec->chunk_rows = count_of(L, "chunk_rows");
    spec->chunk_bytes = count_of(L, "chunk_bytes");
    spec->most_seconds = dd_arg_number(L, "most_seconds", 0);
    return count;
}
