#include "app/embedded.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

#include "bind/core.h"
#include "bind/worker.h"

/* Loads the source that upvalue 1 points to and runs it as require would. */
static int load_embedded(lua_State *L) {
    const dd_embedded *source = lua_touserdata(L, lua_upvalueindex(1));
    if (luaL_loadbufferx(L, source->text, strlen(source->text), source->chunk, "t") != LUA_OK)
        return lua_error(L);
    lua_pushvalue(L, 1);
    lua_pushstring(L, source->chunk);
    lua_call(L, 2, 1);
    return 1;
}

static int open_embedded(lua_State *L) {
    dd_open_embedded(L);
    return 0;
}

void dd_open_embedded(lua_State *L) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    for (const dd_embedded *source = dd_embedded_sources; source->name; source++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)source);
        lua_pushcclosure(L, load_embedded, 1);
        lua_setfield(L, -2, source->name);
    }
    lua_pushcfunction(L, luaopen_dualdb_core);
    lua_setfield(L, -2, "dualdb.core");
    lua_pop(L, 1);
    lua_pushcfunction(L, open_embedded);
    lua_setfield(L, LUA_REGISTRYINDEX, DD_WORKER_OPENS);
}
