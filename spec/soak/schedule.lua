--- What befalls whom, and when: made from the seed alone, before anything runs.

local core = require "dualdb.core"
local Random = require "spec.soak.random"

local schedule = {}

local KINDS = {
  { "kill_client", 16 }, { "stop_client", 14 }, { "kill_recoverer", 5 }, { "stop_recoverer", 4 },
  { "kill_server", 6 }, { "restart_server", 3 }, { "stop_server", 8 }, { "cut", 8 }, { "hang", 7 },
  { "lag", 5 }, { "lose_answer", 14 },
}
local OF_PROCESSES = { table.unpack(KINDS, 1, 4) }

--- Statements whose answer gets lost.
local ANSWERS = {
  primary = {
    a1 = { "commit", "insert into dualdb_decision", "update", "rollback" },
    a2 = { "xa prepare", "xa end", "xa commit", "xa start", "update" },
  },
  secondary = {
    a1 = { "prepare transaction", "commit prepared", "begin", "update" },
    a2 = { "commit", "begin", "insert into dualdb_decision" },
  },
}
ANSWERS.primary.journaled = { "commit", "insert into dualdb_journal", "update" }
ANSWERS.secondary.journaled = { "commit", "begin", "update" }
ANSWERS.primary.available = ANSWERS.primary.a1
ANSWERS.secondary.available = ANSWERS.secondary.a1

--- Seconds for which a target is left alone afterwards.
local function rest(random, kind)
  if kind == "kill_server" or kind == "restart_server" then return random:real(5, 10) end
  return random:real(0.3, 2)
end

local function draw(random, way, clients, spare_servers)
  local kind = random:weighted(spare_servers and OF_PROCESSES or KINDS)
  local of_process = kind:find "_client" or kind:find "_recoverer"
  -- Without both servers strict writes do nothing that could go wrong.
  local fault = { kind = kind, seconds = random:real(0.2, of_process and 4 or 2) }
  local side = random:one_of { "primary", "secondary" }
  if kind:find("_client", 1, true) then
    fault.target = "client " .. random:integer(1, clients)
  elseif kind:find("_recoverer", 1, true) then
    fault.target = "recoverer"
  elseif kind:find("_server", 1, true) then
    fault.target, fault.side = side, side
  else
    fault.target, fault.side = "link " .. side, side
  end
  if kind == "lag" then fault.milliseconds = random:integer(5, 150) end
  if kind == "lose_answer" then
    fault.statement = random:one_of(ANSWERS[side][way])
    fault.nth = random:integer(1, 12)
    fault.how = random:one_of { "reset", "close", "hang" }
    fault.when = random:one_of { "answer", "answer", "sent", "request" }
  end
  return fault
end

--- The faults in order, each with `at` and `seconds`. Those of one target do not overlap.
---@param seed integer
---@param seconds number    that the soak takes
---@param way string
---@param clients integer
---@param spare_servers boolean   only clients and the recoverer are harmed
---@return table[]
function schedule.make(seed, seconds, way, clients, spare_servers)
  local random, list, free_at = Random.new(seed, 1), {}, {}
  local at = random:real(0.5, 1.5)
  while at < seconds - 1 do
    local fault = draw(random, way, clients, spare_servers)
    fault.at = at
    if (free_at[fault.target] or 0) <= at then
      list[#list + 1] = fault
      free_at[fault.target] = at + fault.seconds + rest(random, fault.kind)
    end
    at = at + random:real(0.1, 1.2)
  end
  return list
end

-- ---- the lives of processes ----

--- Steps at which a process of the soak can die: of the protocol, and others that it may pass.
local function steps_of(way, recovers)
  local of = { [way] = "own", journal = "others", resolve = "others" }
  if way == "available" then of.a1, of.primary_only, of.secondary_only = "own", "own", "own" end
  if recovers then of = { recovery = "own", replay = "others" } end
  local steps = { own = {}, others = {} }
  for _, step in ipairs(core.crash_points()) do
    local list = steps[of[step.name:match "^[^.]+"]]
    if list then list[#list + 1] = step.name end
  end
  return steps
end

--- How a life of a process goes: the step at which it dies or stops by itself (or none), and the
--- pauses before it wakes up and before the next life begins.
---@param seed integer
---@param number integer   of the process; 0 is the recoverer
---@param life integer
---@param way string
---@param often boolean    it dies early in most lives
function schedule.life(seed, number, life, way, often)
  local random = Random.new(seed, 1000000 + 1000 * number + life)
  local plan = { pause = random:real(0, 1), asleep = random:real(0.2, 4) }
  if random:chance(often and 0.9 or 0.6) then
    local steps = steps_of(way, number == 0)
    local step = random:one_of(random:chance(0.75) and steps.own or steps.others)
    local most = (number == 0 or often) and 4 or 30
    plan.crash_at = ("%s:%d"):format(step, random:integer(1, most))
    plan.crash_mode = random:chance(0.7) and "exit" or "stop"
  end
  return plan
end

--- One line that says what a fault is.
function schedule.text(fault)
  local more = fault.milliseconds and (" %d ms"):format(fault.milliseconds) or ""
  if fault.statement then
    more = (" %s, %s no. %d: %s"):format(fault.statement, fault.when, fault.nth, fault.how)
  end
  return ("%8.3f  %-14s %-15s for %.2f s%s"):format(fault.at, fault.kind, fault.target,
    fault.seconds, more)
end

return schedule
