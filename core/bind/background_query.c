#include <lauxlib.h>

#include "bind/arguments.h"
#include "bind/background_job.h"
#include "bind/error.h"
#include "bind/params.h"

/* Single statements and queries, which may take as long as they do. */

typedef struct statement {
    dd_conn *conn;
    const char *sql;
    dd_query_params params;    /* of a query */
    const char *kinds;         /* of its rows */
    unsigned key_columns;      /* leading columns that the rows are found by; 0: they are a list */
    unsigned own_columns;      /* of a row that is found so; those behind come apart */
    dd_result executed;
    dd_buf fetched;            /* rows, each behind its length */
    int rows;                  /* in it */
    uint64_t most;             /* bytes of them; those that come when there are so many are dropped */
    bool dropped;              /* some were */
} statement;

static dd_status execute(dd_job *job, dd_err *err) {
    statement *self = job->work;
    return dd_conn_execute(self->conn, self->sql, NULL, 0, &self->executed, err);
}

static int push_executed(lua_State *L, dd_job *job) {
    return dd_push_result(L, &((statement *)job->work)->executed);
}

/* Rows are few: what a query computes, or the keys of a chunk. */
static dd_status fetch(dd_job *job, dd_err *err) {
    statement *self = job->work;
    dd_stream *stream;
    if (dd_stream_open(self->conn, self->sql, self->params.values, self->params.count, self->kinds,
                       false, &stream, err))
        return DD_FAIL;
    dd_status status;
    for (bool more = true;;) {
        const size_t at = self->fetched.length;
        uint64_t length = 0;
        dd_buf_add(&self->fetched, &length, sizeof length);
        status = dd_stream_next(stream, &self->fetched, &more, err);
        if (status || !more) {
            self->fetched.length = at;
            break;
        }
        if (at >= self->most) {
            self->fetched.length = at;
            self->dropped = true;
            continue;
        }
        length = self->fetched.length - at - sizeof length;
        memcpy(self->fetched.data + at, &length, sizeof length);
        self->rows++;
    }
    dd_stream_close(stream);
    return status;
}

/* The next row behind *at. */
static const char *next_row(const dd_buf *fetched, size_t *at, size_t *length) {
    uint64_t size;
    memcpy(&size, fetched->data + *at, sizeof size);
    const char *row = (const char *)fetched->data + *at + sizeof size;
    *at += sizeof size + size;
    *length = size;
    return row;
}

static int push_list(lua_State *L, const statement *self) {
    lua_createtable(L, self->rows, 0);
    lua_Integer count = 0;
    for (size_t at = 0, length; at < self->fetched.length;) {
        const char *row = next_row(&self->fetched, &at, &length);
        lua_pushlstring(L, row, length);
        lua_rawseti(L, -2, ++count);
    }
    lua_pushboolean(L, self->dropped);
    return 2;
}

static int push_by_key(lua_State *L, const statement *self) {
    lua_createtable(L, 0, self->rows);
    lua_pushboolean(L, self->dropped);
    lua_createtable(L, 0, self->rows);
    for (size_t at = 0, length; at < self->fetched.length;) {
        const char *row = next_row(&self->fetched, &at, &length);
        const size_t own = dd_row_prefix((const uint8_t *)row, self->own_columns);
        lua_pushlstring(L, row, dd_row_prefix((const uint8_t *)row, self->key_columns));
        lua_pushvalue(L, -1);
        lua_pushlstring(L, row, own);
        lua_rawset(L, -6);
        lua_pushlstring(L, row + own, length - own);
        lua_rawset(L, -3);
    }
    return 3;
}

static int push_fetched(lua_State *L, dd_job *job) {
    const statement *self = job->work;
    return self->key_columns ? push_by_key(L, self) : push_list(L, self);
}

static void release(void *work) { dd_buf_free(&((statement *)work)->fetched); }

static statement *read_statement(lua_State *L, dd_job *job) {
    statement *self = job->work;
    job->conns[0] = dd_arg_conn(L, "conn");
    job->conn_count = 1;
    self->conn = job->conns[0]->conn;
    self->sql = dd_arg_text(L, "sql");
    return self;
}

/* start_execute { conn, sql } -> job; its result is that of conn:execute */
int dd_start_execute(lua_State *L) {
    static const dd_job_kind kind = {
        .size = sizeof(statement), .run = execute, .push_result = push_executed};
    dd_job *job = dd_job_new(L, &kind);
    read_statement(L, job);
    return dd_job_start(L, job);
}

static unsigned columns_of(lua_State *L, const char *name, unsigned otherwise, unsigned most) {
    lua_getfield(L, 1, name);
    lua_Integer count = luaL_optinteger(L, -1, otherwise);
    if (count < 0 || count > most)
        dd_raise_usage(L, "%s: a number of columns up to %d expected", name, (int)most);
    return (unsigned)count;
}

/* start_fetch { conn, sql, param_kinds|nil, params|nil, kinds, most|nil, key_columns|nil,
 *               own_columns|nil } -> job
 * Its results are the rows, all in memory, and whether some were dropped, since there were `most`
 * bytes of them. With key_columns the rows are found by so many of their first columns, as a row; they
 * end behind own_columns, and the third result has what follows there, by the same keys. */
int dd_start_fetch(lua_State *L) {
    static const dd_job_kind kind = {
        .size = sizeof(statement), .run = fetch, .push_result = push_fetched, .release = release};
    dd_job *job = dd_job_new(L, &kind);
    statement *self = read_statement(L, job);
    unsigned count;
    self->params = dd_arg_params(L, "param_kinds", "params");
    self->kinds = dd_arg_kinds(L, "kinds", &count);
    lua_getfield(L, 1, "most");
    self->most = (uint64_t)luaL_optinteger(L, -1, LUA_MAXINTEGER);
    self->key_columns = columns_of(L, "key_columns", 0, count);
    self->own_columns = columns_of(L, "own_columns", count, count);
    return dd_job_start(L, job);
}
