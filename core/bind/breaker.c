#include "bind/breaker.h"

#include <lauxlib.h>
#include <math.h>

#include "base/breaker.h"
#include "base/clock.h"
#include "base/shared.h"
#include "bind/error.h"

#define BREAKER_TYPE "dualdb.breaker"
#define SIDES 2
#define BEAT_MS 1000

/* What the shared page holds. Another layout needs another number. */
enum { LAYOUT = 1 };
typedef struct page {
    dd_breaker sides[SIDES];
    _Atomic uint64_t beat;
} page;
_Static_assert(sizeof(page) <= DD_SHARED_BYTES, "the breakers need more than a page");

typedef struct lua_breaker {
    dd_shared *shared; /* NULL before it is open and after it was closed */
    dd_breaker_rule rule;
    dd_breaker_lease leases[SIDES];
} lua_breaker;

static lua_breaker *open_breaker(lua_State *L) {
    lua_breaker *self = luaL_checkudata(L, 1, BREAKER_TYPE);
    if (!self->shared) dd_raise_usage(L, "the breaker is closed");
    return self;
}

static page *page_of(lua_breaker *self) { return dd_shared_memory(self->shared); }

/* The side with the name at `index`: 0 or 1. */
static int check_side(lua_State *L, int index) {
    static const char *const names[] = {"primary", "secondary", NULL};
    return luaL_checkoption(L, index, NULL, names);
}

static uint64_t milliseconds(lua_State *L, int table, const char *field) {
    const double longest = 1e9; /* seconds: far beyond sense, well within the word's bits */
    lua_getfield(L, table, field);
    double seconds = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return (uint64_t)ceil(fmin(fmax(seconds, 0), longest) * 1000);
}

/* breaker(path|nil, { failures, open, lease, starting }): seconds; without a path for this process
 * alone */
static int core_breaker(lua_State *L) {
    const char *path = luaL_optstring(L, 1, NULL);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_breaker *self = lua_newuserdatauv(L, sizeof *self, 0);
    *self = (lua_breaker){.shared = NULL};
    luaL_setmetatable(L, BREAKER_TYPE);
    lua_getfield(L, 2, "failures");
    lua_Integer failures = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    self->rule = (dd_breaker_rule){.failures = failures < 1 ? 1 : failures > 9999 ? 9999
                                                                : (unsigned)failures,
                                   .open_ms = milliseconds(L, 2, "open"),
                                   .lease_ms = milliseconds(L, 2, "lease"),
                                   .starting_ms = milliseconds(L, 2, "starting")};
    dd_err err;
    if (path ? dd_shared_open(path, LAYOUT, &self->shared, &err)
             : dd_shared_private(&self->shared, &err))
        return dd_raise(L, &err);
    return 1;
}

/* breaker:allows(side) -> boolean */
static int breaker_allows(lua_State *L) {
    lua_breaker *self = open_breaker(L);
    int side = check_side(L, 2);
    lua_pushboolean(L, dd_breaker_allows(&page_of(self)->sides[side], &self->rule,
                                         dd_boot_clock_ms(), &self->leases[side]));
    return 1;
}

/* breaker:succeeded(side) */
static int breaker_succeeded(lua_State *L) {
    lua_breaker *self = open_breaker(L);
    int side = check_side(L, 2);
    dd_breaker_succeeded(&page_of(self)->sides[side], dd_boot_clock_ms(), &self->leases[side]);
    return 0;
}

/* breaker:failed(side, starting) */
static int breaker_failed(lua_State *L) {
    lua_breaker *self = open_breaker(L);
    int side = check_side(L, 2);
    dd_breaker_failed(&page_of(self)->sides[side], &self->rule, dd_boot_clock_ms(),
                      lua_toboolean(L, 3), &self->leases[side]);
    return 0;
}

/* breaker:released(side) */
static int breaker_released(lua_State *L) {
    lua_breaker *self = open_breaker(L);
    int side = check_side(L, 2);
    dd_breaker_released(&page_of(self)->sides[side], &self->rule, dd_boot_clock_ms(),
                        &self->leases[side]);
    return 0;
}

/* breaker:state(side) -> name, seconds in it, seconds since the server last answered | nil */
static int breaker_state(lua_State *L) {
    static const char *const names[] = {"closed", "open", "half_open"};
    lua_breaker *self = open_breaker(L);
    dd_breaker *breaker = &page_of(self)->sides[check_side(L, 2)];
    uint64_t now = dd_boot_clock_ms(), since, answered = atomic_load(&breaker->answered);
    lua_pushstring(L, names[dd_breaker_state_of(breaker, &self->rule, now, &since)]);
    lua_pushnumber(L, (double)since / 1000);
    if (!answered) return 2;
    lua_pushnumber(L, now > answered ? (double)(now - answered) / 1000 : 0);
    return 3;
}

/* breaker:beat_due() -> boolean */
static int breaker_beat_due(lua_State *L) {
    lua_breaker *self = open_breaker(L);
    lua_pushboolean(L, dd_breaker_beat_due(&page_of(self)->beat, dd_boot_clock_ms(), BEAT_MS));
    return 1;
}

/* A probe that this process was making is over. */
static int breaker_close(lua_State *L) {
    lua_breaker *self = luaL_checkudata(L, 1, BREAKER_TYPE);
    if (!self->shared) return 0;
    for (int side = 0; side < SIDES; side++)
        dd_breaker_released(&page_of(self)->sides[side], &self->rule, dd_boot_clock_ms(),
                            &self->leases[side]);
    dd_shared_close(self->shared);
    self->shared = NULL;
    return 0;
}

static const luaL_Reg methods[] = {
    {"allows", breaker_allows},     {"succeeded", breaker_succeeded},
    {"failed", breaker_failed},     {"released", breaker_released},
    {"state", breaker_state},       {"beat_due", breaker_beat_due},
    {"close", breaker_close},       {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", breaker_close},
    {"__close", breaker_close},
    {NULL, NULL},
};

void dd_open_breaker(lua_State *L) {
    luaL_newmetatable(L, BREAKER_TYPE);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_breaker);
    lua_setfield(L, -2, "breaker");
}
