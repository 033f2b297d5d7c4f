/*
 * LOAD DATA LOCAL INFILE of rows in memory.
 *
 * The server names the file that it wants, and may do so whatever the statement was: one that means
 * harm could ask for any file of this machine. So the client library never opens one. It is given
 * the bytes of the load in progress, once for each statement that says LOAD DATA, and at all other
 * times a refusal.
 *
 * With LOCAL the server makes warnings of errors, and skips or changes rows. A statement with any
 * warning has failed.
 */

#include <stdio.h>
#include <stdlib.h>

#include "db/mysql_column.h"
#include "db/mysql_load.h"

/* What a file holds at most, but for its last row, and what a row of it does: one of this size gains
 * nothing by it, and its text may be twice as long. */
enum { FILE_BYTES = 2 << 20, ROW_BYTES = 1 << 18 };

/* Oracle's number for "request rejected due to restrictions on access". */
enum { LOCAL_INFILE_REJECTED = 2068 };

/* ---- the file ---- */

static int begin_file(void **file, const char *name, void *owner) {
    dd_mysql_feed *feed = owner;
    (void)name; /* the server may ask for what it likes */
    *file = feed;
    if (!feed->armed) return 1;
    feed->armed = false;
    return 0;
}

static int read_file(void *file, char *buffer, unsigned size) {
    dd_mysql_feed *feed = file;
    const size_t piece = feed->left < size ? feed->left : size;
    if (piece) memcpy(buffer, feed->at, piece);
    feed->at += piece;
    feed->left -= piece;
    return (int)piece;
}

static void end_file(void *file) {
    dd_mysql_feed *feed = file;
    if (feed) *feed = (dd_mysql_feed){0};
}

static int refuse_file(void *file, char *message, unsigned size) {
    (void)file;
    snprintf(message, size, "the server asked for a file of this machine, which it is not given");
    return LOCAL_INFILE_REJECTED;
}

void dd_mysql_feed_by(MYSQL *client, dd_mysql_feed *feed) {
    mysql_set_local_infile_handler(client, begin_file, read_file, end_file, refuse_file, feed);
}

/* ---- what can go so ---- */

/* MariaDB with Galera may commit in the middle of a LOAD DATA. */
static const char settings_query[] =
    "SHOW GLOBAL VARIABLES WHERE variable_name IN ('local_infile', 'wsrep_load_data_splitting')";

static dd_status ask_server(dd_mysql *conn, bool *allowed, dd_err *err) {
    bool local = false, splits = false;
    if (dd_mysql_enter(conn, settings_query, err) != DD_OK) return DD_FAIL;
    MYSQL_RES *rows = NULL;
    bool ok = mysql_real_query(conn->client, settings_query, sizeof settings_query - 1) == 0 &&
              (rows = mysql_store_result(conn->client)) != NULL;
    MYSQL_ROW row;
    while (ok && (row = mysql_fetch_row(rows)) != NULL) {
        const bool on = strcmp(row[1], "ON") == 0;
        if (strcmp(row[0], "local_infile") == 0) local = on;
        else splits = on;
    }
    if (rows) mysql_free_result(rows);
    *allowed = local && !splits;
    return dd_mysql_leave(conn, NULL, ok, err);
}

/* How the text of a field becomes the value of its column. */
typedef enum { FORM_NONE, FORM_PLAIN, FORM_SIGNED, FORM_UNSIGNED, FORM_HEX } form;

/* Of a kind in a column whose own kind is `own`. What is not here goes by INSERT, where a parameter
 * has a type. */
static form form_of(dd_kind kind, dd_kind own, const MYSQL_FIELD *field) {
    switch (kind) {
    case DD_KIND_BOOL:
    case DD_KIND_INT:
        if (field->type == MYSQL_TYPE_YEAR) return FORM_SIGNED; /* the text 0 is the year 2000 */
        if (own == DD_KIND_BITS) return kind == DD_KIND_BOOL ? FORM_UNSIGNED : FORM_NONE;
        return own == DD_KIND_INT || own == DD_KIND_DECIMAL ? FORM_PLAIN : FORM_NONE;
    case DD_KIND_DECIMAL:
        return own == DD_KIND_DECIMAL || own == DD_KIND_INT ? FORM_PLAIN : FORM_NONE;
    case DD_KIND_BITS: return own == DD_KIND_BITS ? FORM_UNSIGNED : FORM_NONE;
    case DD_KIND_BYTES: return own == DD_KIND_BYTES ? FORM_HEX : FORM_NONE;
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64:
        return own == DD_KIND_FLOAT32 || own == DD_KIND_FLOAT64 ? FORM_PLAIN : FORM_NONE;
    case DD_KIND_JSON: return own == DD_KIND_JSON || own == DD_KIND_TEXT ? FORM_PLAIN : FORM_NONE;
    case DD_KIND_UUID: return own == DD_KIND_UUID || own == DD_KIND_TEXT ? FORM_PLAIN : FORM_NONE;
    default: return own == kind ? FORM_PLAIN : FORM_NONE;
    }
}

static form column_form(dd_kind kind, const MYSQL_FIELD *field) {
    dd_mysql_column column = {0};
    dd_err unread;
    if (dd_mysql_column_init(&column, field, field->name, 0, &unread) != DD_OK) return FORM_NONE;
    return form_of(kind, column.from, field);
}

/* ---- the statement ---- */

static const char *const functions[] = {
    [FORM_SIGNED] = "CAST(%s AS SIGNED)", [FORM_UNSIGNED] = "CAST(%s AS UNSIGNED)",
    [FORM_HEX] = "UNHEX(%s)",
};

static dd_status add_columns(dd_mysql_infile *infile, const MYSQL_FIELD *fields, const char *kinds,
                             bool *can, dd_err *err) {
    dd_buf *sql = &infile->sql, sets = {0};
    dd_status status = DD_OK;
    for (unsigned i = 0; i < infile->columns && status == DD_OK; i++) {
        const form way = column_form((dd_kind)kinds[i], &fields[i]);
        if (way == FORM_NONE) *can = false;
        if (!*can) break;
        dd_buf_add_text(sql, i ? ", " : " (");
        dd_buf *name = way == FORM_PLAIN ? sql : &sets;
        if (way != FORM_PLAIN) dd_buf_add_text(&sets, sets.length ? ", " : " SET ");
        status = dd_quote_identifier("mysql", fields[i].name, fields[i].name_length, name, err);
        if (way == FORM_PLAIN) continue;
        char variable[32], expression[64];
        snprintf(variable, sizeof variable, "@dualdb_%u", i + 1);
        snprintf(expression, sizeof expression, functions[way], variable);
        dd_buf_add_text(sql, variable);
        dd_buf_add_text(&sets, " = ");
        dd_buf_add_text(&sets, expression);
    }
    dd_buf_add_byte(sql, ')');
    dd_buf_add(sql, sets.data, sets.length);
    dd_buf_add_byte(sql, '\0');
    sql->length--;
    dd_buf_free(&sets);
    return status;
}

dd_status dd_mysql_infile_open(dd_mysql_infile *infile, dd_mysql *conn, const char *table,
                               const MYSQL_FIELD *fields, const char *kinds, unsigned count,
                               bool *can, dd_err *err) {
    infile->conn = conn;
    infile->columns = count;
    if (ask_server(conn, can, err) != DD_OK) return DD_FAIL;
    if (!*can) return DD_OK;
    infile->params.one_zero = conn->params.one_zero;
    dd_mysql_params_reserve(&infile->params, count);
    dd_buf_add_text(&infile->sql, "LOAD DATA LOCAL INFILE 'dualdb' INTO TABLE ");
    dd_buf_add_text(&infile->sql, table);
    /* A backslash, whatever the sql_mode makes of it. */
    dd_buf_add_text(&infile->sql, " CHARACTER SET utf8mb4 FIELDS ESCAPED BY 0x5C");
    return add_columns(infile, fields, kinds, can, err);
}

void dd_mysql_infile_close(dd_mysql_infile *infile) {
    dd_mysql_params_free(&infile->params);
    dd_buf_free(&infile->text);
    dd_buf_free(&infile->sql);
}

/* ---- rows ---- */

static size_t width(const dd_value *values, unsigned count) {
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        if (values[i].data) bytes += values[i].length;
    return bytes;
}

dd_status dd_mysql_infile_add(dd_mysql_infile *infile, const dd_value *values, bool *taken,
                              bool *full, dd_err *err) {
    const size_t before = infile->text.length;
    *full = *taken = false;
    if (width(values, infile->columns) > ROW_BYTES) return DD_OK;
    for (unsigned i = 0; i < infile->columns; i++) {
        dd_status status =
            dd_mysql_params_set(&infile->params, i, &values[i], "column", i + 1, err);
        if (status != DD_OK || !dd_mysql_infile_put(&infile->params.binds[i], &infile->text)) {
            infile->text.length = before;
            return status;
        }
        dd_buf_add_byte(&infile->text, i + 1 < infile->columns ? '\t' : '\n');
    }
    infile->rows++;
    *taken = true;
    *full = infile->text.length >= FILE_BYTES;
    return DD_OK;
}

dd_status dd_mysql_infile_flush(dd_mysql_infile *infile, uint64_t *rows, dd_err *err) {
    const unsigned sent = infile->rows;
    if (sent == 0) return DD_OK;
    dd_mysql *conn = infile->conn;
    const char *sql = (const char *)infile->sql.data;
    if (dd_mysql_enter(conn, sql, err) != DD_OK) return DD_FAIL;
    conn->feed = (dd_mysql_feed){infile->text.data, infile->text.length, true};
    const bool ok = mysql_real_query(conn->client, sql, infile->sql.length) == 0;
    conn->feed = (dd_mysql_feed){0};
    const uint64_t taken = ok ? mysql_affected_rows(conn->client) : 0;
    const unsigned warnings = ok ? mysql_warning_count(conn->client) : 0;
    infile->rows = 0;
    dd_buf_clear(&infile->text);
    if (dd_mysql_leave(conn, NULL, ok, err) != DD_OK) return DD_FAIL;
    *rows += taken;
    return dd_mysql_all_taken(conn, sent, taken, warnings, err);
}
