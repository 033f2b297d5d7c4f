#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/interrupt.h"
#include "db/postgres_driver.h"

/* How often a wait looks at the interrupt flag. */
enum { SLICE_MS = 100 };

/* ---- waiting ---- */

void dd_pg_limit(dd_pg *pg) { pg->deadline = dd_deadline_in(pg->base.timeout); }

bool dd_pg_readable(const dd_pg *pg) {
    struct pollfd socket = {.fd = PQsocket(pg->pq), .events = POLLIN};
    return poll(&socket, 1, 0) != 0;
}

static dd_pg_wake read_input(dd_pg *pg) {
    return PQconsumeInput(pg->pq) ? DD_PG_READY : DD_PG_LOST;
}

/*
 * The TLS library may hold bytes that poll() cannot see: libpq reads as much as fits its buffer,
 * and a record of 16 kB (proxies send such) may not. So with TLS each wake-up is followed by one
 * more read, and so is each slice.
 *
 * An interrupt counts only when the server had nothing to say for a moment: what ends a transaction
 * after an interrupt (ROLLBACK, ROLLBACK PREPARED) must still get through. Whoever reads without
 * end looks at the flag itself.
 */
dd_pg_wake dd_pg_wait(dd_pg *pg, bool write) {
    if (pg->reread) {
        pg->reread = false;
        return read_input(pg);
    }
    for (;;) {
        struct pollfd socket = {.fd = PQsocket(pg->pq),
                                .events = (short)(POLLIN | (write ? POLLOUT : 0))};
        if (socket.fd < 0) return DD_PG_LOST;
        if (dd_deadline_passed(pg->deadline)) return DD_PG_LATE;
        int ready = poll(&socket, 1, dd_deadline_poll_ms(pg->deadline, SLICE_MS));
        if (ready < 0 && errno != EINTR) return DD_PG_LATE; /* no memory: as good as no answer */
        if (ready > 0) {
            if (!(socket.revents & ~POLLOUT)) return DD_PG_READY;
            pg->reread = PQsslInUse(pg->pq);
            return read_input(pg);
        }
        if (!pg->stopped && dd_interrupted()) return DD_PG_INTERRUPTED;
        if (PQsslInUse(pg->pq)) return read_input(pg);
    }
}

dd_pg_wake dd_pg_flush(dd_pg *pg) {
    for (;;) {
        int left = PQflush(pg->pq);
        if (left == 0) return DD_PG_READY;
        if (left < 0) return DD_PG_LOST;
        dd_pg_wake wake = dd_pg_wait(pg, true);
        if (wake != DD_PG_READY) return wake;
    }
}

dd_pg_wake dd_pg_result(dd_pg *pg, PGresult **out) {
    *out = NULL;
    while (PQisBusy(pg->pq)) {
        dd_pg_wake wake = dd_pg_wait(pg, PQflush(pg->pq) > 0); /* a queue may not be sent yet */
        if (wake == DD_PG_LOST) break; /* PQgetResult makes an error of it, and does not block */
        if (wake != DD_PG_READY) return wake;
    }
    *out = PQgetResult(pg->pq);
    return DD_PG_READY;
}

/* ---- errors ---- */

void dd_pg_message(dd_err *err, const char *text) {
    const char *end = strchr(text, '\n');
    char first[sizeof err->message];
    size_t length = end ? (size_t)(end - text) : strlen(text);
    if (length >= sizeof first) length = sizeof first - 1;
    memcpy(first, text, length);
    first[length] = '\0';
    dd_err_text(err->message, sizeof err->message, first);
    while (end && (*end == '\n' || *end == '\t' || *end == ' ')) end++;
    dd_err_text(err->detail, sizeof err->detail, end ? end : "");
}

/* Detail and context of the server; of a COPY the context names the line and the column. */
static void copy_fields(const PGresult *result, dd_err *err) {
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    char both[sizeof err->detail];
    snprintf(both, sizeof both, "%s%s%s", detail ? detail : "", detail && context ? "; " : "",
             context ? context : "");
    dd_err_text(err->detail, sizeof err->detail, both);
    if (hint) dd_err_text(err->hint, sizeof err->hint, hint);
}

dd_status dd_pg_stopped(dd_pg *pg, dd_pg_wake why, bool answered, dd_err *err) {
    if (why == DD_PG_INTERRUPTED)
        (void)dd_fail(err, DD_CANCELED, "interrupted");
    else if (answered)
        (void)dd_fail(err, DD_TRANSIENT, "statement exceeded its limit of %g s", pg->base.timeout);
    else
        (void)dd_fail(err, DD_UNAVAILABLE,
                      "server gave no answer within %g s, nor to the request to cancel",
                      pg->base.timeout);
    if (answered) memcpy(err->sqlstate, "57014", sizeof "57014");
    if (pg->phase == DD_PHASE_COMMIT) {
        err->class_ = DD_AMBIGUOUS;
        err->outcome = DD_OUTCOME_UNKNOWN;
    }
    return DD_FAIL;
}

dd_status dd_pg_error(dd_pg *pg, const PGresult *result, dd_err *err) {
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *main_text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (PQstatus(pg->pq) != CONNECTION_OK) dd_conn_enter(&pg->base, DD_CONN_BROKEN);
    const dd_pg_wake why = pg->stopped ? pg->stopped : pg->missed;
    if (why && state && strcmp(state, "57014") == 0) return dd_pg_stopped(pg, why, true, err);
    *err = (dd_err){0};
    if (state) dd_err_text(err->sqlstate, sizeof err->sqlstate, state);
    if (main_text) {
        dd_err_text(err->message, sizeof err->message, main_text);
        copy_fields(result, err);
    } else if (pg->last_words[0]) {
        dd_err_text(err->message, sizeof err->message, pg->last_words);
        dd_err_text(err->sqlstate, sizeof err->sqlstate, pg->last_sqlstate);
    } else {
        const char *text = result ? PQresultErrorMessage(result) : PQerrorMessage(pg->pq);
        dd_pg_message(err, *text ? text : "server closed the connection unexpectedly");
    }
    dd_classify_postgres(err, pg->phase);
    return DD_FAIL;
}

/* ---- the statement under way ---- */

/* A server that ended the session has said so already: read it, before anything is sent. */
dd_status dd_pg_there(dd_pg *pg, dd_err *err) {
    pg->phase = DD_PHASE_STATEMENT;
    bool there = PQconsumeInput(pg->pq) == 1;
    (void)PQisBusy(pg->pq); /* parses what was read */
    if (there && !pg->last_words[0] && PQstatus(pg->pq) == CONNECTION_OK) return DD_OK;
    dd_conn_enter(&pg->base, DD_CONN_BROKEN);
    return dd_pg_error(pg, NULL, err);
}

dd_status dd_pg_start(dd_pg *pg, const char *sql, dd_err *err) {
    pg->stopped = pg->missed = DD_PG_READY;
    pg->synced = pg->warned = pg->no_block = false;
    dd_pg_limit(pg);
    if (dd_pg_there(pg, err) != DD_OK) return DD_FAIL;
    pg->phase = dd_phase_of(sql);
    pg->in_block = PQtransactionStatus(pg->pq) != PQTRANS_IDLE;
    return DD_OK;
}

dd_status dd_pg_stop(dd_pg *pg, dd_pg_wake why, dd_err *err) {
    bool again = pg->stopped != DD_PG_READY;
    if (!again) pg->stopped = why;
    if (again || !dd_pg_cancel_send(pg->cancel)) {
        dd_conn_enter(&pg->base, DD_CONN_BROKEN);
        return dd_pg_stopped(pg, pg->stopped, false, err);
    }
    pg->deadline = dd_deadline_in(DD_PG_PATIENCE);
    return DD_OK;
}

dd_status dd_pg_answer(dd_pg *pg, PGresult **out, dd_err *err) {
    for (;;) {
        dd_pg_wake wake = dd_pg_result(pg, out);
        if (wake == DD_PG_READY) return DD_OK;
        if (dd_pg_stop(pg, wake, err) != DD_OK) return DD_FAIL;
    }
}

dd_status dd_pg_send_all(dd_pg *pg, dd_err *err) {
    for (;;) {
        dd_pg_wake wake = dd_pg_flush(pg);
        /* When the connection is lost the server's last words are read with the result. */
        if (wake == DD_PG_READY || wake == DD_PG_LOST) return DD_OK;
        if (dd_pg_stop(pg, wake, err) != DD_OK) return DD_FAIL;
    }
}

static bool is_error(const PGresult *result) {
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

static bool is_row(const PGresult *result) {
    return PQresultStatus(result) == PGRES_SINGLE_TUPLE;
}

/* Keeps in *last the result that tells the outcome: the first error, else the last but rows. */
static void keep(PGresult **last, PGresult *result) {
    if (is_row(result) || (*last && is_error(*last))) {
        PQclear(result);
    } else {
        PQclear(*last);
        *last = result;
    }
}

/* Reads past the rows of a COPY TO. */
static dd_pg_wake skip_copy_data(dd_pg *pg) {
    for (;;) {
        char *data;
        int length = PQgetCopyData(pg->pq, &data, 1);
        if (length < 0) return DD_PG_READY;
        if (length > 0) {
            PQfreemem(data);
        } else {
            dd_pg_wake wake = dd_pg_wait(pg, false);
            if (wake != DD_PG_READY) return wake;
        }
    }
}

/* Everything until the statement is over, at most until pg->deadline. */
static dd_pg_wake drain(dd_pg *pg, PGresult **last) {
    for (;;) {
        PGresult *result;
        dd_pg_wake wake = dd_pg_flush(pg);
        if (wake == DD_PG_READY || wake == DD_PG_LOST) wake = dd_pg_result(pg, &result);
        if (wake != DD_PG_READY) return wake;
        if (!result) return DD_PG_READY;
        ExecStatusType status = PQresultStatus(result);
        keep(last, result);
        if (status == PGRES_COPY_IN && PQputCopyEnd(pg->pq, "given up") < 0) return DD_PG_LOST;
        if (status == PGRES_COPY_OUT && (wake = skip_copy_data(pg)) != DD_PG_READY) return wake;
    }
}

bool dd_pg_abandon(dd_pg *pg, double grace, PGresult **last) {
    PGresult *unread = NULL;
    if (!last) last = &unread;
    dd_pg_wake wake = DD_PG_LATE;
    dd_pg_wake why = pg->stopped;
    if (!pg->stopped) pg->stopped = DD_PG_LATE; /* a short wait, which no interrupt ends */
    if (grace > 0) {
        pg->deadline = dd_deadline_in(grace);
        wake = drain(pg, last);
    }
    if (wake == DD_PG_LATE && dd_pg_cancel_send(pg->cancel)) {
        pg->deadline = dd_deadline_in(DD_PG_PATIENCE);
        wake = drain(pg, last);
    }
    pg->stopped = why;
    PQclear(unread);
    if (wake == DD_PG_READY && PQstatus(pg->pq) == CONNECTION_OK) return true;
    dd_conn_enter(&pg->base, DD_CONN_BROKEN);
    return false;
}

dd_status dd_pg_give_up(dd_pg *pg, dd_pg_wake why, dd_err *err) {
    const double grace = pg->stopped ? DD_PG_PATIENCE : 0; /* it may be cancelled already */
    PGresult *last = NULL;
    if (why == DD_PG_LOST) {
        /* The error that the server sent last, if it did, is read here without waiting. */
        (void)dd_pg_abandon(pg, 0.001, &last);
        dd_conn_enter(&pg->base, DD_CONN_BROKEN);
        (void)dd_pg_error(pg, last && is_error(last) ? last : NULL, err);
    } else {
        pg->stopped = why;
        (void)dd_pg_stopped(pg, why, dd_pg_abandon(pg, grace, &last), err);
    }
    PQclear(last);
    return DD_FAIL;
}

/* ---- the outcome ---- */

static dd_status outcome(dd_pg *pg, const PGresult *last, dd_result *result, dd_err *err) {
    switch (PQresultStatus(last)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK: break;
    case PGRES_EMPTY_QUERY: return dd_fail(err, DD_USAGE, "statement is empty");
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        return dd_fail(err, DD_USAGE, "COPY cannot be run as a statement; use a stream or a load");
#ifdef LIBPQ_HAS_PIPELINING
    case PGRES_PIPELINE_ABORTED:
        (void)dd_fail(err, DD_TRANSIENT, "statement was not run, as one before it had failed");
        memcpy(err->sqlstate, "25P02", sizeof "25P02");
        return DD_FAIL;
#endif
    default: return dd_pg_error(pg, last, err);
    }
    const char *tag = PQcmdStatus((PGresult *)last);
    if (result) {
        dd_err_text(result->tag, sizeof result->tag, tag);
        result->warned = pg->warned;
        for (const char *digit = PQcmdTuples((PGresult *)last); *digit; digit++)
            result->affected = result->affected * 10 + (uint64_t)(*digit - '0');
    }
    if (pg->phase == DD_PHASE_COMMIT && strcmp(tag, "ROLLBACK") == 0)
        return dd_fail(err, DD_TRANSIENT, "transaction was rolled back instead of committed");
    if (pg->phase == DD_PHASE_COMMIT && pg->in_block && pg->no_block)
        return dd_fail(err, DD_TRANSIENT, "there was no transaction to commit");
    return DD_OK;
}

dd_status dd_pg_complete(dd_pg *pg, PGresult *last, dd_result *result, dd_err *err) {
    dd_status status = DD_OK;
    bool ended = false; /* but for the Sync; where the connection is lost there is none */
    for (;;) {
        PGresult *next;
        status = dd_pg_answer(pg, &next, err);
        if (status != DD_OK || (!next && (!pg->synced || ended))) break;
        ended = !next;
        if (ended) continue;
        ExecStatusType kind = PQresultStatus(next);
#ifdef LIBPQ_HAS_PIPELINING
        if (kind == PGRES_PIPELINE_SYNC) {
            PQclear(next);
            break;
        }
#endif
        keep(&last, next);
        if (kind == PGRES_COPY_IN || kind == PGRES_COPY_OUT || kind == PGRES_COPY_BOTH) {
            if (pg->base.piped) dd_conn_enter(&pg->base, DD_CONN_BROKEN);
            else (void)dd_pg_abandon(pg, 0, NULL);
            break;
        }
        /* Rows without end are read without a wait, so nobody else looks at the flag. */
        if (kind == PGRES_SINGLE_TUPLE && !pg->stopped && dd_interrupted() &&
            (status = dd_pg_stop(pg, DD_PG_INTERRUPTED, err)) != DD_OK)
            break;
    }
    if (status == DD_OK) status = outcome(pg, last, result, err);
    PQclear(last);
    const bool astray = pg->synced && ended; /* the answers are not those of the questions any more */
    if (astray || PQstatus(pg->pq) != CONNECTION_OK) dd_conn_enter(&pg->base, DD_CONN_BROKEN);
    return status;
}

dd_status dd_pg_doubt(dd_pg *pg, dd_status status, dd_err *err) {
    if (status != DD_OK && pg->base.state == DD_CONN_BROKEN && !pg->in_block)
        err->outcome = DD_OUTCOME_UNKNOWN;
    return status;
}
