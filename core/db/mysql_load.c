/*
 * A load: rows that go by LOAD DATA where the server and the columns allow it, else by INSERT. On one
 * machine the two are about as fast; LOAD DATA waits for the network a tenth as often.
 *
 * A load that is given up must leave nothing, so it always is inside of something that can be rolled
 * back.
 */

#include "db/mysql_load.h"

#include <stdlib.h>

/* Bytes of rows that wait to replace others. */
enum { STAGE_BYTES = 8 << 20 };

typedef struct dd_mysql_load {
    dd_load base;
    unsigned columns;
    dd_mysql_insert insert;
    dd_mysql_infile infile;
    bool by_infile;          /* rows go so unless they cannot */
    dd_mysql_stage stage;
    dd_mysql_limit *limits;  /* of the columns */
    bool replaces;           /* the rows go to the stage first */
    size_t staged;           /* bytes there */
    uint64_t counted;        /* rows that the server took */
    bool nested;             /* in the caller's transaction, behind a savepoint */
} dd_mysql_load;

static const char savepoint[] = "SAVEPOINT dualdb_load";
static const char back_to_savepoint[] = "ROLLBACK TO SAVEPOINT dualdb_load";
static const char release_savepoint[] = "RELEASE SAVEPOINT dualdb_load";

static dd_mysql *conn_of(dd_mysql_load *load) { return (dd_mysql *)load->base.conn; }

static void free_load(dd_mysql_load *load) {
    dd_mysql_insert_close(&load->insert);
    dd_mysql_infile_close(&load->infile);
    dd_mysql_stage_close(&load->stage);
    free(load->limits);
    free(load);
}

static void roll_back(dd_mysql_load *load) {
    dd_mysql *conn = conn_of(load);
    if (conn->base.state == DD_CONN_BROKEN) return; /* the server does it */
    dd_err ignored;
    /* A deadlock has rolled back the whole transaction, and the savepoint is gone with it. */
    dd_status status = dd_mysql_run(conn, load->nested ? back_to_savepoint : "ROLLBACK", &ignored);
    if (status != DD_OK && !load->nested) dd_mysql_break(conn);
}

/* ---- what the server says ---- */

/* The fields of the columns, to be freed by mysql_free_result. */
static dd_status describe(dd_mysql *conn, const char *table, const char *columns, unsigned count,
                          MYSQL_RES **out, dd_err *err) {
    dd_buf sql = {0};
    dd_buf_add_text(&sql, "SELECT ");
    dd_buf_add_text(&sql, columns);
    dd_buf_add_text(&sql, " FROM ");
    dd_buf_add_text(&sql, table);
    dd_buf_add_text(&sql, " LIMIT 0");
    dd_buf_add_byte(&sql, '\0');
    const char *text = (const char *)sql.data;
    MYSQL_RES *described = NULL;
    dd_status status = dd_mysql_enter(conn, text, err);
    if (status == DD_OK) {
        bool ok = mysql_real_query(conn->client, text, sql.length - 1) == 0 &&
                  (described = mysql_store_result(conn->client)) != NULL;
        status = dd_mysql_leave(conn, NULL, ok, err);
    }
    dd_buf_free(&sql);
    if (status == DD_OK && mysql_num_fields(described) != count)
        status = dd_fail(err, DD_USAGE, "a load of %u kinds into %u columns", count,
                         mysql_num_fields(described));
    if (status != DD_OK && described) mysql_free_result(described);
    *out = described;
    return status;
}

/* ER_BINLOG_UNSAFE_STATEMENT: of the statement, not of its rows. */
enum { UNSAFE_STATEMENT = 1592 };

/* Fills `err` from the first warning that says something of a row; *found is false without one. */
static dd_status first_warning(dd_mysql *conn, bool *found, dd_err *err) {
    static const char sql[] = "SHOW WARNINGS";
    dd_err warning = {0};
    *found = false;
    if (dd_mysql_enter(conn, sql, err) != DD_OK) return DD_FAIL;
    MYSQL_RES *rows = NULL;
    bool ok = mysql_real_query(conn->client, sql, sizeof sql - 1) == 0 &&
              (rows = mysql_store_result(conn->client)) != NULL;
    MYSQL_ROW row;
    while (ok && !*found && (row = mysql_fetch_row(rows)) != NULL) {
        const int code = (int)strtol(row[1], NULL, 10);
        if (code == UNSAFE_STATEMENT) continue;
        dd_mysql_error_of(code, "", row[2], DD_PHASE_STATEMENT, &warning);
        *found = true;
    }
    if (rows) mysql_free_result(rows);
    if (dd_mysql_leave(conn, NULL, ok, err) != DD_OK) return DD_FAIL;
    if (*found) *err = warning;
    return DD_OK;
}

dd_status dd_mysql_all_taken(dd_mysql *conn, uint64_t rows, uint64_t taken, unsigned warnings,
                             dd_err *err) {
    bool found = false;
    if (warnings && first_warning(conn, &found, err) != DD_OK) return DD_FAIL;
    if (found) return DD_FAIL;
    if (taken == rows) return DD_OK;
    return dd_fail(err, DD_INTEGRITY, "the server took %llu of %llu rows",
                   (unsigned long long)taken, (unsigned long long)rows);
}

/* ---- the beginning ---- */

static dd_status open_ways(dd_mysql_load *load, const char *table, const char *columns,
                           const MYSQL_FIELD *fields, const char *kinds, unsigned key_columns,
                           dd_err *err) {
    dd_mysql *conn = conn_of(load);
    const unsigned count = load->columns;
    load->limits = dd_calloc(count, sizeof *load->limits);
    for (unsigned i = 0; i < count; i++) dd_mysql_limit_of(&load->limits[i], &fields[i]);
    load->replaces = key_columns > 0;
    if (load->replaces) {
        if (dd_mysql_stage_open(&load->stage, conn, table, columns, fields, kinds, count,
                                key_columns, err) != DD_OK)
            return DD_FAIL;
        table = dd_mysql_stage_table;
    }
    dd_mysql_insert_open(&load->insert, conn, table, columns, count);
    return dd_mysql_infile_open(&load->infile, conn, table, fields, kinds, count,
                                &load->by_infile, err);
}

dd_status dd_mysql_load_open(dd_conn *base, const char *table, const char *columns,
                             const char *kinds, unsigned count, unsigned key_columns,
                             dd_load **out, dd_err *err) {
    dd_mysql *conn = (dd_mysql *)base;
    if (count == 0 || count > DD_MYSQL_MOST_PARAMS)
        return dd_fail(err, DD_USAGE, "a load cannot have %u columns", count);
    bool nested = conn->client->server_status & SERVER_STATUS_IN_TRANS;
    if (dd_mysql_run(conn, nested ? savepoint : "START TRANSACTION", err) != DD_OK) return DD_FAIL;
    dd_mysql_load *load = dd_calloc(1, sizeof *load);
    load->base.conn = base;
    load->columns = count;
    load->nested = nested;
    MYSQL_RES *described = NULL;
    dd_status status = describe(conn, table, columns, count, &described, err);
    if (status == DD_OK) {
        status = open_ways(load, table, columns, mysql_fetch_fields(described), kinds, key_columns,
                           err);
        mysql_free_result(described);
    }
    if (status != DD_OK) {
        roll_back(load);
        free_load(load);
        return DD_FAIL;
    }
    *out = &load->base;
    return DD_OK;
}

/* ---- rows ---- */

/* After a failure rows are lost. */
static dd_status ended(dd_mysql_load *load, dd_status status) {
    if (status != DD_OK) load->base.failed = true;
    return status;
}

static uint64_t *taken_rows(dd_mysql_load *load) {
    return load->replaces ? &load->stage.rows : &load->counted;
}

static dd_status flush_infile(dd_mysql_load *load, dd_err *err) {
    return ended(load, dd_mysql_infile_flush(&load->infile, taken_rows(load), err));
}

static dd_status flush_insert(dd_mysql_load *load, dd_err *err) {
    return ended(load, dd_mysql_insert_flush(&load->insert, taken_rows(load), err));
}

/* Of the two only one has rows. */
static dd_status flush(dd_mysql_load *load, dd_err *err) {
    if (flush_infile(load, err) != DD_OK) return DD_FAIL;
    return flush_insert(load, err);
}

static dd_status flush_and_apply(dd_mysql_load *load, dd_err *err) {
    if (flush(load, err) != DD_OK) return DD_FAIL;
    load->staged = 0;
    return ended(load, dd_mysql_stage_apply(&load->stage, &load->counted, err));
}

/* Rows go in their order, whichever way: a row may have the one before it for a parent. */
static dd_status add_row(dd_mysql_load *load, const dd_value *values, bool *full, dd_err *err) {
    bool taken = false;
    if (load->by_infile) {
        if (dd_mysql_infile_add(&load->infile, values, &taken, full, err) != DD_OK) return DD_FAIL;
        if (taken) return flush_insert(load, err);
        if (flush_infile(load, err) != DD_OK) return DD_FAIL;
    }
    return dd_mysql_insert_add(&load->insert, values, full, err);
}

dd_status dd_mysql_load_row(dd_load *base, const dd_value *values, dd_err *err) {
    dd_mysql_load *load = (dd_mysql_load *)base;
    bool full = false;
    for (unsigned i = 0; i < load->columns; i++)
        if (dd_mysql_within(&load->limits[i], &values[i], i + 1, err) != DD_OK) return DD_FAIL;
    if (add_row(load, values, &full, err) != DD_OK) return DD_FAIL;
    for (unsigned i = 0; load->replaces && i < load->columns; i++)
        if (values[i].data) load->staged += values[i].length;
    if (load->staged >= STAGE_BYTES) return flush_and_apply(load, err);
    return full ? flush(load, err) : DD_OK;
}

/* ---- the end ---- */

dd_status dd_mysql_load_finish(dd_load *base, uint64_t *rows, dd_err *err) {
    dd_mysql_load *load = (dd_mysql_load *)base;
    dd_mysql *conn = conn_of(load);
    dd_status status = flush_and_apply(load, err);
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
