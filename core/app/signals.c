#include "app/signals.h"

#include <signal.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "bind/error.h"

#define EXIT_INTERRUPTED 130

/* A signal handler has no other way to find the state (lua.c does the same). */
static lua_State *interrupted_state;
static volatile sig_atomic_t interrupts;

static void stop_lua(lua_State *L, lua_Debug *debug) {
    (void)debug;
    lua_sethook(L, NULL, 0, 0);
    dd_err err;
    (void)dd_fail(&err, DD_CANCELED, "interrupted");
    dd_raise(L, &err);
}

static void on_interrupt(int signal) {
    (void)signal;
    if (++interrupts > 1) _exit(EXIT_INTERRUPTED);
    dd_interrupt();
    lua_sethook(interrupted_state, stop_lua, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

void dd_signals_install(lua_State *L) {
    interrupted_state = L;
    struct sigaction interrupt = {.sa_handler = on_interrupt};
    sigemptyset(&interrupt.sa_mask);
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &interrupt, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

void dd_signals_reset(void) {
    interrupts = 0;
    lua_sethook(interrupted_state, NULL, 0, 0);
    dd_interrupt_clear();
}
