#ifndef DD_APP_SIGNALS_H
#define DD_APP_SIGNALS_H

#include <lua.h>

/*
 * Ctrl-C: the first one sets the engine's interrupt flag (the server's statement is cancelled) and
 * stops Lua code at its next instruction with an error of class `canceled`; the second one ends the
 * process at once. SIGPIPE is ignored: a lost connection is an error, not a death.
 */
void dd_signals_install(lua_State *L);
/* Forgets a Ctrl-C that has been dealt with. */
void dd_signals_reset(void);

#endif
