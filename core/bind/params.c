#include "bind/params.h"

#include <lauxlib.h>

#include "bind/error.h"
#include "bind/value.h"

static void want_values(dd_lua_conn *self, unsigned count) {
    if (count <= self->value_capacity) return;
    self->values = dd_realloc(self->values, count * sizeof *self->values);
    self->value_capacity = count;
}

unsigned dd_natural_params(lua_State *L, dd_lua_conn *self, int first) {
    unsigned count = lua_gettop(L) >= first ? (unsigned)(lua_gettop(L) - first + 1) : 0;
    want_values(self, count);
    dd_buf_clear(&self->params);
    for (unsigned i = 0; i < count; i++) {
        int index = first + (int)i;
        dd_err err;
        dd_kind kind = dd_natural_kind(L, index);
        if (kind == DD_KIND_UNSUPPORTED)
            dd_raise_usage(L, "parameter %d is a %s, which cannot be bound", (int)i + 1,
                           luaL_typename(L, index));
        self->values[i].kind = kind;
        size_t at = self->params.length;
        if (kind == DD_KIND_TEXT && lua_type(L, index) == LUA_TSTRING) {
            /* As it is: whether it is UTF-8 is for the server to judge, which knows the type. */
            size_t length;
            const char *text = lua_tolstring(L, index, &length);
            if (length >= DD_NULL_LENGTH) dd_raise_usage(L, "parameter %d is too large", (int)i + 1);
            dd_row_add(&self->params, text, (uint32_t)length);
        } else if (dd_add_value(L, index, kind, &self->params, &err)) {
            dd_raise(L, &err);
        }
        self->values[i].length = dd_field_length(self->params.data + at);
    }
    const uint8_t *at = self->params.data;
    for (unsigned i = 0; i < count; i++) {
        bool null = self->values[i].length == DD_NULL_LENGTH;
        self->values[i].data = null ? NULL : at + 4;
        if (null) self->values[i].length = 0;
        at += 4 + self->values[i].length;
    }
    return count;
}

unsigned dd_packed_params(lua_State *L, dd_lua_conn *self, int index) {
    if (lua_isnoneornil(L, index)) return 0;
    unsigned count;
    const char *kinds = dd_check_kinds(L, index, &count);
    size_t length;
    const char *row = luaL_checklstring(L, index + 1, &length);
    dd_err err;
    want_values(self, count + 1);
    if (dd_row_split((const uint8_t *)row, length, kinds, count, self->values, &err))
        dd_raise(L, &err);
    return count;
}

int dd_push_result(lua_State *L, const dd_result *result) {
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)result->affected);
    lua_setfield(L, -2, "affected");
    if (result->insert_id) {
        lua_pushinteger(L, (lua_Integer)result->insert_id);
        lua_setfield(L, -2, "insert_id");
    }
    if (result->tag[0]) {
        lua_pushstring(L, result->tag);
        lua_setfield(L, -2, "tag");
    }
    if (result->warned) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "warned");
    }
    return 1;
}
