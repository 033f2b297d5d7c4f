#ifndef DD_BASE_SHARED_H
#define DD_BASE_SHARED_H

/*
 * A page of memory that all processes on this machine share which open the same path: what is to be
 * known before a server is asked, and must cost nothing to ask. The page is the file's; a process
 * that is killed at any instruction leaves it as it was, so whoever uses it keeps each fact in one
 * atomic word. Nothing in it outlives a start of the machine.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct dd_shared dd_shared;

enum { DD_SHARED_BYTES = 4096 - 64 }; /* what dd_shared_memory has room for */

/*
 * Opens the page of `path`, or makes it, all zero: when there is none, when the file is something
 * else, of another `layout` (a number that stands for how its memory is used), or from before the
 * machine started. Its directory must be there. Class `config` when the file cannot be used.
 */
DD_MUST_CHECK dd_status dd_shared_open(const char *path, uint32_t layout, dd_shared **out,
                                       dd_err *err);
/* The same for this process alone, for when no file can be had. */
DD_MUST_CHECK dd_status dd_shared_private(dd_shared **out, dd_err *err);
/* DD_SHARED_BYTES bytes, aligned to 64, valid until close. */
void *dd_shared_memory(dd_shared *shared);
/* NULL is fine. */
void dd_shared_close(dd_shared *shared);

#endif
