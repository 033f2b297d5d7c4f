--- Reads that fall back: the primary, or the secondary while the primary is unavailable.

local errors = require "dualdb.errors"
local heartbeat = require "dualdb.heartbeat"

local reading = {}

--- What fn is given: one side, to read from.
---@class dualdb.Reader
local Reader = {}
Reader.__index = Reader

function Reader:query(text, ...) return self.side:query(text, ...) end
function Reader:rows(text, ...) return self.side:rows(text, ...) end
function Reader:get(model, key) return self.db:model_of(model):get_from(self.side, key) end
function Reader:find(model, where) return self.db:model_of(model):find_on(self.side, where) end

--- Runs fn on a side, if its breaker lets it. Returns whether that went well, and fn's result or
--- the error.
local function attempt(db, name, fn)
  if not db.breaker:allows(name) then
    return false, errors.make("unavailable",
      ("not asked again yet: it did not answer %.1f s ago"):format(
        select(2, db.breaker:state(name))), { side = name })
  end
  -- Who reads from the secondary does so because the primary is down.
  local down = name == "secondary" and "primary" or nil
  local ok, result = pcall(db.without, db, down, fn,
    setmetatable({ db = db, side = db[name] }, Reader))
  if ok then
    db.breaker:succeeded(name)
  elseif errors.is(result) and result.side == name then
    db.breaker:failed(name, result)
  else
    db.breaker:released(name)
  end
  return ok, result
end

local function is_down(err, side)
  return errors.is(err) and err.class == "unavailable" and err.side == side
end

--- An answer that is too old, or of which nobody knows how old it is, is none.
local function check_age(staleness, limit, cause)
  if not limit or (staleness and staleness <= limit) then return end
  local age = "it is not known how far the secondary is behind"
  if staleness then age = ("the secondary can be %.1f s behind"):format(staleness) end
  error(errors.make("unavailable", ("%s; %s, and at most %g s are asked for"):format(cause.message,
    age, limit), {
    side = "primary", code = cause.code, sqlstate = cause.sqlstate, detail = cause.detail,
    hint = "max_staleness says how old an answer of the secondary may be.",
  }), 0)
end

local function fail_both(primary, secondary)
  error(errors.make("unavailable", primary.message .. "; nor is the secondary available", {
    side = "primary", code = primary.code, sqlstate = primary.sqlstate,
    detail = ("%s; %s"):format(tostring(primary), tostring(secondary)),
  }), 0)
end

--- Runs fn(reader) on the primary, or, when that is unavailable, on the secondary; see db:read.
---@param db dualdb.Database
---@param fn fun(reader: dualdb.Reader): any
---@param limit number|nil   seconds that the secondary may be behind
function reading.run(db, fn, limit)
  local ok, result = attempt(db, "primary", fn)
  if ok then return result, { side = "primary", stale = false, staleness = 0 } end
  if not is_down(result, "primary") then error(result, 0) end

  local cause, moment = result, nil
  local function checked_age()
    local age = moment and heartbeat.seconds_since(moment)
    check_age(age, limit, cause)
    return age
  end
  ok, result = attempt(db, "secondary", function(reader)
    moment = heartbeat.complete_until(db)  -- before fn: what comes in later only makes it younger
    checked_age()
    return db:without("primary", fn, reader)
  end)
  if not ok then
    if is_down(result, "secondary") then fail_both(cause, result) end
    error(result, 0)
  end
  return result, { side = "secondary", stale = true, staleness = checked_age() }
end

return reading
