#ifndef DD_BIND_CROSSING_H
#define DD_BIND_CROSSING_H

#include <lua.h>

#include "pair/crossing.h"

/* The crossing at `index`; raises when it is none. It stays the userdata's. */
dd_crossing *dd_check_crossing(lua_State *L, int index);

/* Pushes a table of what dd_crossing_counts returned, by the policies' names; those that never changed
 * a value are left out. */
void dd_push_policy_counts(lua_State *L, const uint64_t counts[DD_POLICY_COUNT]);

/* Adds crossing to the module table on the top of the stack, and the class. */
void dd_open_crossing(lua_State *L);

#endif
