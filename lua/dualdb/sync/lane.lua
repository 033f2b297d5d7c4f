--- A lane: connections of its own to both sides, on which one thing at a time is under way. The
--- rows move on the engine's threads; what a transaction begins and ends with is here.

local bring = require "dualdb.bring"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local Spool = require "dualdb.spool"

---@class dualdb.Lane
---@field db dualdb.Database
---@field number integer
---@field conns table<string, userdata>   "primary", "secondary" and "reader", which is the
---                                         secondary's too; connected when they are first needed
---@field work table|nil       what is under way: { task, range, job, ... }
---@field refused dualdb.Spool|nil   rows that the work's target cannot hold
---@field snapshot boolean     the primary's connection is in a transaction that lasts
local Lane = {}
Lane.__index = Lane

--- Seconds that a lock is waited for: a writer that holds one for longer is waited for anew.
local LOCK_WAIT = 5

---@param db dualdb.Database
---@param number integer
---@return dualdb.Lane
function Lane.new(db, number)
  return setmetatable({ db = db, number = number, conns = {}, snapshot = false }, Lane)
end

local SIDE = {
  primary = "primary", secondary = "secondary", reader = "secondary", primary_reader = "primary",
}

--- The connection of that name, which is connected if need be.
---@param name "primary"|"secondary"|"reader"|"primary_reader"
function Lane:conn(name)
  local conn = self.conns[name]
  if conn and conn:hung_up() and not self.snapshot then
    conn:close()
    conn = nil
  end
  if not conn then
    conn = self.db[SIDE[name]]:connect()
    self.conns[name] = conn
    if name == "primary" then
      conn:execute(("set session innodb_lock_wait_timeout = %d"):format(LOCK_WAIT))
    end
  end
  return conn
end

-- ---- transactions ----

--- Under REPEATABLE READ the gaps between the rows that are read are locked too.
function Lane:begin_primary()
  local conn = self:conn "primary"
  if self.snapshot then return conn end
  conn:execute "set transaction isolation level repeatable read"
  conn:execute "start transaction"
  return conn
end

--- Each statement sees what has been committed before it. All settings are the transaction's own:
--- a pooler may be between.
---@param name "secondary"|"reader"
function Lane:begin_secondary(name)
  local conn = self:conn(name)
  conn:queue "begin isolation level read committed"
  conn:queue(("set local lock_timeout = %d"):format(LOCK_WAIT * 1000))
  conn:finish()
  conn:finish()
  return conn
end

---@param name "primary"|"secondary"|"reader"
function Lane:commit(name)
  if name == "primary" and self.snapshot then return end
  local result = self.conns[name]:execute "commit"
  if result.tag == "ROLLBACK" then
    errors.raise("transient", "the %s rolled back instead of committing", SIDE[name])
  end
end

--- Commits what was read and written of a chunk: the secondary first, so that the primary's rows
--- are locked until then.
function Lane:commit_chunk()
  core.crash_point "sync.written"
  if not self.snapshot then bring.check_locks(self.conns.primary) end
  self:commit "secondary"
  core.crash_point "sync.committed"
  if self.conns.reader and not self.conns.reader:reusable() then self:commit "reader" end
  self:commit "primary"
  core.crash_point "sync.released"
end

--- Ends what is under way and whatever transactions are open, so that nothing of it stays.
function Lane:abandon()
  local work = self.work
  self.work = nil
  if work and work.job then work.job:close() end
  self:forget_refusals()
  for name, conn in pairs(self.conns) do
    if not (name == "primary" and self.snapshot) and not conn:reusable()
       and not pcall(conn.execute, conn, "rollback") then
      conn:close()
      self.conns[name] = nil
    end
  end
end

function Lane:close()
  self:abandon()
  for name, conn in pairs(self.conns) do
    conn:close()
    self.conns[name] = nil
  end
end

-- ---- rows that the target cannot hold ----

--- Takes over the rows that the engine has refused so far.
function Lane:take_refusals()
  local job = self.work and self.work.job
  if not job then return end
  for _, entry in ipairs(job:told()) do
    self.refused = self.refused or Spool.new()
    self.refused:add {
      kind = "missing", key = entry.row, reason = entry.reason,
      column = entry.column and tostring(entry.column) or nil,
    }
  end
end

--- Calls fn(row, index of the column or nil, reason) for each of them, once they are final.
---@param fn fun(row: string, column: integer|nil, reason: string)
---@return integer count
function Lane:each_refusal(fn)
  if not self.refused then return 0 end
  for entry in self.refused:each() do
    fn(entry.key, math.tointeger(tonumber(entry.column)), entry.reason)
  end
  local count = self.refused.count
  self:forget_refusals()
  return count
end

function Lane:forget_refusals()
  if self.refused then self.refused:close() end
  self.refused = nil
end

-- ---- single statements ----

--- Starts one statement of the secondary on a thread; it may take as long as it does.
---@param sql string
function Lane:start_statement(sql)
  local conn = self:conn "secondary"
  conn:set_timeout(0)
  return core.start_execute { conn = conn, sql = sql }
end

--- After a statement that was given all the time it takes.
function Lane:end_statement()
  self.conns.secondary:set_timeout(self.db.secondary.limits.statement)
end

return Lane
