--- When the next chunk of a sync may start: what the rate allows, what the model's throttle says,
--- and what the servers have to bear. One for a run, shared by all of its lanes.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"
local progress = require "dualdb.progress"
local Replicas = require "dualdb.sync.replicas"
local waits = require "dualdb.sync.waits"

local politeness = {}

--- Seconds: that a replica may be behind, that others may wait for our locks, between two looks at
--- the servers; and of the rate, that may be saved up.
local MAX_LAG, MAX_WAIT, LOOK, SAVED = 10, 2, 1, 1

---@class dualdb.Politeness
local Politeness = {}
Politeness.__index = Politeness

---@class dualdb.PoliteReason
---@field kind "rate"|"throttle"|"lag"|"standby"|"locks"
---@field seconds number|nil     how far behind, or how long others have waited
---@field replica string|nil
---@field stopped boolean|nil    the replica does not apply anything
---@field sessions integer|nil   how many wait
---@field rate integer|nil       bytes a second
---@field model string|nil

---@class dualdb.SyncProgress   what a throttle is given
---@field model string
---@field rows integer           so far
---@field bytes integer
---@field seconds number
---@field rows_per_second number
---@field bytes_per_second number
---@field chunk_seconds number   of the last chunk; 0 before the first

---@class dualdb.PoliteOptions
---@field max_rate integer|nil   bytes a second
---@field max_lag number|nil     seconds
---@field max_wait number|nil    seconds
---@field throttle fun(progress: dualdb.SyncProgress)|nil   instead of the models' own
---@field replicas string[]|nil  URLs; nil: the policy's, or those that the primary knows of
---@field clock (fun(): number)|nil

---@param db dualdb.Database
---@param options dualdb.PoliteOptions|nil
---@return dualdb.Politeness
function politeness.new(db, options)
  options = options or {}
  local clock = options.clock or core.clock
  return setmetatable({
    db = db, clock = clock, throttle = options.throttle, max_rate = options.max_rate,
    max_lag = options.max_lag or MAX_LAG, max_wait = options.max_wait or MAX_WAIT,
    replicas = Replicas.new(db, options.replicas or db.policy.replicas),
    standbys = {}, waiting = {}, said = {},
    saved = 0, counted_at = clock(), chunk_seconds = 0,
  }, Politeness)
end

-- ---- the rate ----

--- Bytes are known once they are read: they are owed, and the next chunk waits until they are paid.
local function pay(self)
  local now = self.clock()
  local earned = (now - self.counted_at) * self.max_rate
  self.saved = math.min(self.saved + earned, SAVED * self.max_rate)
  self.counted_at = now
end

local function of_rate(self)
  if not self.max_rate then return 0 end
  pay(self)
  if self.saved >= 0 then return 0 end
  return -self.saved / self.max_rate, { kind = "rate", rate = self.max_rate }
end

-- ---- the model's throttle ----

local function throttle_of(self, model)
  if self.throttle then return self.throttle end
  return (self.db:model_definition(model).sync or {}).throttle
end

local function given_to_throttle(self, so_far)
  local given = { chunk_seconds = self.chunk_seconds }
  for name, value in pairs(so_far) do given[name] = value end
  for _, name in ipairs { "rows", "bytes", "seconds" } do given[name] = given[name] or 0 end
  for _, name in ipairs { "rows", "bytes" } do
    local rate = name .. "_per_second"
    given[rate] = given[rate] or (given.seconds > 0 and given[name] / given.seconds or 0)
  end
  return given
end

--- Seconds to wait, by what the throttle said.
local function seconds_of(model, said)
  if said == nil or said == true then return 0 end
  if said == false then
    error(errors.make("refused", ("model %s: sync.throttle stopped the sync"):format(model),
      { model = model }), 0)
  end
  if type(said) ~= "number" or said < 0 or said ~= said or said == math.huge then
    errors.usage("model %s: sync.throttle returned %s, not a number of seconds, true, false or nil",
      model, type(said) == "number" and tostring(said) or "a " .. type(said))
  end
  return said
end

--- A throttle is asked once for each chunk, and what it says is waited once: one that always says
--- the same number slows the sync down, and does not stop it.
local function of_throttle(self, so_far)
  local model, now = so_far.model, self.clock()
  local until_when = self.waiting[model]
  if not until_when then
    local throttle = throttle_of(self, model)
    if not throttle then return 0 end
    until_when = now + seconds_of(model, throttle(given_to_throttle(self, so_far)))
  end
  if until_when > now then
    self.waiting[model] = until_when
    return until_when - now, { kind = "throttle", model = model }
  end
  self.waiting[model] = nil
  return 0
end

-- ---- the servers ----

--- Said once for each kind of trouble: politeness stops no sync, but for the interrupt of a person.
local function tell(self, err)
  err = errors.wrap(err)
  if err.class == "canceled" then error(err, 0) end
  if self.said[err.class] then return end
  self.said[err.class] = true
  log.emit(err.class == "auth" and "info" or "warn",
    "the secondary does not say who waits for the sync, and nobody is waited for: " .. err.message,
    { class = err.class })
end

local function look(self)
  local lag = self.replicas:worst()
  if lag and lag.seconds > self.max_lag then
    return { kind = "lag", replica = lag.replica, seconds = lag.seconds, stopped = lag.stopped }
  end
  local ok, locks, standby = pcall(waits.look, self.db, self.max_wait, self.standbys)
  if not ok then
    tell(self, locks)
  elseif locks then
    return { kind = "locks", sessions = locks.sessions, seconds = locks.seconds }
  elseif standby and standby.seconds > self.max_lag then
    return { kind = "standby", replica = standby.replica, seconds = standby.seconds }
  end
end

local function of_servers(self)
  local now = self.clock()
  if not self.looked_at or now - self.looked_at >= LOOK then
    self.burden = look(self)
    now = self.clock()
    self.looked_at = now
  end
  if not self.burden then return 0 end
  return math.max(self.looked_at + LOOK - now, LOOK / 10), self.burden
end

-- ---- what the scheduler calls ----

--- May a chunk start? 0: now; otherwise seconds, after which to ask again, and why. Raises what the
--- throttle raises, and class `refused` when that stops the sync.
---@param so_far { model: string, rows: integer, bytes: integer, seconds: number }
---@return number, dualdb.PoliteReason|nil
function Politeness:pause(so_far)
  for _, of in ipairs { of_servers, of_rate, of_throttle } do
    local seconds, reason = of(self, so_far)
    if seconds > 0 then return seconds, reason end
  end
  return 0
end

--- A chunk is through.
---@param bytes integer
---@param rows integer
---@param seconds number
function Politeness:took(bytes, rows, seconds)
  if self.max_rate then
    pay(self)
    self.saved = self.saved - bytes
  end
  if rows > 0 then self.chunk_seconds = seconds end
end

function Politeness:close() self.replicas:close() end
Politeness.__close = Politeness.close

local DESCRIBE = {}

function DESCRIBE.rate(reason)
  return ("held to %s/s"):format(progress.size(reason.rate))
end

function DESCRIBE.throttle(reason)
  return ("paused: by the throttle of %s"):format(reason.model)
end

function DESCRIBE.lag(reason)
  return ("paused: replica %s %s"):format(reason.replica, reason.stopped
    and ("has not applied anything for %.0f s"):format(reason.seconds)
    or ("is %.0f s behind"):format(reason.seconds))
end

function DESCRIBE.standby(reason)
  return ("paused: standby %s is %.0f s behind"):format(reason.replica, reason.seconds)
end

function DESCRIBE.locks(reason)
  return ("paused: %s on the secondary for our locks, %.0f s by now"):format(
    reason.sessions == 1 and "1 session waits"
      or progress.count(reason.sessions) .. " sessions wait", reason.seconds)
end

--- Why a sync waits, for its progress line: "paused: replica 10.0.0.3 is 14 s behind".
---@param reason dualdb.PoliteReason
---@return string
function politeness.describe(reason) return DESCRIBE[reason.kind](reason) end

return politeness
