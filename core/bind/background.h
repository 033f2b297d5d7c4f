#ifndef DD_BIND_BACKGROUND_H
#define DD_BIND_BACKGROUND_H

#include <lua.h>

/*
 * Adds to the module table on the top of the stack what starts jobs on threads of their own, and what
 * waits for them. Lua runs on while they work; none of them calls it, but for a worker's transform,
 * which is in a lua_State that only the job's thread uses.
 */
void dd_open_background(lua_State *L);

#endif
