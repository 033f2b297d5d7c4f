--- Large tables for specs of the full sync, made and judged by the servers' own clients, and a sync
--- of them in a process of its own, which can be killed.

local assert = require "luassert"
local child = require "spec.support.child"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

local synced = {}

local TEXT = "concat('k', lpad(n, 7, '0'), repeat('y', n % 30))"

--- The kinds of keys: the key's columns, and what the n-th row has in them. Only texts are ordered
--- otherwise on the other side.
local KEYS = {
  integer = {
    columns = "id", mysql = "id bigint not null", postgres = "id bigint not null",
    values = "7 * n", other = "id + 1",
  },
  text = {
    columns = "k", mysql = "k varchar(60) not null", postgres = "k varchar(60) not null",
    values = TEXT, other = "k || 'z'",
  },
  composite = {
    columns = "room, k", mysql = "room int not null, k varbinary(60) not null",
    postgres = "room int not null, k bytea not null", values = "n % 40, " .. TEXT,
    other = "room, k || 'z'",
  },
}

---@class spec.Synced
---@field name string      of the table, and of the model
---@field other string     the key of a row that only the secondary has, made of another one's
---@field count integer    rows of the primary

--- Makes a table on both sides and fills the primary's; it is gone after the spec.
---@param name string
---@param kind "integer"|"text"|"composite"
---@param count integer
---@return spec.Synced
function synced.make(name, kind, count)
  local key = KEYS[kind]
  edge.drop_later(name)
  clients.run("mysql", ("create table %s (%s, v bigint not null, filler varchar(60) not null, "
    .. "primary key (%s)) character set utf8mb4 collate utf8mb4_bin"):format(name, key.mysql,
    key.columns))
  clients.run("postgres", ("create table %s (%s, v bigint not null, filler varchar(60) not null, "
    .. "primary key (%s)); alter table %s owner to dualdb"):format(name, key.postgres, key.columns,
    name))
  clients.run("mysql", ("insert into %s select %s, n, repeat('x', n %% 60) from (%s) q "
    .. "where n < %d; analyze table %s"):format(name, key.values, servers.million("mysql", 1),
    count, name))
  return { name = name, other = key.other, count = count }
end

--- Empties the tables of the side that is written.
---@param tabs spec.Synced[]
---@param driver "mysql"|"postgres"|nil   the secondary's when it is not given
function synced.empty(tabs, driver)
  for _, tab in ipairs(tabs) do clients.run(driver or "postgres", "truncate " .. tab.name) end
end

--- Half of the rows of that side are not the other's any more, are missing or too many. Of the
--- primary only where the key is a number.
---@param tabs spec.Synced[]
---@param driver "mysql"|"postgres"|nil
function synced.spoil(tabs, driver)
  for _, tab in ipairs(tabs) do
    clients.run(driver or "postgres", ([[
      update %s set v = -v where v %% 4 = 1;
      delete from %s where v %% 8 = 2;
      insert into %s select %s, -v, filler from %s where v %% 8 = 3]]):format(tab.name, tab.name,
      tab.name, tab.other, tab.name))
  end
end

--- Count and sums of a side.
local function sums(driver, tab)
  return clients.rows(driver, ("select count(*), coalesce(sum(v), 0), "
    .. "coalesce(sum(char_length(filler)), 0), coalesce(min(v), 0), coalesce(max(v), 0) from %s")
    :format(tab.name))[1]
end

--- Nothing is left of a sync, and the clients see the same on both sides.
---@param tab spec.Synced
function synced.assert_same(tab)
  assert.same(sums("mysql", tab), sums("postgres", tab))
  assert.equal(tostring(tab.count), sums("postgres", tab)[1])
  synced.assert_forgotten(tab)
end

function synced.assert_forgotten(tab)
  for _, side in ipairs(servers.SIDES) do
    for _, of in ipairs { "dualdb_sync", "dualdb_sync_range" } do
      assert.same({ { "0" } }, clients.rows(side.driver,
        ("select count(*) from %s where model = '%s'"):format(of, tab.name)))
    end
  end
end

local REACHED = {
  postgres = "select sum(rows_read)::bigint as n from %s where model = ? having count(*) > 0",
  mysql = "select cast(sum(rows_read) as signed) as n from %s where model = ? "
    .. "having count(*) > 0",
}

--- Rows that the checkpoint says are over, or nil when there is no checkpoint.
---@param tab spec.Synced
---@param driver "mysql"|"postgres"|nil   of the side that is written: the secondary's
---@return integer|nil
function synced.reached(tab, driver)
  driver = driver or "postgres"
  local schema = driver == "mysql" and servers.settings("mysql").dbname or "public"
  local name = schema .. ".dualdb_sync_range"
  if #servers.look(driver, "select 1 as one from information_schema.tables "
    .. "where table_schema = ? and table_name = 'dualdb_sync_range'", schema) == 0 then
    return nil
  end
  local found = servers.look(driver, REACHED[driver]:format(name), tab.name)[1]
  return found and found.n
end

-- ---- a sync in a process of its own ----

local CODE = [[
  local dualdb = require "dualdb"
  local errors = require "dualdb.errors"
  local log = require "dualdb.log"
  local sync = require "dualdb.sync"
  local names = { %s }
  local models = {}
  for _, name in ipairs(names) do models[name] = { table = name } end
  local db <close> = dualdb.open { models = models, name = "spec", policy = %s }
  local moving = %s
  if not moving then print "begins" end
  local function progress(so_far)
    if moving and so_far.rows > 0 then
      print "begins"
      moving = false
    end
  end
  local results = sync.all(db, names, {
    chunk_rows = %d, jobs = %d, restart = %s, direction = %s, progress = progress,
  })
  progress { rows = 1 }
  local codes = {}
  for _, result in ipairs(results) do
    print(("result %%s %%s %%s %%d %%d %%d"):format(result.model, result.action or "none",
      tostring(result.resumed), result.rows_read or 0, result.chunks or 0,
      result.quarantined or 0))
    if result.error then print("error " .. tostring(result.error)) end
    codes[#codes + 1] = result.error and errors.exit_code(result.error)
      or result.quarantined > 0 and 7 or 0
  end
  os.exit(errors.strongest(codes), true)
]]

---@class spec.SyncOptions
---@field chunk_rows integer|nil
---@field jobs integer|nil
---@field restart boolean|nil
---@field direction "to_secondary"|"to_primary"|nil
---@field moving boolean|nil   it is returned when rows are on their way, and not before
---@field policy string|nil   Lua
---@field environment table<string, string>|nil

--- Starts a sync of the tables; returns the child when it is about to begin.
---@param tabs spec.Synced[]
---@param options spec.SyncOptions|nil
function synced.start(tabs, options)
  options = options or {}
  local names = {}
  for i, tab in ipairs(tabs) do names[i] = ("%q"):format(tab.name) end
  local started = child.lua(CODE:format(table.concat(names, ", "), options.policy or "nil",
    options.moving or false, options.chunk_rows or 2000, options.jobs or 2,
    options.restart or false, options.direction and ("%q"):format(options.direction) or "nil"),
    options.environment)
  servers.finally(function()
    if not started.ended then
      started:signal(9)
      started:finish()
    end
  end)
  local line = started:line()
  assert(line == "begins" or options.environment, line)
  return started
end

---@class spec.SyncRun
---@field code integer
---@field text string
---@field results table<string, { action: string, resumed: boolean, rows_read: integer,
---  chunks: integer, quarantined: integer }>

--- Waits for the end of a sync.
---@return spec.SyncRun
function synced.finish(started)
  local text, code = started:finish()
  started.ended = true
  local run = { code = code, text = text, results = {} }
  for name, action, resumed, read, chunks, quarantined
    in text:gmatch "result (%S+) (%S+) (%S+) (%d+) (%d+) (%d+)\n" do
    run.results[name] = {
      action = action, resumed = resumed == "true", rows_read = math.tointeger(read),
      chunks = math.tointeger(chunks), quarantined = math.tointeger(quarantined),
    }
  end
  return run
end

---@param tabs spec.Synced[]
---@param options spec.SyncOptions|nil
---@return spec.SyncRun
function synced.run(tabs, options)
  return synced.finish(synced.start(tabs, options))
end

--- Waits until the servers have ended all that processes left behind which were killed: sessions
--- other than those in `before`.
---@param before table<string, table>   servers.sessions of each driver
function synced.wait_for_sessions(before)
  for _, side in ipairs(servers.SIDES) do
    wait.wait_until("the sessions of those that were killed are gone", function()
      for id in pairs(servers.sessions(side.driver)) do
        if not before[side.driver][id] then return false end
      end
      return true
    end, 30)
  end
end

function synced.sessions()
  return { mysql = servers.sessions "mysql", postgres = servers.sessions "postgres" }
end

return synced
