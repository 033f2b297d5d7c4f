#include "bind/background.h"

#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "bind/arguments.h"
#include "bind/error.h"
#include "bind/params.h"
#include "bind/worker.h"
#include "pair/stage.h"

#define JOB_TYPE "dualdb.job"
#define SIGNAL_TYPE "dualdb.signal"

/* Bytes of refused rows that a job keeps before it waits for somebody to take them. */
enum { REFUSALS_BYTES = 4 << 20 };
enum { MOST_CONNS = 3 };

/* What all jobs of a lua_State tell that there is something to look at. */
typedef struct job_signal {
    pthread_mutex_t lock;
    pthread_cond_t raised;
    unsigned long count;
} job_signal;

typedef enum { COPY, STAGE, EXECUTE, FETCH } job_kind;

/* The thread has `status`, `err` and the result to itself until `done`; all behind `lock` is shared.
 * User value 1 is the table of arguments, 2 the signal, 3 what else has to live as long. */
typedef struct job {
    job_kind kind;
    job_signal *signal;
    pthread_t thread;
    bool started;              /* the thread has to be joined */
    bool dropped;              /* FETCH: rows were, beyond `most` */
    dd_lua_conn *conns[MOST_CONNS];
    unsigned conn_count;
    dd_copy_spec copy;
    dd_stage_spec stage;
    dd_conn *conn;             /* EXECUTE, FETCH */
    const char *sql;
    dd_query_params params;    /* FETCH */
    const char *kinds;
    dd_transform transform;
    dd_buf last_key;           /* COPY */
    unsigned *picked;          /* STAGE */

    dd_status status;
    dd_err err;
    dd_copy_progress copied;
    dd_stage_progress staged;
    dd_result executed;
    dd_buf fetched;            /* rows, each behind its length */
    uint64_t most;             /* bytes of them; rows that come when there are so many are dropped */

    pthread_mutex_t lock;
    pthread_cond_t drained;    /* refusals were taken, or `stop` was set */
    bool done, stop;
    dd_copy_progress copied_so_far;
    dd_stage_progress staged_so_far;
    dd_buf refusals;           /* refused rows: column, length of the reason, of the row; both */
} job;

static job *check_job(lua_State *L, int index) { return luaL_checkudata(L, index, JOB_TYPE); }

/* ---- the signal ---- */

static void raise_signal(job_signal *signal) {
    pthread_mutex_lock(&signal->lock);
    signal->count++;
    pthread_cond_broadcast(&signal->raised);
    pthread_mutex_unlock(&signal->lock);
}

static int signal_free(lua_State *L) {
    job_signal *signal = luaL_checkudata(L, 1, SIGNAL_TYPE);
    pthread_cond_destroy(&signal->raised);
    pthread_mutex_destroy(&signal->lock);
    return 0;
}

static void init_condition(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Pushes the lua_State's signal. */
static job_signal *push_signal(lua_State *L) {
    if (lua_getfield(L, LUA_REGISTRYINDEX, SIGNAL_TYPE ".of") != LUA_TNIL)
        return lua_touserdata(L, -1);
    lua_pop(L, 1);
    job_signal *signal = lua_newuserdatauv(L, sizeof *signal, 0);
    signal->count = 0;
    pthread_mutex_init(&signal->lock, NULL);
    init_condition(&signal->raised);
    if (luaL_newmetatable(L, SIGNAL_TYPE)) {
        lua_pushcfunction(L, signal_free);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, SIGNAL_TYPE ".of");
    return signal;
}

/* ---- on the job's thread ---- */

static dd_status take_refusal(void *context, const uint8_t *row, size_t length,
                              const dd_refusal *refusal, dd_err *err) {
    job *j = context;
    const uint64_t lengths[2] = {strlen(refusal->reason), length};
    pthread_mutex_lock(&j->lock);
    if (j->refusals.length >= REFUSALS_BYTES && !j->stop) raise_signal(j->signal);
    while (j->refusals.length >= REFUSALS_BYTES && !j->stop)
        pthread_cond_wait(&j->drained, &j->lock);
    bool stop = j->stop;
    dd_buf_add(&j->refusals, &refusal->column, sizeof refusal->column);
    dd_buf_add(&j->refusals, lengths, sizeof lengths);
    dd_buf_add(&j->refusals, refusal->reason, lengths[0]);
    dd_buf_add(&j->refusals, row, length);
    pthread_mutex_unlock(&j->lock);
    return stop ? dd_fail(err, DD_CANCELED, "the job was given up") : DD_OK;
}

static dd_status note_copied(void *context, const dd_copy_progress *so_far, dd_err *err) {
    job *j = context;
    pthread_mutex_lock(&j->lock);
    j->copied_so_far = *so_far;
    bool stop = j->stop;
    pthread_mutex_unlock(&j->lock);
    return stop ? dd_fail(err, DD_CANCELED, "the job was given up") : DD_OK;
}

static dd_status note_staged(void *context, const dd_stage_progress *so_far, dd_err *err) {
    job *j = context;
    pthread_mutex_lock(&j->lock);
    j->staged_so_far = *so_far;
    bool stop = j->stop;
    pthread_mutex_unlock(&j->lock);
    return stop ? dd_fail(err, DD_CANCELED, "the job was given up") : DD_OK;
}

/* Rows are few: what a query computes, or the keys of a chunk. */
static dd_status fetch_all(job *j) {
    dd_stream *stream;
    if (dd_stream_open(j->conn, j->sql, j->params.values, j->params.count, j->kinds, false, &stream,
                       &j->err))
        return DD_FAIL;
    dd_status status;
    for (bool more = true;;) {
        const size_t at = j->fetched.length;
        uint64_t length = 0;
        dd_buf_add(&j->fetched, &length, sizeof length);
        status = dd_stream_next(stream, &j->fetched, &more, &j->err);
        if (status || !more) {
            j->fetched.length = at;
            break;
        }
        if (at >= j->most) {
            j->fetched.length = at;
            j->dropped = true;
            continue;
        }
        length = j->fetched.length - at - sizeof length;
        memcpy(j->fetched.data + at, &length, sizeof length);
    }
    dd_stream_close(stream);
    return status;
}

static void *run(void *argument) {
    job *j = argument;
    switch (j->kind) {
    case COPY: j->status = dd_copy(&j->copy, &j->copied, &j->err); break;
    case STAGE: j->status = dd_stage(&j->stage, &j->staged, &j->err); break;
    case EXECUTE:
        j->status = dd_conn_execute(j->conn, j->sql, NULL, 0, &j->executed, &j->err);
        break;
    case FETCH: j->status = fetch_all(j); break;
    }
    pthread_mutex_lock(&j->lock);
    j->done = true;
    j->copied_so_far = j->copied;
    j->staged_so_far = j->staged;
    pthread_mutex_unlock(&j->lock);
    raise_signal(j->signal);
    return NULL;
}

/* ---- starting ---- */

/* Pushes a job that does not run yet and keeps the arguments; the class comes first, so that an error
 * in what follows leaves nothing behind. */
static job *new_job(lua_State *L, job_kind kind) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_checkstack(L, 60, "job");
    job *j = lua_newuserdatauv(L, sizeof *j, 3);
    *j = (job){.kind = kind};
    pthread_mutex_init(&j->lock, NULL);
    init_condition(&j->drained);
    luaL_setmetatable(L, JOB_TYPE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, 2, 1);
    j->signal = push_signal(L);
    lua_setiuservalue(L, 2, 2);
    lua_newtable(L);
    lua_setiuservalue(L, 2, 3);
    return j;
}

/* What stands on the stack above the job stays alive as long as it. */
static void keep_stack(lua_State *L) {
    int top = lua_gettop(L);
    lua_getiuservalue(L, 2, 3);
    for (int i = 3; i <= top; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, top + 1, i - 2);
    }
    lua_settop(L, 2);
}

static const dd_transform *worker_transform(lua_State *L, job *j, const char *kinds,
                                            unsigned count) {
    lua_getfield(L, 1, "worker");
    if (lua_isnil(L, -1)) return NULL;
    j->transform = dd_worker_transform(L, lua_gettop(L), kinds, count);
    return &j->transform;
}

static int start(lua_State *L, job *j) {
    keep_stack(L);
    for (unsigned i = 0; i < j->conn_count; i++) j->conns[i]->busy = true;
    sigset_t all, before; /* signals belong to the thread that runs Lua */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    j->started = pthread_create(&j->thread, NULL, run, j) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (j->started) return 1;
    for (unsigned i = 0; i < j->conn_count; i++) j->conns[i]->busy = false;
    dd_err err;
    (void)dd_fail(&err, DD_INTERNAL, "a thread could not be started");
    return dd_raise(L, &err);
}

/* start_copy { (what dd_arg_copy reads), key_columns, replaces|nil, worker|nil } -> job
 * Its result is that of copy, with last_key and stopped. */
static int core_start_copy(lua_State *L) {
    job *j = new_job(L, COPY);
    unsigned count = dd_arg_copy(L, &j->copy, j->conns);
    j->conn_count = 2;
    j->copy.key_columns = dd_arg_key(L, count, true);
    if (dd_arg_flag(L, "replaces")) j->copy.replaced_key = j->copy.key_columns;
    j->copy.last_key = &j->last_key;
    j->copy.transform = worker_transform(L, j, j->copy.kinds, count);
    j->copy.refused = take_refusal;
    j->copy.progress = note_copied;
    j->copy.context = j;
    return start(L, j);
}

static void read_picked(lua_State *L, job *j, unsigned columns) {
    lua_getfield(L, 1, "picked");
    if (!lua_istable(L, -1)) dd_raise_usage(L, "picked: a table expected");
    unsigned count = (unsigned)lua_rawlen(L, -1);
    j->picked = dd_calloc(count + 1, sizeof *j->picked);
    for (unsigned i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_Integer index = lua_tointeger(L, -1);
        if (index < 1 || index > (lua_Integer)columns ||
            (i > 0 && index <= (lua_Integer)j->picked[i - 1] + 1))
            dd_raise_usage(L, "picked: ascending columns expected");
        j->picked[i] = (unsigned)index - 1;
        lua_pop(L, 1);
    }
    j->stage.picked = j->picked;
    j->stage.picked_count = count;
}

/* start_stage { source, source_query, source_param_kinds|nil, source_params|nil,
 *               other, other_query, other_param_kinds|nil, other_params|nil, kinds, key_columns,
 *               crossing|nil, worker|nil, deletes, whole_extras,
 *               target, make, table, columns, stage_kinds, picked } -> job, see pair/stage.h
 * Its result: { rows_source, rows_other, missing, extra, changed, refused, bytes } */
static int core_start_stage(lua_State *L) {
    job *j = new_job(L, STAGE);
    dd_compare_spec *compare = &j->stage.compare;
    unsigned count, staged;
    j->conns[0] = dd_arg_conn(L, "source");
    j->conns[1] = dd_arg_conn(L, "other");
    j->conns[2] = dd_arg_conn(L, "target");
    j->conn_count = 3;
    compare->conn[0] = j->conns[0]->conn;
    compare->conn[1] = j->conns[1]->conn;
    compare->query[0] = dd_arg_text(L, "source_query");
    compare->params[0] = dd_arg_params(L, "source_param_kinds", "source_params");
    compare->query[1] = dd_arg_text(L, "other_query");
    compare->params[1] = dd_arg_params(L, "other_param_kinds", "other_params");
    compare->kinds = dd_arg_kinds(L, "kinds", &count);
    compare->ordered = true;
    compare->key_columns = dd_arg_key(L, count, true);
    compare->crossing = j->stage.crossing = dd_arg_crossing(L);
    compare->transform = worker_transform(L, j, compare->kinds, count);
    j->stage.deletes = dd_arg_flag(L, "deletes");
    j->stage.whole_extras = dd_arg_flag(L, "whole_extras");
    j->stage.target = j->conns[2]->conn;
    j->stage.make = dd_arg_text(L, "make");
    j->stage.table = dd_arg_text(L, "table");
    j->stage.columns = dd_arg_text(L, "columns");
    j->stage.kinds = dd_arg_kinds(L, "stage_kinds", &staged);
    read_picked(L, j, count);
    if (staged != j->stage.picked_count + 1 || compare->key_columns > j->stage.picked_count)
        return dd_raise_usage(L, "stage_kinds: the picked columns and a mark expected");
    j->stage.refused = take_refusal;
    j->stage.progress = note_staged;
    j->stage.context = j;
    return start(L, j);
}

/* start_execute { conn, sql } -> job; its result is that of conn:execute */
static int core_start_execute(lua_State *L) {
    job *j = new_job(L, EXECUTE);
    j->conns[0] = dd_arg_conn(L, "conn");
    j->conn_count = 1;
    j->conn = j->conns[0]->conn;
    j->sql = dd_arg_text(L, "sql");
    return start(L, j);
}

/* start_fetch { conn, sql, param_kinds|nil, params|nil, kinds, most|nil } -> job; its results are the
 * rows, all in memory, and whether some were dropped, since there were `most` bytes of them. */
static int core_start_fetch(lua_State *L) {
    job *j = new_job(L, FETCH);
    unsigned count;
    j->conns[0] = dd_arg_conn(L, "conn");
    j->conn_count = 1;
    j->conn = j->conns[0]->conn;
    j->sql = dd_arg_text(L, "sql");
    j->params = dd_arg_params(L, "param_kinds", "params");
    j->kinds = dd_arg_kinds(L, "kinds", &count);
    lua_getfield(L, 1, "most");
    j->most = (uint64_t)luaL_optinteger(L, -1, LUA_MAXINTEGER);
    return start(L, j);
}

/* ---- ending ---- */

static void join(job *j) {
    if (!j->started) return;
    pthread_join(j->thread, NULL);
    j->started = false;
    for (unsigned i = 0; i < j->conn_count; i++) j->conns[i]->busy = false;
}

static bool is_done(job *j) {
    pthread_mutex_lock(&j->lock);
    bool done = j->done;
    pthread_mutex_unlock(&j->lock);
    return done;
}

/* Has the servers stop what the job is doing, and waits for its end. */
static void give_up(job *j) {
    if (!j->started) return;
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    bool done = j->done;
    pthread_cond_broadcast(&j->drained);
    pthread_mutex_unlock(&j->lock);
    if (!done)
        for (unsigned i = 0; i < j->conn_count; i++) dd_conn_cancel(j->conns[i]->conn);
    join(j);
}

static int job_close(lua_State *L) {
    job *j = check_job(L, 1);
    give_up(j);
    return 0;
}

static int job_free(lua_State *L) {
    job *j = check_job(L, 1);
    give_up(j);
    dd_buf_free(&j->last_key);
    dd_buf_free(&j->fetched);
    dd_buf_free(&j->refusals);
    free(j->picked);
    j->picked = NULL;
    pthread_cond_destroy(&j->drained);
    pthread_mutex_destroy(&j->lock);
    return 0;
}

/* ---- looking at it ---- */

static void set_count(lua_State *L, const char *name, uint64_t value) {
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static int push_copied(lua_State *L, const dd_copy_progress *r) {
    lua_createtable(L, 0, 6);
    set_count(L, "rows_read", r->rows_read);
    set_count(L, "rows_written", r->rows_written);
    set_count(L, "rows_refused", r->rows_refused);
    set_count(L, "bytes", r->bytes);
    lua_pushboolean(L, r->stopped);
    lua_setfield(L, -2, "stopped");
    return 1;
}

static int push_staged(lua_State *L, const dd_stage_progress *r) {
    lua_createtable(L, 0, 7);
    set_count(L, "rows_source", r->rows[0]);
    set_count(L, "rows_other", r->rows[1]);
    set_count(L, "missing", r->missing);
    set_count(L, "extra", r->extra);
    set_count(L, "changed", r->changed);
    set_count(L, "refused", r->refused);
    set_count(L, "bytes", r->bytes);
    return 1;
}

/* job:progress() -> what the result has so far; nil for a statement or a query */
static int job_progress(lua_State *L) {
    job *j = check_job(L, 1);
    pthread_mutex_lock(&j->lock);
    dd_copy_progress copied = j->copied_so_far;
    dd_stage_progress staged = j->staged_so_far;
    pthread_mutex_unlock(&j->lock);
    switch (j->kind) {
    case COPY: return push_copied(L, &copied);
    case STAGE: return push_staged(L, &staged);
    case EXECUTE:
    case FETCH: break;
    }
    return 0;
}

static int job_is_done(lua_State *L) {
    lua_pushboolean(L, is_done(check_job(L, 1)));
    return 1;
}

/* job:refusals() -> the rows refused since the last call: { { row, column|nil, reason }, ... } */
static int job_refusals(lua_State *L) {
    job *j = check_job(L, 1);
    dd_buf taken;
    pthread_mutex_lock(&j->lock);
    taken = j->refusals;
    j->refusals = (dd_buf){0};
    pthread_cond_broadcast(&j->drained);
    pthread_mutex_unlock(&j->lock);
    lua_newtable(L);
    lua_Integer count = 0;
    for (size_t at = 0; at < taken.length;) {
        unsigned column;
        uint64_t lengths[2];
        memcpy(&column, taken.data + at, sizeof column);
        memcpy(lengths, taken.data + at + sizeof column, sizeof lengths);
        at += sizeof column + sizeof lengths;
        lua_createtable(L, 0, 3);
        lua_pushlstring(L, (const char *)taken.data + at, lengths[0]);
        lua_setfield(L, -2, "reason");
        lua_pushlstring(L, (const char *)taken.data + at + lengths[0], lengths[1]);
        lua_setfield(L, -2, "row");
        if (column != UINT32_MAX) {
            lua_pushinteger(L, (lua_Integer)column + 1);
            lua_setfield(L, -2, "column");
        }
        at += lengths[0] + lengths[1];
        lua_rawseti(L, -2, ++count);
    }
    dd_buf_free(&taken);
    return 1;
}

static void push_fetched(lua_State *L, const dd_buf *fetched) {
    lua_newtable(L);
    lua_Integer count = 0;
    for (size_t at = 0; at < fetched->length;) {
        uint64_t length;
        memcpy(&length, fetched->data + at, sizeof length);
        at += sizeof length;
        lua_pushlstring(L, (const char *)fetched->data + at, length);
        lua_rawseti(L, -2, ++count);
        at += length;
    }
}

/* job:finish() -> its result; raises the error that ended it. It has to be done. */
static int job_finish(lua_State *L) {
    job *j = check_job(L, 1);
    if (!is_done(j)) return dd_raise_usage(L, "the job still runs");
    join(j);
    if (j->status) return dd_raise(L, &j->err);
    switch (j->kind) {
    case COPY:
        push_copied(L, &j->copied);
        lua_pushlstring(L, (const char *)j->last_key.data, j->last_key.length);
        lua_setfield(L, -2, "last_key");
        return 1;
    case STAGE: return push_staged(L, &j->staged);
    case EXECUTE: return dd_push_result(L, &j->executed);
    case FETCH:
        push_fetched(L, &j->fetched);
        lua_pushboolean(L, j->dropped);
        return 2;
    }
    return 0;
}

/* ---- waiting ---- */

static bool wants_attention(job *j) {
    pthread_mutex_lock(&j->lock);
    bool wants = j->done || j->refusals.length >= REFUSALS_BYTES;
    pthread_mutex_unlock(&j->lock);
    return wants;
}

static bool any_wants(lua_State *L) {
    bool any = false;
    for (lua_Integer i = 1; !any && lua_rawgeti(L, 1, i) != LUA_TNIL; i++, lua_pop(L, 1))
        any = wants_attention(check_job(L, -1));
    lua_settop(L, 1);
    return any;
}

static struct timespec timespec_of(double seconds) {
    time_t whole = (time_t)seconds;
    return (struct timespec){whole, (long)((seconds - (double)whole) * 1e9)};
}

/* wait(jobs, seconds) -> whether one of them is done, or has many refused rows to be taken; false
 * when the time is over. Raises `canceled` when interrupted. */
static int core_wait(lua_State *L) {
    static const double slice = 0.1; /* between two looks whether a person wants it to stop */
    luaL_checktype(L, 1, LUA_TTABLE);
    const double until = dd_clock() + luaL_checknumber(L, 2);
    lua_settop(L, 1);
    job_signal *signal = push_signal(L); /* the registry keeps it */
    lua_settop(L, 1);
    for (;;) {
        pthread_mutex_lock(&signal->lock);
        unsigned long seen = signal->count;
        pthread_mutex_unlock(&signal->lock);
        if (dd_interrupted()) {
            dd_err err;
            (void)dd_fail(&err, DD_CANCELED, "interrupted");
            return dd_raise(L, &err);
        }
        bool any = any_wants(L);
        double now = dd_clock();
        if (any || now >= until) {
            lua_pushboolean(L, any);
            return 1;
        }
        struct timespec stop = timespec_of(now + slice < until ? now + slice : until);
        pthread_mutex_lock(&signal->lock);
        while (signal->count == seen &&
               pthread_cond_timedwait(&signal->raised, &signal->lock, &stop) != ETIMEDOUT) {}
        pthread_mutex_unlock(&signal->lock);
    }
}

void dd_open_background(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"progress", job_progress}, {"refusals", job_refusals}, {"is_done", job_is_done},
        {"finish", job_finish},     {"close", job_close},       {NULL, NULL},
    };
    static const luaL_Reg functions[] = {
        {"start_copy", core_start_copy},       {"start_stage", core_start_stage},
        {"start_execute", core_start_execute}, {"start_fetch", core_start_fetch},
        {"wait", core_wait},                   {NULL, NULL},
    };
    luaL_newmetatable(L, JOB_TYPE);
    lua_pushcfunction(L, job_free);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, job_close);
    lua_setfield(L, -2, "__close");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
