#ifndef DD_PAIR_COPY_H
#define DD_PAIR_COPY_H

/*
 * Copies the rows of a query on one server into a table of the other: a thread reads and decodes, the
 * caller's thread encodes and loads. It runs in the transactions that the two connections are in, and
 * commits nothing itself.
 */

#include "db/db.h"
#include "pair/crossing.h"
#include "pair/reader.h"
#include "pair/transform.h"

typedef struct dd_copy_progress {
    uint64_t rows_read;
    uint64_t rows_written;
    uint64_t rows_refused;
    uint64_t bytes;            /* of canonical rows read */
    bool stopped;              /* rows were left, for the copy had taken its time or its bytes */
} dd_copy_progress;

typedef struct dd_copy_spec {
    dd_conn *source, *target;
    const char *query;         /* on the source; its columns are `kinds` */
    dd_query_params params;    /* of the query */
    const char *kinds;
    const char *table;         /* on the target, quoted */
    const char *columns;       /* quoted, comma-separated, as many as kinds */
    unsigned replaced_key;     /* so many columns are the key whose rows are replaced, see
                                  dd_load_open; 0: all rows are new */
    const dd_transform *transform;   /* or NULL */
    dd_crossing *crossing;           /* of the transformed rows, or NULL */
    double most_seconds;       /* the copy stops behind the row at which it has taken so long, */
    uint64_t most_bytes;       /* or has read so much; 0: no limit */
    unsigned key_columns;      /* the first columns; */
    dd_buf *last_key;          /* gets those of the last row read, when not NULL; empty: no rows */
    /* Called for a row (as the source has it) that the target cannot hold; the others go on, unless
     * it fails. Without it such a row ends the copy. */
    dd_status (*refused)(void *context, const uint8_t *row, size_t length,
                         const dd_refusal *refusal, dd_err *err);
    /* Called a few times a second from the caller's thread; a failure ends the copy. May be NULL. */
    dd_status (*progress)(void *context, const dd_copy_progress *so_far, dd_err *err);
    void *context;
} dd_copy_spec;

DD_MUST_CHECK dd_status dd_copy(const dd_copy_spec *spec, dd_copy_progress *result, dd_err *err);

#endif
