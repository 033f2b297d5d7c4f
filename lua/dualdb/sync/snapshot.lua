--- One moment of the primary that all lanes read: a consistent snapshot in each of their
--- transactions, begun while nobody could commit, and the binary log's position at it.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local setup = require "dualdb.setup"

local snapshot = {}

--- Seconds that statements of others are waited for before nobody can write.
local LOCK_WAIT = 30

---@class dualdb.Snapshot
---@field file string|nil       of the binary log; nil when the primary keeps none
---@field position integer|nil
---@field gtid string|nil       the transactions that it has, as the primary writes such sets

local function absent(value)
  if value == core.NULL or value == "" then return nil end
  return value
end

--- SHOW MASTER STATUS has another name since MySQL 8.2, and the old one is gone from 8.4 on.
local function log_status(conn)
  local ok, rows = pcall(conn.query, conn, "show binary log status")
  if not ok then rows = conn:query "show master status" end
  return rows[1] or {}
end

local function gtid(conn, status)
  if conn:info().product == "mariadb" then
    return absent(conn:query("select @@gtid_binlog_pos as v")[1].v)
  end
  return absent(status.Executed_Gtid_Set)
end

local function position(conn)
  local status = log_status(conn)
  return {
    file = absent(status.File), position = math.tointeger(tonumber(status.Position)),
    gtid = gtid(conn, status),
  }
end

local function needs_privilege(err)
  if not errors.is(err) or err.class ~= "auth" then return err end
  return errors.make("auth", "a snapshot needs a moment in which nobody writes, and the account "
    .. "may not have that: " .. err.message, {
      side = "primary", code = err.code, sqlstate = err.sqlstate,
      hint = "Grant it RELOAD (and, for the position, the right to see the binary log's).",
    })
end

--- Begins the transactions of all lanes at one moment. They read nothing newer until they end.
---@param db dualdb.Database
---@param lanes dualdb.Lane[]
---@return dualdb.Snapshot
function snapshot.take(db, lanes)
  local control = db.primary:connect()
  local guard <close> = setmetatable({}, { __close = function() control:close() end })
  local ok, taken = pcall(function()
    control:execute(("set session lock_wait_timeout = %d"):format(LOCK_WAIT))
    control:execute "flush tables with read lock"
    for _, lane in ipairs(lanes) do
      local conn = lane:conn "primary"
      conn:execute "set transaction isolation level repeatable read"
      conn:execute "start transaction with consistent snapshot"
      lane.snapshot = true
    end
    return position(control)
  end)
  if not ok then error(needs_privilege(taken), 0) end
  return taken  -- the control connection's lock ends with it
end

--- Notes on the secondary which moment of the primary it has.
---@param db dualdb.Database
---@param taken dualdb.Snapshot
function snapshot.note(db, taken)
  local text = taken.file and ("%s:%d"):format(taken.file, taken.position) or "no binary log"
  setup.put(db.secondary, "postgres", "snapshot:" .. db.name, text)
  if taken.gtid and #taken.gtid <= 255 then
    setup.put(db.secondary, "postgres", "snapshot_gtid:" .. db.name, taken.gtid)
  end
end

--- How many heartbeats dual writes have left: a snapshot is for times without any.
---@param db dualdb.Database
---@return string
function snapshot.beats(db)
  return tostring(db.primary:query("select coalesce(sum(beat), 0) as n from dualdb_heartbeat")[1].n)
end

--- Dual writes have run beside the copy: the secondary may have got older rows over newer ones.
---@param name string      of the model
function snapshot.disturbed(name)
  return errors.make("conflict", ("model %s: dual writes ran beside a copy of one moment"):format(
    name), { model = name, hint = "Copy again, without --snapshot or without writers." })
end

return snapshot
