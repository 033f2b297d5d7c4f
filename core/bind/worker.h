#ifndef DD_BIND_WORKER_H
#define DD_BIND_WORKER_H

#include <lua.h>

#include "pair/transform.h"

/*
 * A lua_State of its own that has a transform: a job's thread runs it, and nobody else while the job
 * does. Functions do not cross from one lua_State to another, so the worker makes its own.
 */

/* The registry field with the C function that opens in a lua_State what the program has opened in its
 * first one; a program that embeds its modules sets it. */
#define DD_WORKER_OPENS "dualdb.worker_opens"

/* The transform of the worker at `index` for rows of the kinds (which have to live as long). Raises
 * when it is none. */
dd_transform dd_worker_transform(lua_State *L, int index, const char *kinds, unsigned count);

/* Adds worker to the module table on the top of the stack, and the class. */
void dd_open_worker(lua_State *L);

#endif
