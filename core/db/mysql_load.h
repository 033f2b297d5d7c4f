#ifndef DD_DB_MYSQL_LOAD_H
#define DD_DB_MYSQL_LOAD_H

/*
 * Inside of a MySQL load: the two ways in which its rows go to the server, and the table where they
 * wait when they replace rows. Each is a struct of the load that is closed once, opened or not.
 */

#include "db/mysql_driver.h"

/*
 * INSERT with as many rows as make a packet of some size (mysql_insert.c).
 */
typedef struct dd_mysql_insert {
    dd_mysql *conn;
    unsigned columns;
    dd_buf sql;              /* INSERT ... VALUES, without a row */
    size_t sql_head;
    MYSQL_STMT *stmt;        /* prepared for `prepared` rows; NULL when that is 0 */
    unsigned prepared;
    unsigned most_rows;
    unsigned rows;           /* in the batch */
    dd_mysql_params params;  /* of the batch */
    dd_buf bytes;            /* of its values of varying length, one after the other */
} dd_mysql_insert;

/* `table` and `columns` are quoted; `count` is at most DD_MYSQL_MOST_PARAMS. */
void dd_mysql_insert_open(dd_mysql_insert *insert, dd_mysql *conn, const char *table,
                          const char *columns, unsigned count);
void dd_mysql_insert_close(dd_mysql_insert *insert);
/* Adds a row; *full says that the batch should go. A refused value (class `data`) spoils its row
 * only. */
DD_MUST_CHECK dd_status dd_mysql_insert_add(dd_mysql_insert *insert, const dd_value *values,
                                            bool *full, dd_err *err);
/* Sends the batch, if there is one, and adds the rows that the server took to *rows. */
DD_MUST_CHECK dd_status dd_mysql_insert_flush(dd_mysql_insert *insert, uint64_t *rows,
                                              dd_err *err);

/* The protocol's limit. */
#define DD_MYSQL_MOST_PARAMS 65535

/*
 * LOAD DATA LOCAL INFILE of a file that is in memory (mysql_infile.c).
 */
typedef struct dd_mysql_infile {
    dd_mysql *conn;
    unsigned columns;
    dd_buf sql;
    dd_mysql_params params;  /* of one row */
    dd_buf text;             /* the file so far */
    unsigned rows;           /* in it */
} dd_mysql_infile;

/*
 * *can says whether the rows of these kinds can go so: the server allows it, and all columns take
 * the text of a value for the value. `fields` has `count` of them, of the table.
 */
DD_MUST_CHECK dd_status dd_mysql_infile_open(dd_mysql_infile *infile, dd_mysql *conn,
                                             const char *table, const MYSQL_FIELD *fields,
                                             const char *kinds, unsigned count, bool *can,
                                             dd_err *err);
void dd_mysql_infile_close(dd_mysql_infile *infile);
/* The same as of an INSERT. *taken is false for a row that has to go by INSERT: it is large, or has
 * text that is not UTF-8, of which the server has to say so. */
DD_MUST_CHECK dd_status dd_mysql_infile_add(dd_mysql_infile *infile, const dd_value *values,
                                            bool *taken, bool *full, dd_err *err);
DD_MUST_CHECK dd_status dd_mysql_infile_flush(dd_mysql_infile *infile, uint64_t *rows,
                                              dd_err *err);

/*
 * Adds the text of a bound value as LOAD DATA reads it, with tabs between fields, newlines at the
 * end of rows, and backslashes before what is neither (mysql_infile_text.c): bytes as hexadecimal
 * digits, all else as the server writes it. False, and nothing added, for text that is not UTF-8.
 */
bool dd_mysql_infile_put(const MYSQL_BIND *bind, dd_buf *out);

/*
 * Rows that replace those with their keys wait in a temporary table: what is in the way is known
 * there, and a statement that inserts or replaces by itself would take any unique key for the key
 * (mysql_stage.c).
 */
typedef struct dd_mysql_stage {
    dd_mysql *conn;
    char *create, *update, *insert_all, *insert_absent;
    uint64_t rows;           /* waiting */
    bool made;
} dd_mysql_stage;

/* The name, quoted, and the columns to load there: those that the load itself has. */
extern const char dd_mysql_stage_table[];

/* Makes the table. The key is the first `key_columns`; `columns` are those of the `fields`. */
DD_MUST_CHECK dd_status dd_mysql_stage_open(dd_mysql_stage *stage, dd_mysql *conn,
                                            const char *table, const char *columns,
                                            const MYSQL_FIELD *fields, const char *kinds,
                                            unsigned count, unsigned key_columns, dd_err *err);
/* Drops it. */
void dd_mysql_stage_close(dd_mysql_stage *stage);
/* Updates the rows whose keys are there, inserts the others, and empties the table. */
DD_MUST_CHECK dd_status dd_mysql_stage_apply(dd_mysql_stage *stage, uint64_t *rows, dd_err *err);

/*
 * What a column holds of values that it is given in more detail (mysql_limits.c).
 */
typedef struct dd_mysql_limit {
    bool whole;              /* numbers without a fraction */
    bool single;             /* floats of 32 bits */
    bool year;               /* takes 5 for 2005 */
    int64_t unit;            /* microseconds that times are a multiple of */
} dd_mysql_limit;

void dd_mysql_limit_of(dd_mysql_limit *limit, const MYSQL_FIELD *field);
/* Fails with class `data`, naming the column by its number, where the server would round. */
DD_MUST_CHECK dd_status dd_mysql_within(const dd_mysql_limit *limit, const dd_value *value,
                                        unsigned number, dd_err *err);

/* mysql_load.c */

/* Says why the statement before, which should have taken `rows` rows as they were, took `taken`
 * rows with `warnings` warnings, unless all is well. */
DD_MUST_CHECK dd_status dd_mysql_all_taken(dd_mysql *conn, uint64_t rows, uint64_t taken,
                                           unsigned warnings, dd_err *err);

#endif
