#include <lauxlib.h>
#include <stdlib.h>

#include "bind/arguments.h"
#include "bind/background_job.h"
#include "bind/error.h"
#include "bind/worker.h"
#include "pair/stage.h"

/* The jobs of a sync. Both tell of the rows that are refused. */

/* ---- refused rows ---- */

static dd_status take_refusal(void *context, const uint8_t *row, size_t length,
                              const dd_refusal *refusal, dd_err *err) {
    dd_job *job = context;
    const uint64_t lengths[2] = {strlen(refusal->reason), length};
    if (dd_job_begin_told(job, err)) return DD_FAIL;
    dd_buf_add(&job->told, &refusal->column, sizeof refusal->column);
    dd_buf_add(&job->told, lengths, sizeof lengths);
    dd_buf_add(&job->told, refusal->reason, lengths[0]);
    dd_buf_add(&job->told, row, length);
    dd_job_end_told(job);
    return DD_OK;
}

/* { row, column|nil, reason } for each */
static void push_refusals(lua_State *L, const dd_buf *told) {
    lua_Integer count = 0;
    for (size_t at = 0; at < told->length;) {
        unsigned column;
        uint64_t lengths[2];
        memcpy(&column, told->data + at, sizeof column);
        memcpy(lengths, told->data + at + sizeof column, sizeof lengths);
        at += sizeof column + sizeof lengths;
        lua_createtable(L, 0, 3);
        lua_pushlstring(L, (const char *)told->data + at, lengths[0]);
        lua_setfield(L, -2, "reason");
        lua_pushlstring(L, (const char *)told->data + at + lengths[0], lengths[1]);
        lua_setfield(L, -2, "row");
        if (column != UINT32_MAX) {
            lua_pushinteger(L, (lua_Integer)column + 1);
            lua_setfield(L, -2, "column");
        }
        at += lengths[0] + lengths[1];
        lua_rawseti(L, -2, ++count);
    }
}

static const dd_transform *worker_transform(lua_State *L, dd_transform *transform,
                                            const char *kinds, unsigned count) {
    lua_getfield(L, 1, "worker");
    if (lua_isnil(L, -1)) return NULL;
    *transform = dd_worker_transform(L, lua_gettop(L), kinds, count);
    return transform;
}

/* ---- copies ---- */

typedef struct copy {
    dd_copy_spec spec;
    dd_transform transform;
    dd_buf last_key;
    dd_copy_progress copied;
    dd_copy_progress so_far;   /* behind the job's lock */
} copy;

static dd_status note_copied(void *context, const dd_copy_progress *so_far, dd_err *err) {
    dd_job *job = context;
    copy *self = job->work;
    return dd_job_note(job, &self->so_far, so_far, sizeof *so_far, err);
}

static dd_status run_copy(dd_job *job, dd_err *err) {
    copy *self = job->work;
    dd_status status = dd_copy(&self->spec, &self->copied, err);
    dd_err given_up;
    (void)note_copied(job, &self->copied, &given_up);
    return status;
}

static void release_copy(void *work) { dd_buf_free(&((copy *)work)->last_key); }

static int push_copied(lua_State *L, const dd_copy_progress *r) {
    lua_createtable(L, 0, 6);
    dd_job_set_count(L, "rows_read", r->rows_read);
    dd_job_set_count(L, "rows_written", r->rows_written);
    dd_job_set_count(L, "rows_refused", r->rows_refused);
    dd_job_set_count(L, "bytes", r->bytes);
    lua_pushboolean(L, r->stopped);
    lua_setfield(L, -2, "stopped");
    return 1;
}

static int push_copy_progress(lua_State *L, dd_job *job) {
    copy *self = job->work;
    pthread_mutex_lock(&job->lock);
    dd_copy_progress so_far = self->so_far;
    pthread_mutex_unlock(&job->lock);
    return push_copied(L, &so_far);
}

static int push_copy_result(lua_State *L, dd_job *job) {
    copy *self = job->work;
    push_copied(L, &self->copied);
    lua_pushlstring(L, (const char *)self->last_key.data, self->last_key.length);
    lua_setfield(L, -2, "last_key");
    return 1;
}

/* start_copy { (what dd_arg_copy reads), key_columns, replaces|nil, worker|nil } -> job
 * Its result is that of copy, with last_key and stopped. */
int dd_start_copy(lua_State *L) {
    static const dd_job_kind kind = {sizeof(copy),     run_copy,      push_copy_progress,
                                     push_copy_result, push_refusals, release_copy};
    dd_job *job = dd_job_new(L, &kind);
    copy *self = job->work;
    dd_copy_spec *spec = &self->spec;
    unsigned count = dd_arg_copy(L, spec, job->conns);
    job->conn_count = 2;
    spec->key_columns = dd_arg_key(L, count, true);
    if (dd_arg_flag(L, "replaces")) spec->replaced_key = spec->key_columns;
    spec->last_key = &self->last_key;
    spec->transform = worker_transform(L, &self->transform, spec->kinds, count);
    spec->refused = take_refusal;
    spec->progress = note_copied;
    spec->context = job;
    return dd_job_start(L, job);
}

/* ---- stages ---- */

typedef struct stage {
    dd_stage_spec spec;
    dd_transform transform;
    unsigned *picked;
    dd_stage_progress staged;
    dd_stage_progress so_far;  /* behind the job's lock */
} stage;

static dd_status note_staged(void *context, const dd_stage_progress *so_far, dd_err *err) {
    dd_job *job = context;
    stage *self = job->work;
    return dd_job_note(job, &self->so_far, so_far, sizeof *so_far, err);
}

static dd_status run_stage(dd_job *job, dd_err *err) {
    stage *self = job->work;
    dd_status status = dd_stage(&self->spec, &self->staged, err);
    dd_err given_up;
    (void)note_staged(job, &self->staged, &given_up);
    return status;
}

static void release_stage(void *work) { free(((stage *)work)->picked); }

static int push_staged(lua_State *L, const dd_stage_progress *r) {
    lua_createtable(L, 0, 7);
    dd_job_set_count(L, "rows_source", r->rows[0]);
    dd_job_set_count(L, "rows_other", r->rows[1]);
    dd_job_set_count(L, "missing", r->missing);
    dd_job_set_count(L, "extra", r->extra);
    dd_job_set_count(L, "changed", r->changed);
    dd_job_set_count(L, "refused", r->refused);
    dd_job_set_count(L, "bytes", r->bytes);
    return 1;
}

static int push_stage_progress(lua_State *L, dd_job *job) {
    stage *self = job->work;
    pthread_mutex_lock(&job->lock);
    dd_stage_progress so_far = self->so_far;
    pthread_mutex_unlock(&job->lock);
    return push_staged(L, &so_far);
}

static int push_stage_result(lua_State *L, dd_job *job) {
    return push_staged(L, &((stage *)job->work)->staged);
}

static void read_picked(lua_State *L, stage *self, unsigned columns) {
    lua_getfield(L, 1, "picked");
    if (!lua_istable(L, -1)) dd_raise_usage(L, "picked: a table expected");
    unsigned count = (unsigned)lua_rawlen(L, -1);
    self->picked = dd_calloc(count + 1, sizeof *self->picked);
    for (unsigned i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_Integer index = lua_tointeger(L, -1);
        if (index < 1 || index > (lua_Integer)columns ||
            (i > 0 && index <= (lua_Integer)self->picked[i - 1] + 1))
            dd_raise_usage(L, "picked: ascending columns expected");
        self->picked[i] = (unsigned)index - 1;
        lua_pop(L, 1);
    }
    self->spec.picked = self->picked;
    self->spec.picked_count = count;
}

/* start_stage { source, source_query, source_param_kinds|nil, source_params|nil,
 *               other, other_query, other_param_kinds|nil, other_params|nil, kinds, key_columns,
 *               crossing|nil, worker|nil, deletes, whole_extras,
 *               target, make, table, columns, stage_kinds, picked } -> job, see pair/stage.h
 * Its result: { rows_source, rows_other, missing, extra, changed, refused, bytes } */
int dd_start_stage(lua_State *L) {
    static const dd_job_kind kind = {sizeof(stage),     run_stage,     push_stage_progress,
                                     push_stage_result, push_refusals, release_stage};
    dd_job *job = dd_job_new(L, &kind);
    stage *self = job->work;
    dd_stage_spec *spec = &self->spec;
    dd_compare_spec *compare = &spec->compare;
    unsigned count, staged;
    job->conns[0] = dd_arg_conn(L, "source");
    job->conns[1] = dd_arg_conn(L, "other");
    job->conns[2] = dd_arg_conn(L, "target");
    job->conn_count = 3;
    compare->conn[0] = job->conns[0]->conn;
    compare->conn[1] = job->conns[1]->conn;
    compare->query[0] = dd_arg_text(L, "source_query");
    compare->params[0] = dd_arg_params(L, "source_param_kinds", "source_params");
    compare->query[1] = dd_arg_text(L, "other_query");
    compare->params[1] = dd_arg_params(L, "other_param_kinds", "other_params");
    compare->kinds = dd_arg_kinds(L, "kinds", &count);
    compare->ordered = true;
    compare->key_columns = dd_arg_key(L, count, true);
    compare->crossing = spec->crossing = dd_arg_crossing(L);
    compare->transform = worker_transform(L, &self->transform, compare->kinds, count);
    spec->deletes = dd_arg_flag(L, "deletes");
    spec->whole_extras = dd_arg_flag(L, "whole_extras");
    spec->target = job->conns[2]->conn;
    spec->make = dd_arg_text(L, "make");
    spec->table = dd_arg_text(L, "table");
    spec->columns = dd_arg_text(L, "columns");
    spec->kinds = dd_arg_kinds(L, "stage_kinds", &staged);
    read_picked(L, self, count);
    if (staged != spec->picked_count + 1 || compare->key_columns > spec->picked_count)
        return dd_raise_usage(L, "stage_kinds: the picked columns and a mark expected");
    spec->refused = take_refusal;
    spec->progress = note_staged;
    spec->context = job;
    return dd_job_start(L, job);
}
