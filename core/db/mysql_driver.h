#ifndef DD_DB_MYSQL_DRIVER_H
#define DD_DB_MYSQL_DRIVER_H

/*
 * Inside of the MySQL driver, for core/db/mysql*.c only. Builds with MariaDB Connector/C and with
 * Oracle's libmysqlclient; what differs between them is here and in mysql_connect.c.
 */

#include <mysql.h>

#include "db/classify.h"
#include "db/driver.h"
#include "db/watchdog.h"

#ifdef LIBMARIADB
typedef my_bool dd_mysql_bool;
#else
typedef bool dd_mysql_bool;
#endif

#define DD_MYSQL_CACHE 16

/* Where and how to connect; kept for the second connection that cancels statements. All strings are
 * owned; NULL when not given. */
typedef struct dd_mysql_target {
    char *host, *socket, *user, *password, *dbname;
    char *ssl_ca, *ssl_cert, *ssl_key;
    unsigned port;
    enum { DD_TLS_DISABLED, DD_TLS_PREFERRED, DD_TLS_REQUIRED, DD_TLS_CA, DD_TLS_IDENTITY } tls;
} dd_mysql_target;

/* A prepared statement that is kept for the next time its text is sent. */
typedef struct dd_mysql_prepared {
    char *sql;           /* owned; NULL in a free entry */
    size_t length;
    MYSQL_STMT *stmt;
    uint64_t used;       /* conn->clock when it was used last */
} dd_mysql_prepared;

/* Room for one bound parameter whose bytes are not the caller's. */
typedef union dd_mysql_slot {
    uint64_t whole;
    float single;
    double twice;
    MYSQL_TIME time;
    char text[36];
} dd_mysql_slot;

/* Bound parameters; the memory is kept from one statement to the next. */
typedef struct dd_mysql_params {
    MYSQL_BIND *binds;
    dd_mysql_slot *slots;
    unsigned capacity;
    bool one_zero;           /* the server makes 0 of -0: MariaDB does */
} dd_mysql_params;

/* The one file that the server can have: bytes of the load in progress. */
typedef struct dd_mysql_feed {
    const uint8_t *at;
    size_t left;
    bool armed;              /* a statement that reads it is under way, and has not begun to */
} dd_mysql_feed;

typedef struct dd_mysql {
    dd_conn base;
    MYSQL *client;
    dd_mysql_target target;
    int wake;                /* our own duplicate of the socket: the library may close its one, and
                                the number be given to another, while the watchdog means this one */
    dd_watch watch;
    dd_phase phase;          /* of the call in flight */
    bool reads;              /* the call in flight only reads */
    bool harmless;           /* it leaves nothing behind, whatever became of it */
    bool autocommit;         /* it began outside a transaction */
    bool under_way;          /* it was sent, and its answer has to be read */
    atomic_bool canceled;    /* dd_conn_cancel asked for its end */
    atomic_bool streaming;   /* a stream is open: there is something to cancel between calls too */
    dd_result result;        /* of the last send */
    dd_mysql_params params;
    dd_mysql_feed feed;
    dd_mysql_prepared cache[DD_MYSQL_CACHE];
    uint64_t clock;
} dd_mysql;

/* mysql_connect.c */

DD_MUST_CHECK dd_status dd_mysql_open(const dd_setting *settings, unsigned count,
                                      double connect_timeout, dd_conn **out, dd_err *err);
/* Sends KILL QUERY for the session over a connection of its own, within a few seconds. Any thread.
 * True when the server took it. */
bool dd_mysql_kill(const dd_mysql *conn);
/* Frees everything but the client handle. */
void dd_mysql_free(dd_mysql *conn);

/* mysql_login.c */

/* Once, after the library was started and before anybody logs in: no password is sent as it is over
 * a session that is not encrypted. */
void dd_mysql_guard_login(void);
/* A login that would send the password, even encrypted with a key that the server hands out, over a
 * session that is not encrypted is refused, and `refused` is set, which has to live as long as the
 * client logs in. */
void dd_mysql_must_encrypt(MYSQL *client, bool *refused);

/* mysql_call.c: every call that waits for the server is between enter and leave, which need not be
 * one function of the driver. */

/* True when the server has closed the connection while it was idle. */
bool dd_mysql_hung_up(const dd_mysql *conn);

/* Refuses when the process is interrupted, unless the statement ends or cleans up a transaction. */
DD_MUST_CHECK dd_status dd_mysql_enter(dd_mysql *conn, const char *sql, dd_err *err);
/*
 * Ends the call. With ok == false the error is taken from `stmt`, or from the connection when that
 * is NULL or has none, and classified; a lost connection becomes BROKEN. With ok == true it may
 * still fail: a SELECT that the watchdog cancelled and that returned all the same.
 */
DD_MUST_CHECK dd_status dd_mysql_leave(dd_mysql *conn, MYSQL_STMT *stmt, bool ok, dd_err *err);
/* Fills `err` from what the server says of an error, and classifies it. */
void dd_mysql_error_of(int code, const char *sqlstate, const char *text, dd_phase phase,
                       dd_err *err);
/* Fills `err` from the client's last error and the phase of the call, and marks a lost connection
 * BROKEN. */
void dd_mysql_error(dd_mysql *conn, MYSQL_STMT *stmt, dd_err *err);
/* Runs a statement without parameters or interest in its result. */
DD_MUST_CHECK dd_status dd_mysql_run(dd_mysql *conn, const char *sql, dd_err *err);
/* Reads all that a statement without parameters returned. In a call. False on error. */
bool dd_mysql_drain(dd_mysql *conn);
/* A KILL QUERY was sent and the statement had ended already: lets it hit a statement of no
 * consequence. */
void dd_mysql_absorb_kill(dd_mysql *conn);
/* Ends the connection for good. */
void dd_mysql_break(dd_mysql *conn);
/* The code of the last error of `stmt`, or of the connection. */
unsigned dd_mysql_errno(const dd_mysql *conn, MYSQL_STMT *stmt);

/* mysql_bind.c */

/* Room for `count` parameters; earlier pointers into `params` become invalid. */
void dd_mysql_params_reserve(dd_mysql_params *params, unsigned count);
/* Binds one value. The bytes of text, decimals, JSON and byte strings stay where they are. Fails
 * with class `data`, naming `what` and the number from 1. */
DD_MUST_CHECK dd_status dd_mysql_params_set(dd_mysql_params *params, unsigned at,
                                            const dd_value *value, const char *what,
                                            unsigned number, dd_err *err);
void dd_mysql_params_free(dd_mysql_params *params);

/* mysql_infile.c */

/* Whatever file the server asks for, it gets what `feed` has, and nothing at other times. `feed` has
 * to live as long as the client handle. */
void dd_mysql_feed_by(MYSQL *client, dd_mysql_feed *feed);

/* mysql_stream.c, mysql_load.c: entries of the driver's table. */

DD_MUST_CHECK dd_status dd_mysql_stream_open(dd_conn *conn, const char *sql, const dd_value *params,
                                             unsigned count, const char *want, bool bulk,
                                             dd_stream **out, dd_err *err);
DD_MUST_CHECK dd_status dd_mysql_stream_next(dd_stream *stream, dd_buf *row, bool *more,
                                             dd_err *err);
void dd_mysql_stream_close(dd_stream *stream);

DD_MUST_CHECK dd_status dd_mysql_load_open(dd_conn *conn, const char *table, const char *columns,
                                           const char *kinds, unsigned count,
                                           unsigned key_columns, dd_load **out, dd_err *err);
DD_MUST_CHECK dd_status dd_mysql_load_row(dd_load *load, const dd_value *values, dd_err *err);
DD_MUST_CHECK dd_status dd_mysql_load_finish(dd_load *load, uint64_t *rows, dd_err *err);
void dd_mysql_load_abort(dd_load *load);

#endif
