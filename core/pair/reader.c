#include "pair/reader.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct dd_reader {
    dd_conn *conn;
    dd_stream *stream;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled;           /* a batch was filled, or the thread is done */
    pthread_cond_t emptied;          /* a batch came back, or `stop` was set */
    dd_batch *batches;               /* ring of DD_READER_BATCHES */
    unsigned head;                   /* next to be handed over; the consumer's */
    unsigned tail;                   /* next to be filled; the thread's */
    unsigned full;                   /* filled and not yet handed back */
    size_t bytes;                    /* of rows in those */
    bool holding;                    /* the consumer has the batch at `head` */
    bool stop;                       /* the consumer wants no more */
    bool done;                       /* the thread adds no more batches */
    bool failed;                     /* it ended with `err` */
    dd_err err;
};

/* Fills one batch; *more says whether there may be another. */
static dd_status fill(dd_reader *reader, dd_batch *batch, bool *more, dd_err *err) {
    dd_buf_clear(&batch->rows);
    batch->count = 0;
    batch->offsets[0] = 0;
    while (batch->count < DD_BATCH_ROWS && batch->rows.length < DD_BATCH_BYTES) {
        if (dd_stream_next(reader->stream, &batch->rows, more, err)) return DD_FAIL;
        if (!*more) return DD_OK;
        batch->offsets[++batch->count] = batch->rows.length;
    }
    return DD_OK;
}

/* One batch is always read ahead, so that the server works while the consumer does. */
static bool enough(const dd_reader *reader) {
    if (reader->full == DD_READER_BATCHES) return true;
    return reader->full > 1 && reader->bytes >= DD_READER_BYTES;
}

static void *run(void *argument) {
    dd_reader *reader = argument;
    bool more = true;
    while (more) {
        pthread_mutex_lock(&reader->lock);
        while (enough(reader) && !reader->stop)
            pthread_cond_wait(&reader->emptied, &reader->lock);
        bool stop = reader->stop;
        pthread_mutex_unlock(&reader->lock);
        if (stop) break;

        dd_batch *batch = &reader->batches[reader->tail];
        dd_err err;
        dd_status status = fill(reader, batch, &more, &err);
        pthread_mutex_lock(&reader->lock);
        if (status) {
            reader->failed = true;
            reader->err = err;
            more = false;
        } else if (batch->count) {
            reader->tail = (reader->tail + 1) % DD_READER_BATCHES;
            reader->full++;
            reader->bytes += batch->rows.length;
        }
        pthread_cond_signal(&reader->filled);
        pthread_mutex_unlock(&reader->lock);
    }
    pthread_mutex_lock(&reader->lock);
    reader->done = true;
    pthread_cond_signal(&reader->filled);
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

static void destroy(dd_reader *reader) {
    for (unsigned i = 0; i < DD_READER_BATCHES; i++) dd_buf_free(&reader->batches[i].rows);
    free(reader->batches);
    pthread_mutex_destroy(&reader->lock);
    pthread_cond_destroy(&reader->filled);
    pthread_cond_destroy(&reader->emptied);
    free(reader);
}

/* Signals belong to the thread that runs Lua. */
static int start_thread(dd_reader *reader) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&reader->thread, NULL, run, reader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

dd_status dd_reader_open(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                         const char *want, dd_reader **out, dd_err *err) {
    *out = NULL;
    dd_stream *stream;
    if (dd_stream_open(conn, sql, params, count, want, true, &stream, err)) return DD_FAIL;
    dd_reader *reader = dd_calloc(1, sizeof *reader);
    reader->conn = conn;
    reader->stream = stream;
    reader->batches = dd_calloc(DD_READER_BATCHES, sizeof *reader->batches);
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->filled, NULL);
    pthread_cond_init(&reader->emptied, NULL);
    if (start_thread(reader)) {
        dd_stream_close(stream);
        destroy(reader);
        return dd_fail(err, DD_INTERNAL, "a reader thread could not be started");
    }
    *out = reader;
    return DD_OK;
}

dd_status dd_reader_next(dd_reader *reader, const dd_batch **batch, dd_err *err) {
    dd_status status = DD_OK;
    *batch = NULL;
    pthread_mutex_lock(&reader->lock);
    if (reader->holding) {
        dd_batch *back = &reader->batches[reader->head];
        reader->holding = false;
        reader->bytes -= back->rows.length;
        dd_buf_trim(&back->rows, 4 * DD_BATCH_BYTES); /* one huge row made it large */
        reader->head = (reader->head + 1) % DD_READER_BATCHES;
        reader->full--;
        pthread_cond_signal(&reader->emptied);
    }
    while (!reader->full && !reader->done && !reader->failed)
        pthread_cond_wait(&reader->filled, &reader->lock);
    if (reader->full) {
        *batch = &reader->batches[reader->head];
        reader->holding = true;
    } else if (reader->failed) {
        *err = reader->err;
        status = DD_FAIL;
    }
    pthread_mutex_unlock(&reader->lock);
    return status;
}

void dd_reader_close(dd_reader *reader) {
    if (!reader) return;
    pthread_mutex_lock(&reader->lock);
    reader->stop = true;
    bool running = !reader->done;
    pthread_cond_signal(&reader->emptied);
    pthread_mutex_unlock(&reader->lock);
    /* The thread may be waiting for a server that takes its time. */
    if (running) dd_conn_cancel(reader->conn);
    pthread_join(reader->thread, NULL);
    dd_stream_close(reader->stream);
    destroy(reader);
}
