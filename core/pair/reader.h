#ifndef DD_PAIR_READER_H
#define DD_PAIR_READER_H

/*
 * Reads the rows of one query on a thread of its own and hands them over in batches. Memory is
 * bounded: DD_READER_BATCHES batches of about DD_BATCH_BYTES each, whatever the table. Where a
 * single row is larger than all of that, two of its size are held: the consumer's and the next.
 *
 * While a reader is open, its connection belongs to its thread.
 */

#include "db/db.h"

#define DD_BATCH_BYTES (256u * 1024)
#define DD_BATCH_ROWS 2048u
#define DD_READER_BATCHES 4u
#define DD_READER_BYTES (DD_READER_BATCHES * DD_BATCH_BYTES)

typedef struct dd_batch {
    dd_buf rows;                       /* canonical rows, one after the other */
    size_t offsets[DD_BATCH_ROWS + 1]; /* where each row starts, and the end of the last */
    unsigned count;
} dd_batch;

typedef struct dd_reader dd_reader;

/* Parameters of a query; they belong to the caller. */
typedef struct dd_query_params {
    const dd_value *values;
    unsigned count;
} dd_query_params;

/* Sends the query (dd_stream_open's `bulk` form) and starts the thread. */
DD_MUST_CHECK dd_status dd_reader_open(dd_conn *conn, const char *sql, const dd_value *params,
                                       unsigned count, const char *want, dd_reader **out,
                                       dd_err *err);
/* Waits for the next batch; NULL at the end of the data. The batch is the caller's until the next
 * call. */
DD_MUST_CHECK dd_status dd_reader_next(dd_reader *reader, const dd_batch **batch, dd_err *err);
/* Stops the thread, in mid-stream if need be, and frees the reader. NULL is fine. */
void dd_reader_close(dd_reader *reader);

#endif
