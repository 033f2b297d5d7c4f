#ifndef DD_DB_MYSQL_COLUMN_H
#define DD_DB_MYSQL_COLUMN_H

/* One column of a MySQL result: which kind its type is, and its values as canonical fields. */

#include "db/mysql_driver.h"

typedef struct dd_mysql_column {
    const char *name;          /* owned by the stream */
    dd_kind from;              /* kind in which the value is read */
    dd_kind to;                /* kind in which it is delivered */
    bool is_unsigned;
    unsigned bits;             /* of a BITS column: how many it has */
    bool takes_raw;            /* values that are not of the kind (row/raw.h); dates always are */
    bool converts;             /* from `from` to `to`, once the value is a field */
    /* Where the client library puts the value. */
    union {
        int64_t whole;
        float single;
        double twice;
        MYSQL_TIME time;
    } cell;
    uint8_t *bytes;            /* owned; for values of varying length */
    unsigned long capacity;
    unsigned long length;      /* of the value, even when it is longer than capacity */
    dd_mysql_bool is_null, is_cut;
} dd_mysql_column;

/* Reads the metadata. `want` is a kind letter, or 0 for the natural kind. Fails with class
 * `schema`, naming the column. `name` is kept. */
DD_MUST_CHECK dd_status dd_mysql_column_init(dd_mysql_column *column, const MYSQL_FIELD *field,
                                             const char *name, char want, dd_err *err);
void dd_mysql_column_bind(dd_mysql_column *column, MYSQL_BIND *bind);
/* Makes room for a value that was cut, and reads the whole of it. `at` is the column's number. The
 * columns must be bound again before the next row. False when the client library fails. */
bool dd_mysql_column_grow(dd_mysql_column *column, MYSQL_STMT *stmt, unsigned at);
/* Adds the value to the row, from where it was bound, or (text protocol) from its text. */
DD_MUST_CHECK dd_status dd_mysql_column_add(dd_mysql_column *column, dd_buf *row, dd_err *err);
DD_MUST_CHECK dd_status dd_mysql_column_add_text(dd_mysql_column *column, const char *text,
                                                 size_t length, dd_buf *row, dd_err *err);

#endif
