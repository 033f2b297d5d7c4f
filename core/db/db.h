#ifndef DD_DB_DB_H
#define DD_DB_DB_H

/*
 * One connection to one database server, the same for both drivers.
 *
 *   open -> idle -> (statements sent -> idle | stream open -> idle | load open -> idle) -> closed
 *
 * One thing at a time: a statement while a stream or a load is open fails with class `usage`. Only
 * dd_conn_queue has several statements under way, which are one thing. A
 * connection whose socket or protocol failed is `broken` and only takes close. A connection belongs
 * to one thread at a time; dd_conn_cancel alone may be called from another.
 *
 * Every call that waits for the server ends by the connection's timeout (class `transient`, after
 * the server's statement was cancelled; `unavailable` when even that was not answered) and by
 * dd_interrupt() (class `canceled`).
 *
 * Parameters are written `?` in the SQL of either driver and are always bound; `??` is a plain
 * question mark. Question marks inside literals, quoted names and comments are left alone.
 */

#include "base/clock.h"
#include "row/value.h"

typedef struct dd_conn dd_conn;
typedef struct dd_stream dd_stream;
typedef struct dd_load dd_load;

typedef enum { DD_CONN_IDLE, DD_CONN_SENT, DD_CONN_STREAM, DD_CONN_LOAD, DD_CONN_BROKEN } dd_state;

/* One setting of a connection. For PostgreSQL any keyword of libpq; for MySQL: host, port, socket,
 * user, password, dbname, ssl-mode (disabled, preferred, required, verify-ca, verify-identity),
 * ssl-ca, ssl-cert, ssl-key. An unknown one fails with class `config`. */
typedef struct dd_setting {
    const char *name;
    const char *value;
} dd_setting;

typedef struct dd_result {
    uint64_t affected;     /* rows matched (MySQL counts found rows, not changed ones) */
    uint64_t insert_id;    /* MySQL: first AUTO_INCREMENT value; else 0 */
    char tag[64];          /* PostgreSQL: the command tag; MySQL: "" */
    bool warned;           /* PostgreSQL: a WARNING came with it */
} dd_result;

/* A column of a stream. */
typedef struct dd_column {
    const char *name;      /* owned by the stream */
    dd_kind kind;          /* kind of its values in the rows that are returned */
} dd_column;

/*
 * Connects. `driver` is "mysql" or "postgres"; `label` (copied) goes into every error's `side`.
 * `settings` has `count` entries and is not kept. The session is utf8mb4/UTF8, in UTC, with strict
 * sql_mode; on PostgreSQL by startup parameters only, so that a pooler may be between.
 */
DD_MUST_CHECK dd_status dd_conn_open(const char *driver, const char *label,
                                     const dd_setting *settings, unsigned count,
                                     double connect_timeout, dd_conn **out, dd_err *err);
void dd_conn_close(dd_conn *conn); /* NULL is fine; an open stream or load must be closed first */

dd_state dd_conn_state(const dd_conn *conn);
/* True between BEGIN and COMMIT or ROLLBACK, a failed transaction included. While statements are
 * under way: as it was when the last of them was sent, or as that one leaves it. */
bool dd_conn_in_transaction(const dd_conn *conn);
/* True when an idle connection is of no more use: the server closed it, as a look at the socket shows
 * without a round trip. */
bool dd_conn_hung_up(dd_conn *conn);
/* "mysql", "mariadb" or "postgresql", and the server's version as it says it. */
const char *dd_conn_product(const dd_conn *conn);
const char *dd_conn_version(const dd_conn *conn);
const char *dd_conn_label(const dd_conn *conn);
/* "mysql" or "postgres". */
const char *dd_conn_driver(const dd_conn *conn);
/* The server's id of the session (CONNECTION_ID(), pg_backend_pid()). */
uint64_t dd_conn_session(const dd_conn *conn);
/* Seconds each later call may wait for the server; 0 = no limit. The default is 0. */
void dd_conn_set_timeout(dd_conn *conn, double seconds);

/* Asks the server to stop what the connection is doing. Thread-safe; best effort. */
void dd_conn_cancel(dd_conn *conn);

/*
 * Runs one statement and waits. Rows that it returns are discarded. Errors are classified
 * (classify.h). On COMMIT a lost answer is class `ambiguous`, and PostgreSQL's tag ROLLBACK for a
 * COMMIT is class `transient` with outcome not_applied.
 */
DD_MUST_CHECK dd_status dd_conn_execute(dd_conn *conn, const char *sql, const dd_value *params,
                                        unsigned count, dd_result *result, dd_err *err);

/*
 * The same in two halves, so that the other server can work meanwhile. PostgreSQL: send returns when
 * the statement is on its way. MySQL: send does the whole work and finish gives the result. After a
 * failed send there is nothing to finish.
 */
DD_MUST_CHECK dd_status dd_conn_send(dd_conn *conn, const char *sql, const dd_value *params,
                                     unsigned count, dd_err *err);
DD_MUST_CHECK dd_status dd_conn_finish(dd_conn *conn, dd_result *result, dd_err *err);

#define DD_CONN_QUEUE_LIMIT 8

/* When a queued statement leaves. A packet more wakes the server once more. */
typedef enum {
    DD_LEAVES_NOW,             /* others may come, nobody knows when */
    DD_LEAVES_WITH_NEXT,       /* with the one that comes at once */
    DD_LEAVES_LAST             /* now, and no other comes before its result was taken */
} dd_leaves;

/*
 * Sends a statement behind those that were queued before, without waiting for them (PostgreSQL:
 * pipeline mode; MySQL: the work is done now). Each takes one dd_conn_finish, in order. At most
 * DD_CONN_QUEUE_LIMIT are under way, one more fails with class `usage`; so does COPY.
 *
 * A failed statement does not keep the next from being run, and inside a transaction the server
 * refuses it. Where the BEGIN itself is still under way, what is queued behind it is run only if the
 * BEGIN and all before it succeeded, up to the end of the transaction: alone it would commit by
 * itself. A PREPARE TRANSACTION that is the last goes along with them: when it was not run, the
 * transaction is still to be rolled back. On a lost connection each has its own outcome: unknown for a
 * COMMIT, for what stands before one, and for what is in no transaction.
 */
DD_MUST_CHECK dd_status dd_conn_queue(dd_conn *conn, const char *sql, const dd_value *params,
                                      unsigned count, dd_leaves leaves, dd_err *err);
/* Statements, queued or sent, whose result was not taken yet. */
unsigned dd_conn_queued(const dd_conn *conn);

/*
 * Opens a stream of rows. `want` is a string of kind letters, one a column, or NULL for each
 * column's natural kind; a column that cannot be read so, or has a type that dualdb does not know,
 * fails with class `schema`, naming it. Memory does not depend on the number of rows. With `bulk`
 * and no parameters PostgreSQL uses COPY (query) TO STDOUT (FORMAT binary).
 */
DD_MUST_CHECK dd_status dd_stream_open(dd_conn *conn, const char *sql, const dd_value *params,
                                       unsigned count, const char *want, bool bulk,
                                       dd_stream **out, dd_err *err);
const dd_column *dd_stream_columns(const dd_stream *stream, unsigned *count);
/*
 * Appends the next canonical row to `row` and sets *more, or sets *more to false at the end of the
 * data. A connection that is lost in between is an error, never the end. After an error the stream
 * only takes close.
 */
DD_MUST_CHECK dd_status dd_stream_next(dd_stream *stream, dd_buf *row, bool *more, dd_err *err);
/* Frees the stream; when rows are left the server's statement is cancelled and they are drained, or
 * the connection becomes broken. NULL is fine. */
void dd_stream_close(dd_stream *stream);

/*
 * Bulk load into a table. `table` and `columns` are quoted already, comma-separated; `kinds` has one
 * letter a column. PostgreSQL: COPY ... FROM STDIN (FORMAT binary). MySQL: LOAD DATA LOCAL INFILE
 * from memory, where the server has local_infile=ON and the columns take the kinds as text, else
 * multi-row INSERT with bound parameters; both fail at anything that would change a value. Runs in
 * the connection's transaction, if there is one.
 *
 * With `key_columns` of 0 all rows are new. Else the first so many columns are the key, and a row
 * replaces the values of the row with its key, if that is there: of no other row, whatever else the
 * two have in common (class `integrity`). MySQL only; it needs the right to make temporary tables.
 */
DD_MUST_CHECK dd_status dd_load_open(dd_conn *conn, const char *table, const char *columns,
                                     const char *kinds, unsigned key_columns, dd_load **out,
                                     dd_err *err);
/* Adds one canonical row. A value that the column cannot take, found before the row is sent, fails
 * with class `data`, and the load can go on without that row. After any other error it only takes
 * finish, which fails too, or abort. */
DD_MUST_CHECK dd_status dd_load_row(dd_load *load, const uint8_t *row, size_t length, dd_err *err);
/* The same of views of a row's fields, of the load's kinds and in its order. */
DD_MUST_CHECK dd_status dd_load_values(dd_load *load, const dd_value *values, dd_err *err);
/* True when it only takes finish or abort any more. */
bool dd_load_failed(const dd_load *load);
/* Ends the load and frees it, whatever it returns; *rows is what the server counted. */
DD_MUST_CHECK dd_status dd_load_finish(dd_load *load, uint64_t *rows, dd_err *err);
/* Gives the load up, so that the server keeps nothing of it, and frees it. NULL is fine. */
void dd_load_abort(dd_load *load);

/* The client library behind a driver as people write it ("libpq 15.20"), into `text` of `size` bytes.
 * Returns the library's own number of its version, or 0 when there is no such driver. */
unsigned dd_client_library(const char *driver, char *text, size_t size);

/* Appends the name quoted as the driver's servers do. Fails with class `usage` for a name with a
 * NUL byte or longer than the server takes (64 characters, 63 bytes). */
DD_MUST_CHECK dd_status dd_quote_identifier(const char *driver, const char *name, size_t length,
                                            dd_buf *out, dd_err *err);

#endif
