#ifndef DD_DB_BRANCH_H
#define DD_DB_BRANCH_H

/*
 * The statements of a transaction that can be prepared: XA in MySQL and MariaDB (XA COMMIT ... ONE
 * PHASE is not among them: MariaDB forgets it when it is killed), PREPARE TRANSACTION in PostgreSQL.
 */

#include <stdbool.h>

#include "base/error.h"

/* 64 is the limit of an XA gtrid. */
#define DD_GID_LIMIT 64

typedef enum {
    DD_BRANCH_START,
    DD_BRANCH_END,         /* no more statements; "" where there is no such statement */
    DD_BRANCH_PREPARE,
    DD_BRANCH_COMMIT,      /* of a prepared one */
    DD_BRANCH_ROLLBACK,    /* of a prepared one; in MySQL of any */
    DD_BRANCH_VERBS
} dd_branch_verb;

typedef struct dd_branch_text {
    char sql[DD_GID_LIMIT + 40];
} dd_branch_text;

/* True for 1 to 64 of A-Z a-z 0-9 _ - */
bool dd_gid_valid(const char *gid);

/* Fills `out` with the statement in the driver's dialect. The gid must be valid. */
void dd_branch_sql(const char *driver, dd_branch_verb verb, const char *gid, dd_branch_text *out);

#endif
