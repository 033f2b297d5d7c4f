#include "pair/dual.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/branch.h"
#include "pair/steps.h"

/* What the secondary was sent and has not answered. */
enum { UNDER_WAY = 8 };

typedef enum { OPENING, STATEMENT, PREPARE } dd_sent;

struct dd_dual {
    dd_conn *side[2];          /* primary, secondary; NULL for one that takes no part */
    dd_dual_protocol protocol;
    dd_dual_state state;
    bool lenient;
    bool prepare_sent;         /* the side that is prepared may be so */
    bool prepared;             /* it is */
    bool branch_ended;         /* no more statements in the primary's branch */
    bool has_failure;
    dd_err failure;            /* of the statement that failed first */
    char gid[DD_GID_LIMIT + 1];
    struct {
        dd_sent what;
        int64_t expected;      /* rows that it has to affect; -1 = any number */
        uint32_t number;
    } sent[UNDER_WAY];
    unsigned sent_count;
    bool deciding;             /* the primary was sent the decision row, and has not answered */
    dd_buf mismatches;         /* of uint32_t */
};

enum { PRIMARY, SECONDARY };

static const struct {
    const char *name;
    int decides, prepares;     /* a side; -1 = neither */
    dd_step begun, written;
} protocols[DD_DUAL_PROTOCOL_COUNT] = {
    [DD_DUAL_A1] = {"a1", PRIMARY, SECONDARY, DD_STEP_A1_BEGUN, DD_STEP_A1_WRITTEN},
    [DD_DUAL_A2] = {"a2", SECONDARY, PRIMARY, DD_STEP_A2_BEGUN, DD_STEP_A2_WRITTEN},
    [DD_DUAL_JOURNALED] = {"journaled", PRIMARY, -1, DD_STEP_J_BEGUN, DD_STEP_J_WRITTEN},
    [DD_DUAL_PRIMARY_ONLY] = {"primary_only", PRIMARY, -1, DD_STEP_P_BEGUN, DD_STEP_P_WRITTEN},
    [DD_DUAL_SECONDARY_ONLY] = {"secondary_only", SECONDARY, -1, DD_STEP_S_BEGUN,
                                DD_STEP_S_WRITTEN},
};

const char *dd_dual_protocol_name(dd_dual_protocol protocol) { return protocols[protocol].name; }

/* Nothing can be committed any more: the deciding side's transaction will be rolled back. */
static dd_status failed(dd_dual *dual, dd_err *err) {
    if (dual->state == DD_DUAL_OPEN || dual->state == DD_DUAL_READY) dual->state = DD_DUAL_FAILED;
    err->outcome = DD_NOT_APPLIED;
    if (err->class_ == DD_AMBIGUOUS) err->class_ = DD_UNAVAILABLE;
    if (!dual->has_failure) dual->failure = *err;
    dual->has_failure = true;
    return DD_FAIL;
}

static dd_status check_state(const dd_dual *dual, dd_dual_state needed, dd_err *err) {
    if (dual->state == needed) return DD_OK;
    if (dual->state == DD_DUAL_FAILED && dual->has_failure) {
        *err = dual->failure; /* whoever caught it: what the write fails of is still that */
        return DD_FAIL;
    }
    if (dual->state == DD_DUAL_FAILED)
        return dd_fail(err, DD_USAGE, "a statement of this dual write failed: it can only end");
    if (dual->state == DD_DUAL_OPEN)
        return dd_fail(err, DD_USAGE, "the dual write is not prepared");
    return dd_fail(err, DD_USAGE, "the dual write has ended");
}

static dd_status run(dd_conn *conn, const char *sql, dd_result *result, dd_err *err) {
    return dd_conn_execute(conn, sql, NULL, 0, result, err);
}

static dd_status run_branch(dd_dual *dual, int side, dd_branch_verb verb, dd_result *result,
                            dd_err *err) {
    dd_branch_text text;
    dd_branch_sql(dd_conn_driver(dual->side[side]), verb, dual->gid, &text);
    return run(dual->side[side], text.sql, result, err);
}

/* ---- what is under way on the secondary ---- */

static dd_status queue(dd_dual *dual, const char *sql, const dd_value *params, unsigned count,
                       dd_leaves leaves, dd_sent what, int64_t expected, uint32_t number,
                       dd_err *err) {
    if (dd_conn_queue(dual->side[SECONDARY], sql, params, count, leaves, err))
        return failed(dual, err);
    dual->sent[dual->sent_count].what = what;
    dual->sent[dual->sent_count].expected = expected;
    dual->sent[dual->sent_count++].number = number;
    return DD_OK;
}

static dd_status check_rows(dd_dual *dual, unsigned at, const dd_result *result, dd_err *err) {
    const int64_t expected = dual->sent[at].expected;
    if (expected < 0 || result->affected == (uint64_t)expected) return DD_OK;
    const uint32_t number = dual->sent[at].number;
    if ((dual->lenient && number != DD_DUAL_MUST) || number == DD_DUAL_GUARD ||
        number == DD_DUAL_NOTED) {
        dd_buf_add(&dual->mismatches, &dual->sent[at].number, sizeof dual->sent[at].number);
        return DD_OK;
    }
    (void)dd_fail(err, DD_CONFLICT,
                  "the primary affected %lld rows and the secondary %llu: they differed before",
                  (long long)expected, (unsigned long long)result->affected);
    dd_hint(err, "Find the differences with `dualdb verify` and mend them with `dualdb repair`.");
    return DD_FAIL;
}

/* Takes all answers; the first failure counts, what follows it in a failed transaction says no more
 * than that. */
dd_status dd_dual_settle(dd_dual *dual, dd_result *result, dd_err *err) {
    dd_status status = DD_OK;
    *result = (dd_result){0};
    for (unsigned i = 0; i < dual->sent_count; i++) {
        dd_result answer;
        dd_err later;
        dd_status one = dd_conn_finish(dual->side[SECONDARY], &answer, status ? &later : err);
        if (one == DD_OK && dual->sent[i].what == PREPARE) dual->prepared = true;
        if (status) continue;
        if (one == DD_OK && dual->sent[i].what == STATEMENT) {
            if (dual->sent[i].number != DD_DUAL_GUARD) *result = answer;
            one = check_rows(dual, i, &answer, err);
        }
        if (one) status = failed(dual, err);
    }
    dual->sent_count = 0;
    return status;
}

static bool statement_under_way(const dd_dual *dual) {
    for (unsigned i = 0; i < dual->sent_count; i++)
        if (dual->sent[i].what == STATEMENT) return true;
    return false;
}

/* ---- beginning ---- */

/* The primary's session is free when the decision row is in. */
static dd_status take_decision(dd_dual *dual, dd_err *err) {
    dd_result result;
    if (!dual->deciding) return DD_OK;
    dual->deciding = false;
    return dd_conn_finish(dual->side[PRIMARY], &result, err) ? failed(dual, err) : DD_OK;
}

/* The primary inserts it while the secondary begins and the caller gets its first statement ready. */
static dd_status send_decision(dd_dual *dual, const char *sql, dd_err *err) {
    if (dd_conn_send(dual->side[PRIMARY], sql, NULL, 0, err)) return DD_FAIL;
    dual->deciding = true;
    return DD_OK;
}

static dd_status queue_opening(dd_dual *dual, const char *sql, dd_leaves leaves, dd_err *err) {
    return queue(dual, sql, NULL, 0, leaves, OPENING, -1, 0, err);
}

static dd_status begin(dd_dual *dual, const dd_dual_settings *settings, dd_err *err) {
    dd_result result;
    const bool primary_decides = protocols[dual->protocol].decides == PRIMARY;
    if (primary_decides && send_decision(dual, settings->decision, err)) return DD_FAIL;
    if (dual->side[SECONDARY]) {
        const char *opening = settings->opening;
        const dd_leaves leaves = primary_decides ? DD_LEAVES_NOW : DD_LEAVES_WITH_NEXT;
        if (queue_opening(dual, "begin", opening ? DD_LEAVES_WITH_NEXT : leaves, err) ||
            (opening && queue_opening(dual, opening, leaves, err)))
            return DD_FAIL;
    }
    /* When the secondary decides, a server that has to wake up must not do so while locks are held
     * on the primary. */
    if (!primary_decides && (queue_opening(dual, settings->decision, DD_LEAVES_LAST, err) ||
                             dd_dual_settle(dual, &result, err)))
        return DD_FAIL;
    dd_step_done(protocols[dual->protocol].begun);
    if (protocols[dual->protocol].prepares != PRIMARY) return DD_OK;
    if (run_branch(dual, PRIMARY, DD_BRANCH_START, &result, err)) return DD_FAIL;
    dd_step_done(DD_STEP_A2_STARTED);
    return DD_OK;
}

dd_status dd_dual_begin(const dd_dual_settings *settings, dd_dual **out, dd_err *err) {
    *out = NULL;
    dd_conn *const side[2] = {settings->primary, settings->secondary};
    if (!dd_gid_valid(settings->gid)) return dd_fail(err, DD_USAGE, "the gid is not valid");
    for (int i = 0; i < 2; i++) {
        const dd_dual_protocol alone =
            i == PRIMARY ? DD_DUAL_SECONDARY_ONLY : DD_DUAL_PRIMARY_ONLY;
        if (!side[i] != (settings->protocol == alone))
            return dd_fail(err, DD_USAGE, "protocol %s and the connections given do not fit",
                           protocols[settings->protocol].name);
        if (side[i] && dd_conn_in_transaction(side[i]))
            return dd_fail(err, DD_USAGE,
                           "a connection of the dual write is in a transaction already");
    }
    dd_dual *dual = dd_calloc(1, sizeof *dual);
    memcpy(dual->side, side, sizeof dual->side);
    dual->protocol = settings->protocol;
    dual->lenient = settings->lenient;
    memcpy(dual->gid, settings->gid, strlen(settings->gid) + 1); /* valid, so it fits */
    if (begin(dual, settings, err)) {
        (void)failed(dual, err);
        dd_dual_free(dual);
        return DD_FAIL;
    }
    *out = dual;
    return DD_OK;
}

/* ---- statements ---- */

dd_status dd_dual_ready(dd_dual *dual, dd_err *err) {
    if (check_state(dual, DD_DUAL_OPEN, err)) return DD_FAIL;
    return take_decision(dual, err);
}

dd_status dd_dual_primary(dd_dual *dual, const char *sql, const dd_value *params, unsigned count,
                          dd_result *result, dd_err *err) {
    if (dd_dual_ready(dual, err)) return DD_FAIL;
    if (dd_conn_execute(dual->side[PRIMARY], sql, params, count, result, err))
        return failed(dual, err);
    dd_step_done(protocols[dual->protocol].written);
    return DD_OK;
}

dd_status dd_dual_secondary(dd_dual *dual, const char *sql, const dd_value *params, unsigned count,
                            int64_t expected, uint32_t number, dd_err *err) {
    dd_result before;
    if (check_state(dual, DD_DUAL_OPEN, err)) return DD_FAIL;
    if (statement_under_way(dual) && dd_dual_settle(dual, &before, err)) return DD_FAIL;
    if (queue(dual, sql, params, count, DD_LEAVES_NOW, STATEMENT, expected, number, err))
        return DD_FAIL;
    switch (dual->protocol) {
    case DD_DUAL_A1: dd_step_done(DD_STEP_A1_TRAILED); break;
    case DD_DUAL_A2: dd_step_done(DD_STEP_A2_TRAILED); break;
    case DD_DUAL_JOURNALED: dd_step_done(DD_STEP_J_TRAILED); break;
    case DD_DUAL_SECONDARY_ONLY: dd_step_done(DD_STEP_S_WRITTEN); break;
    default: break;
    }
    return DD_OK;
}

dd_status dd_dual_guard(dd_dual *dual, const char *sql, dd_err *err) {
    if (check_state(dual, DD_DUAL_OPEN, err)) return DD_FAIL;
    const bool prepare_follows = dual->protocol == DD_DUAL_A1;
    return queue(dual, sql, NULL, 0, prepare_follows ? DD_LEAVES_WITH_NEXT : DD_LEAVES_LAST,
                 STATEMENT, 0, DD_DUAL_GUARD, err);
}

const uint32_t *dd_dual_mismatches(const dd_dual *dual, unsigned *count) {
    *count = (unsigned)(dual->mismatches.length / sizeof(uint32_t));
    return (const uint32_t *)(const void *)dual->mismatches.data;
}

void dd_dual_fail(dd_dual *dual) {
    if (dual->state == DD_DUAL_OPEN) dual->state = DD_DUAL_FAILED;
}

/* ---- savepoints ---- */

static dd_status on_both(dd_dual *dual, const char *verb, const char *name, dd_err *err) {
    char sql[128];
    dd_result result;
    int length = snprintf(sql, sizeof sql, "%s %s", verb, name);
    if (length < 0 || (size_t)length >= sizeof sql)
        return dd_fail(err, DD_USAGE, "the name of the savepoint is too long");
    for (int i = 0; i < 2; i++)
        if (dual->side[i] && run(dual->side[i], sql, &result, err)) return failed(dual, err);
    return DD_OK;
}

dd_status dd_dual_savepoint(dd_dual *dual, const char *name, dd_err *err) {
    dd_result result;
    if (dd_dual_ready(dual, err) || dd_dual_settle(dual, &result, err)) return DD_FAIL;
    return on_both(dual, "savepoint", name, err);
}

dd_status dd_dual_back_to(dd_dual *dual, const char *name, dd_err *err) {
    dd_result result;
    dd_err ignored; /* it is what is being undone */
    if (dual->state != DD_DUAL_OPEN && dual->state != DD_DUAL_FAILED)
        return dd_fail(err, DD_USAGE, "the dual write has ended");
    if (dd_dual_settle(dual, &result, &ignored)) dual->state = DD_DUAL_FAILED;
    if (on_both(dual, "rollback to savepoint", name, err)) return DD_FAIL;
    dual->state = DD_DUAL_OPEN;
    dual->has_failure = false;
    return DD_OK;
}

/* ---- the end ---- */

dd_status dd_dual_prepare(dd_dual *dual, dd_err *err) {
    dd_result result;
    if (dd_dual_ready(dual, err)) return DD_FAIL;
    if (dual->protocol == DD_DUAL_A1 && !dd_broken("no_prepare")) {
        dd_branch_text text;
        dd_branch_sql(dd_conn_driver(dual->side[SECONDARY]), DD_BRANCH_PREPARE, dual->gid, &text);
        dual->prepare_sent = true;
        if (queue(dual, text.sql, NULL, 0, DD_LEAVES_LAST, PREPARE, -1, 0, err)) return DD_FAIL;
        dd_step_done(DD_STEP_A1_PREPARE_SENT);
    }
    if (dd_dual_settle(dual, &result, err)) return DD_FAIL;
    if (dual->protocol == DD_DUAL_A1 && dd_broken("early_commit") &&
        run_branch(dual, SECONDARY, DD_BRANCH_COMMIT, &result, err))
        return failed(dual, err);
    if (dual->protocol == DD_DUAL_A1) dd_step_done(DD_STEP_A1_PREPARED);
    if (dual->protocol == DD_DUAL_JOURNALED) dd_step_done(DD_STEP_J_SETTLED);
    return DD_OK;
}

static dd_status prepare_primary(dd_dual *dual, dd_err *err) {
    dd_result result;
    if (run_branch(dual, PRIMARY, DD_BRANCH_END, &result, err)) return failed(dual, err);
    dual->branch_ended = true;
    dd_step_done(DD_STEP_A2_ENDED);
    dual->prepare_sent = true;
    if (run_branch(dual, PRIMARY, DD_BRANCH_PREPARE, &result, err)) return failed(dual, err);
    dual->prepared = true;
    dd_step_done(DD_STEP_A2_PREPARED);
    return DD_OK;
}

/* A server that answers ROLLBACK has rolled back. All other failures of a COMMIT say nothing for
 * sure: the one with a living connection may have come before or after. */
static dd_status in_doubt(dd_dual *dual, dd_err *err) {
    if (err->class_ == DD_TRANSIENT && err->sqlstate[0] == '\0' && err->code == 0)
        return failed(dual, err);
    dual->state = DD_DUAL_IN_DOUBT;
    err->outcome = DD_OUTCOME_UNKNOWN;
    return DD_FAIL;
}

dd_status dd_dual_decide(dd_dual *dual, bool *doubtful, dd_err *err) {
    static const dd_step decided[DD_DUAL_PROTOCOL_COUNT] = {
        [DD_DUAL_A1] = DD_STEP_A1_DECIDED,
        [DD_DUAL_A2] = DD_STEP_A2_DECIDED,
        [DD_DUAL_JOURNALED] = DD_STEP_J_DECIDED,
        [DD_DUAL_PRIMARY_ONLY] = DD_STEP_P_DECIDED,
        [DD_DUAL_SECONDARY_ONLY] = DD_STEP_S_DECIDED,
    };
    dd_result result;
    *doubtful = false;
    if (dd_dual_ready(dual, err)) return DD_FAIL;
    if (dual->protocol == DD_DUAL_A2 && prepare_primary(dual, err)) return DD_FAIL;
    dual->state = DD_DUAL_READY;
    dd_conn *decider = dual->side[protocols[dual->protocol].decides];
    if (dd_conn_send(decider, "commit", NULL, 0, err)) return in_doubt(dual, err);
    if (dual->protocol == DD_DUAL_A2) dd_step_done(DD_STEP_A2_DECISION_SENT);
    if (dd_conn_finish(decider, &result, err)) return in_doubt(dual, err);
    *doubtful = result.warned;
    dual->state = DD_DUAL_DECIDED;
    dd_step_done(decided[dual->protocol]);
    return DD_OK;
}

/* What is prepared ends on the connection that prepared it, if that lives: MariaDB keeps the branch
 * for its session, and lets nobody else finish it before the session has ended. */
void dd_dual_resolve(dd_dual *dual, bool committed) {
    if (dual->state == DD_DUAL_IN_DOUBT)
        dual->state = committed ? DD_DUAL_DECIDED : DD_DUAL_FAILED;
}

dd_status dd_dual_finish(dd_dual *dual, dd_err *err) {
    dd_result result;
    dd_status status = DD_OK;
    if (check_state(dual, DD_DUAL_DECIDED, err)) return DD_FAIL;
    dd_branch_text text = {"commit"};
    if (dd_broken("early_commit")) return DD_OK;
    if (!dd_broken("no_prepare") && protocols[dual->protocol].prepares >= 0)
        dd_branch_sql(dd_conn_driver(dual->side[protocols[dual->protocol].prepares]),
                      DD_BRANCH_COMMIT, dual->gid, &text);
    switch (dual->protocol) {
    case DD_DUAL_A1:
    case DD_DUAL_JOURNALED:
        status = dd_conn_send(dual->side[SECONDARY], text.sql, NULL, 0, err);
        if (status) break;
        dd_step_done(dual->protocol == DD_DUAL_A1 ? DD_STEP_A1_FINISH_SENT
                                                  : DD_STEP_J_FINISH_SENT);
        status = dd_conn_finish(dual->side[SECONDARY], &result, err);
        break;
    case DD_DUAL_A2: status = run(dual->side[PRIMARY], text.sql, &result, err); break;
    default: break;
    }
    if (status) {
        err->outcome = DD_APPLIED;
        return DD_FAIL;
    }
    dual->state = DD_DUAL_FINISHED;
    dual->prepared = false;
    if (dual->protocol == DD_DUAL_A1) dd_step_done(DD_STEP_A1_FINISHED);
    if (dual->protocol == DD_DUAL_A2) dd_step_done(DD_STEP_A2_FINISHED);
    if (dual->protocol == DD_DUAL_JOURNALED) dd_step_done(DD_STEP_J_FINISHED);
    return DD_OK;
}

/* ---- giving up ---- */

/* What was sent is cancelled, and whatever it says, the transaction is being given up. A PREPARE is
 * waited for instead: whether it took place must be known. */
static void drain(dd_dual *dual) {
    dd_result result;
    dd_err ignored;
    if (!dual->sent_count) return;
    if (!dual->prepare_sent) dd_conn_cancel(dual->side[SECONDARY]);
    if (dd_dual_settle(dual, &result, &ignored)) dual->state = DD_DUAL_FAILED;
}

/* A failure means that the session is gone, and with it what was not prepared. */
static void roll_back_plain(dd_conn *conn) {
    dd_result result;
    dd_err ignored;
    if (!conn || dd_conn_state(conn) == DD_CONN_BROKEN) return;
    if (run(conn, "rollback", &result, &ignored)) return;
}

/* True when nothing of the branch is left. */
static bool roll_back_branch(dd_dual *dual, int side) {
    dd_result result;
    dd_err ignored;
    if (dd_conn_state(dual->side[side]) == DD_CONN_BROKEN) return !dual->prepare_sent;
    if (side == SECONDARY) {
        if (!dual->prepared) {
            roll_back_plain(dual->side[side]);
            return dd_conn_state(dual->side[side]) != DD_CONN_BROKEN || !dual->prepare_sent;
        }
    } else if (!dual->branch_ended && run_branch(dual, side, DD_BRANCH_END, &result, &ignored)) {
        /* A branch that lost a deadlock cannot be ended, only rolled back. */
        dual->branch_ended = false;
    }
    return run_branch(dual, side, DD_BRANCH_ROLLBACK, &result, &ignored) == DD_OK ||
           !dual->prepare_sent;
}

void dd_dual_rollback(dd_dual *dual, bool *prepared) {
    bool left = false;
    dd_err ignored;
    if (prepared) *prepared = false;
    if (take_decision(dual, &ignored)) dual->state = DD_DUAL_FAILED;
    if (dual->state == DD_DUAL_IN_DOUBT) {
        /* A COMMIT that failed on a living connection is not tried again by the server. What is
         * prepared waits for the decision; what is not can be had from the journal. */
        roll_back_plain(dual->side[protocols[dual->protocol].decides]);
        if (dual->protocol == DD_DUAL_JOURNALED) roll_back_plain(dual->side[SECONDARY]);
    }
    if (dual->state != DD_DUAL_OPEN && dual->state != DD_DUAL_FAILED) return;
    drain(dual);
    const int prepares = protocols[dual->protocol].prepares;
    /* The deciding side first: once its decision row is gone, nobody commits the other. */
    if (prepares != PRIMARY) roll_back_plain(dual->side[PRIMARY]);
    if (prepares != SECONDARY) roll_back_plain(dual->side[SECONDARY]);
    if (prepares >= 0 && !roll_back_branch(dual, prepares)) left = true;
    if (prepared) *prepared = left;
    dual->state = DD_DUAL_ROLLED_BACK;
}

dd_dual_state dd_dual_state_of(const dd_dual *dual) { return dual->state; }

void dd_dual_free(dd_dual *dual) {
    if (!dual) return;
    dd_dual_rollback(dual, NULL);
    dd_dual_forget(dual);
}

void dd_dual_forget(dd_dual *dual) {
    if (!dual) return;
    dd_buf_free(&dual->mismatches);
    free(dual);
}
