--- Verify: are the two tables of a model equal? One pass over both, every difference confirmed.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local journal = require "dualdb.journal"
local recheck = require "dualdb.recheck"
local policies = require "dualdb.policies"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local Spool = require "dualdb.spool"

local verify = {}

--- Differences that are held in memory before they are confirmed together.
local PENDING_COUNT = 10000
local PENDING_BYTES = 8 * 1024 * 1024

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

--- Iterates over the differences: { kind, key, columns, primary, secondary }, with rows as tables
--- by
--- the primary's column names, nil where there is no row; and { column, reason } when the secondary
--- cannot hold the primary's row.
function Report:differences()
  if not self.spool then return function() end end
  local spec, next_found = self.spec, self.spool:each()
  return function()
    local found = next_found()
    if not found then return nil end
    local both = found.kind == "changed"
    return {
      kind = found.kind, column = found.column, reason = found.reason, pending = found.pending,
      key = row.unpack_key(spec, found.key),
      columns = both and row.changed_columns(spec, found.primary, found.secondary) or {},
      primary = found.primary and row.unpack(spec, found.primary),
      secondary = found.secondary and row.unpack(spec, found.secondary),
    }
  end
end

--- The same as lines of JSON, with exact values. `write(line)` is called for each.
function Report:write_jsonl(write)
  if not self.spool then return end
  local spec = self.spec
  for found in self.spool:each() do
    local columns = {}
    if found.kind == "changed" then
      for i, name in ipairs(row.changed_columns(spec, found.primary, found.secondary)) do
        columns[i] = core.json_string(name)
      end
    end
    local parts = {
      ('{"model":%s,"kind":"%s","key":%s,"columns":[%s]'):format(core.json_string(spec.name),
        found.kind, core.row_json(spec.key_kinds, core.prefix(found.key, spec.key_count),
          spec.key_names), table.concat(columns, ",")),
    }
    for _, side in ipairs { "primary", "secondary" } do
      parts[#parts + 1] = (',"%s":%s'):format(side,
        found[side] and core.row_json(spec.kinds, found[side], spec.names) or "null")
    end
    if found.pending then parts[#parts + 1] = ',"pending":true' end
    if found.reason then
      parts[#parts + 1] = (',"reason":%s'):format(core.json_string(
        quarantine.text(found.column, found.reason)))
    end
    write(table.concat(parts) .. "}\n")
  end
end

local function new_report(name)
  return setmetatable({
    model = name, verdict = "not_verified", rows_primary = 0, rows_secondary = 0, missing = 0,
    extra = 0, changed = 0, not_verified = 0, method = "stream", chunks = 0, columns = {},
    uncovered = {}, seconds = 0, quarantined = 0, pending = 0, policies = {},
  }, Report)
end

--- Adds the digests of differences whose keys have an entry in a journal to `pending`.
local function look_in_journals(conns, spec, found, pending)
  local digests = {}
  for i, item in ipairs(found) do digests[i] = core.digest(item.key) end
  for _, side in ipairs { "primary", "secondary" } do
    for digest in pairs(journal.dirty(conns[side], spec.name, digests)) do
      pending[digest] = true
    end
  end
end

--- Collects raw differences and passes the confirmed ones on to the report.
local function collector(report, spec, conns, ignore_journal)
  local pending, bytes = {}, 0
  local function flush()
    if #pending == 0 then return end
    local batch = pending
    pending, bytes = {}, 0
    local in_journal, confirmed = {}, {}
    -- Before and after: a replay that mends a row meanwhile takes its entry away.
    if not ignore_journal then look_in_journals(conns, spec, batch, in_journal) end
    report.not_verified = report.not_verified + recheck.confirm(conns, spec, batch, function(found)
      confirmed[#confirmed + 1] = found
    end)
    if not ignore_journal then look_in_journals(conns, spec, confirmed, in_journal) end
    for _, found in ipairs(confirmed) do
      report[found.kind] = report[found.kind] + 1
      if found.reason then report.quarantined = report.quarantined + 1 end
      found.pending = in_journal[core.digest(found.key)]
      if found.pending then report.pending = report.pending + 1 end
      report.spool:add(found)
    end
  end
  local function add(_, key, primary, secondary)
    local seen = primary ~= nil or secondary ~= nil  -- else only the key is known
    pending[#pending + 1] = {
      key = key, primary = primary, secondary = secondary, seen = seen, since = core.clock(),
    }
    bytes = bytes + #key + #(primary or "") + #(secondary or "")
    if #pending >= PENDING_COUNT or bytes >= PENDING_BYTES then flush() end
  end
  return add, flush
end

local function compare(db, spec, report, progress, ignore_journal)
  local primary, secondary = db.primary:acquire(), db.secondary:acquire()
  local again = { primary = db.primary:acquire(), secondary = db.secondary:acquire() }
  local guard <close> = setmetatable({}, { __close = function()
    db.primary:release(primary)
    db.secondary:release(secondary)
    db.primary:release(again.primary)
    db.secondary:release(again.secondary)
  end })
  local add, flush = collector(report, spec, again, ignore_journal)
  local crossing = policies.crossing(spec)
  local result = core.compare {
    primary = primary, secondary = secondary,
    primary_query = spec.statements.primary:scan(spec.filter.primary, spec.ordered),
    secondary_query = spec.statements.secondary:scan(spec.filter.secondary, spec.ordered),
    kinds = spec.kinds, key_columns = spec.key_count, ordered = spec.ordered,
    expected_rows = spec.estimated_rows, transform = fetch.transform(spec), crossing = crossing,
    difference = add,
    progress = progress and function(so_far)
      progress { model = spec.name, rows = so_far.rows_primary, of = spec.estimated_rows,
                 differences = so_far.differences }
    end,
  }
  flush()
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
  local started = core.clock()
  report.spool = Spool.new()
  local ok, err = pcall(function()
    local spec = db:spec(model_name)
    report.spec = spec
    report.columns, report.uncovered = spec.names, spec.uncovered
    report.method = spec.ordered and "stream" or "stream-partitioned"
    compare(db, spec, report, options.progress, options.ignore_journal)
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
