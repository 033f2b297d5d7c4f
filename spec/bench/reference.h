#ifndef DD_SPEC_REFERENCE_H
#define DD_SPEC_REFERENCE_H

/*
 * What the reference programs of the benchmarks share: connections as dualdb makes them, and an end
 * at the first thing that goes wrong. Addresses and passwords are in DUALDB_PRIMARY_URL and
 * DUALDB_SECONDARY_URL, in the form that `dualdb sandbox env` gives them.
 */

#include <libpq-fe.h>
#include <mysql.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef LIBMARIADB
#error "the reference programs are for MariaDB Connector/C: make MYSQL=mariadb"
#endif

/* Nothing here is worth going on after. The servers' messages have no password in them. */
__attribute__((format(printf, 1, 2))) _Noreturn static inline void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("reference: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* ---- connections ---- */

static inline const char *environment(const char *name) {
    const char *value = getenv(name);
    if (!value) fail("%s is not set", name);
    return value;
}

/* mysql://user:password@host:port/database, with nothing in it that is percent-encoded. */
static inline MYSQL *connect_mysql(void) {
    char user[64], password[128], host[128], database[64];
    unsigned port;
    if (sscanf(environment("DUALDB_PRIMARY_URL"), "mysql://%63[^:]:%127[^@]@%127[^:]:%u/%63[^?]",
               user, password, host, &port, database) != 5)
        fail("DUALDB_PRIMARY_URL is not of the form that the sandbox gives it");
    MYSQL *mysql = mysql_init(NULL);
    /* As dualdb does by itself: TLS where the server has it. */
    const my_bool ask = 1, check = 0;
    mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &ask);
    mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &check);
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (!mysql_real_connect(mysql, host, user, password, database, port, NULL, 0))
        fail("primary: %s", mysql_error(mysql));
    return mysql;
}

static inline PGconn *connect_postgres(void) {
    PGconn *pg = PQconnectdb(environment("DUALDB_SECONDARY_URL"));
    if (PQstatus(pg) != CONNECTION_OK) fail("secondary: %s", PQerrorMessage(pg));
    return pg;
}

static inline void execute(PGconn *pg, const char *sql) {
    PGresult *result = PQexec(pg, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("secondary: %s", PQerrorMessage(pg));
    PQclear(result);
}

static inline void start(pthread_t *thread, void *(*run)(void *), void *argument) {
    int failed = pthread_create(thread, NULL, run, argument);
    if (failed) fail("a thread could not be started: %s", strerror(failed));
}

#endif
