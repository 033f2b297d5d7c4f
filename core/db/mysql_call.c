/* One call of the client library from beginning to end: the watchdog around it, and what its error
 * means. */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include <errmsg.h>
#include <mysqld_error.h>

#include "base/interrupt.h"
#include "db/mysql_driver.h"

/* Errors that only one of the two vendors' headers names. */
enum { CLIENT_LOST_EXTENDED = 2055, SORT_ABORTED = 1028, CONNECTION_KILLED = 1927,
       SESSION_KILLED = 3169, CLIENT_INACTIVE = 4031 };

/* Seconds that the end of a transaction has before an interrupt stops it: what becomes of a COMMIT
 * that is cut short nobody knows. */
static const double patience = 5.0;

/* ---- what a statement is, by its first word ---- */

static bool begins_with(const char *sql, const char *const *words) {
    while (isspace((unsigned char)*sql)) sql++;
    for (; *words; words++) {
        if ((*sql | ' ') != **words) continue; /* most often */
        size_t length = strlen(*words);
        if (strncasecmp(sql, *words, length) == 0 && !isalnum((unsigned char)sql[length]) &&
            sql[length] != '_')
            return true;
    }
    return false;
}

static const char *const reading[] = {"select", "show", "do", "explain", "describe", NULL};
static const char *const passing[] = {"begin", "start", "set", "savepoint", "release", "use", NULL};
static const char *const ending[] = {"rollback", "xa", NULL};

/* ---- errors ---- */

unsigned dd_mysql_errno(const dd_mysql *conn, MYSQL_STMT *stmt) {
    unsigned code = stmt ? mysql_stmt_errno(stmt) : 0;
    return code ? code : mysql_errno(conn->client);
}

static bool closed_by_library(const dd_mysql *conn) {
#ifdef LIBMARIADB
    return conn->client->net.pvio == NULL;
#else
    return conn->client->net.vio == NULL;
#endif
}

static bool is_lost(const dd_mysql *conn, unsigned code) {
    switch (code) {
    case 0: /* the library failed and does not say why */
    case CR_SERVER_GONE_ERROR:
    case CR_SERVER_LOST:
    case CLIENT_LOST_EXTENDED:
    case CR_SERVER_HANDSHAKE_ERR:
    case CR_COMMANDS_OUT_OF_SYNC:
    case CR_MALFORMED_PACKET:
    case CR_SSL_CONNECTION_ERROR:
    case CR_NET_PACKET_TOO_LARGE:
    case ER_NET_PACKET_TOO_LARGE: /* the server hangs up after these */
    case ER_SERVER_SHUTDOWN:
    case CONNECTION_KILLED:
    case SESSION_KILLED:
        return true;
    case CLIENT_INACTIVE: /* MariaDB has the number for something else */
        return strcmp(conn->base.product, "mysql") == 0;
    default:
        return closed_by_library(conn);
    }
}

/* True when the statement may have been carried out although its answer is missing. */
static bool answer_missing(unsigned code) {
    switch (code) {
    case 0:
    case CR_SERVER_LOST:
    case CLIENT_LOST_EXTENDED:
    case CR_SERVER_HANDSHAKE_ERR:
    case CR_MALFORMED_PACKET:
    case CR_SSL_CONNECTION_ERROR:
        return true;
    default:
        return false;
    }
}

static bool was_interrupted(unsigned code) {
    return code == ER_QUERY_INTERRUPTED || code == SORT_ABORTED;
}

/* "Duplicate entry ..." as our messages are; "MySQL server has ..." stays. */
static void lower_first(char *message) {
    if (!isupper((unsigned char)message[0])) return;
    for (const char *c = message + 1; *c && *c != ' '; c++)
        if (isupper((unsigned char)*c)) return;
    message[0] = (char)tolower((unsigned char)message[0]);
}

void dd_mysql_error_of(int code, const char *sqlstate, const char *text, dd_phase phase,
                       dd_err *err) {
    dd_fail(err, DD_INTERNAL, "%s", text);
    lower_first(err->message);
    size_t length = strlen(err->message);
    if (length && err->message[length - 1] == '.') err->message[length - 1] = '\0';
    err->code = code;
    dd_err_text(err->sqlstate, sizeof err->sqlstate, sqlstate);
    dd_classify_mysql(err, phase);
}

/* What a server says before TLS is up (that it has no room, that it is shutting down) comes within a
 * text of the client library, under a code of that. It only ends the attempt, whoever said it. */
static const char *unwrapped(const char *text, unsigned *code) {
    static const char mark[] = "error cannot be verified: ";
    const char *inner = strstr(text, mark);
    char *end;
    if (!inner) return text;
    unsigned long found = strtoul(inner + sizeof mark - 1, &end, 10);
    if (found == 0 || found > 65535 || strncmp(end, " - ", 3) != 0) return text;
    *code = (unsigned)found;
    return end + 3;
}

void dd_mysql_error(dd_mysql *conn, MYSQL_STMT *stmt, dd_err *err) {
    unsigned code = dd_mysql_errno(conn, stmt);
    bool from_stmt = stmt && mysql_stmt_errno(stmt);
    const char *text = from_stmt ? mysql_stmt_error(stmt) : mysql_error(conn->client);
    const char *state = from_stmt ? mysql_stmt_sqlstate(stmt) : mysql_sqlstate(conn->client);
    bool lost = conn->phase != DD_PHASE_CONNECT && is_lost(conn, code);
    if (code == 0) {
        code = CR_SERVER_LOST;
        text = "lost connection to the server";
        state = "HY000";
    } else if (conn->phase == DD_PHASE_CONNECT) {
        text = unwrapped(text, &code);
    }
    dd_mysql_error_of((int)code, state, text, conn->phase, err);
    if (!lost) return;
    dd_mysql_break(conn);
    if (conn->autocommit && !conn->harmless && answer_missing(code))
        err->outcome = DD_OUTCOME_UNKNOWN;
}

void dd_mysql_break(dd_mysql *conn) {
    dd_conn_enter(&conn->base, DD_CONN_BROKEN);
    /* The server should see the end now, not when the handle is closed. */
    if (conn->wake >= 0) shutdown(conn->wake, SHUT_RDWR);
}

/* The call was ended by the watchdog: that says more than the code that came of it. */
static void explain(dd_mysql *conn, dd_watch_reason reason, double limit, dd_err *err) {
    dd_err server = *err;
    bool broken = conn->base.state == DD_CONN_BROKEN;
    if (reason == DD_WATCH_INTERRUPT)
        dd_fail(err, DD_CANCELED, "interrupted");
    else if (broken)
        dd_fail(err, DD_UNAVAILABLE,
                "statement exceeded its limit of %g s and could not be cancelled", limit);
    else
        dd_fail(err, DD_TRANSIENT, "statement exceeded its limit of %g s", limit);
    err->code = server.code;
    memcpy(err->sqlstate, server.sqlstate, sizeof err->sqlstate);
    if (conn->phase == DD_PHASE_COMMIT) {
        err->class_ = DD_AMBIGUOUS;
        err->outcome = DD_OUTCOME_UNKNOWN;
    } else if (broken && conn->autocommit && !conn->harmless) {
        err->outcome = DD_OUTCOME_UNKNOWN;
    }
}

/* ---- calls ---- */

/* To know it before anything is sent makes the most common loss a harmless one: nothing was applied,
 * not even by COMMIT. */
bool dd_mysql_hung_up(const dd_mysql *conn) {
    char byte;
    ssize_t got = recv(conn->wake, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0) return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
    /* Without TLS nothing but a farewell comes unasked; with it, anything may. */
    return got == 0 || !mysql_get_ssl_cipher(conn->client);
}

static dd_status fail_hung_up(dd_mysql *conn, dd_err *err) {
    dd_mysql_break(conn);
    dd_fail(err, DD_UNAVAILABLE, "the server closed the connection while it was idle");
    err->code = CR_SERVER_GONE_ERROR;
    memcpy(err->sqlstate, "HY000", sizeof "HY000");
    return DD_FAIL;
}

dd_status dd_mysql_enter(dd_mysql *conn, const char *sql, dd_err *err) {
    conn->phase = dd_phase_of(sql);
    bool ends = conn->phase == DD_PHASE_COMMIT || begins_with(sql, ending);
    conn->reads = begins_with(sql, reading);
    conn->harmless = conn->reads || ends || begins_with(sql, passing);
    conn->autocommit = !(conn->client->server_status & SERVER_STATUS_IN_TRANS);
    atomic_store(&conn->canceled, false);
    if (!ends && dd_interrupted()) return dd_fail(err, DD_CANCELED, "interrupted");
    if (dd_mysql_hung_up(conn)) return fail_hung_up(conn, err);
    if (!dd_watch_begin(&conn->watch, conn->base.timeout, ends ? patience : 0))
        return dd_fail(err, DD_CAPACITY, "cannot start a thread to watch over statements");
    return DD_OK;
}

dd_status dd_mysql_leave(dd_mysql *conn, MYSQL_STMT *stmt, bool ok, dd_err *err) {
    double limit = conn->base.timeout;
    dd_watch_step step;
    dd_watch_reason reason = dd_watch_end(&conn->watch, &step);
    bool canceled = atomic_load(&conn->canceled);
    if (ok && step == DD_WATCH_NOTHING && !(canceled && conn->reads)) return DD_OK;
    bool hit = false; /* the KILL that was sent reached its statement */
    if (!ok) {
        dd_mysql_error(conn, stmt, err);
        hit = was_interrupted((unsigned)err->code);
        bool broken = conn->base.state == DD_CONN_BROKEN;
        if (reason != DD_WATCH_QUIET && (hit || broken)) explain(conn, reason, limit, err);
        else if (hit && canceled) explain(conn, DD_WATCH_INTERRUPT, limit, err);
    } else if (conn->reads) { /* SLEEP() and the like return when they are killed */
        *err = (dd_err){0};
        explain(conn, canceled ? DD_WATCH_INTERRUPT : reason, limit, err);
    }
    if (step == DD_WATCH_CUT) dd_mysql_break(conn);
    else if (step == DD_WATCH_CANCEL && !hit) dd_mysql_absorb_kill(conn);
    return ok && !conn->reads ? DD_OK : DD_FAIL;
}

void dd_mysql_absorb_kill(dd_mysql *conn) {
    if (conn->base.state == DD_CONN_BROKEN) return;
    if (!dd_watch_begin(&conn->watch, patience, patience)) {
        dd_mysql_break(conn);
        return;
    }
    static const char nothing[] = "DO 0";
    bool ok = mysql_real_query(conn->client, nothing, sizeof nothing - 1) == 0;
    dd_watch_step step;
    dd_watch_end(&conn->watch, &step);
    if (step != DD_WATCH_NOTHING || (!ok && is_lost(conn, mysql_errno(conn->client))))
        dd_mysql_break(conn);
}

bool dd_mysql_drain(dd_mysql *conn) {
    for (;;) {
        MYSQL_RES *rows = mysql_use_result(conn->client);
        if (rows) {
            uint64_t count = 0;
            while (mysql_fetch_row(rows)) count++;
            bool failed = mysql_errno(conn->client) != 0;
            mysql_free_result(rows);
            if (failed) return false;
            conn->result.affected = count;
        } else if (mysql_field_count(conn->client) > 0) {
            return false;
        } else {
            conn->result.affected = mysql_affected_rows(conn->client);
            conn->result.insert_id = mysql_insert_id(conn->client);
        }
        int next = mysql_next_result(conn->client);
        if (next != 0) return next < 0;
    }
}

dd_status dd_mysql_run(dd_mysql *conn, const char *sql, dd_err *err) {
    if (dd_mysql_enter(conn, sql, err) != DD_OK) return DD_FAIL;
    conn->result = (dd_result){0};
    bool ok = mysql_real_query(conn->client, sql, strlen(sql)) == 0 && dd_mysql_drain(conn);
    return dd_mysql_leave(conn, NULL, ok, err);
}
