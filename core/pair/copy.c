#include "pair/copy.h"

#include "pair/reader.h"

#define PROGRESS_SECONDS 1.0

static dd_status load_batch(const dd_copy_spec *spec, dd_load *load, const dd_batch *batch,
                            dd_buf *changed, dd_copy_progress *so_far, dd_err *err) {
    for (unsigned i = 0; i < batch->count; i++) {
        const uint8_t *row = batch->rows.data + batch->offsets[i];
        size_t length = batch->offsets[i + 1] - batch->offsets[i];
        bool keep = true;
        so_far->rows_read++;
        so_far->bytes += length;
        if (spec->transform) {
            dd_buf_clear(changed);
            if (spec->transform->apply(spec->transform->context, row, length, changed, &keep, err))
                return DD_FAIL;
            row = changed->data;
            length = changed->length;
        }
        if (!keep) continue;
        if (dd_load_row(load, row, length, err)) return DD_FAIL;
        so_far->rows_written++;
    }
    return DD_OK;
}

static dd_status load_all(const dd_copy_spec *spec, dd_reader *reader, dd_load *load,
                          dd_copy_progress *so_far, dd_err *err) {
    dd_buf changed = {0};
    dd_deadline report = dd_deadline_in(PROGRESS_SECONDS);
    dd_status status = DD_OK;
    for (;;) {
        const dd_batch *batch;
        status = dd_reader_next(reader, &batch, err);
        if (status || !batch) break;
        status = load_batch(spec, load, batch, &changed, so_far, err);
        if (!status && spec->progress && dd_deadline_passed(report)) {
            status = spec->progress(spec->context, so_far, err);
            report = dd_deadline_in(PROGRESS_SECONDS);
        }
        if (status) break;
    }
    dd_buf_free(&changed);
    return status;
}

dd_status dd_copy(const dd_copy_spec *spec, dd_copy_progress *result, dd_err *err) {
    *result = (dd_copy_progress){0};
    dd_load *load;
    dd_reader *reader;
    if (dd_load_open(spec->target, spec->table, spec->columns, spec->kinds, &load, err))
        return DD_FAIL;
    if (dd_reader_open(spec->source, spec->query, spec->kinds, &reader, err)) {
        dd_load_abort(load);
        return DD_FAIL;
    }
    dd_status status = load_all(spec, reader, load, result, err);
    dd_reader_close(reader);
    if (status) {
        dd_load_abort(load);
        return status;
    }
    uint64_t counted;
    if (dd_load_finish(load, &counted, err)) return DD_FAIL;
    if (counted != result->rows_written)
        return dd_fail(err, DD_INTERNAL, "%llu rows were sent but the server counted %llu",
                       (unsigned long long)result->rows_written, (unsigned long long)counted);
    return DD_OK;
}
