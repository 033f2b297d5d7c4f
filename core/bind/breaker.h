#ifndef DD_BIND_BREAKER_H
#define DD_BIND_BREAKER_H

#include <lua.h>

/* breaker: the breakers and the heartbeat's clock of a project on this machine. */
void dd_open_breaker(lua_State *L);

#endif
