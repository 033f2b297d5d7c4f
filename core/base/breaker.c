#include "base/breaker.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would stay locked when its holder is killed");

/*
 * The word: 2 bits of state, 14 of failures in a row, 48 of time.
 *
 *   CLOSED    failures so far, and when the first of them was
 *   OPEN      when it was opened
 *   PROBING   when the lease of the probe lapses; also tells whose it is, as no two leases end alike:
 *             the next one is given after the end of the one before
 */
enum { CLOSED, OPEN, PROBING };

#define TIME_BITS 48
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define FAILURES_MASK UINT64_C(0x3fff)

static uint64_t word_of(uint64_t state, uint64_t failures, uint64_t time) {
    if (failures > FAILURES_MASK) failures = FAILURES_MASK;
    return state << 62 | failures << TIME_BITS | (time & TIME_MASK);
}
static uint64_t state_of(uint64_t word) { return word >> 62; }
static uint64_t failures_of(uint64_t word) { return word >> TIME_BITS & FAILURES_MASK; }
static uint64_t time_of(uint64_t word) { return word & TIME_MASK; }

/* False too for a time to come, which only a damaged file has: it must not close the door for good. */
static bool within(uint64_t now, uint64_t from, uint64_t length) {
    return now >= from && now - from < length;
}

static bool turn(dd_breaker *breaker, uint64_t *from, uint64_t to) {
    return atomic_compare_exchange_weak(&breaker->word, from, to);
}

/* Whether a probe is under way that others have to wait for. */
static bool leased(uint64_t word, uint64_t now) {
    const uint64_t longest = UINT64_C(24) * 3600 * 1000;
    return state_of(word) == PROBING && now < time_of(word) && time_of(word) - now < longest;
}

bool dd_breaker_allows(dd_breaker *breaker, const dd_breaker_rule *rule, uint64_t now,
                       dd_breaker_lease *lease) {
    uint64_t word = atomic_load(&breaker->word);
    for (;;) {
        if (state_of(word) == CLOSED) break;
        if (*lease && word == *lease) return true; /* the probe asks again */
        if (state_of(word) == OPEN && within(now, time_of(word), rule->open_ms)) break;
        if (leased(word, now)) break;
        uint64_t probing = word_of(PROBING, 0, now + (rule->lease_ms ? rule->lease_ms : 1));
        if (turn(breaker, &word, probing)) {
            *lease = probing;
            return true;
        }
    }
    *lease = 0;
    return state_of(word) == CLOSED;
}

void dd_breaker_succeeded(dd_breaker *breaker, uint64_t now, dd_breaker_lease *lease) {
    uint64_t mine = *lease, word = atomic_load(&breaker->word);
    *lease = 0;
    atomic_store(&breaker->answered, now);
    while (state_of(word) == CLOSED ? failures_of(word) > 0 : mine && word == mine) {
        bool was_open = state_of(word) != CLOSED;
        if (!turn(breaker, &word, word_of(CLOSED, 0, 0))) continue;
        if (was_open) atomic_store(&breaker->changed, now);
        return;
    }
}

void dd_breaker_failed(dd_breaker *breaker, const dd_breaker_rule *rule, uint64_t now,
                       bool starting, dd_breaker_lease *lease) {
    uint64_t mine = *lease, word = atomic_load(&breaker->word), next;
    *lease = 0;
    do {
        if (state_of(word) == CLOSED) {
            uint64_t failures = failures_of(word) + 1;
            uint64_t first = failures_of(word) ? time_of(word) : now;
            bool patient = starting && within(now, first, rule->starting_ms);
            if (failures >= rule->failures && !patient) next = word_of(OPEN, 0, now);
            /* One that is starting counts up to the last step, and not beyond. */
            else if (failures >= rule->failures) next = word_of(CLOSED, failures_of(word), first);
            else next = word_of(CLOSED, failures, first);
        } else {
            if (!mine || word != mine) return;
            next = word_of(OPEN, 0, now);
        }
    } while (!turn(breaker, &word, next));
}

void dd_breaker_released(dd_breaker *breaker, const dd_breaker_rule *rule, uint64_t now,
                         dd_breaker_lease *lease) {
    uint64_t mine = *lease;
    *lease = 0;
    uint64_t opened = now > rule->open_ms ? now - rule->open_ms : 0;
    /* Anything else in the word is somebody else's by now. */
    if (mine) (void)atomic_compare_exchange_strong(&breaker->word, &mine, word_of(OPEN, 0, opened));
}

dd_breaker_state dd_breaker_state_of(dd_breaker *breaker, const dd_breaker_rule *rule,
                                     uint64_t now, uint64_t *since) {
    uint64_t word = atomic_load(&breaker->word), from = time_of(word);
    dd_breaker_state state = DD_BREAKER_HALF_OPEN;
    if (state_of(word) == CLOSED) {
        state = DD_BREAKER_CLOSED;
        from = atomic_load(&breaker->changed);
    } else if (state_of(word) == OPEN) {
        if (within(now, from, rule->open_ms)) state = DD_BREAKER_OPEN;
        else from += rule->open_ms;
    } else {
        from = from > rule->lease_ms ? from - rule->lease_ms : 0;
    }
    *since = now > from ? now - from : 0;
    return state;
}

bool dd_breaker_beat_due(_Atomic uint64_t *beat, uint64_t now, uint64_t interval_ms) {
    uint64_t last = atomic_load(beat);
    if (last && within(now, last, interval_ms)) return false;
    return atomic_compare_exchange_strong(beat, &last, now);
}
