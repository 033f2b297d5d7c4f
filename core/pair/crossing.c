#include "pair/crossing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "pair/crossing_value.h"

enum { DEPTHS = 3, SETTLING = DEPTHS, LISTS };

struct dd_crossing {
    dd_crossing_column *columns;
    unsigned *list[LISTS];       /* indexes into columns: what each depth, and settling, looks at */
    unsigned listed[LISTS];
    dd_buf row[2];               /* the row that changed: applied, settled */
    dd_crossing_scratch scratch;
    uint64_t counts[DD_POLICY_COUNT];
};

const char *dd_policy_name(dd_policy policy) {
    static const char *const names[DD_POLICY_COUNT] = {
        "zero_dates", "nul", "time_range", "overflow", "invalid_utf8", "float_digits",
    };
    return names[policy];
}

static bool has_policy(const dd_crossing_column *column) {
    for (unsigned i = 0; i < DD_POLICY_COUNT; i++)
        if (column->actions[i] != DD_CROSS_REFUSE) return true;
    return column->digits > 0;
}

dd_crossing *dd_crossing_new(const dd_crossing_column *columns, unsigned count) {
    dd_crossing *crossing = dd_calloc(1, sizeof *crossing);
    crossing->columns = dd_calloc(count + 1, sizeof *columns);
    if (count) memcpy(crossing->columns, columns, count * sizeof *columns);
    for (unsigned i = 0; i < LISTS; i++)
        crossing->list[i] = dd_calloc(count + 1, sizeof(unsigned));
    for (unsigned i = 0; i < count; i++) {
        const dd_crossing_column *column = &columns[i];
        const bool listed[LISTS] = {
            [DD_CROSS_ALL] = true,
            [DD_CROSS_LOADING] = has_policy(column) || column->narrow,
            [DD_CROSS_COMPARING] = has_policy(column),
            [SETTLING] = column->digits > 0,
        };
        for (unsigned l = 0; l < LISTS; l++)
            if (listed[l]) crossing->list[l][crossing->listed[l]++] = i;
    }
    return crossing;
}

void dd_crossing_free(dd_crossing *crossing) {
    if (!crossing) return;
    for (unsigned i = 0; i < LISTS; i++) free(crossing->list[i]);
    dd_buf_free(&crossing->row[0]);
    dd_buf_free(&crossing->row[1]);
    dd_buf_free(&crossing->scratch.value);
    dd_buf_free(&crossing->scratch.spare);
    free(crossing->columns);
    free(crossing);
}

bool dd_crossing_has_work(const dd_crossing *crossing, dd_cross_depth depth) {
    return crossing->listed[depth] > 0;
}

bool dd_crossing_settles(const dd_crossing *crossing) { return crossing->listed[SETTLING] > 0; }

const uint64_t *dd_crossing_counts(const dd_crossing *crossing) { return crossing->counts; }

typedef dd_crossed cross_value(const dd_crossing_column *column, const dd_value *value,
                               dd_crossing_scratch *scratch, uint64_t *counts,
                               dd_refusal *refusal);

/* Visits the listed columns. The new row is begun when the first value changes, with all that stands
 * before it; a row in which nothing changes is not copied. */
static bool visit(dd_crossing *crossing, unsigned which, cross_value *cross, uint64_t *counts,
                  const uint8_t *row, size_t length, const uint8_t **out, size_t *out_length,
                  dd_refusal *refusal) {
    dd_buf *changed = &crossing->row[which == SETTLING];
    size_t at = 0, copied = 0; /* of the row: walked to; taken into `changed` */
    unsigned column_at = 0;
    dd_buf_clear(changed);
    for (unsigned i = 0; i < crossing->listed[which]; i++) {
        const dd_crossing_column *column = &crossing->columns[crossing->list[which][i]];
        for (; column_at < column->index; column_at++) at += dd_row_prefix(row + at, 1);
        dd_value value = {.kind = column->kind, .length = dd_field_length(row + at)};
        if (value.length == DD_NULL_LENGTH) continue;
        value.data = row + at + 4;
        dd_crossed crossed = cross(column, &value, &crossing->scratch, counts, refusal);
        if (crossed == DD_CROSSED_SAME) continue;
        if (crossed == DD_CROSSED_NULL && !column->takes_null) {
            size_t used = strlen(refusal->reason);
            snprintf(refusal->reason + used, sizeof refusal->reason - used,
                     ", and the column takes no null");
            crossed = DD_CROSSED_REFUSED;
        }
        if (crossed == DD_CROSSED_REFUSED) {
            refusal->column = column->index;
            return false;
        }
        dd_buf_add(changed, row + copied, at - copied);
        copied = at + 4 + value.length;
        if (crossed == DD_CROSSED_NULL)
            dd_row_add_null(changed);
        else
            dd_row_add(changed, crossing->scratch.value.data,
                       (uint32_t)crossing->scratch.value.length);
    }
    if (copied == 0) {
        *out = row;
        *out_length = length;
        return true;
    }
    dd_buf_add(changed, row + copied, length - copied);
    *out = changed->data;
    *out_length = changed->length;
    return true;
}

bool dd_crossing_apply(dd_crossing *crossing, dd_cross_depth depth, const uint8_t *row,
                       size_t length, const uint8_t **out, size_t *out_length,
                       dd_refusal *refusal) {
    uint64_t counts[DD_POLICY_COUNT] = {0};
    if (!visit(crossing, depth, dd_cross_value, counts, row, length, out, out_length, refusal))
        return false; /* what was changed before the refusal does not count */
    for (unsigned i = 0; i < DD_POLICY_COUNT; i++) crossing->counts[i] += counts[i];
    return true;
}

void dd_crossing_settle(dd_crossing *crossing, const uint8_t *row, size_t length,
                        const uint8_t **out, size_t *out_length) {
    dd_refusal refusal; /* rounding refuses nothing */
    uint64_t counts[DD_POLICY_COUNT];
    (void)visit(crossing, SETTLING, dd_settle_value, counts, row, length, out, out_length,
                &refusal);
}
