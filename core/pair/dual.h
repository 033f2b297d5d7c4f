#ifndef DD_PAIR_DUAL_H
#define DD_PAIR_DUAL_H

/*
 * One dual write: a transaction on each side that takes part, kept in step.
 *
 *   open -> (statements) -> ready -> decided -> finished
 *     \________________________\-> in doubt, or rolled back
 *
 * In every protocol the decision row (table dualdb_decision: the gid with outcome C) is the first
 * statement of the transaction that decides: the write is committed if and only if that row is. Who
 * wants to know, or to prevent it, inserts the same gid with outcome A: that waits while the row is
 * uncommitted, fails when it is committed, and else keeps it out for good.
 *
 *   A1              the secondary is prepared, the primary's COMMIT decides, COMMIT PREPARED follows
 *   A2              the primary is prepared (XA), the secondary's COMMIT decides, XA COMMIT follows
 *   journaled       the primary's COMMIT decides and carries the keys of the rows in the journal, the
 *                   secondary's COMMIT follows
 *   primary only    the primary's COMMIT decides; the journal has the keys
 *   secondary only  the same on the secondary
 *
 * Statements run on the primary first and the secondary trails by one: a statement goes there when the
 * primary's has returned, and the primary's next one runs meanwhile. So every lock is taken on the
 * primary before it is taken on the secondary, and two dual writes cannot deadlock across the servers.
 *
 * Until the decision every failure leaves nothing behind but, at worst, a prepared transaction that
 * recovery rolls back.
 */

#include "db/db.h"

typedef struct dd_dual dd_dual;

typedef enum {
    DD_DUAL_A1,
    DD_DUAL_A2,
    DD_DUAL_JOURNALED,
    DD_DUAL_PRIMARY_ONLY,
    DD_DUAL_SECONDARY_ONLY,
    DD_DUAL_PROTOCOL_COUNT
} dd_dual_protocol;

/* "a1", "a2", "journaled", "primary_only", "secondary_only" */
const char *dd_dual_protocol_name(dd_dual_protocol protocol);

typedef enum {
    DD_DUAL_OPEN,              /* begun, nothing failed */
    DD_DUAL_FAILED,            /* a statement failed: only rollback is left; every other call fails
                                  with that statement's error */
    DD_DUAL_READY,             /* only the decision is missing */
    DD_DUAL_IN_DOUBT,          /* the decision was asked for and its answer is not known */
    DD_DUAL_DECIDED,           /* committed; the other side has to follow */
    DD_DUAL_FINISHED,
    DD_DUAL_ROLLED_BACK
} dd_dual_state;

typedef struct dd_dual_settings {
    dd_conn *primary, *secondary;   /* NULL for a side that takes no part */
    dd_dual_protocol protocol;
    const char *gid;                /* valid (db/branch.h); copied */
    const char *decision;           /* inserts the gid's decision row where the protocol decides */
    const char *opening;            /* the secondary's first statement, or NULL */
    bool lenient;                   /* a different number of rows is noted, not refused */
} dd_dual_settings;

/*
 * Begins. The connections must be idle and outside a transaction; they belong to the dual write until
 * it has ended. The primary's must have autocommit off: its transaction begins with the decision row.
 */
DD_MUST_CHECK dd_status dd_dual_begin(const dd_dual_settings *settings, dd_dual **out,
                                      dd_err *err);

/* The primary's session can be used: its first statement, the decision row, is through. Its failure
 * is that of the dual write. */
DD_MUST_CHECK dd_status dd_dual_ready(dd_dual *dual, dd_err *err);
/* Runs a statement on the primary and waits for it. */
DD_MUST_CHECK dd_status dd_dual_primary(dd_dual *dual, const char *sql, const dd_value *params,
                                        unsigned count, dd_result *result, dd_err *err);
/*
 * Sends a statement to the secondary, after waiting for the one before; its failure shows at the next
 * call. With `expected` >= 0 the number of rows it affects must be that: the sides had diverged
 * before, which is class `conflict`, or when lenient is noted under `number`.
 */
DD_MUST_CHECK dd_status dd_dual_secondary(dd_dual *dual, const char *sql, const dd_value *params,
                                          unsigned count, int64_t expected, uint32_t number,
                                          dd_err *err);
/* The number of a statement that is never lenient. */
#define DD_DUAL_MUST (UINT32_MAX - 1)
/* The number of a statement of which a different number of rows is noted under every policy. */
#define DD_DUAL_NOTED (UINT32_MAX - 2)
/* Sends a query to the secondary behind all else, without waiting, in A1 with the PREPARE. When it finds
 * rows that is noted under DD_DUAL_GUARD; it never fails the write. */
#define DD_DUAL_GUARD UINT32_MAX
DD_MUST_CHECK dd_status dd_dual_guard(dd_dual *dual, const char *sql, dd_err *err);
/* Waits for the secondary's last statement, whose result it gives. */
DD_MUST_CHECK dd_status dd_dual_settle(dd_dual *dual, dd_result *result, dd_err *err);
/* The numbers noted so far, in order. */
const uint32_t *dd_dual_mismatches(const dd_dual *dual, unsigned *count);

/* A savepoint on both sides; its name is a plain word. Going back to it makes a dual write whose
 * statement failed usable again, unless a server has rolled back more than that. */
DD_MUST_CHECK dd_status dd_dual_savepoint(dd_dual *dual, const char *name, dd_err *err);
DD_MUST_CHECK dd_status dd_dual_back_to(dd_dual *dual, const char *name, dd_err *err);

/* Waits for all statements, and prepares the side that is prepared. In A2 that is left to
 * dd_dual_decide: the primary can still be written afterwards. */
DD_MUST_CHECK dd_status dd_dual_prepare(dd_dual *dual, dd_err *err);
/*
 * Commits the side that decides. After a failure the state is FAILED (nothing is applied) or IN_DOUBT
 * (outcome unknown; the fence tells). *doubtful is true when it is committed but a WARNING says that
 * it may not be durable.
 */
DD_MUST_CHECK dd_status dd_dual_decide(dd_dual *dual, bool *doubtful, dd_err *err);
/* The fence has told what became of a decision that was IN_DOUBT: it is DECIDED, or FAILED. */
void dd_dual_resolve(dd_dual *dual, bool committed);
/* The other side follows. When it fails the write stands all the same (outcome applied): a prepared
 * side is left to recovery, an unprepared one to the journal. */
DD_MUST_CHECK dd_status dd_dual_finish(dd_dual *dual, dd_err *err);

/* Rolls back what is not decided. Sides that cannot be reached roll back by themselves, or are left
 * prepared: *prepared (which may be NULL) says so. What is in doubt stays so: only the transaction
 * whose COMMIT failed is ended, if it still is there. */
void dd_dual_rollback(dd_dual *dual, bool *prepared);
/* The owner of the transaction marks it as failed by a statement of its own. */
void dd_dual_fail(dd_dual *dual);
dd_dual_state dd_dual_state_of(const dd_dual *dual);
/* Rolls back if need be and frees; the connections live on. NULL is fine. */
void dd_dual_free(dd_dual *dual);
/* Frees a dual write whose connections were closed (their transactions ended with them). */
void dd_dual_forget(dd_dual *dual);

#endif
