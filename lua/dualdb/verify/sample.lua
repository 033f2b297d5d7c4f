--- A sample: rows of keys that are drawn over all that either side has, so that extra rows are
--- found as well as missing ones, and how much such a sample says.

local core = require "dualdb.core"
local draw = require "dualdb.verify.draw"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local policies = require "dualdb.policies"
local recheck = require "dualdb.recheck"
local unreadable = require "dualdb.unreadable"

local sample = {}

--- The keys of a sample are held in memory.
sample.MOST = 100000
local MOST_SEED = (1 << 31) - 1

---@class dualdb.Sample
---@field count integer            rows that were asked for
---@field rows integer             rows that were drawn; fewer when there are no more
---@field seed integer             with it, and on the same rows, the same are drawn again
---@field all boolean              there are no more
---@field drawn_by string          how
---@field confidence string|nil    what follows from it for all rows; nil: nothing does

--- Checks the options of a sample; a seed is chosen when none is given.
---@param options { sample: integer|nil, seed: integer|nil }
---@return { count: integer, seed: integer }|nil
function sample.options(options)
  local count, seed = options.sample, options.seed
  if count == nil then
    if seed ~= nil then errors.usage("verify: a seed without a sample") end
    return nil
  end
  if math.type(count) ~= "integer" or count < 1 or count > sample.MOST then
    errors.usage("verify: sample: a number of rows from 1 to %d expected, got %s", sample.MOST,
      tostring(count))
  end
  if seed ~= nil and math.type(seed) ~= "integer" then
    errors.usage("verify: seed: a whole number expected, got %s", tostring(seed))
  end
  return { count = count, seed = seed or math.random(0, MOST_SEED) }
end

--- Tells the differences in the rows of the keys.
local function compare_rows(job, keys, crossing)
  local spec, last = job.spec, 0
  local cross = fetch.crosser(spec, crossing)
  while last < #keys do
    local from = last + 1
    local primary, secondary
    primary, secondary, last = fetch.both(job.conns, spec.tested or spec, keys, from)
    for i = from, last do
      local key = keys[i]
      local found = recheck.judge(spec, cross, key, primary[key], secondary[key])
      if found then
        job.suspect(found.kind, key, found.primary and core.digest(found.primary),
          found.secondary and core.digest(found.secondary))
      end
    end
  end
end

--- The method that compares a sample.
---@param job dualdb.VerifyJob
---@param options { count: integer, seed: integer }
---@return { rows_primary: integer, rows_secondary: integer, chunks: integer,
---   policies: table<string, integer> }
function sample.compare(job, options)
  local drawn = draw.keys(job, options.count, options.seed)
  local result = { rows_primary = 0, rows_secondary = 0, chunks = 1 }
  local readable = {}
  for _, key in ipairs(drawn.keys) do
    for side, on in pairs(drawn.on) do
      if on[key] then result["rows_" .. side] = result["rows_" .. side] + 1 end
    end
    if unreadable.key(job.spec, key) then  -- no statement can ask for it
      job.suspect(drawn.on.primary[key] and "missing" or "extra", key)
    else
      readable[#readable + 1] = key
    end
  end
  local crossing = policies.crossing(job.spec)
  compare_rows(job, readable, crossing)
  job.report.sample = {
    count = options.count, rows = #drawn.keys, seed = options.seed, drawn_by = drawn.by,
    all = drawn.all or false,
  }
  job.report.method = "sample"
  table.insert(job.report.narrowed, ("sample of %d rows"):format(#drawn.keys))
  job.chunk { rows_primary = result.rows_primary, rows_secondary = result.rows_secondary }
  result.policies = crossing:counts()
  return result
end

--- The method that compares one drawing.
---@param options { count: integer, seed: integer }
function sample.method(options)
  return { compare = function(job) return sample.compare(job, options) end }
end

--- Says what follows from a sample for all rows, once its report has been judged. Only when nothing
--- differs: three in the number of rows is an upper limit then, with 95 % confidence.
---@param report dualdb.Report
function sample.conclude(report)
  local drawn = report.sample
  if not drawn or report.verdict ~= "equal" or drawn.rows < 3 then return end
  drawn.confidence = drawn.all and "every row was compared"
    or ("with 95 %% confidence at most %.3g %% of the rows differ"):format(300 / drawn.rows)
end

return sample
