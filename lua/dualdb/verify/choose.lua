--- Which method compares a model. Unless a person says which, a few rows are read both ways, and
--- the method that takes less time a row is chosen: over a slow link the one that brings over sums.

local both = require "dualdb.verify.pushdown.both"
local core = require "dualdb.core"
local digest = require "dualdb.verify.pushdown.digest"
local errors = require "dualdb.errors"
local pushdown = require "dualdb.verify.pushdown"
local stream = require "dualdb.verify.stream"

local choose = {}

--- Tables of fewer rows are read before it is known what would have been faster.
choose.SMALL = 100000
--- Rows by which a method is measured, few and many: what a statement takes in any case, such as
--- its way over the link, is in both and does not count.
local ROWS = { stream = { 4096, 40960 }, pushdown = { 4096, 49152 } }

local function some(spec, side, limit)
  return ("%s limit %d"):format(spec.statements[side]:scan(nil, spec.ordered), limit)
end

local RUN = {}

--- Reads and compares as many rows of both sides, at once.
function RUN.stream(job, rows)
  local spec = job.spec
  core.compare {
    primary = job.conns.primary, secondary = job.conns.secondary,
    primary_query = some(spec, "primary", rows), secondary_query = some(spec, "secondary", rows),
    kinds = spec.kinds, key_columns = spec.key_count, ordered = spec.ordered,
    expected_rows = rows, digests = true, difference = function() end,
  }
end

--- Has both sides digest as many rows, at once.
function RUN.pushdown(job, rows)
  both.fetch(job.conns, both.queries(function(side)
    return digest.some(job.spec, side, rows)
  end))
end

---@class dualdb.Measured    microseconds a row
---@field stream number
---@field pushdown number

--- Measures both methods on the first rows of both sides.
---@param job dualdb.VerifyJob
---@return dualdb.Measured
function choose.measure(job)
  local measured = {}
  for _, method in ipairs { "stream", "pushdown" } do
    local seconds = {}
    for i, rows in ipairs(ROWS[method]) do
      local started = core.clock()
      RUN[method](job, rows)
      seconds[i] = core.clock() - started
    end
    local few, many = table.unpack(ROWS[method])
    measured[method] = math.max(seconds[2] - seconds[1], 0) / (many - few) * 1e6
  end
  return measured
end

--- The faster method, and what was measured.
---@param measured dualdb.Measured
---@return "stream"|"pushdown", string
function choose.faster(measured)
  return measured.pushdown < measured.stream and "pushdown" or "stream",
    ("measured: stream %.1f us a row, pushdown %.1f us"):format(measured.stream, measured.pushdown)
end

--- The method for a model, and why it is that one; no reason where a person said so.
local function decide(job, wanted)
  if wanted == "stream" then return "stream", nil end
  local refusal = pushdown.refusal(job.spec)
  if refusal then return "stream", "no pushdown: " .. refusal end
  if wanted == "pushdown" then return "pushdown", nil end
  if job.spec.estimated_rows < choose.SMALL then
    return "stream", ("not measured: a table of fewer than %d rows"):format(choose.SMALL)
  end
  return choose.faster(choose.measure(job))
end

local METHODS = { stream = stream, pushdown = pushdown }

local function tell(report, part)
  if part.method == "pushdown" then report.method = part.method end
  report.method_reason = part.method_reason
end

---@class dualdb.ChosenMethod
---@field settle fun(job: dualdb.VerifyJob): "stream"|"pushdown"   decides, and says which it is
---@field compare fun(job: dualdb.VerifyJob): table

--- The method that compares a model: which one it is, is decided when there is something to
--- compare, and stays so when the run goes on.
---@param report dualdb.Report   is told of it
---@param part dualdb.VerifyPart
---@param wanted "auto"|"stream"|"pushdown"|nil
---@return dualdb.ChosenMethod
function choose.method(report, part, wanted)
  wanted = wanted or "auto"
  if wanted ~= "auto" and not METHODS[wanted] then
    errors.usage('verify: method: "auto", "stream" or "pushdown" expected, got %s',
      tostring(wanted))
  end
  if part.method then tell(report, part) end
  local function settle(job)
    if not part.method then
      part:choose(decide(job, wanted))
      tell(report, part)
    end
    return part.method
  end
  return { settle = settle, compare = function(job) return METHODS[settle(job)].compare(job) end }
end

return choose
