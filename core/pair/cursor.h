#ifndef DD_PAIR_CURSOR_H
#define DD_PAIR_CURSOR_H

/* One side of a comparison: the rows of its reader one by one, the transform applied. */

#include "pair/compare.h"
#include "pair/reader.h"

typedef struct dd_cursor {
    dd_reader *reader;
    const dd_batch *batch;           /* the current one, or NULL at the end */
    unsigned next;                   /* index of the next row in it */
    const dd_transform *transform;   /* or NULL */
    dd_crossing *crossing;           /* when policies change rows of this side, or NULL */
    dd_crossing *settling;           /* when rows are rounded before they are compared, or NULL */
    dd_buf changed;                  /* the current row, when there is a transform */
    dd_buf crossed;                  /* the current row, when a policy changed it */
    const uint8_t *row;              /* the current row; NULL at the end */
    size_t length;
    uint64_t rows;                   /* rows read so far, transformed away or not */
    uint64_t batches;
} dd_cursor;

DD_MUST_CHECK dd_status dd_cursor_open(dd_cursor *cursor, const dd_compare_spec *spec,
                                       unsigned side, dd_err *err);
/* Goes to the next row; cursor->row is NULL at the end. */
DD_MUST_CHECK dd_status dd_cursor_step(dd_cursor *cursor, dd_err *err);
void dd_cursor_close(dd_cursor *cursor);

/* The partitioned way of dd_compare. */
DD_MUST_CHECK dd_status dd_compare_partitioned(const dd_compare_spec *spec,
                                               dd_compare_result *result, dd_err *err);

#endif
