#include "bind/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"
#include "bind/error.h"

#define LOCK_TYPE "dualdb.lock"

static int raise_file(lua_State *L, const char *path, const char *what) {
    dd_err err;
    (void)dd_fail(&err, DD_CONFIG, "%s cannot be %s: %s", path, what, strerror(errno));
    return dd_raise(L, &err);
}

/* ---- locks ---- */

/* lock_file(path) -> lock, or nil while another process has it. The file is made for its owner
 * alone. A process that dies has no lock any more. */
static int core_lock_file(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    int *fd = lua_newuserdatauv(L, sizeof *fd, 0);
    *fd = -1;
    luaL_setmetatable(L, LOCK_TYPE);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0) return raise_file(L, path, "written");
    if (!flock(*fd, LOCK_EX | LOCK_NB)) return 1;
    if (errno != EWOULDBLOCK) return raise_file(L, path, "locked");
    lua_pushnil(L);
    return 1;
}

static int lock_close(lua_State *L) {
    int *fd = luaL_checkudata(L, 1, LOCK_TYPE);
    if (*fd >= 0) close(*fd);
    *fd = -1;
    return 0;
}

/* ---- digests ---- */

enum { PIECE = 64 * 1024 };

/* The XXH3-128 of a file's bytes; false when it cannot be read. */
static bool digest_of(FILE *file, XXH128_hash_t *digest) {
    static const size_t piece = 64 * 1024;
    char *bytes = dd_alloc(piece);
    XXH3_state_t *state = XXH3_createState();
    XXH3_128bits_reset(state);
    size_t length;
    while ((length = fread(bytes, 1, piece, file)) > 0) XXH3_128bits_update(state, bytes, length);
    *digest = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    free(bytes);
    return !ferror(file);
}

/* file_digest(path) -> the XXH3-128 of its bytes, as digest() writes it */
static int core_file_digest(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    FILE *file = fopen(path, "rbe");
    if (!file) return raise_file(L, path, "read");
    XXH128_hash_t digest;
    bool read = digest_of(file, &digest);
    int why = errno;
    fclose(file);
    errno = why;
    if (!read) return raise_file(L, path, "read");
    char text[33];
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, digest.high64, digest.low64);
    lua_pushstring(L, text);
    return 1;
}

/* ---- records ---- */

enum { MOST_TEXTS = 8 };

/* write_record(file, number, ...): writes to a file of Lua's the length of each of the texts, then the
 * number, all in 4 bytes of this machine's order, and then the texts. A text that is nil is empty. */
static int core_write_record(lua_State *L) {
    luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    const int count = lua_gettop(L) - 2;
    luaL_argcheck(L, stream->closef, 1, "the file is closed");
    luaL_argcheck(L, count >= 0 && count <= MOST_TEXTS, 3, "too many texts");
    uint32_t head[MOST_TEXTS + 1];
    const char *texts[MOST_TEXTS];
    for (int i = 0; i < count; i++) {
        size_t length;
        texts[i] = luaL_optlstring(L, i + 3, "", &length);
        luaL_argcheck(L, length <= UINT32_MAX, i + 3, "longer than 4 GiB");
        head[i] = (uint32_t)length;
    }
    head[count] = (uint32_t)luaL_checkinteger(L, 2);
    bool whole = fwrite(head, sizeof *head, (size_t)count + 1, stream->f) == (size_t)count + 1;
    for (int i = 0; i < count; i++)
        whole = whole && fwrite(texts[i], 1, head[i], stream->f) == head[i];
    return whole ? 0 : raise_file(L, "a temporary file", "written");
}

static const luaL_Reg lock_methods[] = {{"close", lock_close}, {NULL, NULL}};

static const luaL_Reg lock_metamethods[] = {
    {"__gc", lock_close},
    {"__close", lock_close},
    {NULL, NULL},
};

void dd_open_files(lua_State *L) {
    luaL_newmetatable(L, LOCK_TYPE);
    luaL_setfuncs(L, lock_metamethods, 0);
    lua_newtable(L);
    luaL_setfuncs(L, lock_methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_lock_file);
    lua_setfield(L, -2, "lock_file");
    lua_pushcfunction(L, core_file_digest);
    lua_setfield(L, -2, "file_digest");
    lua_pushcfunction(L, core_write_record);
    lua_setfield(L, -2, "write_record");
}
