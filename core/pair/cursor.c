#include "pair/cursor.h"

dd_status dd_cursor_open(dd_cursor *cursor, const dd_compare_spec *spec, unsigned side,
                         dd_err *err) {
    *cursor = (dd_cursor){.transform = side == 0 ? spec->transform : NULL};
    dd_crossing *crossing = spec->crossing;
    if (side == 0 && crossing && dd_crossing_has_work(crossing, DD_CROSS_COMPARING))
        cursor->crossing = crossing;
    if (crossing && dd_crossing_settles(crossing)) cursor->settling = crossing;
    const dd_query_params *params = &spec->params[side];
    return dd_reader_open(spec->conn[side], spec->query[side], params->values, params->count,
                          spec->kinds, &cursor->reader, err);
}

/* What the row of either side is compared as. Each side has its own memory for the outcome, but the
 * crossing has only one: the merge holds a row of each. */
static void cross(dd_cursor *cursor) {
    const uint8_t *row = cursor->row;
    size_t length = cursor->length;
    dd_refusal refusal;
    if (cursor->crossing && !dd_crossing_apply(cursor->crossing, DD_CROSS_COMPARING, row, length,
                                               &row, &length, &refusal)) {
        row = cursor->row;
        length = cursor->length;
    }
    if (cursor->settling) dd_crossing_settle(cursor->settling, row, length, &row, &length);
    if (row == cursor->row) return;
    dd_buf_clear(&cursor->crossed);
    dd_buf_add(&cursor->crossed, row, length);
    cursor->row = cursor->crossed.data;
    cursor->length = length;
}

dd_status dd_cursor_step(dd_cursor *cursor, dd_err *err) {
    for (;;) {
        if (!cursor->batch || cursor->next == cursor->batch->count) {
            if (dd_reader_next(cursor->reader, &cursor->batch, err)) return DD_FAIL;
            cursor->next = 0;
            if (!cursor->batch) {
                cursor->row = NULL;
                cursor->length = 0;
                return DD_OK;
            }
            cursor->batches++;
        }
        const size_t *offset = &cursor->batch->offsets[cursor->next++];
        cursor->row = cursor->batch->rows.data + offset[0];
        cursor->length = offset[1] - offset[0];
        cursor->rows++;
        if (cursor->transform) {
            bool keep = true;
            dd_buf_clear(&cursor->changed);
            if (cursor->transform->apply(cursor->transform->context, cursor->row, cursor->length,
                                         &cursor->changed, &keep, err))
                return DD_FAIL;
            if (!keep) continue;
            cursor->row = cursor->changed.data;
            cursor->length = cursor->changed.length;
        }
        if (cursor->crossing || cursor->settling) cross(cursor);
        return DD_OK;
    }
}

void dd_cursor_close(dd_cursor *cursor) {
    dd_reader_close(cursor->reader);
    dd_buf_free(&cursor->changed);
    dd_buf_free(&cursor->crossed);
    *cursor = (dd_cursor){0};
}
