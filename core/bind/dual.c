#include "bind/dual.h"

#include <lauxlib.h>

#include "bind/conn.h"
#include "bind/error.h"
#include "bind/params.h"
#include "pair/dual.h"
#include "pair/steps.h"

#define DUAL_TYPE "dualdb.dual"

enum { PRIMARY, SECONDARY };

static const char *const side_names[] = {"primary", "secondary", NULL};

/* User values 1 and 2 are the connections; NULL (and nil) for a side that takes no part. */
typedef struct lua_dual {
    dd_dual *dual;
    dd_lua_conn *conn[2];
} lua_dual;

static lua_dual *any_dual(lua_State *L) { return luaL_checkudata(L, 1, DUAL_TYPE); }

static bool connected(const lua_dual *self) {
    for (int i = 0; i < 2; i++)
        if (self->conn[i] && !self->conn[i]->conn) return false;
    return true;
}

static lua_dual *open_dual(lua_State *L) {
    lua_dual *self = any_dual(L);
    if (!self->dual || !connected(self)) dd_raise_usage(L, "the dual write has ended");
    for (int i = 0; i < 2; i++)
        if (self->conn[i] && self->conn[i]->rows)
            dd_raise_usage(L, "an open row stream holds a connection of the dual write");
    return self;
}

static dd_lua_conn *part(lua_State *L, lua_dual *self, int side) {
    if (!self->conn[side])
        dd_raise_usage(L, "the %s takes no part in this write", side_names[side]);
    return self->conn[side];
}

/* ---- beginning ---- */

static dd_dual_protocol protocol_field(lua_State *L) {
    lua_getfield(L, 1, "protocol");
    const char *name = luaL_checkstring(L, -1);
    for (int i = 0; i < DD_DUAL_PROTOCOL_COUNT; i++)
        if (strcmp(dd_dual_protocol_name((dd_dual_protocol)i), name) == 0)
            return (dd_dual_protocol)i;
    dd_raise_usage(L, "there is no protocol \"%s\"", name);
    return DD_DUAL_PROTOCOL_COUNT;
}

static const char *text_field(lua_State *L, const char *name, bool required) {
    lua_getfield(L, 1, name);
    if (lua_isnil(L, -1) && !required) return NULL;
    return luaL_checkstring(L, -1); /* stays on the stack, so the pointer lives */
}

/* dual { protocol, gid, decision, primary|nil, secondary|nil, opening|nil, lenient|nil }: begins */
static int core_dual(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    dd_dual_settings settings = {.protocol = protocol_field(L)};
    settings.gid = text_field(L, "gid", true);
    settings.decision = text_field(L, "decision", true);
    settings.opening = text_field(L, "opening", false);
    lua_getfield(L, 1, "lenient");
    settings.lenient = lua_toboolean(L, -1);
    lua_dual *self = lua_newuserdatauv(L, sizeof *self, 2);
    *self = (lua_dual){0};
    luaL_setmetatable(L, DUAL_TYPE);
    for (int i = 0; i < 2; i++) {
        lua_getfield(L, 1, side_names[i]);
        if (!lua_isnil(L, -1)) self->conn[i] = dd_check_conn(L, lua_gettop(L));
        lua_setiuservalue(L, -2, i + 1);
    }
    if (self->conn[PRIMARY]) settings.primary = self->conn[PRIMARY]->conn;
    if (self->conn[SECONDARY]) settings.secondary = self->conn[SECONDARY]->conn;
    dd_err err;
    if (dd_dual_begin(&settings, &self->dual, &err)) return dd_raise(L, &err);
    return 1;
}

/* ---- statements ---- */

/* dual:ready(): before the primary's connection is used for a statement that is not sent from here */
static int dual_ready(lua_State *L) {
    dd_err err;
    if (dd_dual_ready(open_dual(L)->dual, &err)) return dd_raise(L, &err);
    return 0;
}

/* dual:primary(sql, kinds, row) -> result */
static int dual_primary(lua_State *L) {
    lua_dual *self = open_dual(L);
    const char *sql = luaL_checkstring(L, 2);
    dd_lua_conn *conn = part(L, self, PRIMARY);
    unsigned count = dd_packed_params(L, conn, 3);
    dd_result result;
    dd_err err;
    if (dd_dual_primary(self->dual, sql, conn->values, count, &result, &err))
        return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

/* dual:secondary(sql, kinds, row, expected|nil, number|nil): sends; a failure shows at the next call */
static int dual_secondary(lua_State *L) {
    lua_dual *self = open_dual(L);
    const char *sql = luaL_checkstring(L, 2);
    dd_lua_conn *conn = part(L, self, SECONDARY);
    unsigned count = dd_packed_params(L, conn, 3);
    lua_Integer expected = luaL_optinteger(L, 5, -1);
    lua_Integer number = luaL_optinteger(L, 6, 0);
    dd_err err;
    if (dd_dual_secondary(self->dual, sql, conn->values, count, expected, (uint32_t)number, &err))
        return dd_raise(L, &err);
    return 0;
}

/* dual:execute(side, sql, ...): a statement with natural parameters, waited for -> result */
static int dual_execute(lua_State *L) {
    lua_dual *self = open_dual(L);
    int side = luaL_checkoption(L, 2, NULL, side_names);
    const char *sql = luaL_checkstring(L, 3);
    dd_lua_conn *conn = part(L, self, side);
    unsigned count = dd_natural_params(L, conn, 4);
    dd_result result;
    dd_err err;
    if (side == PRIMARY
            ? dd_dual_primary(self->dual, sql, conn->values, count, &result, &err)
            : dd_dual_secondary(self->dual, sql, conn->values, count, -1, 0, &err) ||
                  dd_dual_settle(self->dual, &result, &err))
        return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

/* dual:send(sql, ...): the same on the secondary, not waited for */
static int dual_send(lua_State *L) {
    lua_dual *self = open_dual(L);
    const char *sql = luaL_checkstring(L, 2);
    dd_lua_conn *conn = part(L, self, SECONDARY);
    unsigned count = dd_natural_params(L, conn, 3);
    dd_err err;
    if (dd_dual_secondary(self->dual, sql, conn->values, count, -1, 0, &err))
        return dd_raise(L, &err);
    return 0;
}

/* dual:guard(sql): a query of the secondary that has to find nothing; see mismatches */
static int dual_guard(lua_State *L) {
    dd_err err;
    if (dd_dual_guard(open_dual(L)->dual, luaL_checkstring(L, 2), &err)) return dd_raise(L, &err);
    return 0;
}

/* dual:settle() -> the result of the secondary's last statement */
static int dual_settle(lua_State *L) {
    lua_dual *self = open_dual(L);
    dd_result result;
    dd_err err;
    if (dd_dual_settle(self->dual, &result, &err)) return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

/* dual:mismatches() -> the numbers of statements that affected other numbers of rows, whether the guard
 * found some, and whether a statement with the number DUAL_NOTED did */
static int dual_mismatches(lua_State *L) {
    lua_dual *self = open_dual(L);
    unsigned count;
    const uint32_t *numbers = dd_dual_mismatches(self->dual, &count);
    lua_createtable(L, (int)count, 0);
    lua_Integer at = 0;
    bool guarded = false, noted = false;
    for (unsigned i = 0; i < count; i++) {
        guarded = guarded || numbers[i] == DD_DUAL_GUARD;
        noted = noted || numbers[i] == DD_DUAL_NOTED;
        if (numbers[i] == DD_DUAL_GUARD || numbers[i] == DD_DUAL_NOTED) continue;
        lua_pushinteger(L, numbers[i]);
        lua_rawseti(L, -2, ++at);
    }
    lua_pushboolean(L, guarded);
    lua_pushboolean(L, noted);
    return 3;
}

static int dual_savepoint(lua_State *L) {
    dd_err err;
    if (dd_dual_savepoint(open_dual(L)->dual, luaL_checkstring(L, 2), &err))
        return dd_raise(L, &err);
    return 0;
}

static int dual_back_to(lua_State *L) {
    dd_err err;
    if (dd_dual_back_to(open_dual(L)->dual, luaL_checkstring(L, 2), &err))
        return dd_raise(L, &err);
    return 0;
}

/* ---- the end ---- */

static int dual_prepare(lua_State *L) {
    dd_err err;
    if (dd_dual_prepare(open_dual(L)->dual, &err)) return dd_raise(L, &err);
    return 0;
}

/* dual:decide() -> whether it is doubtful that the decision is durable */
static int dual_decide(lua_State *L) {
    bool doubtful;
    dd_err err;
    if (dd_dual_decide(open_dual(L)->dual, &doubtful, &err)) return dd_raise(L, &err);
    lua_pushboolean(L, doubtful);
    return 1;
}

/* dual:resolve(committed): what became of a decision that was in doubt */
static int dual_resolve(lua_State *L) {
    lua_dual *self = open_dual(L);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    dd_dual_resolve(self->dual, lua_toboolean(L, 2));
    return 0;
}

/* dual:finish() -> nil, or the error that kept the other side from following; it is no failure of the
 * write */
static int dual_finish(lua_State *L) {
    dd_err err;
    if (dd_dual_finish(open_dual(L)->dual, &err) == DD_OK) return 0;
    dd_push_error(L, &err);
    return 1;
}

/* dual:rollback() -> whether a side is left prepared */
static int dual_rollback(lua_State *L) {
    lua_dual *self = any_dual(L);
    bool prepared = false;
    if (self->dual && connected(self)) dd_dual_rollback(self->dual, &prepared);
    lua_pushboolean(L, prepared);
    return 1;
}

static int dual_fail(lua_State *L) {
    dd_dual_fail(open_dual(L)->dual);
    return 0;
}

/* dual:state() -> "open", "failed", "ready", "in_doubt", "decided", "finished", "rolled_back" */
static int dual_state(lua_State *L) {
    static const char *const names[] = {
        [DD_DUAL_OPEN] = "open",         [DD_DUAL_FAILED] = "failed",
        [DD_DUAL_READY] = "ready",       [DD_DUAL_IN_DOUBT] = "in_doubt",
        [DD_DUAL_DECIDED] = "decided",   [DD_DUAL_FINISHED] = "finished",
        [DD_DUAL_ROLLED_BACK] = "rolled_back",
    };
    lua_dual *self = any_dual(L);
    lua_pushstring(L, self->dual ? names[dd_dual_state_of(self->dual)] : "rolled_back");
    return 1;
}

/* Rolls back what is open, if the connections still are there. */
static int dual_close(lua_State *L) {
    lua_dual *self = any_dual(L);
    dd_dual *dual = self->dual;
    self->dual = NULL;
    if (!dual) return 0;
    if (connected(self))
        dd_dual_free(dual);
    else
        dd_dual_forget(dual);
    return 0;
}

/* ---- steps ---- */

/* crash_point(name): the process dies here when it was told to */
static int core_crash_point(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    dd_step step = dd_step_find(name);
    if (step == DD_STEP_COUNT) return dd_raise_usage(L, "there is no step \"%s\"", name);
    dd_step_done(step);
    return 0;
}

/* crash_points() -> array of { number, name, text } */
static int core_crash_points(lua_State *L) {
    lua_createtable(L, DD_STEP_COUNT, 0);
    for (int i = 0; i < DD_STEP_COUNT; i++) {
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, i + 1);
        lua_setfield(L, -2, "number");
        lua_pushstring(L, dd_step_name((dd_step)i));
        lua_setfield(L, -2, "name");
        lua_pushstring(L, dd_step_text((dd_step)i));
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* broken(name): whether a test build was told to break a protocol */
static int core_broken(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    lua_pushboolean(L, dd_broken(name));
    return 1;
}

static const luaL_Reg methods[] = {
    {"ready", dual_ready},         {"primary", dual_primary},     {"secondary", dual_secondary},
    {"execute", dual_execute},
    {"send", dual_send},           {"guard", dual_guard},         {"settle", dual_settle},
    {"mismatches", dual_mismatches}, {"savepoint", dual_savepoint}, {"back_to", dual_back_to},
    {"prepare", dual_prepare},     {"decide", dual_decide},       {"finish", dual_finish},
    {"rollback", dual_rollback},   {"fail", dual_fail},           {"state", dual_state},
    {"close", dual_close},         {"resolve", dual_resolve},     {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", dual_close},
    {"__close", dual_close},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"dual", core_dual},
    {"crash_point", core_crash_point},
    {"crash_points", core_crash_points},
    {"broken", core_broken},
    {NULL, NULL},
};

void dd_open_dual(lua_State *L) {
    luaL_newmetatable(L, DUAL_TYPE);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
    lua_pushinteger(L, DD_DUAL_MUST);
    lua_setfield(L, -2, "DUAL_MUST");
    lua_pushinteger(L, DD_DUAL_NOTED);
    lua_setfield(L, -2, "DUAL_NOTED");
}
