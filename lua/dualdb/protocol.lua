--- Which protocol makes dual writes atomic here: found out by asking both servers, and remembered
--- on this machine for the time when one of them is down.

local errors = require "dualdb.errors"
local log = require "dualdb.log"

local protocol = {}

---@class dualdb.Protocol
---@field name "a1"|"a2"|"journaled"
---@field why string                what decided that, for people
---@field warnings string[]         settings of the servers that void the promise of durability

local PRIMARY = [[
select @@version as version, @@innodb_flush_log_at_trx_commit as flushes, @@log_bin as log_bin,
       @@sync_binlog as sync_binlog, @@read_only as read_only]]

local SECONDARY = [[
select current_setting('max_prepared_transactions')::integer as prepared,
       current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous,
       current_setting('full_page_writes') as full_page_writes]]

--- "10.11.6-MariaDB" -> 10011006
local function version_number(text)
  local major, minor, patch = text:match("^(%d+)%.(%d+)%.?(%d*)")
  return (tonumber(major) or 0) * 1000000 + (tonumber(minor) or 0) * 1000 + (tonumber(patch) or 0)
end

--- Why XA is not safe on the primary, or nil when it is.
local function why_no_xa(conn, info)
  local product, version = conn:info().product, version_number(info.version)
  if product == "mariadb" and version < 10005000 then return "MariaDB before 10.5" end
  if product ~= "mariadb" and version < 8000030 then return "MySQL before 8.0.30" end
  local wsrep = conn:query("show variables like 'wsrep_on'")[1]
  if wsrep and (wsrep.Value or wsrep.value) == "ON" then return "Galera does not support XA" end
  local ok, err = pcall(conn.query, conn, "xa recover")
  if ok then return nil end
  err = errors.wrap(err)
  if err.class ~= "auth" then error(err, 0) end
  return "the account lacks XA_RECOVER_ADMIN, without which nobody could recover"
end

local function durability(decides, primary, secondary)
  local list = {}
  local function warn(bad, format, ...)
    if bad then list[#list + 1] = format:format(...) end
  end
  warn(secondary.fsync ~= "on", "secondary: fsync is %s: a crash can lose what was committed",
    secondary.fsync)
  warn(secondary.full_page_writes ~= "on", "secondary: full_page_writes is %s",
    secondary.full_page_writes)
  warn(tonumber(primary.flushes) ~= 1, "primary: innodb_flush_log_at_trx_commit is %s, not 1: a "
    .. "crash can lose what was committed", primary.flushes)
  local logs = tonumber(primary.log_bin) == 1
  warn(logs and tonumber(primary.sync_binlog) ~= 1, "primary: sync_binlog is %s, not 1: with the "
    .. "binary log on, commits are not durable", primary.sync_binlog)
  warn(decides ~= "secondary" and secondary.synchronous == "off",
    "secondary: synchronous_commit is off: the last commits can be lost in a crash")
  return list
end

local NO_XA = "the secondary takes no prepared transactions (max_prepared_transactions is 0), and "
  .. "XA is not safe on the primary: %s"

--- Chooses by what both servers say.
---@param policy table
---@param primary any     connection
---@param secondary any   connection
---@return dualdb.Protocol
function protocol.probe(policy, primary, secondary)
  local first, second = primary:query(PRIMARY)[1], secondary:query(SECONDARY)[1]
  local wanted = policy.commit
  local found
  if wanted == "journaled" then
    found = { name = "journaled", why = "the policy says so" }
  elseif wanted ~= "a2" and second.prepared > 0 then
    found = { name = "a1", why = "the secondary takes prepared transactions" }
  elseif wanted == "a1" then
    errors.raise("refused", "the policy asks for a1, and the secondary takes no prepared "
      .. "transactions (max_prepared_transactions is 0)")
  else
    local reason = why_no_xa(primary, first)
    if reason then
      error(errors.make("refused", "writes cannot be atomic here: " .. NO_XA:format(reason), {
        hint = "`policy = { commit = \"journaled\" }` writes to the primary first and lets the "
          .. "secondary follow.",
      }), 0)
    end
    found = {
      name = "a2", why = wanted == "a2" and "the policy says so"
        or "the secondary takes no prepared transactions, and XA is safe on the primary",
    }
  end
  found.warnings = durability(found.name == "a2" and "secondary" or "primary", first, second)
  return found
end

local function remembered(db)
  local name = db.state:get("protocol")
  if db.policy.commit == "journaled" then name = "journaled" end
  if name then return { name = name, why = "as it was when both sides answered", warnings = {} } end
  if db.policy.preset == "strict" then
    errors.raise("refused", "what both servers can do is not known yet, and strict writes need it")
  end
  return {
    name = "journaled", why = "what both servers can do is not known yet", warnings = {},
  }
end

--- The protocol of a write in which the connections given take part; probed once for each opened
--- pair, when both sides do.
---@param db dualdb.Database
---@param primary any|nil
---@param secondary any|nil
---@return dualdb.Protocol
function protocol.of(db, primary, secondary)
  if db.protocol then return db.protocol end
  if not (primary and secondary) then return remembered(db) end
  local found = protocol.probe(db.policy, primary, secondary)
  for _, text in ipairs(found.warnings) do log.emit("warn", text) end
  db.state:set("protocol", found.name)
  db.protocol = found
  return found
end

--- The side whose COMMIT decides in a protocol (or mode of one dual write).
---@param name string
---@return "primary"|"secondary"
function protocol.decider(name)
  if name == "a2" or name == "secondary_only" then return "secondary" end
  return "primary"
end

return protocol
