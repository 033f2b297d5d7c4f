rockspec_format = "3.0"
package = "dualdb"
version = "scm-1"
-- `luarocks make` builds the working copy and does not look here.
source = {
  url = "git+file://.",
}
description = {
  summary = "Keeps a MySQL primary and a PostgreSQL secondary the same",
  detailed = [[
dualdb writes to both databases or to neither, reads from the primary and falls back to the
secondary, copies one to the other, proves that they are equal, and repairs what is not. The engine
is C; models, policies and runbooks are Lua.]],
  license = "MIT",
  labels = { "database", "mysql", "postgresql", "replication" },
}
supported_platforms = { "unix" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "lua-cjson >= 2.1.0",
  "argparse >= 0.7.1",
}
-- Libraries, not headers: where the headers are is the Makefile's business (pkg-config).
external_dependencies = {
  PQ = { library = "pq" },
  XXHASH = { library = "xxhash" },
  SQLITE = { library = "sqlite3" },
}
build = {
  type = "make",
  -- The Makefile keeps the project's own flags apart: what comes from here is added to them.
  build_target = "all",
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUA_LIBDIR = "$(LUA_LIBDIR)",
    PQ_INCDIR = "$(PQ_INCDIR)",
    LUA_RUN = "$(LUA)",
  },
  install_target = "install",
  install_variables = {
    BINDIR = "$(BINDIR)",
    LIBDIR = "$(LIBDIR)",
    LUADIR = "$(LUADIR)",
  },
}
test_dependencies = {
  "busted >= 2.1",
}
test = {
  type = "command",
  command = "make test",
}
