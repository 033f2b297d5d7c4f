--- Whether a side is worth asking: breakers that all processes of a project on this machine share.
---
---     if not db.breaker:allows("secondary") then ... end     -- no system call but for the clock
---     local ok, err = pcall(ask_the_secondary)
---     if ok then db.breaker:succeeded "secondary" else db.breaker:failed("secondary", err) end
---
--- policy.breaker.failures calls in a row that end as `unavailable` open the breaker of a side for
--- policy.breaker.open seconds. Then one caller is allowed: its success closes the breaker, its
--- failure opens it again, and when it says nothing (it was killed) another one is allowed after
--- connect_timeout + deadline seconds.
---
--- A *call* counts once. Whoever tries again inside a call reports its last failure when it gives
--- the side up, not each attempt; an error object that was reported already is not counted again.
--- So a burst of quick attempts does not open a breaker, and neither does a server that is
--- starting: one that says so counts as down only after connect_timeout seconds of it.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"

---@class dualdb.Breaker
local Breaker = {}
Breaker.__index = Breaker

--- How servers and proxies say that they are on their way: PostgreSQL, then Neon's proxy.
local STARTING = {
  "the database system is starting up", "the database system is not yet accepting connections",
  "couldn't connect to compute node", "control plane request failed",
  "endpoint is temporarily unavailable",
}

local function is_starting(err)
  if err.sqlstate == "57P03" then return true end
  local message = (err.message or ""):lower()
  for _, text in ipairs(STARTING) do
    if message:find(text, 1, true) then return true end
  end
  return false
end

---@param policy table
---@param state dualdb.State
---@return dualdb.Breaker
function Breaker.new(policy, state)
  return setmetatable({
    rule = {
      failures = policy.breaker.failures, open = policy.breaker.open,
      lease = policy.connect_timeout + policy.deadline, starting = policy.connect_timeout,
    },
    state_of_project = state,
    counted = setmetatable({}, { __mode = "k" }),
  }, Breaker)
end

--- The shared memory, opened when it is first asked for; without a place for it, this process's
--- own.
local function shared(self)
  if self.memory then return self.memory end
  local path = self.state_of_project:file "breaker"
  local ok, memory = pcall(core.breaker, path, self.rule)
  if not ok then
    local err = errors.wrap(memory)
    if err.class == "canceled" then error(err, 0) end
    log.emit("warn", err.message .. "; this process watches the two sides alone")
    memory = core.breaker(nil, self.rule)
  end
  self.memory = memory
  return memory
end

--- Whether the side may be asked. When its breaker is half open only one caller is told so, who
--- then has to say succeeded, failed or released.
---@param side "primary"|"secondary"
---@return boolean
function Breaker:allows(side) return shared(self):allows(side) end

--- The side has answered.
---@param side "primary"|"secondary"
function Breaker:succeeded(side) shared(self):succeeded(side) end

--- A call to the side has ended with `err`. Only class `unavailable` counts; for any other error
--- the side was there, or nothing was learnt of it, and a probe is given up.
---@param side "primary"|"secondary"
---@param err any
function Breaker:failed(side, err)
  if not errors.is(err) or err.class ~= "unavailable" then return self:released(side) end
  if self.counted[err] then return end
  self.counted[err] = true
  shared(self):failed(side, is_starting(err))
end

--- The caller that was allowed has not asked after all.
---@param side "primary"|"secondary"
function Breaker:released(side) shared(self):released(side) end

--- The state, the seconds since when, and the seconds since the side last answered a call that
--- asked the breaker; the last is nil when none did since the machine started.
---@param side "primary"|"secondary"
---@return "closed"|"open"|"half_open", number, number|nil
function Breaker:state(side) return shared(self):state(side) end

--- True for one caller a second, of all processes of the project on this machine.
---@return boolean
function Breaker:beat_due() return shared(self):beat_due() end

function Breaker:close()
  if self.memory then self.memory:close() end
  self.memory = nil
end

return Breaker
