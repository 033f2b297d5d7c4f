#include "bind/error.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <string.h>

#define ERROR_TYPE "dualdb.error"

static void set_text(lua_State *L, const char *field, const char *text) {
    if (!text[0]) return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, field);
}

void dd_push_error(lua_State *L, const dd_err *err) {
    lua_createtable(L, 0, 8);
    luaL_setmetatable(L, ERROR_TYPE);
    set_text(L, "class", dd_class_name(err->class_));
    set_text(L, "message", err->message);
    set_text(L, "side", err->side);
    set_text(L, "sqlstate", err->sqlstate);
    set_text(L, "detail", err->detail);
    set_text(L, "hint", err->hint);
    set_text(L, "outcome", dd_outcome_name(err->outcome));
    if (err->code) {
        lua_pushinteger(L, err->code);
        lua_setfield(L, -2, "code");
    }
    lua_pushboolean(L, dd_class_retryable(err->class_));
    lua_setfield(L, -2, "retryable");
}

int dd_raise(lua_State *L, const dd_err *err) {
    dd_push_error(L, err);
    return lua_error(L);
}

int dd_raise_usage(lua_State *L, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = lua_pushvfstring(L, format, arguments);
    va_end(arguments);
    dd_err err;
    (void)dd_fail(&err, DD_USAGE, "%s", text);
    return dd_raise(L, &err);
}

static void get_text(lua_State *L, const char *field, char *into, size_t size) {
    lua_getfield(L, -1, field);
    const char *text = lua_tostring(L, -1);
    if (text) dd_err_text(into, size, text);
    lua_pop(L, 1);
}

static bool is_error(lua_State *L, int index) {
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
    luaL_getmetatable(L, ERROR_TYPE);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static bool class_from_name(const char *name, dd_class *class_) {
    for (int i = 0; name && i < DD_CLASS_COUNT; i++)
        if (strcmp(name, dd_class_name((dd_class)i)) == 0) {
            *class_ = (dd_class)i;
            return true;
        }
    return false;
}

void dd_error_from_lua(lua_State *L, dd_err *err) {
    if (!is_error(L, -1)) {
        (void)dd_fail(err, DD_INTERNAL, "%s", luaL_tolstring(L, -1, NULL));
        lua_pop(L, 2);
        return;
    }
    dd_class class_ = DD_INTERNAL;
    lua_getfield(L, -1, "class");
    (void)class_from_name(lua_tostring(L, -1), &class_);
    lua_pop(L, 1);
    (void)dd_fail(err, class_, "%s", "");
    get_text(L, "message", err->message, sizeof err->message);
    get_text(L, "side", err->side, sizeof err->side);
    get_text(L, "sqlstate", err->sqlstate, sizeof err->sqlstate);
    get_text(L, "detail", err->detail, sizeof err->detail);
    get_text(L, "hint", err->hint, sizeof err->hint);
    lua_pop(L, 1);
}

/* new_error(class, message, fields|nil): fields are added as they are. */
static int core_new_error(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    const char *message = luaL_checkstring(L, 2);
    dd_class class_;
    if (!class_from_name(name, &class_))
        return luaL_argerror(L, 1, "not the name of an error class");
    dd_err err;
    (void)dd_fail(&err, class_, "%s", message);
    dd_push_error(L, &err);
    if (lua_istable(L, 3)) {
        lua_pushnil(L);
        while (lua_next(L, 3)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -4);
        }
    }
    return 1;
}

static int core_is_error(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, is_error(L, 1));
    return 1;
}

static int error_field(lua_State *L, luaL_Buffer *out, const char *before, const char *field) {
    int type = lua_getfield(L, 1, field);
    if (type != LUA_TSTRING && type != LUA_TNUMBER) {
        lua_pop(L, 1);
        return 0;
    }
    /* The buffer may have put a box under the value: luaL_addvalue takes the top. */
    const char *text = lua_tostring(L, -1);
    lua_pushfstring(L, "%s%s", before, text);
    lua_remove(L, -2);
    luaL_addvalue(out);
    return 1;
}

/* side: message (class, code, sqlstate) */
static int error_tostring(lua_State *L) {
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    if (error_field(L, &out, "", "side")) luaL_addstring(&out, ": ");
    error_field(L, &out, "", "message");
    if (error_field(L, &out, " (", "class")) {
        error_field(L, &out, ", ", "code");
        error_field(L, &out, ", ", "sqlstate");
        luaL_addstring(&out, ")");
    }
    luaL_pushresult(&out);
    return 1;
}

void dd_open_error(lua_State *L) {
    luaL_newmetatable(L, ERROR_TYPE);
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);

    lua_pushcfunction(L, core_new_error);
    lua_setfield(L, -2, "new_error");
    lua_pushcfunction(L, core_is_error);
    lua_setfield(L, -2, "is_error");

    lua_createtable(L, 0, DD_CLASS_COUNT);
    for (int i = 0; i < DD_CLASS_COUNT; i++) {
        lua_createtable(L, 0, 2);
        lua_pushboolean(L, dd_class_retryable((dd_class)i));
        lua_setfield(L, -2, "retryable");
        int code = dd_class_exit_code((dd_class)i);
        if (code != DD_EXIT_SIDE) {
            lua_pushinteger(L, code);
            lua_setfield(L, -2, "exit_code");
        }
        lua_setfield(L, -2, dd_class_name((dd_class)i));
    }
    lua_setfield(L, -2, "classes");
}
