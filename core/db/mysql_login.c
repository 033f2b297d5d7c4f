/*
 * Logging in by MySQL's caching_sha2_password. A password that the server has not seen since it
 * started goes to it as a whole: as it is when the session is encrypted, else encrypted with the
 * server's key. MariaDB Connector/C takes a session for encrypted as soon as TLS was asked for. So
 * where the server, or somebody on the way to it, has none, everybody could read the password, and
 * MySQL, which finds no encrypted one, denies the login. Here its plugin is told the truth first.
 */

#include "db/mysql_driver.h"

#ifdef LIBMARIADB

/* Of the library's own header of plugins, which needs another one that is not installed with it. */
enum { AUTHENTICATION_PLUGIN = 2, LOGIN_FAILED = 0 };

typedef int login_type(void *vio, MYSQL *client);

typedef struct plugin_type {
    struct st_mysql_client_plugin head;
    login_type *login;
} plugin_type;

static char must_encrypt[] = "dualdb: must encrypt"; /* the library takes no constants */

static login_type *library_login; /* set before any login */

static int login(void *vio, MYSQL *client) {
    /* What the server has greeted with: the session becomes encrypted by the login's first packet. */
    if (!(client->server_capabilities & CLIENT_SSL)) {
        void *refused = NULL;
        mysql_get_optionv(client, MARIADB_OPT_USERDATA, must_encrypt, &refused);
        if (refused) {
            *(bool *)refused = true;
            return LOGIN_FAILED;
        }
        client->options.use_ssl = 0;
        client->client_flag &= ~(unsigned long)CLIENT_SSL;
    }
    return library_login(vio, client);
}

void dd_mysql_guard_login(void) {
    MYSQL *client = mysql_init(NULL);
    if (!client) dd_out_of_memory(sizeof(MYSQL));
    /* Without the plugin no such login is possible, and whoever tries is told by the library. */
    plugin_type *plugin = (plugin_type *)(void *)mysql_client_find_plugin(
        client, "caching_sha2_password", AUTHENTICATION_PLUGIN);
    if (plugin) {
        library_login = plugin->login;
        plugin->login = login;
    }
    mysql_close(client);
}

void dd_mysql_must_encrypt(MYSQL *client, bool *refused) {
    mysql_options4(client, MARIADB_OPT_USERDATA, must_encrypt, refused);
}

#else

void dd_mysql_guard_login(void) {}

/* The library itself refuses, by its SSL_MODE. */
void dd_mysql_must_encrypt(MYSQL *client, bool *refused) {
    (void)client;
    (void)refused;
}

#endif
