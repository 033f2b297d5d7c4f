--- Ranges of a model that are compared at once. A lane is a coroutine, which has the range and its
--- connections; it waits while the engine's threads read and compare, and then another one goes on.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local key_range = require "dualdb.sync.key_range"
local spare = require "dualdb.spare"

local lanes = {}

--- Tables of fewer rows are compared in one range.
lanes.LEAST_ROWS = 100000
--- Lanes where nobody says how many; a connection of each side is one lane's.
local MOST_LANES, LANE_CONNECTIONS = 4, 1
--- Ranges for each lane: their rows are not spread evenly over the keys, and a lane whose range is
--- through takes the next.
local RANGES_OF_LANE = 4
--- Seconds between two looks.
local LOOK = 0.1

-- ---- how many, and of what ----

--- Refuses what is no number of lanes.
---@param wanted any
function lanes.check(wanted)
  if wanted == nil or math.type(wanted) == "integer" and wanted > 0 then return end
  errors.usage("verify: jobs: a whole number above 0 expected, got %s", tostring(wanted))
end

--- Lanes where nobody says how many: half of the processors, for the servers may be here too.
---@param db dualdb.Database
---@return integer
function lanes.default(db)
  return spare.lanes(db, math.min(core.processors() // 2, MOST_LANES), LANE_CONNECTIONS)
end

--- Whether ranges of a model can be compared at once: in the order of its keys, which can be cut in
--- the middle, and without a function that runs on this thread.
---@param spec dualdb.Spec
---@return boolean
function lanes.can_cut(spec)
  return spec.ordered and spec.estimated_rows >= lanes.LEAST_ROWS
    and not (spec.model.sync and spec.model.sync.transform)
    and key_range.splits(spec.key_kinds)
end

--- Cuts the keys of a model into ranges, in their order: one range when there is nothing to cut.
---@param db dualdb.Database
---@param spec dualdb.Spec
---@param count integer   lanes
---@return dualdb.KeyRange[]
function lanes.ranges(db, spec, count)
  local ranges = { { done = false } }
  if count == 1 then return ranges end
  local low, high = db.primary:with(key_range.ends, spec, "primary", ranges[1])
  if not low then return ranges end
  local function cut(at, from, to, parts)
    local upper = parts > 1 and key_range.split(ranges[at], from, to)
    if not upper then return end
    table.insert(ranges, at + 1, upper)
    local middle = upper.reached
    cut(at + 1, middle, to, parts - parts // 2)  -- first, since it moves nothing before it
    cut(at, from, middle, parts // 2)
  end
  cut(1, low, high, count * RANGES_OF_LANE)
  return ranges
end

-- ---- running them ----

--- Ends what is under way: its jobs are given up, its connections released.
local function close_all(running)
  for _, lane in ipairs(running) do coroutine.close(lane.thread) end
end

--- Lets a lane go on. Returns whether it is through.
local function resume(lane, ...)
  local ok, wait = coroutine.resume(lane.thread, ...)
  if not ok then error(wait, 0) end
  lane.wait = wait
  return coroutine.status(lane.thread) == "dead"
end

--- Waits until one of the lanes may go on, and looks at them all from time to time.
local function wait_for(running)
  local jobs, seconds = {}, LOOK
  for _, lane in ipairs(running) do
    if lane.wait.job then
      jobs[#jobs + 1] = lane.wait.job
    else
      seconds = math.min(seconds, lane.wait.until_time - core.clock())
    end
  end
  core.wait(jobs, math.max(0, seconds))
end

--- Calls fn with each of the items, `count` at a time. Where there are several, fn runs in a
--- coroutine: it waits with lanes.wait and lanes.sleep. What it raises ends all of them.
---@param count integer
---@param items any[]
---@param fn fun(item: any)
function lanes.run(count, items, fn)
  local running, next_item = {}, 1
  local guard <close> = setmetatable({}, { __close = function() close_all(running) end })
  while true do
    while #running < count and items[next_item] do
      local lane = { thread = coroutine.create(fn) }
      next_item = next_item + 1
      if not resume(lane, items[next_item - 1]) then running[#running + 1] = lane end
    end
    if #running == 0 then return end
    wait_for(running)
    for i = #running, 1, -1 do
      local wait = running[i].wait
      if (wait.job or core.clock() >= wait.until_time) and resume(running[i]) then
        table.remove(running, i)
      end
    end
  end
end

--- Waits, in a lane, until it is worth a look at what the job has told.
---@param job any    of core.start_compare
function lanes.wait(job) coroutine.yield { job = job } end

---@param seconds number
function lanes.sleep(seconds) coroutine.yield { until_time = core.clock() + seconds } end

return lanes
