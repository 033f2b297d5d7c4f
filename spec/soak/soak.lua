--- The soak: clients write while a nemesis harms them, the servers and the network between; then
--- everything is healed, and what is there is compared with what the clients were told. Run by
--- scripts/soak.sh.
---
--- environment: SOAK_SECONDS SOAK_SEED SOAK_WAY SOAK_CLIENTS SOAK_FAULTS SOAK_DIRECTORY, and the
--- sandbox's

local checker = require "spec.soak.checker"
local child = require "spec.support.child"
local core = require "dualdb.core"
local Process = require "spec.soak.process"
local Proxy = require "spec.support.proxy"
local sandbox = require "dualdb.sandbox"
local schedule = require "spec.soak.schedule"
local tables = require "spec.soak.tables"

local seconds = tonumber(os.getenv "SOAK_SECONDS")
local seed = math.tointeger(tonumber(os.getenv "SOAK_SEED"))
local way, directory = os.getenv "SOAK_WAY", os.getenv "SOAK_DIRECTORY"
local clients = math.tointeger(tonumber(os.getenv "SOAK_CLIENTS"))
local spare_servers = os.getenv "SOAK_FAULTS" == "processes"
local SIDES = { "primary", "secondary" }

if not (seconds and seed and clients and tables.WAYS[way]) then
  io.stderr:write("soak: MINUTES, SEED and CLIENTS are numbers; PROTOCOL is a1, a2, journaled or ",
    "available\n")
  os.exit(2)
end

io.stdout:setvbuf "line"
local violations, known, paths = 0, {}, {}
local started = core.clock()

local function log(text) print(("%8.3f  %s"):format(core.clock() - started, text)) end

--- What was seen many times is one violation.
local function found(text)
  if known[text] then return end
  known[text] = true
  violations = violations + 1
  if violations <= 50 then print("VIOLATION  " .. text) end
end

-- ---- the processes ----

local proxies = {}

local function notes_of(name)
  local path = ("%s/%s.notes"):format(directory, name:gsub(" ", "-"))
  paths[#paths + 1] = path
  return path
end

--- The arguments of `dualdb run` for one of the programs beside this one.
local function program(name, ...)
  return ("spec/soak/%s.lua %s"):format(name, table.concat({ ... }, " "))
end

--- Those who write see the servers by way of the proxies.
local function by_proxy(words)
  return function(life)
    return words(life), ("DUALDB_PRIMARY_URL=%s DUALDB_SECONDARY_URL=%s"):format(
      proxies.primary.url, proxies.secondary.url)
  end
end

local function make_processes(ends_at)
  local processes = {}
  local function add(name, number, words)
    local function plan(life)
      if not number then return { pause = 0, asleep = 0 } end
      return schedule.life(seed, number, life, way, spare_servers)
    end
    processes[name] = Process.new(name, words, plan, found)
  end
  for i = 1, clients do
    local path = notes_of("client " .. i)
    add("client " .. i, i, by_proxy(function(life)
      return program("client", way, seed, i, life, path, ends_at)
    end))
  end
  local recovered, looked = notes_of "recoverer", notes_of "sampler"
  add("recoverer", 0, by_proxy(function() return program("recoverer", way, recovered, ends_at) end))
  add("sampler", nil, function() return program("sampler", way, looked, ends_at) end)
  return processes
end

-- ---- the faults: begin, and end when their time is over ----

local function bounce(fault, signal)
  fault.process = child.command(("%s run %s"):format(os.getenv "DUALDB_BIN",
    program("bounce", fault.side, signal, fault.seconds)))
end

local function reconnect(fault)
  proxies[fault.side]:clear()
  proxies[fault.side]:down()
  proxies[fault.side]:up()
end

local BEGIN, END = {}, {}

function BEGIN.kill_client(_, process) process:kill() end
function BEGIN.stop_client(_, process) process:stop() end
function END.stop_client(_, process) process:go_on() end
BEGIN.kill_recoverer, BEGIN.stop_recoverer = BEGIN.kill_client, BEGIN.stop_client
END.stop_recoverer = END.stop_client

function BEGIN.kill_server(fault) bounce(fault, "KILL") end
function BEGIN.restart_server(fault) bounce(fault, "''") end
function BEGIN.stop_server(fault) sandbox.stop(fault.side, "STOP") end
function END.stop_server(fault) sandbox.stop(fault.side, "CONT") end

-- Every connection is reset, and new ones are refused.
function BEGIN.cut(fault) proxies[fault.side]:down() end
function END.cut(fault) proxies[fault.side]:up() end

-- Nothing passes, and nobody is told; in the end both ends learn of it.
function BEGIN.hang(fault) proxies[fault.side]:rule { "", what = "hang", nth = 0 } end
END.hang = reconnect

function BEGIN.lag(fault) proxies[fault.side]:lag(fault.milliseconds) end
function END.lag(fault) proxies[fault.side]:lag(0) end

function BEGIN.lose_answer(fault)
  proxies[fault.side]:rule { fault.statement, when = fault.when, what = fault.how, nth = fault.nth }
end
function END.lose_answer(fault)
  if fault.how == "hang" then reconnect(fault) else proxies[fault.side]:clear() end
end

local function end_fault(fault, processes)
  if END[fault.kind] then END[fault.kind](fault, processes[fault.target]) end
end

--- Waits for a server that is being started again.
local function finish_bounce(fault)
  local text, status = fault.process:finish()
  fault.process = nil
  if status ~= 0 then found(("%s: status %d: %s"):format(fault.kind, status, text)) end
end

local function run_schedule(faults, processes, ends_at)
  local next_fault, running, count = 1, {}, 0
  while core.clock() < ends_at do
    local now = core.clock()
    local fault = faults[next_fault]
    if fault and now - started >= fault.at then
      next_fault = next_fault + 1
      log(schedule.text(fault))
      BEGIN[fault.kind](fault, processes[fault.target])
      count = count + 1
      running[#running + 1] = fault
    end
    for i = #running, 1, -1 do
      if now - started >= running[i].at + running[i].seconds then
        end_fault(table.remove(running, i), processes)
      end
    end
    for _, process in pairs(processes) do process:tend(now, ends_at - now > 1, log) end
    core.sleep(0.02)
  end
  for _, fault in ipairs(running) do end_fault(fault, processes) end
  for _, fault in ipairs(faults) do
    if fault.process then finish_bounce(fault) end
  end
  return count
end

-- ---- afterwards ----

--- Every process ends its last operation; one that does not is killed.
local function end_processes(processes)
  local limit = core.clock() + 30
  for _, process in pairs(processes) do process:go_on() end
  repeat
    local alive = false
    for _, process in pairs(processes) do
      process:tend(core.clock(), false, log)
      alive = alive or process:alive()
    end
    core.sleep(0.05)
  until not alive or core.clock() > limit
  for name, process in pairs(processes) do
    if process:alive() then
      found(name .. " does not end")
      process:kill()
      process:bury()
    end
  end
end

--- Calls step() until it returns true; what it raised last is a violation when the time is up.
local function insist(what, limit, step)
  local ends_at = core.clock() + limit
  while true do
    local ok, done = pcall(step)
    if ok and done then return true end
    if core.clock() > ends_at then
      found(("%s does not end: %s"):format(what, tostring(done)))
      return false
    end
    core.sleep(0.2)
  end
end

local function heal(db)
  for _, side in ipairs(SIDES) do sandbox.start(side) end
  insist("recovery", 30, function()
    local list, failures = db:recover()
    for _, item in ipairs(list) do
      log(("%s is %s%s"):format(item.gid, item.outcome,
        item.error and ": " .. tostring(item.error) or ""))
    end
    if failures[1] then error(failures[1], 0) end
    return #list == 0
  end)
  insist("replay", 60, function()
    local left = 0
    for _, result in ipairs(db:journal():replay { strategy = tables.WAYS[way].strategy }) do
      left = left + result.left + result.conflicts + result.quarantined
      if result.error then error(result.error, 0) end
    end
    return left == 0
  end)
end

local function main()
  local db <close> = tables.open(way)
  tables.make(db)
  for _, side in ipairs(SIDES) do proxies[side] = Proxy.start(side) end
  local faults = schedule.make(seed, seconds, way, clients, spare_servers)
  started = core.clock()
  local ends_at = started + seconds
  local processes = make_processes(ends_at)
  for _, path in ipairs(paths) do assert(io.open(path, "w")):close() end
  local count = run_schedule(faults, processes, ends_at)
  end_processes(processes)
  for _, process in pairs(processes) do count = count + (process.deaths or 0) end
  heal(db)
  local told, looks = checker.run(db, way, paths, found)
  print(("%d acknowledged, %d refused, %d unknown; %d looks while it ran"):format(told.done,
    told.refused, told.unknown, looks))
  if told.done == 0 then found "nothing was written" end
  print(("soak: %d transactions, %d faults, violations = %d (seed %d, %s)"):format(told.done, count,
    violations, seed, way))
  for _, side in ipairs(SIDES) do proxies[side]:stop() end
end

main()
os.exit(violations == 0 and 0 or 1, true)
