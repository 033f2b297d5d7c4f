/*
 * Runs a command and says what it took: seconds on the clock, seconds of processor time, and the
 * most memory that it had, of the whole process with all of its threads.
 *
 *     measured REPORT COMMAND [ARGUMENT...]
 *
 * The report is one line of JSON. The status is the command's. The kernel's figure for memory
 * counts from the fork, with what the parent had: this program is small, an interpreter is not.
 */

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static int complain(const char *what) {
    perror(what);
    return 126;
}

int main(int count, char **words) {
    if (count < 3) {
        fputs("measured REPORT COMMAND [ARGUMENT...]\n", stderr);
        return 126;
    }
    double started = dd_clock();
    pid_t child = fork();
    if (child < 0) return complain("measured: fork");
    if (child == 0) {
        execvp(words[2], words + 2);
        _exit(complain(words[2]));
    }
    int status;
    struct rusage used;
    if (wait4(child, &status, 0, &used) != child) return complain("measured: wait");
    double seconds = dd_clock() - started;
    FILE *report = fopen(words[1], "w");
    if (!report) return complain(words[1]);
    fprintf(report, "{\"seconds\":%.3f,\"user\":%.3f,\"system\":%.3f,\"peak_mib\":%.1f}\n", seconds,
            seconds_of(used.ru_utime), seconds_of(used.ru_stime), (double)used.ru_maxrss / 1024);
    if (fclose(report)) return complain(words[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
