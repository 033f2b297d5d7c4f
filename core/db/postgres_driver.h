#ifndef DD_DB_POSTGRES_DRIVER_H
#define DD_DB_POSTGRES_DRIVER_H

/*
 * Inside of the PostgreSQL driver, for core/db/postgres*.c only. libpq is used in its asynchronous
 * form throughout: every wait is a poll(2) here, under the call's deadline and the interrupt flag.
 */

#include <libpq-fe.h>

#include "db/classify.h"
#include "db/driver.h"

/* Seconds that a server has to answer a request to cancel, and then to end the statement. */
#define DD_PG_PATIENCE 2.0

typedef enum {
    DD_PG_READY,
    DD_PG_LATE,          /* the deadline passed */
    DD_PG_INTERRUPTED,
    DD_PG_LOST           /* the socket is closed or failed; libpq knows why */
} dd_pg_wake;

typedef struct dd_pg_cancel dd_pg_cancel;

/* What has to be known about a queued statement when its result comes. */
typedef struct dd_pg_sent {
    dd_phase phase;
    bool in_block;           /* inside a transaction block, if those before it succeed */
    bool synced;             /* a Sync was sent behind it */
} dd_pg_sent;

typedef struct dd_pg {
    dd_conn base;
    PGconn *pq;              /* owned */
    dd_pg_cancel *cancel;    /* owned; made at connect, so that any thread can use it */
    /* Of the statement under way, set by dd_pg_start; of queued ones, of that whose result is read. */
    dd_phase phase;
    bool in_block;           /* it was sent inside a transaction block */
    bool synced;             /* its results end with those of a Sync */
    bool warned;             /* a WARNING came */
    bool no_block;           /* ... that said that there is no transaction to end */
    dd_pg_wake stopped;      /* why it was cancelled, or READY */
    dd_deadline deadline;    /* of the call under way */
    bool reread;             /* the next wait reads without waiting, see dd_pg_wait */
    /* Of queued statements, see postgres_queue.c. */
    dd_pg_sent sent[DD_CONN_QUEUE_LIMIT]; /* the first base.queued, the oldest first */
    bool block;              /* a transaction block is open behind the last, if all succeed */
    bool grouped;            /* the last waits for its Sync */
    bool held;               /* and has not left: it waits for the next */
    dd_pg_wake missed;       /* why one was cancelled before: that may hit the next; or READY */
    /* What a server that ends the session says while nothing is under way; "" before. */
    char last_words[256];
    char last_sqlstate[6];
    /* The types of this database whose values are labels, sorted; see dd_pg_learn_labels. */
    Oid *labels;             /* owned */
    unsigned label_count;
    bool labels_known;
} dd_pg;

static inline dd_pg *dd_pg_of(dd_conn *conn) { return (dd_pg *)conn; }

/* ---- postgres_wait.c ---- */

/*
 * A statement begins: checks that the connection still is there, so that the loss of a COMMIT that
 * was never sent is not `ambiguous`, and sets what belongs to a statement.
 */
DD_MUST_CHECK dd_status dd_pg_start(dd_pg *pg, const char *sql, dd_err *err);
/* The check alone: fails when the connection is lost, and fills err as for what was not sent. */
DD_MUST_CHECK dd_status dd_pg_there(dd_pg *pg, dd_err *err);
/* Whether something came that was not read, or the connection has ended. Sends nothing. */
bool dd_pg_readable(const dd_pg *pg);
/* A further call of the same statement has the connection's time-out anew. */
void dd_pg_limit(dd_pg *pg);

/* Waits, at most until pg->deadline, for input (and reads it), or with `write` for room to send. */
dd_pg_wake dd_pg_wait(dd_pg *pg, bool write);
/* The same for sending all that libpq holds, and for the next result (NULL: nothing is left). */
dd_pg_wake dd_pg_flush(dd_pg *pg);
dd_pg_wake dd_pg_result(dd_pg *pg, PGresult **out);

/*
 * The next result; a statement that is late or interrupted is cancelled, and the results of that
 * are given. Fails when there is no answer even then; the connection is BROKEN.
 */
DD_MUST_CHECK dd_status dd_pg_answer(dd_pg *pg, PGresult **out, dd_err *err);
/* Sends all that libpq holds, with the same care. */
DD_MUST_CHECK dd_status dd_pg_send_all(dd_pg *pg, dd_err *err);
/* Makes the server stop; dd_pg_answer goes on with what it says. */
DD_MUST_CHECK dd_status dd_pg_stop(dd_pg *pg, dd_pg_wake why, dd_err *err);

/*
 * Ends a statement whose results are not wanted: reads what comes within `grace` seconds, then
 * cancels it and reads the rest, or marks the connection BROKEN. The last result that is no row
 * goes to *last (unless that is NULL), an error before all others. False when BROKEN.
 */
bool dd_pg_abandon(dd_pg *pg, double grace, PGresult **last);
/* Abandons a stream or load that is late, interrupted or lost, and fills err with that. */
dd_status dd_pg_give_up(dd_pg *pg, dd_pg_wake why, dd_err *err);

/*
 * Reads the statement's results until it is over; takes over `last`, one that was read already, or
 * NULL. Any error among them is the outcome. `result` may be NULL.
 */
DD_MUST_CHECK dd_status dd_pg_complete(dd_pg *pg, PGresult *last, dd_result *result, dd_err *err);

/* A failed statement that was sent outside a transaction, on a connection that is lost: it may have
 * been done. Returns status. */
dd_status dd_pg_doubt(dd_pg *pg, dd_status status, dd_err *err);

/* Fills err for a statement that was given up, or would have been, had the server answered; `why` it
 * was. Always DD_FAIL. */
dd_status dd_pg_stopped(dd_pg *pg, dd_pg_wake why, bool answered, dd_err *err);
/* Fills err from a result that is an error, or from the connection when that is NULL. A lost
 * connection becomes BROKEN. Always DD_FAIL. */
dd_status dd_pg_error(dd_pg *pg, const PGresult *result, dd_err *err);
/* libpq's text: the first line into the message, the others into the detail. */
void dd_pg_message(dd_err *err, const char *text);

/* ---- postgres_describe.c ---- */

/* The columns that a statement without parameters would return, as the result of a Describe. */
DD_MUST_CHECK dd_status dd_pg_describe(dd_pg *pg, const char *sql, PGresult **out, dd_err *err);
/*
 * Fails with class `schema`: the type of column `at`, which is named if the server can still be
 * asked, does not fit `kind` (0: fits no kind). `verb` is "read" or "write". The connection must be
 * idle.
 */
dd_status dd_pg_misfit(dd_pg *pg, const PGresult *columns, unsigned at, dd_kind kind,
                       const char *verb, dd_err *err);
/*
 * Enums, and citext, have OIDs that are made at run time and values that arrive as text. Asks for
 * them once for each connection, and again after a type was met that nobody knew. The connection
 * must be idle.
 */
DD_MUST_CHECK dd_status dd_pg_learn_labels(dd_pg *pg, dd_err *err);
bool dd_pg_is_label(const dd_pg *pg, Oid oid);
/* Puts the column's name before the message of an error about a value. Always DD_FAIL. */
dd_status dd_pg_name_column(const char *column, dd_err *err);

/* ---- postgres_params.c ---- */

/* Values as PQsendQueryParams takes them. Free it also after a failed build. */
typedef struct dd_pg_params {
    Oid *types;
    const char **values;
    int *lengths;
    int *formats;
    dd_buf text;             /* what was rendered; `values` point into it */
} dd_pg_params;

DD_MUST_CHECK dd_status dd_pg_params_build(const dd_value *params, unsigned count,
                                           dd_pg_params *out, dd_err *err);
void dd_pg_params_free(dd_pg_params *params);

/* ---- postgres_cancel.c ---- */

dd_pg_cancel *dd_pg_cancel_new(PGconn *pq);
void dd_pg_cancel_free(dd_pg_cancel *cancel);
/* Asks the server to stop what the session does. True when it has taken the request; false when it
 * did not within DD_PG_PATIENCE, and the request may still arrive at any time. Any thread. */
bool dd_pg_cancel_send(dd_pg_cancel *cancel);

/* ---- postgres_queue.c ---- */

#ifdef LIBPQ_HAS_PIPELINING
DD_MUST_CHECK dd_status dd_pg_queue(dd_conn *conn, const char *sql, const dd_value *params,
                                    unsigned count, dd_leaves leaves, dd_err *err);
/* The outcome of the oldest queued statement. */
DD_MUST_CHECK dd_status dd_pg_finish_queued(dd_pg *pg, dd_result *result, dd_err *err);
#endif

/* ---- entries of the driver's table: postgres.c, postgres_stream.c, postgres_load.c ---- */

DD_MUST_CHECK dd_status dd_pg_send(dd_conn *conn, const char *sql, const dd_value *params,
                                   unsigned count, dd_err *err);
DD_MUST_CHECK dd_status dd_pg_stream_open(dd_conn *conn, const char *sql, const dd_value *params,
                                          unsigned count, const char *want, bool bulk,
                                          dd_stream **out, dd_err *err);
DD_MUST_CHECK dd_status dd_pg_stream_next(dd_stream *stream, dd_buf *row, bool *more, dd_err *err);
void dd_pg_stream_close(dd_stream *stream);

DD_MUST_CHECK dd_status dd_pg_load_open(dd_conn *conn, const char *table, const char *columns,
                                        const char *kinds, unsigned count, unsigned key_columns,
                                        dd_load **out, dd_err *err);
DD_MUST_CHECK dd_status dd_pg_load_row(dd_load *load, const dd_value *values, dd_err *err);
DD_MUST_CHECK dd_status dd_pg_load_finish(dd_load *load, uint64_t *rows, dd_err *err);
void dd_pg_load_abort(dd_load *load);

#endif
