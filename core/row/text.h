#ifndef DD_ROW_TEXT_H
#define DD_ROW_TEXT_H

/*
 * Canonical values as text, and back. The text is what Lua sees, what reports print, and what both
 * servers accept as a literal of the type, with one exception: BYTES are rendered raw.
 *
 *   bool       true / false               date        2026-11-22, -0044-03-15, infinity
 *   int        -12                        time        12:34:56, -838:59:59.999999
 *   decimal    -12.5                      timestamp   2026-11-22 10:11:12[.123456], UTC
 *   float      shortest digits that       json        canonical JSON
 *              read back the same         uuid        lower case, with hyphens
 *   bits       00101
 *
 * A fraction of a second is absent when zero and otherwise has six digits.
 */

#include "row/value.h"

/* Appends the text of a value that is not NULL. */
void dd_text_render(const dd_value *value, dd_buf *out);

/*
 * Parses text of the given kind and adds a whole field to `row`. Accepts what dd_text_render makes
 * and the common variants (T and Z in timestamps, upper case in uuids, +, leading zeros and
 * exponents in numbers, any JSON). Fails with class `data`, naming the kind, never the value.
 */
DD_MUST_CHECK dd_status dd_text_parse(dd_kind kind, const char *text, size_t length, dd_buf *row,
                                      dd_err *err);

/* Appends the value as SQL literal-free JSON: numbers up to 2^53 as numbers, all else as strings,
 * bytes as "\\x" and hex digits, NULL as null, JSON columns as they are. */
void dd_json_render(const dd_value *value, dd_buf *out);
/*
 * The value that dd_json_render has written, or another writer of JSON in its place: adds a whole
 * field to `row`. `null` is NULL, of a JSON column too, whose own null looks the same. Fails with
 * class `data`; an unreadable value does not come back from its text.
 */
DD_MUST_CHECK dd_status dd_json_parse(dd_kind kind, const char *text, size_t length, dd_buf *row,
                                      dd_err *err);
/* Appends `text` as a JSON string, with quotes; invalid UTF-8 becomes U+FFFD. */
void dd_json_string(const char *text, size_t length, dd_buf *out);

#endif
