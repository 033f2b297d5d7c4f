#include "pair/cursor.h"

dd_status dd_cursor_open(dd_cursor *cursor, const dd_compare_spec *spec, unsigned side,
                         dd_err *err) {
    *cursor = (dd_cursor){.transform = side == 0 ? spec->transform : NULL};
    return dd_reader_open(spec->conn[side], spec->query[side], spec->kinds, &cursor->reader, err);
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
        if (!cursor->transform) return DD_OK;

        bool keep = true;
        dd_buf_clear(&cursor->changed);
        if (cursor->transform->apply(cursor->transform->context, cursor->row, cursor->length,
                                     &cursor->changed, &keep, err))
            return DD_FAIL;
        if (!keep) continue;
        cursor->row = cursor->changed.data;
        cursor->length = cursor->changed.length;
        return DD_OK;
    }
}

void dd_cursor_close(dd_cursor *cursor) {
    dd_reader_close(cursor->reader);
    dd_buf_free(&cursor->changed);
    *cursor = (dd_cursor){0};
}
