#ifndef DD_PAIR_STEPS_H
#define DD_PAIR_STEPS_H

/*
 * Numbered steps at which a process can be made to die. In the environment:
 *
 *   DUALDB_CRASH_AT     the name or number of a step, and after a colon which time (default the first)
 *   DUALDB_CRASH_MODE   exit (default): the process ends at once, status 137, nothing is cleaned up;
 *                       stop: it stops, as by SIGSTOP, and goes on after SIGCONT
 *
 * Without the first a step costs one comparison.
 */

#include <stdbool.h>

typedef enum {
#define DD_STEP(id, name, text) DD_STEP_##id,
#include "steps.def"
#undef DD_STEP
    DD_STEP_COUNT
} dd_step;

void dd_step_done(dd_step step);

const char *dd_step_name(dd_step step);
const char *dd_step_text(dd_step step);
/* The step with that name, or DD_STEP_COUNT. */
dd_step dd_step_find(const char *name);

/*
 * Whether a protocol is to be broken on purpose, so that what looks for violations can be seen to find
 * them. Only in builds with TEST_BUILD=1, by DUALDB_BREAK in the environment:
 *
 *   no_prepare     A1 does not prepare the secondary
 *   early_commit   A1 commits the secondary before the primary has decided
 *   no_fence       recovery rolls back what is prepared without asking the side that decides
 */
#ifdef DD_TEST_BUILD
bool dd_broken(const char *name);
#else
#define dd_broken(name) ((void)(name), false)
#endif

#endif
