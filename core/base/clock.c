#include "base/clock.h"

#include <time.h>

#include "base/interrupt.h"

double dd_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

dd_deadline dd_deadline_in(double seconds) {
    return seconds > 0 ? dd_clock() + seconds : DD_NEVER;
}

bool dd_deadline_passed(dd_deadline deadline) {
    return deadline > 0 && dd_clock() >= deadline;
}

int dd_deadline_poll_ms(dd_deadline deadline, int most) {
    if (!(deadline > 0)) return most;
    double left = (deadline - dd_clock()) * 1000;
    if (left <= 0) return 0;
    return left < most ? (int)left + 1 : most;
}

bool dd_sleep(double seconds) {
    const double slice = 0.1; /* how soon an interrupt is noticed */
    dd_deadline end = dd_clock() + seconds;
    for (;;) {
        if (dd_interrupted()) return false;
        double left = end - dd_clock();
        if (left <= 0) return true;
        if (left > slice) left = slice;
        struct timespec wait = {.tv_sec = (time_t)left,
                                .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        nanosleep(&wait, NULL);
    }
}

unsigned long long dd_boot_clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
}

long long dd_wall_clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
