#include "bind/rows.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "bind/error.h"
#include "bind/value.h"

#define ROWS_TYPE "dualdb.rows"
#define USER_CONN 1
#define USER_NAMES 2

dd_lua_rows *dd_new_rows(lua_State *L, dd_lua_conn *owner) {
    dd_lua_rows *rows = lua_newuserdatauv(L, sizeof *rows, 2);
    *rows = (dd_lua_rows){.owner = owner};
    luaL_setmetatable(L, ROWS_TYPE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, USER_CONN);
    return rows;
}

void dd_rows_adopt(lua_State *L, int index, dd_stream *stream) {
    dd_lua_rows *rows = lua_touserdata(L, index);
    rows->stream = stream;
    rows->owner->rows = rows;
    const dd_column *columns = dd_stream_columns(stream, &rows->column_count);
    rows->values = dd_calloc(rows->column_count, sizeof *rows->values);
    rows->kinds = dd_alloc(rows->column_count + 1);
    for (unsigned i = 0; i < rows->column_count; i++) rows->kinds[i] = (char)columns[i].kind;
    rows->kinds[rows->column_count] = '\0';
    lua_createtable(L, (int)rows->column_count, 0);
    for (unsigned i = 0; i < rows->column_count; i++) {
        lua_pushstring(L, columns[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setiuservalue(L, index, USER_NAMES);
}

/* Bytes of its buffers that a connection, which is kept for long, keeps. */
enum { KEPT = 1 << 20 };

void dd_rows_close(dd_lua_rows *rows) {
    if (rows->stream) {
        dd_stream_close(rows->stream);
        rows->stream = NULL;
        rows->owner->rows = NULL;
        dd_buf_trim(&rows->owner->row, KEPT);
        dd_buf_trim(&rows->owner->text, KEPT);
    }
    free(rows->values);
    free(rows->kinds);
    rows->values = NULL;
    rows->kinds = NULL;
}

bool dd_rows_step(lua_State *L, dd_lua_rows *rows) {
    bool more = false;
    dd_err err;
    dd_buf *row = &rows->owner->row;
    dd_buf_clear(row);
    if (dd_stream_next(rows->stream, row, &more, &err) ||
        (more && dd_row_split(row->data, row->length, rows->kinds, rows->column_count,
                              rows->values, &err))) {
        dd_rows_close(rows);
        dd_raise(L, &err);
    }
    if (!more) dd_rows_close(rows);
    return more;
}

void dd_rows_push_table(lua_State *L, int index, dd_lua_rows *rows) {
    lua_getiuservalue(L, index, USER_NAMES);
    int names = lua_gettop(L);
    lua_createtable(L, 0, (int)rows->column_count);
    for (unsigned i = 0; i < rows->column_count; i++) {
        lua_rawgeti(L, names, i + 1);
        dd_push_value(L, &rows->values[i], &rows->owner->text);
        lua_rawset(L, -3);
    }
    lua_remove(L, names);
}

static dd_lua_rows *check_rows(lua_State *L) { return luaL_checkudata(L, 1, ROWS_TYPE); }

/* The iterator: rows(); a table by column name, nil at the end. */
static int rows_next(lua_State *L) {
    dd_lua_rows *rows = check_rows(L);
    if (!rows->stream) {
        lua_getiuservalue(L, 1, USER_CONN);
        dd_lua_conn *conn = lua_touserdata(L, -1);
        if (!rows->owner || !conn->conn)
            return dd_raise_usage(L, "the connection of these rows was closed");
        lua_pushnil(L);
        return 1;
    }
    if (!dd_rows_step(L, rows)) {
        lua_pushnil(L);
        return 1;
    }
    dd_rows_push_table(L, 1, rows);
    return 1;
}

static int rows_close(lua_State *L) {
    dd_rows_close(check_rows(L));
    return 0;
}

/* rows.columns: the column names in order */
static int rows_index(lua_State *L) {
    check_rows(L);
    const char *field = luaL_checkstring(L, 2);
    if (strcmp(field, "columns") == 0) {
        lua_getiuservalue(L, 1, USER_NAMES);
        return 1;
    }
    luaL_getmetafield(L, 1, "methods");
    lua_getfield(L, -1, field);
    return 1;
}

static int rows_tostring(lua_State *L) {
    lua_pushstring(L, check_rows(L)->stream ? "rows (open)" : "rows (closed)");
    return 1;
}

static const luaL_Reg metamethods[] = {
    {"__call", rows_next},   {"__gc", rows_close},          {"__close", rows_close},
    {"__index", rows_index}, {"__tostring", rows_tostring}, {NULL, NULL},
};

static const luaL_Reg methods[] = {
    {"close", rows_close},
    {NULL, NULL},
};

void dd_open_rows(lua_State *L) {
    luaL_newmetatable(L, ROWS_TYPE);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "methods");
    lua_pop(L, 1);
}
