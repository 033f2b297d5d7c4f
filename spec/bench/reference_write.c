/*
 * Writes rows of the write benchmark's table (spec/bench/write.lua) to both sides, one a transaction,
 * by the steps of a protocol and nothing else: what the protocol costs at the least on these servers.
 * No outcome is resolved, nothing is retried, no row count is compared.
 *
 *     DUALDB_PRIMARY_URL=... DUALDB_SECONDARY_URL=... reference_write naive|a1|journaled WRITES FIRST
 *
 * FIRST is the first row's id. It prints the seconds of each write, one a line, and "total SECONDS".
 * The gids are of nobody: what they leave in dualdb_decision and dualdb_journal is removed at the
 * end.
 */

#include "bench/reference.h"

#include "base/clock.h"

enum { WARM_UP = 20, CONTENT = 100 };

static MYSQL *mysql;
static PGconn *pg;
static char content[CONTENT + 1];

/* ---- the primary ---- */

static void mysql_finish(void) {
    if (mysql_read_query_result(mysql)) fail("primary: %s", mysql_error(mysql));
}

static void mysql_begin_text(const char *sql) {
    if (mysql_send_query(mysql, sql, strlen(sql))) fail("primary: %s", mysql_error(mysql));
}

static void mysql_text(const char *sql) {
    mysql_begin_text(sql);
    mysql_finish();
}

/* Statements whose parameters are a number and, where there is a second one, a string. */
typedef struct statement {
    MYSQL_STMT *stmt;
    MYSQL_BIND bind[2];
    long long id;
    char text[CONTENT + 1];
} statement;

static void prepare_statement(statement *s, const char *sql) {
    s->stmt = mysql_stmt_init(mysql);
    if (mysql_stmt_prepare(s->stmt, sql, strlen(sql))) fail("primary: %s", mysql_stmt_error(s->stmt));
    s->bind[0] = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = &s->id};
    s->bind[1] = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_STRING, .buffer = s->text};
}

static void run_statement(statement *s) {
    s->bind[1].buffer_length = strlen(s->text);
    if (mysql_stmt_bind_param(s->stmt, s->bind) || mysql_stmt_execute(s->stmt))
        fail("primary: %s", mysql_stmt_error(s->stmt));
}

static statement insert_row, insert_entry;

/* ---- the secondary ---- */

/* Sends without waiting; in a pipeline the answers are taken by pg_answers. */
static void pg_send(const char *sql) {
    if (!PQsendQueryParams(pg, sql, 0, NULL, NULL, NULL, NULL, 0) || PQflush(pg) < 0)
        fail("secondary: %s", PQerrorMessage(pg));
}

static void pg_send_row(long long id) {
    char number[24];
    snprintf(number, sizeof number, "%lld", id);
    const char *values[] = {number, content};
    if (!PQsendQueryParams(pg, "insert into bench_row (id, room, content) values ($1, 7, $2)", 2,
                           NULL, values, NULL, NULL, 0) ||
        PQflush(pg) < 0)
        fail("secondary: %s", PQerrorMessage(pg));
}

static void pg_sync(void) {
    if (!PQpipelineSync(pg)) fail("secondary: %s", PQerrorMessage(pg));
}

/* Takes the answers of `count` statements, and the sync's behind them. */
static void pg_answers(int count) {
    for (int i = 0; i < count; i++) {
        PGresult *result;
        while ((result = PQgetResult(pg))) {
            ExecStatusType status = PQresultStatus(result);
            if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
                fail("secondary: %s", PQerrorMessage(pg));
            PQclear(result);
        }
    }
    PGresult *sync = PQgetResult(pg);
    if (PQresultStatus(sync) != PGRES_PIPELINE_SYNC) fail("secondary: %s", PQerrorMessage(pg));
    PQclear(sync);
}

static void pg_alone(const char *sql) {
    pg_send(sql);
    pg_sync();
    pg_answers(1);
}

/* ---- the ways ---- */

static void naive(long long id, const char *gid) {
    (void)gid;
    mysql_text("begin");
    insert_row.id = id;
    run_statement(&insert_row);
    mysql_text("commit");
    pg_alone("begin");
    pg_send_row(id);
    pg_sync();
    pg_answers(1);
    pg_alone("commit");
}

/* The decision row and the secondary's begin on their way at once, then the row on either side; the
 * secondary's trails. */
static void begin_dual(long long id, const char *gid) {
    char sql[256];
    snprintf(sql, sizeof sql,
             "insert into dualdb_decision (gid, outcome, session) values ('%s', 'C', connection_id())",
             gid);
    mysql_begin_text(sql);
    pg_send("begin");
    snprintf(sql, sizeof sql,
             "select set_config('lock_timeout', '5000', true), set_config('application_name', '%s', "
             "true)",
             gid);
    pg_send(sql);
    mysql_finish();
    insert_row.id = id;
    run_statement(&insert_row);
    pg_send_row(id);
}

static void a1(long long id, const char *gid) {
    char sql[128];
    begin_dual(id, gid);
    snprintf(sql, sizeof sql, "prepare transaction '%s'", gid);
    pg_send(sql);
    pg_sync();
    pg_answers(4);
    mysql_text("commit");
    snprintf(sql, sizeof sql, "commit prepared '%s'", gid);
    pg_alone(sql);
}

static void journaled(long long id, const char *gid) {
    begin_dual(id, gid);
    pg_sync();
    insert_entry.id = id;
    snprintf(insert_entry.text, sizeof insert_entry.text, "%s", gid);
    run_statement(&insert_entry);
    pg_answers(3);
    mysql_text("commit");
    pg_alone("commit");
}

/* ---- the whole ---- */

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*write)(long long id, const char *gid);
    } ways[] = {{"naive", naive}, {"a1", a1}, {"journaled", journaled}};
    void (*write)(long long, const char *) = NULL;
    for (size_t i = 0; argc == 4 && i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].name, argv[1]) == 0) write = ways[i].write;
    if (!write) fail("usage: reference_write naive|a1|journaled WRITES FIRST");
    int writes = atoi(argv[2]);
    long long first = atoll(argv[3]);
    if (writes < 1) fail("WRITES is a number of rows");
    memset(content, 'x', CONTENT);
    mysql = connect_mysql();
    pg = connect_postgres();
    if (!PQenterPipelineMode(pg)) fail("secondary: %s", PQerrorMessage(pg));
    prepare_statement(&insert_row, "insert into bench_row (id, room, content) values (?, 7, ?)");
    memcpy(insert_row.text, content, sizeof content);
    prepare_statement(&insert_entry, "insert into dualdb_journal (model, key_digest, kinds, canonical,"
                                     " gid) values ('bench_row', 'reference', 'i', ?, ?)");
    if (write != naive) mysql_text("set autocommit = 0");
    double *seconds = calloc((size_t)writes, sizeof *seconds);
    if (!seconds) fail("out of memory");
    double began = 0;
    for (int i = -WARM_UP; i < writes; i++) {
        char gid[65];
        snprintf(gid, sizeof gid, "ddb1_reference_%lld_00000000000000000000000000", first + i);
        double started = dd_clock();
        if (i == 0) began = started;
        write(first + WARM_UP + i, gid);
        if (i >= 0) seconds[i] = dd_clock() - started;
    }
    const double total = dd_clock() - began;
    for (int i = 0; i < writes; i++) printf("%.9f\n", seconds[i]);
    printf("total %.9f\n", total);
    mysql_text("delete from dualdb_decision where gid like 'ddb1\\_reference\\_%'");
    mysql_text("delete from dualdb_journal where key_digest = 'reference'");
    mysql_text("commit");
    free(seconds);
    PQfinish(pg);
    mysql_close(mysql);
    return 0;
}
