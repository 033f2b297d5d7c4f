/*
 * Copies the benchmark's table (spec/bench/message_table.lua), and nothing else: what a copy costs
 * at the least. The columns and their types are written into the program, each value goes from the
 * packet of MySQL's binary protocol straight into PostgreSQL's binary COPY, on two threads that
 * have half of the keys each. The table is made anew, without any index; the primary key and both
 * indexes are then built at the same time, on a connection each.
 *
 *     DUALDB_PRIMARY_URL=... DUALDB_SECONDARY_URL=... reference_copy [keep-key]
 *
 * With keep-key the table has its primary key from the beginning, as a table beside writers needs it.
 * It prints {"rows":N,"load":SECONDS,"indexes":SECONDS}. Addresses and passwords are in the
 * environment, in the form that `dualdb sandbox env` gives them.
 *
 * It keeps every promise of the servers: logged tables, fsync, the settings that they have. What it
 * lacks beside dualdb: any other table, kinds and policies, values that the secondary refuses and
 * their quarantine, checkpoints to go on from, locks beside other writers, deadlines, sequences,
 * statistics for the planner, and a proof that the text is UTF-8 (the server finds that out).
 *
 * Only MariaDB's client library hands over values as they are on the wire.
 */

#include "bench/reference.h"

#include "base/buf.h"
#include "base/clock.h"

enum { STREAMS = 2, COLUMNS = 9, PIECE = 64 * 1024 };

/* Days and microseconds from 1970-01-01 to PostgreSQL's 2000-01-01. */
#define EPOCH_DAYS 10957
#define US_PER_DAY INT64_C(86400000000)

/* ---- one row ---- */

static uint32_t take_u32(const uint8_t *at) {
    uint32_t v;
    memcpy(&v, at, 4);
    return v;
}

/* The length before a value: one byte, or FC and two, FD and three. */
static uint32_t take_length(unsigned char **at) {
    const uint8_t *from = *at;
    if (from[0] < 251) {
        *at += 1;
        return from[0];
    }
    if (from[0] == 252) {
        *at += 3;
        return (uint32_t)from[1] | (uint32_t)from[2] << 8;
    }
    if (from[0] != 253) fail("a value of 16 MiB");
    *at += 4;
    return take_u32(from) >> 8;
}

static void put_bigint(dd_buf *out, unsigned char **at) {
    uint64_t v;
    memcpy(&v, *at, 8);
    *at += 8;
    uint8_t *to = dd_buf_reserve(out, 12);
    dd_put_u32(to, 8);
    dd_put_u64(to + 4, v);
    out->length += 12;
}

static void put_bool(dd_buf *out, unsigned char **at) {
    uint8_t *to = dd_buf_reserve(out, 5);
    dd_put_u32(to, 1);
    to[4] = **at;
    *at += 1;
    out->length += 5;
}

static void put_bytes(dd_buf *out, unsigned char **at) {
    uint32_t length = take_length(at);
    uint8_t *to = dd_buf_reserve(out, (size_t)length + 4);
    dd_put_u32(to, length);
    memcpy(to + 4, *at, length);
    *at += length;
    out->length += (size_t)length + 4;
}

/* decimal(12,3) is text here, with three digits behind the point; there it is groups of four. */
static void put_decimal(dd_buf *out, unsigned char **at) {
    uint32_t length = take_length(at);
    const uint8_t *text = *at, *end = text + length;
    *at += length;
    bool negative = *text == '-';
    text += negative;
    uint64_t whole = 0;
    for (; text < end && *text != '.'; text++) whole = whole * 10 + (uint64_t)(*text - '0');
    if (end - text != 4) fail("a decimal that does not have three digits");
    unsigned thousandths = (unsigned)((text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] - '0');
    /* A decimal(12,3) has at most three groups before the point and one behind it. */
    const unsigned groups[4] = {(unsigned)(whole / 100000000), (unsigned)(whole / 10000 % 10000),
                                (unsigned)(whole % 10000), thousandths * 10};
    unsigned first = 0, last = 4;
    while (first < 4 && groups[first] == 0) first++;
    while (last > first && groups[last - 1] == 0) last--;
    uint8_t *to = dd_buf_reserve(out, 20);
    dd_put_u32(to, 8 + 2 * (last - first));
    dd_put_u16(to + 4, (uint16_t)(last - first));
    dd_put_u16(to + 6, (uint16_t)(last > first ? 2 - (int)first : 0)); /* of the first group */
    dd_put_u16(to + 8, negative ? 0x4000 : 0);
    dd_put_u16(to + 10, 3);
    for (unsigned i = first; i < last; i++)
        dd_put_u16(to + 12 + 2 * (i - first), (uint16_t)groups[i]);
    out->length += 12 + 2 * (size_t)(last - first);
}

/* Years that begin in March, so that the leap day is a year's last. */
static int64_t days_of(unsigned year, unsigned month, unsigned day) {
    if (month == 0 || day == 0) fail("a date that no calendar has");
    unsigned from_march = month > 2 ? month - 3 : month + 9, y = year - (month <= 2);
    unsigned leap_days = y / 4 - y / 100 + y / 400;
    return (int64_t)y * 365 + leap_days + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

static void put_datetime(dd_buf *out, unsigned char **at) {
    const uint8_t *from = *at + 1;
    unsigned length = **at;
    *at += 1 + length;
    if (length < 4) fail("a date that no calendar has");
    int64_t us = (days_of(from[0] | (unsigned)from[1] << 8, from[2], from[3]) - EPOCH_DAYS) *
                 US_PER_DAY;
    if (length >= 7) us += ((from[4] * 60 + from[5]) * INT64_C(60) + from[6]) * 1000000;
    if (length >= 11) us += take_u32(from + 7);
    uint8_t *to = dd_buf_reserve(out, 12);
    dd_put_u32(to, 8);
    dd_put_u64(to + 4, (uint64_t)us);
    out->length += 12;
}

static const char select_rows[] =
    "select id, room_id, sender_id, content, is_read, score, attachment, created_at, updated_at "
    "from chat_message where id >= ? and id < ?";

static const char copy_rows[] =
    "copy chat_message (id, room_id, sender_id, content, is_read, score, attachment, created_at, "
    "updated_at) from stdin (format binary)";

/* Called by the client library for each value of a row; `at` is NULL for NULL, and moves on. */
static void put_column(void *context, unsigned column, unsigned char **at) {
    dd_buf *out = context;
    if (column == 0) dd_buf_add_u16(out, COLUMNS);
    if (!at) {
        dd_buf_add_u32(out, UINT32_MAX);
        return;
    }
    switch (column) {
    case 3:
    case 6: put_bytes(out, at); return;
    case 4: put_bool(out, at); return;
    case 5: put_decimal(out, at); return;
    case 7:
    case 8: put_datetime(out, at); return;
    default: put_bigint(out, at); return;
    }
}

/* ---- one half of the rows ---- */

typedef struct half {
    pthread_t thread;
    int64_t first, end;   /* keys from first until before end */
    uint64_t rows;        /* as PostgreSQL counts them */
} half;

static MYSQL_STMT *select_half(MYSQL *mysql, half *keys, dd_buf *out) {
    MYSQL_STMT *stmt = mysql_stmt_init(mysql);
    MYSQL_BIND bounds[2] = {{.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = &keys->first},
                            {.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = &keys->end}};
    if (mysql_stmt_prepare(stmt, select_rows, sizeof select_rows - 1) ||
        mysql_stmt_bind_param(stmt, bounds) ||
        mysql_stmt_attr_set(stmt, STMT_ATTR_CB_USER_DATA, out) ||
        mysql_stmt_attr_set(stmt, STMT_ATTR_CB_RESULT, (const void *)put_column) ||
        mysql_stmt_execute(stmt))
        fail("primary: %s", mysql_stmt_error(stmt));
    return stmt;
}

static void give(PGconn *pg, dd_buf *out) {
    if (PQputCopyData(pg, (const char *)out->data, (int)out->length) != 1)
        fail("secondary: %s", PQerrorMessage(pg));
    dd_buf_clear(out);
}

static void *copy_half(void *argument) {
    half *keys = argument;
    dd_buf out = {0};
    MYSQL *mysql = connect_mysql();
    PGconn *pg = connect_postgres();
    PGresult *result = PQexec(pg, copy_rows);
    if (PQresultStatus(result) != PGRES_COPY_IN) fail("secondary: %s", PQerrorMessage(pg));
    PQclear(result);
    dd_buf_add(&out, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    MYSQL_STMT *stmt = select_half(mysql, keys, &out);
    int fetched;
    while ((fetched = mysql_stmt_fetch(stmt)) == 0)
        if (out.length >= PIECE) give(pg, &out);
    if (fetched != MYSQL_NO_DATA) fail("primary: %s", mysql_stmt_error(stmt));
    dd_buf_add_u16(&out, UINT16_MAX);
    give(pg, &out);
    if (PQputCopyEnd(pg, NULL) != 1) fail("secondary: %s", PQerrorMessage(pg));
    result = PQgetResult(pg);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("secondary: %s", PQerrorMessage(pg));
    keys->rows = strtoull(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    dd_buf_free(&out);
    mysql_stmt_close(stmt);
    mysql_close(mysql);
    PQfinish(pg);
    return NULL;
}

/* Cuts the keys in the middle. */
static void halve(half keys[STREAMS]) {
    MYSQL *mysql = connect_mysql();
    if (mysql_query(mysql, "select min(id), max(id) from chat_message"))
        fail("primary: %s", mysql_error(mysql));
    MYSQL_RES *rows = mysql_store_result(mysql);
    MYSQL_ROW row = rows ? mysql_fetch_row(rows) : NULL;
    if (!row || !row[0] || !row[1]) fail("the table is empty");
    int64_t first = strtoll(row[0], NULL, 10), end = strtoll(row[1], NULL, 10) + 1;
    int64_t middle = first + (end - first) / 2;
    keys[0] = (half){.first = first, .end = middle};
    keys[1] = (half){.first = middle, .end = end};
    mysql_free_result(rows);
    mysql_close(mysql);
}

static uint64_t load(void) {
    half keys[STREAMS];
    uint64_t rows = 0;
    halve(keys);
    for (unsigned i = 0; i < STREAMS; i++) start(&keys[i].thread, copy_half, &keys[i]);
    for (unsigned i = 0; i < STREAMS; i++) {
        pthread_join(keys[i].thread, NULL);
        rows += keys[i].rows;
    }
    return rows;
}

/* ---- the table ---- */

static const char make_table[] =
    "drop table if exists chat_message;"
    "create table chat_message ("
    "id bigint not null generated by default as identity, room_id bigint not null,"
    "sender_id bigint not null, content text not null, is_read boolean not null,"
    "score numeric(12,3) null, attachment bytea null, created_at timestamp(6) not null,"
    "updated_at timestamp(6) not null)";

/* A primary key is added under a lock that lets nobody else build: it takes over a ready index. */
static const char *const make_index[] = {
    "create unique index chat_message_pkey on chat_message (id)",
    "create index chat_message_room on chat_message (room_id)",
    "create index chat_message_updated on chat_message (updated_at)",
};
enum { INDEXES = sizeof make_index / sizeof make_index[0] };

static const char add_key[] =
    "alter table chat_message add constraint chat_message_pkey primary key (id)";
static const char take_key[] =
    "alter table chat_message add constraint chat_message_pkey primary key using index "
    "chat_message_pkey";

static void *build_index(void *sql) {
    PGconn *pg = connect_postgres();
    execute(pg, "set maintenance_work_mem = '256MB'");
    execute(pg, sql);
    PQfinish(pg);
    return NULL;
}

static void build_indexes(PGconn *pg, bool has_key) {
    pthread_t threads[INDEXES];
    for (unsigned i = has_key; i < INDEXES; i++)
        start(&threads[i], build_index, (void *)(uintptr_t)make_index[i]);
    for (unsigned i = has_key; i < INDEXES; i++) pthread_join(threads[i], NULL);
    if (!has_key) execute(pg, take_key);
}

int main(int count, char **words) {
    const bool keeps_key = count > 1 && strcmp(words[1], "keep-key") == 0;
    mysql_library_init(0, NULL, NULL);
    PGconn *pg = connect_postgres();
    execute(pg, make_table);
    if (keeps_key) execute(pg, add_key);
    double started = dd_clock();
    uint64_t rows = load();
    double loaded = dd_clock();
    build_indexes(pg, keeps_key);
    printf("{\"rows\":%llu,\"load\":%.3f,\"indexes\":%.3f}\n", (unsigned long long)rows,
           loaded - started, dd_clock() - loaded);
    PQfinish(pg);
    mysql_library_end();
    return 0;
}
