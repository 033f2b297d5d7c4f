#include "pair/dual.h"

#include <stdlib.h>

struct dd_dual {
    dd_conn *primary, *secondary;
    dd_dual_state state;
    bool pending;              /* the secondary has a statement whose result was not read */
    int64_t expected;          /* rows that it has to affect; -1 = any number */
};

static dd_status failed(dd_dual *dual) {
    if (dual->state == DD_DUAL_OPEN) dual->state = DD_DUAL_FAILED;
    return DD_FAIL;
}

static dd_status check_open(const dd_dual *dual, dd_err *err) {
    switch (dual->state) {
    case DD_DUAL_OPEN: return DD_OK;
    case DD_DUAL_FAILED:
        return dd_fail(err, DD_USAGE, "a statement of this dual write failed: it can only end");
    case DD_DUAL_COMMITTED:
    case DD_DUAL_ROLLED_BACK: break;
    }
    return dd_fail(err, DD_USAGE, "the dual write has ended");
}

dd_status dd_dual_begin(dd_conn *primary, dd_conn *secondary, dd_dual **out, dd_err *err) {
    *out = NULL;
    if (dd_conn_in_transaction(primary) || dd_conn_in_transaction(secondary))
        return dd_fail(err, DD_USAGE, "a connection of the dual write is in a transaction already");
    dd_dual *dual = dd_calloc(1, sizeof *dual);
    dual->primary = primary;
    dual->secondary = secondary;
    dual->expected = -1;
    dd_result result;
    /* The secondary's BEGIN is answered first: a server that has to wake up must not do so while
     * locks are held on the primary. */
    if (dd_conn_execute(secondary, "begin", NULL, 0, &result, err) ||
        dd_conn_execute(primary, "start transaction", NULL, 0, &result, err)) {
        dual->state = DD_DUAL_FAILED;
        dd_dual_free(dual);
        return DD_FAIL;
    }
    *out = dual;
    return DD_OK;
}

dd_status dd_dual_settle(dd_dual *dual, dd_result *result, dd_err *err) {
    *result = (dd_result){0};
    if (!dual->pending) return DD_OK;
    dual->pending = false;
    if (dd_conn_finish(dual->secondary, result, err)) return failed(dual);
    if (dual->expected < 0 || result->affected == (uint64_t)dual->expected) return DD_OK;
    (void)dd_fail(err, DD_CONFLICT,
                  "the primary affected %lld rows and the secondary %llu: they differed before",
                  (long long)dual->expected, (unsigned long long)result->affected);
    dd_hint(err, "Find the differences with `dualdb verify` and mend them with `dualdb repair`.");
    return failed(dual);
}

dd_status dd_dual_primary(dd_dual *dual, const char *sql, const dd_value *params, unsigned count,
                          dd_result *result, dd_err *err) {
    if (check_open(dual, err)) return DD_FAIL;
    if (dd_conn_execute(dual->primary, sql, params, count, result, err)) return failed(dual);
    return DD_OK;
}

dd_status dd_dual_secondary(dd_dual *dual, const char *sql, const dd_value *params, unsigned count,
                            int64_t expected, dd_err *err) {
    dd_result before;
    if (check_open(dual, err) || dd_dual_settle(dual, &before, err)) return DD_FAIL;
    if (dd_conn_send(dual->secondary, sql, params, count, err)) return failed(dual);
    dual->pending = true;
    dual->expected = expected;
    return DD_OK;
}

dd_status dd_dual_commit(dd_dual *dual, dd_err *err) {
    dd_result result;
    if (check_open(dual, err) || dd_dual_settle(dual, &result, err)) return DD_FAIL;
    if (dd_conn_execute(dual->primary, "commit", NULL, 0, &result, err)) return failed(dual);
    dual->state = DD_DUAL_COMMITTED;
    if (dd_conn_execute(dual->secondary, "commit", NULL, 0, &result, err) == DD_OK) return DD_OK;

    dd_err cause = *err;
    (void)dd_fail(err, cause.class_, "committed on the primary but not on the secondary: %s",
                  cause.message);
    err->code = cause.code;
    memcpy(err->sqlstate, cause.sqlstate, sizeof err->sqlstate);
    memcpy(err->side, cause.side, sizeof err->side);
    memcpy(err->detail, cause.detail, sizeof err->detail);
    err->outcome = DD_OUTCOME_UNKNOWN;
    dd_hint(err, "The write stands on the primary; `dualdb repair` of its models brings it over.");
    return DD_FAIL;
}

static void roll_back_side(dd_conn *conn) {
    dd_result result;
    dd_err err;
    /* A failure here means that the session is gone, and with it its transaction. */
    if (dd_conn_state(conn) != DD_CONN_BROKEN && dd_conn_in_transaction(conn) &&
        dd_conn_execute(conn, "rollback", NULL, 0, &result, &err))
        return;
}

void dd_dual_rollback(dd_dual *dual) {
    if (dual->state != DD_DUAL_OPEN && dual->state != DD_DUAL_FAILED) return;
    dd_result result;
    dd_err err;
    if (dual->pending) {
        dual->pending = false;
        dd_conn_cancel(dual->secondary);
        /* Whatever it says, the transaction is being given up. */
        if (dd_conn_finish(dual->secondary, &result, &err)) dual->state = DD_DUAL_FAILED;
    }
    roll_back_side(dual->primary);
    roll_back_side(dual->secondary);
    dual->state = DD_DUAL_ROLLED_BACK;
}

dd_dual_state dd_dual_state_of(const dd_dual *dual) { return dual->state; }

void dd_dual_free(dd_dual *dual) {
    if (!dual) return;
    dd_dual_rollback(dual);
    free(dual);
}

void dd_dual_forget(dd_dual *dual) { free(dual); }
