#include <lauxlib.h>

#include "bind/arguments.h"
#include "bind/background_job.h"
#include "bind/crossing.h"
#include "bind/jobs.h"
#include "bind/value.h"
#include "pair/compare.h"

/* A comparison. It tells of its differences and chunks, in their order. */

typedef struct comparison {
    dd_compare_spec spec;
    dd_compare_result compared;
    dd_compare_result so_far;  /* behind the job's lock */
} comparison;

/* ---- on the job's thread ---- */

/* What is told begins with this, and the key follows. */
typedef struct told {
    bool is_chunk;
    bool has_key;              /* a chunk to the end of the data has none */
    bool has[2];               /* a difference: the rows that are known */
    dd_difference_kind kind;
    size_t key_length;
    union {
        dd_digest digest[2];   /* a difference: of the rows */
        struct {
            uint64_t rows[2];
            uint64_t counts[DD_POLICY_COUNT]; /* of the crossing, so far */
        } chunk;
    };
} told;

static dd_status tell(dd_job *job, const told *entry, const uint8_t *key, dd_err *err) {
    if (dd_job_begin_told(job, err)) return DD_FAIL;
    dd_buf_add(&job->told, entry, sizeof *entry);
    if (key) dd_buf_add(&job->told, key, entry->key_length);
    dd_job_end_told(job);
    return DD_OK;
}

static dd_status tell_difference(void *context, const dd_difference *d, dd_err *err) {
    told entry = {.has_key = true, .kind = d->kind, .key_length = d->key_length};
    for (unsigned side = 0; side < 2; side++) {
        entry.has[side] = d->row[side] != NULL;
        if (d->row[side]) entry.digest[side] = dd_row_digest(d->row[side], d->row_length[side]);
    }
    return tell(context, &entry, d->key, err);
}

static dd_status tell_chunk(void *context, const dd_compare_chunk *chunk, dd_err *err) {
    dd_job *job = context;
    const dd_crossing *crossing = ((comparison *)job->work)->spec.crossing;
    told entry = {
        .is_chunk = true, .has_key = chunk->through != NULL, .key_length = chunk->through_length};
    memcpy(entry.chunk.rows, chunk->rows, sizeof entry.chunk.rows);
    if (crossing)
        memcpy(entry.chunk.counts, dd_crossing_counts(crossing), sizeof entry.chunk.counts);
    return tell(job, &entry, chunk->through, err);
}

static dd_status note_compared(void *context, const dd_compare_result *so_far, dd_err *err) {
    dd_job *job = context;
    comparison *self = job->work;
    return dd_job_note(job, &self->so_far, so_far, sizeof *so_far, err);
}

static dd_status run(dd_job *job, dd_err *err) {
    comparison *self = job->work;
    dd_status status = dd_compare(&self->spec, &self->compared, err);
    dd_err given_up;
    (void)note_compared(job, &self->compared, &given_up);
    return status;
}

/* ---- looking at it ---- */

static void push_key(lua_State *L, const told *entry, const uint8_t *key, const char *name) {
    if (!entry->has_key) return;
    lua_pushlstring(L, (const char *)key, entry->key_length);
    lua_setfield(L, -2, name);
}

static void push_difference(lua_State *L, const told *entry, const uint8_t *key) {
    static const char *const sides[2] = {"primary", "secondary"};
    lua_createtable(L, 0, 4);
    lua_pushstring(L, dd_difference_name(entry->kind));
    lua_setfield(L, -2, "kind");
    push_key(L, entry, key, "key");
    for (unsigned side = 0; side < 2; side++) {
        if (!entry->has[side]) continue;
        dd_push_digest(L, &entry->digest[side]);
        lua_setfield(L, -2, sides[side]);
    }
}

static void push_chunk(lua_State *L, const told *entry, const uint8_t *key) {
    lua_createtable(L, 0, 4);
    push_key(L, entry, key, "through");
    dd_job_set_count(L, "rows_primary", entry->chunk.rows[0]);
    dd_job_set_count(L, "rows_secondary", entry->chunk.rows[1]);
    dd_push_policy_counts(L, entry->chunk.counts);
    lua_setfield(L, -2, "counts");
}

static void push_told(lua_State *L, const dd_buf *all) {
    lua_Integer count = 0;
    for (size_t at = 0; at < all->length;) {
        told entry;
        memcpy(&entry, all->data + at, sizeof entry);
        at += sizeof entry;
        if (entry.is_chunk)
            push_chunk(L, &entry, all->data + at);
        else
            push_difference(L, &entry, all->data + at);
        at += entry.key_length;
        lua_rawseti(L, -2, ++count);
    }
}

static int push_progress(lua_State *L, dd_job *job) {
    comparison *self = job->work;
    pthread_mutex_lock(&job->lock);
    dd_compare_result so_far = self->so_far;
    pthread_mutex_unlock(&job->lock);
    return dd_push_compared(L, &so_far);
}

static int push_result(lua_State *L, dd_job *job) {
    return dd_push_compared(L, &((comparison *)job->work)->compared);
}

/* start_compare { (what dd_arg_compare reads) } -> job
 * Its result is that of compare. It tells of each difference as { kind, key, primary|nil,
 * secondary|nil }, with what digest() says of the rows that are known, and of each chunk as
 * { through|nil, rows_primary, rows_secondary, counts }, with what the crossing's counts() was at its
 * end. */
int dd_start_compare(lua_State *L) {
    static const dd_job_kind kind = {.size = sizeof(comparison),
                                     .run = run,
                                     .push_progress = push_progress,
                                     .push_result = push_result,
                                     .push_told = push_told};
    dd_job *job = dd_job_new(L, &kind);
    dd_compare_spec *spec = &((comparison *)job->work)->spec;
    dd_arg_compare(L, spec, job->conns);
    job->conn_count = 2;
    spec->difference = tell_difference;
    spec->chunk = tell_chunk;
    spec->progress = note_compared;
    spec->context = job;
    return dd_job_start(L, job);
}
