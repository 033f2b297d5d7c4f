#ifndef DD_SPEC_CHECK_H
#define DD_SPEC_CHECK_H

/*
 * Unit tests in C. A test is a function whose name is a sentence; RUN calls it, CHECK says what must
 * hold in it. Failures go to stdout with file and line, the rest is silence:
 *
 *     static void an_empty_buffer_has_no_memory(void) { CHECK(buf.data == NULL); }
 *     int main(void) { RUN(an_empty_buffer_has_no_memory); return CHECK_RESULT(); }
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test that fails a thousand times says so this often. */
#define CHECK_SHOWN 10

static unsigned check_passed_, check_failed_; /* tests */
static unsigned check_failures_;              /* in the running test */

__attribute__((format(printf, 4, 5), unused)) static void
check_(bool holds, const char *file, int line, const char *format, ...) {
    if (holds || check_failures_++ >= CHECK_SHOWN) return;
    va_list arguments;
    printf("%s:%d: ", file, line);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

__attribute__((unused)) static void check_run_(const char *name, void (*test)(void)) {
    check_failures_ = 0;
    test();
    if (check_failures_ == 0) {
        check_passed_++;
        return;
    }
    check_failed_++;
    fputs("FAILED: ", stdout);
    for (; *name; name++) putchar(*name == '_' ? ' ' : *name);
    printf(" (%u failures)\n", check_failures_);
}

__attribute__((unused)) static int check_result_(const char *file) {
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    printf("%.*s: %u passed, %u failed\n", (int)strcspn(name, "."), name, check_passed_,
           check_failed_);
    return check_failed_ == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define CHECK(holds) check_((holds), __FILE__, __LINE__, "%s", #holds)
/* The message is shown in place of the condition. */
#define CHECK_MESSAGE(holds, ...) check_((holds), __FILE__, __LINE__, __VA_ARGS__)
/* Bytes that must be the given C string. */
#define CHECK_TEXT(bytes, length, expected)                                                     \
    check_((length) == strlen(expected) && memcmp((bytes), (expected), strlen(expected)) == 0,  \
           __FILE__, __LINE__, "%s is '%.*s', not '%s'", #bytes, (int)(length),                 \
           (const char *)(bytes), (expected))
#define RUN(test) check_run_(#test, test)
/* Prints the last line, "name: N passed, N failed", and gives main's result. */
#define CHECK_RESULT() check_result_(__FILE__)

/* Random numbers (xorshift64*) that are the same in each run. */
__attribute__((unused)) static uint64_t check_random(uint64_t *seed) {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

#endif
