#include "pair/steps.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KILLED = 137 };

static const struct {
    const char *name, *text;
} steps[] = {
#define DD_STEP(id, name, text) {name, text},
#include "steps.def"
#undef DD_STEP
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dd_step fatal = DD_STEP_COUNT;
static bool stops;
static atomic_long times_left;

const char *dd_step_name(dd_step step) { return steps[step].name; }
const char *dd_step_text(dd_step step) { return steps[step].text; }

static dd_step find(const char *name, size_t length) {
    for (unsigned i = 0; i < DD_STEP_COUNT; i++)
        if (strlen(steps[i].name) == length && memcmp(steps[i].name, name, length) == 0)
            return (dd_step)i;
    return DD_STEP_COUNT;
}

dd_step dd_step_find(const char *name) { return find(name, strlen(name)); }

/* A step that does not exist would be a crash that never comes, and a spec that proves nothing. */
static void read_environment(void) {
    const char *wanted = getenv("DUALDB_CRASH_AT"), *mode = getenv("DUALDB_CRASH_MODE");
    if (!wanted || !*wanted) return;
    size_t length = strcspn(wanted, ":");
    char *end;
    long number = strtol(wanted, &end, 10);
    if (end == wanted + length && number >= 1 && number <= DD_STEP_COUNT)
        fatal = (dd_step)(number - 1);
    else
        fatal = find(wanted, length);
    if (fatal == DD_STEP_COUNT) abort();
    long which = wanted[length] == ':' ? strtol(wanted + length + 1, NULL, 10) : 1;
    atomic_store(&times_left, which > 0 ? which : 1);
    stops = mode && strcmp(mode, "stop") == 0;
}

void dd_step_done(dd_step step) {
    pthread_once(&once, read_environment);
    if (step != fatal || atomic_fetch_sub(&times_left, 1) != 1) return;
    if (stops)
        raise(SIGSTOP);
    else
        _exit(KILLED);
}

#ifdef DD_TEST_BUILD
bool dd_broken(const char *name) {
    const char *wanted = getenv("DUALDB_BREAK");
    return wanted && strcmp(wanted, name) == 0;
}
#endif
