#ifndef DD_BIND_CLASSIFY_H
#define DD_BIND_CLASSIFY_H

#include <lua.h>

/* Adds classify and classifications to the module table on the top of the stack: what the engine
 * makes of an error, for specs and for people who ask. */
void dd_open_classify(lua_State *L);

#endif
