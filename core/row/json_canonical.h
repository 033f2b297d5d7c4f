#ifndef DD_ROW_JSON_CANONICAL_H
#define DD_ROW_JSON_CANONICAL_H

/*
 * JSON by content: members sorted by the bytes of their unescaped names, of duplicates the last
 * one, no blanks, shortest escapes (only `"`, `\` and control characters are escaped, the latter as
 * \b \f \n \r \t or \u00xx), numbers as canonical decimals (1, 1.0 and 1e0 are the same), never
 * through binary floating point. A number whose exponent is beyond +-1000 keeps scientific form
 * with one digit before the point.
 */

#include "base/buf.h"
#include "base/error.h"

/* Appends the canonical text. Fails with class `data` on text that is not JSON (RFC 8259), on
 * unpaired surrogates, on invalid UTF-8, and on nesting deeper than 512. */
DD_MUST_CHECK dd_status dd_json_canonical(const char *text, size_t length, dd_buf *out,
                                          dd_err *err);

/* A member of an object: its name without escapes, its value as it stands in the text. Both are
 * valid until the function that is called with it returns. */
typedef struct dd_json_member {
    const char *name, *value;
    size_t name_length, value_length;
} dd_json_member;
typedef void dd_json_member_fn(void *context, const dd_json_member *member);

/* Calls `found_one` for each member of the object that the text is, in order. Fails as above, with
 * the members before the fault given already. */
DD_MUST_CHECK dd_status dd_json_members(const char *text, size_t length,
                                        dd_json_member_fn *found_one, void *context, dd_err *err);

/* Appends the string that a JSON string stands for. Fails as above. */
DD_MUST_CHECK dd_status dd_json_unquote(const char *text, size_t length, dd_buf *out, dd_err *err);

#endif
