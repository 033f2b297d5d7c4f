#ifndef DD_BIND_DUAL_H
#define DD_BIND_DUAL_H

#include <lua.h>

/* Adds dual to the module table on the top of the stack, and the class. */
void dd_open_dual(lua_State *L);

#endif
