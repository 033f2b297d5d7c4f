#ifndef DD_DB_DRIVER_H
#define DD_DB_DRIVER_H

/*
 * What a driver provides. db.c does what is common (state, checks, labels, placeholders); a driver
 * embeds dd_conn, dd_stream and dd_load as the first member of its own structs. Functions are called
 * only in the states that db.h allows.
 */

#include "db/db.h"

typedef struct dd_driver dd_driver;

struct dd_conn {
    const dd_driver *driver;
    dd_state state;            /* changed by dd_conn_enter only */
    double timeout;            /* seconds a call may wait; 0 = no limit */
    char label[12];
    char product[16];          /* set by the driver's open */
    char version[96];
    uint64_t session;
    /* Kept by db.c. */
    dd_buf text;               /* of the statement that is being sent */
    unsigned queued;           /* statements under way */
    bool piped;                /* they came by dd_conn_queue */
    dd_result done[DD_CONN_QUEUE_LIMIT]; /* their results, where the driver cannot queue */
};

struct dd_stream {
    dd_conn *conn;
    dd_column *columns;        /* made and freed by the driver */
    unsigned column_count;
    bool done;                 /* the end of the data was seen, or the stream failed */
    bool failed;               /* set by db.c after an error; the stream only takes close */
};

struct dd_load {
    dd_conn *conn;
    char *kinds;               /* owned by db.c; column_count letters */
    unsigned column_count;
    dd_value *values;          /* owned by db.c: views of the row being loaded */
    bool failed;               /* set by the driver: rows were lost, it only takes abort */
};

struct dd_driver {
    const char *name;          /* "mysql", "postgres" */
    bool numbered;             /* placeholders are $1, $2, ... and not ? */
    char quote;                /* around identifiers, doubled inside */
    unsigned name_limit;       /* longest identifier, see name_limit_bytes */
    bool name_limit_bytes;     /* the limit counts bytes, not characters */
    bool replaces;             /* a load may replace rows */

    /* The client library and its version, for people and as its own number. */
    unsigned (*library)(char *text, size_t size);
    /* Makes a connected session, product, version and session filled in. */
    dd_status (*open)(const dd_setting *settings, unsigned count, double connect_timeout,
                      dd_conn **out, dd_err *err);
    void (*close)(dd_conn *conn);
    bool (*in_transaction)(const dd_conn *conn);
    bool (*hung_up)(dd_conn *conn);
    void (*cancel)(dd_conn *conn);
    dd_status (*send)(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                      dd_err *err);
    /* Sends behind the `queued` statements of the connection; NULL: the driver has to be waited for.
     * `finish` is then for the oldest, also on a connection that broke meanwhile. */
    dd_status (*queue)(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                       dd_leaves leaves, dd_err *err);
    dd_status (*finish)(dd_conn *conn, dd_result *result, dd_err *err);
    dd_status (*stream_open)(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                             const char *want, bool bulk, dd_stream **out, dd_err *err);
    dd_status (*stream_next)(dd_stream *stream, dd_buf *row, bool *more, dd_err *err);
    void (*stream_close)(dd_stream *stream);
    /* `key_columns` is 0 where the driver does not `replace`. */
    dd_status (*load_open)(dd_conn *conn, const char *table, const char *columns,
                           const char *kinds, unsigned count, unsigned key_columns, dd_load **out,
                           dd_err *err);
    dd_status (*load_row)(dd_load *load, const dd_value *values, dd_err *err);
    dd_status (*load_finish)(dd_load *load, uint64_t *rows, dd_err *err);
    void (*load_abort)(dd_load *load);
};

extern const dd_driver dd_driver_mysql;
extern const dd_driver dd_driver_postgres;

/* The one place where a connection changes its state; BROKEN is for good. */
void dd_conn_enter(dd_conn *conn, dd_state state);

#endif
