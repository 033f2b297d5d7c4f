#include "bind/core.h"

#include <lauxlib.h>

#include "bind/background.h"
#include "bind/breaker.h"
#include "bind/classify.h"
#include "bind/conn.h"
#include "bind/crossing.h"
#include "bind/dual.h"
#include "bind/error.h"
#include "bind/files.h"
#include "bind/jobs.h"
#include "bind/rows.h"
#include "bind/sqlite.h"
#include "bind/system.h"
#include "bind/value.h"
#include "bind/worker.h"
#include "row/kind.h"

#ifndef DD_VERSION
#define DD_VERSION "unknown"
#endif

int luaopen_dualdb_core(lua_State *L) {
    luaL_checkversion(L);
    lua_newtable(L);
    lua_pushstring(L, DD_VERSION);
    lua_setfield(L, -2, "VERSION");
    lua_pushinteger(L, DD_CANONICAL_VERSION);
    lua_setfield(L, -2, "CANONICAL_VERSION");
    dd_open_error(L);
    dd_open_value(L);
    dd_open_rows(L);
    dd_open_conn(L);
    dd_open_crossing(L);
    dd_open_dual(L);
    dd_open_jobs(L);
    dd_open_worker(L);
    dd_open_background(L);
    dd_open_breaker(L);
    dd_open_classify(L);
    dd_open_sqlite(L);
    dd_open_files(L);
    dd_open_system(L);
    return 1;
}
