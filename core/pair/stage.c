#include "pair/stage.h"

typedef struct stage {
    const dd_stage_spec *spec;
    dd_stage_progress *result;
    dd_load *load;             /* NULL before the first difference */
    dd_buf row;                /* the row being staged */
} stage;

static dd_status open_load(stage *s, dd_err *err) {
    if (s->load) return DD_OK;
    const dd_stage_spec *spec = s->spec;
    if (dd_conn_execute(spec->target, spec->make, NULL, 0, NULL, err)) return DD_FAIL;
    return dd_load_open(spec->target, spec->table, spec->columns, spec->kinds, 0, &s->load, err);
}

static dd_status send(stage *s, dd_err *err) {
    if (dd_load_row(s->load, s->row.data, s->row.length, err)) return DD_FAIL;
    s->result->bytes += s->row.length;
    dd_buf_trim(&s->row, 4 * DD_BATCH_BYTES); /* one huge row made it large */
    return DD_OK;
}

/* The fields of `row` that are staged. */
static void pick(stage *s, const uint8_t *row) {
    unsigned at = 0;
    dd_buf_clear(&s->row);
    for (unsigned i = 0; i < s->spec->picked_count; i++) {
        for (; at < s->spec->picked[i]; at++) row += dd_row_prefix(row, 1);
        dd_buf_add(&s->row, row, dd_row_prefix(row, 1));
    }
}

static dd_status stage_extra(stage *s, const dd_difference *d, dd_err *err) {
    if (!s->spec->deletes) return DD_OK;
    if (open_load(s, err)) return DD_FAIL;
    if (s->spec->whole_extras) {
        pick(s, d->row[1]);
    } else {
        dd_buf_clear(&s->row);
        dd_buf_add(&s->row, d->key, d->key_length);
        for (unsigned i = s->spec->compare.key_columns; i < s->spec->picked_count; i++)
            dd_row_add_null(&s->row);
    }
    dd_row_add_bool(&s->row, true);
    return send(s, err);
}

static dd_status refuse(stage *s, const dd_difference *d, const dd_refusal *refusal, dd_err *err) {
    s->result->refused++;
    return s->spec->refused(s->spec->context, d->row[0], d->row_length[0], refusal, err);
}

static dd_status stage_row(stage *s, const dd_difference *d, dd_err *err) {
    const uint8_t *row = d->row[0];
    size_t length = d->row_length[0];
    dd_refusal refusal;
    if (s->spec->crossing && !dd_crossing_apply(s->spec->crossing, DD_CROSS_ALL, row, length, &row,
                                                &length, &refusal))
        return refuse(s, d, &refusal, err);
    if (open_load(s, err)) return DD_FAIL;
    pick(s, row);
    dd_row_add_bool(&s->row, false);
    if (send(s, err) == DD_OK) return DD_OK;
    if (err->class_ != DD_DATA || dd_load_failed(s->load)) return DD_FAIL;
    refusal = (dd_refusal){.column = UINT32_MAX};
    dd_err_text(refusal.reason, sizeof refusal.reason, err->message);
    return refuse(s, d, &refusal, err);
}

static dd_status take(void *context, const dd_difference *d, dd_err *err) {
    stage *s = context;
    switch (d->kind) {
    case DD_EXTRA: s->result->extra++; return stage_extra(s, d, err);
    case DD_MISSING: s->result->missing++; break;
    case DD_CHANGED: s->result->changed++; break;
    }
    return stage_row(s, d, err);
}

static dd_status tell_progress(void *context, const dd_compare_result *so_far, dd_err *err) {
    stage *s = context;
    s->result->rows[0] = so_far->rows[0];
    s->result->rows[1] = so_far->rows[1];
    return s->spec->progress ? s->spec->progress(s->spec->context, s->result, err) : DD_OK;
}

dd_status dd_stage(const dd_stage_spec *spec, dd_stage_progress *result, dd_err *err) {
    *result = (dd_stage_progress){0};
    stage s = {.spec = spec, .result = result};
    dd_compare_spec compare = spec->compare;
    compare.difference = take;
    compare.progress = tell_progress;
    compare.context = &s;
    dd_compare_result compared;
    dd_status status = dd_compare(&compare, &compared, err);
    result->rows[0] = compared.rows[0];
    result->rows[1] = compared.rows[1];
    if (status) dd_load_abort(s.load);
    else if (s.load) status = dd_load_finish(s.load, NULL, err);
    dd_buf_free(&s.row);
    return status;
}
