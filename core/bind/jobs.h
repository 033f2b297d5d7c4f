#ifndef DD_BIND_JOBS_H
#define DD_BIND_JOBS_H

#include <lua.h>

/* Adds copy and compare to the module table on the top of the stack. */
void dd_open_jobs(lua_State *L);

#endif
