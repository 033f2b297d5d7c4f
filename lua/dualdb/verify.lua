--- Verify: are the two tables of a model equal? One pass over both, every difference confirmed.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local journal = require "dualdb.journal"
local memory = require "dualdb.memory"
local recheck = require "dualdb.recheck"
local policies = require "dualdb.policies"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local Spool = require "dualdb.spool"
local unreadable = require "dualdb.unreadable"

local verify = {}

--- Differences that are confirmed together.
local CONFIRMED_AT_ONCE = 10000

---@class dualdb.Report
---@field model string
---@field verdict "equal"|"different"|"not_verified"
---@field reason string|nil        why it is not verified
---@field error dualdb.Error|nil
---@field rows_primary integer
---@field rows_secondary integer
---@field missing integer          absent on the secondary
---@field extra integer            absent on the primary
---@field changed integer
---@field not_verified integer     rows that could not be judged
---@field quarantined integer      of the differences: rows that the secondary cannot hold
---@field pending integer          of the differences: keys in the journal, which a replay mends
---@field policies table<string, integer>   values that each changed before they were compared
---@field method string
---@field chunks integer
---@field columns string[]         columns that were compared
---@field uncovered string[]       columns of the secondary that the primary does not have
---@field seconds number
local Report = {}
Report.__index = Report

local function changed_columns(spec, found)
  if found.kind ~= "changed" then return {} end
  return row.changed_columns(spec, found.primary, found.secondary)
end

--- Iterates over the differences as the engine has them; `pending` says that the key is in a
--- journal.
---@return fun(): dualdb.Found|nil
function Report:each()
  local next_found = self.spool:each()
  return function()
    local found = next_found()
    if found and next(self.in_journal) then
      found.pending = self.in_journal[core.digest(found.key)]
    end
    return found
  end
end

--- Iterates over the differences: { kind, key, columns, primary, secondary }, with rows as tables
--- by
--- the primary's column names, nil where there is no row; and { column, reason } when the secondary
--- cannot hold the primary's row. With `rows = false` the rows are left out.
---@param options { rows: boolean|nil }|nil
function Report:differences(options)
  if not self.spool then return function() end end
  local spec, next_found = self.spec, self:each()
  local rows = not options or options.rows ~= false
  return function()
    local found = next_found()
    if not found then return nil end
    return {
      kind = found.kind, column = found.column, reason = found.reason, pending = found.pending,
      key = row.unpack_key(spec, found.key), columns = changed_columns(spec, found),
      primary = rows and found.primary and row.unpack(spec, found.primary) or nil,
      secondary = rows and found.secondary and row.unpack(spec, found.secondary) or nil,
    }
  end
end

--- The same as lines of JSON, with exact values. `write(text)` is called with parts of them.
---@param write fun(text: string)
function Report:write_jsonl(write)
  if not self.spool then return end
  local spec = self.spec
  for found in self:each() do
    local columns = {}
    for i, name in ipairs(changed_columns(spec, found)) do columns[i] = core.json_string(name) end
    write(('{"model":%s,"kind":"%s","key":%s,"columns":[%s]'):format(core.json_string(spec.name),
      found.kind, core.row_json(spec.key_kinds, core.prefix(found.key, spec.key_count),
        spec.key_names), table.concat(columns, ",")))
    for _, side in ipairs { "primary", "secondary" } do
      memory.sweep()
      write((',"%s":'):format(side))
      write(found[side] and core.row_json(spec.kinds, found[side], spec.names) or "null")
      memory.note(2 * #(found[side] or ""))
    end
    if found.pending then write(',"pending":true') end
    if found.reason then
      write((',"reason":%s'):format(core.json_string(
        quarantine.text(found.column, found.reason))))
    end
    write("}\n")
  end
end

local function new_report(name)
  return setmetatable({
    model = name, verdict = "not_verified", rows_primary = 0, rows_secondary = 0, missing = 0,
    extra = 0, changed = 0, not_verified = 0, method = "stream", chunks = 0, columns = {},
    uncovered = {}, seconds = 0, quarantined = 0, pending = 0, policies = {}, in_journal = {},
  }, Report)
end

--- Notes the keys, by their digests, that have an entry in a journal.
local function look_in_journals(report, conns, digests)
  if report.ignores_journal then return end
  for _, side in ipairs { "primary", "secondary" } do
    for digest in pairs(journal.dirty(conns[side], report.spec.name, digests)) do
      report.in_journal[digest] = true
    end
  end
end

--- Passes the differences that last on to the report.
local function confirm(report, conns, suspects)
  if #suspects == 0 then return end
  local digests, confirmed = {}, {}
  for i, suspect in ipairs(suspects) do digests[i] = core.digest(suspect.key) end
  -- Before and after: a replay that mends a row meanwhile takes its entry away.
  look_in_journals(report, conns, digests)
  local unstable = recheck.confirm(conns, report.spec, suspects, function(found)
    report[found.kind] = report[found.kind] + 1
    if found.reason then report.quarantined = report.quarantined + 1 end
    report.spool:add(found)
    confirmed[#confirmed + 1] = core.digest(found.key)
  end)
  look_in_journals(report, conns, confirmed)
  for _, digest in ipairs(confirmed) do
    if report.in_journal[digest] then report.pending = report.pending + 1 end
  end
  report.not_verified = report.not_verified + unstable
end

--- A row that cannot be asked for again, for its key could not be read.
local function take_unreadable(report, found, column, reason)
  report[found.kind] = report[found.kind] + 1
  report.quarantined = report.quarantined + 1
  report.spool:add { kind = found.kind, key = found.key, column = column, reason = reason }
end

--- Confirms what the comparison found until the time `since`.
local function confirm_all(report, conns, raw, since)
  local suspects = {}
  for found in raw:each() do
    local seen = (found.primary or found.secondary)  -- else only the key is known
      and recheck.seen(found.primary, found.secondary)
    local column, reason = unreadable.key(report.spec, found.key)
    if reason then
      take_unreadable(report, found, column, reason)
    else
      suspects[#suspects + 1] = { key = found.key, seen = seen, since = seen and since }
    end
    if #suspects == CONFIRMED_AT_ONCE then
      confirm(report, conns, suspects)
      suspects = {}
    end
  end
  confirm(report, conns, suspects)
end

local function compare(db, spec, report, progress)
  local conns = { primary = db.primary:acquire(), secondary = db.secondary:acquire() }
  local raw = Spool.new()  -- keys, and the digests of the rows instead of the rows
  local guard <close> = setmetatable({}, { __close = function()
    raw:close()
    db.primary:release(conns.primary)
    db.secondary:release(conns.secondary)
  end })
  local crossing = policies.crossing(spec)
  local result = core.compare {
    primary = conns.primary, secondary = conns.secondary,
    primary_query = spec.statements.primary:scan(spec.filter.primary, spec.ordered),
    secondary_query = spec.statements.secondary:scan(spec.filter.secondary, spec.ordered),
    kinds = spec.kinds, key_columns = spec.key_count, ordered = spec.ordered,
    expected_rows = spec.estimated_rows, transform = fetch.transform(spec), crossing = crossing,
    digests = true, difference = function(kind, key, primary, secondary)
      raw:add { kind = kind, key = key, primary = primary, secondary = secondary }
    end,
    progress = progress and function(so_far)
      progress { model = spec.name, rows = so_far.rows_primary, of = spec.estimated_rows,
                 differences = so_far.differences }
    end,
  }
  confirm_all(report, conns, raw, core.clock())
  report.rows_primary, report.rows_secondary = result.rows_primary, result.rows_secondary
  report.chunks, report.policies = result.chunks, crossing:counts()
end

local function judge(report)
  if report.not_verified > 0 then
    report.verdict = "not_verified"
    report.reason = ("%d rows changed at every look"):format(report.not_verified)
  elseif report.missing + report.extra + report.changed > 0 then
    report.verdict = "different"
  else
    report.verdict = "equal"
  end
end

--- Compares the two tables of a model. Never raises for what the databases do: an error makes the
--- verdict `not_verified` and is in report.error. An interrupt is raised.
---@param db dualdb.Database
---@param model_name string
---@param options { progress: function|nil, ignore_journal: boolean|nil }|nil
---@return dualdb.Report
function verify.run(db, model_name, options)
  options = options or {}
  local report = new_report(model_name)
  report.ignores_journal = options.ignore_journal
  local started = core.clock()
  report.spool = Spool.new()
  local ok, err = pcall(function()
    local spec = db:spec(model_name)
    report.spec = spec
    report.columns, report.uncovered = spec.names, spec.uncovered
    report.method = spec.ordered and "stream" or "stream-partitioned"
    compare(db, spec, report, options.progress)
    judge(report)
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
