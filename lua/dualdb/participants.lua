--- Who takes part in a dual write: both sides, or, when the policy allows, the one that answers;
--- and what the breakers are told of it.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"
local protocol = require "dualdb.protocol"
local recovery = require "dualdb.recovery"
local setup = require "dualdb.setup"

local participants = {}

---@class dualdb.Call          one call of write, with all its attempts; its end is reported
---@field db dualdb.Database
---@field defer boolean|nil    the secondary is not asked
---@field verdicts table<string, any>   of the sides that were asked

---@class dualdb.Parts         of one attempt; their end gives the connections back
---@field db dualdb.Database
---@field primary any|nil      connection
---@field secondary any|nil    connection
---@field mode string

-- ---- what the breakers are told ----

--- A side was asked, and there is nothing to say of it yet.
local NONE = {}

--- One call says one thing of each side that it has asked: that it works, the last of its failures,
--- or nothing.
local REPORTED = {
  __close = function(call)
    local breaker = call.db.breaker
    for name, verdict in pairs(call.verdicts) do
      if verdict == true then breaker:succeeded(name)
      elseif verdict == NONE then breaker:released(name)
      else breaker:failed(name, verdict) end
    end
  end,
}

---@param db dualdb.Database
---@param defer boolean|nil
---@return dualdb.Call
function participants.call(db, defer)
  return setmetatable({ db = db, defer = defer, verdicts = {} }, REPORTED)
end

--- An error says something of the side that it came from.
function participants.blame(call, err)
  if errors.is(err) and err.side and call.verdicts[err.side] then call.verdicts[err.side] = err end
end

-- ---- who takes part ----

--- A connection. Who is let through to a side that was down asks it something at once, and tells
--- the breaker: the write itself may wait long for the other side, whose breaker lets somebody else
--- through, who waits for this one.
local function acquire(db, name, seconds)
  local conn = db[name]:acquire("write", seconds)
  if db.breaker:state(name) == "closed" then return conn end
  local ok, err = pcall(conn.query, conn, "select 1")
  if ok then
    db.breaker:succeeded(name)
    return conn
  end
  conn:close()
  return error(err, 0)
end

--- A side that is known to be down is not asked again before the breaker lets one of us try.
local function connect(db, name, deadline, call)
  if not db.breaker:allows(name) then
    error(errors.make("unavailable", ("the %s was unavailable a moment ago"):format(name),
      { side = name }), 0)
  end
  call.verdicts[name] = call.verdicts[name] or NONE
  local ok, conn = pcall(acquire, db, name, math.max(deadline - core.clock(), 0.05))
  if ok then return conn end
  call.verdicts[name] = conn
  return error(conn, 0)
end

local function is_down(err, side)
  return errors.is(err) and err.class == "unavailable" and (not side or err.side == side)
end

--- When a write goes on without a side that has not answered: a server that was suspended wakes up
--- in a few seconds.
local function patience(deadline)
  return core.clock() + (deadline - core.clock()) * 0.6
end

--- A side has not answered: an error, unless the policy lets the other one be written alone.
local function check_down(db, parts, no_primary, no_secondary)
  local available = db.policy.preset == "available"
  if no_secondary and not is_down(no_secondary, "secondary") then error(no_secondary, 0) end
  local alone = available and parts.secondary  -- the secondary may go on
  if no_primary and not (alone and is_down(no_primary, "primary")) then error(no_primary, 0) end
  if no_secondary and not available then error(no_secondary, 0) end
end

--- The secondary first: one that has to wake up must not do so under locks of the primary.
local function connect_both(db, parts, call, deadline)
  local available = db.policy.preset == "available"
  local no_primary, no_secondary
  if not call.defer then
    local ok, conn = pcall(connect, db, "secondary", available and patience(deadline) or deadline,
      call)
    if ok then parts.secondary = conn else no_secondary = conn end
  end
  local ok, conn = pcall(connect, db, "primary",
    available and parts.secondary and patience(deadline) or deadline, call)
  if ok then parts.primary = conn else no_primary = conn end
  if no_primary or no_secondary then check_down(db, parts, no_primary, no_secondary) end
end

--- The secondary must not take writes alone when it lacks some of the primary's.
local function check_current(db)
  if db.state:get("secondary_lacks") == "1" then
    error(errors.make("unavailable", "the primary is down, and the secondary lacks writes that "
      .. "are in the primary's journal", { side = "primary" }), 0)
  end
end

--- Prepared transactions that a process left behind hold locks: the first write of a pair looks for
--- them. What cannot be decided now is no reason not to write.
local function recover_once(db)
  if rawget(db, "recovered") then return end
  rawset(db, "recovered", true)
  local ok, list, failures = pcall(recovery.run, db, { polite = true })
  if not ok then
    log.emit("warn", "recovery failed: " .. tostring(list))
    return
  end
  for _, item in ipairs(list) do
    local level = item.outcome == "owner_alive" and "debug" or "info"
    log.emit(level, ("recovered %s on the %s: %s%s"):format(item.gid, item.side,
      item.outcome:gsub("_", " "), item.error and ": " .. tostring(item.error) or ""))
  end
  for _, err in ipairs(failures) do log.emit("debug", "recovery: " .. tostring(err)) end
end

local function choose_mode(db, parts)
  local both = parts.primary ~= nil and parts.secondary ~= nil
  setup.ensure(db, both)
  if both then recover_once(db) end
  if not parts.primary then
    check_current(db)
    return "secondary_only"
  end
  local name = protocol.of(db, parts.primary, parts.secondary).name
  return parts.secondary and name or "primary_only"
end

local RELEASED = {
  __close = function(parts)
    local db = parts.db
    if parts.primary then db.primary:release(parts.primary, "write") end
    if parts.secondary then db.secondary:release(parts.secondary, "write") end
  end,
}

---@param db dualdb.Database
---@return dualdb.Parts
function participants.none(db) return setmetatable({ db = db }, RELEASED) end

--- Connects, and says by which protocol the write goes. What is connected is in `parts` also when
--- it fails.
---@param parts dualdb.Parts
---@param call dualdb.Call
---@param deadline number
function participants.gather(parts, call, deadline)
  connect_both(parts.db, parts, call, deadline)
  parts.mode = choose_mode(parts.db, parts)
end

--- The side that takes no part, if there is one.
---@param parts dualdb.Parts
function participants.missing(parts)
  if not parts.primary then return "primary" end
  return not parts.secondary and "secondary" or nil
end

return participants
