#ifndef DD_BASE_CLOCK_H
#define DD_BASE_CLOCK_H

/* Time as the engine needs it: seconds on the monotonic clock, and deadlines on it. */

#include <stdbool.h>

/* Seconds on the monotonic clock; only differences mean something. */
double dd_clock(void);

/* A moment on dd_clock(); DD_NEVER has no end. */
typedef double dd_deadline;
#define DD_NEVER ((dd_deadline)0)

/* The moment `seconds` from now; seconds <= 0 gives DD_NEVER. */
dd_deadline dd_deadline_in(double seconds);
bool dd_deadline_passed(dd_deadline deadline);
/* Milliseconds until the deadline for poll(2), at most `most`, at least 0. */
int dd_deadline_poll_ms(dd_deadline deadline, int most);

/* Waits; returns early, with false, when the process is interrupted (base/interrupt.h). */
bool dd_sleep(double seconds);

/* Milliseconds since the machine started, also those in which it slept: the same for all processes. */
unsigned long long dd_boot_clock_ms(void);

/* The wall clock in microseconds since 1970-01-01 00:00 UTC. */
long long dd_wall_clock_us(void);

#endif
