--- The ranges of a model's keys, each compared from behind its last chunk to its end. When a server
--- is lost in the middle the comparison connects again and goes on, as long as the deadline of the
--- policy has not passed since the last chunk; what stays unread is not verified, and says why.

local connections = require "dualdb.verify.connections"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local lanes = require "dualdb.verify.lanes"

local ranges = {}

--- Seconds between two tries, growing.
local FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2

---@class dualdb.Unverified      a stretch of keys that could not be compared
---@field range integer
---@field reached string|nil     it is behind this key
---@field through string|nil
---@field reason string
---@field error dualdb.Error

-- ---- one range ----

--- Whether a method may try again after an error.
local function may_pass(self, err)
  if not connections.PASSING[err.class] or not self.progressed then return false end
  return core.clock() - self.last_chunk < self.job.db.policy.deadline
end

--- Runs the method on what is left of a range, or on a part of that: a statement is open for so
--- long only.
local function attempt(self, range, writer, conns)
  local base, ahead = self.job, { rows = 0, differences = 0 }
  self.ahead[range] = ahead
  local job = setmetatable({
    conns = conns, range = { reached = range.reached, through = range.through },
    suspect = function(...) writer:add(...) end,
    chunk = function(chunk)
      if chunk.reason then
        writer:drop()
        self:give_up(chunk.through and self.part:leave_out(range, chunk.through) or range,
          chunk.reason)
        range.done = not chunk.through
        return
      end
      writer:finish(chunk)
      self.progressed, self.last_chunk = true, core.clock()
      self.rows, ahead.rows = self.rows + chunk.rows_primary, 0
    end,
    progress = base.progress and function(so_far)
      ahead.rows, ahead.differences = so_far.rows_primary, so_far.differences
      self:tell_progress()
    end,
    wait = self.lanes > 1 and lanes.wait or nil,
  }, { __index = base })
  local result = self.method.compare(job)
  if result.policies then self.part:add_policies(result.policies) end
end

local function compare(self, range)
  local writer, pause = self.part:writer(range), FIRST_PAUSE
  while not range.done do
    local before = range.chunks
    local ok, err = pcall(connections.with, self.job.db, function(conns)
      attempt(self, range, writer, conns)
    end)
    self:forget_ahead(range)
    if range.chunks > before then pause = FIRST_PAUSE end
    if not ok then
      writer:drop()
      err = errors.wrap(err)
      if err.class == "canceled" or err.class == "usage" then error(err, 0) end
      if not may_pass(self, err) then
        self:give_up(range, tostring(err), err)
        return
      end
      if self.lanes > 1 then lanes.sleep(pause) else core.sleep(pause) end
      pause = math.min(2 * pause, LONGEST_PAUSE)
    end
  end
end

-- ---- all of them ----

local Comparison = {}
Comparison.__index = Comparison

--- What is left of a range is not verified.
function Comparison:give_up(range, reason, err)
  self.unverified[#self.unverified + 1] = {
    range = range.id, reached = range.reached, through = range.through, reason = reason,
    error = err,
  }
end

--- What was read of a range and is in no chunk will be read again, if at all.
function Comparison:forget_ahead(range)
  local ahead = self.ahead[range]
  if ahead then self.differences = self.differences + ahead.differences end
  self.ahead[range] = nil
end

--- Tells how far all ranges are together.
function Comparison:tell_progress()
  local rows, differences = self.rows, self.differences
  for _, ahead in pairs(self.ahead) do
    rows, differences = rows + ahead.rows, differences + ahead.differences
  end
  self.job.progress { rows = rows, differences = differences }
end

--- Compares what is left of a model.
---@param job table              a VerifyJob without connections, range, suspect and chunk
---@param part dualdb.VerifyPart
---@param method { compare: fun(job: dualdb.VerifyJob): table }
---@param count integer          ranges that are compared at once; 1: on this thread
---@return { unverified: dualdb.Unverified[], progressed: boolean }
function ranges.compare(job, part, method, count)
  local self = setmetatable({
    job = job, part = part, method = method, lanes = count, unverified = {}, rows = 0,
    differences = 0, ahead = {}, progressed = false, last_chunk = core.clock(),
  }, Comparison)
  for _, range in ipairs(job.ranges) do
    if range.chunks > 0 then self.progressed = true end
  end
  if count > 1 then
    lanes.run(count, job.ranges, function(range) compare(self, range) end)
  else
    for _, range in ipairs(job.ranges) do compare(self, range) end
  end
  return self
end

return ranges
