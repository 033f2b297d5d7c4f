#ifndef DD_PAIR_TRANSFORM_H
#define DD_PAIR_TRANSFORM_H

#include "base/buf.h"
#include "base/error.h"

/*
 * A person's own change to each row of the primary on its way to the secondary. `apply` writes the
 * new canonical row to `out`, or sets *keep to false to leave the row out. It runs on the thread that
 * called the copy or the comparison, never on a worker.
 */
typedef struct dd_transform {
    dd_status (*apply)(void *context, const uint8_t *row, size_t length, dd_buf *out, bool *keep,
                       dd_err *err);
    void *context;
} dd_transform;

#endif
