--- Verify: are the two tables of a model equal? A method compares them, every difference that it
--- sees is confirmed, and the report judges.

local Checkpoint = require "dualdb.verify.checkpoint"
local choose = require "dualdb.verify.choose"
local confirm = require "dualdb.verify.confirm"
local connections = require "dualdb.verify.connections"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local lanes = require "dualdb.verify.lanes"
local log = require "dualdb.log"
local multiset = require "dualdb.verify.multiset"
local narrow = require "dualdb.verify.narrow"
local ranges = require "dualdb.verify.ranges"
local Report = require "dualdb.verify.report"
local recheck = require "dualdb.recheck"
local runs = require "dualdb.runs"
local sample = require "dualdb.verify.sample"

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
---             of rows those that are in no chunk which was given
---@field wait fun(job: any)|nil   other ranges are compared beside: what takes long is a job of the
---             engine, and this lets them go on until it is worth a look

---@class dualdb.VerifiedChunk
---@field through string|nil    its last key, canonical; nil: to the end, or of no order
---@field rows_primary integer
---@field rows_secondary integer
---@field policies table<string, integer>|nil   values of it that each changed
---@field reason string|nil     why it could not be verified

--- What a model is compared as: a run that goes on must find it the same.
local function definition_of(spec, report, options)
  local columns = {}
  for i, column in ipairs(spec.columns) do
    columns[i] = ("%s/%s %s"):format(column.name, column.secondary, column.kind)
  end
  local texts = {
    { "the canonical form", core.CANONICAL_VERSION },
    { "the table", spec.table.primary .. "/" .. spec.table.secondary },
    { "the list of columns", table.concat(columns, ", ") },
    { "the key", spec.key_count },
    { "the filter", ("%s / %s"):format(spec.filter.primary or "", spec.filter.secondary or "") },
    { "the transform", spec.model.sync and spec.model.sync.transform and "yes" or "no" },
    { "what is compared", table.concat(report.narrowed, "; ") },
    { "the method", options.method or "" },
    { "the sample", ("%s %s"):format(options.sample or "", options.seed or "") },
  }
  for i, entry in ipairs(texts) do
    texts[i] = ("%s\t%s\n"):format(entry[1], tostring(entry[2]):gsub("[\t\n]", " "))
  end
  return table.concat(texts)
end

--- How many ranges of the model are compared at once. Samples, and models that are compared by a
--- method of their own, have one.
local function lanes_of(db, spec, options, method)
  lanes.check(options.jobs)
  if not method.settle or not lanes.can_cut(spec) then return 1 end
  local count = options.jobs or lanes.default(db)
  if count == 1 then return 1 end
  local settled = connections.with(db, function(conns)
    return method.settle { db = db, spec = spec, conns = conns, filter = spec.filter }
  end)
  return settled == "stream" and count or 1
end

--- Compares what is left of the model; returns what could not be.
local function compare(db, spec, report, options, part, multiset_method)
  local drawing = sample.options(options)
  local method = multiset_method or drawing and sample.method(drawing)
    or choose.method(report, part, options.method)
  if part.begun and drawing then part:forget() end  -- what was drawn is drawn again
  if multiset_method then part:forget() end
  if part.compared then return {} end
  if part.begun and not spec.ordered then
    log.emit("warn", ("%s starts over: its keys have no order that both servers keep"):format(
      spec.name), { model = spec.name })
    part:forget()
  end
  local count = lanes_of(db, spec, options, method)
  local found = part:ranges()
  if #found == 0 then
    found = lanes.ranges(db, spec, count)
    part:plan(found)
  end
  core.crash_point "verify.begun"
  local progress = options.progress
  local result = ranges.compare({
    db = db, spec = spec, report = report, filter = spec.filter, ranges = found,
    progress = progress and function(so_far)
      progress { model = spec.name, rows = so_far.rows, of = spec.estimated_rows,
                 differences = so_far.differences }
    end,
  }, part, method, count)
  local unverified = result.unverified
  if #unverified > 0 then
    if not result.progressed then error(unverified[1].error, 0) end
  else
    part:finish()
    core.crash_point "verify.compared"
  end
  return unverified
end

--- Compares a table without a key.
local function compare_multiset(db, spec, report, options, part)
  multiset.check(spec.name, options)
  local method = multiset.method()
  local guard <close> = setmetatable({}, { __close = method.close })
  local unverified = compare(db, spec, report, options, part, method)
  if #unverified == 0 then multiset.tell(report, method) end
  return unverified
end

local function compare_model(db, spec, report, options, part)
  report.mark = not part.begun and db.secondary:with(recheck.mark) or nil
  local unverified = compare(db, spec, report, options, part)
  confirm.all(report, db, part:differences())
  return unverified
end

--- Compares the two tables of a model. Never raises for what the databases do: an error makes the
--- verdict `not_verified` and is in report.error. An interrupt is raised.
---@param db dualdb.Database
---@param name string
---@param options dualdb.VerifyOptions   also ignore_journal
---@param checkpoint dualdb.Checkpoint
---@return dualdb.Report
local function one(db, name, options, checkpoint)
  local report = Report.new(name)
  report.ignores_journal = options.ignore_journal
  local started = core.clock()
  local ok, err = pcall(function()
    local spec
    spec = multiset.is(db, name) and multiset.spec(db, name) or db:spec(name)
    spec, report.narrowed = narrow.spec(spec, options)
    report:begin(spec)
    local part = checkpoint:part(name, definition_of(spec, report, options))
    local unverified = (spec.multiset and compare_multiset or compare_model)(db, spec, report,
      options, part)
    core.crash_point "verify.confirmed"
    report:judge(part, unverified)
    sample.conclude(report)
  end)
  report.seconds = core.clock() - started
  if not ok then
    err = errors.wrap(err)
    if err.class == "canceled" or err.class == "usage" then error(err, 0) end
    report.verdict, report.reason, report.error = "not_verified", err.message, err
  end
  return report
end

-- ---- runs ----

---@class dualdb.Verification   one run over some models, which leaves a record
---@field models string[]
---@field run dualdb.Run
local Verification = {}
Verification.__index = Verification

--- Options that are recorded, and that a run goes on with.
local RECORDED = { "method", "sample", "seed", "where", "columns", "since" }

local function list_of(text)
  local list = {}
  for word in text:gmatch "[^,]+" do list[#list + 1] = word end
  return list
end

--- The options of a run that goes on, which may be given once more, but not differently.
local function resumed_options(record, given)
  local options = {}
  for _, name in ipairs(RECORDED) do
    local value = given[name]
    if type(value) == "table" then value = table.concat(value, ",") end
    if value ~= nil and value ~= record.options[name] then
      errors.usage("run %d was begun %s", record.run, record.options[name]
        and ("with %s = %s"):format(name, record.options[name]) or "without " .. name)
    end
    options[name] = record.options[name]
  end
  if options.columns then options.columns = list_of(options.columns) end
  options.progress, options.jobs = given.progress, given.jobs
  return options
end

local function check_models(record, names)
  if not names then return end
  local same = #names == #record.models
  for i, name in ipairs(names) do same = same and record.models[i] == name end
  if not same then
    errors.usage("run %d is of other models: %s", record.run, table.concat(record.models, ", "))
  end
end

--- Begins a run, or goes on with one that was killed.
---@param db dualdb.Database
---@param names string[]|nil     of the models; may be nil with resume
---@param options dualdb.VerifyOptions
---@return dualdb.Verification
function verify.begin(db, names, options)
  local self = setmetatable({ db = db, models = names, options = {}, reports = {} }, Verification)
  if options.resume then
    local record
    self.run, record = runs.resume(db, options.resume, "verify")
    local ok, err = pcall(function()
      check_models(record, names)
      self.options, self.models = resumed_options(record, options), record.models
    end)
    if not ok then
      self.run:leave()
      error(err, 0)
    end
  else
    for name, value in pairs(options) do self.options[name] = value end
    self.options.since = narrow.absolute(options.since)
    if options.sample then self.options.seed = sample.options(options).seed end
    local recorded = {}
    for _, name in ipairs(RECORDED) do recorded[name] = self.options[name] end
    self.run = runs.begin(db, { command = "verify", models = names, options = recorded })
  end
  local ok, checkpoint = pcall(Checkpoint.open, self.run:file())
  if not ok then
    if options.resume then
      self.run:leave()
      error(checkpoint, 0)
    end
    log.emit("warn", errors.wrap(checkpoint).message .. "; this run cannot go on once it is killed")
    checkpoint = Checkpoint.open(nil)
  end
  self.checkpoint = checkpoint
  return self
end

--- Compares one of the models.
---@param name string
---@param progress function|nil
---@return dualdb.Report
function Verification:verify(name, progress)
  local options = setmetatable({ progress = progress }, { __index = self.options })
  local report = one(self.db, name, options, self.checkpoint)
  report.run = self.run.id
  self.reports[#self.reports + 1] = report
  return report
end

local COUNTED = {
  "verdict", "rows_primary", "rows_secondary", "missing", "extra", "changed", "not_verified",
  "pending", "quarantined", "chunks",
}
local CODES = { equal = 0, different = 1, not_verified = 8 }

--- The verdict on all of them, and the exit code.
---@return "equal"|"different"|"not_verified", integer
function Verification:conclude()
  local codes, seen = {}, {}
  for _, report in ipairs(self.reports) do
    seen[report.verdict] = true
    codes[#codes + 1] = CODES[report.verdict]
    if report.error then codes[#codes + 1] = errors.exit_code(report.error) end
  end
  return seen.not_verified and "not_verified" or seen.different and "different" or "equal",
    errors.strongest(codes)
end

--- Ends the run, and its record. One that has not verified all can go on later.
---@param files { kind: string, path: string }[]|nil   that it has written
function Verification:finish(files)
  self.checkpoint:close()
  local counts = {}
  for _, report in ipairs(self.reports) do
    counts[report.model] = {}
    for _, name in ipairs(COUNTED) do counts[report.model][name] = report[name] end
  end
  local verdict, exit = self:conclude()
  self.run:finish { verdict = verdict, exit = exit, counts = counts, files = files,
                    keep = verdict == "not_verified" }
end

--- A run that an interrupt ended can go on.
function Verification:__close(err)
  if self.run.finished then return end
  self.checkpoint:close()
  if not err then return self:finish() end
  err = errors.wrap(err)
  if err.class == "canceled" then return self.run:leave() end
  self.run:finish { exit = errors.exit_code(err), error = err }
end

--- Compares the two tables of a model; see above. It is a run of its own, unless options.run says
--- of which it is a part, or false: of none.
---@param db dualdb.Database
---@param name string
---@param options dualdb.VerifyOptions|nil   also ignore_journal, and run
---@return dualdb.Report
function verify.run(db, name, options)
  options = options or {}
  if options.run ~= nil then
    local checkpoint = Checkpoint.open(nil)
    local guard <close> = setmetatable({}, { __close = function() checkpoint:close() end })
    local report = one(db, name, options, checkpoint)
    report.run = options.run and options.run.id or nil
    return report
  end
  local verification <close> = verify.begin(db, { name }, options)
  return verification:verify(name, options.progress)
end

return verify
