#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "db/postgres_driver.h"
#include "row/raw.h"
#include "row/text.h"

enum { BYTEA = 17 };

/*
 * PostgreSQL writes years before 1 as "0045-03-15 BC"; the canonical text of that year is -0044
 * (and 0000 for 1 BC). The text from `start` on is rewritten when it is such a date.
 */
static void year_before_christ(dd_buf *text, size_t start) {
    char year[16], rest[64];
    const char *at = (const char *)text->data + start;
    size_t length = text->length - start, digits = 0;
    const bool negative = *at == '-';
    if (negative) at++, length--;
    while (digits < length && at[digits] >= '0' && at[digits] <= '9') digits++;
    /* infinity has no digits */
    if (digits == 0 || digits >= sizeof year || length - digits >= sizeof rest) return;
    memcpy(year, at, digits);
    year[digits] = '\0';
    const long number = strtol(year, NULL, 10);
    if (!negative && number != 0) return;
    const size_t rest_length = length - digits;
    memcpy(rest, at + digits, rest_length);
    text->length = start;
    unsigned long before = (unsigned long)number + 1;
    char reversed[24];
    size_t count = 0;
    while (before || count < 4) reversed[count++] = (char)('0' + before % 10), before /= 10;
    while (count) dd_buf_add_byte(text, (uint8_t)reversed[--count]);
    dd_buf_add(text, rest, rest_length);
    dd_buf_add_text(text, " BC");
}

/* Appends the text of a value, with its NUL byte. A timestamp says that it is in UTC: timestamptz
 * needs it, and timestamp ignores it. */
static dd_status add_text(const dd_value *value, unsigned number, dd_buf *text, dd_err *err) {
    const size_t start = text->length;
    if (dd_value_is_unreadable(value)) {
        dd_unreadable parts = dd_value_unreadable(value);
        return dd_fail(err, DD_DATA, "parameter %u: %.*s", number, (int)parts.reason_length,
                       parts.reason);
    }
    dd_text_render(value, text);
    if (dd_value_is_raw(value))
        return dd_fail(err, DD_DATA, "parameter %u: %.*s is not a %s", number,
                       (int)(text->length - start), (const char *)text->data + start,
                       dd_kind_name(value->kind));
    const bool empty = text->length == start;
    if (!empty && memchr(text->data + start, 0, text->length - start))
        return dd_fail(err, DD_DATA,
                       "parameter %u has a NUL byte, which text in PostgreSQL cannot hold", number);
    if (value->kind == DD_KIND_TIMESTAMP && text->data[text->length - 1] != 'y')
        dd_buf_add_text(text, "+00");
    if (value->kind == DD_KIND_TIMESTAMP || value->kind == DD_KIND_DATE)
        year_before_christ(text, start);
    dd_buf_add_byte(text, 0);
    return DD_OK;
}

dd_status dd_pg_params_build(const dd_value *params, unsigned count, dd_pg_params *out,
                             dd_err *err) {
    *out = (dd_pg_params){0};
    if (count == 0) return DD_OK;
    dd_status status = DD_OK;
    /* One block: a statement of a dual write has few parameters, and there are many of those. */
    const size_t each = sizeof *out->values + sizeof(size_t) + sizeof *out->types +
                        sizeof *out->lengths + sizeof *out->formats;
    out->values = dd_calloc(count, each);
    size_t *offsets = (size_t *)(void *)(out->values + count);
    out->types = (Oid *)(void *)(offsets + count);
    out->lengths = (int *)(void *)(out->types + count);
    out->formats = out->lengths + count;
    for (unsigned i = 0; i < count && status == DD_OK; i++) {
        const dd_value *value = &params[i];
        if (value->kind == DD_KIND_BYTES) {
            out->types[i] = BYTEA;
            out->formats[i] = 1;
        }
        if (!value->data) continue;
        if (value->length > INT_MAX) {
            status = dd_fail(err, DD_DATA, "parameter %u is longer than 2 GiB", i + 1);
        } else if (value->kind == DD_KIND_BYTES) {
            out->values[i] = (const char *)value->data;
            out->lengths[i] = (int)value->length;
        } else {
            offsets[i] = out->text.length;
            status = add_text(value, i + 1, &out->text, err);
        }
    }
    /* The buffer may move while it grows, so pointers into it come last. */
    for (unsigned i = 0; i < count; i++)
        if (params[i].data && params[i].kind != DD_KIND_BYTES)
            out->values[i] = (const char *)out->text.data + offsets[i];
    return status;
}

void dd_pg_params_free(dd_pg_params *params) {
    free(params->values);
    dd_buf_free(&params->text);
}
