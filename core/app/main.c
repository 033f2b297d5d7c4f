/*
 * The `dualdb` executable: a Lua 5.4 interpreter with the engine and the project's Lua sources inside.
 * Everything a command does is in lua/dualdb/cli; this file only carries its exit code out.
 */

#include <lauxlib.h>
#include <locale.h>
#include <lualib.h>
#include <stdio.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "app/embedded.h"
#include "app/line_editor.h"
#include "app/signals.h"

#define EXIT_INTERNAL 70

typedef struct arguments {
    int count;
    char **values;
} arguments;

static int with_traceback(lua_State *L) {
    /* An error object is what the command line layer prints; only plain strings get a traceback. */
    if (lua_type(L, 1) == LUA_TSTRING) luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

/* arg[0] is the program, arg[1].. its arguments, as in lua.c. */
static void push_arguments(lua_State *L, const arguments *given) {
    lua_createtable(L, given->count, 1);
    for (int i = 0; i < given->count; i++) {
        lua_pushstring(L, given->values[i]);
        lua_rawseti(L, -2, i);
    }
    lua_pushvalue(L, -1);
    lua_setglobal(L, "arg");
}

static int protected_main(lua_State *L) {
    const arguments *given = lua_touserdata(L, 1);
    luaL_openlibs(L);
    dd_open_embedded(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_dualdb_app);
    lua_setfield(L, -2, "dualdb.app");
    dd_signals_install(L);

    lua_getglobal(L, "require");
    lua_pushstring(L, "dualdb.cli");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    push_arguments(L, given);
    lua_call(L, 1, 1);
    return 1;
}

/* By itself the C library raises the size from which on a block goes back to the system at once, to
 * that of the largest block freed so far: after one row of many megabytes all of them would stay. */
static void keep_memory_small(void) {
#ifdef __GLIBC__
    enum { LARGE = 2 << 20 };
    (void)mallopt(M_MMAP_THRESHOLD, LARGE);
    (void)mallopt(M_TRIM_THRESHOLD, 2 * LARGE);
#endif
}

int main(int argc, char **argv) {
    keep_memory_small();
    /* The line editor needs the character set; numbers keep the C locale's point. */
    setlocale(LC_CTYPE, "");
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("dualdb: out of memory\n", stderr);
        return EXIT_INTERNAL;
    }
    arguments given = {argc, argv};
    lua_pushcfunction(L, with_traceback);
    lua_pushcfunction(L, protected_main);
    lua_pushlightuserdata(L, &given);
    int code = EXIT_INTERNAL;
    if (lua_pcall(L, 1, 1, 1) == LUA_OK) {
        code = (int)lua_tointeger(L, -1);
    } else {
        fprintf(stderr, "dualdb: %s\n", luaL_tolstring(L, -1, NULL));
    }
    lua_close(L);
    return code;
}
