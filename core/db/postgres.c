#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "db/postgres_driver.h"

/* ---- connecting ---- */

/*
 * The session's time zone, and how its SQL writes dates. libpq sends PGTZ and PGDATESTYLE in the
 * startup packet, where poolers accept them; the only connection setting for them is `options`,
 * which they refuse. Set once: all threads share the environment.
 */
static void set_environment(void) {
    setenv("PGTZ", "UTC", 1);
    setenv("PGDATESTYLE", "ISO, YMD", 1);
}

/*
 * Notices never go to stderr. A WARNING with COMMIT can mean that it is not durable yet, and an
 * error that comes while nothing is under way is the server's farewell.
 */
static void on_notice(void *owner, const PGresult *notice) {
    dd_pg *pg = owner;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    const char *state = PQresultErrorField(notice, PG_DIAG_SQLSTATE);
    if (!severity) return;
    if (strcmp(severity, "WARNING") == 0) pg->warned = true;
    if (state && strcmp(state, "25P01") == 0) pg->no_block = true;
    if (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0) {
        dd_err_text(pg->last_words, sizeof pg->last_words, text ? text : "session was ended");
        dd_err_text(pg->last_sqlstate, sizeof pg->last_sqlstate, state ? state : "");
    }
}

static PGconn *start_connection(const dd_setting *settings, unsigned count) {
    enum { OURS = 2 };
    const char **names = dd_calloc((size_t)count + OURS + 1, sizeof *names);
    const char **values = dd_calloc((size_t)count + OURS + 1, sizeof *values);
    for (unsigned i = 0; i < count; i++) {
        names[i] = settings[i].name;
        values[i] = settings[i].value;
    }
    names[count] = "fallback_application_name";
    values[count] = "dualdb";
    names[count + 1] = "client_encoding"; /* the last of a name counts */
    values[count + 1] = "UTF8";
    PGconn *pq = PQconnectStartParams(names, values, 0);
    free(names);
    free(values);
    return pq;
}

/*
 * libpq gives no SQLSTATE for a failed connection but in verbose text:
 *   connection to server at "h", port 5432 failed: FATAL:  28P01: password authentication failed
 *   LOCATION:  auth_failed, auth.c:326
 * Takes it out of `text`, and the severity (whatever its language) with it.
 */
static void take_sqlstate(char *text, dd_err *err) {
    const char *codes = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    char *location = strstr(text, "\nLOCATION:  ");
    if (location) *location = '\0';
    for (char *at = strstr(text, ":  "); at; at = strstr(at + 1, ":  ")) {
        char *code = at + 3;
        if (strspn(code, codes) != 5 || code[5] != ':' || code[6] != ' ') continue;
        memcpy(err->sqlstate, code, 5);
        char *severity = at;
        while (severity > text && severity[-1] != ' ' && severity[-1] != '\n') severity--;
        memmove(severity, code + 7, strlen(code + 7) + 1);
        return;
    }
}

static dd_status connect_error(PGconn *pq, dd_err *err) {
    char *text = dd_strdup(PQerrorMessage(pq));
    *err = (dd_err){0};
    take_sqlstate(text, err);
    dd_pg_message(err, text);
    free(text);
    dd_classify_postgres(err, DD_PHASE_CONNECT);
    return DD_FAIL;
}

static dd_status wait_for_session(PGconn *pq, double timeout, dd_err *err) {
    const dd_deadline deadline = dd_deadline_in(timeout);
    if (PQstatus(pq) == CONNECTION_BAD) return connect_error(pq, err);
    (void)PQsetErrorVerbosity(pq, PQERRORS_VERBOSE); /* see take_sqlstate */
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    for (;;) {
        struct pollfd socket = {.fd = PQsocket(pq),
                                .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int ready = poll(&socket, 1, dd_deadline_poll_ms(deadline, 100));
        if (dd_interrupted()) return dd_fail(err, DD_CANCELED, "interrupted");
        if (ready > 0) next = PQconnectPoll(pq);
        if (next == PGRES_POLLING_FAILED) return connect_error(pq, err);
        if (next == PGRES_POLLING_OK) break;
        if (dd_deadline_passed(deadline))
            return dd_fail(err, DD_UNAVAILABLE, "server did not answer within %g s", timeout);
    }
    (void)PQsetErrorVerbosity(pq, PQERRORS_DEFAULT);
    return DD_OK;
}

/* What this driver takes for granted, and a role, a database or a pooler can change. */
static dd_status check_session(PGconn *pq, dd_err *err) {
    static const struct {
        const char *name, *needed;
    } needs[] = {{"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}};
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        const char *value = PQparameterStatus(pq, needs[i].name);
        if (value && strcmp(value, needs[i].needed) != 0)
            return dd_fail(err, DD_CONFIG, "session has %s %s, and %s is needed", needs[i].name,
                           value, needs[i].needed);
    }
    return DD_OK;
}

static void pg_close(dd_conn *conn) {
    dd_pg *pg = dd_pg_of(conn);
    dd_pg_cancel_free(pg->cancel);
    PQfinish(pg->pq);
    free(pg->labels);
    free(pg);
}

static dd_status pg_open(const dd_setting *settings, unsigned count, double connect_timeout,
                         dd_conn **out, dd_err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_environment);
    PGconn *pq = start_connection(settings, count);
    if (!pq) dd_out_of_memory(sizeof(dd_pg));
    dd_pg *pg = dd_calloc(1, sizeof *pg);
    pg->pq = pq;
    (void)PQsetNoticeReceiver(pq, on_notice, pg);
    if (wait_for_session(pq, connect_timeout, err) != DD_OK || check_session(pq, err) != DD_OK) {
        pg_close(&pg->base);
        return DD_FAIL;
    }
    (void)PQsetnonblocking(pq, 1);
    pg->cancel = dd_pg_cancel_new(pq);
    const char *version = PQparameterStatus(pq, "server_version");
    dd_err_text(pg->base.product, sizeof pg->base.product, "postgresql");
    dd_err_text(pg->base.version, sizeof pg->base.version, version ? version : "");
    pg->base.session = (uint64_t)PQbackendPID(pq);
    *out = &pg->base;
    return DD_OK;
}

static bool pg_in_transaction(const dd_conn *conn) {
    const dd_pg *pg = (const dd_pg *)conn;
    if (conn->state == DD_CONN_BROKEN) return false; /* libpq may not have seen the end of it yet */
    if (conn->piped) return pg->block || pg->sent[conn->queued - 1].in_block;
    switch (PQtransactionStatus(pg->pq)) {
    case PQTRANS_INTRANS:
    case PQTRANS_INERROR: return true;
    case PQTRANS_ACTIVE: return pg->in_block; /* a statement or stream is under way */
    default: return false;
    }
}

/* Nothing but a farewell comes unasked; below TLS there may also be its own messages. */
static bool pg_hung_up(dd_conn *conn) {
    const dd_pg *pg = dd_pg_of(conn);
    if (!dd_pg_readable(pg)) return false;
    return !PQsslInUse(pg->pq) || !PQconsumeInput(pg->pq) || dd_pg_readable(pg);
}

static void pg_cancel(dd_conn *conn) { (void)dd_pg_cancel_send(dd_pg_of(conn)->cancel); }

/* ---- statements ---- */

dd_status dd_pg_send(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                     dd_err *err) {
    dd_pg *pg = dd_pg_of(conn);
    dd_pg_params bound = {0};
    dd_status status = dd_pg_params_build(params, count, &bound, err);
    if (status == DD_OK) status = dd_pg_start(pg, sql, err);
    if (status == DD_OK) {
        if (PQsendQueryParams(pg->pq, sql, (int)count, bound.types, bound.values, bound.lengths,
                              bound.formats, 1)) {
            /* Rows one by one: those that nobody wants are not kept in memory either. */
            (void)PQsetSingleRowMode(pg->pq);
            status = dd_pg_doubt(pg, dd_pg_send_all(pg, err), err);
        } else {
            pg->phase = DD_PHASE_STATEMENT; /* nothing has left, so nothing is ambiguous */
            status = dd_pg_error(pg, NULL, err);
        }
    }
    dd_pg_params_free(&bound);
    return status;
}

static dd_status pg_finish(dd_conn *conn, dd_result *result, dd_err *err) {
    dd_pg *pg = dd_pg_of(conn);
#ifdef LIBPQ_HAS_PIPELINING
    if (conn->piped) return dd_pg_finish_queued(pg, result, err);
#endif
    if (!pg->stopped) dd_pg_limit(pg);
    return dd_pg_doubt(pg, dd_pg_complete(pg, NULL, result, err), err);
}

/* PQlibVersion: major * 10000 + minor, since version 10. */
static unsigned library(char *text, size_t size) {
    unsigned number = (unsigned)PQlibVersion();
    snprintf(text, size, "libpq %u.%u", number / 10000, number % 10000);
    return number;
}

const dd_driver dd_driver_postgres = {
    .name = "postgres",
    .numbered = true,
    .quote = '"',
    .name_limit = 63,
    .name_limit_bytes = true,
    .library = library,
    .open = pg_open,
    .close = pg_close,
    .in_transaction = pg_in_transaction,
    .hung_up = pg_hung_up,
    .cancel = pg_cancel,
    .send = dd_pg_send,
#ifdef LIBPQ_HAS_PIPELINING
    .queue = dd_pg_queue,
#endif
    .finish = pg_finish,
    .stream_open = dd_pg_stream_open,
    .stream_next = dd_pg_stream_next,
    .stream_close = dd_pg_stream_close,
    .load_open = dd_pg_load_open,
    .load_row = dd_pg_load_row,
    .load_finish = dd_pg_load_finish,
    .load_abort = dd_pg_load_abort,
};
