--- A process of the soak that lives many times: it is killed, stopped, dies at a step of its own,
--- and is started again.

local child = require "spec.support.child"
local core = require "dualdb.core"

local KILL, STOP, CONT = 9, 19, 18
local KILLED = { [137] = true }

---@class spec.soak.Process
local Process = {}
Process.__index = Process

---@param name string
---@param words fun(life: integer): string, string|nil   the arguments of `dualdb run`, and what is
---   added to its environment
---@param plan fun(life: integer): table     of schedule.life
---@param on_wrong fun(text: string)
function Process.new(name, words, plan, on_wrong)
  return setmetatable({
    name = name, words = words, plan_of = plan, on_wrong = on_wrong, life = 0, start_at = 0,
  }, Process)
end

function Process:start()
  self.life = self.life + 1
  self.plan = self.plan_of(self.life)
  self.stopped, self.wake_at = false, nil
  local words, more = self.words(self.life)
  local environment = self.plan.crash_at and ("DUALDB_CRASH_AT=%s DUALDB_CRASH_MODE=%s"):format(
    self.plan.crash_at, self.plan.crash_mode) or ""
  self.child = child.command(("env %s %s %s run %s"):format(more or "", environment,
    os.getenv "DUALDB_BIN", words))
end

local function state_of(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid))
  return file and file:read("a"):match("%) (%a)")
end

--- Takes note of its end.
function Process:bury()
  local text, status = self.child:finish()
  self.child = nil
  if status ~= 0 and not KILLED[status] then
    self.on_wrong(("%s ended with status %d: %s"):format(self.name, status, text))
  end
  return status
end

--- Looks after it: wakes it up when it stopped by itself, and starts it again when it is dead.
---@param log fun(text: string)
function Process:tend(now, may_start, log)
  if not self.child then
    if may_start and now >= self.start_at then self:start() end
    return
  end
  local state = state_of(self.child.pid)
  if state == "Z" or not state then
    self.start_at = now + self.plan.pause
    local status, killed = self:bury(), self.killed
    self.killed = false
    if killed or status == 0 then return end
    log(("%s has died at %s"):format(self.name, self.plan.crash_at or "?"))
    self.deaths = (self.deaths or 0) + 1
  elseif state == "T" and not self.stopped then
    if not self.wake_at then
      log(("%s has stopped at %s"):format(self.name, self.plan.crash_at or "?"))
      self.wake_at, self.deaths = now + self.plan.asleep, (self.deaths or 0) + 1
    elseif now >= self.wake_at then
      self.wake_at = nil
      self.child:signal(CONT)
    end
  end
end

function Process:kill()
  if not self.child then return end
  self.killed = true
  self.child:signal(KILL)
end

function Process:stop()
  if not self.child then return end
  self.stopped = true
  self.child:signal(STOP)
end

function Process:go_on()
  self.stopped = false
  if self.child then self.child:signal(CONT) end
end

function Process:alive()
  return self.child ~= nil and core.kill(self.child.pid, 0) and state_of(self.child.pid) ~= "Z"
end

return Process
