#include "bind/classify.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/error.h"
#include "db/classify.h"

static const char *optional_text(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    return luaL_optstring(L, -1, "");
}

/* classify { driver =, code =, sqlstate =, text =, phase = "connect"|"statement"|"commit" } -> error */
static int core_classify(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    const char *driver = optional_text(L, "driver");
    const char *sqlstate = optional_text(L, "sqlstate");
    const char *text = optional_text(L, "text");
    const char *phase_name = optional_text(L, "phase");
    lua_getfield(L, 1, "code");
    dd_err err;
    (void)dd_fail(&err, DD_INTERNAL, "%s", text);
    err.code = (int)luaL_optinteger(L, -1, 0);
    dd_err_text(err.sqlstate, sizeof err.sqlstate, sqlstate);
    dd_phase phase = strcmp(phase_name, "connect") == 0  ? DD_PHASE_CONNECT
                     : strcmp(phase_name, "commit") == 0 ? DD_PHASE_COMMIT
                                                         : DD_PHASE_STATEMENT;
    if (strcmp(driver, "mysql") == 0)
        dd_classify_mysql(&err, phase);
    else if (strcmp(driver, "postgres") == 0)
        dd_classify_postgres(&err, phase);
    else
        return dd_raise_usage(L, "driver: mysql or postgres expected");
    dd_push_error(L, &err);
    return 1;
}

/* classifications(): the tables as an array of { driver, code, sqlstate, text, class, at_commit } */
static int core_classifications(lua_State *L) {
    dd_classification row;
    lua_newtable(L);
    for (unsigned i = 0; dd_classification_at(i, &row); i++) {
        lua_createtable(L, 0, 6);
        lua_pushstring(L, row.driver);
        lua_setfield(L, -2, "driver");
        lua_pushinteger(L, row.code);
        lua_setfield(L, -2, "code");
        lua_pushstring(L, row.sqlstate);
        lua_setfield(L, -2, "sqlstate");
        lua_pushstring(L, row.text);
        lua_setfield(L, -2, "text");
        lua_pushstring(L, dd_class_name(row.class_));
        lua_setfield(L, -2, "class");
        lua_pushstring(L, dd_class_name(row.at_commit));
        lua_setfield(L, -2, "at_commit");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

void dd_open_classify(lua_State *L) {
    lua_pushcfunction(L, core_classify);
    lua_setfield(L, -2, "classify");
    lua_pushcfunction(L, core_classifications);
    lua_setfield(L, -2, "classifications");
}
