/*
 * Reads the benchmark's table (spec/bench/message_table.lua) from both sides at once, in the order of
 * its key, and does nothing with it: what a comparison costs at the least. MySQL's binary protocol
 * row by row, PostgreSQL's binary COPY, a thread each.
 *
 *     DUALDB_PRIMARY_URL=... DUALDB_SECONDARY_URL=... reference_read
 *
 * It prints {"rows":[N,N],"seconds":SECONDS}.
 */

#include "bench/reference.h"

#include "base/clock.h"

#define COLUMNS                                                                                  \
    "id, room_id, sender_id, content, is_read, score, attachment, created_at, updated_at"

static const char select_rows[] = "select " COLUMNS " from chat_message order by id";
static const char copy_rows[] =
    "copy (select " COLUMNS " from chat_message order by id) to stdout (format binary)";

/* Called by the client library for each value of a row; `at` is NULL for NULL. Where a value ends is
 * all that is looked at. */
static void skip_column(void *context, unsigned column, unsigned char **at) {
    (void)context;
    if (!at) return;
    const unsigned char *from = *at;
    switch (column) {
    case 3:
    case 5:
    case 6:
        *at += from[0] < 251    ? 1 + from[0]
               : from[0] == 252 ? 3 + (from[1] | from[2] << 8)
                                : 4 + (from[1] | from[2] << 8 | from[3] << 16);
        return;
    case 4: *at += 1; return;
    case 7:
    case 8: *at += 1 + from[0]; return;
    default: *at += 8; return;
    }
}

static void *read_primary(void *rows) {
    MYSQL *mysql = connect_mysql();
    MYSQL_STMT *stmt = mysql_stmt_init(mysql);
    if (mysql_stmt_prepare(stmt, select_rows, sizeof select_rows - 1) ||
        mysql_stmt_attr_set(stmt, STMT_ATTR_CB_RESULT, (const void *)skip_column) ||
        mysql_stmt_execute(stmt))
        fail("primary: %s", mysql_stmt_error(stmt));
    int fetched;
    while ((fetched = mysql_stmt_fetch(stmt)) == 0) ++*(unsigned long long *)rows;
    if (fetched != MYSQL_NO_DATA) fail("primary: %s", mysql_stmt_error(stmt));
    mysql_stmt_close(stmt);
    mysql_close(mysql);
    return NULL;
}

static void *read_secondary(void *rows) {
    PGconn *pg = connect_postgres();
    PGresult *result = PQexec(pg, copy_rows);
    if (PQresultStatus(result) != PGRES_COPY_OUT) fail("secondary: %s", PQerrorMessage(pg));
    PQclear(result);
    char *row;
    int length;
    while ((length = PQgetCopyData(pg, &row, 0)) > 0) {
        ++*(unsigned long long *)rows;
        PQfreemem(row);
    }
    if (length != -1) fail("secondary: %s", PQerrorMessage(pg));
    --*(unsigned long long *)rows; /* the end of the data comes as a row of its own */
    PQfinish(pg);
    return NULL;
}

int main(void) {
    static void *(*const read_side[2])(void *) = {read_primary, read_secondary};
    unsigned long long rows[2] = {0, 0};
    pthread_t threads[2];
    mysql_library_init(0, NULL, NULL);
    double started = dd_clock();
    for (int i = 0; i < 2; i++) start(&threads[i], read_side[i], &rows[i]);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    printf("{\"rows\":[%llu,%llu],\"seconds\":%.3f}\n", rows[0], rows[1],
           dd_clock() - started);
    mysql_library_end();
    return 0;
}
