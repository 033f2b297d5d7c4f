#include <string.h>

#include "db/postgres_driver.h"

/*
 * Several statements under way: libpq's pipeline mode, which is on from the first queued statement
 * until the last result was taken.
 *
 * A Sync goes behind each statement, so that the failure of one ends with it, and the server refuses
 * what follows in the same transaction by itself. The exception is a BEGIN whose answer is not known:
 * had it failed, what follows would be run outside of the transaction and commit by itself. So the
 * statements behind it are a group with one Sync, and a failure in the group makes the server skip
 * the rest of it. The group ends before the statement that ends the transaction, which does no harm
 * without one, or when somebody waits for a result; or behind a PREPARE TRANSACTION that is the last.
 */
#ifdef LIBPQ_HAS_PIPELINING

/* Sends the Sync behind the statement at `last`. */
static void sync_behind(dd_pg *pg, unsigned last) {
    pg->grouped = false;
    pg->sent[last].synced = PQpipelineSync(pg->pq);
    if (!pg->sent[last].synced) dd_conn_enter(&pg->base, DD_CONN_BROKEN);
}

static dd_status begin(dd_pg *pg, const char *sql, dd_err *err) {
    if (dd_pg_start(pg, sql, err) != DD_OK) return DD_FAIL;
    pg->block = pg->in_block;
    pg->grouped = pg->held = false;
    if (PQenterPipelineMode(pg->pq)) return DD_OK;
    return dd_fail(err, DD_INTERNAL, "cannot enter pipeline mode");
}

/* What is not taken by the system at once is sent while results are waited for. */
static dd_status add(dd_pg *pg, const char *sql, const dd_pg_params *bound, unsigned count,
                     dd_leaves leaves, dd_err *err) {
    const unsigned at = pg->base.queued;
    const dd_block after = dd_block_after(sql);
    const bool goes_along = leaves == DD_LEAVES_LAST && dd_first_word_is(sql, "prepare");
    if (pg->grouped && after != DD_BLOCK_KEPT && !goes_along) sync_behind(pg, at - 1);
    if (!PQsendQueryParams(pg->pq, sql, (int)count, bound->types, bound->values, bound->lengths,
                           bound->formats, 1)) {
        pg->phase = DD_PHASE_STATEMENT; /* it has not left, so it is not ambiguous */
        (void)dd_pg_error(pg, NULL, err);
        if (at == 0) (void)PQexitPipelineMode(pg->pq);
        return DD_FAIL;
    }
    pg->sent[at] = (dd_pg_sent){.phase = dd_phase_of(sql), .in_block = pg->block};
    if (after != DD_BLOCK_KEPT) pg->block = pg->grouped = after == DD_BLOCK_OPEN;
    /* A failure to send shows when the result is read: who knows how much has left. */
    if (!pg->grouped || leaves == DD_LEAVES_LAST) sync_behind(pg, at);
    else if (leaves == DD_LEAVES_NOW) (void)PQflush(pg->pq);
    pg->held = leaves == DD_LEAVES_WITH_NEXT;
    return DD_OK;
}

/* Whether the connection is worth a look before this goes behind others: in a group only the end of
 * the transaction is, for libpq would send at that what waits for company. */
static bool look_first(const dd_pg *pg, const char *sql) {
    if (!pg->grouped) return true;
    return dd_phase_of(sql) == DD_PHASE_COMMIT && (!pg->held || dd_pg_readable(pg));
}

dd_status dd_pg_queue(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                      dd_leaves leaves, dd_err *err) {
    dd_pg *pg = dd_pg_of(conn);
    dd_pg_params bound = {0};
    /* It would take the statements behind it for its data. */
    if (dd_first_word_is(sql, "copy")) return dd_fail(err, DD_USAGE, "COPY cannot be queued");
    dd_status status = dd_pg_params_build(params, count, &bound, err);
    if (status == DD_OK && conn->queued == 0) status = begin(pg, sql, err);
    else if (status == DD_OK && look_first(pg, sql)) status = dd_pg_there(pg, err);
    if (status == DD_OK) status = add(pg, sql, &bound, count, leaves, err);
    dd_pg_params_free(&bound);
    return status;
}

static bool commit_behind(const dd_pg *pg, unsigned left) {
    for (unsigned i = 0; i < left; i++)
        if (pg->sent[i].phase == DD_PHASE_COMMIT) return true;
    return false;
}

/* The results of one statement, as far as there are any. */
static dd_status read_first(dd_pg *pg, dd_result *result, dd_err *err) {
    const bool broken = pg->base.state == DD_CONN_BROKEN;
    if (broken && pg->stopped) return dd_pg_stopped(pg, pg->stopped, false, err);
    if (broken && PQstatus(pg->pq) == CONNECTION_OK) return dd_pg_error(pg, NULL, err);
    if (pg->stopped) pg->missed = pg->stopped;
    pg->stopped = DD_PG_READY;
    dd_pg_limit(pg);
    (void)PQsetSingleRowMode(pg->pq); /* rows that nobody wants are not kept in memory */
    return dd_pg_complete(pg, NULL, result, err);
}

/* libpq tells the reason of a loss once, and it is that of every statement that was under way. */
static void remember_loss(dd_pg *pg, const dd_err *err) {
    if (pg->last_words[0] || (err->class_ != DD_UNAVAILABLE && err->class_ != DD_AMBIGUOUS)) return;
    dd_err_text(pg->last_words, sizeof pg->last_words, err->message);
    dd_err_text(pg->last_sqlstate, sizeof pg->last_sqlstate, err->sqlstate);
}

dd_status dd_pg_finish_queued(dd_pg *pg, dd_result *result, dd_err *err) {
    const unsigned left = pg->base.queued - 1;
    if (pg->grouped) sync_behind(pg, left);
    const dd_pg_sent sent = pg->sent[0];
    memmove(pg->sent, pg->sent + 1, left * sizeof *pg->sent);
    pg->phase = sent.phase;
    pg->in_block = sent.in_block;
    pg->synced = sent.synced;
    dd_status status = dd_pg_doubt(pg, read_first(pg, result, err), err);
    pg->warned = pg->no_block = false;
    if (left == 0 && !PQexitPipelineMode(pg->pq)) dd_conn_enter(&pg->base, DD_CONN_BROKEN);
    if (status == DD_OK) return DD_OK;
    /* The server's last words may be there before the end of the connection is seen. */
    const bool lost = pg->base.state == DD_CONN_BROKEN || err->class_ == DD_UNAVAILABLE;
    if (lost && commit_behind(pg, left)) err->outcome = DD_OUTCOME_UNKNOWN;
    if (lost) remember_loss(pg, err);
    return DD_FAIL;
}

#endif
