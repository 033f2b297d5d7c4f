#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "db/postgres_driver.h"
#include "row/convert.h"
#include "row/pgwire.h"

/* How much is collected before it goes to libpq, and how much goes there at once: libpq keeps in
 * memory what it is given until the socket takes it. */
enum { FULL = 64 * 1024, PIECE = 1024 * 1024 };

typedef struct dd_pg_load {
    dd_load base;
    Oid *types;              /* of the columns */
    char **names;            /* of the columns */
    dd_buf out;              /* encoded and not yet given to libpq */
    bool over;               /* the statement has ended, by an error */
} dd_pg_load;

static dd_pg *pg_of_load(const dd_pg_load *l) { return dd_pg_of(l->base.conn); }

static void free_load(dd_pg_load *l) {
    for (unsigned i = 0; l->names && l->names[i]; i++) free(l->names[i]);
    free(l->names);
    free(l->types);
    dd_buf_free(&l->out);
    free(l);
}

/* ---- opening ---- */

static dd_status check_columns(dd_pg_load *l, const PGresult *columns, const char *kinds,
                               unsigned count, dd_err *err) {
    if ((unsigned)PQnfields(columns) != count)
        return dd_fail(err, DD_USAGE, "a load of %u kinds into %d columns", count,
                       PQnfields(columns));
    l->types = dd_calloc(count, sizeof *l->types);
    l->names = dd_calloc((size_t)count + 1, sizeof *l->names);
    for (unsigned i = 0; i < count; i++) {
        const dd_kind kind = (dd_kind)kinds[i];
        l->types[i] = PQftype(columns, (int)i);
        l->names[i] = dd_strdup(PQfname(columns, (int)i));
        const dd_kind natural = dd_pg_kind(l->types[i]);
        /* A float64 is written where it is exact as a float32, and refused value by value. */
        const bool narrows = kind == DD_KIND_FLOAT64 && natural == DD_KIND_FLOAT32;
        if (natural == DD_KIND_UNSUPPORTED ? kind != DD_KIND_TEXT
                                           : !narrows && !dd_convertible(kind, natural))
            return dd_pg_misfit(pg_of_load(l), columns, i, kind, "write", err);
    }
    return DD_OK;
}

/* The types of the columns: binary values must be in exactly the form of their type. */
static dd_status learn_columns(dd_pg_load *l, const char *table, const char *columns,
                               const char *kinds, unsigned count, dd_err *err) {
    dd_buf text = {0};
    PGresult *described = NULL;
    dd_buf_add_text(&text, "select ");
    dd_buf_add_text(&text, columns);
    dd_buf_add_text(&text, " from ");
    dd_buf_add_text(&text, table);
    dd_buf_add_text(&text, " limit 0");
    dd_buf_add_byte(&text, 0);
    dd_status status = dd_pg_describe(pg_of_load(l), (const char *)text.data, &described, err);
    dd_buf_free(&text);
    if (status == DD_OK) status = check_columns(l, described, kinds, count, err);
    PQclear(described);
    return status;
}

static dd_status start_copy(dd_pg_load *l, const char *table, const char *columns, unsigned count,
                            dd_err *err) {
    dd_pg *pg = pg_of_load(l);
    dd_buf text = {0};
    dd_buf_add_text(&text, "copy ");
    dd_buf_add_text(&text, table);
    dd_buf_add_text(&text, " (");
    dd_buf_add_text(&text, columns);
    dd_buf_add_text(&text, ") from stdin (format binary)");
    dd_buf_add_byte(&text, 0);
    PGresult *result = NULL;
    dd_status status = dd_pg_send(&pg->base, (const char *)text.data, NULL, 0, err);
    dd_buf_free(&text);
    if (status == DD_OK) status = dd_pg_answer(pg, &result, err);
    if (status != DD_OK) return DD_FAIL;
    if (pg->stopped) {
        PQclear(result);
        return dd_pg_give_up(pg, pg->stopped, err);
    }
    if (PQresultStatus(result) != PGRES_COPY_IN) {
        if (dd_pg_complete(pg, result, NULL, err) != DD_OK) return DD_FAIL;
        return dd_fail(err, DD_INTERNAL, "server did not take up a copy");
    }
    const bool fits = PQbinaryTuples(result) && (unsigned)PQnfields(result) == count;
    PQclear(result);
    if (fits) return DD_OK;
    (void)dd_pg_abandon(pg, 0, NULL);
    return dd_fail(err, DD_INTERNAL, "server wants a copy in another form");
}

dd_status dd_pg_load_open(dd_conn *conn, const char *table, const char *columns, const char *kinds,
                          unsigned count, unsigned key_columns, dd_load **out, dd_err *err) {
    (void)key_columns; /* none: see the driver's table */
    dd_pg_load *l = dd_calloc(1, sizeof *l);
    l->base.conn = conn;
    if (learn_columns(l, table, columns, kinds, count, err) != DD_OK ||
        start_copy(l, table, columns, count, err) != DD_OK) {
        free_load(l);
        return DD_FAIL;
    }
    dd_buf_add(&l->out, "PGCOPY\n\377\r\n\0", 11);
    dd_buf_add_u32(&l->out, 0); /* flags */
    dd_buf_add_u32(&l->out, 0); /* length of the extension */
    *out = &l->base;
    return DD_OK;
}

/* ---- rows ---- */

static dd_status fail_load(dd_pg_load *l, dd_pg_wake why, dd_err *err) {
    l->base.failed = l->over = true;
    return dd_pg_doubt(pg_of_load(l), dd_pg_give_up(pg_of_load(l), why, err), err);
}

/*
 * Gives everything to the server. Input is read meanwhile (dd_pg_flush), or both ends could wait
 * for the other to read. Once a row has failed the server reads the rest and throws it away; libpq
 * shows the error at the end only.
 */
static dd_status give_all(dd_pg_load *l, dd_err *err) {
    dd_pg *pg = pg_of_load(l);
    dd_pg_limit(pg);
    for (size_t at = 0; at < l->out.length;) {
        size_t piece = l->out.length - at;
        if (piece > PIECE) piece = PIECE;
        int given = PQputCopyData(pg->pq, (const char *)l->out.data + at, (int)piece);
        if (given < 0) return fail_load(l, DD_PG_LOST, err);
        if (given > 0) at += piece;
        dd_pg_wake wake = dd_interrupted() ? DD_PG_INTERRUPTED : dd_pg_flush(pg);
        if (wake != DD_PG_READY) return fail_load(l, wake, err);
    }
    dd_buf_clear(&l->out);
    return DD_OK;
}

/* A row that cannot be encoded leaves nothing behind, and the load can go on without it. */
dd_status dd_pg_load_row(dd_load *load, const dd_value *values, dd_err *err) {
    dd_pg_load *l = (dd_pg_load *)load;
    const size_t start = l->out.length;
    dd_buf_add_u16(&l->out, (uint16_t)load->column_count);
    for (unsigned i = 0; i < load->column_count; i++) {
        if (dd_pg_encode(l->types[i], &values[i], &l->out, err) != DD_OK) {
            l->out.length = start;
            return dd_pg_name_column(l->names[i], err);
        }
    }
    return l->out.length < FULL ? DD_OK : give_all(l, err);
}

/* ---- the end ---- */

static dd_status end_copy(dd_pg_load *l, uint64_t *rows, dd_err *err) {
    dd_pg *pg = pg_of_load(l);
    dd_result result = {0};
    dd_buf_add_u16(&l->out, UINT16_MAX); /* the trailer */
    if (give_all(l, err) != DD_OK) return DD_FAIL;
    int ended;
    while ((ended = PQputCopyEnd(pg->pq, NULL)) == 0) {
        dd_pg_wake wake = dd_pg_flush(pg);
        if (wake != DD_PG_READY) return fail_load(l, wake, err);
    }
    if (ended < 0) return fail_load(l, DD_PG_LOST, err);
    dd_status status = dd_pg_send_all(pg, err);
    if (status == DD_OK) status = dd_pg_complete(pg, NULL, &result, err);
    *rows = result.affected;
    return dd_pg_doubt(pg, status, err);
}

dd_status dd_pg_load_finish(dd_load *load, uint64_t *rows, dd_err *err) {
    dd_pg_load *l = (dd_pg_load *)load;
    dd_status status = end_copy(l, rows, err);
    free_load(l);
    return status;
}

void dd_pg_load_abort(dd_load *load) {
    dd_pg_load *l = (dd_pg_load *)load;
    dd_pg *pg = pg_of_load(l);
    if (!l->over) {
        (void)PQputCopyEnd(pg->pq, "load was given up");
        (void)dd_pg_abandon(pg, DD_PG_PATIENCE, NULL);
    }
    free_load(l);
}
