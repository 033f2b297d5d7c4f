--- One side of the pair: its connections, and statements on it.

local core = require "dualdb.core"

---@class dualdb.Side
---@field name "primary"|"secondary"
---@field driver "mysql"|"postgres"
local Side = {}
Side.__index = Side

local IDLE_CONNECTIONS = 4
--- Seconds that whoever copies rows waits for a lock, before it looks whether its holder has died.
Side.LOCK_WAIT = 5

---@param name "primary"|"secondary"
---@param driver "mysql"|"postgres"
---@param settings table<string, string>
---@param limits { connect: number, statement: number, lock: number, idle: number }  seconds
---@return dualdb.Side
function Side.new(name, driver, settings, limits)
  return setmetatable({
    name = name, driver = driver, settings = settings, limits = limits,
    idle = { any = {}, write = {}, recovery = {}, copy = {} }, closed = false,
  }, Side)
end

--- What a connection of the primary has to be set to for its purpose. Dual writes begin with their
--- first statement, and no wait for a lock may outlast them. (The secondary's are set in each
--- transaction: a pooler may be between.)
local function prepare(self, conn, purpose)
  if self.driver ~= "mysql" then return end
  if purpose == "write" then
    -- A client that is gone without a word holds its locks no longer than the time-out.
    conn:execute(("set autocommit = 0, innodb_lock_wait_timeout = %d, wait_timeout = %d"):format(
      math.max(1, self.limits.lock // 1), math.ceil(self.limits.idle)))
  elseif purpose == "recovery" then
    conn:execute("set innodb_lock_wait_timeout = 1")
  elseif purpose == "copy" then
    -- Whatever the server's default is, a key that it does not have is locked by its gap.
    conn:execute("set session transaction isolation level repeatable read")
    conn:execute(("set innodb_lock_wait_timeout = %d"):format(Side.LOCK_WAIT))
  end
end

---@param timeout number|nil   seconds to connect in, when they are fewer than usual
function Side:connect(timeout)
  return core.connect {
    driver = self.driver, label = self.name, settings = self.settings,
    connect_timeout = math.min(timeout or math.huge, self.limits.connect),
    timeout = self.limits.statement,
  }
end

--- An idle connection that still is one. Servers close what was idle for long (and Neon suspends):
--- that is no reason to call the side unavailable.
local function take_idle(self, purpose)
  local idle = self.idle[purpose]
  while #idle > 0 do
    local conn = table.remove(idle)
    if not conn:hung_up() then return conn end
    conn:close()
  end
end

--- A connection for the caller's own use, until release.
---@param purpose "any"|"write"|"recovery"|"copy"|nil
---@param timeout number|nil   seconds to connect in, when they are fewer than usual
function Side:acquire(purpose, timeout)
  purpose = purpose or "any"
  if self.closed then
    require("dualdb.errors").raise("usage", "the database is closed")
  end
  local conn = take_idle(self, purpose)
  if not conn then
    conn = self:connect(timeout)
    prepare(self, conn, purpose)
  end
  conn:set_timeout(self.limits.statement)
  return conn
end

--- Gives a connection back; one that is broken or inside a transaction is closed instead.
---@param purpose "any"|"write"|"recovery"|"copy"|nil   as it was acquired
function Side:release(conn, purpose)
  local idle = self.idle[purpose or "any"]
  if not self.closed and #idle < IDLE_CONNECTIONS and conn:reusable() then
    idle[#idle + 1] = conn
  else
    conn:close()
  end
end

--- Runs fn(conn, ...) and gives the connection back whatever happens.
function Side:with(fn, ...)
  return self:with_purpose("any", fn, ...)
end

---@param purpose "any"|"recovery"|"copy"
function Side:with_purpose(purpose, fn, ...)
  local conn = self:acquire(purpose)
  local guard <close> = setmetatable({}, {
    __close = function() self:release(conn, purpose) end,
  })
  return fn(conn, ...)
end

--- All rows of a query as an array of tables; second result: the column names in order.
---@param sql string
---@return table[], string[]
function Side:query(sql, ...)
  return self:with(function(conn, ...) return conn:query(sql, ...) end, ...)
end

--- Runs one statement and returns { affected, insert_id, tag }.
---@param sql string
---@return { affected: integer, insert_id: integer|nil, tag: string|nil }
function Side:execute(sql, ...)
  return self:with(function(conn, ...) return conn:execute(sql, ...) end, ...)
end

--- Streams rows: `for row in side:rows(sql, ...) do`. The connection is given back when the loop
--- ends, also by break and by an error.
---@param sql string
function Side:rows(sql, ...)
  local conn = self:acquire()
  local ok, rows = pcall(conn.rows, conn, sql, ...)
  if not ok then
    self:release(conn)
    error(rows)
  end
  local function close()
    if not conn then return end
    rows:close()
    self:release(conn)
    conn = nil
  end
  local function next_row()
    if not conn then return nil end
    local row = rows()
    if row == nil then close() end
    return row
  end
  return next_row, nil, nil, setmetatable({}, { __close = close, __gc = close })
end

--- Runs fn(conn) in a transaction of this side alone.
---@param fn function
---@param purpose "any"|"copy"|nil
function Side:transaction(fn, purpose)
  return self:with_purpose(purpose or "any", function(conn)
    conn:execute("begin")
    local results = table.pack(pcall(fn, conn))
    if not results[1] then
      pcall(conn.execute, conn, "rollback")
      error(results[2], 0)
    end
    conn:execute("commit")
    return table.unpack(results, 2, results.n)
  end)
end

---@param name string
---@return string
function Side:quote(name)
  return core.quote(self.driver, name)
end

--- Product, version and settings of the server as far as dualdb depends on them.
function Side:info()
  return self:with(function(conn) return conn:info() end)
end

function Side:close()
  self.closed = true
  for purpose, idle in pairs(self.idle) do
    for _, conn in ipairs(idle) do conn:close() end
    self.idle[purpose] = {}
  end
end

return Side
