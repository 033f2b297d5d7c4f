#ifndef DD_DB_PLACEHOLDERS_H
#define DD_DB_PLACEHOLDERS_H

#include "base/buf.h"
#include "base/error.h"

/*
 * Rewrites the `?` placeholders of `sql`: to $1, $2, ... when `numbered`, else left as they are.
 * `??` becomes `?`. Question marks inside '...' and "..." literals or names (doubled quotes; with
 * `numbered` also E'...' with backslashes and $tag$...$tag$; without it backslashes and `...`),
 * and in comments (--, #, slash-star, nested when `numbered`) are left alone. Appends the text and a
 * NUL byte (not counted in length) to `out`, and gives the number of placeholders. Fails with class
 * `usage` on an unterminated literal or comment, and on a $1 of the caller's own beside a `?`.
 */
DD_MUST_CHECK dd_status dd_placeholders(const char *sql, bool numbered, dd_buf *out,
                                        unsigned *count, dd_err *err);

#endif
