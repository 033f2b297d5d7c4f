#ifndef DD_BIND_SQLITE_H
#define DD_BIND_SQLITE_H

#include <lua.h>

/* Adds sqlite() to the module table on the top of the stack. */
void dd_open_sqlite(lua_State *L);

#endif
