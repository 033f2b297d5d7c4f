#ifndef DD_BIND_CONN_H
#define DD_BIND_CONN_H

#include <lua.h>

#include "db/db.h"

struct dd_lua_rows;

/* A connection as Lua holds it. */
typedef struct dd_lua_conn {
    dd_conn *conn;               /* NULL once closed */
    struct dd_lua_rows *rows;    /* the open row stream on it, or NULL; not owned */
    bool busy;                   /* a C call (copy, compare) is using it */
    dd_buf params;               /* canonical bytes of the parameters of the current call */
    dd_buf row;                  /* the row being read */
    dd_buf text;                 /* scratch for rendering */
    dd_value *values;            /* views into params */
    unsigned value_capacity;
} dd_lua_conn;

/* The open, unused connection at `index`; raises when it is closed or busy. */
dd_lua_conn *dd_check_conn(lua_State *L, int index);

/* Adds connect to the module table on the top of the stack, and the class. */
void dd_open_conn(lua_State *L);

#endif
