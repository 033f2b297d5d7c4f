/* Rows as they come: a prepared statement without a cursor and without a stored result. */

#include <stdlib.h>

#include <mysqld_error.h>

#include "base/interrupt.h"
#include "db/mysql_column.h"

typedef struct dd_mysql_stream {
    dd_stream base;
    MYSQL_STMT *stmt;            /* NULL: the text protocol, for what cannot be prepared */
    MYSQL_RES *rows;             /* of the text protocol */
    MYSQL_BIND *binds;
    dd_mysql_column *columns;
    bool watched;                /* between enter and leave: rows, or the end of them, are left */
    bool rebind;                 /* a buffer has moved */
} dd_mysql_stream;

typedef enum { ROW, END, FAILED } fetched;

/* What is read on when a stream is closed, before the server is asked to stop: a few rows and the
 * end of the data cost less than a second connection. */
enum { SHORT_ROWS = 256, SHORT_BYTES = 1 << 20 };
/* Seconds that the server may keep silent meanwhile. */
static const double short_wait = 0.25;

/* ---- opening ---- */

static void free_stream(dd_mysql_stream *stream) {
    if (stream->rows) mysql_free_result(stream->rows);
    if (stream->stmt) mysql_stmt_close(stream->stmt);
    for (unsigned i = 0; i < stream->base.column_count; i++) {
        free((void *)(uintptr_t)stream->base.columns[i].name);
        free(stream->columns[i].bytes);
    }
    free(stream->base.columns);
    free(stream->columns);
    free(stream->binds);
    free(stream);
}

static dd_status describe(dd_mysql_stream *stream, MYSQL_RES *metadata, const char *want,
                          dd_err *err) {
    unsigned count = mysql_num_fields(metadata);
    if (want && strlen(want) != count)
        return dd_fail(err, DD_SCHEMA, "the statement returns %u columns, %zu were expected", count,
                       strlen(want));
    stream->base.columns = dd_calloc(count, sizeof *stream->base.columns);
    stream->columns = dd_calloc(count, sizeof *stream->columns);
    stream->binds = dd_calloc(count, sizeof *stream->binds);
    for (unsigned i = 0; i < count; i++) {
        const MYSQL_FIELD *field = mysql_fetch_field_direct(metadata, i);
        const char *name = dd_strdup(field->name);
        stream->base.columns[i].name = name;
        stream->base.column_count = i + 1;
        if (dd_mysql_column_init(&stream->columns[i], field, name, want ? want[i] : '\0', err) !=
            DD_OK)
            return DD_FAIL;
        stream->base.columns[i].kind = stream->columns[i].to;
    }
    return DD_OK;
}

static bool bind_columns(dd_mysql_stream *stream) {
    for (unsigned i = 0; i < stream->base.column_count; i++)
        dd_mysql_column_bind(&stream->columns[i], &stream->binds[i]);
    stream->rebind = false;
    return mysql_stmt_bind_result(stream->stmt, stream->binds) == 0;
}

/* Nothing more comes of the call, and the reason is not the server. */
static void end_call(dd_mysql_stream *stream) {
    dd_mysql *conn = (dd_mysql *)stream->base.conn;
    dd_watch_step step;
    dd_watch_end(&conn->watch, &step);
    stream->watched = false;
    if (step == DD_WATCH_CUT) dd_mysql_break(conn);
    else if (step == DD_WATCH_CANCEL) dd_mysql_absorb_kill(conn);
}

static dd_status server_failed(dd_mysql_stream *stream, dd_err *err) {
    stream->watched = false;
    return dd_mysql_leave((dd_mysql *)stream->base.conn, stream->stmt, false, err);
}

/* A statement that returned no columns, as an insert does: a stream that has ended. */
static dd_status end_without_rows(dd_mysql_stream *stream, dd_err *err) {
    stream->base.done = true;
    stream->watched = false;
    return dd_mysql_leave((dd_mysql *)stream->base.conn, stream->stmt, true, err);
}

static dd_status open_prepared(dd_mysql_stream *stream, const char *want, dd_err *err) {
    dd_mysql *conn = (dd_mysql *)stream->base.conn;
    if (mysql_stmt_param_count(stream->stmt) > 0 &&
        mysql_stmt_bind_param(stream->stmt, conn->params.binds) != 0)
        return server_failed(stream, err);
    if (mysql_stmt_execute(stream->stmt) != 0) return server_failed(stream, err);
    /* Only now: what a parameter's type decides is known to the server when it has the values, and
     * MariaDB tells the columns of SHOW PROCESSLIST no sooner. */
    if (mysql_stmt_field_count(stream->stmt) == 0) return end_without_rows(stream, err);
    MYSQL_RES *metadata = mysql_stmt_result_metadata(stream->stmt);
    if (!metadata) return server_failed(stream, err);
    dd_status status = describe(stream, metadata, want, err);
    mysql_free_result(metadata);
    if (status == DD_OK && !bind_columns(stream)) return server_failed(stream, err);
    return status;
}

static dd_status open_text(dd_mysql_stream *stream, const char *sql, const char *want,
                           dd_err *err) {
    dd_mysql *conn = (dd_mysql *)stream->base.conn;
    mysql_stmt_close(stream->stmt);
    stream->stmt = NULL;
    if (mysql_real_query(conn->client, sql, strlen(sql)) != 0) return server_failed(stream, err);
    stream->rows = mysql_use_result(conn->client);
    if (stream->rows) return describe(stream, stream->rows, want, err);
    if (mysql_errno(conn->client) != 0) return server_failed(stream, err);
    return end_without_rows(stream, err);
}

static dd_status start(dd_mysql_stream *stream, const char *sql, unsigned count, const char *want,
                       dd_err *err) {
    dd_mysql *conn = (dd_mysql *)stream->base.conn;
    stream->stmt = mysql_stmt_init(conn->client);
    if (!stream->stmt) dd_out_of_memory(sizeof(MYSQL_BIND));
    if (mysql_stmt_prepare(stream->stmt, sql, strlen(sql)) != 0) {
        if (count == 0 && mysql_stmt_errno(stream->stmt) == ER_UNSUPPORTED_PS)
            return open_text(stream, sql, want, err);
        return server_failed(stream, err);
    }
    unsigned long params = mysql_stmt_param_count(stream->stmt);
    if (params != count) {
        end_call(stream);
        return dd_fail(err, DD_USAGE, "the statement has %lu parameters, %u were given", params,
                       count);
    }
    return open_prepared(stream, want, err);
}

dd_status dd_mysql_stream_open(dd_conn *base, const char *sql, const dd_value *params,
                               unsigned count, const char *want, bool bulk, dd_stream **out,
                               dd_err *err) {
    (void)bulk; /* the binary protocol already is the fastest there is */
    dd_mysql *conn = (dd_mysql *)base;
    dd_mysql_params_reserve(&conn->params, count);
    for (unsigned i = 0; i < count; i++)
        if (dd_mysql_params_set(&conn->params, i, &params[i], "parameter", i + 1, err) != DD_OK)
            return DD_FAIL;
    if (dd_mysql_enter(conn, sql, err) != DD_OK) return DD_FAIL;
    dd_mysql_stream *stream = dd_calloc(1, sizeof *stream);
    stream->base.conn = base;
    stream->watched = true;
    atomic_store(&conn->streaming, true);
    dd_status status = start(stream, sql, count, want, err);
    if (stream->watched) dd_watch_pause(&conn->watch);
    if (status != DD_OK) {
        dd_mysql_stream_close(&stream->base);
        return DD_FAIL;
    }
    *out = &stream->base;
    return DD_OK;
}

/* ---- reading ---- */

static fetched fetch(dd_mysql_stream *stream, MYSQL_ROW *text) {
    if (!stream->stmt) {
        *text = mysql_fetch_row(stream->rows);
        if (*text) return ROW;
        return mysql_errno(((dd_mysql *)stream->base.conn)->client) ? FAILED : END;
    }
    switch (mysql_stmt_fetch(stream->stmt)) {
    case 0: return ROW;
    case MYSQL_DATA_TRUNCATED: stream->rebind = true; return ROW; /* checked by the caller */
    case MYSQL_NO_DATA: return END;
    default: return FAILED;
    }
}

static dd_status add_text_row(dd_mysql_stream *stream, MYSQL_ROW text, dd_buf *row, dd_err *err) {
    const unsigned long *lengths = mysql_fetch_lengths(stream->rows);
    for (unsigned i = 0; i < stream->base.column_count; i++)
        if (dd_mysql_column_add_text(&stream->columns[i], text[i], lengths[i], row, err) != DD_OK)
            return DD_FAIL;
    return DD_OK;
}

/* Values that did not fit are read again, into buffers that they fit in. */
static dd_status read_cut_values(dd_mysql_stream *stream, dd_err *err) {
    for (unsigned i = 0; i < stream->base.column_count; i++)
        if (!dd_mysql_column_grow(&stream->columns[i], stream->stmt, i))
            return dd_fail(err, DD_INTERNAL, "column `%s` could not be read as a whole",
                           stream->columns[i].name);
    return DD_OK;
}

static dd_status add_row(dd_mysql_stream *stream, dd_buf *row, dd_err *err) {
    if (stream->rebind && read_cut_values(stream, err) != DD_OK) return DD_FAIL;
    for (unsigned i = 0; i < stream->base.column_count; i++)
        if (dd_mysql_column_add(&stream->columns[i], row, err) != DD_OK) return DD_FAIL;
    if (stream->rebind && !bind_columns(stream))
        return dd_fail(err, DD_INTERNAL, "columns could not be bound again");
    return DD_OK;
}

dd_status dd_mysql_stream_next(dd_stream *base, dd_buf *row, bool *more, dd_err *err) {
    dd_mysql_stream *stream = (dd_mysql_stream *)base;
    dd_mysql *conn = (dd_mysql *)base->conn;
    *more = false;
    if (dd_interrupted()) return dd_fail(err, DD_CANCELED, "interrupted");
    MYSQL_ROW text = NULL;
    dd_watch_resume(&conn->watch);
    fetched what = fetch(stream, &text);
    dd_watch_pause(&conn->watch);
    if (what == ROW) {
        *more = true;
        return text ? add_text_row(stream, text, row, err) : add_row(stream, row, err);
    }
    base->done = true;
    stream->watched = false;
    return dd_mysql_leave(conn, stream->stmt, what == END, err);
}

/* ---- closing ---- */

static size_t row_bytes(const dd_mysql_stream *stream, MYSQL_ROW text) {
    size_t bytes = 0;
    const unsigned long *lengths = text ? mysql_fetch_lengths(stream->rows) : NULL;
    for (unsigned i = 0; i < stream->base.column_count; i++)
        bytes += lengths ? lengths[i] : stream->columns[i].length;
    return bytes;
}

/* Reads the rest of the rows, after a KILL if they are many. The watchdog guards every step. */
static void read_rest(dd_mysql_stream *stream) {
    dd_mysql *conn = (dd_mysql *)stream->base.conn;
    unsigned rows = 0;
    size_t bytes = 0;
    bool killed = false;
    MYSQL_ROW text = NULL;
    fetched what;
    while ((what = fetch(stream, &text)) == ROW) {
        dd_watch_pause(&conn->watch);
        bytes += row_bytes(stream, text);
        if (!killed && (++rows > SHORT_ROWS || bytes > SHORT_BYTES)) {
            killed = dd_mysql_kill(conn);
            if (!killed) break;
        }
        dd_watch_resume(&conn->watch);
    }
    dd_watch_step step;
    dd_watch_end(&conn->watch, &step);
    if (what == ROW || step == DD_WATCH_CUT) {
        dd_mysql_break(conn);
        return;
    }
    bool hit = false;
    if (what == FAILED) {
        dd_err ignored;
        dd_mysql_error(conn, stream->stmt, &ignored); /* for what it does to the connection */
        hit = ignored.code == ER_QUERY_INTERRUPTED;
    }
    if ((killed || step != DD_WATCH_NOTHING) && !hit) dd_mysql_absorb_kill(conn);
}

void dd_mysql_stream_close(dd_stream *base) {
    dd_mysql_stream *stream = (dd_mysql_stream *)base;
    dd_mysql *conn = (dd_mysql *)base->conn;
    if (stream->watched) {
        dd_watch_step step;
        dd_watch_end(&conn->watch, &step);
        bool lost = base->conn->state == DD_CONN_BROKEN || step == DD_WATCH_CUT ||
                    !dd_watch_begin(&conn->watch, short_wait, 0);
        if (lost) dd_mysql_break(conn);
        else read_rest(stream);
    }
    atomic_store(&conn->streaming, false);
    free_stream(stream);
}
