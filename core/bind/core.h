#ifndef DD_BIND_CORE_H
#define DD_BIND_CORE_H

#include <lua.h>

/* The module `dualdb.core`: everything that Lua can do with the engine. */
int luaopen_dualdb_core(lua_State *L);

#endif
