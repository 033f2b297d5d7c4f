#ifndef DD_BIND_ERROR_H
#define DD_BIND_ERROR_H

#include <lua.h>

#include "base/error.h"

/* Pushes the Lua error object of `err`: a table with the metatable "dualdb.error". */
void dd_push_error(lua_State *L, const dd_err *err);

/* The one place that turns a dd_err into a raised Lua error. Does not return. */
int dd_raise(lua_State *L, const dd_err *err);

/* Raises a `usage` error object made of a format (as lua_pushfstring has it). Does not return. */
int dd_raise_usage(lua_State *L, const char *format, ...);

/*
 * Fills `err` from the Lua error value on the top of the stack and pops it: an error object keeps its
 * class, anything else becomes `internal`. For errors that pass through C code on their way.
 */
void dd_error_from_lua(lua_State *L, dd_err *err);

/* Adds new_error, classes and is_error to the module table on the top of the stack. */
void dd_open_error(lua_State *L);

#endif
