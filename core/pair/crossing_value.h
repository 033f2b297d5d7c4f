#ifndef DD_PAIR_CROSSING_VALUE_H
#define DD_PAIR_CROSSING_VALUE_H

/* Inside of the crossing: one value. */

#include "pair/crossing.h"

typedef enum {
    DD_CROSSED_SAME,
    DD_CROSSED_CHANGED,      /* the new bytes are in scratch->value */
    DD_CROSSED_NULL,         /* refusal->reason says why, should the column take no null */
    DD_CROSSED_REFUSED       /* refusal->reason says why */
} dd_crossed;

typedef struct dd_crossing_scratch {
    dd_buf value;
    dd_buf spare;
} dd_crossing_scratch;

/* What becomes of a value that is not NULL; adds to counts[policy]. */
dd_crossed dd_cross_value(const dd_crossing_column *column, const dd_value *value,
                          dd_crossing_scratch *scratch, uint64_t *counts, dd_refusal *refusal);

/* A float as it is compared. */
dd_crossed dd_settle_value(const dd_crossing_column *column, const dd_value *value,
                           dd_crossing_scratch *scratch, uint64_t *counts, dd_refusal *refusal);

#endif
