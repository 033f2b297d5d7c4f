/* Many rows: INSERT with as many of them as make a packet of some size. */

#include <stdlib.h>

#include "db/mysql_driver.h"

/* What a batch holds at most; the last is the protocol's limit of parameters. */
enum { BATCH_ROWS = 512, BATCH_BYTES = 1 << 20, BATCH_PARAMS = 65535 };

typedef struct dd_mysql_load {
    dd_load base;
    unsigned columns;
    dd_buf sql;              /* INSERT ... VALUES, without a row */
    size_t sql_head;
    MYSQL_STMT *stmt;        /* prepared for `prepared` rows; NULL when that is 0 */
    unsigned prepared;
    unsigned most_rows;
    unsigned rows;           /* in the batch */
    dd_mysql_params params;  /* of the batch */
    dd_buf bytes;            /* of its values of varying length, one after the other */
    uint64_t counted;        /* rows that the server took */
    bool nested;             /* in the caller's transaction, behind a savepoint */
} dd_mysql_load;

static const char savepoint[] = "SAVEPOINT dualdb_load";
static const char back_to_savepoint[] = "ROLLBACK TO SAVEPOINT dualdb_load";
static const char release_savepoint[] = "RELEASE SAVEPOINT dualdb_load";

static dd_mysql *conn_of(dd_mysql_load *load) { return (dd_mysql *)load->base.conn; }

static void free_load(dd_mysql_load *load) {
    if (load->stmt) mysql_stmt_close(load->stmt);
    dd_mysql_params_free(&load->params);
    dd_buf_free(&load->bytes);
    dd_buf_free(&load->sql);
    free(load);
}

/* A load that is given up must leave nothing, so it always is inside of something that can be
 * rolled back. */
dd_status dd_mysql_load_open(dd_conn *base, const char *table, const char *columns,
                             const char *kinds, unsigned count, dd_load **out, dd_err *err) {
    (void)kinds; /* the values carry theirs */
    dd_mysql *conn = (dd_mysql *)base;
    if (count == 0 || count > BATCH_PARAMS)
        return dd_fail(err, DD_USAGE, "a load cannot have %u columns", count);
    bool nested = conn->client->server_status & SERVER_STATUS_IN_TRANS;
    if (dd_mysql_run(conn, nested ? savepoint : "START TRANSACTION", err) != DD_OK) return DD_FAIL;
    dd_mysql_load *load = dd_calloc(1, sizeof *load);
    load->base.conn = base;
    load->columns = count;
    load->nested = nested;
    load->most_rows = BATCH_PARAMS / count < BATCH_ROWS ? BATCH_PARAMS / count : BATCH_ROWS;
    /* All at once: the bound parameters point into their slots. Unused pages cost nothing. */
    load->params.one_zero = conn->params.one_zero;
    dd_mysql_params_reserve(&load->params, load->most_rows * count);
    dd_buf_add_text(&load->sql, "INSERT INTO ");
    dd_buf_add_text(&load->sql, table);
    dd_buf_add_text(&load->sql, " (");
    dd_buf_add_text(&load->sql, columns);
    dd_buf_add_text(&load->sql, ") VALUES ");
    load->sql_head = load->sql.length;
    *out = &load->base;
    return DD_OK;
}

/* ---- batches ---- */

static void write_sql(dd_mysql_load *load, unsigned rows) {
    load->sql.length = load->sql_head;
    for (unsigned row = 0; row < rows; row++) {
        dd_buf_add_text(&load->sql, row ? ",(" : "(");
        for (unsigned i = 0; i < load->columns; i++) dd_buf_add_text(&load->sql, i ? ",?" : "?");
        dd_buf_add_byte(&load->sql, ')');
    }
    dd_buf_add_byte(&load->sql, '\0');
    load->sql.length--;
}

/* Most batches have the same number of rows and use the same statement. */
static bool prepare_for(dd_mysql_load *load, unsigned rows) {
    if (load->prepared == rows) return true;
    if (load->stmt) mysql_stmt_close(load->stmt);
    load->prepared = 0;
    load->stmt = mysql_stmt_init(conn_of(load)->client);
    if (!load->stmt) dd_out_of_memory(sizeof(MYSQL_BIND));
    if (mysql_stmt_prepare(load->stmt, (const char *)load->sql.data, load->sql.length) != 0)
        return false;
    load->prepared = rows;
    return true;
}

static bool in_bytes(const MYSQL_BIND *bind, const dd_mysql_slot *slot) {
    switch (bind->buffer_type) {
    case MYSQL_TYPE_NEWDECIMAL:
    case MYSQL_TYPE_BLOB: return true;
    case MYSQL_TYPE_STRING: return bind->buffer != slot->text;
    default: return false;
    }
}

/* The buffer of bytes may have moved since a value was put there. */
static void point_into_bytes(dd_mysql_load *load) {
    size_t at = 0;
    for (unsigned i = 0; i < load->rows * load->columns; i++) {
        MYSQL_BIND *bind = &load->params.binds[i];
        if (!in_bytes(bind, &load->params.slots[i])) continue;
        bind->buffer = load->bytes.data ? (void *)(load->bytes.data + at) : (void *)"";
        at += bind->buffer_length;
    }
}

static dd_status flush(dd_mysql_load *load, dd_err *err) {
    if (load->rows == 0) return DD_OK;
    dd_mysql *conn = conn_of(load);
    if (load->prepared != load->rows) write_sql(load, load->rows);
    point_into_bytes(load);
    if (dd_mysql_enter(conn, (const char *)load->sql.data, err) != DD_OK) return DD_FAIL;
    bool ok = prepare_for(load, load->rows) &&
              mysql_stmt_bind_param(load->stmt, load->params.binds) == 0 &&
              mysql_stmt_execute(load->stmt) == 0;
    if (ok) load->counted += mysql_stmt_affected_rows(load->stmt);
    load->rows = 0;
    dd_buf_clear(&load->bytes);
    return dd_mysql_leave(conn, load->stmt, ok, err);
}

dd_status dd_mysql_load_row(dd_load *base, const dd_value *values, dd_err *err) {
    dd_mysql_load *load = (dd_mysql_load *)base;
    size_t before = load->bytes.length;
    unsigned first = load->rows * load->columns;
    for (unsigned i = 0; i < load->columns; i++) {
        /* A value that is refused spoils its row only. */
        if (dd_mysql_params_set(&load->params, first + i, &values[i], "column", i + 1, err) !=
            DD_OK) {
            load->bytes.length = before;
            return DD_FAIL;
        }
        if (in_bytes(&load->params.binds[first + i], &load->params.slots[first + i]))
            dd_buf_add(&load->bytes, values[i].data, values[i].length);
    }
    load->rows++;
    if (load->rows < load->most_rows && load->bytes.length < BATCH_BYTES) return DD_OK;
    dd_status status = flush(load, err);
    if (status != DD_OK) base->failed = true;
    return status;
}

/* ---- the end ---- */

static void roll_back(dd_mysql_load *load) {
    dd_mysql *conn = conn_of(load);
    if (conn->base.state == DD_CONN_BROKEN) return; /* the server does it */
    dd_err ignored;
    /* A deadlock has rolled back the whole transaction, and the savepoint is gone with it. */
    dd_status status = dd_mysql_run(conn, load->nested ? back_to_savepoint : "ROLLBACK", &ignored);
    if (status != DD_OK && !load->nested) dd_mysql_break(conn);
}

dd_status dd_mysql_load_finish(dd_load *base, uint64_t *rows, dd_err *err) {
    dd_mysql_load *load = (dd_mysql_load *)base;
    dd_mysql *conn = conn_of(load);
    dd_status status = flush(load, err);
    if (status != DD_OK) roll_back(load);
    else status = dd_mysql_run(conn, load->nested ? release_savepoint : "COMMIT", err);
    *rows = status == DD_OK ? load->counted : 0;
    free_load(load);
    return status;
}

void dd_mysql_load_abort(dd_load *base) {
    dd_mysql_load *load = (dd_mysql_load *)base;
    roll_back(load);
    free_load(load);
}
