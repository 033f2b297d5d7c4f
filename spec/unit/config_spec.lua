local config = require "dualdb.config"

local PRIMARY = "mysql://u:hunter2@localhost/chat"
local SECONDARY = "postgresql://u:hunter2@localhost/chat"

--- A directory that is there as long as the variable.
local function directory()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute(("mkdir '%s'"):format(path)))
  return setmetatable({ path = path }, {
    __close = function() os.execute(("rm -r '%s'"):format(path)) end,
  })
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

--- config.load in a directory of its own: `files` by name, `env` the environment, `opts` the rest.
local function load_in(files, env, opts)
  local dir <close> = directory()
  for name, text in pairs(files or {}) do write(dir.path .. "/" .. name, text) end
  local all = { cwd = dir.path, getenv = function(name) return (env or {})[name] end }
  for name, value in pairs(opts or {}) do
    if name == "project" or name == "env_file" then value = dir.path .. "/" .. value end
    all[name] = value
  end
  local ok, result = pcall(config.load, all)
  return ok, result, dir.path
end

local function loads(files, env, opts)
  local ok, result, path = load_in(files, env, opts)
  assert.is_true(ok, tostring(result))
  return result, path
end

--- Asserts a config error that contains the text and no password; returns it and the directory.
local function refused(text, files, env, opts)
  local ok, err, path = load_in(files, env, opts)
  assert.is_false(ok)
  assert.are.equal("table", type(err), tostring(err))
  assert.are.equal("config", err.class)
  assert.is_truthy(err.message:find(text, 1, true), err.message)
  assert.is_nil((tostring(err) .. (err.hint or "")):find("hunter2", 1, true))
  return err, path
end

local function project(rest)
  return {
    ["dualdb.lua"] = ('return {\n  primary = "%s",\n  secondary = "%s",\n%s\n}\n'):format(
      PRIMARY, SECONDARY, rest or ""),
  }
end

describe("the address of the primary", function()
  local others = { DUALDB_SECONDARY_URL = SECONDARY }
  local cases = {
    { "DUALDB_PRIMARY_URL", { DUALDB_PRIMARY_URL = "mysql://a@/x" }, { user = "a", dbname = "x" } },
    { "MYSQL_URL", { MYSQL_URL = "mysql://a@/x" }, { user = "a", dbname = "x" } },
    { "DATABASE_URL", { DATABASE_URL = "mariadb://a@/x" }, { user = "a", dbname = "x" } },
    { "MYSQL_HOST", { MYSQL_HOST = "localhost", MYSQL_PORT = "3307", MYSQL_USER = "a",
        MYSQL_PASSWORD = "b", MYSQL_DATABASE = "x" },
      { host = "localhost", port = "3307", user = "a", password = "b", dbname = "x" } },
    { "MYSQL_SOCKET", { MYSQL_SOCKET = "/s", MYSQL_USER = "a" }, { socket = "/s", user = "a" } },
    { "MYSQL_DATABASE", { MYSQL_DATABASE = "x", MYSQL_HOST = "" }, { dbname = "x" } },
    { "DUALDB_PRIMARY_URL", { DUALDB_PRIMARY_URL = "mysql:///x", MYSQL_URL = "mysql:///y",
        MYSQL_HOST = "db", DATABASE_URL = "mysql:///z" }, { dbname = "x" } },
    { "MYSQL_URL", { MYSQL_URL = "mysql://a@/x", DATABASE_URL = "mysql://a@/x" },
      { user = "a", dbname = "x" } },
    { "MYSQL_URL", { MYSQL_URL = "mysql://a@localhost/x", MYSQL_PASSWORD = "b",
        MYSQL_HOST = "localhost", MYSQL_PORT = "3306", MYSQL_USER = "a" },
      { user = "a", password = "b", host = "localhost", dbname = "x" } },
  }
  for _, case in ipairs(cases) do
    it(("may come from %s"):format(case[1]), function()
      local env = setmetatable(case[2], { __index = others })
      local loaded = loads(nil, env)
      assert.are.same(case[3], loaded.primary)
      assert.are.equal("environment " .. case[1], loaded.sources.primary)
    end)
  end
end)

describe("the address of the secondary", function()
  local others = { DUALDB_PRIMARY_URL = "mysql://a@/chat" }
  local cases = {
    { "DUALDB_SECONDARY_URL", { DUALDB_SECONDARY_URL = "postgresql:///x" }, { dbname = "x" } },
    { "POSTGRES_URL", { POSTGRES_URL = "postgres:///x" }, { dbname = "x" } },
    { "DATABASE_URL", { DATABASE_URL = "postgresql:///x" }, { dbname = "x" } },
    { "NEON_HOST", { NEON_HOST = "ep-x.neon.tech", NEON_USER = "a", NEON_PASSWORD = "b" },
      { host = "ep-x.neon.tech", user = "a", password = "b", dbname = "chat",
        sslmode = "require" } },
    { "NEON_HOST", { NEON_HOST = "/tmp", NEON_PORT = "5433", NEON_DATABASE = "x" },
      { host = "/tmp", port = "5433", dbname = "x" } },
  }
  for _, case in ipairs(cases) do
    it(("may come from %s"):format(case[1]), function()
      local loaded = loads(nil, setmetatable(case[2], { __index = others }))
      assert.are.same(case[3], loaded.secondary)
      assert.are.equal("environment " .. case[1], loaded.sources.secondary)
    end)
  end

  it("has what libpq would take from PGHOST, PGSERVICE and PGSSLMODE checked too", function()
    local env = setmetatable({ DUALDB_SECONDARY_URL = "postgresql:///x", PGHOST = "db" },
      { __index = others })
    assert.are.equal("require", loads(nil, env).secondary.sslmode)
    env.PGSSLMODE = "verify-full"
    assert.are.equal("verify-full", loads(nil, env).secondary.sslmode)
    env.PGSSLMODE = "prefer"
    refused("sslmode=prefer", nil, env)
    env.PGSSLMODE, env.PGHOST, env.PGSERVICE = nil, nil, "s"
    assert.are.same({ dbname = "x", service = "s", sslmode = "require" }, loads(nil, env).secondary)
  end)

  it("has sslrootcert=system translated for an old libpq", function()
    local env = setmetatable({ DATABASE_URL = "postgresql://db/x?sslrootcert=system" },
      { __index = others })
    local secondary = loads(nil, env, { libpq_version = 150000 }).secondary
    assert.are.equal("/etc/ssl/certs/ca-certificates.crt", secondary.sslrootcert)
    assert.are.equal("verify-full", secondary.sslmode)
  end)
end)

describe("the order of strength", function()
  local env = { DUALDB_SECONDARY_URL = SECONDARY, MYSQL_URL = "mysql:///from_environment" }
  local env_file = "DUALDB_SECONDARY_URL=" .. SECONDARY .. "\nMYSQL_URL=mysql:///from_env_file\n"

  it("is argument, environment, .env, project file", function()
    local files = project()
    local loaded, path = loads(files, nil)
    assert.are.equal("chat", loaded.primary.dbname)
    assert.are.equal(path .. "/dualdb.lua", loaded.project_file)
    assert.are.equal(path .. "/dualdb.lua primary", loaded.sources.primary)
    files[".env"] = env_file
    loaded, path = loads(files, nil)
    assert.are.equal("from_env_file", loaded.primary.dbname)
    assert.are.equal(path .. "/.env MYSQL_URL", loaded.sources.primary)
    loaded = loads(files, env)
    assert.are.equal("from_environment", loaded.primary.dbname)
    loaded = loads(files, env, { overrides = { primary = "mysql:///from_argument" } })
    assert.are.equal("from_argument", loaded.primary.dbname)
    assert.are.equal("dualdb.open primary", loaded.sources.primary)
  end)

  it("holds variable by variable between environment and .env", function()
    local files = { [".env"] = "MYSQL_HOST=localhost\nMYSQL_USER=a\nMYSQL_PASSWORD=b\n"
      .. "MYSQL_DATABASE=x\nDUALDB_SECONDARY_URL=" .. SECONDARY }
    local loaded = loads(files, { MYSQL_PASSWORD = "c", MYSQL_PORT = "3307" })
    assert.are.same({ host = "localhost", port = "3307", user = "a", password = "c",
      dbname = "x" }, loaded.primary)
  end)

  it("lets a stronger socket replace a weaker host, and the reverse", function()
    local files = { [".env"] = "MYSQL_HOST=localhost\nMYSQL_PORT=3307\nMYSQL_DATABASE=x\n"
      .. "DUALDB_SECONDARY_URL=" .. SECONDARY }
    assert.are.same({ socket = "/s", dbname = "x" }, loads(files, { MYSQL_SOCKET = "/s" }).primary)
    files[".env"] = files[".env"]:gsub("MYSQL_HOST=localhost\nMYSQL_PORT=3307", "MYSQL_SOCKET=/s")
    assert.are.same({ host = "127.0.0.1", dbname = "x" },
      loads(files, { MYSQL_HOST = "127.0.0.1" }).primary)
  end)

  it("lets the project file leave the password to the environment", function()
    local files = { ["dualdb.lua"] = [[return { primary = "mysql://a@localhost/x",
      secondary = { host = "/tmp", user = "a", dbname = "y" } }]] }
    local loaded, path = loads(files, { MYSQL_PASSWORD = "b", NEON_PASSWORD = "c" })
    assert.are.same({ host = "localhost", user = "a", password = "b", dbname = "x" },
      loaded.primary)
    assert.are.same({ host = "/tmp", user = "a", password = "c", dbname = "y" }, loaded.secondary)
    assert.are.equal(path .. "/dualdb.lua primary", loaded.sources.primary)
  end)

  it("does not hand a user's password to another user", function()
    local files = { [".env"] = "MYSQL_USER=dev\nMYSQL_PASSWORD=hunter2\n" }
    local loaded = loads(files, { MYSQL_URL = "mysql://prod@localhost/x",
      DUALDB_SECONDARY_URL = SECONDARY })
    assert.is_nil(loaded.primary.password)
    files[".env"] = "MYSQL_USER=prod\nMYSQL_PASSWORD=hunter2\n"
    loaded = loads(files, { MYSQL_URL = "mysql://prod@localhost/x",
      DUALDB_SECONDARY_URL = SECONDARY })
    assert.are.equal("hunter2", loaded.primary.password)
  end)

  it("gives a named file in place of ./dualdb.lua and ./.env, which has to exist", function()
    local files = { ["p.lua"] = project()["dualdb.lua"], ["e"] = "MYSQL_URL=mysql:///from_e" }
    local loaded, path = loads(files, nil, { project = "p.lua", env_file = "e" })
    assert.are.equal("from_e", loaded.primary.dbname)
    assert.are.equal(path .. "/p.lua", loaded.project_file)
    refused("other.lua: No such file or directory", files, nil, { project = "other.lua" })
    refused("other.env: No such file or directory", files, nil, { env_file = "other.env" })
    refused("Is a directory", files, nil, { project = "." })
  end)
end)

describe("contradictions are refused, naming both:", function()
  local cases = {
    { "MYSQL_URL and DATABASE_URL",
      { MYSQL_URL = PRIMARY, DATABASE_URL = "mysql://u:hunter2@localhost/other" } },
    { "POSTGRES_URL and DATABASE_URL",
      { POSTGRES_URL = SECONDARY, DATABASE_URL = "postgres://u:hunter2@localhost/other" } },
    { "MYSQL_URL and MYSQL_HOST", { MYSQL_URL = PRIMARY, MYSQL_HOST = "db" } },
    { "MYSQL_URL and MYSQL_PORT", { MYSQL_URL = PRIMARY, MYSQL_PORT = "3307" } },
    { "MYSQL_URL and MYSQL_PASSWORD", { MYSQL_URL = PRIMARY, MYSQL_PASSWORD = "hunter22" } },
    { "MYSQL_URL and MYSQL_SOCKET", { MYSQL_URL = PRIMARY, MYSQL_SOCKET = "/s" } },
    { "DATABASE_URL and NEON_DATABASE", { DATABASE_URL = SECONDARY, NEON_DATABASE = "other" } },
    { "a socket and the host", { MYSQL_HOST = "db", MYSQL_SOCKET = "/s" } },
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      refused(case[1], project(), case[2])
      local lines = {}
      for name, value in pairs(case[2]) do lines[#lines + 1] = name .. "=" .. value end
      refused(case[1], { [".env"] = table.concat(lines, "\n"),
        ["dualdb.lua"] = project()["dualdb.lua"] })
    end)
  end

  it("not when one of them is stronger", function()
    local files = project()
    files[".env"] = "MYSQL_URL=mysql:///weaker\nDATABASE_URL=postgresql:///x"
    assert.are.equal("stronger",
      loads(files, { DATABASE_URL = "mysql:///stronger" }).primary.dbname)
  end)
end)

describe("a side that is nowhere given", function()
  it("is an error that names what may be set", function()
    local err = refused("no primary database is given", nil, {})
    for _, name in ipairs { "DUALDB_PRIMARY_URL", "MYSQL_URL", "DATABASE_URL", "MYSQL_HOST",
                            "MYSQL_SOCKET", "project file" } do
      assert.is_truthy(err.message:find(name, 1, true), name)
    end
    err = refused("no secondary database is given", nil, { MYSQL_URL = PRIMARY })
    for _, name in ipairs { "DUALDB_SECONDARY_URL", "POSTGRES_URL", "DATABASE_URL", "NEON_HOST" } do
      assert.is_truthy(err.message:find(name, 1, true), name)
    end
  end)

  it("is not replaced by a DATABASE_URL of another kind, and the error says so", function()
    refused("the scheme of neither", nil, { DATABASE_URL = "sqlite:///hunter2" })
    loads(project(), { DATABASE_URL = "sqlite:///hunter2" })
  end)

  it("is not made of a password alone", function()
    refused("no primary", nil, { MYSQL_PASSWORD = "hunter2", MYSQL_USER = "u" })
    refused("no secondary", nil, { MYSQL_URL = PRIMARY, NEON_PASSWORD = "hunter2" })
  end)
end)

describe("a remote host", function()
  local function both(primary, secondary, more)
    local env = { DUALDB_PRIMARY_URL = "mysql://u:hunter2@" .. primary,
                  DUALDB_SECONDARY_URL = "postgresql://u:hunter2@" .. secondary }
    for name, value in pairs(more or {}) do env[name] = value end
    return env
  end

  it("gets TLS unless something is said, a local one does not", function()
    local loaded = loads(nil, both("db/x", "pg/x"))
    assert.are.equal("required", loaded.primary["ssl-mode"])
    assert.are.equal("require", loaded.secondary.sslmode)
    loaded = loads(nil, both("127.0.0.1/x", "localhost/x"))
    assert.is_nil(loaded.primary["ssl-mode"])
    assert.is_nil(loaded.secondary.sslmode)
    loaded = loads(nil, both("db/x?ssl-mode=verify-identity", "pg/x?sslmode=verify-full"))
    assert.are.equal("verify-identity", loaded.primary["ssl-mode"])
    assert.are.equal("verify-full", loaded.secondary.sslmode)
  end)

  for _, mode in ipairs { "disabled", "preferred", "DISABLED" } do
    it("is refused with ssl-mode=" .. mode, function()
      refused("environment DUALDB_PRIMARY_URL: ssl-mode=" .. mode:lower(), nil,
        both("db/x?ssl-mode=" .. mode, "pg/x"))
    end)
  end
  for _, mode in ipairs { "disable", "allow", "prefer" } do
    it("is refused with sslmode=" .. mode, function()
      refused("environment DUALDB_SECONDARY_URL: sslmode=" .. mode, nil,
        both("db/x", "pg/x?sslmode=" .. mode))
    end)
  end

  it("may be spoken to in the clear when somebody says so", function()
    local plain = both("db/x?ssl-mode=disabled", "pg/x?sslmode=disable", { DUALDB_INSECURE = "1" })
    local loaded = loads(nil, plain)
    assert.are.equal("disabled", loaded.primary["ssl-mode"])
    assert.are.equal("disable", loaded.secondary.sslmode)
    plain.DUALDB_INSECURE = nil
    loads({ ["dualdb.lua"] = "return { insecure = true }" }, plain)
    loads({ [".env"] = "DUALDB_INSECURE=1" }, plain)
    loads(nil, plain, { overrides = { insecure = true } })
    loaded = loads({ ["dualdb.lua"] = "return { insecure = true }" }, both("db/x", "pg/x"))
    assert.are.equal("preferred", loaded.primary["ssl-mode"])
    assert.are.equal("prefer", loaded.secondary.sslmode)
  end)

  it("is not when the flag is off, or nonsense", function()
    local plain = both("db/x?ssl-mode=disabled", "pg/x", { DUALDB_INSECURE = "0" })
    refused("ssl-mode=disabled", { ["dualdb.lua"] = "return { insecure = true }" }, plain)
    plain.DUALDB_INSECURE = "yes please"
    refused("environment DUALDB_INSECURE: expected 1 or 0", nil, plain)
  end)
end)

describe("a project file", function()
  it("is Lua with the whole language", function()
    local loaded = loads({ ["dualdb.lua"] = "#!/usr/bin/env dualdb\nlocal function db(s) return "
      .. "string.format('%s:///x', s) end\nreturn { primary = db 'mysql', "
      .. "secondary = db('postgresql'), name = 'chat-1' }" })
    assert.are.equal("chat-1", loaded.name)
    assert.are.equal("x", loaded.secondary.dbname)
  end)

  local bad = {
    { "a syntax error", "return {\n  primary = \n}", 3, "unexpected symbol near '}'" },
    { "a password in a syntax error", 'return {\n  "mysql://u:hunter2@h" "hunter2"\n}', 2,
      "'}' expected" },
    { "a password in an open string", 'return {\n  primary = "mysql://u:hunter2\n}', 2,
      "unfinished string" },
    { "a password that is no literal", "return {\n  password = 1hunter2\n}", 2,
      "malformed number" },
    { "a password in arithmetic", "return {\n  primary = 'hunter2' + 1\n}", 2, "attempt to" },
    { "a password as a constant", "local x = 1\nreturn 'hunter2' & x", 2, "attempt to" },
    { "a runtime error", "local x\n\nreturn x.y", 3, "attempt to index" },
    { "a runtime error further in", "local function f()\n  error('no host')\nend\nf()\nreturn {}",
      2, "no host" },
    { "an error in a function of the library", "\nreturn string.rep()", 2, "bad argument #1" },
    { "a URL in an error", "error('bad mysql://u:hunter2@h')", 1, "bad mysql://u:***@h" },
    { "no result", "local x = 1\n", 1, "returns nothing and not a table" },
    { "text for a result", "\nreturn 'hunter2'", 2, "returns a string and not a table" },
    { "a missing module", "\n\nrequire 'no.such.module'\nreturn {}", 3, "no.such.module" },
    { "bytecode", "\27Lua", nil, "attempt to load" },
  }
  for _, case in ipairs(bad) do
    it(("with %s is refused with file and line"):format(case[1]), function()
      local err, path = refused(case[4], { ["dualdb.lua"] = case[2] })
      assert.are.equal(path .. "/dualdb.lua", err.file)
      assert.are.equal(case[3], err.line)
      local prefix = case[3] and ("%s/dualdb.lua:%d: "):format(path, case[3])
        or path .. "/dualdb.lua: "
      assert.are.equal(1, err.message:find(prefix, 1, true), err.message)
    end)
  end

  it("with a bad URL is refused with the line of it", function()
    refused("dualdb.lua:4: primary: unknown attribute ssl-mod, did you mean ssl-mode?", {
      ["dualdb.lua"] = "-- primary = 1\n\nreturn {\n  primary = "
        .. "'mysql://u:hunter2@h/x?ssl-mod=a',\n}",
    })
  end)
end)

describe("what a project file says wrongly is found with its line:", function()
  -- The first line of these is line 4 of the file.
  local cases = {
    { "modles = {}", 4, "unknown key modles, did you mean models?" },
    { "-- modles = 1\n\n  modles = {}", 6, "unknown key modles" },
    { "--[[ modles = 1\n]]\n  modles = {}", 6, "unknown key modles" },
    { "['modles'] = {}", 4, "unknown key modles" },
    { "colour = 1", 4, "unknown key colour (known: columns, " },
    { "'hunter2'", nil, "entry 1 has no name" },
    { "name = 'a b'", 4, "name: expected a name of at most 32 letters" },
    { "name = 'chat_db'", 4, "name: expected" },
    { "models = 7", 4, "models: expected a table" },
    { "schedule = 'daily'", 4, "schedule: expected a table" },
    { "hooks = { before = 1 }", 4, "hooks: expected a table of functions" },
    { "strategies = { mine = 'x' }", 4, "strategies: expected a table of functions" },
    { "tables = 'camelCase'", 4, 'tables: expected "snake_case"' },
    { "insecure = 'yes'", 4, "insecure: expected true or false" },
    { "models = {\n A = { table = 'a' },\n B = {\n  tabel = 'b',\n },\n},", 7,
      "model B: unknown key tabel, did you mean table?" },
    { "models = { A = { key = 'a' },\n  B = {\n  key = 1 } }", 6,
      "model B: key: expected a column's name or a list of them" },
    { "models = { A = { note = '}', \n key = {} } }", 5, "model A: key: expected" },
    { "models = { A = { key = { 'a', 1 } } }", 4, "model A: key: expected" },
    { "models = { A = { table = {} } }", 4, "model A: table: expected" },
    { "models = { A = { table = { first = 'a' } } }", 4, "model A: table: expected" },
    { "models = { A = { columns = 'camel' } }", 4, "model A: columns: expected" },
    { "models = { A = { columns = { a = 'x', b = 'x' } } }", 4, "model A: columns: expected" },
    { "models = { A = { integers = 'x' } }", 4, "model A: integers: expected" },
    { "models = { A = { watermark = true } }", 4, "model A: watermark: expected" },
    { "models = { A = 7 }", 4, "model A: expected a table" },
    { "models = { [1] = {} }", 4, "models: 1 is not a name" },
    { "models = { A = {\n strategy = 'primary_win' } }", 5,
      "model A: unknown strategy primary_win, did you mean primary_wins?" },
    { "models = { A = {\n sync = {\n  direction = 'up' } } }", 6,
      'model A: sync: direction: expected "to_secondary" or "to_primary"' },
    { "models = { A = { sync = {\n fliter = 'x' } } }", 5,
      "model A: sync: unknown key fliter, did you mean filter?" },
    { "models = { A = { sync = { transform = 'x' } } }", 4,
      "model A: sync: transform: expected a function" },
    { "models = { A = { sync = { on_conflict = 'x' } } }", 4, "sync: unknown strategy x" },
    { "policy = 'availible'", 4, "unknown policy availible, did you mean available?" },
    { "policy = {\n deadine = 3 }", 5, "policy: unknown key deadine, did you mean deadline?" },
    { "policy = { deadline = 0 }", 4, "policy: deadline: expected" },
    { "policy = { deadline = '3' }", 4, "policy: deadline: expected" },
    { "policy = { deadline = 0/0 }", 4, "policy: deadline: expected" },
    { "policy = { retry = { base = 3, cap = 1 } }", 4, "policy: retry: base is above cap" },
    { "policy = { retry = { pace = 3 } }", 4, "policy: retry: unknown key pace" },
    { "policy = { breaker = { failures = 1.5 } }", 4, "policy: breaker: failures: expected" },
    { "policy = { replicas = 'mysql://h' }", 4, "policy: replicas: expected a list of URLs" },
    { "policy = { max_staleness = -1 }", 4, "policy: max_staleness: expected" },
    { "policy = { commit = 'atomc' }", 4,
      'policy: commit: expected "atomic", "journaled", "a1" or "a2"' },
    { "policy = { preset = 'strict',\n  commit = 'journaled' }", 5,
      "strict and journaled contradict each other" },
  }
  for _, case in ipairs(cases) do
    it(case[3], function()
      local err, path = refused(case[3], project(case[1]))
      assert.are.equal(case[2], err.line)
      assert.are.equal(path .. "/dualdb.lua", err.file)
    end)
  end

  it("also when the models are a variable", function()
    local err = refused("model A: unknown key tabel", { ["dualdb.lua"] = "local models = {\n"
      .. "  A = {\n    tabel = 'a',\n  },\n}\nreturn { primary = 'mysql:///x', "
      .. "secondary = 'postgresql:///x', models = models }" })
    assert.are.equal(3, err.line)
  end)

  it("and in the argument with the name of the argument", function()
    refused("dualdb.open: unknown key polcy, did you mean policy?", project(), nil,
      { overrides = { polcy = "strict" } })
    refused("dualdb.open: model A: unknown key tabel", project(), nil,
      { overrides = { models = { A = { tabel = "x" } } } })
    refused("dualdb.open primary: unknown setting pasword", project(), nil,
      { overrides = { primary = { pasword = "hunter2" } } })
  end)
end)

describe("a loaded configuration", function()
  it("has a policy with everything filled in", function()
    local default = {
      preset = "available", commit = "atomic", deadline = 10, retry = { base = 0.05, cap = 2 },
      connect_timeout = 15, statement_timeout = 300, recheck = 0.5, journal_cap = 100000,
      id_gap = 1000000,
      breaker = { failures = 3, open = 10 }, lock_timeout = 5,
    }
    assert.are.same(default, loads(project()).policy)
    assert.are.same(default, loads(project "policy = 'available'").policy)
    default.preset = "strict"
    assert.are.same(default, loads(project(), nil, { overrides = { policy = "strict" } }).policy)
    assert.are.same({
      preset = "available", commit = "journaled", deadline = 3, retry = { base = 0.1, cap = 2 },
      connect_timeout = 15, statement_timeout = 300, recheck = 0.5, journal_cap = 100000,
      id_gap = 1000000,
      breaker = { failures = 3, open = 60 }, max_staleness = 0, lock_timeout = 1.5,
    }, loads(project [[policy = { commit = "journaled", deadline = 3, retry = { base = 0.1 },
      breaker = { open = 60 }, max_staleness = 0 }]]).policy)
    local slow = loads(project "policy = { retry = { base = 5 } }")
    assert.are.same({ base = 5, cap = 5 }, slow.policy.retry)
    local fast = loads(project "policy = { retry = { cap = 0.01 } }")
    assert.are.same({ base = 0.01, cap = 0.01 }, fast.policy.retry)
  end)

  it("has no models when none are declared, so that all tables are", function()
    assert.is_nil(loads(project()).models)
    assert.are.same({}, loads(project "models = {}").models)
  end)

  it("has models with their name, place and the project's naming", function()
    local loaded, path = loads(project [[tables = "snake_case", columns = "snake_case",
      models = {
        Album = { key = { "AlbumId" }, columns = { AlbumId = "id" } },
        Artist = {},
        Room = "chat_room",
      }]])
    local file = path .. "/dualdb.lua"
    assert.are.same({
      Album = { name = "Album", file = file, line = 6, tables = "snake_case",
                key = { "AlbumId" }, columns = { AlbumId = "id" } },
      Artist = { name = "Artist", file = file, line = 7, tables = "snake_case",
                 columns = "snake_case" },
      Room = { name = "Room", file = file, line = 8, tables = "snake_case",
               columns = "snake_case", table = "chat_room" },
    }, loaded.models)
    assert.are.equal("snake_case", loaded.tables)
    assert.are.equal("snake_case", loaded.columns)
  end)

  it("takes every key of a model", function()
    local model = loads(project [[strategies = { mine = function() return "skip" end },
      models = { A = {
        table = { primary = "A", secondary = "a" }, key = "id", columns = "snake_case",
        watermark = "updated_at", strategy = "mine", integers = { "flag" },
        sync = { filter = "id > 1", transform = function(row) return row end, deletes = false,
                 direction = "to_primary", on_conflict = "primary_wins",
                 throttle = function() end },
      } }]]).models.A
    assert.are.equal("a", model.table.secondary)
    assert.are.equal("mine", model.strategy)
    assert.are.equal("to_primary", model.sync.direction)
  end)

  it("joins models, strategies and hooks of the argument with those of the project file", function()
    local loaded = loads(project "models = { A = {}, B = { table = 'b' } }, hooks = { x = print }",
      nil, { overrides = {
        models = { B = { table = "c" }, C = { strategy = "mine" } },
        strategies = { mine = function() return "skip" end }, hooks = { y = print },
      } })
    assert.are.equal("c", loaded.models.B.table)
    assert.is_truthy(loaded.models.A and loaded.models.C)
    assert.is_truthy(loaded.hooks.x and loaded.hooks.y)
  end)

  it("is named by the project, else by the primary's database", function()
    assert.are.equal("chat", loads(project()).name)
    assert.are.equal("mine", loads(project "name = 'mine'").name)
    assert.are.equal("other", loads(project "name = 'mine'", nil,
      { overrides = { name = "other" } }).name)
    assert.are.equal("my-chat-db", loads(project(), { MYSQL_URL = "mysql:///_my_chat$db_" }).name)
    assert.are.equal("dualdb", loads(project(), { MYSQL_URL = "mysql://localhost" }).name)
  end)

  it("checks a model that is declared later like one of the project file", function()
    local loaded = loads(project [[columns = "snake_case"]])
    local model = config.model(loaded, "Room", { table = "chat_room" })
    assert.are.same({ name = "Room", table = "chat_room", columns = "snake_case" }, model)
    local ok, err = pcall(config.model, loaded, "Room", { tabel = "chat_room" })
    assert.is_false(ok)
    assert.are.equal("config", err.class)
    assert.is_truthy(err.message:find("unknown key tabel, did you mean table?", 1, true))
  end)
end)
