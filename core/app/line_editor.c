#include "app/line_editor.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "app/signals.h"

#ifdef DD_HAVE_LIBEDIT
#include <editline/readline.h>
#endif

#ifdef DD_HAVE_LIBEDIT

static int app_read_line(lua_State *L) {
    char *line = readline(luaL_optstring(L, 1, ""));
    if (!line) return 0;
    lua_pushstring(L, line);
    free(line);
    return 1;
}

static int app_add_history(lua_State *L) {
    add_history(luaL_checkstring(L, 1));
    return 0;
}

static int app_load_history(lua_State *L) {
    using_history();
    lua_pushboolean(L, read_history(luaL_checkstring(L, 1)) == 0);
    return 1;
}

/* What was typed may hold data: only its owner reads the file. */
static int app_save_history(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    mode_t before = umask(077);
    int failed = write_history(path);
    umask(before);
    lua_pushboolean(L, !failed);
    return 1;
}

#else

static int app_read_line(lua_State *L) {
    fputs(luaL_optstring(L, 1, ""), stdout);
    fflush(stdout);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = getline(&line, &capacity, stdin);
    if (length < 0) {
        free(line);
        return 0;
    }
    if (length && line[length - 1] == '\n') length--;
    lua_pushlstring(L, line, (size_t)length);
    free(line);
    return 1;
}

static int app_add_history(lua_State *L) {
    luaL_checkstring(L, 1);
    return 0;
}

static int app_load_history(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_pushboolean(L, 0);
    return 1;
}

static int app_save_history(lua_State *L) { return app_load_history(L); }

#endif

static int app_reset_signals(lua_State *L) {
    (void)L;
    dd_signals_reset();
    return 0;
}

static const luaL_Reg functions[] = {
    {"read_line", app_read_line},         {"add_history", app_add_history},
    {"load_history", app_load_history},   {"save_history", app_save_history},
    {"reset_signals", app_reset_signals}, {NULL, NULL},
};

int luaopen_dualdb_app(lua_State *L) {
    luaL_newlib(L, functions);
#ifdef DD_HAVE_LIBEDIT
    lua_pushboolean(L, 1);
#else
    lua_pushboolean(L, 0);
#endif
    lua_setfield(L, -2, "has_line_editor");
    return 1;
}
