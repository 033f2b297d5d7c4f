#ifndef DD_PAIR_STAGE_H
#define DD_PAIR_STAGE_H

/*
 * Compares two queries in key order, as dd_compare does, and loads what differs into a table of the
 * target, from where a few statements write it all: rows that are missing or changed as the target
 * shall hold them, and those that are extra, marked as such by a last column. The first query is that
 * of the side with the truth, whichever it is.
 *
 * The target's transaction is the caller's; nothing is sent to it before the first difference.
 */

#include "pair/compare.h"

typedef struct dd_stage_progress {
    uint64_t rows[2];          /* read from the primary, from the secondary */
    uint64_t missing, extra, changed;
    uint64_t refused;          /* of these: rows that the target cannot hold; they are not staged */
    uint64_t bytes;            /* of canonical rows staged */
} dd_stage_progress;

typedef struct dd_stage_spec {
    dd_compare_spec compare;   /* ordered; `difference`, `progress` and `context` are not used */
    bool deletes;              /* whether extra rows are staged */
    bool whole_extras;         /* as the target has them; else their keys alone, the rest NULL */
    dd_conn *target;           /* other than the two that are compared */
    const char *make;          /* the statement that makes the table, run before its first row */
    const char *table;         /* quoted */
    const char *columns;       /* quoted, comma-separated: `picked` and the mark */
    const char *kinds;         /* of those; the mark is a boolean, true for an extra row */
    const unsigned *picked;    /* indexes of the columns that are staged, ascending, the key first */
    unsigned picked_count;
    dd_crossing *crossing;     /* of rows with all columns, or NULL */
    /* Called for a row of the primary that the target cannot hold; the others go on, unless it
     * fails. */
    dd_status (*refused)(void *context, const uint8_t *row, size_t length,
                         const dd_refusal *refusal, dd_err *err);
    /* Called a few times a second; a failure ends the run. */
    dd_status (*progress)(void *context, const dd_stage_progress *so_far, dd_err *err);
    void *context;
} dd_stage_spec;

DD_MUST_CHECK dd_status dd_stage(const dd_stage_spec *spec, dd_stage_progress *result, dd_err *err);

#endif
