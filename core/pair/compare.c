#include "pair/compare.h"

#include "pair/cursor.h"
#include "row/raw.h"

#define PROGRESS_SECONDS 1.0

const char *dd_difference_name(dd_difference_kind kind) {
    switch (kind) {
    case DD_MISSING: return "missing";
    case DD_EXTRA: return "extra";
    case DD_CHANGED: return "changed";
    }
    return "changed";
}

/* The state of an ordered comparison. */
typedef struct merge {
    const dd_compare_spec *spec;
    dd_compare_result *result;
    dd_cursor side[2];
    dd_buf last_key[2];        /* of the row before, to check the order */
    bool started[2];
    bool raw_keys;             /* the key has columns that may be raw */
    dd_compare_chunk chunk;    /* the current one */
    uint64_t chunk_bytes[2];
    dd_deadline stop;
    dd_deadline report;
} merge;

static const char *const side_names[2] = {"primary", "secondary"};

static bool key_is_raw(const merge *m, const uint8_t *row) {
    for (unsigned i = 0; i < m->spec->key_columns; i++) {
        dd_value value = {(dd_kind)m->spec->kinds[i], dd_field_length(row), row + 4};
        if (value.length == DD_NULL_LENGTH) {
            row += 4;
            continue;
        }
        if (dd_value_is_raw(&value)) return true;
        row += 4 + value.length;
    }
    return false;
}

static dd_status report(merge *m, dd_difference_kind kind, dd_err *err);

/* A row of the side is through. */
static void count(merge *m, unsigned side) {
    m->chunk.rows[side]++;
    m->chunk_bytes[side] += m->side[side].length;
}

/* A raw key is nowhere in the order of the keys, and the other side cannot have it. */
static dd_status step(merge *m, unsigned side, dd_err *err) {
    dd_cursor *cursor = &m->side[side];
    for (;;) {
        if (dd_cursor_step(cursor, err)) return DD_FAIL;
        if (!m->raw_keys || !cursor->row || !key_is_raw(m, cursor->row)) return DD_OK;
        if (report(m, side == 0 ? DD_MISSING : DD_EXTRA, err)) return DD_FAIL;
        count(m, side);
    }
}

/* One row on; keys must rise strictly, or the merge would invent differences or miss some. */
static dd_status advance(merge *m, unsigned side, dd_err *err) {
    dd_cursor *cursor = &m->side[side];
    unsigned key_columns = m->spec->key_columns;
    if (cursor->row) {
        dd_buf_clear(&m->last_key[side]);
        dd_buf_add(&m->last_key[side], cursor->row, dd_row_prefix(cursor->row, key_columns));
        m->started[side] = true;
    }
    if (step(m, side, err)) return DD_FAIL;
    if (cursor->row && m->started[side] &&
        dd_key_compare(m->last_key[side].data, cursor->row, m->spec->kinds, key_columns) >= 0)
        return dd_fail(err, DD_SCHEMA,
                       "rows of the %s did not arrive in key order: its key is not unique or is "
                       "ordered otherwise",
                       side_names[side]);
    return DD_OK;
}

static dd_status report(merge *m, dd_difference_kind kind, dd_err *err) {
    const dd_cursor *from = kind == DD_EXTRA ? &m->side[1] : &m->side[0];
    dd_difference difference = {
        .kind = kind,
        .key = from->row,
        .key_length = dd_row_prefix(from->row, m->spec->key_columns),
    };
    for (unsigned side = 0; side < 2; side++) {
        if ((kind == DD_MISSING && side == 1) || (kind == DD_EXTRA && side == 0)) continue;
        difference.row[side] = m->side[side].row;
        difference.row_length[side] = m->side[side].length;
    }
    m->result->differences++;
    return m->spec->difference(m->spec->context, &difference, err);
}

static dd_status tell_progress(merge *m, dd_err *err) {
    m->result->rows[0] = m->side[0].rows;
    m->result->rows[1] = m->side[1].rows;
    m->result->chunks = m->side[0].batches > m->side[1].batches ? m->side[0].batches
                                                                : m->side[1].batches;
    if (!m->spec->progress || !dd_deadline_passed(m->report)) return DD_OK;
    m->report = dd_deadline_in(PROGRESS_SECONDS);
    return m->spec->progress(m->spec->context, m->result, err);
}

/* ---- chunks ---- */

static dd_status end_chunk(merge *m, const dd_cursor *last, dd_err *err) {
    if (last) {
        m->chunk.through = last->row;
        m->chunk.through_length = dd_row_prefix(last->row, m->spec->key_columns);
    }
    if (m->spec->chunk && m->spec->chunk(m->spec->context, &m->chunk, err)) return DD_FAIL;
    m->chunk = (dd_compare_chunk){0};
    m->chunk_bytes[0] = m->chunk_bytes[1] = 0;
    return DD_OK;
}

/* Rows that were read and are not in the chunk are read again by whoever goes on behind it: none may
 * be of the primary, which has been crossed and counted, nor behind a raw key, which was reported. */
static bool chunk_is_full(const merge *m, int order) {
    uint64_t rows = m->spec->chunk_rows, bytes = m->spec->chunk_bytes;
    bool full = (rows && (m->chunk.rows[0] >= rows || m->chunk.rows[1] >= rows)) ||
                (bytes && (m->chunk_bytes[0] >= bytes || m->chunk_bytes[1] >= bytes));
    return full && (order == 0 || (!m->raw_keys && (order < 0 || !m->side[0].row)));
}

/* What is at the heads of both streams; `order` says of which, as a comparison of their keys. */
static dd_status judge(merge *m, int order, dd_err *err) {
    const dd_cursor *primary = &m->side[0], *secondary = &m->side[1];
    if (order <= 0) count(m, 0);
    if (order >= 0) count(m, 1);
    if (order < 0) return report(m, DD_MISSING, err);
    if (order > 0) return report(m, DD_EXTRA, err);
    if (primary->length == secondary->length &&
        memcmp(primary->row, secondary->row, primary->length) == 0)
        return DD_OK;
    return report(m, DD_CHANGED, err);
}

static dd_status merge_streams(merge *m, dd_err *err) {
    const dd_cursor *primary = &m->side[0], *secondary = &m->side[1];
    const dd_compare_spec *spec = m->spec;
    if (advance(m, 0, err) || advance(m, 1, err)) return DD_FAIL;
    for (unsigned steps = 0; primary->row || secondary->row; steps++) {
        int order = !primary->row     ? 1
                    : !secondary->row ? -1
                                      : dd_key_compare(primary->row, secondary->row, spec->kinds,
                                                       spec->key_columns);
        if (judge(m, order, err)) return DD_FAIL;
        if (chunk_is_full(m, order)) {
            if (end_chunk(m, order <= 0 ? primary : secondary, err)) return DD_FAIL;
            m->result->stopped = spec->most_seconds > 0 && dd_deadline_passed(m->stop);
            if (m->result->stopped) return tell_progress(m, err);
        }
        if ((order <= 0 && advance(m, 0, err)) || (order >= 0 && advance(m, 1, err)))
            return DD_FAIL;
        if (steps % 1024 == 0 && tell_progress(m, err)) return DD_FAIL;
    }
    if (end_chunk(m, NULL, err)) return DD_FAIL;
    return tell_progress(m, err);
}

static dd_status compare_ordered(const dd_compare_spec *spec, dd_compare_result *result,
                                 dd_err *err) {
    merge m = {.spec = spec, .result = result, .report = dd_deadline_in(PROGRESS_SECONDS),
               .stop = dd_deadline_in(spec->most_seconds)};
    for (unsigned i = 0; i < spec->key_columns; i++)
        m.raw_keys = m.raw_keys || dd_kind_has_unreadable((dd_kind)spec->kinds[i]);
    dd_status status = dd_cursor_open(&m.side[0], spec, 0, err);
    if (!status) {
        status = dd_cursor_open(&m.side[1], spec, 1, err);
        if (!status) {
            status = merge_streams(&m, err);
            dd_cursor_close(&m.side[1]);
        }
        dd_cursor_close(&m.side[0]);
    }
    dd_buf_free(&m.last_key[0]);
    dd_buf_free(&m.last_key[1]);
    return status;
}

dd_status dd_compare(const dd_compare_spec *spec, dd_compare_result *result, dd_err *err) {
    *result = (dd_compare_result){0};
    return spec->ordered ? compare_ordered(spec, result, err)
                         : dd_compare_partitioned(spec, result, err);
}
