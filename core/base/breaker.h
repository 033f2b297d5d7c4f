#ifndef DD_BASE_BREAKER_H
#define DD_BASE_BREAKER_H

/*
 * Circuit breakers in shared memory (base/shared.h), so that what one process has learnt of a server
 * all of them know, and none waits for a server that is known to be down.
 *
 *   closed ----- `failures` in a row -----> open ----- `open_ms` have passed -----> half open
 *      ^                                     ^                                          |
 *      |                                     +------ the probe fails ------+   one caller is allowed,
 *      +------------- the probe succeeds ----------------------------------+-- for `lease_ms`
 *
 * All that decides is in one atomic word, so a process that is killed anywhere leaves a state that
 * another goes on from; the lease of a caller that died in the half-open state lapses. While the
 * breaker is open or half open only the probe's outcome counts: what was under way before, for good
 * or bad, changes nothing, so that it cannot flap.
 *
 * Times are milliseconds of dd_boot_clock_ms(). All-zero memory is a closed breaker.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct dd_breaker {
    _Alignas(64) _Atomic uint64_t word; /* state, failures in a row, and a time: see breaker.c */
    _Atomic uint64_t changed;           /* when it was closed last; for show */
    _Atomic uint64_t answered;          /* when the server last succeeded; 0 = never; for show */
} dd_breaker;

typedef struct dd_breaker_rule {
    unsigned failures;    /* in a row that open the breaker, at least 1 */
    uint64_t open_ms;     /* how long it stays open */
    uint64_t lease_ms;    /* how long others wait for a probe */
    uint64_t starting_ms; /* how long a server may say that it is starting, without being down */
} dd_breaker_rule;

typedef enum { DD_BREAKER_CLOSED, DD_BREAKER_OPEN, DD_BREAKER_HALF_OPEN } dd_breaker_state;

/* A caller's probe; 0 = it has none. The functions keep it. */
typedef uint64_t dd_breaker_lease;

/* Whether the caller may ask the server. In the half-open state that makes it the probe: it has to
 * say succeeded, failed or released. */
bool dd_breaker_allows(dd_breaker *breaker, const dd_breaker_rule *rule, uint64_t now,
                       dd_breaker_lease *lease);
void dd_breaker_succeeded(dd_breaker *breaker, uint64_t now, dd_breaker_lease *lease);
/* `starting`: the server was there, and said that it is not ready yet. */
void dd_breaker_failed(dd_breaker *breaker, const dd_breaker_rule *rule, uint64_t now,
                       bool starting, dd_breaker_lease *lease);
/* The probe has learnt nothing: the next caller may try. */
void dd_breaker_released(dd_breaker *breaker, const dd_breaker_rule *rule, uint64_t now,
                         dd_breaker_lease *lease);
/* The state, and for how many milliseconds it has been that. */
dd_breaker_state dd_breaker_state_of(dd_breaker *breaker, const dd_breaker_rule *rule,
                                     uint64_t now, uint64_t *since);

/* Something to be done at most once in `interval_ms` by all processes: true for the one that shall.
 * `beat` is when it was last. */
bool dd_breaker_beat_due(_Atomic uint64_t *beat, uint64_t now, uint64_t interval_ms);

#endif
