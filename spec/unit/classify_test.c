/*
 * What the errors of both servers mean, written down from the research's tables and not from
 * classify.def. Each line is one code with its text, the class that a caller sees for a statement,
 * and the class at COMMIT.
 */

#include "db/classify.h"

#include <stdio.h>
#include <string.h>

#include "support/check.h"

#define LOST UNAVAILABLE, AMBIGUOUS
#define TRY_AGAIN TRANSIENT, TRANSIENT
#define FULL CAPACITY, AMBIGUOUS
#define NO_SETTING CONFIG, AMBIGUOUS
#define BOTH(class_) class_, class_
#define ROW(code, text, ...) ROW_(code, text, __VA_ARGS__)
#define ROW_(code, text, statement, commit) {code, text, DD_##statement, DD_##commit}

static const struct mysql_case {
    int code;
    const char *text;
    dd_class statement, commit;
} mysql_cases[] = {
    /* deadlock, Galera's certification, XA_RBDEADLOCK */
    ROW(1213, "Deadlock found when trying to get lock", TRY_AGAIN),
    ROW(1614, "XA_RBDEADLOCK: Transaction branch was rolled back", TRY_AGAIN),
    /* lock wait timeout, XA_RBTIMEOUT */
    ROW(1205, "Lock wait timeout exceeded", TRY_AGAIN),
    ROW(1613, "XA_RBTIMEOUT", TRY_AGAIN),
    /* record changed, table definition changed, re-prepare, lock aborted */
    ROW(1020, "Record has changed since last read in table 't'", TRY_AGAIN),
    ROW(1412, "Table definition has changed", TRY_AGAIN),
    ROW(1615, "Prepared statement needs to be re-prepared", TRY_AGAIN),
    ROW(1689, "Wait on a lock was aborted", TRY_AGAIN),
    /* statement timeouts and interruptions: at COMMIT nobody knows */
    ROW(3024, "maximum statement execution time exceeded", TRANSIENT, AMBIGUOUS),
    ROW(1969, "max_statement_time exceeded", TRANSIENT, AMBIGUOUS),
    ROW(1028, "Sort aborted", TRANSIENT, AMBIGUOUS),
    ROW(1317, "Query execution was interrupted", TRANSIENT, AMBIGUOUS),
    /* connecting, and the network under the session */
    ROW(2002, "Can't connect to local server through socket", LOST),
    ROW(2003, "Can't connect to server on 'db' (111)", LOST),
    ROW(2005, "Unknown server host 'db'", LOST),
    ROW(2012, "Error in server handshake", LOST),
    ROW(2026, "TLS/SSL error: Connection reset by peer", LOST),
    ROW(2026, "TLS/SSL error: certificate verify failed", NO_SETTING),
    ROW(2026, "TLS/SSL error: SSL is required, but the server does not support it", NO_SETTING),
    ROW(2026, "SSL connection error: SSL is required but the server doesn't support it",
        NO_SETTING),
    ROW(1129, "Host 'a' is blocked because of many connection errors", LOST),
    ROW(1040, "Too many connections", FULL),
    ROW(1203, "User a already has more than 'max_user_connections' active connections", FULL),
    ROW(1226, "User 'a' has exceeded the 'max_user_connections' resource", FULL),
    ROW(1135, "Can't create a new thread (errno 11)", FULL),
    ROW(1158, "Got an error reading communication packets", LOST),
    ROW(1159, "Got timeout reading communication packets", LOST),
    ROW(1160, "Got an error writing communication packets", LOST),
    ROW(1161, "Got timeout writing communication packets", LOST),
    /* the session is gone */
    ROW(2006, "Server has gone away", LOST),
    ROW(2013, "Lost connection to server during query", LOST),
    ROW(2055, "Lost connection to server at 'reading', system error: 104", LOST),
    ROW(1927, "Connection was killed", LOST),
    ROW(4031, "The client was disconnected by the server because of inactivity.", LOST),
    ROW(4031, "Referenced trigger 'x' for the given action time and event type does not exist",
        BOTH(SCHEMA)),
    ROW(1053, "Server shutdown in progress", LOST),
    ROW(1184, "Aborted connection 7", LOST),
    ROW(1152, "Aborted connection 7", LOST),
    ROW(1080, "Forcing close of thread 7", LOST),
    ROW(1078, "Got signal 15. Aborting!", LOST),
    ROW(1043, "Bad handshake", LOST),
    ROW(2014, "Commands out of sync", LOST),
    ROW(2045, "closed handle", LOST),
    ROW(5013, "error reading from the network", LOST),
    ROW(5015, "error uncompressing", LOST),
    /* wait longer */
    ROW(1047, "WSREP has not yet prepared node for application use", LOST),
    ROW(1021, "Disk full (/tmp/x); waiting for someone to free some space...", FULL),
    ROW(1037, "Out of memory; restart server and try again", FULL),
    ROW(1038, "Out of sort memory", FULL),
    ROW(1041, "Out of memory", FULL),
    ROW(1114, "The table 't' is full", BOTH(CAPACITY)),
    ROW(1206, "The total number of locks exceeds the lock table size", FULL),
    ROW(1030, "Got error 168 from storage engine", LOST),
    ROW(1030, "Got error 28 \"No space left on device\" from storage engine InnoDB", FULL),
    ROW(3168, "Server isn't available", LOST),
    /* read-only */
    ROW(1290, "The server is running with the --read-only option", BOTH(READ_ONLY)),
    ROW(1290, "The server is running with the --secure-file-priv option", BOTH(CONFIG)),
    ROW(1792, "Cannot execute statement in a READ ONLY transaction", BOTH(READ_ONLY)),
    ROW(1836, "Running in read-only mode", BOTH(READ_ONLY)),
    /* fatal for the connection */
    ROW(1045, "Access denied for user 'a'@'localhost' (using password: YES)", BOTH(AUTH)),
    ROW(1044, "Access denied for user 'a' to database 'b'", BOTH(AUTH)),
    ROW(1049, "Unknown database 'b'", BOTH(CONFIG)),
    ROW(1698, "Access denied for user 'root'@'localhost'", BOTH(AUTH)),
    ROW(1251, "Client does not support authentication protocol", BOTH(AUTH)),
    ROW(2059, "Authentication plugin 'caching_sha2_password' cannot be loaded", BOTH(AUTH)),
    ROW(2061, "Authentication plugin 'caching_sha2_password' reported error", BOTH(AUTH)),
    ROW(1142, "INSERT command denied to user", BOTH(AUTH)),
    ROW(1143, "SELECT command denied to user for column", BOTH(AUTH)),
    ROW(1227, "you need (at least one of) the SUPER privilege(s)", BOTH(AUTH)),
    ROW(1046, "No database selected", LOST),
    /* COMMIT and XA */
    ROW(1180, "Got error 28 during COMMIT", BOTH(AMBIGUOUS)),
    ROW(1397, "XAER_NOTA: Unknown XID", BOTH(AMBIGUOUS)),
    ROW(1398, "XAER_INVAL: Invalid arguments", BOTH(INTERNAL)),
    ROW(1400, "XAER_OUTSIDE: Some work is done outside", BOTH(INTERNAL)),
    ROW(1440, "XAER_DUPID: The XID already exists", BOTH(INTERNAL)),
    ROW(1399, "XAER_RMFAIL: The command cannot be executed", BOTH(INTERNAL)),
    ROW(1401, "XAER_RMERR: Fatal error occurred in the transaction branch", TRANSIENT, AMBIGUOUS),
    ROW(1402, "XA_RBROLLBACK: Transaction branch was rolled back", TRANSIENT, AMBIGUOUS),
    /* the row or the statement is at fault */
    ROW(1062, "Duplicate entry '1' for key 'PRIMARY'", BOTH(INTEGRITY)),
    ROW(1048, "Column 'a' cannot be null", BOTH(INTEGRITY)),
    ROW(1216, "Cannot add or update a child row", BOTH(INTEGRITY)),
    ROW(1217, "Cannot delete or update a parent row", BOTH(INTEGRITY)),
    ROW(1364, "Field 'a' doesn't have a default value", BOTH(INTEGRITY)),
    ROW(1451, "Cannot delete or update a parent row", BOTH(INTEGRITY)),
    ROW(1452, "Cannot add or update a child row", BOTH(INTEGRITY)),
    ROW(3819, "Check constraint 'c' is violated.", BOTH(INTEGRITY)),
    ROW(4025, "CONSTRAINT `c` failed for `d`.`t`", BOTH(INTEGRITY)),
    ROW(1054, "Unknown column 'a'", BOTH(SCHEMA)),
    ROW(1136, "Column count doesn't match value count", BOTH(SCHEMA)),
    ROW(1146, "Table 'd.t' doesn't exist", BOTH(SCHEMA)),
    ROW(1264, "Out of range value for column 'a'", BOTH(DATA)),
    ROW(1292, "Incorrect datetime value", BOTH(DATA)),
    ROW(1366, "Incorrect integer value", BOTH(DATA)),
    ROW(3988, "Conversion from collation utf8mb4_bin into latin1_bin impossible", BOTH(DATA)),
    ROW(1406, "Data too long for column 'a'", BOTH(DATA)),
    ROW(1690, "BIGINT value is out of range", BOTH(DATA)),
    ROW(3140, "Invalid JSON text", BOTH(DATA)),
    ROW(1416, "Cannot get geometry object from data you send to the GEOMETRY field", BOTH(DATA)),
    ROW(3643, "The SRID of the geometry does not match the SRID of the column 'p'", BOTH(DATA)),
    ROW(1153, "Got a packet bigger than 'max_allowed_packet' bytes", BOTH(DATA)),
    ROW(2020, "Got packet bigger than 'max_allowed_packet' bytes", BOTH(DATA)),
    ROW(1064, "You have an error in your SQL syntax", BOTH(USAGE)),
    /* unknown to the server itself, raised by a person's trigger, unknown to us */
    ROW(1105, "Unknown error", TRANSIENT, AMBIGUOUS),
    ROW(1815, "Internal error: x", TRANSIENT, AMBIGUOUS),
    ROW(1644, "no such room", BOTH(INTEGRITY)),
    ROW(9999, "something new", INTERNAL, AMBIGUOUS),
};

static const struct postgres_case {
    const char *sqlstate;
    const char *text;
    dd_class statement, commit;
} postgres_cases[] = {
    ROW("40001", "could not serialize access due to concurrent update", TRY_AGAIN),
    ROW("40P01", "deadlock detected", TRY_AGAIN),
    /* nobody knows */
    ROW("40003", "statement completion unknown", BOTH(AMBIGUOUS)),
    ROW("08007", "transaction resolution unknown", BOTH(AMBIGUOUS)),
    ROW("01000", "canceling wait for synchronous replication", INTERNAL, AMBIGUOUS),
    ROW("", "server closed the connection unexpectedly", LOST),
    ROW("", "SSL SYSCALL error: EOF detected", LOST),
    /* timeouts */
    ROW("55P03", "canceling statement due to lock timeout", TRANSIENT, AMBIGUOUS),
    ROW("57014", "canceling statement due to statement timeout", TRANSIENT, AMBIGUOUS),
    ROW("57014", "canceling statement due to user request", TRANSIENT, AMBIGUOUS),
    ROW("55006", "database \"a\" is being accessed by other users", TRY_AGAIN),
    ROW("55000", "prepared transactions are disabled", BOTH(REFUSED)),
    ROW("55000", "prepared transaction with identifier \"g\" is busy", TRY_AGAIN),
    /* the session is gone */
    ROW("08000", "connection exception", LOST),
    ROW("08001", "could not connect", LOST),
    ROW("08003", "connection does not exist", LOST),
    ROW("08006", "connection failure", LOST),
    ROW("57P01", "terminating connection due to administrator command", LOST),
    ROW("57P02", "terminating connection because of crash of another server process", LOST),
    ROW("57P05", "terminating connection due to idle-session timeout", LOST),
    ROW("08004", "too many connections", FULL),
    ROW("08004", "server rejected the connection", NO_SETTING),
    /* PgBouncer: with the code in a session, without it while connecting */
    ROW("08P01", "server conn crashed?", LOST),
    ROW("08P01", "query_wait_timeout", LOST),
    ROW("08P01", "client_idle_timeout", LOST),
    ROW("08P01", "client_login_timeout (server down)", LOST),
    ROW("", "connection to server failed: FATAL:  client_login_timeout (server down)", LOST),
    ROW("08P01", "idle transaction timeout", LOST),
    ROW("08P01", "query timeout", LOST),
    ROW("08P01", "query_timeout", LOST),
    ROW("08P01", "no more connections allowed (max_client_conn)", FULL),
    ROW("", "FATAL:  no more connections allowed (max_client_conn)", FULL),
    ROW("08P01", "client connections exceeded (max_user_client_connections)", FULL),
    ROW("08P01", "server login has been failing, cached error: x (server_login_retry)", LOST),
    ROW("08P01", "pooler is shutting down", LOST),
    ROW("08P01", "admin forced disconnect", LOST),
    ROW("08P01", "bouncer resources exhaustion", FULL),
    ROW("08P01", "unsupported startup parameter: options", NO_SETTING),
    ROW("", "FATAL:  unsupported startup parameter in options: TimeZone", NO_SETTING),
    ROW("08P01", "no such database: chat", NO_SETTING),
    ROW("08P01", "no such user: chat", AUTH, AMBIGUOUS),
    ROW("08P01", "SSL required", NO_SETTING),
    ROW("08P01", "password authentication failed", AUTH, AMBIGUOUS),
    ROW("08P01", "transaction blocks not allowed in statement pooling mode", NO_SETTING),
    ROW("08P01", "prepared statement did not exist", INTERNAL, AMBIGUOUS),
    /* wait longer */
    ROW("57P03", "the database system is starting up", LOST),
    ROW("", "FATAL:  the database system is starting up", LOST),
    ROW("53300", "sorry, too many clients already", FULL),
    ROW("", "FATAL:  sorry, too many clients already", FULL),
    ROW("", "FATAL:  remaining connection slots are reserved for superusers", FULL),
    ROW("53000", "insufficient resources", BOTH(CAPACITY)),
    ROW("53200", "out of memory", BOTH(CAPACITY)),
    ROW("53400", "configuration limit exceeded", BOTH(CAPACITY)),
    ROW("53100", "could not extend file: No space left on device", FULL),
    ROW("58030", "could not fsync file: Input/output error", LOST),
    ROW("58030", "could not write to file: No space left on device", FULL),
    ROW("58000", "system error", LOST),
    ROW("25006", "cannot execute INSERT in a read-only transaction", BOTH(READ_ONLY)),
    ROW("25P02", "current transaction is aborted", TRY_AGAIN),
    ROW("25P03", "terminating connection due to idle-in-transaction timeout", LOST),
    ROW("25P04", "terminating connection due to transaction timeout", LOST),
    /* fatal for the connection */
    ROW("28P01", "password authentication failed for user \"a\"", BOTH(AUTH)),
    ROW("28000", "no pg_hba.conf entry for host", BOTH(AUTH)),
    ROW("3D000", "database \"a\" does not exist", BOTH(CONFIG)),
    ROW("3F000", "schema \"a\" does not exist", BOTH(CONFIG)),
    ROW("42501", "permission denied for table t", BOTH(AUTH)),
    ROW("", "FATAL:  password authentication failed for user \"a\"", AUTH, AMBIGUOUS),
    ROW("", "fe_sendauth: no password supplied", AUTH, AMBIGUOUS),
    ROW("", "FATAL:  Peer authentication failed for user \"a\"", AUTH, AMBIGUOUS),
    ROW("", "FATAL:  role \"a\" does not exist", AUTH, AMBIGUOUS),
    ROW("", "FATAL:  no pg_hba.conf entry for host \"::1\"", AUTH, AMBIGUOUS),
    ROW("", "FATAL:  database \"quota\" does not exist", NO_SETTING),
    ROW("", "could not translate host name \"db\" to address", LOST),
    ROW("", "connection to server failed: Connection refused", LOST),
    ROW("", "invalid sslmode value: \"always\"", NO_SETTING),
    ROW("", "sslmode value \"require\" invalid when SSL support is not compiled in", NO_SETTING),
    ROW("", "invalid connection option \"colour\"", NO_SETTING),
    ROW("", "server does not support SSL, but SSL was required", NO_SETTING),
    ROW("", "SSL error: certificate verify failed", NO_SETTING),
    ROW("", "root certificate file \"system\" does not exist", NO_SETTING),
    ROW("", "server certificate for \"a\" does not match host name \"b\"", NO_SETTING),
    /* Neon's proxy: libpq gives no code while connecting */
    ROW("XX000", "Endpoint ID is not specified. Either please upgrade", NO_SETTING),
    ROW("", "ERROR:  Endpoint ID is not specified. Either please upgrade", NO_SETTING),
    ROW("XX000", "Inconsistent project name inferred from SNI ('a') and project option",
        NO_SETTING),
    ROW("XX000", "password authentication failed for user 'a'", AUTH, AMBIGUOUS),
    ROW("XX000", "This IP address 192.0.2.1 is not allowed to connect to this endpoint.", AUTH,
        AMBIGUOUS),
    ROW("XX000", "Your account or project has exceeded the compute time quota. Upgrade", FULL),
    ROW("", "ERROR:  Your project has exceeded the data transfer quota.", FULL),
    ROW("XX000", "Control plane request failed: endpoint cannot be found", NO_SETTING),
    ROW("XX000", "Control plane request failed: endpoint is disabled", NO_SETTING),
    ROW("XX000", "Control plane request failed: endpoint is temporarily unavailable. Check your "
        "quotas and/or contact our support", LOST),
    ROW("XX000", "Control plane request failed", LOST),
    ROW("XX000", "Couldn't connect to compute node", LOST),
    ROW("", "connection to server at \"ep-x\" failed: ERROR:  Couldn't connect to compute node",
        LOST),
    ROW("XX000", "Failed to acquire permit to connect to the database. Too many database "
        "connection attempts are currently ongoing.", FULL),
    ROW("XX000", "Too many connections attempts", FULL),
    ROW("XX000", "Too many connections to this endpoint. Please try again later.", FULL),
    ROW("XX000", "Authentication timed out", LOST),
    ROW("XX000", "cache lookup failed for type 1", TRANSIENT, AMBIGUOUS),
    /* damage */
    ROW("XX001", "invalid page in block 0", INTERNAL, AMBIGUOUS),
    ROW("XX002", "index contains unexpected zero page", INTERNAL, AMBIGUOUS),
    ROW("58P01", "could not open file", INTERNAL, AMBIGUOUS),
    ROW("58P02", "duplicate file", INTERNAL, AMBIGUOUS),
    ROW("42704", "prepared transaction with identifier \"g\" does not exist", BOTH(AMBIGUOUS)),
    ROW("42704", "type \"mood\" does not exist", SCHEMA, AMBIGUOUS),
    /* the row or the statement is at fault */
    ROW("23505", "duplicate key value violates unique constraint", BOTH(INTEGRITY)),
    ROW("23502", "null value in column \"a\"", BOTH(INTEGRITY)),
    ROW("23503", "violates foreign key constraint", BOTH(INTEGRITY)),
    ROW("23514", "violates check constraint", BOTH(INTEGRITY)),
    ROW("23P01", "violates exclusion constraint", BOTH(INTEGRITY)),
    ROW("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time", BOTH(INTEGRITY)),
    ROW("22001", "value too long for type character varying(3)", BOTH(DATA)),
    ROW("22003", "integer out of range", BOTH(DATA)),
    ROW("22007", "invalid input syntax for type date", BOTH(DATA)),
    ROW("22008", "date/time field value out of range", BOTH(DATA)),
    ROW("22021", "invalid byte sequence for encoding \"UTF8\"", BOTH(DATA)),
    ROW("22P02", "invalid input syntax for type integer", BOTH(DATA)),
    ROW("22P05", "character has no equivalent in encoding", BOTH(DATA)),
    ROW("42P01", "relation \"t\" does not exist", BOTH(SCHEMA)),
    ROW("42703", "column \"a\" does not exist", BOTH(SCHEMA)),
    ROW("42804", "column \"a\" is of type integer", BOTH(SCHEMA)),
    ROW("42883", "function f() does not exist", BOTH(SCHEMA)),
    ROW("42601", "syntax error at or near \"selct\"", BOTH(USAGE)),
    ROW("P0001", "no such room", BOTH(INTEGRITY)),
    ROW("99999", "something new", INTERNAL, AMBIGUOUS),
};

static const struct phase_case {
    const char *sql;
    dd_phase phase;
} phase_cases[] = {
    {"COMMIT", DD_PHASE_COMMIT},
    {"commit;", DD_PHASE_COMMIT},
    {"  \n\tCommit Work", DD_PHASE_COMMIT},
    {"END", DD_PHASE_COMMIT},
    {"end transaction", DD_PHASE_COMMIT},
    {"PREPARE TRANSACTION 'g'", DD_PHASE_COMMIT},
    {"prepare /* two */ transaction 'g'", DD_PHASE_COMMIT},
    {"COMMIT PREPARED 'g'", DD_PHASE_COMMIT},
    {"XA PREPARE 'g'", DD_PHASE_COMMIT},
    {"xa\ncommit 'g'", DD_PHASE_COMMIT},
    {"-- done\nCOMMIT", DD_PHASE_COMMIT},
    {"# done\nCOMMIT", DD_PHASE_COMMIT},
    {"/* done */ COMMIT", DD_PHASE_COMMIT},
    {"/* a /* b */ c */ COMMIT", DD_PHASE_COMMIT},
    {"/* a /* b */ COMMIT", DD_PHASE_COMMIT},
    {"/*!50000 COMMIT */", DD_PHASE_COMMIT},
    {"/*M!100000 COMMIT */", DD_PHASE_COMMIT},
    {"", DD_PHASE_STATEMENT},
    {"BEGIN", DD_PHASE_STATEMENT},
    {"ROLLBACK", DD_PHASE_STATEMENT},
    {"ROLLBACK PREPARED 'g'", DD_PHASE_STATEMENT},
    {"XA START 'g'", DD_PHASE_STATEMENT},
    {"XA END 'g'", DD_PHASE_STATEMENT},
    {"XA ROLLBACK 'g'", DD_PHASE_STATEMENT},
    {"XA RECOVER", DD_PHASE_STATEMENT},
    {"PREPARE p AS SELECT 1", DD_PHASE_STATEMENT},
    {"PREPARE transactions AS SELECT 1", DD_PHASE_STATEMENT},
    {"COMMITTED", DD_PHASE_STATEMENT},
    {"SELECT 'commit'", DD_PHASE_STATEMENT},
    {"/* COMMIT */ SELECT 1", DD_PHASE_STATEMENT},
    {"-- COMMIT", DD_PHASE_STATEMENT},
    {"/* COMMIT", DD_PHASE_STATEMENT},
};

/* Where a failing check says which case it was. */
static char what[256];

static dd_err error_of(const char *driver, int code, const char *sqlstate, const char *text,
                       dd_phase phase) {
    dd_err err;
    (void)dd_fail(&err, DD_INTERNAL, "%s", text);
    err.code = code;
    dd_err_text(err.sqlstate, sizeof err.sqlstate, sqlstate);
    if (strcmp(driver, "mysql") == 0) dd_classify_mysql(&err, phase);
    else dd_classify_postgres(&err, phase);
    snprintf(what, sizeof what, "%s %d %s '%.99s' in phase %d is %s", driver, code, sqlstate, text,
             (int)phase, dd_class_name(err.class_));
    return err;
}

static void check_phases(const char *driver, int code, const char *sqlstate, const char *text,
                         dd_class statement, dd_class commit) {
    dd_err err = error_of(driver, code, sqlstate, text, DD_PHASE_CONNECT);
    CHECK_MESSAGE(err.class_ == statement, "%s", what);
    err = error_of(driver, code, sqlstate, text, DD_PHASE_STATEMENT);
    CHECK_MESSAGE(err.class_ == statement, "%s", what);
    CHECK_MESSAGE((err.outcome == DD_OUTCOME_UNKNOWN) == (statement == DD_AMBIGUOUS), "%s", what);
    err = error_of(driver, code, sqlstate, text, DD_PHASE_COMMIT);
    CHECK_MESSAGE(err.class_ == commit, "%s", what);
    CHECK_MESSAGE((err.outcome == DD_OUTCOME_UNKNOWN) == (commit == DD_AMBIGUOUS), "%s", what);
}

static void every_code_of_the_tables_has_the_class_that_they_say(void) {
    for (size_t i = 0; i < sizeof mysql_cases / sizeof mysql_cases[0]; i++) {
        const struct mysql_case *c = &mysql_cases[i];
        check_phases("mysql", c->code, "", c->text, c->statement, c->commit);
    }
    for (size_t i = 0; i < sizeof postgres_cases / sizeof postgres_cases[0]; i++) {
        const struct postgres_case *c = &postgres_cases[i];
        check_phases("postgres", 0, c->sqlstate, c->text, c->statement, c->commit);
    }
}

static void every_row_is_reached_by_its_own_example(void) {
    dd_classification row;
    unsigned count = 0;
    for (; dd_classification_at(count, &row); count++)
        check_phases(row.driver, row.code, row.sqlstate, row.text, row.class_, row.at_commit);
    CHECK_MESSAGE(count > 150, "only %u rows", count);
}

static void no_lost_connection_at_commit_is_taken_for_not_applied(void) {
    dd_classification row;
    for (unsigned i = 0; dd_classification_at(i, &row); i++)
        CHECK_MESSAGE(row.at_commit != DD_UNAVAILABLE, "%s %d %s '%s'", row.driver, row.code,
                      row.sqlstate, row.text);
}

static void a_signal_of_a_person_is_integrity_whatever_its_number(void) {
    dd_err err = error_of("mysql", 31000, "45000", "no such room", DD_PHASE_STATEMENT);
    CHECK_MESSAGE(err.class_ == DD_INTEGRITY, "%s", what);
}

static void a_hint_is_given_and_the_servers_own_hint_is_kept(void) {
    dd_err err = error_of("mysql", 2026, "", "certificate verify failed", DD_PHASE_CONNECT);
    CHECK_MESSAGE(strstr(err.hint, "ssl-mode") != NULL, "%s", err.hint);
    err = error_of("postgres", 0, "XX000", "Your project has exceeded the compute time quota",
                   DD_PHASE_CONNECT);
    CHECK_MESSAGE(strstr(err.hint, "quota") != NULL, "%s", err.hint);
    err = error_of("postgres", 0, "40001", "could not serialize", DD_PHASE_STATEMENT);
    CHECK_MESSAGE(err.hint[0] == '\0', "%s", err.hint);
    (void)dd_fail(&err, DD_INTERNAL, "permission denied");
    dd_err_text(err.sqlstate, sizeof err.sqlstate, "42501");
    dd_hint(&err, "Ask the owner.");
    dd_classify_postgres(&err, DD_PHASE_STATEMENT);
    CHECK_MESSAGE(strcmp(err.hint, "Ask the owner.") == 0, "%s", err.hint);
}

static void hints_fit_and_are_sentences(void) {
    dd_classification row;
    for (unsigned i = 0; dd_classification_at(i, &row); i++) {
        size_t length = strlen(row.hint);
        CHECK_MESSAGE(length < sizeof((dd_err *)0)->hint, "%s", row.hint);
        CHECK_MESSAGE(length == 0 || row.hint[length - 1] == '.', "%s", row.hint);
    }
}

static void the_phase_of_a_statement_is_told_by_its_first_words(void) {
    for (size_t i = 0; i < sizeof phase_cases / sizeof phase_cases[0]; i++)
        CHECK_MESSAGE(dd_phase_of(phase_cases[i].sql) == phase_cases[i].phase, "%s",
                      phase_cases[i].sql);
}

static void the_lost_end_of_a_prepared_transaction_is_ambiguous_if_it_can_have_committed(void) {
    static const struct {
        const char *driver, *sql;
        dd_class lost;
    } cases[] = {
        {"postgres", "PREPARE TRANSACTION 'g'", DD_AMBIGUOUS},
        {"postgres", "COMMIT PREPARED 'g'", DD_AMBIGUOUS},
        {"postgres", "ROLLBACK PREPARED 'g'", DD_UNAVAILABLE},
        {"mysql", "XA PREPARE 'g'", DD_AMBIGUOUS},
        {"mysql", "XA COMMIT 'g'", DD_AMBIGUOUS},
        {"mysql", "XA ROLLBACK 'g'", DD_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bool mysql = strcmp(cases[i].driver, "mysql") == 0;
        dd_err err = error_of(cases[i].driver, mysql ? 2013 : 0, "", "server closed the connection",
                              dd_phase_of(cases[i].sql));
        CHECK_MESSAGE(err.class_ == cases[i].lost, "%s", cases[i].sql);
    }
}

static const struct block_case {
    const char *sql;
    dd_block after;
} block_cases[] = {
    {"BEGIN", DD_BLOCK_OPEN},
    {"/* now */ begin isolation level serializable", DD_BLOCK_OPEN},
    {"START TRANSACTION READ ONLY", DD_BLOCK_OPEN},
    {"ROLLBACK TO s", DD_BLOCK_OPEN},
    {"rollback transaction to savepoint s", DD_BLOCK_OPEN},
    {"abort work and chain", DD_BLOCK_OPEN},
    {"COMMIT AND CHAIN", DD_BLOCK_OPEN},
    {"COMMIT", DD_BLOCK_ENDED},
    {"commit work and no chain", DD_BLOCK_ENDED},
    {"END;", DD_BLOCK_ENDED},
    {"ROLLBACK TRANSACTION", DD_BLOCK_ENDED},
    {"abort", DD_BLOCK_ENDED},
    {"PREPARE TRANSACTION 'g'", DD_BLOCK_ENDED},
    {"PREPARE p AS SELECT 1", DD_BLOCK_KEPT},
    {"COMMIT PREPARED 'g'", DD_BLOCK_KEPT},
    {"ROLLBACK PREPARED 'g'", DD_BLOCK_KEPT},
    {"SAVEPOINT begin", DD_BLOCK_KEPT},
    {"SET LOCAL lock_timeout = '1s'", DD_BLOCK_KEPT},
    {"beginning", DD_BLOCK_KEPT},
    {"", DD_BLOCK_KEPT},
};

static void what_a_statement_leaves_of_the_transaction_is_told_by_its_words(void) {
    for (size_t i = 0; i < sizeof block_cases / sizeof block_cases[0]; i++)
        CHECK_MESSAGE(dd_block_after(block_cases[i].sql) == block_cases[i].after, "%s",
                      block_cases[i].sql);
}

static void the_first_word_stands_behind_blanks_and_comments(void) {
    CHECK(dd_first_word_is("copy t from stdin", "copy"));
    CHECK(dd_first_word_is("-- x\n /* y */ COPY(select 1) to stdout", "copy"));
    CHECK(!dd_first_word_is("copying", "copy"));
    CHECK(!dd_first_word_is("select copy", "copy"));
}

int main(void) {
    RUN(every_code_of_the_tables_has_the_class_that_they_say);
    RUN(every_row_is_reached_by_its_own_example);
    RUN(no_lost_connection_at_commit_is_taken_for_not_applied);
    RUN(a_signal_of_a_person_is_integrity_whatever_its_number);
    RUN(a_hint_is_given_and_the_servers_own_hint_is_kept);
    RUN(hints_fit_and_are_sentences);
    RUN(the_phase_of_a_statement_is_told_by_its_first_words);
    RUN(the_lost_end_of_a_prepared_transaction_is_ambiguous_if_it_can_have_committed);
    RUN(what_a_statement_leaves_of_the_transaction_is_told_by_its_words);
    RUN(the_first_word_stands_behind_blanks_and_comments);
    return CHECK_RESULT();
}
