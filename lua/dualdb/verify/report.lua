--- What a verification found: its verdict, its counts, and every difference.

local core = require "dualdb.core"
local memory = require "dualdb.memory"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local Spool = require "dualdb.spool"

---@class dualdb.MapEntry       a part of the key space
---@field first table|nil       its keys are behind this one; nil: the start, or no order is known
---@field last table|nil        its last key; nil: to the end
---@field rows integer          of the side that has more there
---@field missing integer
---@field extra integer
---@field changed integer
---@field pending integer       of these: keys in the journal
---@field not_verified integer  rows that could not be judged
---@field reason string|nil     why it could not be verified

---@class dualdb.Coverage
---@field rows_primary integer
---@field rows_secondary integer
---@field chunks integer
---@field chunks_not_verified integer
---@field columns integer       compared
---@field of_columns integer    that the primary's table has

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
---@field method_reason string|nil why no other method was taken, or what was measured
---@field columns string[]         columns that were compared
---@field uncovered string[]       columns of the secondary that the primary does not have
---@field changed_columns table<string, integer>   column -> changed rows in which it differs
---@field map dualdb.MapEntry[]    the key space in at most 1,000 parts
---@field coverage dualdb.Coverage what the verdict rests on
---@field narrowed string[]        what the comparison was narrowed to, as texts; empty: nothing
---@field sample dualdb.Sample|nil
---@field run string|nil           the id of its run record
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

---@param name string   of the model
---@return dualdb.Report
function Report.new(name)
  return setmetatable({
    model = name, verdict = "not_verified", rows_primary = 0, rows_secondary = 0, missing = 0,
    extra = 0, changed = 0, not_verified = 0, method = "stream", chunks = 0, columns = {},
    uncovered = {}, seconds = 0, quarantined = 0, pending = 0, policies = {}, in_journal = {},
    changed_columns = {}, map = {}, narrowed = {}, spool = Spool.new(),
    coverage = { rows_primary = 0, rows_secondary = 0, chunks = 0, chunks_not_verified = 0,
                 columns = 0, of_columns = 0 },
  }, Report)
end

--- Takes the model that is compared.
---@param spec dualdb.Spec
function Report:begin(spec)
  self.spec = spec
  self.columns, self.uncovered = spec.names, spec.uncovered
  self.method = spec.ordered and "stream" or "stream-partitioned"
end

--- Takes a difference that lasts.
---@param found dualdb.Found
function Report:add(found)
  self[found.kind] = self[found.kind] + 1
  if found.reason then self.quarantined = self.quarantined + 1 end
  if found.primary and found.secondary then
    for _, name in ipairs(changed_columns(self.spec, found)) do
      self.changed_columns[name] = (self.changed_columns[name] or 0) + 1
    end
  end
  self.spool:add(found)
end

--- Sums up, once all differences are there: the verdict, the coverage and the map.
---@param compared { rows_primary: integer, rows_secondary: integer, chunks: integer,
---   policies: table<string, integer> }   what the method returned
function Report:judge(compared)
  self.rows_primary, self.rows_secondary = compared.rows_primary, compared.rows_secondary
  self.chunks, self.policies = compared.chunks, compared.policies
  self.coverage = {
    rows_primary = self.rows_primary, rows_secondary = self.rows_secondary, chunks = self.chunks,
    chunks_not_verified = 0, columns = #self.columns,
    of_columns = #(self.spec.whole or self.spec).names,
  }
  self.map = { {
    rows = math.max(self.rows_primary, self.rows_secondary), missing = self.missing,
    extra = self.extra, changed = self.changed, pending = self.pending,
    not_verified = self.not_verified,
  } }
  if self.not_verified > 0 then
    self.verdict = "not_verified"
    self.reason = ("%d rows changed at every look"):format(self.not_verified)
  elseif self.missing + self.extra + self.changed > 0 then
    self.verdict = "different"
  else
    self.verdict = "equal"
  end
end

return Report
