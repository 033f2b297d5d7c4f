#include "bind/dual.h"

#include <lauxlib.h>

#include "bind/conn.h"
#include "bind/error.h"
#include "bind/params.h"
#include "pair/dual.h"

#define DUAL_TYPE "dualdb.dual"

/* User values 1 and 2 are the connections. */
typedef struct lua_dual {
    dd_dual *dual;
    dd_lua_conn *conn[2];
} lua_dual;

static lua_dual *any_dual(lua_State *L) { return luaL_checkudata(L, 1, DUAL_TYPE); }

static lua_dual *open_dual(lua_State *L) {
    lua_dual *self = any_dual(L);
    if (!self->dual || !self->conn[0]->conn || !self->conn[1]->conn)
        dd_raise_usage(L, "the dual write has ended");
    if (self->conn[0]->rows || self->conn[1]->rows)
        dd_raise_usage(L, "an open row stream holds a connection of the dual write");
    return self;
}

/* dual(primary, secondary): begins on both sides */
static int core_dual(lua_State *L) {
    dd_lua_conn *primary = dd_check_conn(L, 1), *secondary = dd_check_conn(L, 2);
    lua_dual *self = lua_newuserdatauv(L, sizeof *self, 2);
    *self = (lua_dual){.conn = {primary, secondary}};
    luaL_setmetatable(L, DUAL_TYPE);
    for (int i = 1; i <= 2; i++) {
        lua_pushvalue(L, i);
        lua_setiuservalue(L, -2, i);
    }
    dd_err err;
    if (dd_dual_begin(primary->conn, secondary->conn, &self->dual, &err)) return dd_raise(L, &err);
    return 1;
}

/* dual:primary(sql, kinds, row) -> result */
static int dual_primary(lua_State *L) {
    lua_dual *self = open_dual(L);
    const char *sql = luaL_checkstring(L, 2);
    unsigned count = dd_packed_params(L, self->conn[0], 3);
    dd_result result;
    dd_err err;
    if (dd_dual_primary(self->dual, sql, self->conn[0]->values, count, &result, &err))
        return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

/* dual:secondary(sql, kinds, row, expected|nil): sends; a failure shows at the next call */
static int dual_secondary(lua_State *L) {
    lua_dual *self = open_dual(L);
    const char *sql = luaL_checkstring(L, 2);
    unsigned count = dd_packed_params(L, self->conn[1], 3);
    lua_Integer expected = luaL_optinteger(L, 5, -1);
    dd_err err;
    if (dd_dual_secondary(self->dual, sql, self->conn[1]->values, count, expected, &err))
        return dd_raise(L, &err);
    return 0;
}

/* dual:execute(side, sql, ...): a statement with natural parameters, waited for */
static int dual_execute(lua_State *L) {
    static const char *const sides[] = {"primary", "secondary", NULL};
    lua_dual *self = open_dual(L);
    int side = luaL_checkoption(L, 2, NULL, sides);
    const char *sql = luaL_checkstring(L, 3);
    unsigned count = dd_natural_params(L, self->conn[side], 4);
    const dd_value *values = self->conn[side]->values;
    dd_result result;
    dd_err err;
    if (side == 0 ? dd_dual_primary(self->dual, sql, values, count, &result, &err)
                  : dd_dual_secondary(self->dual, sql, values, count, -1, &err) ||
                        dd_dual_settle(self->dual, &result, &err))
        return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

/* dual:settle() -> the result of the secondary's last statement */
static int dual_settle(lua_State *L) {
    lua_dual *self = open_dual(L);
    dd_result result;
    dd_err err;
    if (dd_dual_settle(self->dual, &result, &err)) return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

static int dual_commit(lua_State *L) {
    lua_dual *self = open_dual(L);
    dd_err err;
    if (dd_dual_commit(self->dual, &err)) return dd_raise(L, &err);
    return 0;
}

static int dual_rollback(lua_State *L) {
    lua_dual *self = open_dual(L);
    dd_dual_rollback(self->dual);
    return 0;
}

/* Rolls back what is open, if the connections still are there. */
static int dual_close(lua_State *L) {
    lua_dual *self = any_dual(L);
    dd_dual *dual = self->dual;
    self->dual = NULL;
    if (!dual) return 0;
    if (self->conn[0]->conn && self->conn[1]->conn)
        dd_dual_free(dual);
    else
        dd_dual_forget(dual);
    return 0;
}

static const luaL_Reg methods[] = {
    {"primary", dual_primary},   {"secondary", dual_secondary}, {"execute", dual_execute},
    {"settle", dual_settle},     {"commit", dual_commit},       {"rollback", dual_rollback},
    {"close", dual_close},       {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", dual_close},
    {"__close", dual_close},
    {NULL, NULL},
};

void dd_open_dual(lua_State *L) {
    luaL_newmetatable(L, DUAL_TYPE);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_dual);
    lua_setfield(L, -2, "dual");
}
