#include "bind/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "bind/error.h"

/*
 * Local databases, for what a project remembers in more than small strings. A statement keeps its
 * database alive; closing the database makes its statements raise.
 */

#define STORE_TYPE "dualdb.sqlite"
#define STATEMENT_TYPE "dualdb.sqlite.statement"
#define USER_STORE 1

/* Milliseconds between two looks at a database that another process writes. */
enum { LOOK_MS = 20 };

typedef struct store {
    sqlite3 *db;               /* NULL before it is open and after it was closed */
    int64_t patience_ms;
} store;

typedef struct statement {
    store *owner;              /* kept alive by user value 1 */
    sqlite3_stmt *handle;      /* NULL before it is prepared and after it was closed */
    char kinds[32];            /* of the parameters */
} statement;

/* ---- errors ---- */

static dd_class class_of(int code) {
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return DD_TRANSIENT;
    case SQLITE_FULL:
    case SQLITE_IOERR: return DD_CAPACITY;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DD_CONFIG;
    default: return DD_INTERNAL;
    }
}

static int raise_sqlite(lua_State *L, sqlite3 *db, int code) {
    dd_err err;
    if ((code & 0xff) == SQLITE_BUSY && dd_interrupted())
        (void)dd_fail(&err, DD_CANCELED, "interrupted");
    else
        (void)dd_fail(&err, class_of(code), "local state: %s",
                      db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    err.code = code;
    return dd_raise(L, &err);
}

/* ---- databases ---- */

static store *open_store(lua_State *L) {
    store *self = luaL_checkudata(L, 1, STORE_TYPE);
    if (!self->db) dd_raise_usage(L, "the local database is closed");
    return self;
}

/* Another process writes: waits, as long as nobody interrupts and there is patience left. */
static int wait_for_others(void *context, int count) {
    const store *self = context;
    if (dd_interrupted() || (int64_t)count * LOOK_MS >= self->patience_ms) return 0;
    sqlite3_sleep(LOOK_MS);
    return 1;
}

/* SQLite would make the file readable for others. One that is there is never opened here: to close
 * it would take away the locks that SQLite has on it in this process, and others would write into
 * what it is writing. */
static int make_file(lua_State *L, const char *path) {
    struct stat found;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) return close(fd);
    if (errno == EEXIST && lstat(path, &found) == 0) {
        if (S_ISREG(found.st_mode)) return 0;
        errno = ELOOP; /* a name that somebody else has put there */
    }
    dd_err err;
    (void)dd_fail(&err, DD_CONFIG, "%s cannot be written: %s", path, strerror(errno));
    return dd_raise(L, &err);
}

/* sqlite(path|nil, seconds) -> database. The file is made if need be, for its owner alone; without
 * a path it is in memory. Waits as many seconds for what other processes do. */
static int core_sqlite(lua_State *L) {
    const char *path = luaL_optstring(L, 1, NULL);
    lua_Number seconds = luaL_checknumber(L, 2);
    store *self = lua_newuserdatauv(L, sizeof *self, 0);
    *self = (store){.patience_ms = (int64_t)(seconds * 1000)};
    luaL_setmetatable(L, STORE_TYPE);
    if (path) make_file(L, path);
    int code = sqlite3_open_v2(path ? path : ":memory:", &self->db,
                               SQLITE_OPEN_READWRITE | (path ? 0 : SQLITE_OPEN_CREATE), NULL);
    if (code) return raise_sqlite(L, self->db, code);
    sqlite3_extended_result_codes(self->db, 1);
    sqlite3_busy_handler(self->db, wait_for_others, self);
    return 1;
}

/* Statements that still are there keep the handle until they go; they raise from now on. */
static int store_close(lua_State *L) {
    store *self = luaL_checkudata(L, 1, STORE_TYPE);
    if (self->db) sqlite3_close_v2(self->db);
    self->db = NULL;
    return 0;
}

/* database:exec(sql): any number of statements, whose rows are dropped */
static int store_exec(lua_State *L) {
    store *self = open_store(L);
    int code = sqlite3_exec(self->db, luaL_checkstring(L, 2), NULL, NULL, NULL);
    if (code) return raise_sqlite(L, self->db, code);
    lua_settop(L, 1);
    return 1;
}

/* database:in_transaction() -> boolean */
static int store_in_transaction(lua_State *L) {
    lua_pushboolean(L, !sqlite3_get_autocommit(open_store(L)->db));
    return 1;
}

/* ---- statements ---- */

static statement *open_statement(lua_State *L) {
    statement *self = luaL_checkudata(L, 1, STATEMENT_TYPE);
    if (!self->handle) dd_raise_usage(L, "the statement is closed");
    if (!self->owner->db) dd_raise_usage(L, "the local database is closed");
    return self;
}

/* Pushes a statement of the database at 1 with the text at 2 and the kinds at 3, a place that
 * there is afterwards. */
static statement *push_statement(lua_State *L) {
    store *owner = open_store(L);
    if (lua_gettop(L) < 3) lua_settop(L, 3);
    size_t length;
    const char *sql = luaL_checklstring(L, 2, &length);
    const char *kinds = luaL_optstring(L, 3, "");
    statement *self = lua_newuserdatauv(L, sizeof *self, 1);
    *self = (statement){.owner = owner};
    luaL_setmetatable(L, STATEMENT_TYPE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, USER_STORE);
    if (strlen(kinds) >= sizeof self->kinds || kinds[strspn(kinds, "idtb")])
        dd_raise_usage(L, "kinds of parameters are i, d, t and b, at most %d",
                       (int)sizeof self->kinds - 1);
    memcpy(self->kinds, kinds, strlen(kinds) + 1);
    int code = sqlite3_prepare_v2(owner->db, sql, (int)length + 1, &self->handle, NULL);
    if (code) raise_sqlite(L, owner->db, code);
    if (!self->handle || sqlite3_bind_parameter_count(self->handle) != (int)strlen(kinds))
        dd_raise_usage(L, "the statement does not have %d parameters", (int)strlen(kinds));
    return self;
}

static int bind_one(lua_State *L, sqlite3_stmt *handle, int number, char kind, int index) {
    if (lua_isnoneornil(L, index)) return sqlite3_bind_null(handle, number);
    if (kind == 'i') return sqlite3_bind_int64(handle, number, luaL_checkinteger(L, index));
    if (kind == 'd') return sqlite3_bind_double(handle, number, luaL_checknumber(L, index));
    size_t length;
    const char *text = luaL_checklstring(L, index, &length);
    if (kind == 'b') return sqlite3_bind_blob64(handle, number, text, length, SQLITE_STATIC);
    return sqlite3_bind_text64(handle, number, text, length, SQLITE_STATIC, SQLITE_UTF8);
}

/* Binds the arguments from `first` on; nil is NULL. Texts are not copied. */
static void bind(lua_State *L, statement *self, int first) {
    for (int i = 0; self->kinds[i]; i++) {
        int code = bind_one(L, self->handle, i + 1, self->kinds[i], first + i);
        if (code) raise_sqlite(L, self->owner->db, code);
    }
}

/* database:prepare(sql, kinds|nil) -> statement. Kinds of its parameters: i integer, d number,
 * t text, b bytes. */
static int store_prepare(lua_State *L) {
    push_statement(L);
    return 1;
}

/* statement:run(...) -> rows that it changed. For statements without rows. */
static int statement_run(lua_State *L) {
    statement *self = open_statement(L);
    bind(L, self, 2);
    int code = sqlite3_step(self->handle);
    int changes = sqlite3_changes(self->owner->db);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        sqlite3_reset(self->handle);
        return raise_sqlite(L, self->owner->db, code);
    }
    sqlite3_reset(self->handle);
    sqlite3_clear_bindings(self->handle);
    if (code == SQLITE_ROW) return dd_raise_usage(L, "run: the statement has rows");
    lua_pushinteger(L, changes);
    return 1;
}

static int statement_close(lua_State *L) {
    statement *self = luaL_checkudata(L, 1, STATEMENT_TYPE);
    sqlite3_finalize(self->handle);
    self->handle = NULL;
    return 0;
}

/* ---- rows ---- */

static void push_row(lua_State *L, sqlite3_stmt *handle) {
    int count = sqlite3_column_count(handle);
    lua_createtable(L, 0, count);
    for (int i = 0; i < count; i++) {
        switch (sqlite3_column_type(handle, i)) {
        case SQLITE_INTEGER: lua_pushinteger(L, sqlite3_column_int64(handle, i)); break;
        case SQLITE_FLOAT: lua_pushnumber(L, sqlite3_column_double(handle, i)); break;
        case SQLITE_NULL: continue;
        default: {
            const void *bytes = sqlite3_column_blob(handle, i);
            lua_pushlstring(L, bytes ? bytes : "", (size_t)sqlite3_column_bytes(handle, i));
        }
        }
        lua_setfield(L, -2, sqlite3_column_name(handle, i));
    }
}

/* The iterator: a table by column name, without those that are NULL; nil at the end. */
static int statement_next(lua_State *L) {
    statement *self = luaL_checkudata(L, 1, STATEMENT_TYPE);
    int code = SQLITE_DONE;
    if (self->handle) code = sqlite3_step(open_statement(L)->handle);
    if (code == SQLITE_ROW) {
        push_row(L, self->handle);
        return 1;
    }
    statement_close(L);
    if (code != SQLITE_DONE) return raise_sqlite(L, self->owner->db, code);
    lua_pushnil(L);
    return 1;
}

/* database:rows(sql, kinds|nil, ...) for a generic for, which closes them at its end */
static int store_rows(lua_State *L) {
    statement *self = push_statement(L);
    /* The values have to live as long as the rows. */
    lua_insert(L, 4);
    bind(L, self, 5);
    int values = lua_gettop(L) - 4;
    lua_createtable(L, values + 1, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    for (int i = 1; i <= values; i++) {
        lua_pushvalue(L, 4 + i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setiuservalue(L, 4, USER_STORE);
    lua_pushvalue(L, 4);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, 4);
    return 4;
}

/* database:first(sql, kinds|nil, ...) -> the first row, or nil */
static int store_first(lua_State *L) {
    statement *self = push_statement(L);
    lua_insert(L, 4);
    bind(L, self, 5);
    int code = sqlite3_step(self->handle);
    if (code == SQLITE_ROW)
        push_row(L, self->handle);
    else if (code == SQLITE_DONE)
        lua_pushnil(L);
    else
        return raise_sqlite(L, self->owner->db, code);
    sqlite3_finalize(self->handle);
    self->handle = NULL;
    return 1;
}

/* ---- the classes ---- */

static const luaL_Reg store_methods[] = {
    {"close", store_close},     {"exec", store_exec},   {"in_transaction", store_in_transaction},
    {"prepare", store_prepare}, {"rows", store_rows},   {"first", store_first},
    {NULL, NULL},
};

static const luaL_Reg store_metamethods[] = {
    {"__gc", store_close},
    {"__close", store_close},
    {NULL, NULL},
};

static const luaL_Reg statement_methods[] = {
    {"run", statement_run},
    {"close", statement_close},
    {NULL, NULL},
};

static const luaL_Reg statement_metamethods[] = {
    {"__call", statement_next},
    {"__gc", statement_close},
    {"__close", statement_close},
    {NULL, NULL},
};

static void new_class(lua_State *L, const char *name, const luaL_Reg *methods,
                      const luaL_Reg *metamethods) {
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, metamethods, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void dd_open_sqlite(lua_State *L) {
    new_class(L, STORE_TYPE, store_methods, store_metamethods);
    new_class(L, STATEMENT_TYPE, statement_methods, statement_metamethods);
    lua_pushcfunction(L, core_sqlite);
    lua_setfield(L, -2, "sqlite");
}
