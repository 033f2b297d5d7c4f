--- What a verification found: its verdict, its counts, and every difference.

local core = require "dualdb.core"
local map = require "dualdb.verify.map"
local memory = require "dualdb.memory"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local Spool = require "dualdb.spool"

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
---@field mark integer|nil         of the secondary, before the comparison began; see recheck.mark
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
      count = found.count,
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
    if found.count then write((',"count":%d'):format(found.count)) end
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
    changed_columns = {}, places = {}, map = {}, narrowed = {}, spool = Spool.new(),
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

--- Where a chunk is, as one number.
---@param range integer
---@param chunk integer
---@return integer
function Report.place(range, chunk)
  return range << 32 | chunk
end

--- Counts one row of a chunk.
---@param name "missing"|"extra"|"changed"|"pending"|"not_verified"
---@param place integer
---@param rows integer|nil   default 1
function Report:count(name, place, rows)
  local counts = self.places[place]
  if not counts then
    counts = {}
    self.places[place] = counts
  end
  self[name] = self[name] + (rows or 1)
  counts[name] = (counts[name] or 0) + (rows or 1)
end

--- Takes a difference that lasts.
---@param found dualdb.Found
---@param place integer     the chunk that it was seen in
function Report:add(found, place)
  self:count(found.kind, place, found.count)
  if found.reason then self.quarantined = self.quarantined + 1 end
  if found.primary and found.secondary then
    core.count_differing(found.primary, found.secondary, self.spec.names, self.changed_columns)
  end
  self.spool:add(found)
end

--- What is not verified, in the order of its ranges; in a range as it was found.
local function in_order(unverified)
  local list, places = {}, {}
  for i, stretch in ipairs(unverified) do list[i], places[stretch] = stretch, i end
  table.sort(list, function(a, b)
    if a.range ~= b.range then return a.range < b.range end
    return places[a] < places[b]
  end)
  return list
end

--- Iterates over the chunks; those of a range are followed by what is not verified of it.
---@param unverified dualdb.Unverified[]   in the order of the ranges
local function stretches(self, part, unverified)
  local next_chunk, queue, next_left, ended = part:chunks(), {}, 1, false
  local function before(range)
    local stretch = unverified[next_left]
    while stretch and stretch.range < range do
      queue[#queue + 1] = { reached = stretch.reached, through = stretch.through, rows = 0,
                            reason = stretch.reason }
      next_left = next_left + 1
      stretch = unverified[next_left]
    end
  end
  return function()
    if #queue == 0 and not ended then
      local chunk = next_chunk()
      before(chunk and chunk.range or math.huge)
      if chunk then
        queue[#queue + 1] = {
          reached = chunk.reached, through = chunk.through,
          rows = math.max(chunk.rows_primary, chunk.rows_secondary),
          counts = self.places[Report.place(chunk.range, chunk.chunk)],
        }
        self.chunks = self.chunks + 1
        self.rows_primary = self.rows_primary + chunk.rows_primary
        self.rows_secondary = self.rows_secondary + chunk.rows_secondary
      else
        ended = true
      end
    end
    return table.remove(queue, 1)
  end
end

--- Sums up, once all differences are there: the verdict, the coverage and the map.
---@param part dualdb.VerifyPart
---@param unverified dualdb.Unverified[]
function Report:judge(part, unverified)
  unverified = in_order(unverified)
  self.map = map.of(self.spec, stretches(self, part, unverified))
  self.policies = part:policies()
  self.coverage = {
    rows_primary = self.rows_primary, rows_secondary = self.rows_secondary,
    chunks = self.chunks + #unverified, chunks_not_verified = #unverified,
    columns = #self.columns, of_columns = #(self.spec.whole or self.spec).names,
  }
  self.chunks = self.coverage.chunks
  if #unverified > 0 then
    self.verdict = "not_verified"
    self.reason, self.error = unverified[1].reason, unverified[1].error
  elseif self.unconfirmed then
    self.verdict, self.error = "not_verified", self.unconfirmed
    self.reason = ("%d rows could not be looked at again: %s"):format(self.not_verified,
      tostring(self.unconfirmed))
  elseif self.not_verified > 0 then
    self.verdict = "not_verified"
    self.reason = ("%d rows changed at every look"):format(self.not_verified)
  elseif self.missing + self.extra + self.changed > 0 then
    self.verdict = "different"
  else
    self.verdict = "equal"
  end
end

return Report
