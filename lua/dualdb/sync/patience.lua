--- Locks of the secondary that dual writes hold too: they are waited for a short time, again and
--- again, so that those which queue behind do not wait long.

local core = require "dualdb.core"
local errors = require "dualdb.errors"

local patience = {}

--- Shorter than the server's deadlock_timeout: in a deadlock it is this transaction that gives way.
local LOCK_TIMEOUT = 0.8
local ATTEMPTS = 10
local PAUSE = 0.5

local LOCKED = { ["55P03"] = true, ["40P01"] = true }

--- Runs fn(conn) in a transaction of the secondary that waits for no lock longer than
--- options.lock_timeout; again when it did not get one. Raises the last error, of class
--- `transient`, when all options.attempts are used up; nothing is done then.
---@param db dualdb.Database
---@param options { lock_timeout: number|nil, attempts: integer|nil }|nil
---@param fn fun(conn: any): any
function patience.transaction(db, options, fn)
  options = options or {}
  local attempts = options.attempts or ATTEMPTS
  local limit = math.ceil((options.lock_timeout or LOCK_TIMEOUT) * 1000)
  for attempt = 1, attempts do
    local ok, result = pcall(db.secondary.transaction, db.secondary, function(conn)
      conn:execute(("set local lock_timeout = %d"):format(limit))
      return fn(conn)
    end)
    if ok then return result end
    if attempt == attempts or not (errors.is(result) and LOCKED[result.sqlstate]) then
      error(result, 0)
    end
    core.sleep(math.random() * PAUSE)
  end
end

--- Lets what follows in the transaction take as long as it takes.
function patience.unlimited(conn)
  conn:set_timeout(0)
  conn:query("select set_config(name, '0', true) from pg_settings where name in "
    .. "('statement_timeout', 'transaction_timeout')")
end

return patience
