#ifndef DD_BIND_BACKGROUND_JOB_H
#define DD_BIND_BACKGROUND_JOB_H

/*
 * What all jobs on threads of their own have in common: they are started, watched, waited for and
 * given up alike (background.c), whatever they do (background_*.c).
 */

#include <lua.h>
#include <pthread.h>

#include "bind/conn.h"

enum { DD_JOB_CONNS = 3 };

typedef struct dd_job dd_job;
struct dd_job_signal;

typedef struct dd_job_kind {
    size_t size;                                     /* bytes of its work, which begin as zeros */
    dd_status (*run)(dd_job *job, dd_err *err);      /* on the job's thread */
    int (*push_progress)(lua_State *L, dd_job *job); /* or NULL */
    int (*push_result)(lua_State *L, dd_job *job);
    /* Appends what was told to the list on the top of the stack; or NULL */
    void (*push_told)(lua_State *L, const dd_buf *told);
    void (*release)(void *work);                     /* frees what the work holds; or NULL */
} dd_job_kind;

/* The thread has `status`, `err` and the work to itself until `done`; all behind `lock` is shared,
 * and what of the work its kind says. User value 1 is the table of arguments, 2 the signal, 3 what
 * else has to live as long. */
struct dd_job {
    const dd_job_kind *kind;
    void *work;                /* of the kind; owned */
    struct dd_job_signal *signal;
    pthread_t thread;
    bool started;              /* the thread has to be joined */
    dd_lua_conn *conns[DD_JOB_CONNS]; /* that it uses */
    unsigned conn_count;
    dd_status status;
    dd_err err;

    pthread_mutex_t lock;
    pthread_cond_t drained;    /* what was told was taken, or `stop` was set */
    bool done, stop;
    dd_buf told;               /* for Lua, in the kind's form */
};

/* ---- for a kind, on the thread that runs Lua ---- */

/* Pushes a job that does not run yet and keeps the table of arguments, which is at stack index 1; the
 * job is at 2. */
dd_job *dd_job_new(lua_State *L, const dd_job_kind *kind);
/* Starts it, with what stands on the stack above it kept alive as long as it; returns 1, the job. */
int dd_job_start(lua_State *L, dd_job *job);
/* Sets a field of the table on the top of the stack. */
void dd_job_set_count(lua_State *L, const char *name, uint64_t value);

/* ---- on the job's thread ---- */

/* Copies `size` bytes to where progress is looked up, behind the lock. `canceled` when the job was
 * given up. */
dd_status dd_job_note(dd_job *job, void *to, const void *from, size_t size, dd_err *err);
/* Locks the job, for one entry to be added to job->told; waits while Lua has too much to take.
 * `canceled`, and not locked, when the job was given up. */
DD_MUST_CHECK dd_status dd_job_begin_told(dd_job *job, dd_err *err);
void dd_job_end_told(dd_job *job);

/* ---- the kinds ---- */

int dd_start_copy(lua_State *L);
int dd_start_stage(lua_State *L);
int dd_start_execute(lua_State *L);
int dd_start_fetch(lua_State *L);
int dd_start_compare(lua_State *L);

#endif
