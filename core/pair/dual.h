#ifndef DD_PAIR_DUAL_H
#define DD_PAIR_DUAL_H

/*
 * One dual write: a transaction on each side, kept in step.
 *
 *   begun -> (statements) -> committed | rolled back
 *
 * The plain protocol: statements run on the primary first and the secondary trails by one (a
 * statement goes to the secondary when the primary's has returned, and the primary's next one runs
 * meanwhile), so every lock is taken on the primary before it is taken on the secondary, and two dual
 * writes cannot deadlock across the servers. The primary commits first. A crash between the two
 * commits leaves the secondary behind: that the crash-proof protocols prevent, which take the place
 * of dd_dual_commit.
 */

#include "db/db.h"

typedef struct dd_dual dd_dual;

typedef enum {
    DD_DUAL_OPEN,              /* begun, nothing failed */
    DD_DUAL_FAILED,            /* a statement failed: only rollback is left */
    DD_DUAL_COMMITTED,
    DD_DUAL_ROLLED_BACK
} dd_dual_state;

/* Begins on both sides. The connections must be idle and outside a transaction; they belong to the
 * dual write until it has ended. */
DD_MUST_CHECK dd_status dd_dual_begin(dd_conn *primary, dd_conn *secondary, dd_dual **out,
                                      dd_err *err);

/* Runs a statement on the primary and waits for it. */
DD_MUST_CHECK dd_status dd_dual_primary(dd_dual *dual, const char *sql, const dd_value *params,
                                        unsigned count, dd_result *result, dd_err *err);
/*
 * Sends a statement to the secondary, after waiting for the one before; its failure shows at the next
 * call. With `expected` >= 0 the number of rows it affects must be that, else class `conflict`: the
 * sides had diverged before.
 */
DD_MUST_CHECK dd_status dd_dual_secondary(dd_dual *dual, const char *sql, const dd_value *params,
                                          unsigned count, int64_t expected, dd_err *err);
/* Waits for the secondary's last statement. */
DD_MUST_CHECK dd_status dd_dual_settle(dd_dual *dual, dd_result *result, dd_err *err);
/*
 * Commits both. When the primary's COMMIT fails nothing is applied, unless its answer was lost
 * (`ambiguous`). When only the secondary's fails, the error says so and its outcome is `unknown`: the
 * write stands on the primary.
 */
DD_MUST_CHECK dd_status dd_dual_commit(dd_dual *dual, dd_err *err);
/* Rolls back both; sides that cannot be reached roll back by themselves. */
void dd_dual_rollback(dd_dual *dual);
dd_dual_state dd_dual_state_of(const dd_dual *dual);
/* Rolls back if need be and frees; the connections live on. NULL is fine. */
void dd_dual_free(dd_dual *dual);
/* Frees a dual write whose connections were closed (their transactions ended with them). */
void dd_dual_forget(dd_dual *dual);

#endif
