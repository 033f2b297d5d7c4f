#ifndef DD_BASE_ERROR_H
#define DD_BASE_ERROR_H

/*
 * Errors of the C engine. A function that can fail returns a dd_status and fills a dd_err that the
 * caller owns. Setting an error never allocates, so it works when memory is gone.
 */

#include <stdbool.h>

typedef enum { DD_OK = 0, DD_FAIL = -1 } dd_status;

#define DD_MUST_CHECK __attribute__((warn_unused_result))
#define DD_PRINTF(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))

typedef enum {
#define DD_CLASS(id, name, retryable, exit_code) DD_##id,
#include "errors.def"
#undef DD_CLASS
    DD_CLASS_COUNT
} dd_class;

/* What became of the statement or transaction that failed. */
typedef enum { DD_NOT_APPLIED, DD_APPLIED, DD_OUTCOME_UNKNOWN } dd_outcome;

#define DD_EXIT_SIDE (-1)

typedef struct dd_err {
    dd_class class_;
    dd_outcome outcome;
    int code;             /* number of the server or client library; 0 when there is none */
    char sqlstate[6];     /* "" when there is none */
    char side[12];        /* label of the connection it came from; "" when there is none */
    char message[512];    /* lowercase, one line, no final stop, never a password */
    char detail[512];     /* what the server added; may be "" */
    char hint[256];       /* a sentence for the person; may be "" */
} dd_err;

/* Fills `err` (all other fields cleared) and returns DD_FAIL, so that a caller can return it. */
dd_status dd_fail(dd_err *err, dd_class class_, const char *format, ...) DD_PRINTF(3, 4);
#ifdef __clang_analyzer__ /* which cannot see into another file that it always fails */
#define dd_fail(...) ((void)dd_fail(__VA_ARGS__), DD_FAIL)
#endif

/* Adds a hint to an error that is already set. */
void dd_hint(dd_err *err, const char *format, ...) DD_PRINTF(2, 3);

/* Copies `text` into a fixed field, cut at a UTF-8 boundary, line breaks turned into blanks. */
void dd_err_text(char *field, unsigned long size, const char *text);

const char *dd_class_name(dd_class class_);
bool dd_class_retryable(dd_class class_);
/* The process's exit code for the class, or DD_EXIT_SIDE. */
int dd_class_exit_code(dd_class class_);
const char *dd_outcome_name(dd_outcome outcome);

#endif
