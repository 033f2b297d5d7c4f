#include "pair/cursor.h"
#include "pair/spill.h"

#define PROGRESS_SECONDS 1.0

typedef struct partitioned {
    const dd_compare_spec *spec;
    dd_compare_result *result;
    dd_cursor side[2];
    dd_spill *spill[2];
    dd_deadline report;
} partitioned;

/* One batch of rows of one side to its spill file; *more is false at the end of its data. */
static dd_status spill_batch(partitioned *c, unsigned side, bool *more, dd_err *err) {
    dd_cursor *cursor = &c->side[side];
    uint64_t batch = cursor->batches + 1;
    do {
        if (dd_cursor_step(cursor, err)) return DD_FAIL;
        c->result->rows[side] = cursor->rows;
        *more = cursor->row != NULL;
        if (!*more) return DD_OK;
        if (dd_spill_add(c->spill[side], cursor->row, cursor->length,
                         dd_row_prefix(cursor->row, c->spec->key_columns), err))
            return DD_FAIL;
    } while (cursor->batches < batch || cursor->next < cursor->batch->count);
    return DD_OK;
}

static dd_status tell_progress(partitioned *c, dd_err *err) {
    if (!c->spec->progress || !dd_deadline_passed(c->report)) return DD_OK;
    c->report = dd_deadline_in(PROGRESS_SECONDS);
    return c->spec->progress(c->spec->context, c->result, err);
}

/* Both sides in turn, so that both servers stay at work. */
static dd_status spill_both(partitioned *c, dd_err *err) {
    bool more[2] = {true, true};
    while (more[0] || more[1]) {
        for (unsigned side = 0; side < 2; side++)
            if (more[side] && spill_batch(c, side, &more[side], err)) return DD_FAIL;
        if (tell_progress(c, err)) return DD_FAIL;
    }
    return DD_OK;
}

static dd_status report(partitioned *c, dd_difference_kind kind, const dd_spill_record *record,
                        dd_err *err) {
    dd_difference difference = {
        .kind = kind, .key = record->key, .key_length = record->key_length};
    c->result->differences++;
    return c->spec->difference(c->spec->context, &difference, err);
}

static int digest_order(const dd_digest *a, const dd_digest *b) {
    if (a->high != b->high) return a->high < b->high ? -1 : 1;
    return a->low < b->low ? -1 : a->low > b->low;
}

static dd_status check_unique(const dd_spill_record *records, size_t count, dd_err *err) {
    for (size_t i = 1; i < count; i++)
        if (digest_order(&records[i - 1].key_digest, &records[i].key_digest) == 0)
            return dd_fail(err, DD_SCHEMA, "two rows have the same key: it is not unique");
    return DD_OK;
}

/* Rows that are there several times pair up one by one. */
static dd_status compare_partition(partitioned *c, unsigned which, dd_err *err) {
    const dd_spill_record *record[2];
    size_t left[2];
    for (unsigned side = 0; side < 2; side++)
        if (dd_spill_read(c->spill[side], which, &record[side], &left[side], err) ||
            (!c->spec->repeats && check_unique(record[side], left[side], err)))
            return DD_FAIL;
    while (left[0] || left[1]) {
        int order = !left[0]   ? 1
                    : !left[1] ? -1
                               : digest_order(&record[0]->key_digest, &record[1]->key_digest);
        dd_status status = DD_OK;
        if (order < 0)
            status = report(c, DD_MISSING, record[0], err);
        else if (order > 0)
            status = report(c, DD_EXTRA, record[1], err);
        else if (digest_order(&record[0]->row_digest, &record[1]->row_digest) != 0)
            status = report(c, DD_CHANGED, record[0], err);
        if (status) return status;
        if (order <= 0) record[0]++, left[0]--;
        if (order >= 0) record[1]++, left[1]--;
    }
    c->result->chunks++;
    return tell_progress(c, err);
}

static dd_status run(partitioned *c, unsigned partitions, dd_err *err) {
    for (unsigned side = 0; side < 2; side++)
        if (dd_spill_open(c->spec->spill_directory, partitions, &c->spill[side], err) ||
            dd_cursor_open(&c->side[side], c->spec, side, err))
            return DD_FAIL;
    if (spill_both(c, err)) return DD_FAIL;
    for (unsigned which = 0; which < partitions; which++)
        if (compare_partition(c, which, err)) return DD_FAIL;
    dd_compare_chunk all = {.rows = {c->result->rows[0], c->result->rows[1]}};
    return c->spec->chunk ? c->spec->chunk(c->spec->context, &all, err) : DD_OK;
}

dd_status dd_compare_partitioned(const dd_compare_spec *spec, dd_compare_result *result,
                                 dd_err *err) {
    partitioned c = {
        .spec = spec, .result = result, .report = dd_deadline_in(PROGRESS_SECONDS)};
    dd_status status = run(&c, dd_spill_partitions(spec->expected_rows), err);
    for (unsigned side = 0; side < 2; side++) {
        dd_cursor_close(&c.side[side]);
        dd_spill_close(c.spill[side]);
    }
    return status;
}
