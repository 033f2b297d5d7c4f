--- Verify: are the two tables of a model equal? A method compares them, every difference that it
--- sees is confirmed, and the report judges.

local confirm = require "dualdb.verify.confirm"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local narrow = require "dualdb.verify.narrow"
local Report = require "dualdb.verify.report"
local sample = require "dualdb.verify.sample"
local Spool = require "dualdb.spool"
local stream = require "dualdb.verify.stream"

local verify = {}

---@class dualdb.VerifyJob      what a method is given
---@field db dualdb.Database
---@field spec dualdb.Spec      already narrowed (columns, filter)
---@field report dualdb.Report
---@field conns { primary: any, secondary: any }   acquired connections
---@field range dualdb.KeyRange|nil   ordered models: the keys to compare; nil: the whole table
---@field filter table<"primary"|"secondary", string|nil>   SQL conditions
---@field suspect fun(kind: string, key: string, primary: string|nil, secondary: string|nil)
---             a difference that was seen, not yet confirmed; rows by their core.digest, or nil
---@field chunk fun(chunk: dualdb.VerifiedChunk)   a chunk is through, and its suspects were given
---@field progress fun(so_far: { rows_primary: integer, differences: integer })|nil

---@class dualdb.VerifiedChunk
---@field through string|nil    its last key, canonical; nil: to the end, or of no order
---@field rows_primary integer
---@field rows_secondary integer
---@field reason string|nil     why it could not be verified

local function compare(db, spec, report, options)
  local conns = { primary = db.primary:acquire(), secondary = db.secondary:acquire() }
  local seen = Spool.new()  -- keys, and the digests of the rows instead of the rows
  local guard <close> = setmetatable({}, { __close = function()
    seen:close()
    db.primary:release(conns.primary)
    db.secondary:release(conns.secondary)
  end })
  local progress, drawing = options.progress, sample.options(options)
  local job = {
    db = db, spec = spec, report = report, conns = conns, filter = spec.filter,
    suspect = function(kind, key, primary, secondary)
      seen:add { kind = kind, key = key, primary = primary, secondary = secondary }
    end,
    chunk = function() end,
    progress = progress and function(so_far)
      progress { model = spec.name, rows = so_far.rows_primary, of = spec.estimated_rows,
                 differences = so_far.differences }
    end,
  }
  local compared = drawing and sample.compare(job, drawing) or stream.compare(job)
  confirm.all(report, conns, seen:each(), core.clock())
  report:judge(compared)
  sample.conclude(report)
end

--- Compares the two tables of a model. Never raises for what the databases do: an error makes the
--- verdict `not_verified` and is in report.error. An interrupt is raised.
---@param db dualdb.Database
---@param model_name string
---@param options dualdb.VerifyOptions|nil   also ignore_journal
---@return dualdb.Report
function verify.run(db, model_name, options)
  options = options or {}
  local report = Report.new(model_name)
  report.ignores_journal = options.ignore_journal
  local started = core.clock()
  local ok, err = pcall(function()
    local spec
    spec, report.narrowed = narrow.spec(db:spec(model_name), options)
    report:begin(spec)
    compare(db, spec, report, options)
  end)
  report.seconds = core.clock() - started
  if not ok then
    err = errors.wrap(err)
    if err.class == "canceled" or err.class == "usage" then error(err, 0) end
    report.verdict, report.reason, report.error = "not_verified", err.message, err
  end
  return report
end

return verify
