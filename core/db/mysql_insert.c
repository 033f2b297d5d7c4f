/* Many rows: INSERT with as many of them as make a packet of some size. */

#include "db/mysql_load.h"

/* What a batch holds at most. */
enum { BATCH_ROWS = 512, BATCH_BYTES = 1 << 20 };

void dd_mysql_insert_open(dd_mysql_insert *insert, dd_mysql *conn, const char *table,
                          const char *columns, unsigned count) {
    const unsigned most = DD_MYSQL_MOST_PARAMS / count;
    insert->conn = conn;
    insert->columns = count;
    insert->most_rows = most < BATCH_ROWS ? most : BATCH_ROWS;
    /* All at once: the bound parameters point into their slots. Unused pages cost nothing. */
    insert->params.one_zero = conn->params.one_zero;
    dd_mysql_params_reserve(&insert->params, insert->most_rows * count);
    dd_buf_add_text(&insert->sql, "INSERT INTO ");
    dd_buf_add_text(&insert->sql, table);
    dd_buf_add_text(&insert->sql, " (");
    dd_buf_add_text(&insert->sql, columns);
    dd_buf_add_text(&insert->sql, ") VALUES ");
    insert->sql_head = insert->sql.length;
}

void dd_mysql_insert_close(dd_mysql_insert *insert) {
    if (insert->stmt) mysql_stmt_close(insert->stmt);
    dd_mysql_params_free(&insert->params);
    dd_buf_free(&insert->bytes);
    dd_buf_free(&insert->sql);
}

static void write_sql(dd_mysql_insert *insert, unsigned rows) {
    insert->sql.length = insert->sql_head;
    for (unsigned row = 0; row < rows; row++) {
        dd_buf_add_text(&insert->sql, row ? ",(" : "(");
        for (unsigned i = 0; i < insert->columns; i++)
            dd_buf_add_text(&insert->sql, i ? ",?" : "?");
        dd_buf_add_byte(&insert->sql, ')');
    }
    dd_buf_add_byte(&insert->sql, '\0');
    insert->sql.length--;
}

/* Most batches have the same number of rows and use the same statement. */
static bool prepare_for(dd_mysql_insert *insert, unsigned rows) {
    if (insert->prepared == rows) return true;
    if (insert->stmt) mysql_stmt_close(insert->stmt);
    insert->prepared = 0;
    insert->stmt = mysql_stmt_init(insert->conn->client);
    if (!insert->stmt) dd_out_of_memory(sizeof(MYSQL_BIND));
    if (mysql_stmt_prepare(insert->stmt, (const char *)insert->sql.data, insert->sql.length) != 0)
        return false;
    insert->prepared = rows;
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
static void point_into_bytes(dd_mysql_insert *insert) {
    size_t at = 0;
    for (unsigned i = 0; i < insert->rows * insert->columns; i++) {
        MYSQL_BIND *bind = &insert->params.binds[i];
        if (!in_bytes(bind, &insert->params.slots[i])) continue;
        bind->buffer = insert->bytes.data ? (void *)(insert->bytes.data + at) : (void *)"";
        at += bind->buffer_length;
    }
}

dd_status dd_mysql_insert_flush(dd_mysql_insert *insert, uint64_t *rows, dd_err *err) {
    const unsigned sent = insert->rows;
    if (sent == 0) return DD_OK;
    dd_mysql *conn = insert->conn;
    if (insert->prepared != sent) write_sql(insert, sent);
    point_into_bytes(insert);
    if (dd_mysql_enter(conn, (const char *)insert->sql.data, err) != DD_OK) return DD_FAIL;
    bool ok = prepare_for(insert, sent) &&
              mysql_stmt_bind_param(insert->stmt, insert->params.binds) == 0 &&
              mysql_stmt_execute(insert->stmt) == 0;
    const uint64_t taken = ok ? mysql_stmt_affected_rows(insert->stmt) : 0;
    const unsigned warnings = ok ? mysql_warning_count(conn->client) : 0;
    insert->rows = 0;
    dd_buf_clear(&insert->bytes);
    if (dd_mysql_leave(conn, insert->stmt, ok, err) != DD_OK) return DD_FAIL;
    *rows += taken;
    return dd_mysql_all_taken(conn, sent, taken, warnings, err);
}

dd_status dd_mysql_insert_add(dd_mysql_insert *insert, const dd_value *values, bool *full,
                              dd_err *err) {
    const size_t before = insert->bytes.length;
    const unsigned first = insert->rows * insert->columns;
    for (unsigned i = 0; i < insert->columns; i++) {
        if (dd_mysql_params_set(&insert->params, first + i, &values[i], "column", i + 1, err) !=
            DD_OK) {
            insert->bytes.length = before;
            return DD_FAIL;
        }
        if (in_bytes(&insert->params.binds[first + i], &insert->params.slots[first + i]))
            dd_buf_add(&insert->bytes, values[i].data, values[i].length);
    }
    insert->rows++;
    *full = insert->rows == insert->most_rows || insert->bytes.length >= BATCH_BYTES;
    return DD_OK;
}
