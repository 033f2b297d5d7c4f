--- The two real servers of a spec: connections by the environment's URLs, scratch tables that are
--- dropped again, a second look at each server by its superuser, and a guard against what a spec
--- leaves behind.
---
---     before_each(servers.before_each)
---     after_each(servers.after_each)

local core = require "dualdb.core"
local url = require "dualdb.url"
local wait = require "spec.support.wait"

local servers = {}

--- Both sides in order; `label` is what the connections are called in errors.
servers.SIDES = {
  { label = "primary", driver = "mysql" },
  { label = "secondary", driver = "postgres" },
}
for _, side in ipairs(servers.SIDES) do
  servers[side.label], servers[side.driver] = side, side
end

local URLS = {
  mysql = { user = "DUALDB_PRIMARY_URL", super = "DUALDB_SANDBOX_MYSQL_SUPERUSER_URL" },
  postgres = { user = "DUALDB_SECONDARY_URL", super = "DUALDB_SANDBOX_PG_SUPERUSER_URL" },
}

--- True when the environment names both servers.
function servers.available()
  return (os.getenv(URLS.mysql.user) and os.getenv(URLS.postgres.user)) ~= nil
end

--- True when the servers are a sandbox's, which a spec may stop, starve and reconfigure.
function servers.sandboxed()
  return os.getenv("DUALDB_SANDBOX") ~= nil
end

--- The settings of a side's URL in the environment, a new table on each call.
---@param driver "mysql"|"postgres"
---@param role "user"|"super"|nil
---@return table<string, string>
function servers.settings(driver, role)
  local text = os.getenv(URLS[driver][role or "user"]) or os.getenv(URLS[driver].user)
  return driver == "mysql" and url.mysql(text) or url.postgres(text)
end

-- ---- connections and tables, gone after each spec ----

local opened, dropping, undoing = {}, {}, {}

--- Connects without taking note of it: the spec closes the connection itself.
---@param driver "mysql"|"postgres"
---@param more { settings: table|nil, timeout: number|nil, connect_timeout: number|nil }|nil
function servers.connect(driver, more)
  more = more or {}
  local settings = servers.settings(driver)
  for name, value in pairs(more.settings or {}) do settings[name] = value or nil end
  return core.connect {
    driver = driver, label = servers[driver].label, settings = settings,
    connect_timeout = more.connect_timeout or 10, timeout = more.timeout or 60,
  }
end

--- Connects; the connection is closed after the spec.
function servers.open(driver, more)
  local conn = servers.connect(driver, more)
  opened[#opened + 1] = conn
  return conn
end

local serial = 0

--- A new name for a table, type or user; the table of that name is dropped on both sides after the
--- spec.
---@return string
function servers.scratch_name()
  serial = serial + 1
  local name = ("spec_%d_%d"):format(core.pid(), serial)
  dropping[#dropping + 1] = name
  return name
end

--- Makes a scratch table; returns its name.
---@param conn userdata
---@param columns string
---@return string
function servers.table(conn, columns)
  local name = servers.scratch_name()
  conn:execute(("create table %s (%s)"):format(name, columns))
  return name
end

--- Runs `undo` after the spec, before anything else is put in order.
---@param undo function
function servers.finally(undo)
  undoing[#undoing + 1] = undo
end

-- ---- many rows ----

local DIGITS = "(select 0 as d union all select 1 union all select 2 union all select 3 union all "
  .. "select 4 union all select 5 union all select 6 union all select 7 union all select 8 "
  .. "union all select 9)"

--- A query of a million rows (n, filler), in any order, that the server makes as it goes.
---@param driver "mysql"|"postgres"
---@param width integer   bytes of filler in each row
---@return string
function servers.million(driver, width)
  if driver == "postgres" then
    return ("select n, repeat('x', %d) as filler from generate_series(0, 999999) as n")
      :format(width)
  end
  local from = {}
  for i = 1, 6 do from[i] = DIGITS .. " as t" .. i end
  return ("select t1.d + 10 * t2.d + 100 * t3.d + 1000 * t4.d + 10000 * t5.d + 100000 * t6.d as n, "
    .. "repeat('x', %d) as filler from %s"):format(width, table.concat(from, " cross join "))
end

-- ---- the second look ----

local monitors = {}

local function new_monitor(driver)
  return core.connect {
    driver = driver, label = "monitor", settings = servers.settings(driver, "super"),
    connect_timeout = 10, timeout = 30,
  }
end

local function on_monitor(method, driver, ...)
  if monitors[driver] and not monitors[driver]:reusable() then
    monitors[driver]:close()
    monitors[driver] = nil
  end
  monitors[driver] = monitors[driver] or new_monitor(driver)
  local conn = monitors[driver]
  local ok, result = pcall(conn[method], conn, ...)
  if ok then return result end
  -- The server was stopped and started since.
  if not (core.is_error(result) and result.class == "unavailable") then error(result, 0) end
  conn:close()
  monitors[driver] = new_monitor(driver)
  conn = monitors[driver]
  return (conn[method](conn, ...))
end

--- A query by the superuser, on a connection of its own.
---@return table[]
function servers.look(driver, sql, ...) return on_monitor("query", driver, sql, ...) end

--- A statement by the superuser, on the same connection.
function servers.command(driver, sql, ...) return on_monitor("execute", driver, sql, ...) end

local SESSIONS = {
  mysql = "select id, coalesce(info, '') as info from information_schema.processlist "
    .. "where id <> connection_id() and command not in ('Daemon', 'Binlog Dump') "
    .. "and user not in ('system user', 'event_scheduler')",
  postgres = "select pid as id, case when state = 'active' then query else '' end as info "
    .. "from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'",
}

--- The sessions of the server but for the superuser's of this module: id -> running statement.
---@return table<integer, string>
function servers.sessions(driver)
  local found = {}
  for _, row in ipairs(servers.look(driver, SESSIONS[driver])) do found[row.id] = row.info end
  return found
end

--- True while a session runs a statement that contains the text.
---@param text string
---@return boolean
function servers.runs(driver, text)
  for _, info in pairs(servers.sessions(driver)) do
    if info:find(text, 1, true) then return true end
  end
  return false
end

--- Waits until no session runs a statement with the text any more.
function servers.wait_until_gone(driver, text)
  wait.wait_until(("no session of %s runs %s"):format(driver, text), function()
    return not servers.runs(driver, text)
  end)
end

--- Ends a session of the server, as an administrator would.
function servers.kill(driver, session)
  if driver == "mysql" then
    servers.command(driver, ("kill connection %d"):format(session))
  else
    servers.command(driver, "select pg_terminate_backend(?)", session)
  end
end

--- Ends the sessions that were not there before, and waits until they are gone.
---@param before table<integer, string>   of servers.sessions
function servers.end_new_sessions(driver, before)
  for id in pairs(servers.sessions(driver)) do
    if not before[id] then servers.kill(driver, id) end
  end
  wait.wait_until("the sessions are gone", function()
    for id in pairs(servers.sessions(driver)) do
      if not before[id] then return false end
    end
    return true
  end)
end

--- Stops what a session runs, as an administrator would.
function servers.kill_query(driver, session)
  if driver == "mysql" then
    servers.command(driver, ("kill query %d"):format(session))
  else
    servers.command(driver, "select pg_cancel_backend(?)", session)
  end
end

-- ---- faults, in a sandbox ----

--- True when no thread of the process is on its way any more.
local function is_stopped(pid)
  local pipe = assert(io.popen(("cat /proc/%d/task/*/stat 2>/dev/null"):format(pid)))
  local stopped = true
  for line in pipe:lines() do stopped = stopped and line:match("^.*%) T ") ~= nil end
  pipe:close()
  return stopped
end

--- Freezes the server with all its sessions until the end of the spec: it accepts connections and
--- bytes, as its system does that for it, and answers nothing.
---@param label "primary"|"secondary"
---@param session integer|nil   that must be frozen too
function servers.freeze(label, session)
  local sandbox = require "dualdb.sandbox"
  local pid = sandbox.status()[label].pid
  sandbox.stop(label, "STOP")
  servers.finally(function() sandbox.stop(label, "CONT") end)
  wait.wait_until("the server is frozen", function()
    return is_stopped(pid) and (not session or is_stopped(session))
  end)
end

--- Kills the server; it is started again after the spec.
---@param label "primary"|"secondary"
function servers.destroy(label)
  local sandbox = require "dualdb.sandbox"
  servers.finally(function() sandbox.start(label) end)
  sandbox.stop(label, "KILL")
end

-- ---- the guard ----

local PREPARED = { mysql = "xa recover", postgres = "select gid as data from pg_prepared_xacts" }

local before

function servers.before_each()
  before = { mysql = servers.sessions("mysql"), postgres = servers.sessions("postgres") }
end

local function clean_up()
  for i = #undoing, 1, -1 do
    local undo = table.remove(undoing, i)
    undo()
  end
  for i = #opened, 1, -1 do table.remove(opened, i):close() end
  for i = #dropping, 1, -1 do
    local name = table.remove(dropping, i)
    servers.command("mysql", "drop table if exists " .. name)
    servers.command("postgres", "drop table if exists " .. name)
  end
end

--- Closes what servers.open opened, drops the scratch tables, and fails when a session that was not
--- there before the spec still is, or a prepared transaction.
function servers.after_each()
  core.interrupt_clear()
  clean_up()
  for _, side in ipairs(servers.SIDES) do
    local left
    local ok = pcall(wait.wait_until, "sessions are gone", function()
      left = {}
      for id, info in pairs(servers.sessions(side.driver)) do
        if not before[side.driver][id] then left[#left + 1] = id .. " " .. info end
      end
      return #left == 0
    end, 5)
    if not ok then
      error(("sessions were left open on the %s: %s"):format(side.label, table.concat(left, "; ")))
    end
    for _, row in ipairs(servers.look(side.driver, PREPARED[side.driver])) do
      error(("a prepared transaction was left on the %s: %s"):format(side.label, row.data))
    end
  end
end

-- ---- errors ----

--- Calls f(...), which has to raise an error object, and returns that.
---@return dualdb.Error
function servers.failure(f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then
    error("no error was raised, but returned: " .. tostring(results[2]), 2)
  end
  if not core.is_error(results[2]) then error(results[2], 0) end
  return results[2]
end

return servers
