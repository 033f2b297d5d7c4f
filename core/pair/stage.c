#include "pair/stage.h"

#include <stdlib.h>

typedef struct stage {
    const dd_stage_spec *spec;
    dd_stage_progress *result;
    dd_load *load;             /* NULL before the first difference */
    dd_value *values;          /* views of the row being staged, the mark behind it */
} stage;

static dd_status open_load(stage *s, dd_err *err) {
    if (s->load) return DD_OK;
    const dd_stage_spec *spec = s->spec;
    if (dd_conn_execute(spec->target, spec->make, NULL, 0, NULL, err)) return DD_FAIL;
    return dd_load_open(spec->target, spec->table, spec->columns, spec->kinds, 0, &s->load, err);
}

static dd_status send(stage *s, bool extra, dd_err *err) {
    static const uint8_t mark[2] = {0, 1};
    const unsigned count = s->spec->picked_count;
    s->values[count] = (dd_value){DD_KIND_BOOL, 1, &mark[extra]};
    if (dd_load_values(s->load, s->values, err)) return DD_FAIL;
    for (unsigned i = 0; i <= count; i++) s->result->bytes += 4 + s->values[i].length;
    return DD_OK;
}

static void set_value(stage *s, unsigned index, const uint8_t *field) {
    const uint32_t length = dd_field_length(field);
    dd_value *value = &s->values[index];
    *value = (dd_value){.kind = (dd_kind)s->spec->kinds[index]}; /* null, as dd_row_split has it */
    if (length == DD_NULL_LENGTH) return;
    value->length = length;
    value->data = field + 4;
}

/* The fields of `row` that are staged. */
static void pick(stage *s, const uint8_t *row) {
    unsigned at = 0;
    for (unsigned i = 0; i < s->spec->picked_count; i++) {
        for (; at < s->spec->picked[i]; at++) row += dd_row_prefix(row, 1);
        set_value(s, i, row);
    }
}

static dd_status stage_extra(stage *s, const dd_difference *d, dd_err *err) {
    const unsigned key_columns = s->spec->compare.key_columns;
    if (!s->spec->deletes) return DD_OK;
    if (open_load(s, err)) return DD_FAIL;
    if (s->spec->whole_extras) {
        pick(s, d->row[1]);
        return send(s, true, err);
    }
    const uint8_t *field = d->key;
    for (unsigned i = 0; i < s->spec->picked_count; i++) {
        s->values[i] = (dd_value){.kind = (dd_kind)s->spec->kinds[i]};
        if (i >= key_columns) continue;
        set_value(s, i, field);
        field += dd_row_prefix(field, 1);
    }
    return send(s, true, err);
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
    if (send(s, false, err) == DD_OK) return DD_OK;
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
    s.values = dd_calloc(spec->picked_count + 1, sizeof *s.values);
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
    free(s.values);
    return status;
}
