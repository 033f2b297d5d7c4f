#include "pair/copy.h"

#include "pair/reader.h"

#define PROGRESS_SECONDS 0.1

/* Crosses and loads; *refused is true when the row cannot be held, and nothing of it was sent. */
static dd_status load_row(const dd_copy_spec *spec, dd_load *load, bool crosses,
                          const uint8_t *row, size_t length, bool *refused, dd_refusal *refusal,
                          dd_err *err) {
    const uint8_t *crossed = row;
    size_t crossed_length = length;
    *refused = crosses && !dd_crossing_apply(spec->crossing, DD_CROSS_LOADING, row, length,
                                             &crossed, &crossed_length, refusal);
    if (!*refused) {
        if (dd_load_row(load, crossed, crossed_length, err) == DD_OK) return DD_OK;
        if (!spec->refused || err->class_ != DD_DATA || dd_load_failed(load)) return DD_FAIL;
        *refused = true;
        *refusal = (dd_refusal){.column = UINT32_MAX};
        dd_err_text(refusal->reason, sizeof refusal->reason, err->message);
    }
    /* The reason that is told is the first in the order of the columns, whoever found which. */
    if (spec->crossing)
        (void)dd_crossing_apply(spec->crossing, DD_CROSS_ALL, row, length, &crossed,
                                &crossed_length, refusal);
    return DD_OK;
}

static dd_status load_batch(const dd_copy_spec *spec, dd_load *load, const dd_batch *batch,
                            dd_buf *changed, dd_copy_progress *so_far, dd_err *err) {
    const bool crosses = spec->crossing && dd_crossing_has_work(spec->crossing, DD_CROSS_LOADING);
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
        bool refused;
        dd_refusal refusal;
        if (load_row(spec, load, crosses, row, length, &refused, &refusal, err)) return DD_FAIL;
        if (!refused) {
            so_far->rows_written++;
            continue;
        }
        so_far->rows_refused++;
        if (!spec->refused)
            return dd_fail(err, DD_DATA, "column %u: %s", refusal.column + 1, refusal.reason);
        row = batch->rows.data + batch->offsets[i];
        length = batch->offsets[i + 1] - batch->offsets[i];
        if (spec->refused(spec->context, row, length, &refusal, err)) return DD_FAIL;
    }
    return DD_OK;
}

static void note_last_key(const dd_copy_spec *spec, const dd_batch *batch) {
    const uint8_t *row = batch->rows.data + batch->offsets[batch->count - 1];
    dd_buf_clear(spec->last_key);
    dd_buf_add(spec->last_key, row, dd_row_prefix(row, spec->key_columns));
}

static dd_status load_all(const dd_copy_spec *spec, dd_reader *reader, dd_load *load,
                          dd_copy_progress *so_far, dd_err *err) {
    dd_buf changed = {0};
    dd_deadline report = dd_deadline_in(PROGRESS_SECONDS);
    const dd_deadline stop = dd_deadline_in(spec->most_seconds);
    dd_status status = DD_OK;
    for (;;) {
        const dd_batch *batch;
        status = dd_reader_next(reader, &batch, err);
        if (status || !batch) break;
        status = load_batch(spec, load, batch, &changed, so_far, err);
        if (spec->last_key) note_last_key(spec, batch);
        if (!status && spec->progress && dd_deadline_passed(report)) {
            status = spec->progress(spec->context, so_far, err);
            report = dd_deadline_in(PROGRESS_SECONDS);
        }
        if (status) break;
        if (dd_deadline_passed(stop) || (spec->most_bytes && so_far->bytes >= spec->most_bytes)) {
            so_far->stopped = true;
            break;
        }
    }
    dd_buf_free(&changed);
    return status;
}

dd_status dd_copy(const dd_copy_spec *spec, dd_copy_progress *result, dd_err *err) {
    *result = (dd_copy_progress){0};
    if (spec->last_key) dd_buf_clear(spec->last_key);
    dd_load *load;
    dd_reader *reader;
    if (spec->source == spec->target)
        return dd_fail(err, DD_USAGE, "a copy needs two connections");
    if (dd_load_open(spec->target, spec->table, spec->columns, spec->kinds, spec->replaced_key,
                     &load, err))
        return DD_FAIL;
    if (dd_reader_open(spec->source, spec->query, spec->params.values, spec->params.count,
                       spec->kinds, &reader, err)) {
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
