#include "bind/jobs.h"

#include <lauxlib.h>

#include "bind/arguments.h"
#include "bind/error.h"
#include "bind/transformed.h"
#include "bind/value.h"
#include "pair/compare.h"
#include "pair/copy.h"

/*
 * The long jobs of the engine. Their callbacks run Lua on the calling thread; an error raised there
 * is carried through C as a dd_err and the Lua value itself is kept, so that the caller of the job
 * gets the very object that was raised.
 */
typedef struct job {
    lua_State *L;
    int transform;             /* stack index of the function, or 0 */
    int refused;
    int difference;
    int progress;
    int chunk;
    int failure;               /* stack index of the slot for a raised value */
    bool digests;              /* differences are told with the digests of their rows */
    const char *kinds;         /* of the rows */
    unsigned count;
    dd_value *values;          /* room for one row, with a transform */
    dd_transform apply;
} job;

/* ---- callbacks ---- */

/* The one place where a job calls Lua: `arguments` values and the function below them are on the
 * stack. */
static dd_status call(job *j, int arguments, int results, dd_err *err) {
    lua_State *L = j->L;
    if (lua_pcall(L, arguments, results, 0) == LUA_OK) return DD_OK;
    lua_pushvalue(L, -1);
    lua_replace(L, j->failure);
    dd_error_from_lua(L, err);
    return DD_FAIL;
}

static dd_status apply_transform(void *context, const uint8_t *row, size_t length, dd_buf *out,
                                 bool *keep, dd_err *err) {
    job *j = context;
    lua_State *L = j->L;
    lua_pushvalue(L, j->transform);
    lua_pushlstring(L, (const char *)row, length);
    if (call(j, 1, 1, err)) return DD_FAIL;
    return dd_take_transformed(L, j->kinds, j->count, j->values, out, keep, err);
}

static void push_row(lua_State *L, const uint8_t *row, size_t length) {
    if (row)
        lua_pushlstring(L, (const char *)row, length);
    else
        lua_pushnil(L);
}

static dd_status tell_refused(void *context, const uint8_t *row, size_t length,
                              const dd_refusal *refusal, dd_err *err) {
    job *j = context;
    lua_State *L = j->L;
    lua_pushvalue(L, j->refused);
    push_row(L, row, length);
    if (refusal->column < j->count) lua_pushinteger(L, (lua_Integer)refusal->column + 1);
    else lua_pushnil(L);
    lua_pushstring(L, refusal->reason);
    return call(j, 3, 0, err);
}

static dd_status tell_difference(void *context, const dd_difference *d, dd_err *err) {
    job *j = context;
    lua_State *L = j->L;
    lua_pushvalue(L, j->difference);
    lua_pushstring(L, dd_difference_name(d->kind));
    push_row(L, d->key, d->key_length);
    for (unsigned side = 0; side < 2; side++) {
        if (j->digests && d->row[side]) {
            dd_digest digest = dd_row_digest(d->row[side], d->row_length[side]);
            dd_push_digest(L, &digest);
        } else {
            push_row(L, d->row[side], d->row_length[side]);
        }
    }
    return call(j, 4, 0, err);
}

int dd_push_compared(lua_State *L, const dd_compare_result *r) {
    lua_createtable(L, 0, 5);
    lua_pushboolean(L, r->stopped);
    lua_setfield(L, -2, "stopped");
    lua_pushinteger(L, (lua_Integer)r->rows[0]);
    lua_setfield(L, -2, "rows_primary");
    lua_pushinteger(L, (lua_Integer)r->rows[1]);
    lua_setfield(L, -2, "rows_secondary");
    lua_pushinteger(L, (lua_Integer)r->differences);
    lua_setfield(L, -2, "differences");
    lua_pushinteger(L, (lua_Integer)r->chunks);
    lua_setfield(L, -2, "chunks");
    return 1;
}

static dd_status tell_chunk(void *context, const dd_compare_chunk *chunk, dd_err *err) {
    job *j = context;
    lua_State *L = j->L;
    lua_pushvalue(L, j->chunk);
    push_row(L, chunk->through, chunk->through_length);
    lua_pushinteger(L, (lua_Integer)chunk->rows[0]);
    lua_pushinteger(L, (lua_Integer)chunk->rows[1]);
    return call(j, 3, 0, err);
}

static dd_status tell_compare_progress(void *context, const dd_compare_result *r, dd_err *err) {
    job *j = context;
    lua_pushvalue(j->L, j->progress);
    dd_push_compared(j->L, r);
    return call(j, 1, 0, err);
}

static void push_copy_result(lua_State *L, const dd_copy_progress *r) {
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)r->rows_read);
    lua_setfield(L, -2, "rows_read");
    lua_pushinteger(L, (lua_Integer)r->rows_refused);
    lua_setfield(L, -2, "rows_refused");
    lua_pushinteger(L, (lua_Integer)r->rows_written);
    lua_setfield(L, -2, "rows_written");
    lua_pushinteger(L, (lua_Integer)r->bytes);
    lua_setfield(L, -2, "bytes");
}

static dd_status tell_copy_progress(void *context, const dd_copy_progress *r, dd_err *err) {
    job *j = context;
    lua_pushvalue(j->L, j->progress);
    push_copy_result(j->L, r);
    return call(j, 1, 0, err);
}

/* ---- the jobs ---- */

static job begin_job(lua_State *L) {
    job j = {.L = L};
    lua_pushnil(L);
    j.failure = lua_gettop(L);
    return j;
}

static const dd_transform *job_transform(job *j, const char *kinds, unsigned count) {
    if (!j->transform) return NULL;
    j->kinds = kinds;
    j->count = count;
    j->values = lua_newuserdatauv(j->L, (count + 1) * sizeof *j->values, 0);
    j->apply = (dd_transform){apply_transform, j};
    return &j->apply;
}

static int raise_job(job *j, const dd_err *err) {
    if (lua_isnil(j->L, j->failure)) return dd_raise(j->L, err);
    lua_pushvalue(j->L, j->failure);
    return lua_error(j->L);
}

/* copy { (what dd_arg_copy reads), key_columns|nil, transform|nil, refused|nil, progress|nil } ->
 * { rows_read, rows_written, rows_refused, bytes }
 * With key_columns, so many from the first, a row replaces that with its key (MySQL only).
 * refused(row, index of the column or nil, reason) is called for rows that the target cannot hold. */
static int core_copy(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    job j = begin_job(L);
    dd_copy_spec spec;
    dd_lua_conn *conns[2];
    unsigned count = dd_arg_copy(L, &spec, conns);
    luaL_checkstack(L, 20, "copy");
    spec.replaced_key = dd_arg_key(L, count, false);
    j.transform = dd_arg_function(L, "transform", false);
    j.refused = dd_arg_function(L, "refused", false);
    j.progress = dd_arg_function(L, "progress", false);
    j.count = count;
    spec.refused = j.refused ? tell_refused : NULL;
    spec.transform = job_transform(&j, spec.kinds, count);
    spec.progress = j.progress ? tell_copy_progress : NULL;
    spec.context = &j;

    dd_copy_progress result;
    dd_err err;
    conns[0]->busy = conns[1]->busy = true;
    dd_status status = dd_copy(&spec, &result, &err);
    conns[0]->busy = conns[1]->busy = false;
    if (status) return raise_job(&j, &err);
    push_copy_result(L, &result);
    return 1;
}

/* compare { (what dd_arg_compare reads), transform|nil, difference, digests|nil, progress|nil,
 *           chunk|nil } ->
 * { rows_primary, rows_secondary, differences, chunks, stopped }
 * difference(kind, key, primary, secondary) gets the rows that are known, or with `digests` only
 * what digest() says of them. chunk(through, rows_primary, rows_secondary) is told of each chunk,
 * with its last key, nil at the end of the data, after its differences; see pair/compare.h. */
static int core_compare(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    job j = begin_job(L);
    dd_compare_spec spec;
    dd_lua_conn *conns[2];
    unsigned count = dd_arg_compare(L, &spec, conns);
    luaL_checkstack(L, 20, "compare");
    j.transform = dd_arg_function(L, "transform", false);
    j.difference = dd_arg_function(L, "difference", true);
    j.digests = dd_arg_flag(L, "digests");
    j.progress = dd_arg_function(L, "progress", false);
    j.chunk = dd_arg_function(L, "chunk", false);
    spec.chunk = j.chunk ? tell_chunk : NULL;
    spec.transform = job_transform(&j, spec.kinds, count);
    spec.difference = tell_difference;
    spec.progress = j.progress ? tell_compare_progress : NULL;
    spec.context = &j;

    dd_compare_result result;
    dd_err err;
    conns[0]->busy = conns[1]->busy = true;
    dd_status status = dd_compare(&spec, &result, &err);
    conns[0]->busy = conns[1]->busy = false;
    if (status) return raise_job(&j, &err);
    return dd_push_compared(L, &result);
}

void dd_open_jobs(lua_State *L) {
    lua_pushcfunction(L, core_copy);
    lua_setfield(L, -2, "copy");
    lua_pushcfunction(L, core_compare);
    lua_setfield(L, -2, "compare");
}
