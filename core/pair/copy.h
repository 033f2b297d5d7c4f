#ifndef DD_PAIR_COPY_H
#define DD_PAIR_COPY_H

/*
 * Copies the rows of a query on one server into a table of the other: a thread reads and decodes, the
 * caller's thread encodes and loads. It runs in the transactions that the two connections are in, and
 * commits nothing itself.
 */

#include "db/db.h"
#include "pair/crossing.h"
#include "pair/transform.h"

typedef struct dd_copy_progress {
    uint64_t rows_read;
    uint64_t rows_written;
    uint64_t rows_refused;
    uint64_t bytes;            /* of canonical rows read */
} dd_copy_progress;

typedef struct dd_copy_spec {
    dd_conn *source, *target;
    const char *query;         /* on the source; its columns are `kinds` */
    const char *kinds;
    const char *table;         /* on the target, quoted */
    const char *columns;       /* quoted, comma-separated, as many as kinds */
    unsigned key_columns;      /* rows replace those with their keys (db.h); 0: all are new */
    const dd_transform *transform;   /* or NULL */
    dd_crossing *crossing;           /* of the transformed rows, or NULL */
    /* Called for a row (as the source has it) that the target cannot hold; the others go on, unless
     * it fails. Without it such a row ends the copy. */
    dd_status (*refused)(void *context, const uint8_t *row, size_t length,
                         const dd_refusal *refusal, dd_err *err);
    /* Called about every second from the caller's thread; a failure ends the copy. May be NULL. */
    dd_status (*progress)(void *context, const dd_copy_progress *so_far, dd_err *err);
    void *context;
} dd_copy_spec;

DD_MUST_CHECK dd_status dd_copy(const dd_copy_spec *spec, dd_copy_progress *result, dd_err *err);

#endif
