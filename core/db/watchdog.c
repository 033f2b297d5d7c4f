#include "db/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/interrupt.h"

/* How soon an interrupt, or an overdue turn of a stream, is noticed. */
static const double tick = 0.1;
/* Looks at an empty list before the thread goes to sleep for good: waking it costs a begin more
 * than all the rest, and statements tend to follow each other. */
static const int idle_ticks = 20;
/* What a server has after it was asked to cancel. */
static const double cut_after = 2.0;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work; /* for the thread: something to watch, or quit */
static pthread_cond_t settled; /* for owners: acting has ended */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* All guarded by the lock. */
static pthread_t thread;
static bool running;
static bool quit;
static bool asleep;        /* the thread waits without end */
static double wakes_at;    /* else: when it looks again */
static dd_watch *watched;

static void link_in(dd_watch *watch) {
    watch->next = watched;
    watch->link = &watched;
    if (watched) watched->link = &watch->next;
    watched = watch;
}

static void link_out(dd_watch *watch) {
    if (!watch->link) return;
    *watch->link = watch->next;
    if (watch->next) watch->next->link = watch->link;
    watch->next = NULL;
    watch->link = NULL;
}

/* What is due for this watch at `now`. Lowers *next to when it should be looked at again. */
static dd_watch_step due(dd_watch *watch, double now, double *next) {
    unsigned turn = atomic_load_explicit(&watch->turn, memory_order_relaxed);
    if (turn != watch->seen_turn) {
        watch->seen_turn = turn;
        watch->seen_at = now;
    }
    if (!(turn & 1U)) return DD_WATCH_NOTHING;
    double at = 0;
    switch (watch->step) {
    case DD_WATCH_NOTHING:
        if (dd_interrupted() && now - watch->seen_at >= watch->patience) {
            watch->reason = DD_WATCH_INTERRUPT;
            return DD_WATCH_CANCEL;
        }
        if (!(watch->timeout > 0)) return DD_WATCH_NOTHING;
        at = watch->seen_at + watch->timeout;
        if (now >= at) {
            watch->reason = DD_WATCH_TIMEOUT;
            return DD_WATCH_CANCEL;
        }
        break;
    case DD_WATCH_CANCEL:
        at = (watch->seen_at > watch->acted_at ? watch->seen_at : watch->acted_at) + cut_after;
        if (now >= at) return DD_WATCH_CUT;
        break;
    case DD_WATCH_CUT:
        return DD_WATCH_NOTHING;
    }
    if (at < *next) *next = at;
    return DD_WATCH_NOTHING;
}

static void wait_until(double moment) {
    struct timespec at = {.tv_sec = (time_t)moment,
                          .tv_nsec = (long)((moment - (double)(time_t)moment) * 1e9)};
    pthread_cond_timedwait(&work, &lock, &at);
}

static void act(dd_watch *watch, dd_watch_step step) {
    watch->step = step;
    watch->acted_at = dd_clock();
    watch->acting = true;
    pthread_mutex_unlock(&lock);
    if (step == DD_WATCH_CANCEL)
        watch->cancel(watch->owner);
    else
        watch->cut(watch->owner);
    pthread_mutex_lock(&lock);
    watch->acting = false;
    pthread_cond_broadcast(&settled);
}

static void *run(void *unused) {
    (void)unused;
    int idle = 0;
    pthread_mutex_lock(&lock);
    while (!quit) {
        double now = dd_clock();
        double next = now + tick;
        dd_watch *watch = watched;
        dd_watch_step step = DD_WATCH_NOTHING;
        for (; watch; watch = watch->next) {
            step = due(watch, now, &next);
            if (step != DD_WATCH_NOTHING) break;
        }
        if (step != DD_WATCH_NOTHING) {
            act(watch, step); /* the list may have changed meanwhile: start over */
            continue;
        }
        idle = watched ? 0 : idle + 1;
        if (idle > idle_ticks) {
            asleep = true;
            pthread_cond_wait(&work, &lock);
            asleep = false;
            idle = 0;
        } else {
            wakes_at = next;
            wait_until(next);
        }
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* Before exit, and before this code is unloaded, the thread must be gone: it uses the client
 * library, whose own clean-up was registered earlier and so runs later. */
static void stop(void) {
    pthread_mutex_lock(&lock);
    bool join = running;
    running = false;
    quit = true;
    pthread_cond_signal(&work);
    pthread_mutex_unlock(&lock);
    if (join) pthread_join(thread, NULL);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork_parent(void) { pthread_mutex_unlock(&lock); }

static void make_conditions(void) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&work, &monotonic);
    pthread_cond_init(&settled, NULL);
    pthread_condattr_destroy(&monotonic);
}

/* The child has no watchdog until it begins a watch of its own, and conditions that remember no
 * waiter of the parent. */
static void after_fork_child(void) {
    make_conditions();
    running = false;
    asleep = false;
    for (dd_watch *watch = watched; watch; watch = watch->next) watch->acting = false;
    pthread_mutex_unlock(&lock);
}

static void prepare(void) {
    make_conditions();
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    atexit(stop);
}

/* With the lock. No signal is ever handled on the watchdog's thread. */
static bool start(void) {
    if (running) return true;
    if (quit) return false;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    running = pthread_create(&thread, NULL, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return running;
}

bool dd_watch_begin(dd_watch *watch, double timeout, double patience) {
    pthread_once(&once, prepare);
    double now = dd_clock();
    pthread_mutex_lock(&lock);
    if (!start()) {
        pthread_mutex_unlock(&lock);
        return false;
    }
    dd_watch_turn(watch);
    watch->seen_turn = atomic_load_explicit(&watch->turn, memory_order_relaxed);
    watch->seen_at = now;
    watch->timeout = timeout;
    watch->patience = patience;
    watch->reason = DD_WATCH_QUIET;
    watch->step = DD_WATCH_NOTHING;
    link_in(watch);
    if (asleep || (timeout > 0 && now + timeout < wakes_at)) pthread_cond_signal(&work);
    pthread_mutex_unlock(&lock);
    return true;
}

dd_watch_reason dd_watch_end(dd_watch *watch, dd_watch_step *step) {
    if (dd_watch_busy(watch)) dd_watch_turn(watch);
    pthread_mutex_lock(&lock);
    link_out(watch);
    while (watch->acting) pthread_cond_wait(&settled, &lock);
    *step = watch->step;
    dd_watch_reason reason = watch->reason;
    watch->reason = DD_WATCH_QUIET;
    watch->step = DD_WATCH_NOTHING;
    pthread_mutex_unlock(&lock);
    return reason;
}
