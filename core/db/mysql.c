/* The MySQL driver's table, statements without rows, and what belongs to the connection. */

#include "db/mysql_driver.h"

#include <stdio.h>
#include <stdlib.h>

#include <errmsg.h>
#include <mysqld_error.h>

/* ---- prepared statements that are kept ---- */

static void drop_prepared(dd_mysql_prepared *entry) {
    if (!entry->sql) return;
    mysql_stmt_close(entry->stmt);
    free(entry->sql);
    *entry = (dd_mysql_prepared){0};
}

static dd_mysql_prepared *find_prepared(dd_mysql *conn, const char *sql, size_t length) {
    for (unsigned i = 0; i < DD_MYSQL_CACHE; i++) {
        dd_mysql_prepared *entry = &conn->cache[i];
        if (entry->sql && entry->length == length && memcmp(entry->sql, sql, length) == 0) {
            entry->used = ++conn->clock;
            return entry;
        }
    }
    return NULL;
}

static void keep_prepared(dd_mysql *conn, const char *sql, size_t length, MYSQL_STMT *stmt) {
    dd_mysql_prepared *oldest = conn->cache;
    for (unsigned i = 1; i < DD_MYSQL_CACHE; i++)
        if (conn->cache[i].used < oldest->used) oldest = &conn->cache[i];
    drop_prepared(oldest);
    *oldest = (dd_mysql_prepared){.sql = dd_strdup(sql), .length = length, .stmt = stmt,
                                  .used = ++conn->clock};
}

/* ---- statements ---- */

/* Reads what a prepared statement returned. False on error. */
static bool drain_prepared(dd_mysql *conn, MYSQL_STMT *stmt) {
    for (;;) {
        if (mysql_stmt_field_count(stmt) > 0) {
            uint64_t count = 0;
            int fetched;
            while ((fetched = mysql_stmt_fetch(stmt)) == 0 || fetched == MYSQL_DATA_TRUNCATED)
                count++;
            if (fetched != MYSQL_NO_DATA) return false;
            mysql_stmt_free_result(stmt);
            conn->result.affected = count;
        } else {
            conn->result.affected = mysql_stmt_affected_rows(stmt);
            conn->result.insert_id = mysql_stmt_insert_id(stmt);
        }
        int next = mysql_stmt_next_result(stmt);
        if (next != 0) return next < 0;
    }
}

/* MySQL's ER_IMPOSSIBLE_STRING_CONVERSION, which Connector/C has no name for. A statement keeps the
 * character sets that its parameters had when it was prepared, also when the table was made anew. */
#define IMPOSSIBLE_CONVERSION 3988

/* The server has forgotten the statement or what belongs to it, and has not run it. */
static bool must_prepare_again(const dd_mysql *conn, MYSQL_STMT *stmt) {
    unsigned code = dd_mysql_errno(conn, stmt);
    return code == ER_UNKNOWN_STMT_HANDLER || code == ER_NEED_REPREPARE ||
           code == IMPOSSIBLE_CONVERSION;
}

static MYSQL_STMT *new_statement(dd_mysql *conn) {
    MYSQL_STMT *stmt = mysql_stmt_init(conn->client);
    if (!stmt) dd_out_of_memory(sizeof(MYSQL_BIND));
    return stmt;
}

/* Prepares, binds and executes. Leaves the statement in *out, executed or failed, and whether it
 * has to be closed (it is not kept) in *own. */
static bool execute_prepared(dd_mysql *conn, const char *sql, unsigned count, MYSQL_STMT **out,
                             bool *own) {
    size_t length = strlen(sql);
    dd_mysql_prepared *entry = find_prepared(conn, sql, length);
    if (entry) {
        *own = false;
        *out = entry->stmt;
        if (mysql_stmt_bind_param(entry->stmt, conn->params.binds) == 0 &&
            mysql_stmt_execute(entry->stmt) == 0)
            return true;
        if (!must_prepare_again(conn, entry->stmt)) return false;
        drop_prepared(entry);
    }
    MYSQL_STMT *stmt = new_statement(conn);
    *own = true;
    *out = stmt;
    if (mysql_stmt_prepare(stmt, sql, length) != 0) return false;
    if (mysql_stmt_param_count(stmt) != count) return false;
    if (mysql_stmt_bind_param(stmt, conn->params.binds) != 0) return false;
    if (mysql_stmt_execute(stmt) != 0) return false;
    /* What returns rows is not kept: when its table is altered the client library fails. */
    if (mysql_stmt_field_count(stmt) == 0) {
        keep_prepared(conn, sql, length, stmt);
        *own = false;
    }
    return true;
}

static dd_status send_prepared(dd_mysql *conn, const char *sql, const dd_value *params,
                               unsigned count, dd_err *err) {
    dd_mysql_params_reserve(&conn->params, count);
    for (unsigned i = 0; i < count; i++)
        if (dd_mysql_params_set(&conn->params, i, &params[i], "parameter", i + 1, err) != DD_OK)
            return DD_FAIL;
    if (dd_mysql_enter(conn, sql, err) != DD_OK) return DD_FAIL;
    MYSQL_STMT *stmt = NULL;
    bool own = false;
    bool ok = execute_prepared(conn, sql, count, &stmt, &own);
    unsigned wanted = (unsigned)mysql_stmt_param_count(stmt);
    ok = ok && drain_prepared(conn, stmt);
    dd_status status;
    if (!ok && wanted != count && dd_mysql_errno(conn, stmt) == 0) {
        dd_watch_step step;
        dd_watch_end(&conn->watch, &step);
        status = dd_fail(err, DD_USAGE, "the statement has %u parameters, %u were given", wanted,
                         count);
    } else {
        status = dd_mysql_leave(conn, stmt, ok, err);
    }
    if (own) mysql_stmt_close(stmt);
    return status;
}

static dd_status send_statement(dd_conn *base, const char *sql, const dd_value *params,
                                unsigned count, dd_err *err) {
    dd_mysql *conn = (dd_mysql *)base;
    conn->result = (dd_result){0};
    /* BEGIN, XA and others cannot be prepared everywhere, and nothing is gained for the rest. */
    if (count > 0) return send_prepared(conn, sql, params, count, err);
    if (dd_mysql_enter(conn, sql, err) != DD_OK) return DD_FAIL;
    if (mysql_send_query(conn->client, sql, strlen(sql)) != 0)
        return dd_mysql_leave(conn, NULL, false, err);
    conn->under_way = true;
    return DD_OK;
}

static dd_status finish_statement(dd_conn *base, dd_result *result, dd_err *err) {
    dd_mysql *conn = (dd_mysql *)base;
    dd_status status = DD_OK;
    if (conn->under_way) {
        bool ok = mysql_read_query_result(conn->client) == 0 && dd_mysql_drain(conn);
        conn->under_way = false;
        status = dd_mysql_leave(conn, NULL, ok, err);
    }
    *result = conn->result;
    return status;
}

/* ---- the connection ---- */

static bool in_transaction(const dd_conn *base) {
    const dd_mysql *conn = (const dd_mysql *)base;
    return conn->client->server_status & SERVER_STATUS_IN_TRANS;
}

static bool hung_up(dd_conn *base) { return dd_mysql_hung_up((const dd_mysql *)base); }

/* An idle session is left alone: some servers keep the KILL for its next statement. */
static void cancel(dd_conn *base) {
    dd_mysql *conn = (dd_mysql *)base;
    if (!dd_watch_busy(&conn->watch) && !atomic_load(&conn->streaming)) return;
    atomic_store(&conn->canceled, true);
    dd_mysql_kill(conn);
}

static void close_connection(dd_conn *base) {
    dd_mysql *conn = (dd_mysql *)base;
    for (unsigned i = 0; i < DD_MYSQL_CACHE; i++) drop_prepared(&conn->cache[i]);
    mysql_close(conn->client);
    dd_mysql_free(conn);
}

static unsigned library(char *text, size_t size) {
#ifdef MARIADB_PACKAGE_VERSION
    /* mysql_get_client_info() is the version of the server that it is compatible with. */
    snprintf(text, size, "MariaDB Connector/C %s", MARIADB_PACKAGE_VERSION);
#else
    snprintf(text, size, "libmysqlclient %s", mysql_get_client_info());
#endif
    return (unsigned)mysql_get_client_version();
}

const dd_driver dd_driver_mysql = {
    .name = "mysql",
    .numbered = false,
    .quote = '`',
    .name_limit = 64,
    .name_limit_bytes = false,
    .replaces = true,
    .library = library,
    .open = dd_mysql_open,
    .close = close_connection,
    .in_transaction = in_transaction,
    .hung_up = hung_up,
    .cancel = cancel,
    .send = send_statement,
    .finish = finish_statement,
    .stream_open = dd_mysql_stream_open,
    .stream_next = dd_mysql_stream_next,
    .stream_close = dd_mysql_stream_close,
    .load_open = dd_mysql_load_open,
    .load_row = dd_mysql_load_row,
    .load_finish = dd_mysql_load_finish,
    .load_abort = dd_mysql_load_abort,
};
