#include "bind/system.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "bind/error.h"

/* clock(): seconds on the monotonic clock */
static int core_clock(lua_State *L) {
    lua_pushnumber(L, dd_clock());
    return 1;
}

/* wall_clock(): microseconds since 1970-01-01 UTC */
static int core_wall_clock(lua_State *L) {
    lua_pushinteger(L, dd_wall_clock_us());
    return 1;
}

/* sleep(seconds): raises `canceled` when interrupted */
static int core_sleep(lua_State *L) {
    if (dd_sleep(luaL_checknumber(L, 1))) return 0;
    dd_err err;
    (void)dd_fail(&err, DD_CANCELED, "interrupted");
    return dd_raise(L, &err);
}

static int core_interrupt(lua_State *L) {
    (void)L;
    dd_interrupt();
    return 0;
}

static int core_interrupted(lua_State *L) {
    lua_pushboolean(L, dd_interrupted());
    return 1;
}

static int core_interrupt_clear(lua_State *L) {
    (void)L;
    dd_interrupt_clear();
    return 0;
}

/* isatty(fd) */
static int core_isatty(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* width(fd): columns of the terminal and its lines, or nil */
static int core_width(lua_State *L) {
    struct winsize size;
    if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) || size.ws_col == 0) return 0;
    lua_pushinteger(L, size.ws_col);
    lua_pushinteger(L, size.ws_row);
    return 2;
}

/* processors() that are at work */
static int core_processors(lua_State *L) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    lua_pushinteger(L, count > 0 ? count : 1);
    return 1;
}

static int core_pid(lua_State *L) {
    lua_pushinteger(L, getpid());
    return 1;
}

/* kill(pid, signal) -> true, or false when there is no such process; signal 0 only looks */
static int core_kill(lua_State *L) {
    int failed = kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2));
    lua_pushboolean(L, !failed);
    return 1;
}

/* hostname() */
static int core_hostname(lua_State *L) {
    char name[256];
    name[sizeof name - 1] = '\0';
    lua_pushstring(L, gethostname(name, sizeof name - 1) ? "localhost" : name);
    return 1;
}

/* `count` digits of base 32 (Crockford's, in lower case), from the high bits of `number` down. */
static void base32_digits(char *out, uint64_t number, unsigned count) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    while (count--) {
        out[count] = digits[number & 31];
        number >>= 5;
    }
}

/* ulid(): 26 letters and digits: ten of the time in milliseconds, 16 that nobody can guess
 * (github.com/ulid/spec, but in lower case) */
static int core_ulid(lua_State *L) {
    char text[26];
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return dd_raise_usage(L, "the system gives no random bytes: %s", strerror(errno));
    base32_digits(text, (uint64_t)(dd_wall_clock_us() / 1000), 10);
    base32_digits(text + 10, random[0], 8);
    base32_digits(text + 18, random[1], 8);
    lua_pushlstring(L, text, sizeof text);
    return 1;
}

static const char **string_array(lua_State *L, int index, int *count) {
    luaL_checktype(L, index, LUA_TTABLE);
    lua_Integer length = luaL_len(L, index);
    if (length < 0 || length > 4096) dd_raise_usage(L, "too many strings");
    const char **array = lua_newuserdatauv(L, ((size_t)length + 1) * sizeof *array, 0);
    luaL_checkstack(L, (int)length + 1, "too many strings");
    for (int i = 0; i < length; i++) {
        lua_rawgeti(L, index, i + 1);
        array[i] = luaL_checkstring(L, -1);
    }
    array[length] = NULL;
    if (count) *count = (int)length;
    return array;
}

/* exec(argv, env): replaces the process; env is an array of "NAME=value" that is added. Returns only
 * by raising an error. */
static int core_exec(lua_State *L) {
    int count;
    const char **argv = string_array(L, 1, &count);
    if (!count) return dd_raise_usage(L, "exec: no program given");
    const char **added = string_array(L, 2, NULL);
    for (; *added; added++)
        if (!strchr(*added, '=') || putenv((char *)(uintptr_t)*added))
            return dd_raise_usage(L, "exec: not NAME=value");
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    dd_err err;
    (void)dd_fail(&err, DD_CONFIG, "%s cannot be run: %s", argv[0], strerror(errno));
    return dd_raise(L, &err);
}

/* user_id(): the user that the process acts as */
static int core_user_id(lua_State *L) {
    lua_pushinteger(L, geteuid());
    return 1;
}

/* user_name(): of the user that the process acts as; its number where there is no name */
static int core_user_name(lua_State *L) {
    char text[4096];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(geteuid(), &entry, text, sizeof text, &found) || !found)
        lua_pushfstring(L, "%d", (int)geteuid());
    else
        lua_pushstring(L, found->pw_name);
    return 1;
}

static int raise_file(lua_State *L, const char *path, const char *what) {
    dd_err err;
    (void)dd_fail(&err, DD_CONFIG, "%s cannot be %s: %s", path, what, strerror(errno));
    return dd_raise(L, &err);
}

/* make_directory(path, own): with those above it that are missing, for this user alone. Raises
 * `config` when it is not there in the end or not to be written in; with `own` also when it belongs
 * to somebody else, or others may enter it. */
static int core_make_directory(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    bool own = lua_toboolean(L, 2);
    for (const char *end = strchr(path + (path[0] == '/'), '/'); end; end = strchr(end + 1, '/')) {
        lua_pushlstring(L, path, (size_t)(end - path));
        if (mkdir(lua_tostring(L, -1), 0700) && errno != EEXIST && errno != EROFS &&
            errno != EACCES) /* one that is there says that too; the last one decides */
            return raise_file(L, lua_tostring(L, -1), "made");
        lua_pop(L, 1);
    }
    struct stat info;
    if (mkdir(path, 0700) && errno != EEXIST && (errno != EROFS || access(path, F_OK)))
        return raise_file(L, path, "made");
    if ((own ? lstat(path, &info) : stat(path, &info)) || access(path, R_OK | W_OK | X_OK))
        return raise_file(L, path, "used");
    if (!S_ISDIR(info.st_mode)) errno = ENOTDIR;
    else if (own && (info.st_uid != geteuid() || (info.st_mode & 077))) errno = EPERM;
    else return 0;
    return raise_file(L, path, "used");
}

static bool write_all(int fd, const char *text, size_t length) {
    while (length) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        text += written;
        length -= (size_t)written;
    }
    return true;
}

/* Its name too must survive. Some file systems cannot say, and keep it all the same. */
static void sync_directory(lua_State *L, const char *path) {
    const char *slash = strrchr(path, '/');
    lua_pushlstring(L, slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1);
    int fd = open(lua_tostring(L, -1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lua_pop(L, 1);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

/* write_file_atomic(path, text): the file has its old text or the new one at any time, also when the
 * process or the machine stops; its directory is there. */
static int core_write_file_atomic(lua_State *L) {
    size_t length;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &length);
    const char *fresh = lua_pushfstring(L, "%s.%d.new", path, (int)gettid());
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return raise_file(L, path, "written");
    bool written = write_all(fd, text, length) && !fsync(fd);
    if (close(fd) || !written || rename(fresh, path)) {
        int why = errno;
        unlink(fresh);
        errno = why;
        return raise_file(L, path, "written");
    }
    sync_directory(L, path);
    return 0;
}

/* sync_file(path): what was written to the file, and its name, is there after a crash too */
static int core_sync_file(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return raise_file(L, path, "written");
    bool written = !fsync(fd);
    if (close(fd) || !written) return raise_file(L, path, "written");
    sync_directory(L, path);
    return 0;
}

static const luaL_Reg functions[] = {
    {"clock", core_clock},
    {"wall_clock", core_wall_clock},
    {"sleep", core_sleep},
    {"interrupt", core_interrupt},
    {"interrupted", core_interrupted},
    {"interrupt_clear", core_interrupt_clear},
    {"isatty", core_isatty},
    {"width", core_width},
    {"processors", core_processors},
    {"pid", core_pid},
    {"kill", core_kill},
    {"hostname", core_hostname},
    {"ulid", core_ulid},
    {"exec", core_exec},
    {"user_id", core_user_id},
    {"user_name", core_user_name},
    {"make_directory", core_make_directory},
    {"write_file_atomic", core_write_file_atomic},
    {"sync_file", core_sync_file},
    {NULL, NULL},
};

void dd_open_system(lua_State *L) { luaL_setfuncs(L, functions, 0); }
