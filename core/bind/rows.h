#ifndef DD_BIND_ROWS_H
#define DD_BIND_ROWS_H

#include <lua.h>

#include "bind/conn.h"

/* An open stream of rows as Lua holds it; its user value 1 is the connection, 2 the names. */
typedef struct dd_lua_rows {
    dd_stream *stream;           /* NULL once closed */
    dd_lua_conn *owner;
    dd_value *values;
    char *kinds;
    unsigned column_count;
} dd_lua_rows;

/* Pushes closed rows that belong to the connection at stack index 1. */
dd_lua_rows *dd_new_rows(lua_State *L, dd_lua_conn *owner);
/* Takes over an opened stream, which the rows then own, and pushes its column names into them. */
void dd_rows_adopt(lua_State *L, int index, dd_stream *stream);
/* Closes the stream; harmless when it is closed. */
void dd_rows_close(dd_lua_rows *rows);

/* Reads the next row into the owner's buffer; returns false at the end, when it is closed. Raises. */
bool dd_rows_step(lua_State *L, dd_lua_rows *rows);
/* Pushes the current row as a table by column name (index of the rows on the stack given). */
void dd_rows_push_table(lua_State *L, int index, dd_lua_rows *rows);

void dd_open_rows(lua_State *L);

#endif
