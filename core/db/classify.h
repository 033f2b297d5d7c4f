#ifndef DD_DB_CLASSIFY_H
#define DD_DB_CLASSIFY_H

/*
 * From what a server said to what a caller should do. The class depends on the code, on the text
 * (Neon's proxy says XX000 for everything and PgBouncer 08P01) and on the phase: the same lost
 * connection is `unavailable` before a COMMIT was sent and `ambiguous` after. The tables are data,
 * in classify.def, in the order in which they are tried.
 */

#include <stdbool.h>

#include "base/error.h"

typedef enum {
    DD_PHASE_CONNECT,     /* before the session exists */
    DD_PHASE_STATEMENT,   /* any statement that is not the next */
    DD_PHASE_COMMIT       /* COMMIT, PREPARE TRANSACTION, COMMIT PREPARED, XA PREPARE, XA COMMIT */
} dd_phase;

/* The phase that a statement is in, by its first words. */
dd_phase dd_phase_of(const char *sql);

typedef enum {
    DD_BLOCK_KEPT,        /* as it was */
    DD_BLOCK_OPEN,        /* a transaction goes on behind it: BEGIN, ROLLBACK TO, COMMIT AND CHAIN */
    DD_BLOCK_ENDED        /* no transaction is left: COMMIT, ROLLBACK, PREPARE TRANSACTION */
} dd_block;

/* What a statement of PostgreSQL that succeeds does with the transaction block. */
dd_block dd_block_after(const char *sql);

/* Whether `word` is the first of the statement, blanks and comments aside. */
bool dd_first_word_is(const char *sql, const char *word);

/*
 * Fills class and outcome of `err` from code (MySQL), sqlstate (PostgreSQL; "" when the connection
 * was lost) and text (err->message), and a hint where there is one to give.
 */
void dd_classify_mysql(dd_err *err, dd_phase phase);
void dd_classify_postgres(dd_err *err, dd_phase phase);

/*
 * One row of the tables, with an error that it is for: classifying `code` or `sqlstate` with `text`
 * as the message gives `class_`, and `at_commit` in DD_PHASE_COMMIT.
 */
typedef struct dd_classification {
    const char *driver;   /* "mysql" or "postgres" */
    int code;             /* 0 when the row goes by sqlstate */
    char sqlstate[6];     /* "" when there is none */
    const char *text;     /* what the message contains, `*` for anything; "" when any fits */
    dd_class class_;
    dd_class at_commit;
    const char *hint;     /* "" when there is none */
} dd_classification;

/* The row `index`, from 0, in the order in which they are tried; false when there are no more. */
bool dd_classification_at(unsigned index, dd_classification *out);

#endif
