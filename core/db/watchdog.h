#ifndef DD_DB_WATCHDOG_H
#define DD_DB_WATCHDOG_H

/*
 * Ends calls that block too long in a client library that cannot be told to wait for less. One
 * thread for the whole process, started by the first call that is watched, looks at the calls in
 * flight; one that is overdue, or in flight while the process is interrupted (base/interrupt.h),
 * has its `cancel` called, and if it is still in flight two seconds later its `cut`.
 *
 *   dd_watch_begin                     a call is in flight from here
 *   dd_watch_pause, dd_watch_resume    a stream: between two calls, in the next call. No lock.
 *   dd_watch_end                       nothing is watched any more
 */

#include <stdatomic.h>
#include <stdbool.h>

typedef enum { DD_WATCH_QUIET, DD_WATCH_TIMEOUT, DD_WATCH_INTERRUPT } dd_watch_reason;
typedef enum { DD_WATCH_NOTHING, DD_WATCH_CANCEL, DD_WATCH_CUT } dd_watch_step;

typedef struct dd_watch {
    /* Set by the owner before the first begin. Both run on the watchdog's thread. */
    void (*cancel)(void *owner); /* asks the server to stop; may take a few seconds */
    void (*cut)(void *owner);    /* makes the call fail; must not block */
    void *owner;

    /* Below, private. The turn is odd while a call is in flight; only the owner's thread writes it,
     * the rest is guarded by the watchdog's lock. */
    atomic_uint turn;
    struct dd_watch *next;
    struct dd_watch **link;      /* NULL while not watched */
    double timeout;
    double patience;
    unsigned seen_turn;
    double seen_at;              /* when the watchdog first saw this turn */
    double acted_at;
    dd_watch_reason reason;
    dd_watch_step step;
    bool acting;                 /* the watchdog is in cancel or cut, without its lock */
} dd_watch;

/*
 * A call begins. It may take `timeout` seconds (0: any time), and each later turn of a stream as
 * much again; an interrupt is heeded when a turn has lasted `patience` seconds. Returns false when
 * the watchdog's thread could not be started; then nothing is watched.
 */
bool dd_watch_begin(dd_watch *watch, double timeout, double patience);

/*
 * The last call is over. Waits until the watchdog has let go of it; what it did, and why, is in
 * *step and the result.
 */
dd_watch_reason dd_watch_end(dd_watch *watch, dd_watch_step *step);

static inline void dd_watch_turn(dd_watch *watch) {
    unsigned turn = atomic_load_explicit(&watch->turn, memory_order_relaxed);
    atomic_store_explicit(&watch->turn, turn + 1, memory_order_relaxed);
}
static inline void dd_watch_pause(dd_watch *watch) { dd_watch_turn(watch); }
static inline void dd_watch_resume(dd_watch *watch) { dd_watch_turn(watch); }

/* True while a call is in flight; for any thread. */
static inline bool dd_watch_busy(dd_watch *watch) {
    return atomic_load_explicit(&watch->turn, memory_order_relaxed) & 1U;
}

#endif
