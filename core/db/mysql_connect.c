/* How a MySQL session is made: settings, client options, the session's variables, and the second
 * connection that cancels statements. */

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "db/mysql_driver.h"

/*
 * NAMES sets the collation to the server's own default for utf8mb4, which a client of another
 * vendor cannot know. Zero dates are refused because nothing here writes them; a stream may wait
 * long for its consumer, which net_write_timeout must not take for a dead client.
 */
static const char session_setup[] =
    "SET NAMES utf8mb4, time_zone = '+00:00', autocommit = 1, net_write_timeout = 600, "
    "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    "NO_AUTO_VALUE_ON_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE'";

/* Seconds that connecting, sending and reading may take each when a statement is cancelled. */
static const unsigned kill_timeout = 2;
static const unsigned long largest_packet = 1UL << 30; /* what the protocol can do */

/* ---- settings ---- */

static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    {"host", offsetof(dd_mysql_target, host)},
    {"socket", offsetof(dd_mysql_target, socket)},
    {"user", offsetof(dd_mysql_target, user)},
    {"password", offsetof(dd_mysql_target, password)},
    {"dbname", offsetof(dd_mysql_target, dbname)},
    {"ssl-ca", offsetof(dd_mysql_target, ssl_ca)},
    {"ssl-cert", offsetof(dd_mysql_target, ssl_cert)},
    {"ssl-key", offsetof(dd_mysql_target, ssl_key)},
};
enum { TEXTS = sizeof texts / sizeof texts[0] };

static const char *const tls_modes[] = {
    [DD_TLS_DISABLED] = "disabled",   [DD_TLS_PREFERRED] = "preferred",
    [DD_TLS_REQUIRED] = "required",   [DD_TLS_CA] = "verify-ca",
    [DD_TLS_IDENTITY] = "verify-identity",
};
enum { TLS_MODES = sizeof tls_modes / sizeof tls_modes[0] };

static char **text_at(dd_mysql_target *target, unsigned index) {
    return (char **)(void *)((char *)target + texts[index].offset);
}

static dd_status read_port(dd_mysql_target *target, const char *value, dd_err *err) {
    char *end;
    errno = 0;
    long port = strtol(value, &end, 10);
    if (errno || *end || end == value || port < 1 || port > 65535)
        return dd_fail(err, DD_CONFIG, "port is not a number from 1 to 65535: %s", value);
    target->port = (unsigned)port;
    return DD_OK;
}

static dd_status read_tls(dd_mysql_target *target, const char *value, dd_err *err) {
    for (unsigned i = 0; i < TLS_MODES; i++)
        if (strcasecmp(value, tls_modes[i]) == 0) {
            target->tls = i;
            return DD_OK;
        }
    dd_fail(err, DD_CONFIG, "ssl-mode is not known: %s", value);
    dd_hint(err, "It is one of disabled, preferred, required, verify-ca, verify-identity.");
    return DD_FAIL;
}

static dd_status read_setting(dd_mysql_target *target, const dd_setting *setting, dd_err *err) {
    const char *value = setting->value;
    for (unsigned i = 0; i < TEXTS; i++) {
        if (strcmp(setting->name, texts[i].name) != 0) continue;
        char **at = text_at(target, i);
        free(*at);
        *at = value && *value ? dd_strdup(value) : NULL;
        return DD_OK;
    }
    bool given = value && *value;
    if (strcmp(setting->name, "port") == 0) return given ? read_port(target, value, err) : DD_OK;
    if (strcmp(setting->name, "ssl-mode") == 0) return given ? read_tls(target, value, err) : DD_OK;
    dd_fail(err, DD_CONFIG, "a mysql connection has no setting `%s`", setting->name);
    dd_hint(err, "It takes host, port, socket, user, password, dbname, ssl-mode, ssl-ca, ssl-cert "
                 "and ssl-key.");
    return DD_FAIL;
}

static void forget_target(dd_mysql_target *target) {
    if (target->password) explicit_bzero(target->password, strlen(target->password));
    for (unsigned i = 0; i < TEXTS; i++) {
        free(*text_at(target, i));
        *text_at(target, i) = NULL;
    }
}

/* ---- what differs between the client libraries ---- */

#ifdef LIBMARIADB

static void set_tls(MYSQL *client, const dd_mysql_target *target) {
    /* "Enforce" means: ask for it when the server has it. That it was had is checked afterwards. */
    bool wanted = target->tls >= DD_TLS_REQUIRED ||
                  (target->tls == DD_TLS_PREFERRED && !target->socket);
    bool checked = target->tls == DD_TLS_IDENTITY;
#if MARIADB_PACKAGE_VERSION_ID >= 30400
    /* One switch for chain and name: rather a name too many checked than a chain too few. */
    checked = checked || target->tls == DD_TLS_CA;
#else
    /* A CA that is given is checked against, with or without the switch. */
    checked = checked || (target->tls == DD_TLS_CA && !target->ssl_ca);
#endif
    dd_mysql_bool ask = wanted ? 1 : 0, verify = checked ? 1 : 0;
    mysql_options(client, MYSQL_OPT_SSL_ENFORCE, &ask);
    mysql_options(client, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

static int socket_of(MYSQL *client) { return mysql_get_socket(client); }

#else

static void set_tls(MYSQL *client, const dd_mysql_target *target) {
    static const enum mysql_ssl_mode modes[] = {
        [DD_TLS_DISABLED] = SSL_MODE_DISABLED,   [DD_TLS_PREFERRED] = SSL_MODE_PREFERRED,
        [DD_TLS_REQUIRED] = SSL_MODE_REQUIRED,   [DD_TLS_CA] = SSL_MODE_VERIFY_CA,
        [DD_TLS_IDENTITY] = SSL_MODE_VERIFY_IDENTITY,
    };
    enum mysql_ssl_mode mode = modes[target->tls];
    mysql_options(client, MYSQL_OPT_SSL_MODE, &mode);
    /* Without TLS caching_sha2_password encrypts the password with the server's key. */
    dd_mysql_bool ask_key = target->tls <= DD_TLS_PREFERRED;
    mysql_options(client, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &ask_key);
}

static int socket_of(MYSQL *client) { return client->net.fd; }

#endif

/* ---- connecting ---- */

static void start_library(void) {
    mysql_library_init(0, NULL, NULL);
    dd_mysql_guard_login();
}

/* The server may ask for a file only where there is a feed; `refused`: see dd_mysql_must_encrypt. */
static MYSQL *prepare_client(const dd_mysql_target *target, dd_mysql_feed *feed, bool *refused) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_library);
    MYSQL *client = mysql_init(NULL);
    if (!client) dd_out_of_memory(sizeof(MYSQL));
    mysql_options(client, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    unsigned local = feed ? 1 : 0;
    mysql_options(client, MYSQL_OPT_LOCAL_INFILE, &local);
    if (feed) dd_mysql_feed_by(client, feed);
    dd_mysql_bool on = 1;
    mysql_options(client, MYSQL_REPORT_DATA_TRUNCATION, &on);
    mysql_options(client, MYSQL_OPT_MAX_ALLOWED_PACKET, &largest_packet);
    unsigned protocol = target->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    mysql_options(client, MYSQL_OPT_PROTOCOL, &protocol);
    if (target->ssl_ca) mysql_options(client, MYSQL_OPT_SSL_CA, target->ssl_ca);
    if (target->ssl_cert) mysql_options(client, MYSQL_OPT_SSL_CERT, target->ssl_cert);
    if (target->ssl_key) mysql_options(client, MYSQL_OPT_SSL_KEY, target->ssl_key);
    set_tls(client, target);
    if (target->tls >= DD_TLS_REQUIRED) dd_mysql_must_encrypt(client, refused);
    return client;
}

/* A password of NULL would let the library look for one in the environment. */
static bool connect_client(MYSQL *client, const dd_mysql_target *target, const char *dbname) {
    const char *host = target->socket ? NULL : target->host ? target->host : "127.0.0.1";
    return mysql_real_connect(client, host, target->user, target->password ? target->password : "",
                              dbname, target->port, target->socket, CLIENT_FOUND_ROWS) != NULL;
}

bool dd_mysql_kill(const dd_mysql *conn) {
    bool refused = false;
    MYSQL *client = prepare_client(&conn->target, NULL, &refused);
    mysql_options(client, MYSQL_OPT_CONNECT_TIMEOUT, &kill_timeout);
    mysql_options(client, MYSQL_OPT_READ_TIMEOUT, &kill_timeout);
    mysql_options(client, MYSQL_OPT_WRITE_TIMEOUT, &kill_timeout);
    char sql[40];
    int length = snprintf(sql, sizeof sql, "KILL QUERY %llu",
                          (unsigned long long)conn->base.session);
    bool killed = connect_client(client, &conn->target, NULL) &&
                  mysql_real_query(client, sql, (unsigned long)length) == 0;
    mysql_close(client);
    return killed;
}

static void cancel_for_watchdog(void *owner) {
    dd_mysql_kill(owner);
    mysql_thread_end(); /* the watchdog's thread keeps nothing of the library */
}

static void cut_for_watchdog(void *owner) {
    dd_mysql *conn = owner;
    shutdown(conn->wake, SHUT_RDWR);
}

/* MariaDB puts this before its version for old replicas; some clients leave it there. */
static const char *without_prefix(const char *version) {
    static const char prefix[] = "5.5.5-";
    return strncmp(version, prefix, sizeof prefix - 1) == 0 ? version + sizeof prefix - 1 : version;
}

static dd_status fail_without_tls(const dd_mysql *conn, dd_err *err) {
    dd_fail(err, DD_CONFIG, "the server has no tls, which ssl-mode=%s requires",
            tls_modes[conn->target.tls]);
    dd_hint(err, "A weaker ssl-mode allows that.");
    return DD_FAIL;
}

static dd_status start_session(dd_mysql *conn, double connect_timeout, dd_err *err) {
    if (conn->target.tls >= DD_TLS_REQUIRED && !mysql_get_ssl_cipher(conn->client))
        return fail_without_tls(conn, err);
    conn->wake = fcntl(socket_of(conn->client), F_DUPFD_CLOEXEC, 0);
    if (conn->wake < 0)
        return dd_fail(err, DD_CAPACITY, "cannot duplicate a socket: %s", strerror(errno));
    const char *version = without_prefix(mysql_get_server_info(conn->client));
    dd_err_text(conn->base.version, sizeof conn->base.version, version);
    bool is_mariadb = strcasestr(version, "mariadb") != NULL;
    dd_err_text(conn->base.product, sizeof conn->base.product, is_mariadb ? "mariadb" : "mysql");
    conn->params.one_zero = is_mariadb;
    conn->base.session = mysql_thread_id(conn->client);
    conn->base.timeout = connect_timeout;
    dd_status status = dd_mysql_run(conn, session_setup, err);
    conn->base.timeout = 0;
    return status;
}

dd_status dd_mysql_open(const dd_setting *settings, unsigned count, double connect_timeout,
                        dd_conn **out, dd_err *err) {
    dd_mysql *conn = dd_calloc(1, sizeof *conn);
    conn->base.driver = &dd_driver_mysql;
    conn->wake = -1;
    conn->watch.cancel = cancel_for_watchdog;
    conn->watch.cut = cut_for_watchdog;
    conn->watch.owner = conn;
    conn->target.tls = DD_TLS_PREFERRED;
    conn->target.port = 3306;
    conn->phase = DD_PHASE_CONNECT;
    for (unsigned i = 0; i < count; i++)
        if (read_setting(&conn->target, &settings[i], err) != DD_OK) {
            dd_mysql_free(conn);
            return DD_FAIL;
        }
    if (dd_interrupted()) {
        dd_mysql_free(conn);
        return dd_fail(err, DD_CANCELED, "interrupted");
    }
    bool refused = false;
    conn->client = prepare_client(&conn->target, &conn->feed, &refused);
    if (connect_timeout > 0) {
        unsigned seconds = connect_timeout < 86400 ? (unsigned)ceil(connect_timeout) : 86400;
        mysql_options(conn->client, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    }
    dd_status status = DD_OK;
    if (!connect_client(conn->client, &conn->target, conn->target.dbname)) {
        if (refused)
            (void)fail_without_tls(conn, err);
        else
            dd_mysql_error(conn, NULL, err);
        status = DD_FAIL;
    } else {
        status = start_session(conn, connect_timeout, err);
    }
    if (status != DD_OK) {
        mysql_close(conn->client);
        dd_mysql_free(conn);
        return DD_FAIL;
    }
    *out = &conn->base;
    return DD_OK;
}

void dd_mysql_free(dd_mysql *conn) {
    if (conn->wake >= 0) close(conn->wake);
    forget_target(&conn->target);
    dd_mysql_params_free(&conn->params);
    free(conn);
}
