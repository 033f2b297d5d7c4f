#include "bind/conn.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "bind/error.h"
#include "bind/params.h"
#include "bind/rows.h"
#include "bind/value.h"

#define CONN_TYPE "dualdb.connection"

static dd_lua_conn *any_conn(lua_State *L, int index) {
    return luaL_checkudata(L, index, CONN_TYPE);
}

static dd_lua_conn *open_conn(lua_State *L, int index) {
    dd_lua_conn *self = any_conn(L, index);
    if (!self->conn) dd_raise_usage(L, "the connection is closed");
    return self;
}

dd_lua_conn *dd_check_conn(lua_State *L, int index) {
    dd_lua_conn *self = open_conn(L, index);
    if (self->busy) dd_raise_usage(L, "the connection is in use by a running copy or comparison");
    return self;
}

/* ---- methods ---- */

/* conn:execute(sql, ...) -> { affected, insert_id, tag, warned } */
static int conn_execute(lua_State *L) {
    dd_lua_conn *self = dd_check_conn(L, 1);
    const char *sql = luaL_checkstring(L, 2);
    unsigned count = dd_natural_params(L, self, 3);
    dd_result result;
    dd_err err;
    if (dd_conn_execute(self->conn, sql, self->values, count, &result, &err))
        return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

/* conn:put(sql, kinds, row): execute with the fields of a canonical row as parameters */
static int conn_put(lua_State *L) {
    dd_lua_conn *self = dd_check_conn(L, 1);
    const char *sql = luaL_checkstring(L, 2);
    unsigned count = dd_packed_params(L, self, 3);
    dd_result result;
    dd_err err;
    if (dd_conn_execute(self->conn, sql, self->values, count, &result, &err))
        return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

/* conn:send(sql, kinds, row): put without waiting, where the driver can; conn:finish() waits */
static int conn_send(lua_State *L) {
    dd_lua_conn *self = dd_check_conn(L, 1);
    const char *sql = luaL_checkstring(L, 2);
    unsigned count = dd_packed_params(L, self, 3);
    dd_err err;
    if (dd_conn_send(self->conn, sql, self->values, count, &err)) return dd_raise(L, &err);
    return 0;
}

/* conn:queue(sql, ...): execute behind what was queued before, each with a conn:finish() */
static int conn_queue(lua_State *L) {
    dd_lua_conn *self = dd_check_conn(L, 1);
    const char *sql = luaL_checkstring(L, 2);
    unsigned count = dd_natural_params(L, self, 3);
    dd_err err;
    if (dd_conn_queue(self->conn, sql, self->values, count, DD_LEAVES_NOW, &err))
        return dd_raise(L, &err);
    return 0;
}

/* conn:finish() -> what execute returns, for the oldest statement under way */
static int conn_finish(lua_State *L) {
    dd_lua_conn *self = dd_check_conn(L, 1);
    dd_result result;
    dd_err err;
    if (dd_conn_finish(self->conn, &result, &err)) return dd_raise(L, &err);
    return dd_push_result(L, &result);
}

/* Leaves open rows on the top of the stack. */
static dd_lua_rows *open_rows(lua_State *L, dd_lua_conn *self, const char *sql, unsigned count,
                              const char *want) {
    dd_lua_rows *rows = dd_new_rows(L, self);
    dd_stream *stream;
    dd_err err;
    if (dd_stream_open(self->conn, sql, self->values, count, want, false, &stream, &err))
        dd_raise(L, &err);
    dd_rows_adopt(L, lua_gettop(L), stream);
    return rows;
}

/* for row in conn:rows(sql, ...) do: streams; closed by break and by errors */
static int conn_rows(lua_State *L) {
    dd_lua_conn *self = dd_check_conn(L, 1);
    const char *sql = luaL_checkstring(L, 2);
    unsigned count = dd_natural_params(L, self, 3);
    open_rows(L, self, sql, count, NULL);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, -3);
    return 4;
}

/* conn:query(sql, ...): all rows as an array of tables; the columns' names beside it */
static int conn_query(lua_State *L) {
    dd_lua_conn *self = dd_check_conn(L, 1);
    const char *sql = luaL_checkstring(L, 2);
    unsigned count = dd_natural_params(L, self, 3);
    dd_lua_rows *rows = open_rows(L, self, sql, count, NULL);
    int rows_index = lua_gettop(L);
    lua_newtable(L);
    for (lua_Integer i = 1; dd_rows_step(L, rows); i++) {
        dd_rows_push_table(L, rows_index, rows);
        lua_rawseti(L, -2, i);
    }
    lua_getiuservalue(L, rows_index, 2);
    return 2;
}

/* conn:fetch(sql, kinds_in|nil, row_in|nil, kinds_out): all rows as canonical rows (strings).
 * conn:fetch(sql, kinds_in, row_in, kinds_out, most) -> rows, bytes, dropped: once the rows have
 * `most` bytes the others are read and dropped, as `dropped` says. */
static int conn_fetch(lua_State *L) {
    dd_lua_conn *self = dd_check_conn(L, 1);
    const char *sql = luaL_checkstring(L, 2);
    lua_settop(L, 6);
    unsigned wanted;
    const char *want = lua_isnil(L, 5) ? NULL : dd_check_kinds(L, 5, &wanted);
    lua_Integer most = luaL_optinteger(L, 6, LUA_MAXINTEGER);
    unsigned count = dd_packed_params(L, self, 3);
    dd_lua_rows *rows = open_rows(L, self, sql, count, want);
    lua_Integer bytes = 0, kept = 0;
    bool dropped = false;
    lua_newtable(L);
    while (dd_rows_step(L, rows)) {
        dropped = bytes >= most;
        if (dropped) continue;
        lua_pushlstring(L, (const char *)self->row.data, self->row.length);
        lua_rawseti(L, -2, ++kept);
        bytes += (lua_Integer)self->row.length;
    }
    if (lua_isnil(L, 6)) return 1;
    lua_pushinteger(L, bytes);
    lua_pushboolean(L, dropped);
    return 3;
}

static int conn_set_timeout(lua_State *L) {
    dd_conn_set_timeout(open_conn(L, 1)->conn, luaL_checknumber(L, 2));
    return 0;
}

static int conn_cancel(lua_State *L) {
    dd_conn_cancel(open_conn(L, 1)->conn);
    return 0;
}

static const char *state_name(dd_state state) {
    switch (state) {
    case DD_CONN_IDLE: return "idle";
    case DD_CONN_SENT: return "sent";
    case DD_CONN_STREAM: return "stream";
    case DD_CONN_LOAD: return "load";
    case DD_CONN_BROKEN: return "broken";
    }
    return "broken";
}

/* conn:session(): the server's number for it */
static int conn_session(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)dd_conn_session(open_conn(L, 1)->conn));
    return 1;
}

/* conn:product(): "mysql", "mariadb" or "postgresql" */
static int conn_product(lua_State *L) {
    lua_pushstring(L, dd_conn_product(open_conn(L, 1)->conn));
    return 1;
}

/* conn:info(): what it is connected to and what it is doing */
static int conn_info(lua_State *L) {
    dd_lua_conn *self = open_conn(L, 1);
    lua_createtable(L, 0, 8);
    lua_pushstring(L, dd_conn_driver(self->conn));
    lua_setfield(L, -2, "driver");
    lua_pushstring(L, dd_conn_label(self->conn));
    lua_setfield(L, -2, "label");
    lua_pushstring(L, dd_conn_product(self->conn));
    lua_setfield(L, -2, "product");
    lua_pushstring(L, dd_conn_version(self->conn));
    lua_setfield(L, -2, "version");
    lua_pushinteger(L, (lua_Integer)dd_conn_session(self->conn));
    lua_setfield(L, -2, "session");
    lua_pushstring(L, state_name(dd_conn_state(self->conn)));
    lua_setfield(L, -2, "state");
    lua_pushboolean(L, dd_conn_in_transaction(self->conn));
    lua_setfield(L, -2, "in_transaction");
    lua_pushinteger(L, (lua_Integer)dd_conn_queued(self->conn));
    lua_setfield(L, -2, "queued");
    return 1;
}

/* conn:reusable(): idle, outside a transaction and not broken, so that a pool may keep it */
static int conn_reusable(lua_State *L) {
    dd_lua_conn *self = any_conn(L, 1);
    lua_pushboolean(L, self->conn && !self->busy && !self->rows &&
                           dd_conn_state(self->conn) == DD_CONN_IDLE &&
                           !dd_conn_in_transaction(self->conn));
    return 1;
}

/* conn:hung_up(): the server closed it while it was idle */
static int conn_hung_up(lua_State *L) {
    dd_lua_conn *self = any_conn(L, 1);
    lua_pushboolean(L, !self->conn || dd_conn_hung_up(self->conn));
    return 1;
}

/* The server rolls back what a closed connection left open. */
static int conn_close(lua_State *L) {
    dd_lua_conn *self = any_conn(L, 1);
    if (self->busy) return dd_raise_usage(L, "the connection is in use");
    if (self->rows) dd_rows_close(self->rows);
    if (self->conn) dd_conn_close(self->conn);
    self->conn = NULL;
    dd_buf_free(&self->params);
    dd_buf_free(&self->row);
    dd_buf_free(&self->text);
    free(self->values);
    self->values = NULL;
    self->value_capacity = 0;
    return 0;
}

static int conn_tostring(lua_State *L) {
    dd_lua_conn *self = any_conn(L, 1);
    if (self->conn)
        lua_pushfstring(L, "connection (%s, %s)", dd_conn_label(self->conn),
                        dd_conn_product(self->conn));
    else
        lua_pushstring(L, "connection (closed)");
    return 1;
}

/* ---- connect ---- */

static double number_field(lua_State *L, const char *name, double otherwise) {
    lua_getfield(L, 1, name);
    double value = luaL_optnumber(L, -1, otherwise);
    lua_pop(L, 1);
    return value;
}

/* connect { driver =, label =, settings = { name = value }, connect_timeout =, timeout = } */
static int core_connect(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    double connect_timeout = number_field(L, "connect_timeout", 15);
    double timeout = number_field(L, "timeout", 0);
    lua_getfield(L, 1, "driver");
    const char *driver = luaL_checkstring(L, 2);
    lua_getfield(L, 1, "label");
    const char *label = luaL_checkstring(L, 3);
    lua_getfield(L, 1, "settings");
    luaL_checktype(L, 4, LUA_TTABLE);

    unsigned count = 0;
    for (lua_pushnil(L); lua_next(L, 4); lua_pop(L, 1)) count++;
    luaL_checkstack(L, 2 * (int)count + 10, "too many settings");
    dd_setting *settings = lua_newuserdatauv(L, (count + 1) * sizeof *settings, 0);
    count = 0;
    /* Keys stay in the table and values as copies on the stack, so the pointers live. */
    for (lua_pushnil(L); lua_next(L, 4);) {
        if (lua_type(L, -2) != LUA_TSTRING) return dd_raise_usage(L, "setting names are strings");
        settings[count].name = lua_tostring(L, -2);
        settings[count].value = lua_tostring(L, -1);
        if (!settings[count].value)
            return dd_raise_usage(L, "setting %s is not text", settings[count].name);
        count++;
        lua_insert(L, -2); /* the value goes below the key */
    }

    dd_lua_conn *self = lua_newuserdatauv(L, sizeof *self, 0);
    *self = (dd_lua_conn){0};
    luaL_setmetatable(L, CONN_TYPE);
    dd_err err;
    if (dd_conn_open(driver, label, settings, count, connect_timeout, &self->conn, &err))
        return dd_raise(L, &err);
    dd_conn_set_timeout(self->conn, timeout);
    return 1;
}

/* quote(driver, name): the identifier quoted as the driver's servers do */
static int core_quote(lua_State *L) {
    const char *driver = luaL_checkstring(L, 1);
    size_t length;
    const char *name = luaL_checklstring(L, 2, &length);
    dd_buf *out = lua_touserdata(L, lua_upvalueindex(1));
    dd_buf_clear(out);
    dd_err err;
    if (dd_quote_identifier(driver, name, length, out, &err)) return dd_raise(L, &err);
    lua_pushlstring(L, (const char *)out->data, out->length);
    return 1;
}

/* client_library(driver) -> "libpq 15.20", 150020 */
static int core_client_library(lua_State *L) {
    char name[64];
    unsigned number = dd_client_library(luaL_checkstring(L, 1), name, sizeof name);
    if (!number) return dd_raise_usage(L, "driver: mysql or postgres expected");
    lua_pushstring(L, name);
    lua_pushinteger(L, number);
    return 2;
}

static const luaL_Reg methods[] = {
    {"execute", conn_execute},
    {"put", conn_put},
    {"send", conn_send},
    {"queue", conn_queue},
    {"finish", conn_finish},
    {"rows", conn_rows},
    {"query", conn_query},
    {"fetch", conn_fetch},
    {"set_timeout", conn_set_timeout},
    {"cancel", conn_cancel},
    {"session", conn_session},
    {"product", conn_product},
    {"info", conn_info},
    {"reusable", conn_reusable},
    {"hung_up", conn_hung_up},
    {"close", conn_close},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", conn_close},
    {"__close", conn_close},
    {"__tostring", conn_tostring},
    {NULL, NULL},
};

void dd_open_conn(lua_State *L) {
    luaL_newmetatable(L, CONN_TYPE);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);

    lua_pushcfunction(L, core_connect);
    lua_setfield(L, -2, "connect");
    lua_pushcfunction(L, core_client_library);
    lua_setfield(L, -2, "client_library");
    dd_new_scratch(L);
    lua_pushcclosure(L, core_quote, 1);
    lua_setfield(L, -2, "quote");
}
