#ifndef DD_BIND_SYSTEM_H
#define DD_BIND_SYSTEM_H

#include <lua.h>

/* Adds the few system calls that Lua lacks to the module table on the top of the stack. */
void dd_open_system(lua_State *L);

#endif
