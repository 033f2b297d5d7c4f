#include "bind/worker.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "bind/error.h"
#include "bind/transformed.h"

#define WORKER_TYPE "dualdb.worker"

typedef struct worker {
    lua_State *state;          /* the function is at index 1 of its stack; NULL once closed */
    const char *kinds;         /* of its rows; the job's */
    unsigned count;
    dd_value *values;          /* room for one row */
} worker;

static worker *check(lua_State *L, int index) { return luaL_checkudata(L, index, WORKER_TYPE); }

static dd_status apply(void *context, const uint8_t *row, size_t length, dd_buf *out, bool *keep,
                       dd_err *err) {
    worker *self = context;
    lua_State *W = self->state;
    lua_pushvalue(W, 1);
    lua_pushlstring(W, (const char *)row, length);
    if (lua_pcall(W, 1, 1, 0) != LUA_OK) {
        dd_error_from_lua(W, err);
        return DD_FAIL;
    }
    return dd_take_transformed(W, self->kinds, self->count, self->values, out, keep, err);
}

dd_transform dd_worker_transform(lua_State *L, int index, const char *kinds, unsigned count) {
    worker *self = check(L, index);
    if (!self->state) dd_raise_usage(L, "the worker is closed");
    self->kinds = kinds;
    self->count = count;
    self->values = dd_realloc(self->values, (count + 1) * sizeof *self->values);
    return (dd_transform){apply, self};
}

/* ---- making one ---- */

typedef struct order {
    const char *code;
    size_t length;
    const char *path, *cpath;
    lua_CFunction opens;       /* or NULL */
    int count;
    const char **words;
} order;

static void set_path(lua_State *W, const char *name, const char *value) {
    lua_getglobal(W, LUA_LOADLIBNAME);
    lua_pushstring(W, value);
    lua_setfield(W, -2, name);
    lua_pop(W, 1);
}

/* In the worker, protected: leaves the function that the code returns. */
static int prepare(lua_State *W) {
    const order *given = lua_touserdata(W, 1);
    luaL_openlibs(W);
    set_path(W, "path", given->path);
    set_path(W, "cpath", given->cpath);
    if (given->opens) {
        lua_pushcfunction(W, given->opens);
        lua_call(W, 0, 0);
    }
    if (luaL_loadbufferx(W, given->code, given->length, "=worker", "t") != LUA_OK)
        return lua_error(W);
    for (int i = 0; i < given->count; i++) lua_pushstring(W, given->words[i]);
    lua_call(W, given->count, 1);
    if (!lua_isfunction(W, -1)) return luaL_error(W, "the worker's code returned no function");
    return 1;
}

static const char *path_of(lua_State *L, const char *name) {
    lua_getglobal(L, LUA_LOADLIBNAME);
    lua_getfield(L, -1, name);
    return luaL_checkstring(L, -1);
}

/* worker(code, ...) -> worker: runs the code with the texts that follow it in a lua_State of its own,
 * which can require what this one can; it returns the transform, packed row -> packed row or nil. */
static int core_worker(lua_State *L) {
    order given = {.count = lua_gettop(L) - 1};
    luaL_checkstack(L, 20, "worker");
    given.code = luaL_checklstring(L, 1, &given.length);
    given.words = lua_newuserdatauv(L, ((size_t)given.count + 1) * sizeof *given.words, 0);
    for (int i = 0; i < given.count; i++) given.words[i] = luaL_checkstring(L, i + 2);
    given.path = path_of(L, "path");
    given.cpath = path_of(L, "cpath");
    lua_getfield(L, LUA_REGISTRYINDEX, DD_WORKER_OPENS);
    given.opens = lua_tocfunction(L, -1);
    worker *self = lua_newuserdatauv(L, sizeof *self, 0);
    *self = (worker){0};
    luaL_setmetatable(L, WORKER_TYPE);
    self->state = luaL_newstate();
    if (!self->state) dd_out_of_memory(0);
    lua_pushcfunction(self->state, prepare);
    lua_pushlightuserdata(self->state, &given);
    if (lua_pcall(self->state, 1, 1, 0) == LUA_OK) return 1;
    dd_err err;
    dd_error_from_lua(self->state, &err);
    return dd_raise(L, &err);
}

static int worker_close(lua_State *L) {
    worker *self = check(L, 1);
    if (self->state) lua_close(self->state);
    self->state = NULL;
    free(self->values);
    self->values = NULL;
    return 0;
}

void dd_open_worker(lua_State *L) {
    luaL_newmetatable(L, WORKER_TYPE);
    lua_pushcfunction(L, worker_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_worker);
    lua_setfield(L, -2, "worker");
}
