#ifndef DD_PAIR_COMPARE_H
#define DD_PAIR_COMPARE_H

/*
 * Compares the rows of two queries, one on each side, in one pass over both. Two ways:
 *
 *   ordered      both queries are in key order, which both servers keep alike for these kinds
 *                (dd_kind_ordered). The streams are merged and canonical rows compared byte by byte.
 *                The order is checked, not trusted: a row out of order ends the comparison.
 *   partitioned  any keys, any order. (key digest, row digest, key) of every row goes to partitions
 *                in an unlinked spill file a side; then each pair of partitions is compared.
 *
 * Memory is bounded in both, whatever the number of rows, their width or the differences.
 */

#include "db/db.h"
#include "pair/crossing.h"
#include "pair/reader.h"
#include "pair/transform.h"

typedef enum { DD_MISSING, DD_EXTRA, DD_CHANGED } dd_difference_kind;

/* "missing" (absent on the secondary), "extra" (absent on the primary), "changed". */
const char *dd_difference_name(dd_difference_kind kind);

/* One difference. Rows are canonical and valid during the call only; a partitioned comparison knows
 * the key alone. */
typedef struct dd_difference {
    dd_difference_kind kind;
    const uint8_t *key;
    size_t key_length;
    const uint8_t *row[2];     /* primary, secondary; NULL where there is none or it is not known */
    size_t row_length[2];
} dd_difference;

/* Rows of which all differences have been reported: those behind the chunk before, up to `through`.
 * A partitioned comparison has one chunk, and so has an empty table. */
typedef struct dd_compare_chunk {
    const uint8_t *through;    /* the last key, canonical; NULL: to the end of the data */
    size_t through_length;
    uint64_t rows[2];
} dd_compare_chunk;

typedef struct dd_compare_result {
    uint64_t rows[2];          /* read from the primary, from the secondary */
    uint64_t differences;      /* reported, before any recheck */
    uint64_t chunks;           /* batches of rows (ordered) or partitions compared */
    bool stopped;              /* by most_seconds */
} dd_compare_result;

typedef struct dd_compare_spec {
    dd_conn *conn[2];          /* primary, secondary */
    const char *query[2];      /* key columns first */
    dd_query_params params[2]; /* of the queries; the secondary reads faster without any */
    const char *kinds;
    unsigned key_columns;
    bool ordered;
    bool repeats;              /* not ordered, and the key is the whole row, which may be there
                                  several times: each one that has no partner is a difference */
    uint64_t expected_rows;    /* an estimate, for the number of partitions */
    const char *spill_directory;     /* for a partitioned comparison; NULL: $TMPDIR or /tmp */
    const dd_transform *transform;   /* of the primary's rows, or NULL; must keep the key */
    dd_crossing *crossing;           /* of the transformed rows, or NULL; must keep the key. A row
                                        that cannot cross is compared as it is, and so differs. */
    uint64_t chunk_rows, chunk_bytes; /* a chunk ends behind the row with which either side has as
                                         many; 0: all is one chunk */
    double most_seconds;             /* the comparison stops behind the chunk that ends after as
                                        many; 0: it goes to the end of the data */
    /* All called from the caller's thread; a failure ends the comparison. */
    dd_status (*difference)(void *context, const dd_difference *difference, dd_err *err);
    dd_status (*chunk)(void *context, const dd_compare_chunk *chunk, dd_err *err); /* or NULL */
    dd_status (*progress)(void *context, const dd_compare_result *so_far, dd_err *err);
    void *context;
} dd_compare_spec;

DD_MUST_CHECK dd_status dd_compare(const dd_compare_spec *spec, dd_compare_result *result,
                                   dd_err *err);

#endif
