#include "bind/crossing.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "bind/error.h"
#include "bind/value.h"

#define CROSSING_TYPE "dualdb.crossing"

typedef struct lua_crossing {
    dd_crossing *crossing;
    unsigned count;              /* columns of a row */
    char *kinds;
    dd_value *values;            /* room for one row */
} lua_crossing;

static lua_crossing *check(lua_State *L, int index) {
    return luaL_checkudata(L, index, CROSSING_TYPE);
}

dd_crossing *dd_check_crossing(lua_State *L, int index) { return check(L, index)->crossing; }

/* ---- reading a column's table, on the top of the stack ---- */

static bool flag(lua_State *L, const char *name) {
    lua_getfield(L, -1, name);
    bool set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return set;
}

static bool integer(lua_State *L, const char *name, lua_Integer *out) {
    int exact = 0;
    lua_getfield(L, -1, name);
    if (!lua_isnil(L, -1)) {
        *out = lua_tointegerx(L, -1, &exact);
        if (!exact) dd_raise_usage(L, "crossing: %s: integer expected", name);
    }
    lua_pop(L, 1);
    return exact;
}

static unsigned small(lua_State *L, const char *name, unsigned most) {
    lua_Integer value = 0;
    (void)integer(L, name, &value);
    if (value < 0 || value > (lua_Integer)most)
        dd_raise_usage(L, "crossing: %s is out of range", name);
    return (unsigned)value;
}

static void read_actions(lua_State *L, dd_crossing_column *column) {
    static const char *const words[] = {"refuse", "null", "clamp", "set", "strip", "replace", NULL};
    for (unsigned i = 0; i < DD_POLICY_FLOAT_DIGITS; i++) {
        lua_getfield(L, -1, dd_policy_name((dd_policy)i));
        column->actions[i] = (dd_cross_action)luaL_checkoption(L, -1, "refuse", words);
        lua_pop(L, 1);
    }
}

static void read_column(lua_State *L, const char *kinds, unsigned count,
                        dd_crossing_column *column) {
    lua_Integer least, most;
    unsigned index = small(L, "index", count);
    if (index == 0) dd_raise_usage(L, "crossing: a column has no index");
    *column = (dd_crossing_column){.index = index - 1, .kind = (dd_kind)kinds[index - 1]};
    column->takes_null = flag(L, "takes_null");
    column->narrow = flag(L, "narrow");
    if (integer(L, "least", &least) && integer(L, "most", &most)) {
        column->limited = true;
        column->least = least;
        column->most = (uint64_t)most;
    }
    lua_Integer digits;
    column->counted_digits = integer(L, "whole_digits", &digits);
    column->whole_digits = small(L, "whole_digits", 1000);
    column->fraction_digits = small(L, "fraction_digits", 1000);
    column->most_characters = small(L, "most_characters", INT32_MAX);
    column->drops_blanks = flag(L, "drops_blanks");
    column->holds_nul = flag(L, "holds_nul");
    column->within_day = flag(L, "within_day");
    column->single = flag(L, "single");
    column->digits = small(L, "digits", 17);
    if (column->kind != DD_KIND_FLOAT32 && column->kind != DD_KIND_FLOAT64) column->digits = 0;
    read_actions(L, column);
    lua_getfield(L, -1, "date"); /* a canonical row of one date */
    if (!lua_isnil(L, -1)) {
        size_t length;
        const char *row = luaL_checklstring(L, -1, &length);
        dd_value value;
        dd_err err;
        if (dd_row_split((const uint8_t *)row, length, "D", 1, &value, &err)) dd_raise(L, &err);
        if (!value.data || value.length != 4) dd_raise_usage(L, "crossing: date: a date expected");
        column->date = dd_value_date(&value);
    }
    lua_pop(L, 1);
}

/*
 * crossing(kinds, columns): what happens to rows on their way; columns is an array of { index, ... }
 * with the fields of dd_crossing_column, and the action of each policy by its name.
 */
static int core_crossing(lua_State *L) {
    unsigned count;
    const char *kinds = dd_check_kinds(L, 1, &count);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    unsigned given = (unsigned)lua_rawlen(L, 2);
    dd_crossing_column *columns = lua_newuserdatauv(L, (given + 1) * sizeof *columns, 0);
    for (unsigned i = 0; i < given; i++) {
        if (lua_rawgeti(L, 2, i + 1) != LUA_TTABLE)
            return dd_raise_usage(L, "crossing: a table a column expected");
        read_column(L, kinds, count, &columns[i]);
        if (i > 0 && columns[i].index <= columns[i - 1].index)
            return dd_raise_usage(L, "crossing: the columns are not in order");
        lua_pop(L, 1);
    }
    lua_crossing *self = lua_newuserdatauv(L, sizeof *self, 0);
    *self = (lua_crossing){.count = count};
    luaL_setmetatable(L, CROSSING_TYPE);
    self->kinds = dd_strdup(kinds);
    self->values = dd_calloc(count + 1, sizeof *self->values);
    self->crossing = dd_crossing_new(columns, given);
    return 1;
}

static int crossing_gc(lua_State *L) {
    lua_crossing *self = check(L, 1);
    dd_crossing_free(self->crossing);
    free(self->kinds);
    free(self->values);
    *self = (lua_crossing){0};
    return 0;
}

/* The row at stack index 2, checked: what is in the crossing trusts its lengths. */
static const uint8_t *check_row(lua_State *L, lua_crossing *self, size_t *length) {
    const char *row = luaL_checklstring(L, 2, length);
    dd_err err;
    if (dd_row_split((const uint8_t *)row, *length, self->kinds, self->count, self->values, &err))
        dd_raise(L, &err);
    return (const uint8_t *)row;
}

static int push_outcome(lua_State *L, const uint8_t *row, const uint8_t *out, size_t length) {
    if (out == row) lua_pushvalue(L, 2);
    else lua_pushlstring(L, (const char *)out, length);
    return 1;
}

/* crossing:apply(row): the row that the secondary shall hold, or nil, index of the column, reason */
static int crossing_apply(lua_State *L) {
    lua_crossing *self = check(L, 1);
    size_t length;
    const uint8_t *row = check_row(L, self, &length), *out;
    dd_refusal refusal;
    if (dd_crossing_apply(self->crossing, DD_CROSS_ALL, row, length, &out, &length, &refusal))
        return push_outcome(L, row, out, length);
    lua_pushnil(L);
    lua_pushinteger(L, (lua_Integer)refusal.column + 1);
    lua_pushstring(L, refusal.reason);
    return 3;
}

/* crossing:settle(row): a row of either side as it is compared */
static int crossing_settle(lua_State *L) {
    lua_crossing *self = check(L, 1);
    size_t length;
    const uint8_t *row = check_row(L, self, &length), *out;
    dd_crossing_settle(self->crossing, row, length, &out, &length);
    return push_outcome(L, row, out, length);
}

/* crossing:settles(): whether that changes any row */
static int crossing_settles(lua_State *L) {
    lua_pushboolean(L, dd_crossing_settles(check(L, 1)->crossing));
    return 1;
}

void dd_push_policy_counts(lua_State *L, const uint64_t counts[DD_POLICY_COUNT]) {
    lua_newtable(L);
    for (unsigned i = 0; i < DD_POLICY_COUNT; i++) {
        if (counts[i] == 0) continue;
        lua_pushinteger(L, (lua_Integer)counts[i]);
        lua_setfield(L, -2, dd_policy_name((dd_policy)i));
    }
}

/* crossing:counts(): how often each policy changed a value, by its name; those that never did are
 * left out */
static int crossing_counts(lua_State *L) {
    dd_push_policy_counts(L, dd_crossing_counts(check(L, 1)->crossing));
    return 1;
}

static const luaL_Reg methods[] = {
    {"apply", crossing_apply},
    {"settle", crossing_settle},
    {"settles", crossing_settles},
    {"counts", crossing_counts},
    {NULL, NULL},
};

void dd_open_crossing(lua_State *L) {
    luaL_newmetatable(L, CROSSING_TYPE);
    lua_pushcfunction(L, crossing_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, core_crossing);
    lua_setfield(L, -2, "crossing");
}
