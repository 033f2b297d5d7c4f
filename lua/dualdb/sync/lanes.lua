--- Several models over several lanes at a time: who takes which chunk, and what becomes of one that
--- fails. Everything here is on one thread; it waits for the engine's.

local by_keys = require "dualdb.sync.by_keys"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local Lane = require "dualdb.sync.lane"
local load = require "dualdb.sync.load"
local refresh = require "dualdb.sync.refresh"
local order = require "dualdb.order"
local politeness = require "dualdb.sync.politeness"
local settle = require "dualdb.settle"
local statements = require "dualdb.sync.statements"
local to_primary = require "dualdb.sync.to_primary"

---@class dualdb.Lanes
---@field db dualdb.Database
---@field options dualdb.SyncOptions
---@field lanes dualdb.Lane[]
---@field tasks dualdb.SyncTask[]       those that were opened
---@field waiting string[]              models that were not
---@field alone table[]                 what may run only while no lane holds a lock
---@field open_task fun(name: string): dualdb.SyncTask|nil
---@field polite dualdb.Politeness
---@field claims dualdb.Claims
---@field paused_until number|nil      no chunk begins before
local Lanes = {}
Lanes.__index = Lanes

local lanes = {}

--- Seconds between two looks, while something is under way and while not; between two tries at
--- most.
local LOOK, IDLE, MOST_WAIT = 0.1, 0.01, 2
--- How often a chunk is tried again for what may pass.
local MOST_TRIES = 12
--- Rows that are brought over by their keys before chunks are tried again.
local FEW = 10000
--- Another row has the key.
local DUPLICATE = "23505"

--- Chunks of a model, by the direction and by what is done.
local function kind_of(task)
  if not task.forwards then return to_primary[task.mode] end
  return task.mode == "load" and load or refresh
end

--- The lane's connection to the side that is read.
local function source_of(lane, task)
  return lane:conn(task.forwards and "primary" or "reader")
end

---@param db dualdb.Database
---@param count integer
---@param options dualdb.SyncOptions
---@param claimed dualdb.Claims
---@return dualdb.Lanes
function lanes.new(db, count, options, claimed)
  local self = setmetatable({
    db = db, options = options, claims = claimed, lanes = {}, tasks = {}, waiting = {}, alone = {},
  }, Lanes)
  self.polite = politeness.new(db, { max_rate = options.max_rate, max_lag = options.max_lag,
    throttle = options.throttle })
  for i = 1, count do self.lanes[i] = Lane.new(db, i) end
  return self
end

function Lanes:close()
  for _, lane in ipairs(self.lanes) do lane:close() end
  self.polite:close()
end
Lanes.__close = Lanes.close

-- ---- what fails ----

--- Seconds until the next try: full jitter, so that two that met do not meet again.
local function backoff(tries)
  return math.random() * math.min(MOST_WAIT, 0.05 * 2 ^ tries)
end

--- Whether what failed may be tried again: what passes by itself, for some time.
local function may_pass(self, range, err)
  if not err.retryable or self.options.snapshot and err.side == "primary" then return false end
  if err.class == "unavailable" then
    range.down_since = range.down_since or core.clock()
    return core.clock() - range.down_since < self.db.policy.deadline
  end
  return range.tries <= MOST_TRIES
end

--- A chunk has failed, and nothing of it is left.
function Lanes:failed(task, range, err, limit)
  range.taken = false
  if err.class == "canceled" then error(err, 0) end
  if task.forwards and task.mode == "load" and err.sqlstate == DUPLICATE
     and not range.merged then
    task.meets_writers = true  -- a writer was first: the rows are merged from now on
  elseif task.forwards and task.is_of_row(err) then
    range.taken = true
    self.alone[#self.alone + 1] = function()
      by_keys.tell(task, err)
      self:go_by_keys(task, range, limit)
    end
  else
    range.tries = (range.tries or 0) + 1
    if not may_pass(self, range, err) then
      task.error = task.error or err
    else
      range.not_before = core.clock() + backoff(range.tries)
      if err.class == "transient" then
        task.pace:yield()
        -- A prepared transaction of a writer that has died holds its locks until it is ended.
        if range.tries % 4 == 1 then pcall(self.db.recover, self.db) end
      end
    end
  end
end

--- Runs fn; what it raises is the chunk's failure. Returns whether it did not.
function Lanes:try(lane, task, range, fn)
  local ok, err = pcall(fn)
  if ok then return true end
  err = errors.wrap(err)
  local limit = lane.work and lane.work.limit
  local reached = lane.work and lane.work.through
  range.merged = lane.work and lane.work.merges or false
  task.active = math.max(0, task.active - 1)
  lane:abandon()
  range.chunk_through = reached
  self:failed(task, range, err, limit)
  return false
end

--- A chunk of which the secondary has refused a row, while no lane holds a lock.
function Lanes:go_by_keys(task, range, limit)
  local ok, err = pcall(function()
    self.claims:keep(task.name)
    local after = { id = range.id, through = range.through }
    local read, waiting = task.result.rows_read, task.job.waiting.count
    if task.whole then
      by_keys.compare(task, nil, nil, self.options.progress)
      after.reached, after.done = nil, true
    elseif task.mode == "load" then
      local last, done = by_keys.load(task, range, math.min(limit or FEW, FEW))
      after.reached, after.done = last or range.reached, done
    else
      local through = range.chunk_through
      by_keys.compare(task, range.reached, through or range.through)
      after.reached, after.done = through or range.reached, through == nil
    end
    range.waits = range.waits or task.job.waiting.count > waiting
    local counts = { read = task.result.rows_read - read, written = 0, deleted = 0 }
    self.db.secondary:transaction(function(conn) task:note(conn, after, counts) end)
    range.reached, range.done = after.reached, after.done
  end)
  range.taken = false
  if ok then return end
  err = errors.wrap(err)
  if task.is_of_row(err) then
    task.error = task.error or err  -- rows went one by one: what is left is not one's own
  else
    self:failed(task, range, err)
  end
end

-- ---- chunks ----

--- Begins a chunk of the range on the lane.
function Lanes:begin(lane, task, range)
  range.taken = true
  task.active = task.active + 1
  self:try(lane, task, range, function()
    self.claims:keep(task.name)
    kind_of(task).begin(lane, task, range)
  end)
end

--- A chunk is through, or has failed.
function Lanes:finish(lane)
  local work = lane.work
  local task, range = work.task, work.range
  local counts
  if not self:try(lane, task, range, function() counts = work.kind.finish(lane) end) then return end
  work.job:close()
  self.polite:took(counts.bytes, counts.rows, core.clock() - work.started)
  task:took(lane, counts)
  lane.work, range.taken = nil, false
  range.tries, range.not_before, range.down_since = 0, nil, nil
  task.active = task.active - 1
  if self:is_idle(lane) and counts.full and not self.options.snapshot then
    self:try(lane, task, range, function()
      task.active = task.active + 1
      task:split(source_of(lane, task), range)
      task.active = task.active - 1
    end)
  end
end

--- Whether another lane has nothing to do.
function Lanes:is_idle(than)
  for _, lane in ipairs(self.lanes) do
    if lane ~= than and not lane.work then return true end
  end
  return false
end

-- ---- what comes next ----

--- A chunk of a model that is under way; those that were begun first are first.
function Lanes:next_chunk()
  local now = core.clock()
  for _, task in ipairs(self.tasks) do
    local range = not task.by_keys and task:free_range(now)
    if range then return task, range end
  end
end

--- Rows that are brought over by their keys keep all lanes from beginning anything new.
function Lanes:take_by_keys(task)
  local range = task.ranges[1]
  self.alone[#self.alone + 1] = function()
    local ok, err = pcall(function()
      self.claims:keep(task.name)
      local progress = self.options.progress
      if not task.forwards then return by_keys.repair(task) end
      if task.mode == "load" and task.transform and #task.written.indexes == #task.spec.columns then
        local copied, refusal = by_keys.copy(task, progress)
        if copied then return end
        by_keys.tell(task, refusal)
      end
      by_keys.compare(task, nil, nil, progress)
    end)
    range.done = true
    if ok then return end
    err = errors.wrap(err)
    if err.class == "canceled" then error(err, 0) end
    range.tries = (range.tries or 0) + 1
    if not may_pass(self, range, err) then
      task.error = err
      return
    end
    core.sleep(backoff(range.tries))
    range.done = false
    self:take_by_keys(task)
  end
end

--- Whether all rows that the model's rows refer to are over, and none of them waits for others.
local function is_ready(self, name)
  for _, parent in ipairs(self.parents[name]) do
    local task = self.is_over[parent]
    if not task or task.job and not settle.is_done(task.job) then return false end
  end
  return true
end

--- The next model that nothing stands before; nil when there is none now. When all lanes are idle
--- waiting does not help.
function Lanes:next_name()
  for i, name in ipairs(self.waiting) do
    if is_ready(self, name) then return table.remove(self.waiting, i) end
  end
  for _, lane in ipairs(self.lanes) do
    if lane.work then return nil end
  end
  for _, task in ipairs(self.tasks) do
    if task.phase ~= "done" then return nil end
  end
  return table.remove(self.waiting, 1)
end

--- Whether the next chunk of the model has to wait: for the rate, the throttle, or the servers.
function Lanes:has_to_wait(task)
  local now, result = core.clock(), task.result
  if self.paused_until and now < self.paused_until then return true end
  local ok, seconds, reason = pcall(self.polite.pause, self.polite, {
    model = task.name, rows = result.rows_read, bytes = result.bytes, seconds = now - task.started,
  })
  if not ok then
    local err = errors.wrap(seconds)
    if err.class == "canceled" then error(err, 0) end
    task.error = task.error or err
    return true
  end
  self.paused_until = seconds > 0 and now + seconds or nil
  local meter = self.options.meter
  if meter then meter:pause(reason and politeness.describe(reason) or nil) end
  return seconds > 0
end

--- Gives the lane something to do, if there is anything. Models that are under way come first, then
--- statements, then the next model.
function Lanes:assign(lane)
  if #self.alone > 0 then return end
  local task, range = self:next_chunk()
  if task then
    if self:has_to_wait(task) then return end
    return self:begin(lane, task, range)
  end
  if statements.begin(self, lane) then return end
  local name = self:next_name()
  if not name then return end
  task = self.open_task(name)
  if not task then
    self.is_over[name] = {}  -- it has no rows to wait for
    return
  end
  self.tasks[#self.tasks + 1] = task
  if task.by_keys then return self:take_by_keys(task) end
  if self:try(lane, task, task.ranges[1], function()
    task.active = task.active + 1
    statements.set_aside(task)
    task:spread(source_of(lane, task), #self.lanes)
    task.active = task.active - 1
  end) then
    range = task:free_range(core.clock())
    if range and not self:has_to_wait(task) then self:begin(lane, task, range) end
  end
end

--- Whether all rows of a model are over; then its indexes are next.
local function advance(self, task)
  if task.phase ~= "rows" or task.active > 0 or not (task.error or task:has_all_rows()) then
    return
  end
  task.phase = "indexes"
  self.is_over[task.name] = task
  statements.plan(task)
  if not settle.is_done(task.job) and #self.waiting > 0 then
    -- Rows that refer to each other in a circle go once both are there: others may refer to them.
    self.alone[#self.alone + 1] = function()
      local jobs = {}
      for _, other in ipairs(self.tasks) do
        if not settle.is_done(other.job) then jobs[#jobs + 1] = other.job end
      end
      settle.early(jobs)
    end
  end
end

local function running(self)
  local list = {}
  for _, lane in ipairs(self.lanes) do
    if lane.work then list[#list + 1] = lane end
  end
  return list
end

local function has_more(self)
  if #self.waiting > 0 or #self.alone > 0 then return true end
  for _, task in ipairs(self.tasks) do
    if task.phase ~= "done" then return true end
  end
  return false
end

--- Rows and bytes of a model, with those of chunks that are under way.
local function so_far_of(self, task)
  local rows, bytes = task.result.rows_read, task.result.bytes
  for _, lane in ipairs(self.lanes) do
    local job = lane.work and lane.work.task == task and lane.work.range and lane.work.job
    local so_far = job and job:progress()
    if so_far then
      rows = rows + (so_far.rows_read or so_far.rows_source)
      bytes = bytes + so_far.bytes
    end
  end
  return rows, bytes
end

local PHASES = { load = "copy", refresh = "compare" }

--- Shows a model on a meter, as long as it is under way.
local function show(self, task, rows, bytes)
  local meter = self.options.meter
  if not meter or task.is_shown then return end
  task.handle = task.handle or meter:table(task.name)
  if task.phase == "done" then
    local result = task:sum()
    task.handle:finish { rows_read = result.rows_read, rows_written = result.rows_written }
    task.is_shown = true
  else
    task.handle:update {
      rows = rows, of = task.spec.estimated_rows, bytes = bytes,
      phase = task.phase == "indexes" and "indexes" or PHASES[task.mode],
    }
  end
end

local function report(self)
  local progress = self.options.progress
  if not progress and not self.options.meter then return end
  for _, task in ipairs(self.tasks) do
    local rows, bytes = so_far_of(self, task)
    if progress and task.phase == "rows" and not task.by_keys then
      progress { model = task.name, rows = rows, of = task.spec.estimated_rows, bytes = bytes }
    end
    show(self, task, rows, bytes)
  end
end

--- Runs until the models are through, or have failed.
---@param names string[]
---@param open_task fun(name: string): dualdb.SyncTask|nil
function Lanes:run(names, open_task)
  self.waiting, self.open_task = { table.unpack(names) }, open_task
  self.parents, self.is_over = order.parents(self.db, names), {}
  while true do
    for _, lane in ipairs(self.lanes) do
      if not lane.work then self:assign(lane) end
    end
    local busy = running(self)
    if #busy == 0 and #self.alone > 0 then
      table.remove(self.alone, 1)()
    elseif #busy == 0 and not has_more(self) then
      return
    end
    local jobs = {}
    for i, lane in ipairs(busy) do jobs[i] = lane.work.job end
    core.wait(jobs, #busy > 0 and LOOK or IDLE)
    for _, lane in ipairs(busy) do
      if lane.work.job:is_done() then
        if lane.work.range then self:finish(lane) else statements.finish(lane) end
      else
        lane:take_refusals()
      end
    end
    for _, task in ipairs(self.tasks) do advance(self, task) end
    report(self)
  end
end

return lanes
