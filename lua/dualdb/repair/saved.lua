--- Differences of a report that `verify --report FILE.jsonl` has written, line by line, as the
--- engine has them. A line that cannot be understood, or is about other tables than these, is an
--- error that names it: a report that is not all there is not repaired in part.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local journal = require "dualdb.journal"
local memory = require "dualdb.memory"
local Spool = require "dualdb.spool"

local saved = {}

--- Keys that are looked up in the journals together.
local AT_ONCE = 500

---@class dualdb.SavedReport     what a repair needs of a report
---@field spec dualdb.Spec
---@field missing integer
---@field extra integer
---@field changed integer
---@field spool dualdb.Spool
local Saved = {}
Saved.__index = Saved

---@return fun(): dualdb.Found|nil
function Saved:each()
  local next_found = self.spool:each()
  return function()
    local found = next_found()
    if found then found.pending = self.in_journal[core.digest(found.key)] end
    return found
  end
end

-- ---- one line ----

local function text_of(members, name)
  local value = members[name]
  if not value then error(name .. " is missing", 0) end
  local ok, field = pcall(core.json_field, "t", value)
  if not ok then error(name .. " is no text", 0) end
  return core.unpack("t", field)[1]
end

--- The object of a row or key, packed. It has exactly these columns.
local function row_of(text, what, kinds, names, count)
  local members = core.json_members(text)
  local fields, known = {}, {}
  for i = 1, count do
    local name = names[i]
    known[name] = true
    if not members[name] then
      error(("%s: column %s is not in it: the report is of other columns"):format(what, name), 0)
    end
    local ok, field = pcall(core.json_field, kinds:sub(i, i), members[name])
    if not ok then
      error(("%s: column %s: %s"):format(what, name, errors.wrap(field).message), 0)
    end
    fields[i] = field
  end
  for name in pairs(members) do
    if not known[name] then
      error(("%s: the model has no column %s"):format(what, name), 0)
    end
  end
  return table.concat(fields)
end

local KINDS = {
  missing = { primary = true, secondary = false }, extra = { primary = false, secondary = true },
  changed = { primary = true, secondary = true },
}

--- A side's row, or nil where there is none.
local function side_of(members, side, there, spec, key)
  local text = members[side]
  if not text then error(side .. " is missing", 0) end
  if (text ~= "null") ~= there then
    error(("%s has %s row, which contradicts the kind"):format(side, there and "no" or "a"), 0)
  end
  if not there then return nil end
  local packed = row_of(text, side, spec.kinds, spec.names, #spec.names)
  if core.prefix(packed, spec.key_count) ~= key then
    error(("the key of the %s's row is another one"):format(side), 0)
  end
  return packed
end

---@return dualdb.Found
local function found_of(members, spec)
  local kind = text_of(members, "kind")
  local there = KINDS[kind]
  if not there then error(("there is no kind %s"):format(kind), 0) end
  if not members.key then error("key is missing", 0) end
  local key = row_of(members.key, "key", spec.key_kinds, spec.key_names, spec.key_count)
  -- What the secondary cannot hold may be what no JSON gives back.
  if members.reason then
    return { kind = kind, key = key, reason = text_of(members, "reason") }
  end
  return {
    kind = kind, key = key, primary = side_of(members, "primary", there.primary, spec, key),
    secondary = side_of(members, "secondary", there.secondary, spec, key),
  }
end

-- ---- the file ----

local function new_report(spec)
  return setmetatable({
    model = spec.name, spec = spec, verdict = "different", missing = 0, extra = 0, changed = 0,
    spool = Spool.new(), in_journal = {}, keys = {},
  }, Saved)
end

--- Notes which of the keys that were read wait in a journal now.
local function look_in_journals(db, report)
  local digests = report.keys
  report.keys = {}
  for _, side in ipairs { "primary", "secondary" } do
    local dirty = db[side]:with(journal.pending, side, report.spec.name, digests)
    for digest in pairs(dirty) do report.in_journal[digest] = true end
  end
end

--- The lines of a file with their ends.
local function lines_of(path)
  local file, reason = io.open(path, "rb")
  if not file then errors.usage("repair: --from %s", reason) end
  local ok, problem = file:read(0)
  if not ok and problem then
    file:close()
    errors.usage("repair: --from %s: %s", path, problem)
  end
  return file:lines "L", file
end

--- Reads a report. The differences wait in unlinked files.
---@param db dualdb.Database
---@param path string
---@param names string[]|nil   the models that it may be about; default: all of the project
---@return table<string, dualdb.SavedReport>, string[]   by model; the models in order
function saved.read(db, path, names)
  local wanted, reports, order = nil, {}, {}
  if names then
    wanted = {}
    for _, name in ipairs(names) do wanted[name] = true end
  end
  local next_line, file = lines_of(path)
  local guard <close> = setmetatable({}, { __close = function() file:close() end })
  local number = 0
  local function line_of(text)
    if text:sub(-1) ~= "\n" then error("the file ends within it", 0) end
    local members = core.json_members(text)
    local name = text_of(members, "model")
    if wanted and not wanted[name] then
      error(("the report is about model %s"):format(name), 0)
    end
    if not db:has_model(name) then error(("no model %s"):format(name), 0) end
    local report = reports[name]
    if not report then
      report = new_report(db:spec(name))
      reports[name], order[#order + 1] = report, name
    end
    local found = found_of(members, report.spec)
    report[found.kind] = report[found.kind] + 1
    report.spool:add(found)
    report.keys[#report.keys + 1] = core.digest(found.key)
    if #report.keys == AT_ONCE then look_in_journals(db, report) end
  end
  for text in next_line do
    number = number + 1
    memory.sweep()
    memory.note(2 * #text)
    local ok, err = pcall(line_of, text)
    if not ok then
      local of_world = errors.is(err) and err.class ~= "data"
      if of_world then error(err, 0) end
      error(errors.make("usage", ("%s, line %d: %s"):format(path, number,
        errors.wrap(err).message), {
        hint = "Only what `dualdb verify --report FILE.jsonl` has written, whole, is repaired.",
      }), 0)
    end
  end
  for _, report in pairs(reports) do look_in_journals(db, report) end
  return reports, order
end

return saved
