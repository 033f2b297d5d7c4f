--- Repair: mends confirmed differences, each only if the rows still are what the comparison saw,
--- and proves each afterwards. What it replaces can be put back.

local apply = require "dualdb.repair.apply"
local bring = require "dualdb.bring"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local order = require "dualdb.order"
local plan = require "dualdb.repair.plan"
local politeness = require "dualdb.sync.politeness"
local quarantine = require "dualdb.quarantine"
local record = require "dualdb.repair.record"
local saved = require "dualdb.repair.saved"
local script = require "dualdb.repair.script"
local sequences = require "dualdb.schema.sequences"
local statement = require "dualdb.statement"
local strategies = require "dualdb.strategies"
local undo = require "dualdb.repair.undo"
local unique = require "dualdb.repair.unique"
local verify = require "dualdb.verify"

local repair = {}

repair.DEFAULT_MAX_ROWS = 10000

---@class dualdb.RepairResult
---@field model string
---@field strategy string
---@field planned integer
---@field applied integer
---@field skipped integer
---@field failed integer
---@field quarantined integer   of those skipped: rows that the secondary cannot hold
---@field failures table[]      { key, reason } of the first ones
---@field skips table<string, integer>   reason -> count
---@field undo table<"primary"|"secondary", string>   the undo files of the run, where there are any
---@field run integer|nil        of the run record
---@field seconds number
---@field verdict string         of the verification it started from
---@field error dualdb.Error|nil
---@field stopped boolean|nil     the error stopped the run, which has done what is counted

---@class dualdb.RepairOptions
---@field strategy string|function|nil   default: the model's, else primary_wins
---@field from string|nil                a saved report, instead of a fresh verification
---@field dry_run boolean|nil
---@field allow_delete boolean|nil
---@field max_rows integer|nil           default 10,000; more differences are refused
---@field max_rate integer|nil           rows a second
---@field throttle function|nil          instead of the models' own; see dualdb.sync.politeness
---@field undo string|nil                see dualdb.repair.undo
---@field on_undo fun(side: string, path: string)|nil   called before an undo file is made
---@field show fun(text: string, spec: dualdb.Spec, planned: dualdb.Planned, side: string)|nil
---@field progress function|nil
---@field confirm fun(total: integer, names: string[])|nil   called before anything is decided;
---                                       raises to refuse

-- ---- deciding ----

--- A row that cannot be repaired because the secondary cannot hold it.
local function set_aside(db, job, found, options)
  job.result.quarantined = job.result.quarantined + 1
  if options.dry_run or not found.primary then return end
  job.bin = job.bin or quarantine.bin(db, job.spec)
  job.bin:add(bring.entry(job.spec, {
    key = found.key, packed = found.primary, column = found.column, reason = found.reason,
  }))
end

local function deletes_only(planned)
  for _, change in ipairs(plan.changes(planned)) do
    if change.action ~= "delete" then return false end
  end
  return true
end

--- Decides each difference once. What deletes waits in a file of its own, and what takes a unique
--- value of a row that is to be deleted in another.
local function decide(db, job, options)
  job.writes, job.deletes, job.later = plan.file(), plan.file(), plan.file()
  local leaving, undecided = unique.leaving(job.spec), plan.file()
  for found in job.report:each() do
    local planned, reason, refused = plan.one(job.spec, job.strategy, found, options)
    if not planned then
      apply.count_skip(job.result, reason)
      if refused then set_aside(db, job, found, options) end
    else
      job.result.planned = job.result.planned + 1
      if deletes_only(planned) then
        leaving:add(planned)
        job.deletes:add(planned)
      else
        undecided:add(planned)
      end
    end
  end
  if job.bin then job.bin:flush() end
  if leaving.count == 0 then
    job.writes:close()
    job.writes = undecided
    return
  end
  for places in undecided:windows(apply.WINDOW) do
    for _, at in ipairs(places) do
      local planned = undecided:get(at)
      local file = leaving:awaited_by(planned) and job.later or job.writes
      file:add(planned)
    end
  end
  undecided:close()
end

-- ---- what a run does, in order ----

--- Calls fn(job, file) for all that is done, in order: rows are written parents first; then rows
--- are deleted in the other order, each table's followed by those that had to wait for it.
local function each_file(jobs, fn, between)
  for _, job in ipairs(jobs) do fn(job, job.writes) end
  if between then between() end
  for i = #jobs, 1, -1 do
    fn(jobs[i], jobs[i].deletes)
    fn(jobs[i], jobs[i].later)
  end
end

--- Rows of the primary where it stores more than crosses: what a dry run cannot know otherwise.
local function stored_rows(db, spec, group, get)
  local stored = {}
  for _, step in ipairs(group) do
    local planned = get(step.at)
    if plan.writes(planned, "primary") and planned.primary then
      stored[planned.key] = db.primary:with(fetch.one, spec, "primary", planned.key)
    end
  end
  return stored
end

--- Calls fn(change, planned) for each statement of a file.
local function each_statement(db, spec, file, fn)
  apply.each_group(spec, file, function(group)
    local function get(at) return (file:get(at)) end
    apply.each_change(spec, group, get, stored_rows(db, spec, group, get),
      function(planned, change) fn(change, planned) end)
  end)
end

local function show_all(db, jobs, options)
  each_file(jobs, function(job, file)
    each_statement(db, job.spec, file, function(change, planned)
      options.show(statement.render(job.spec, change, planned.key), job.spec, planned, change.side)
    end)
  end)
end

--- The secondary's sequences hand out no key that a repair has brought.
local function move_sequences(db, job)
  local spec = job.spec
  for i = 1, spec.key_count do
    local column = spec.columns[i]
    if sequences.counts(column) then
      db.secondary:with(sequences.move, spec.statements.secondary.table,
        spec.statements.secondary.columns[i], column.other.sequence)
    end
  end
end

local function apply_all(db, jobs, options)
  local polite <close> = politeness.new(db, { -- its rate counts what it is told, here rows
    max_rate = options.max_rate, throttle = options.throttle,
  })
  local run = {
    db = db, polite = polite, max_rate = options.max_rate, started = core.clock(),
    undo = undo.files(db, options.undo, options.on_undo or function() end),
  }
  local files
  local ok, err = pcall(function()
    each_file(jobs, function(job, file)
      run.job = job
      apply.file(run, job, file)
    end, function() apply.waiting(run, jobs, false) end)
    apply.waiting(run, jobs, true)
    for _, job in ipairs(jobs) do
      if job.result.applied > 0 then move_sequences(db, job) end
    end
  end)
  files = run.undo:finish()
  for _, job in ipairs(jobs) do job.result.undo = files end
  if ok then return end
  err = errors.wrap(err)
  if err.class == "canceled" or err.class == "config" then error(err, 0) end
  run.job.result.error, run.job.result.stopped = err, true
end

-- ---- running ----

local function new_result(name, strategy_name)
  return {
    model = name, strategy = strategy_name, planned = 0, applied = 0, skipped = 0, failed = 0,
    quarantined = 0, failures = {}, skips = {}, seconds = 0, undo = {},
  }
end

local function strategy_of(db, name, options)
  local wanted = options.strategy
  if not wanted then wanted = db:model_definition(name).strategy end
  return strategies.find(db, wanted)
end

local function start(db, name, options, reports)
  local strategy, strategy_name = strategy_of(db, name, options)
  local job = { strategy = strategy, result = new_result(name, strategy_name), waiting = {} }
  job.report = reports and reports[name] or verify.run(db, name, { progress = options.progress })
  job.spec = job.report.spec
  job.result.verdict = job.report.verdict
  job.result.error = job.report.error
  job.total = job.report.missing + job.report.extra + job.report.changed
  if job.spec then strategies.check(job.spec, strategy, strategy_name) end
  return job
end

local function check_limit(jobs, options)
  local total, most = 0, options.max_rows or repair.DEFAULT_MAX_ROWS
  for _, job in ipairs(jobs) do total = total + job.total end
  if total > most then
    error(errors.make("refused",
      ("%d rows differ, more than the %d that may be repaired"):format(total, most),
      { hint = "Raise --max-rows if that many are expected, or run a full sync." }))
  end
  return total
end

local function close(jobs)
  for _, job in ipairs(jobs) do
    job.report.spool:close()
    for _, name in ipairs { "writes", "deletes", "later" } do
      if job[name] then job[name]:close() end
    end
  end
end

--- Decides, and does it or shows it.
local function work(db, jobs, options, names)
  local total = check_limit(jobs, options)
  if total > 0 and not options.dry_run and options.confirm then options.confirm(total, names) end
  local at_work = {}
  for _, job in ipairs(jobs) do
    if job.total > 0 then
      decide(db, job, options)
      at_work[#at_work + 1] = job
    end
  end
  if options.dry_run then
    show_all(db, at_work, options)
  elseif #at_work > 0 then
    apply_all(db, at_work, options)
    for _, job in ipairs(jobs) do job.result.undo = at_work[1].result.undo end
  end
end

-- ---- the whole ----

repair.exit_code = record.exit_code

--- Verifies the models, or reads a saved report, and repairs what differs. Parents come before the
--- rows that refer to them, and deletes last, in the other order. What stops the run (a side that
--- is gone) is in the result's error; what was done before is done.
---@param db dualdb.Database
---@param names string[]|nil   default: the models of the saved report
---@param options dualdb.RepairOptions|nil
---@return dualdb.RepairResult[]
function repair.run(db, names, options)
  options = options or {}
  options.show = options.show or function() end
  local started, jobs, results, reports = core.clock(), {}, {}, nil
  local run = record.begin(db, names, options)
  local ok, err = pcall(function()
    if options.from then reports, names = saved.read(db, options.from, names) end
    for i, name in ipairs(order.parents_first(db, names)) do
      jobs[i] = start(db, name, options, reports)
    end
    work(db, jobs, options, names)
  end)
  for i, job in ipairs(jobs) do
    job.result.seconds, job.result.run = core.clock() - started, run.id
    results[i] = job.result
  end
  close(jobs)
  record.finish(run, results, options, not ok and err or nil)
  if not ok then error(err, 0) end
  return results
end

-- ---- as a file ----

--- Writes the repair of a report as SQL for the client of the side that it writes, as it would be
--- run: one transaction, each statement under the condition that the row still is what the report
--- saw.
---@param db dualdb.Database
---@param report dualdb.Report
---@param options { strategy: string|function|nil, allow_delete: boolean|nil }|nil
---@param write fun(text: string)
---@return "primary"|"secondary"|nil   the side that it writes; nil when there is nothing to do
function repair.write_sql(db, report, options, write)
  options = options or {}
  if not report.spec then return nil end
  local strategy, name = strategy_of(db, report.model, options)
  strategies.check(report.spec, strategy, name)
  local job = { report = report, spec = report.spec, strategy = strategy, waiting = {},
                result = new_result(report.model, name) }
  decide(db, job, { allow_delete = options.allow_delete, dry_run = true })
  local guard <close> = setmetatable({}, { __close = function()
    for _, file in ipairs { job.writes, job.deletes, job.later } do file:close() end
  end })
  local side
  local function begin(change)
    if side and side ~= change.side then
      errors.raise("refused", "model %s: strategy %s writes both sides, which are no one file",
        report.model, name)
    end
    if side then return end
    side = change.side
    write(script.head(db[side].driver, {
      ("Repairs model %s on the %s by the strategy %s."):format(report.model, side, name),
      "A statement changes a row only while it still is what the verification saw.",
      ("dualdb shell %s <FILE"):format(side),
    }))
  end
  each_file({ job }, function(_, file)
    each_statement(db, job.spec, file, function(change, planned)
      begin(change)
      statement.write(job.spec, change, planned.key, write)
      write "\n"
    end)
  end)
  if side then write(script.TAIL) end
  local reasons = {}
  for reason in pairs(job.result.skips) do reasons[#reasons + 1] = reason end
  table.sort(reasons)
  for _, reason in ipairs(reasons) do
    write(("-- model %s: %d left as they are: %s\n"):format(report.model:gsub("%c", " "),
      job.result.skips[reason], (reason:gsub("%c", " "))))
  end
  return side
end

return repair
