#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "db/postgres_driver.h"

/*
 * PQcancel blocks: it connects anew, and waits until the server has closed that connection again. A
 * server that is frozen, or a network that swallows packets, would hold it for minutes or for ever,
 * and that is just when it is needed. So each request has a thread of its own, and who asked waits
 * for it only so long. What both use is freed by the one that is done with it last.
 */

struct dd_pg_cancel {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    PGcancel *request;       /* PQcancel only reads it, so threads may share it */
    unsigned users;          /* the owner and the requests under way */
};

typedef struct request {
    dd_pg_cancel *cancel;
    bool done;               /* PQcancel has returned */
    bool taken;              /* ... with success */
    bool abandoned;          /* nobody waits; the thread frees this */
} request;

dd_pg_cancel *dd_pg_cancel_new(PGconn *pq) {
    dd_pg_cancel *cancel = dd_calloc(1, sizeof *cancel);
    cancel->request = PQgetCancel(pq);
    cancel->users = 1;
    pthread_mutex_init(&cancel->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cancel->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return cancel;
}

/* Called with the lock held; gives it up. */
static void leave(dd_pg_cancel *cancel) {
    bool last = --cancel->users == 0;
    pthread_mutex_unlock(&cancel->lock);
    if (!last) return;
    PQfreeCancel(cancel->request);
    pthread_cond_destroy(&cancel->changed);
    pthread_mutex_destroy(&cancel->lock);
    free(cancel);
}

void dd_pg_cancel_free(dd_pg_cancel *cancel) {
    if (!cancel) return;
    pthread_mutex_lock(&cancel->lock);
    leave(cancel);
}

static void *run(void *argument) {
    request *req = argument;
    dd_pg_cancel *cancel = req->cancel;
    char ignored[256];
    bool taken = PQcancel(cancel->request, ignored, sizeof ignored) == 1;
    pthread_mutex_lock(&cancel->lock);
    req->done = true;
    req->taken = taken;
    if (req->abandoned) free(req);
    else pthread_cond_broadcast(&cancel->changed);
    leave(cancel);
    return NULL;
}

/* A detached thread that takes no signals: they are for the program's own threads. */
static bool start(request *req) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, &attributes, run, req);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed == 0;
}

bool dd_pg_cancel_send(dd_pg_cancel *cancel) {
    if (!cancel->request) return false;
    request *req = dd_calloc(1, sizeof *req);
    req->cancel = cancel;
    pthread_mutex_lock(&cancel->lock);
    cancel->users += 2; /* the thread's and, while it waits, this one's */
    if (!start(req)) {
        cancel->users -= 1;
        free(req);
        leave(cancel);
        return false;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)DD_PG_PATIENCE;
    int late = 0;
    while (!req->done && !late)
        late = pthread_cond_timedwait(&cancel->changed, &cancel->lock, &until);
    bool taken = req->done && req->taken;
    if (req->done) free(req);
    else req->abandoned = true;
    leave(cancel);
    return taken;
}
