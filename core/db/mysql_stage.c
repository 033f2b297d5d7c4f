/*
 * Rows that replace those with their keys, by a temporary table.
 *
 * Neither REPLACE nor ON DUPLICATE KEY UPDATE will do: they take a row that has the value of any
 * unique key for the one to replace. Here rows meet by the key alone, texts by their bytes even where
 * the collation takes others for equal. What then is in the way of an insert is an error.
 */

#include <stdlib.h>

#include "db/mysql_load.h"

const char dd_mysql_stage_table[] = "`dualdb_load`";

static const char drop[] = "DROP TEMPORARY TABLE IF EXISTS `dualdb_load`";

/* ---- the statements ---- */

static void add_texts(dd_buf *sql, const char *const *texts) {
    while (*texts) dd_buf_add_text(sql, *texts++);
}
#define ADD(sql, ...) add_texts(sql, (const char *const[]){__VA_ARGS__, NULL})

static char *finished(dd_buf *sql) {
    dd_buf_add_byte(sql, '\0');
    return (char *)sql->data; /* its owner frees the text */
}

/* Where a waiting row and one of the table have the same key. */
static void add_match(dd_buf *sql, char *const *names, const char *kinds, unsigned key_columns) {
    for (unsigned i = 0; i < key_columns; i++) {
        const char *name = names[i];
        ADD(sql, i ? " AND t." : "t.", name, " = s.", name);
        if (kinds[i] == DD_KIND_TEXT) /* the comparison above is for the index */
            ADD(sql, " AND CAST(t.", name, " AS BINARY) = CAST(s.", name, " AS BINARY)");
    }
}

/* A row with nothing but its key is set to what it is, which counts it. */
static void add_assignments(dd_buf *sql, char *const *names, unsigned count,
                            unsigned key_columns) {
    const unsigned first = key_columns < count ? key_columns : 0;
    for (unsigned i = first; i < (first ? count : 1); i++)
        ADD(sql, i > first ? ", t." : "t.", names[i], " = s.", names[i]);
}

static void add_insert(dd_buf *sql, const char *table, char *const *names, unsigned count) {
    ADD(sql, "INSERT INTO ", table, " (");
    for (unsigned i = 0; i < count; i++) ADD(sql, i ? ", " : "", names[i]);
    dd_buf_add_text(sql, ") SELECT ");
    for (unsigned i = 0; i < count; i++) ADD(sql, i ? ", s." : "s.", names[i]);
    ADD(sql, " FROM ", dd_mysql_stage_table, " AS s");
}

static void write_statements(dd_mysql_stage *stage, const char *table, const char *columns,
                             char *const *names, const char *kinds, unsigned count,
                             unsigned key_columns) {
    static const char order[] = " ORDER BY s.`dualdb_row`";
    dd_buf create = {0}, update = {0}, all = {0}, absent = {0};
    ADD(&create, "CREATE TEMPORARY TABLE ", dd_mysql_stage_table,
        " (`dualdb_row` bigint NOT NULL AUTO_INCREMENT PRIMARY KEY) SELECT ", columns, " FROM ",
        table, " LIMIT 0");
    ADD(&update, "UPDATE ", dd_mysql_stage_table, " AS s STRAIGHT_JOIN ", table, " AS t ON ");
    add_match(&update, names, kinds, key_columns);
    dd_buf_add_text(&update, " SET ");
    add_assignments(&update, names, count, key_columns);
    add_insert(&all, table, names, count);
    dd_buf_add_text(&all, order);
    add_insert(&absent, table, names, count);
    ADD(&absent, " LEFT JOIN ", table, " AS t ON ");
    add_match(&absent, names, kinds, key_columns);
    ADD(&absent, " WHERE t.", names[0], " IS NULL", order);
    stage->create = finished(&create);
    stage->update = finished(&update);
    stage->insert_all = finished(&all);
    stage->insert_absent = finished(&absent);
}

/* ---- the table ---- */

/* New, also where a load that was interrupted has left one. To drop it is quicker than to delete its
 * rows, and in nobody's undo. */
static dd_status make(dd_mysql_stage *stage, dd_err *err) {
    if (dd_mysql_run(stage->conn, drop, err) != DD_OK) return DD_FAIL;
    stage->made = true;
    return dd_mysql_run(stage->conn, stage->create, err);
}

dd_status dd_mysql_stage_open(dd_mysql_stage *stage, dd_mysql *conn, const char *table,
                              const char *columns, const MYSQL_FIELD *fields,
                              const char *kinds, unsigned count, unsigned key_columns,
                              dd_err *err) {
    stage->conn = conn;
    char **names = dd_calloc(count, sizeof *names);
    dd_status status = DD_OK;
    for (unsigned i = 0; i < count && status == DD_OK; i++) {
        dd_buf name = {0};
        status = dd_quote_identifier("mysql", fields[i].name, fields[i].name_length, &name, err);
        names[i] = finished(&name);
    }
    if (status == DD_OK) {
        write_statements(stage, table, columns, names, kinds, count, key_columns);
        status = make(stage, err);
    }
    for (unsigned i = 0; i < count; i++) free(names[i]);
    free(names);
    return status;
}

void dd_mysql_stage_close(dd_mysql_stage *stage) {
    dd_err ignored; /* the table ends with the session, or with the next load */
    if (stage->made && stage->conn->base.state != DD_CONN_BROKEN)
        stage->made = dd_mysql_run(stage->conn, drop, &ignored) != DD_OK;
    free(stage->create);
    free(stage->update);
    free(stage->insert_all);
    free(stage->insert_absent);
}

dd_status dd_mysql_stage_apply(dd_mysql_stage *stage, uint64_t *rows, dd_err *err) {
    dd_mysql *conn = stage->conn;
    if (stage->rows == 0) return DD_OK;
    if (dd_mysql_run(conn, stage->update, err) != DD_OK) return DD_FAIL;
    const uint64_t there = conn->result.affected;
    uint64_t absent = 0;
    if (there < stage->rows) {
        const char *insert = there ? stage->insert_absent : stage->insert_all;
        if (dd_mysql_run(conn, insert, err) != DD_OK) return DD_FAIL;
        absent = conn->result.affected;
    }
    if (there + absent != stage->rows)
        return dd_fail(err, DD_INTEGRITY, "%llu rows of a load have only %llu different keys",
                       (unsigned long long)stage->rows, (unsigned long long)(there + absent));
    *rows += stage->rows;
    stage->rows = 0;
    return make(stage, err);
}
