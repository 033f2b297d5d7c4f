#include <stdio.h>
#include <stdlib.h>

#include "db/postgres_driver.h"
#include "row/pgwire.h"
#include "row/pgwire_types.h"

/*
 * Parse and Describe in one message train with one Sync: a pooler in transaction mode may give each
 * train to another server, where the unnamed statement is unknown, or somebody else's. libpq before
 * 14 cannot do that; there the two go one after the other, which is right without such a pooler or
 * inside a transaction.
 */
#ifdef LIBPQ_HAS_PIPELINING

static bool send_both(PGconn *pq, const char *sql) {
    return PQenterPipelineMode(pq) && PQsendPrepare(pq, "", sql, 0, NULL) &&
           PQsendDescribePrepared(pq, "") && PQpipelineSync(pq);
}

/* Reads the whole train. *found: the last result that tells something. */
static dd_status read_both(dd_pg *pg, PGresult **found, dd_err *err) {
    for (;;) {
        PGresult *result;
        if (dd_pg_answer(pg, &result, err) != DD_OK) return DD_FAIL;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            (void)PQexitPipelineMode(pg->pq);
            return DD_OK;
        }
        if (!result) { /* the end of one of the two, or of everything */
            if (PQstatus(pg->pq) != CONNECTION_OK) return DD_OK;
        } else if (status == PGRES_PIPELINE_ABORTED ||
                   (*found && PQresultStatus(*found) == PGRES_FATAL_ERROR)) {
            PQclear(result);
        } else {
            PQclear(*found);
            *found = result;
        }
    }
}

#else

static bool send_both(PGconn *pq, const char *sql) { return PQsendPrepare(pq, "", sql, 0, NULL); }

static dd_status read_one(dd_pg *pg, PGresult **found, dd_err *err) {
    for (;;) {
        PGresult *result;
        if (dd_pg_answer(pg, &result, err) != DD_OK) return DD_FAIL;
        if (!result) return DD_OK;
        if (*found && PQresultStatus(*found) == PGRES_FATAL_ERROR) {
            PQclear(result);
        } else {
            PQclear(*found);
            *found = result;
        }
    }
}

static dd_status read_both(dd_pg *pg, PGresult **found, dd_err *err) {
    if (read_one(pg, found, err) != DD_OK) return DD_FAIL;
    if (PQresultStatus(*found) != PGRES_COMMAND_OK) return DD_OK;
    if (!PQsendDescribePrepared(pg->pq, "")) return dd_pg_error(pg, NULL, err);
    if (dd_pg_send_all(pg, err) != DD_OK) return DD_FAIL;
    return read_one(pg, found, err);
}

#endif

dd_status dd_pg_describe(dd_pg *pg, const char *sql, PGresult **out, dd_err *err) {
    PGresult *found = NULL;
    if (dd_pg_start(pg, sql, err) != DD_OK) return DD_FAIL;
    if (!send_both(pg->pq, sql)) {
        /* Half a train may be under way; nothing can be read from such a connection any more. */
        dd_conn_enter(&pg->base, DD_CONN_BROKEN);
        return dd_pg_error(pg, NULL, err);
    }
    dd_status status = dd_pg_send_all(pg, err);
    if (status == DD_OK) status = read_both(pg, &found, err);
    if (status == DD_OK && (PQstatus(pg->pq) != CONNECTION_OK ||
                            PQresultStatus(found) != PGRES_COMMAND_OK))
        status = dd_pg_error(pg, found, err);
    if (status == DD_OK) *out = found;
    else PQclear(found);
    return status;
}

/* ---- types that are made at run time ---- */

dd_status dd_pg_learn_labels(dd_pg *pg, dd_err *err) {
    static const char sql[] = "select oid from pg_catalog.pg_type where typtype = 'e' or "
                              "(typname = 'citext' and typcategory = 'S') order by oid";
    PGresult *result = NULL;
    if (pg->labels_known || PQtransactionStatus(pg->pq) == PQTRANS_INERROR) return DD_OK;
    if (dd_pg_start(pg, sql, err) != DD_OK) return DD_FAIL;
    if (!PQsendQuery(pg->pq, sql)) return dd_pg_error(pg, NULL, err);
    if (dd_pg_send_all(pg, err) != DD_OK || dd_pg_answer(pg, &result, err) != DD_OK)
        return DD_FAIL;
    if (pg->stopped) {
        PQclear(result);
        return dd_pg_give_up(pg, pg->stopped, err);
    }
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        if (dd_pg_complete(pg, result, NULL, err) != DD_OK) return DD_FAIL;
        return dd_fail(err, DD_INTERNAL, "server did not list its types");
    }
    const unsigned count = (unsigned)PQntuples(result);
    free(pg->labels);
    pg->labels = dd_calloc((size_t)count + 1, sizeof *pg->labels);
    pg->label_count = count;
    for (unsigned i = 0; i < count; i++)
        pg->labels[i] = (Oid)strtoul(PQgetvalue(result, (int)i, 0), NULL, 10);
    pg->labels_known = true;
    return dd_pg_complete(pg, result, NULL, err);
}

static int compare_oids(const void *a, const void *b) {
    const Oid x = *(const Oid *)a, y = *(const Oid *)b;
    return x < y ? -1 : x > y;
}

bool dd_pg_is_label(const dd_pg *pg, Oid oid) {
    return pg->label_count &&
           bsearch(&oid, pg->labels, pg->label_count, sizeof oid, compare_oids) != NULL;
}

/* ---- errors ---- */

/* The type's name as the server writes it, into `name`; false when it cannot be asked. */
static bool ask_type_name(dd_pg *pg, Oid oid, int modifier, char *name, unsigned long size) {
    char sql[96];
    dd_err ignored;
    PGresult *result = NULL, *end = NULL;
    if (PQtransactionStatus(pg->pq) == PQTRANS_INERROR) return false;
    snprintf(sql, sizeof sql, "select format_type(%u, %d)", oid, modifier);
    bool found = dd_pg_start(pg, sql, &ignored) == DD_OK && PQsendQuery(pg->pq, sql) &&
                 dd_pg_send_all(pg, &ignored) == DD_OK &&
                 dd_pg_answer(pg, &result, &ignored) == DD_OK;
    if (found && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        dd_err_text(name, size, PQgetvalue(result, 0, 0));
    else found = false;
    PQclear(result);
    while (found && dd_pg_answer(pg, &end, &ignored) == DD_OK && end) PQclear(end);
    return found;
}

dd_status dd_pg_misfit(dd_pg *pg, const PGresult *columns, unsigned at, dd_kind kind,
                       const char *verb, dd_err *err) {
    const Oid oid = PQftype(columns, (int)at);
    const char *column = PQfname(columns, (int)at);
    const char *known = dd_pg_type_name(oid);
    char name[128];
    if (oid >= FIRST_NORMAL_OID) pg->labels_known = false; /* it may be newer than what is known */
    if (!ask_type_name(pg, oid, PQfmod(columns, (int)at), name, sizeof name)) {
        if (known) dd_err_text(name, sizeof name, known);
        else snprintf(name, sizeof name, "%u", oid);
    }
    if (kind)
        return dd_fail(err, DD_SCHEMA, "column \"%s\" has type %s, which dualdb cannot %s as %s",
                       column, name, verb, dd_kind_name(kind));
    return dd_fail(err, DD_SCHEMA, "column \"%s\" has type %s, which dualdb cannot %s", column,
                   name, verb);
}

dd_status dd_pg_name_column(const char *column, dd_err *err) {
    char text[sizeof err->message + 80];
    snprintf(text, sizeof text, "column \"%.63s\": %s", column, err->message);
    dd_err_text(err->message, sizeof err->message, text);
    return DD_FAIL;
}
