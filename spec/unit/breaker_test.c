#include "base/breaker.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/shared.h"
#include "support/check.h"

static const dd_breaker_rule rule = {
    .failures = 3, .open_ms = 1000, .lease_ms = 500, .starting_ms = 5000};

enum { OPENED = 10000 }; /* when open_it opens the breaker */

static bool allows(dd_breaker *breaker, uint64_t now) {
    dd_breaker_lease lease = 0;
    return dd_breaker_allows(breaker, &rule, now, &lease);
}

static void fail(dd_breaker *breaker, uint64_t now) {
    dd_breaker_lease lease = 0;
    dd_breaker_failed(breaker, &rule, now, false, &lease);
}

static void fail_starting(dd_breaker *breaker, uint64_t now) {
    dd_breaker_lease lease = 0;
    dd_breaker_failed(breaker, &rule, now, true, &lease);
}

static void succeed(dd_breaker *breaker, uint64_t now) {
    dd_breaker_lease lease = 0;
    dd_breaker_succeeded(breaker, now, &lease);
}

static void open_it(dd_breaker *breaker) {
    for (int i = 0; i < 3; i++) fail(breaker, OPENED);
}

static dd_breaker_state state(dd_breaker *breaker, uint64_t now) {
    uint64_t since;
    return dd_breaker_state_of(breaker, &rule, now, &since);
}

static void it_opens_after_the_failures_in_a_row_that_the_rule_says(void) {
    dd_breaker breaker = {0};
    CHECK(allows(&breaker, OPENED));
    fail(&breaker, OPENED);
    fail(&breaker, OPENED + 1);
    CHECK(allows(&breaker, OPENED + 2));
    CHECK(state(&breaker, OPENED + 2) == DD_BREAKER_CLOSED);
    fail(&breaker, OPENED + 2);
    CHECK(!allows(&breaker, OPENED + 2));
    CHECK(state(&breaker, OPENED + 2) == DD_BREAKER_OPEN);
}

static void a_success_between_failures_starts_the_count_anew(void) {
    dd_breaker breaker = {0};
    for (int i = 0; i < 20; i++) {
        fail(&breaker, OPENED);
        fail(&breaker, OPENED);
        succeed(&breaker, OPENED);
    }
    CHECK(state(&breaker, OPENED) == DD_BREAKER_CLOSED);
}

static void it_stays_open_as_long_as_the_rule_says_whatever_is_reported_meanwhile(void) {
    dd_breaker breaker = {0};
    open_it(&breaker);
    fail(&breaker, OPENED + 900); /* does not put off the probe */
    succeed(&breaker, OPENED + 950); /* was under way before: does not close it */
    CHECK(!allows(&breaker, OPENED + 999));
    CHECK(state(&breaker, OPENED + 999) == DD_BREAKER_OPEN);
    CHECK(state(&breaker, OPENED + 1000) == DD_BREAKER_HALF_OPEN);
    CHECK(allows(&breaker, OPENED + 1000));
}

static void half_open_allows_one_caller_only(void) {
    dd_breaker breaker = {0};
    open_it(&breaker);
    CHECK(allows(&breaker, OPENED + 1000));
    for (uint64_t i = 0; i < 500; i++) CHECK(!allows(&breaker, OPENED + 1000 + i));
}

static void the_probe_may_ask_again_until_it_has_said_how_it_went(void) {
    dd_breaker breaker = {0};
    dd_breaker_lease lease = 0;
    open_it(&breaker);
    CHECK(dd_breaker_allows(&breaker, &rule, OPENED + 1000, &lease));
    CHECK(dd_breaker_allows(&breaker, &rule, OPENED + 1100, &lease));
    dd_breaker_failed(&breaker, &rule, OPENED + 1200, false, &lease);
    CHECK(!dd_breaker_allows(&breaker, &rule, OPENED + 1200, &lease));
}

static void a_probe_that_succeeds_closes_it_for_all(void) {
    dd_breaker breaker = {0};
    dd_breaker_lease lease = 0;
    open_it(&breaker);
    CHECK(dd_breaker_allows(&breaker, &rule, OPENED + 1000, &lease));
    dd_breaker_succeeded(&breaker, OPENED + 1001, &lease);
    CHECK(state(&breaker, OPENED + 1001) == DD_BREAKER_CLOSED);
    CHECK(allows(&breaker, OPENED + 1001));
    fail(&breaker, OPENED + 1002); /* and it takes all of the failures to open it again */
    CHECK(allows(&breaker, OPENED + 1002));
}

static void a_probe_that_fails_opens_it_for_the_full_time_again(void) {
    dd_breaker breaker = {0};
    dd_breaker_lease lease = 0;
    open_it(&breaker);
    CHECK(dd_breaker_allows(&breaker, &rule, OPENED + 1000, &lease));
    dd_breaker_failed(&breaker, &rule, OPENED + 1300, false, &lease);
    CHECK(!allows(&breaker, OPENED + 2299));
    CHECK(allows(&breaker, OPENED + 2300));
}

static void what_others_report_while_a_probe_is_under_way_changes_nothing(void) {
    dd_breaker breaker = {0};
    open_it(&breaker);
    CHECK(allows(&breaker, OPENED + 1000));
    succeed(&breaker, OPENED + 1001);
    CHECK(!allows(&breaker, OPENED + 1002));
    fail(&breaker, OPENED + 1003);
    CHECK(state(&breaker, OPENED + 1003) == DD_BREAKER_HALF_OPEN);
}

static void the_lease_of_a_dead_probe_lapses_and_its_late_word_counts_no_more(void) {
    dd_breaker breaker = {0};
    dd_breaker_lease dead = 0, next = 0;
    open_it(&breaker);
    CHECK(dd_breaker_allows(&breaker, &rule, OPENED + 1000, &dead));
    CHECK(!dd_breaker_allows(&breaker, &rule, OPENED + 1499, &next));
    CHECK(dd_breaker_allows(&breaker, &rule, OPENED + 1500, &next));
    dd_breaker_succeeded(&breaker, OPENED + 1501, &dead);
    CHECK(state(&breaker, OPENED + 1501) == DD_BREAKER_HALF_OPEN);
    dd_breaker_succeeded(&breaker, OPENED + 1502, &next);
    CHECK(state(&breaker, OPENED + 1502) == DD_BREAKER_CLOSED);
}

static void a_probe_that_learnt_nothing_lets_the_next_one_try(void) {
    dd_breaker breaker = {0};
    dd_breaker_lease lease = 0;
    open_it(&breaker);
    CHECK(dd_breaker_allows(&breaker, &rule, OPENED + 1000, &lease));
    dd_breaker_released(&breaker, &rule, OPENED + 1001, &lease);
    CHECK(state(&breaker, OPENED + 1001) == DD_BREAKER_HALF_OPEN);
    CHECK(allows(&breaker, OPENED + 1001));
}

static void a_server_that_says_it_is_starting_does_not_open_it_before_its_time(void) {
    dd_breaker breaker = {0};
    for (uint64_t i = 0; i < 50; i++) fail_starting(&breaker, OPENED + i * 100);
    CHECK(state(&breaker, OPENED + 4999) == DD_BREAKER_CLOSED);
    succeed(&breaker, OPENED + 4999);
    for (uint64_t i = 0; i < 50; i++) fail_starting(&breaker, OPENED + 6000 + i * 100);
    fail_starting(&breaker, OPENED + 11000);
    CHECK(state(&breaker, OPENED + 11000) == DD_BREAKER_OPEN);
}

static void times_to_come_in_a_damaged_page_lock_nobody_out(void) {
    dd_breaker breaker = {0};
    open_it(&breaker);
    CHECK(allows(&breaker, OPENED - 5000));
    breaker = (dd_breaker){0};
    atomic_store(&breaker.word, UINT64_C(2) << 62 | ((UINT64_C(1) << 48) - 1));
    CHECK(allows(&breaker, OPENED));
}

static void a_beat_is_due_once_in_its_interval(void) {
    _Atomic uint64_t beat = 0;
    CHECK(dd_breaker_beat_due(&beat, 5000, 1000));
    CHECK(!dd_breaker_beat_due(&beat, 5000, 1000));
    CHECK(!dd_breaker_beat_due(&beat, 5999, 1000));
    CHECK(dd_breaker_beat_due(&beat, 6000, 1000));
}

/* ---- many processes on one page ---- */

enum { PROCESSES = 8, ROUNDS = 200 };

typedef struct ground {
    dd_breaker breaker;
    _Atomic uint64_t beat;
    _Atomic unsigned arrived[ROUNDS], probes[ROUNDS], beats[ROUNDS];
} ground;

static void race(ground *all) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t now = OPENED + 2000 * (uint64_t)(round + 1);
        atomic_fetch_add(&all->arrived[round], 1);
        while (atomic_load(&all->arrived[round]) < PROCESSES) sched_yield(); /* all at once */
        dd_breaker_lease lease = 0;
        if (dd_breaker_allows(&all->breaker, &rule, now, &lease)) {
            atomic_fetch_add(&all->probes[round], 1);
            if (round % 2) dd_breaker_failed(&all->breaker, &rule, now, false, &lease);
        }
        if (dd_breaker_beat_due(&all->beat, now, 1000)) atomic_fetch_add(&all->beats[round], 1);
    }
}

static void of_many_processes_exactly_one_probes_and_exactly_one_beats(void) {
    dd_shared *shared;
    dd_err err;
    char path[] = "/tmp/dualdb-breaker-test-XXXXXX";
    CHECK(close(mkstemp(path)) == 0);
    CHECK(dd_shared_open(path, 1, &shared, &err) == DD_OK);
    ground *all = dd_shared_memory(shared);
    open_it(&all->breaker);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        if ((children[i] = fork()) == 0) {
            dd_shared *own;
            if (dd_shared_open(path, 1, &own, &err)) _exit(1);
            race(dd_shared_memory(own));
            _exit(0);
        }
    for (int i = 0, status; i < PROCESSES; i++)
        CHECK(waitpid(children[i], &status, 0) == children[i] && status == 0);
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_MESSAGE(all->probes[round] == 1, "round %d: %u probes", round, all->probes[round]);
        CHECK_MESSAGE(all->beats[round] == 1, "round %d: %u beats", round, all->beats[round]);
    }
    dd_shared_close(shared);
    unlink(path);
}

/* Whatever instruction a process is killed at, the breaker still opens, lets one in and closes. */
static void a_process_that_is_killed_anywhere_leaves_a_breaker_that_works(void) {
    dd_shared *shared;
    dd_err err;
    char path[] = "/tmp/dualdb-breaker-test-XXXXXX";
    CHECK(close(mkstemp(path)) == 0);
    CHECK(dd_shared_open(path, 1, &shared, &err) == DD_OK);
    dd_breaker *breaker = dd_shared_memory(shared);
    uint64_t seed = 42;
    for (int i = 0; i < 100; i++) {
        pid_t victim = fork();
        if (victim == 0)
            for (uint64_t now = 1;; now += 700) {
                dd_breaker_lease lease = 0;
                if (!dd_breaker_allows(breaker, &rule, now, &lease)) continue;
                if (now % 3) dd_breaker_failed(breaker, &rule, now, false, &lease);
                else dd_breaker_succeeded(breaker, now, &lease);
            }
        struct timespec wait = {.tv_nsec = (long)(check_random(&seed) % 300000)};
        nanosleep(&wait, NULL); /* any instruction will do */
        kill(victim, SIGKILL);
        waitpid(victim, NULL, 0);
        uint64_t now = (UINT64_C(1) << 46) + 1000000 * (uint64_t)i;
        dd_breaker_lease lease = 0;
        CHECK(dd_breaker_allows(breaker, &rule, now, &lease));
        dd_breaker_succeeded(breaker, now, &lease);
        CHECK(state(breaker, now) == DD_BREAKER_CLOSED);
        for (int n = 0; n < 3; n++) fail(breaker, now);
        CHECK(!allows(breaker, now));
        CHECK(allows(breaker, now + rule.open_ms));
    }
    dd_shared_close(shared);
    unlink(path);
}

int main(void) {
    RUN(it_opens_after_the_failures_in_a_row_that_the_rule_says);
    RUN(a_success_between_failures_starts_the_count_anew);
    RUN(it_stays_open_as_long_as_the_rule_says_whatever_is_reported_meanwhile);
    RUN(half_open_allows_one_caller_only);
    RUN(the_probe_may_ask_again_until_it_has_said_how_it_went);
    RUN(a_probe_that_succeeds_closes_it_for_all);
    RUN(a_probe_that_fails_opens_it_for_the_full_time_again);
    RUN(what_others_report_while_a_probe_is_under_way_changes_nothing);
    RUN(the_lease_of_a_dead_probe_lapses_and_its_late_word_counts_no_more);
    RUN(a_probe_that_learnt_nothing_lets_the_next_one_try);
    RUN(a_server_that_says_it_is_starting_does_not_open_it_before_its_time);
    RUN(times_to_come_in_a_damaged_page_lock_nobody_out);
    RUN(a_beat_is_due_once_in_its_interval);
    RUN(of_many_processes_exactly_one_probes_and_exactly_one_beats);
    RUN(a_process_that_is_killed_anywhere_leaves_a_breaker_that_works);
    return CHECK_RESULT();
}
