#ifndef DD_BIND_JOBS_H
#define DD_BIND_JOBS_H

#include <lua.h>

#include "pair/compare.h"

/* Pushes the table that compare returns; returns 1. */
int dd_push_compared(lua_State *L, const dd_compare_result *result);

/* Adds copy and compare to the module table on the top of the stack. */
void dd_open_jobs(lua_State *L);

#endif
