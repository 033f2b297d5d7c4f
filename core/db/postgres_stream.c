#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/interrupt.h"
#include "db/postgres_driver.h"
#include "row/convert.h"
#include "row/pgwire.h"

/*
 * Rows in single-row mode, or as COPY TO STDOUT (FORMAT binary), which costs the server and libpq
 * about a third of it.
 */

/* What a stream that is closed early may still read before the server is told to stop: a cancelled
 * statement fails the transaction that it is in, and most results have ended by then. */
static const double close_grace = 0.1;

typedef struct dd_pg_stream {
    dd_stream base;
    Oid *types;              /* of the columns */
    bool takes_raw;          /* values that cannot be read as wanted (row/raw.h) */
    bool over;               /* the server has nothing more to say about the statement */
    PGresult *first;         /* single-row mode: the result that open has read; or NULL */
    /* COPY: what was received and not yet used is bytes [at, length) of data. */
    bool copy;
    char *chunk;             /* libpq's last piece; or NULL */
    dd_buf joined;           /* pieces put together, when a row goes across them */
    const uint8_t *data;     /* the chunk or joined.data */
    size_t length, at;
    bool header_seen, trailer_seen;
} dd_pg_stream;

static dd_pg *pg_of_stream(const dd_pg_stream *s) { return dd_pg_of(s->base.conn); }

static void free_stream(dd_pg_stream *s) {
    for (unsigned i = 0; i < s->base.column_count; i++) free((char *)s->base.columns[i].name);
    free(s->base.columns);
    free(s->types);
    PQclear(s->first);
    PQfreemem(s->chunk);
    dd_buf_free(&s->joined);
    free(s);
}

/* ---- columns ---- */

static dd_kind kind_of_column(const dd_pg *pg, Oid type, dd_kind want) {
    dd_kind natural = dd_pg_kind(type);
    if (!want) return dd_pg_is_label(pg, type) ? DD_KIND_TEXT : natural;
    if (natural == DD_KIND_UNSUPPORTED) return want == DD_KIND_TEXT ? want : DD_KIND_UNSUPPORTED;
    return dd_convertible(natural, want) ? want : DD_KIND_UNSUPPORTED;
}

/* Fills in the columns. *misfit: the first that cannot be read as wanted, or -1. */
static dd_status set_columns(dd_pg_stream *s, const PGresult *from, const char *want, int *misfit,
                             dd_err *err) {
    const unsigned count = (unsigned)PQnfields(from);
    *misfit = -1;
    if (want && strlen(want) != count)
        return dd_fail(err, DD_SCHEMA, "statement returns %u columns, %zu were expected", count,
                       strlen(want));
    s->base.column_count = count;
    s->base.columns = dd_calloc((size_t)count + 1, sizeof *s->base.columns);
    s->types = dd_calloc((size_t)count + 1, sizeof *s->types);
    for (unsigned i = 0; i < count; i++) {
        s->types[i] = PQftype(from, (int)i);
        s->base.columns[i].name = dd_strdup(PQfname(from, (int)i));
        s->base.columns[i].kind =
            kind_of_column(pg_of_stream(s), s->types[i], want ? (dd_kind)want[i] : (dd_kind)0);
        if (*misfit < 0 && s->base.columns[i].kind == DD_KIND_UNSUPPORTED) *misfit = (int)i;
    }
    return DD_OK;
}

static dd_status misfit_error(dd_pg_stream *s, const PGresult *from, const char *want, int at,
                              dd_err *err) {
    const bool known = want && dd_pg_kind(s->types[at]) != DD_KIND_UNSUPPORTED;
    return dd_pg_misfit(pg_of_stream(s), from, (unsigned)at, known ? (dd_kind)want[at] : (dd_kind)0,
                        "read", err);
}

/* What cannot be read goes on as it is, for whoever says what he wants. */
static dd_status add_unread(const dd_pg_stream *s, unsigned column, const uint8_t *wire,
                            size_t length, dd_buf *row, size_t at, dd_err *err) {
    const dd_column *to = &s->base.columns[column];
    row->length = at;
    if (s->takes_raw &&
        dd_pg_add_unread(s->types[column], to->kind, wire, length, row, err) == DD_OK)
        return DD_OK;
    return dd_pg_name_column(to->name, err);
}

/* Appends one field; `wire` NULL for NULL. */
static inline dd_status add_field(const dd_pg_stream *s, unsigned column, const uint8_t *wire,
                                  size_t length, dd_buf *row, dd_err *err) {
    if (!wire) {
        dd_row_add_null(row);
        return DD_OK;
    }
    const dd_column *to = &s->base.columns[column];
    const size_t at = row->length;
    if (dd_pg_decode(s->types[column], to->kind, wire, length, row, err) == DD_OK) return DD_OK;
    return add_unread(s, column, wire, length, row, at, err);
}

/* ---- single-row mode ---- */

static dd_status open_rows(dd_pg_stream *s, const char *sql, const dd_value *params, unsigned count,
                           const char *want, dd_err *err) {
    dd_pg *pg = pg_of_stream(s);
    int misfit;
    if (dd_pg_send(&pg->base, sql, params, count, err) != DD_OK) return DD_FAIL;
    if (dd_pg_answer(pg, &s->first, err) != DD_OK) return DD_FAIL;
    if (pg->stopped) return dd_pg_give_up(pg, pg->stopped, err);
    switch (PQresultStatus(s->first)) {
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK: break;
    default: {
        PGresult *failed = s->first;
        s->first = NULL;
        if (dd_pg_complete(pg, failed, NULL, err) != DD_OK) return DD_FAIL;
        return dd_fail(err, DD_INTERNAL, "server sent a result that fits no statement");
    }
    }
    dd_status status = set_columns(s, s->first, want, &misfit, err);
    if (status == DD_OK && misfit < 0) return DD_OK;
    bool idle = dd_pg_abandon(pg, close_grace, NULL);
    if (status == DD_OK && idle) return misfit_error(s, s->first, want, misfit, err);
    if (status == DD_OK)
        return dd_fail(err, DD_SCHEMA, "column \"%s\" has a type that dualdb cannot read",
                       s->base.columns[misfit].name);
    return status;
}

static dd_status next_row(dd_pg_stream *s, dd_buf *row, bool *more, dd_err *err) {
    dd_pg *pg = pg_of_stream(s);
    PGresult *result = s->first;
    s->first = NULL;
    if (!result) {
        s->over = true; /* unless there is a row */
        if (PQisBusy(pg->pq)) {
            dd_pg_limit(pg);
            if (dd_interrupted()) return dd_pg_give_up(pg, DD_PG_INTERRUPTED, err);
        }
        if (dd_pg_answer(pg, &result, err) != DD_OK) return DD_FAIL;
        if (pg->stopped) {
            PQclear(result);
            return dd_pg_give_up(pg, pg->stopped, err);
        }
    }
    if (PQresultStatus(result) != PGRES_SINGLE_TUPLE) {
        s->over = s->base.done = true;
        return dd_pg_complete(pg, result, NULL, err);
    }
    s->over = false;
    dd_status status = DD_OK;
    for (unsigned i = 0; i < s->base.column_count && status == DD_OK; i++) {
        const int at = (int)i;
        const uint8_t *wire =
            PQgetisnull(result, 0, at) ? NULL : (const uint8_t *)PQgetvalue(result, 0, at);
        status = add_field(s, i, wire, (size_t)PQgetlength(result, 0, at), row, err);
    }
    PQclear(result);
    *more = status == DD_OK;
    return status;
}

/* ---- COPY ---- */

/* COPY takes a query, and nothing else (SHOW, EXPLAIN, ...). A comment before it is not looked
 * through: the rows then come in the other way, which is only slower. */
static bool is_query(const char *sql) {
    static const char *const words[] = {"select", "with", "values", "table"};
    const char *at = sql + strspn(sql, " \t\r\n\f");
    if (*at == '(') return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t length = strlen(words[i]);
        if (strncasecmp(at, words[i], length) == 0 && strchr(" \t\r\n\f(*'\"", at[length]))
            return true;
    }
    return false;
}

static size_t trimmed_length(const char *sql) {
    size_t length = strlen(sql);
    while (length && strchr(" \t\r\n\f;", sql[length - 1])) length--;
    return length;
}

/* A semicolon before a last comment would end COPY's query; one in a literal only costs speed. */
static bool fits_copy(const char *sql) {
    return is_query(sql) && !memchr(sql, ';', trimmed_length(sql));
}

static dd_status start_copy(dd_pg_stream *s, const char *sql, dd_err *err) {
    dd_pg *pg = pg_of_stream(s);
    dd_buf text = {0};
    dd_buf_add_text(&text, "copy (");
    dd_buf_add(&text, sql, trimmed_length(sql));
    dd_buf_add_text(&text, "\n) to stdout (format binary)"); /* a comment may end the query */
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
    const bool fits = PQresultStatus(result) == PGRES_COPY_OUT && PQbinaryTuples(result) &&
                      (unsigned)PQnfields(result) == s->base.column_count;
    if (fits) {
        PQclear(result);
        s->copy = true;
        return DD_OK;
    }
    if (PQresultStatus(result) != PGRES_COPY_OUT) {
        status = dd_pg_complete(pg, result, NULL, err);
        if (status != DD_OK) return DD_FAIL;
    } else {
        PQclear(result);
        (void)dd_pg_abandon(pg, 0, NULL);
    }
    return dd_fail(err, DD_INTERNAL, "server answered a copy in another form");
}

static dd_status open_copy(dd_pg_stream *s, const char *sql, const char *want, bool *fits,
                           dd_err *err) {
    PGresult *columns = NULL;
    int misfit = -1;
    if (dd_pg_describe(pg_of_stream(s), sql, &columns, err) != DD_OK) return DD_FAIL;
    *fits = PQnfields(columns) > 0;
    dd_status status = *fits ? set_columns(s, columns, want, &misfit, err) : DD_OK;
    if (status == DD_OK && misfit >= 0) status = misfit_error(s, columns, want, misfit, err);
    PQclear(columns);
    if (status == DD_OK && *fits) status = start_copy(s, sql, err);
    return status;
}

/* Makes the unused bytes and the new piece one view. */
static void append_chunk(dd_pg_stream *s, char *chunk, size_t length) {
    const size_t left = s->length - s->at;
    if (left == 0) {
        PQfreemem(s->chunk);
        s->chunk = chunk;
        s->data = (const uint8_t *)chunk;
        s->length = length;
    } else {
        if (s->chunk) {
            dd_buf_clear(&s->joined);
            dd_buf_add(&s->joined, s->data + s->at, left);
            PQfreemem(s->chunk);
            s->chunk = NULL;
        } else if (s->at) {
            memmove(s->joined.data, s->joined.data + s->at, left);
            s->joined.length = left;
        }
        dd_buf_add(&s->joined, chunk, length);
        PQfreemem(chunk);
        s->data = s->joined.data;
        s->length = s->joined.length;
    }
    s->at = 0;
}

/* Waits for more bytes; *end when the server has sent all. */
static dd_status fetch(dd_pg_stream *s, bool *end, dd_err *err) {
    dd_pg *pg = pg_of_stream(s);
    char *chunk;
    int length = PQgetCopyData(pg->pq, &chunk, 1);
    if (length == 0) dd_pg_limit(pg);
    while (length == 0) {
        dd_pg_wake wake = dd_interrupted() ? DD_PG_INTERRUPTED : dd_pg_wait(pg, false);
        if (wake != DD_PG_READY) {
            s->over = true;
            return dd_pg_give_up(pg, wake, err);
        }
        length = PQgetCopyData(pg->pq, &chunk, 1);
    }
    *end = length < 0;
    if (length > 0) append_chunk(s, chunk, (size_t)length);
    return DD_OK;
}

static dd_status broken_copy(const char *what, dd_err *err) {
    return dd_fail(err, DD_INTERNAL, "server sent a copy %s", what);
}

/* The header: signature, flags, extension. *enough is false until all of it is there. */
static dd_status read_header(dd_pg_stream *s, bool *enough, dd_err *err) {
    enum { SIGNATURE = 11, FIXED = SIGNATURE + 8 };
    const uint8_t *at = s->data + s->at;
    const size_t there = s->length - s->at;
    *enough = false;
    if (there < FIXED) return DD_OK;
    if (memcmp(at, "PGCOPY\n\377\r\n\0", SIGNATURE) != 0)
        return broken_copy("without its signature", err);
    if (dd_get_u32(at + SIGNATURE) & 0xFFFF0000) /* flags that a reader must know */
        return broken_copy("with unknown flags", err);
    const size_t extension = dd_get_u32(at + SIGNATURE + 4);
    if (there - FIXED < extension) return DD_OK;
    s->at += FIXED + extension;
    s->header_seen = *enough = true;
    return DD_OK;
}

/* True when all fields of the tuple whose fields start at `at` are there. */
static bool whole_tuple(const dd_pg_stream *s, size_t at) {
    for (unsigned i = 0; i < s->base.column_count; i++) {
        if (s->length - at < 4) return false;
        const uint32_t length = dd_get_u32(s->data + at);
        at += 4;
        if (length == UINT32_MAX) continue;
        if (s->length - at < length) return false;
        at += length;
    }
    return true;
}

/* Decodes the next tuple. *enough is false, and nothing is used, until all of it is there. */
static dd_status read_tuple(dd_pg_stream *s, dd_buf *row, bool *enough, dd_err *err) {
    *enough = false;
    if (s->length - s->at < 2) return DD_OK;
    const uint16_t count = dd_get_u16(s->data + s->at);
    if (count == UINT16_MAX) {
        s->at += 2;
        s->trailer_seen = *enough = true;
        return DD_OK;
    }
    if (count != s->base.column_count) return broken_copy("with a row of another width", err);
    size_t at = s->at + 2;
    if (!whole_tuple(s, at)) return DD_OK;
    for (unsigned i = 0; i < s->base.column_count; i++) {
        const uint32_t length = dd_get_u32(s->data + at);
        const bool null = length == UINT32_MAX;
        at += 4;
        if (add_field(s, i, null ? NULL : s->data + at, null ? 0 : length, row, err) != DD_OK)
            return DD_FAIL;
        if (!null) at += length;
    }
    s->at = at;
    *enough = true;
    return DD_OK;
}

static dd_status end_of_copy(dd_pg_stream *s, dd_err *err) {
    s->over = s->base.done = true;
    if (dd_pg_complete(pg_of_stream(s), NULL, NULL, err) != DD_OK) return DD_FAIL;
    if (s->trailer_seen && s->at == s->length) return DD_OK;
    return broken_copy(s->trailer_seen ? "with data after its end" : "without its end", err);
}

static dd_status next_tuple(dd_pg_stream *s, dd_buf *row, bool *more, dd_err *err) {
    for (;;) {
        bool enough = false, end = false;
        dd_status status = DD_OK;
        if (!s->header_seen) {
            status = read_header(s, &enough, err);
        } else if (!s->trailer_seen) {
            status = read_tuple(s, row, &enough, err);
            if (status == DD_OK && enough && !s->trailer_seen) {
                *more = true;
                return DD_OK;
            }
        }
        if (status == DD_OK && !enough) status = fetch(s, &end, err);
        if (status != DD_OK) return DD_FAIL;
        if (end) return end_of_copy(s, err);
    }
}

/* ---- entries of the driver's table ---- */

dd_status dd_pg_stream_open(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                            const char *want, bool bulk, dd_stream **out, dd_err *err) {
    dd_pg_stream *s = dd_calloc(1, sizeof *s);
    s->base.conn = conn;
    s->takes_raw = want != NULL;
    bool by_copy = bulk && count == 0 && fits_copy(sql);
    /* Whoever says what is wanted knows the types; others read enums as text. A transaction may not
     * have asked for anything before its isolation level is set. */
    const bool may_ask = !conn->driver->in_transaction(conn) || is_query(sql);
    dd_status status = !want && may_ask ? dd_pg_learn_labels(dd_pg_of(conn), err) : DD_OK;
    if (status == DD_OK && by_copy) status = open_copy(s, sql, want, &by_copy, err);
    if (status == DD_OK && !by_copy) status = open_rows(s, sql, params, count, want, err);
    if (status == DD_OK) *out = &s->base;
    else free_stream(s);
    return status;
}

dd_status dd_pg_stream_next(dd_stream *stream, dd_buf *row, bool *more, dd_err *err) {
    dd_pg_stream *s = (dd_pg_stream *)stream;
    return s->copy ? next_tuple(s, row, more, err) : next_row(s, row, more, err);
}

void dd_pg_stream_close(dd_stream *stream) {
    dd_pg_stream *s = (dd_pg_stream *)stream;
    if (!s->over) (void)dd_pg_abandon(pg_of_stream(s), close_grace, NULL);
    free_stream(s);
}
