#include "bind/background.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "bind/background_job.h"
#include "bind/error.h"

#define JOB_TYPE "dualdb.job"
#define SIGNAL_TYPE "dualdb.signal"
#define TAKEN_TYPE "dualdb.job.taken"

/* Bytes that a job keeps for Lua before it waits for somebody to take them. */
enum { MOST_TOLD = 1 << 20 };

/* What all jobs of a lua_State tell that there is something to look at. */
typedef struct dd_job_signal {
    pthread_mutex_t lock;
    pthread_cond_t raised;
    unsigned long count;
} job_signal;

static dd_job *check_job(lua_State *L, int index) { return luaL_checkudata(L, index, JOB_TYPE); }

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

static dd_status given_up(dd_err *err) { return dd_fail(err, DD_CANCELED, "the job was given up"); }

dd_status dd_job_note(dd_job *job, void *to, const void *from, size_t size, dd_err *err) {
    pthread_mutex_lock(&job->lock);
    memcpy(to, from, size);
    bool stop = job->stop;
    pthread_mutex_unlock(&job->lock);
    return stop ? given_up(err) : DD_OK;
}

dd_status dd_job_begin_told(dd_job *job, dd_err *err) {
    pthread_mutex_lock(&job->lock);
    if (job->told.length >= MOST_TOLD && !job->stop) raise_signal(job->signal);
    while (job->told.length >= MOST_TOLD && !job->stop)
        pthread_cond_wait(&job->drained, &job->lock);
    if (!job->stop) return DD_OK;
    pthread_mutex_unlock(&job->lock);
    return given_up(err);
}

void dd_job_end_told(dd_job *job) { pthread_mutex_unlock(&job->lock); }

static void *run(void *argument) {
    dd_job *job = argument;
    job->status = job->kind->run(job, &job->err);
    pthread_mutex_lock(&job->lock);
    job->done = true;
    pthread_mutex_unlock(&job->lock);
    raise_signal(job->signal);
    return NULL;
}

/* ---- starting ---- */

/* The class comes first, so that an error in what follows leaves nothing behind. */
dd_job *dd_job_new(lua_State *L, const dd_job_kind *kind) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_checkstack(L, 60, "job");
    dd_job *job = lua_newuserdatauv(L, sizeof *job, 3);
    *job = (dd_job){.kind = kind};
    pthread_mutex_init(&job->lock, NULL);
    init_condition(&job->drained);
    luaL_setmetatable(L, JOB_TYPE);
    job->work = dd_calloc(1, kind->size);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, 2, 1);
    job->signal = push_signal(L);
    lua_setiuservalue(L, 2, 2);
    lua_newtable(L);
    lua_setiuservalue(L, 2, 3);
    return job;
}

static void keep_stack(lua_State *L) {
    int top = lua_gettop(L);
    lua_getiuservalue(L, 2, 3);
    for (int i = 3; i <= top; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, top + 1, i - 2);
    }
    lua_settop(L, 2);
}

int dd_job_start(lua_State *L, dd_job *job) {
    keep_stack(L);
    for (unsigned i = 0; i < job->conn_count; i++) job->conns[i]->busy = true;
    sigset_t all, before; /* signals belong to the thread that runs Lua */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    job->started = pthread_create(&job->thread, NULL, run, job) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (job->started) return 1;
    for (unsigned i = 0; i < job->conn_count; i++) job->conns[i]->busy = false;
    dd_err err;
    (void)dd_fail(&err, DD_INTERNAL, "a thread could not be started");
    return dd_raise(L, &err);
}

/* ---- ending ---- */

static void join(dd_job *j) {
    if (!j->started) return;
    pthread_join(j->thread, NULL);
    j->started = false;
    for (unsigned i = 0; i < j->conn_count; i++) j->conns[i]->busy = false;
}

static bool is_done(dd_job *j) {
    pthread_mutex_lock(&j->lock);
    bool done = j->done;
    pthread_mutex_unlock(&j->lock);
    return done;
}

/* Has the servers stop what the job is doing, and waits for its end. */
static void give_up(dd_job *j) {
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
    dd_job *j = check_job(L, 1);
    give_up(j);
    return 0;
}

static int job_free(lua_State *L) {
    dd_job *j = check_job(L, 1);
    give_up(j);
    dd_buf_free(&j->told);
    if (j->work && j->kind->release) j->kind->release(j->work);
    free(j->work);
    j->work = NULL;
    pthread_cond_destroy(&j->drained);
    pthread_mutex_destroy(&j->lock);
    return 0;
}

/* ---- looking at it ---- */

void dd_job_set_count(lua_State *L, const char *name, uint64_t value) {
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

/* job:progress() -> what the result has so far; nil for a statement or a query */
static int job_progress(lua_State *L) {
    dd_job *j = check_job(L, 1);
    return j->kind->push_progress ? j->kind->push_progress(L, j) : 0;
}

static int job_is_done(lua_State *L) {
    lua_pushboolean(L, is_done(check_job(L, 1)));
    return 1;
}

/* job:told() -> a list of what the job has told since the last call, in its order: its kind says of
 * what. Once the job is done nothing is added. */
static int job_told(lua_State *L) {
    dd_job *j = check_job(L, 1);
    dd_buf *taken = lua_newuserdatauv(L, sizeof *taken, 0);
    *taken = (dd_buf){0};
    luaL_setmetatable(L, TAKEN_TYPE);
    lua_newtable(L);
    pthread_mutex_lock(&j->lock);
    *taken = j->told;
    j->told = (dd_buf){0};
    pthread_cond_broadcast(&j->drained);
    pthread_mutex_unlock(&j->lock);
    if (taken->length) j->kind->push_told(L, taken);
    dd_buf_free(taken);
    return 1;
}

static int taken_free(lua_State *L) {
    dd_buf_free(luaL_checkudata(L, 1, TAKEN_TYPE));
    return 0;
}

/* job:finish() -> its result; raises the error that ended it. It has to be done. */
static int job_finish(lua_State *L) {
    dd_job *j = check_job(L, 1);
    if (!is_done(j)) return dd_raise_usage(L, "the job still runs");
    join(j);
    return j->status ? dd_raise(L, &j->err) : j->kind->push_result(L, j);
}

/* ---- waiting ---- */

static bool wants_attention(dd_job *j) {
    pthread_mutex_lock(&j->lock);
    bool wants = j->done || j->told.length >= MOST_TOLD;
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

/* wait(jobs, seconds) -> whether one of them is done, or waits until what it has told is taken; false
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
        {"progress", job_progress}, {"told", job_told},   {"is_done", job_is_done},
        {"finish", job_finish},     {"close", job_close}, {NULL, NULL},
    };
    static const luaL_Reg functions[] = {
        {"start_copy", dd_start_copy},
        {"start_stage", dd_start_stage},
        {"start_execute", dd_start_execute},
        {"start_fetch", dd_start_fetch},
        {"start_compare", dd_start_compare},
        {"wait", core_wait},
        {NULL, NULL},
    };
    luaL_newmetatable(L, TAKEN_TYPE);
    lua_pushcfunction(L, taken_free);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
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
