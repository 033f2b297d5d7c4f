#include "bind/value.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind/error.h"
#include "row/json_canonical.h"
#include "row/raw.h"
#include "row/text.h"

#define BYTES_TYPE "dualdb.bytes"
#define SCRATCH_TYPE "dualdb.scratch"

static int scratch_gc(lua_State *L) {
    dd_buf_free(lua_touserdata(L, 1));
    return 0;
}

dd_buf *dd_new_scratch(lua_State *L) {
    dd_buf *buf = lua_newuserdatauv(L, sizeof *buf, 0);
    *buf = (dd_buf){0};
    if (luaL_newmetatable(L, SCRATCH_TYPE)) {
        lua_pushcfunction(L, scratch_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return buf;
}

const char *dd_check_kinds(lua_State *L, int index, unsigned *count) {
    size_t length;
    const char *kinds = luaL_checklstring(L, index, &length);
    for (size_t i = 0; i < length; i++)
        if (!dd_kind_valid(kinds[i])) luaL_argerror(L, index, "not a string of kind letters");
    *count = (unsigned)length;
    return kinds;
}

/* ---- to Lua ---- */

void dd_push_value(lua_State *L, const dd_value *value, dd_buf *text) {
    if (!value->data) {
        lua_pushlightuserdata(L, NULL);
        return;
    }
    int64_t integer;
    uint64_t low;
    if (dd_value_is_unreadable(value)) {
        dd_unreadable parts = dd_value_unreadable(value);
        lua_pushlstring(L, (const char *)parts.text, parts.text_length);
        return;
    }
    switch (value->kind) {
    case DD_KIND_BOOL:
        if (!dd_value_is_raw(value)) {
            lua_pushboolean(L, dd_value_bool(value));
            return;
        }
        __attribute__((fallthrough)); /* a raw one has the bytes of an integer */
    case DD_KIND_INT:
        if (dd_value_int(value, &integer, &low)) {
            lua_pushinteger(L, integer);
            return;
        }
        break; /* above 2^63-1: as text */
    case DD_KIND_FLOAT32:
        lua_pushnumber(L, (lua_Number)dd_value_float32(value));
        return;
    case DD_KIND_FLOAT64:
        lua_pushnumber(L, dd_value_float64(value));
        return;
    case DD_KIND_TEXT:
    case DD_KIND_BYTES:
    case DD_KIND_DECIMAL:
    case DD_KIND_JSON:
        lua_pushlstring(L, (const char *)value->data, value->length);
        return;
    default:
        break;
    }
    dd_buf_clear(text);
    dd_text_render(value, text);
    lua_pushlstring(L, (const char *)text->data, text->length);
}

/* ---- from Lua ---- */

static bool is_null(lua_State *L, int index) {
    return lua_isnoneornil(L, index) ||
           (lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL);
}

/* The string in a bytes marker, pushed; or NULL and nothing pushed. */
static const char *push_marked_bytes(lua_State *L, int index, size_t *length) {
    if (!luaL_testudata(L, index, BYTES_TYPE)) return NULL;
    lua_getiuservalue(L, index, 1);
    return lua_tolstring(L, -1, length);
}

static dd_status refuse(dd_err *err, lua_State *L, int index, dd_kind kind) {
    return dd_fail(err, DD_DATA, "a %s cannot be stored as %s", luaL_typename(L, index),
                   dd_kind_name(kind));
}

static dd_status add_bytes(dd_buf *row, const char *text, size_t length, dd_err *err) {
    if (length >= DD_NULL_LENGTH) return dd_fail(err, DD_DATA, "value is larger than 4 GiB");
    dd_row_add(row, text, (uint32_t)length);
    return DD_OK;
}

/* A number given for a decimal: the shortest digits that read back the same. */
static dd_status add_number_as_decimal(double number, dd_buf *row, dd_err *err) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) break;
    }
    return dd_text_parse(DD_KIND_DECIMAL, text, strlen(text), row, err);
}

static dd_status add_number(lua_State *L, int index, dd_kind kind, dd_buf *row, dd_err *err) {
    int exact;
    lua_Integer integer = lua_tointegerx(L, index, &exact);
    switch (kind) {
    case DD_KIND_INT:
        if (!exact) return dd_fail(err, DD_DATA, "number has no integer representation");
        dd_row_add_int(row, integer);
        return DD_OK;
    case DD_KIND_BOOL:
        if (!exact || (integer != 0 && integer != 1))
            return dd_fail(err, DD_DATA, "only 0 and 1 can be stored as boolean");
        dd_row_add_bool(row, integer == 1);
        return DD_OK;
    case DD_KIND_DECIMAL:
        if (exact) {
            char text[24];
            int length = snprintf(text, sizeof text, "%lld", (long long)integer);
            return dd_text_parse(kind, text, (size_t)length, row, err);
        }
        return add_number_as_decimal(lua_tonumber(L, index), row, err);
    case DD_KIND_FLOAT32: {
        double number = lua_tonumber(L, index);
        if (number == number && (double)(float)number != number)
            return dd_fail(err, DD_DATA, "number has no exact 32-bit float representation");
        dd_row_add_float32(row, (float)number);
        return DD_OK;
    }
    case DD_KIND_FLOAT64:
        dd_row_add_float64(row, lua_tonumber(L, index));
        return DD_OK;
    default:
        return refuse(err, L, index, kind);
    }
}

dd_status dd_add_value(lua_State *L, int index, dd_kind kind, dd_buf *row, dd_err *err) {
    if (is_null(L, index)) {
        dd_row_add_null(row);
        return DD_OK;
    }
    size_t length;
    const char *text;
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        if (kind != DD_KIND_BOOL) return refuse(err, L, index, kind);
        dd_row_add_bool(row, lua_toboolean(L, index));
        return DD_OK;
    case LUA_TNUMBER:
        return add_number(L, index, kind, row, err);
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &length);
        if (kind == DD_KIND_BYTES) return add_bytes(row, text, length, err);
        return dd_text_parse(kind, text, length, row, err);
    default:
        text = push_marked_bytes(L, index, &length);
        if (!text || kind != DD_KIND_BYTES) {
            if (text) lua_pop(L, 1);
            return refuse(err, L, index, kind);
        }
        dd_status status = add_bytes(row, text, length, err);
        lua_pop(L, 1);
        return status;
    }
}

dd_kind dd_natural_kind(lua_State *L, int index) {
    if (is_null(L, index)) return DD_KIND_TEXT;
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: return DD_KIND_BOOL;
    case LUA_TNUMBER: return lua_isinteger(L, index) ? DD_KIND_INT : DD_KIND_FLOAT64;
    case LUA_TSTRING: return DD_KIND_TEXT;
    default: return luaL_testudata(L, index, BYTES_TYPE) ? DD_KIND_BYTES : DD_KIND_UNSUPPORTED;
    }
}

/* ---- functions of the module; upvalue 1 is a scratch buffer ---- */

/* What the scratch buffer of this module keeps. */
enum { SCRATCH_KEPT = 1 << 20 };

static dd_buf *scratch(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* bytes(s): marks a string as bytes, for parameters whose type nothing else says */
static int core_bytes(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_newuserdatauv(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, BYTES_TYPE);
    return 1;
}

static int bytes_tostring(lua_State *L) {
    luaL_checkudata(L, 1, BYTES_TYPE);
    lua_getiuservalue(L, 1, 1);
    return 1;
}

/* pack(kinds, values, names|nil): a canonical row, from an array of Lua values */
static int core_pack(lua_State *L) {
    unsigned count;
    const char *kinds = dd_check_kinds(L, 1, &count);
    luaL_checktype(L, 2, LUA_TTABLE);
    dd_buf *row = scratch(L);
    dd_buf_clear(row);
    for (unsigned i = 0; i < count; i++) {
        dd_err err;
        lua_rawgeti(L, 2, i + 1);
        if (dd_add_value(L, lua_gettop(L), (dd_kind)kinds[i], row, &err)) {
            const char *name = NULL;
            if (lua_istable(L, 3)) {
                lua_rawgeti(L, 3, i + 1);
                name = lua_tostring(L, -1);
            }
            char message[sizeof err.message];
            dd_err_text(message, sizeof message, err.message);
            if (name)
                (void)dd_fail(&err, err.class_, "column %s: %s", name, message);
            else
                (void)dd_fail(&err, err.class_, "value %u: %s", i + 1, message);
            return dd_raise(L, &err);
        }
        lua_pop(L, 1);
    }
    lua_pushlstring(L, (const char *)row->data, row->length);
    return 1;
}

/* Splits the row at stack index 2 by the kinds at 1; the views are a userdata that is pushed. */
static dd_value *split(lua_State *L, unsigned *count) {
    const char *kinds = dd_check_kinds(L, 1, count);
    size_t length;
    const char *row = luaL_checklstring(L, 2, &length);
    dd_value *values = lua_newuserdatauv(L, (*count + 1) * sizeof *values, 0);
    dd_err err;
    if (dd_row_split((const uint8_t *)row, length, kinds, *count, values, &err)) dd_raise(L, &err);
    return values;
}

/* unpack(kinds, row): an array of Lua values */
static int core_unpack(lua_State *L) {
    unsigned count;
    dd_value *values = split(L, &count);
    lua_createtable(L, (int)count, 0);
    for (unsigned i = 0; i < count; i++) {
        dd_push_value(L, &values[i], scratch(L));
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* texts(kinds, row): an array of the values as text for people; NULL stays NULL */
static int core_texts(lua_State *L) {
    unsigned count;
    dd_value *values = split(L, &count);
    dd_buf *text = scratch(L);
    lua_createtable(L, (int)count, 0);
    for (unsigned i = 0; i < count; i++) {
        dd_buf_clear(text);
        if (values[i].data) {
            dd_text_render(&values[i], text);
            lua_pushlstring(L, (const char *)text->data, text->length);
        } else {
            lua_pushlightuserdata(L, NULL);
        }
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* row_json(kinds, row, names): the row as a JSON object */
static int core_row_json(lua_State *L) {
    luaL_checktype(L, 3, LUA_TTABLE);
    unsigned count;
    dd_value *values = split(L, &count);
    dd_buf *text = scratch(L);
    dd_buf_clear(text);
    dd_buf_add_byte(text, '{');
    for (unsigned i = 0; i < count; i++) {
        size_t length;
        lua_rawgeti(L, 3, i + 1);
        const char *name = luaL_checklstring(L, -1, &length);
        if (i) dd_buf_add_byte(text, ',');
        dd_json_string(name, length, text);
        dd_buf_add_byte(text, ':');
        dd_json_render(&values[i], text);
        lua_pop(L, 1);
    }
    dd_buf_add_byte(text, '}');
    lua_pushlstring(L, (const char *)text->data, text->length);
    dd_buf_trim(text, SCRATCH_KEPT);
    return 1;
}

/* The end of the field at `at` of a row; raises when it does not end within the row. */
static size_t field_end(lua_State *L, int argument, const char *row, size_t length, size_t at) {
    if (length - at < 4) luaL_argerror(L, argument, "not a row of that many fields");
    uint32_t field = dd_field_length((const uint8_t *)row + at);
    size_t size = field == DD_NULL_LENGTH ? 4 : 4 + (size_t)field;
    if (length - at < size) luaL_argerror(L, argument, "not a row of that many fields");
    return at + size;
}

/* The ends of the row's fields, ends[0] being 0, in a userdata that is pushed. */
static const size_t *field_ends(lua_State *L, int argument, size_t *count) {
    size_t length;
    const char *row = luaL_checklstring(L, argument, &length);
    *count = 0;
    for (size_t at = 0; at < length; ++*count) at = field_end(L, argument, row, length, at);
    size_t *ends = lua_newuserdatauv(L, (*count + 1) * sizeof *ends, 0);
    ends[0] = 0;
    for (size_t i = 0; i < *count; i++) ends[i + 1] = field_end(L, argument, row, length, ends[i]);
    return ends;
}

/* prefix(row, n): the first n fields of a row, themselves a row */
static int core_prefix(lua_State *L) {
    size_t length, at = 0;
    const char *row = luaL_checklstring(L, 1, &length);
    lua_Integer fields = luaL_checkinteger(L, 2);
    for (lua_Integer i = 0; i < fields; i++) at = field_end(L, 1, row, length, at);
    lua_pushlstring(L, row, at);
    return 1;
}

/* fields(row): an array of the row's fields, each itself a row of one */
static int core_fields(lua_State *L) {
    const char *row = luaL_checkstring(L, 1);
    size_t count;
    const size_t *ends = field_ends(L, 1, &count);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushlstring(L, row + ends[i], ends[i + 1] - ends[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* pick(row, indexes, more|nil): the row's fields at the indexes, as a row; those of `more` follow */
static int core_pick(lua_State *L) {
    const char *row = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t more_length, count, size = 0;
    const char *more = luaL_optlstring(L, 3, "", &more_length);
    lua_settop(L, 3);
    const size_t *ends = field_ends(L, 1, &count);
    const size_t picked = lua_rawlen(L, 2);
    size_t *indexes = lua_newuserdatauv(L, (picked + 1) * sizeof *indexes, 0);
    for (size_t i = 0; i < picked; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        lua_Integer index = lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (index < 1 || (size_t)index > count) return luaL_argerror(L, 2, "no such field");
        indexes[i] = (size_t)index;
        size += ends[index] - ends[index - 1];
    }
    luaL_Buffer out;
    char *at = luaL_buffinitsize(L, &out, size + more_length);
    for (size_t i = 0; i < picked; i++) {
        size_t from = ends[indexes[i] - 1], field = ends[indexes[i]] - from;
        memcpy(at, row + from, field);
        at += field;
    }
    memcpy(at, more, more_length);
    luaL_pushresultsize(&out, size + more_length);
    return 1;
}

/* differing(a, b): the indexes of the fields in which two rows of as many fields differ */
static int core_differing(lua_State *L) {
    const char *a = luaL_checkstring(L, 1), *b = luaL_checkstring(L, 2);
    size_t count, other;
    lua_Integer found = 0;
    const size_t *x = field_ends(L, 1, &count), *y = field_ends(L, 2, &other);
    if (count != other) return luaL_argerror(L, 2, "not a row of as many fields");
    lua_newtable(L);
    for (size_t i = 0; i < count; i++) {
        const size_t length = x[i + 1] - x[i];
        if (length == y[i + 1] - y[i] && memcmp(a + x[i], b + y[i], length) == 0) continue;
        lua_pushinteger(L, (lua_Integer)i + 1);
        lua_rawseti(L, -2, ++found);
    }
    return 1;
}

/* count_differing(a, b, names, counts): adds one to counts[name] for each field in which two rows of as
 * many fields differ; names are those of the fields */
static int core_count_differing(lua_State *L) {
    size_t lengths[2], at = 0, other = 0;
    const char *a = luaL_checklstring(L, 1, &lengths[0]), *b = luaL_checklstring(L, 2, &lengths[1]);
    luaL_checktype(L, 3, LUA_TTABLE);
    luaL_checktype(L, 4, LUA_TTABLE);
    lua_settop(L, 4);
    for (lua_Integer i = 1; at < lengths[0] || other < lengths[1]; i++) {
        const size_t end = field_end(L, 1, a, lengths[0], at);
        const size_t other_end = field_end(L, 2, b, lengths[1], other);
        if (end - at != other_end - other || memcmp(a + at, b + other, end - at) != 0) {
            if (lua_rawgeti(L, 3, i) == LUA_TNIL) return luaL_argerror(L, 3, "a name is missing");
            lua_pushvalue(L, -1);
            lua_rawget(L, 4);
            lua_pushinteger(L, lua_tointeger(L, -1) + 1);
            lua_replace(L, -2);
            lua_rawset(L, 4);
        }
        at = end;
        other = other_end;
    }
    return 0;
}

/* The bytes of a digest as text. */
enum { DIGEST_DIGITS = 32 };

static void write_digest(char text[DIGEST_DIGITS], const dd_digest *digest) {
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < DIGEST_DIGITS; i++) {
        const uint64_t half = i < DIGEST_DIGITS / 2 ? digest->high : digest->low;
        text[i] = digits[half >> (60 - 4 * (i % (DIGEST_DIGITS / 2))) & 15];
    }
}

void dd_push_digest(lua_State *L, const dd_digest *digest) {
    char text[DIGEST_DIGITS];
    write_digest(text, digest);
    lua_pushlstring(L, text, sizeof text);
}

/* digests(a|nil, b|nil): what digest() says of both, with a blank between them; "none" for nil */
static int core_digests(lua_State *L) {
    char text[2 * DIGEST_DIGITS + 1];
    size_t at = 0;
    for (int i = 1; i <= 2; i++) {
        if (i == 2) text[at++] = ' ';
        if (lua_isnoneornil(L, i)) {
            memcpy(text + at, "none", 4);
            at += 4;
            continue;
        }
        size_t length;
        const char *row = luaL_checklstring(L, i, &length);
        dd_digest digest = dd_row_digest((const uint8_t *)row, length);
        write_digest(text + at, &digest);
        at += DIGEST_DIGITS;
    }
    lua_pushlstring(L, text, at);
    return 1;
}

/* digest(row): XXH3-128 of the row, as 32 hexadecimal digits */
static int core_digest(lua_State *L) {
    size_t length;
    const char *row = luaL_checklstring(L, 1, &length);
    dd_digest digest = dd_row_digest((const uint8_t *)row, length);
    dd_push_digest(L, &digest);
    return 1;
}

static int core_kind_name(lua_State *L) {
    unsigned count;
    const char *kind = dd_check_kinds(L, 1, &count);
    luaL_argcheck(L, count == 1, 1, "one kind letter expected");
    lua_pushstring(L, dd_kind_name((dd_kind)kind[0]));
    return 1;
}

/* kinds_ordered(kinds): can a key of these kinds be read in the same order from both servers? */
static int core_kinds_ordered(lua_State *L) {
    unsigned count;
    const char *kinds = dd_check_kinds(L, 1, &count);
    bool ordered = true;
    for (unsigned i = 0; i < count; i++) ordered = ordered && dd_kind_ordered((dd_kind)kinds[i]);
    lua_pushboolean(L, ordered);
    return 1;
}

/* json_string(text): the text as a JSON string with quotes */
static int core_json_string(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    dd_buf *out = scratch(L);
    dd_buf_clear(out);
    dd_json_string(text, length, out);
    lua_pushlstring(L, (const char *)out->data, out->length);
    return 1;
}

/* compare_rows(kinds, a, b): -1, 0 or 1, the order of two rows of these kinds (dd_key_compare) */
static int core_compare_rows(lua_State *L) {
    unsigned count;
    const char *kinds = dd_check_kinds(L, 1, &count);
    for (int i = 2; i <= 3; i++) {
        size_t length, at = 0;
        const char *row = luaL_checklstring(L, i, &length);
        for (unsigned k = 0; k < count; k++) at = field_end(L, i, row, length, at);
    }
    int order = dd_key_compare((const uint8_t *)lua_tostring(L, 2),
                               (const uint8_t *)lua_tostring(L, 3), kinds, count);
    lua_pushinteger(L, (order > 0) - (order < 0));
    return 1;
}

static void set_member(void *context, const dd_json_member *member) {
    lua_State *L = context;
    lua_pushlstring(L, member->name, member->name_length);
    lua_pushlstring(L, member->value, member->value_length);
    lua_rawset(L, 3);
}

/* json_members(text): the members of a JSON object by name, their values as they stand there */
static int core_json_members(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    lua_settop(L, 2);
    lua_newtable(L);
    dd_err err;
    if (dd_json_members(text, length, set_member, L, &err)) return dd_raise(L, &err);
    return 1;
}

/* json_field(kind, text): a row of one field, from a value as row_json writes it */
static int core_json_field(lua_State *L) {
    unsigned count;
    size_t length;
    const char *kind = dd_check_kinds(L, 1, &count), *text = luaL_checklstring(L, 2, &length);
    luaL_argcheck(L, count == 1, 1, "one kind letter expected");
    dd_buf *row = scratch(L);
    dd_err err;
    dd_buf_clear(row);
    if (dd_json_parse((dd_kind)kind[0], text, length, row, &err)) return dd_raise(L, &err);
    lua_pushlstring(L, (const char *)row->data, row->length);
    dd_buf_trim(row, SCRATCH_KEPT);
    return 1;
}

static const luaL_Reg functions[] = {
    {"bytes", core_bytes},
    {"pack", core_pack},
    {"unpack", core_unpack},
    {"texts", core_texts},
    {"row_json", core_row_json},
    {"prefix", core_prefix},
    {"fields", core_fields},
    {"pick", core_pick},
    {"differing", core_differing},
    {"count_differing", core_count_differing},
    {"digest", core_digest},
    {"digests", core_digests},
    {"compare_rows", core_compare_rows},
    {"json_members", core_json_members},
    {"json_field", core_json_field},
    {"kind_name", core_kind_name},
    {"kinds_ordered", core_kinds_ordered},
    {"json_string", core_json_string},
    {NULL, NULL},
};

void dd_open_value(lua_State *L) {
    luaL_newmetatable(L, BYTES_TYPE);
    lua_pushcfunction(L, bytes_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);

    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "NULL");
    dd_new_scratch(L);
    luaL_setfuncs(L, functions, 1);
}
