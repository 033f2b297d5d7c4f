--- Dual writes while the primary is down, on the secondary alone: rows are given and returned as
--- they would be with the primary, and replay brings them there.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fallback_ids = require "dualdb.fallback_ids"
local fetch = require "dualdb.fetch"
local policies = require "dualdb.policies"
local row = require "dualdb.row"

local on_secondary = {}

--- What the secondary holds of a model is not what the primary would.
---@param spec dualdb.Spec
function on_secondary.check_model(spec)
  if fetch.transform(spec) then
    error(errors.make("refused", ("model %s: the primary is down, and rows that are transformed on "
      .. "their way cannot be written to the secondary alone"):format(spec.name),
      { model = spec.name, side = "primary" }), 0)
  end
end

--- Values of the columns with the indexes, as the secondary holds them.
local function crossed(spec, indexes, packed, crossing)
  local result, column, reason = crossing:apply(packed)
  if reason then
    errors.raise("data", "model %s: column %s: %s, which the secondary cannot hold", spec.name,
      spec.names[indexes[column]], reason)
  end
  return result
end

--- The columns given, as the secondary writes them: their quoted names, kinds and packed values.
local function given(spec, values)
  local indexes, kinds, packed = row.pack_given(spec, values)
  return spec.statements.secondary:names(indexes), kinds,
    crossed(spec, indexes, packed, policies.crossing(spec, indexes))
end

--- Makes the values of a slice's rows those that the secondary holds.
---@param slice dualdb.BatchSlice
function on_secondary.cross(spec, slice)
  local crossings = {}
  for _, item in ipairs(slice) do
    local columns = table.concat(item.indexes, ",")
    crossings[columns] = crossings[columns] or policies.crossing(spec, item.indexes)
    item.packed = crossed(spec, item.indexes, item.packed, crossings[columns])
  end
end

--- Runs a statement that returns the rows that it wrote.
local function returning(self, spec, text, kinds, packed)
  self.dual:settle()
  local rows = self:call("secondary", "fetch",
    text .. " returning " .. spec.statements.secondary:column_list(), kinds, packed, spec.kinds)
  core.crash_point "secondary_only.written"
  return rows
end

local function noted(self, spec, stored)
  self:touch(spec, core.prefix(stored, spec.key_count))
  return row.unpack(spec, stored)
end

---@param self dualdb.Transaction
---@param spec dualdb.Spec
function on_secondary.insert(self, spec, values)
  on_secondary.check_model(spec)
  for i, name in ipairs(spec.key_names) do
    if values[name] == nil or values[name] == core.NULL then
      if not spec.columns[i].primary.auto_increment then
        errors.usage("model %s: key column %s has no value and the primary does not number it",
          spec.name, name)
      end
      fallback_ids.ready(self, spec)
    end
  end
  local names, kinds, packed = given(spec, values)
  return noted(self, spec, returning(self, spec, spec.statements.secondary:insert(names), kinds,
    packed)[1])
end

--- Inserts the rows of a slice by a statement and returns them as stored.
---@param slice dualdb.BatchSlice
---@return string[]
function on_secondary.insert_rows(self, spec, slice, text, kinds, packed)
  for _, item in ipairs(slice) do
    if item.numbered then
      fallback_ids.ready(self, spec)
      break
    end
  end
  local rows, keys = returning(self, spec, text, kinds, packed), {}
  for i, stored in ipairs(rows) do keys[i] = core.prefix(stored, spec.key_count) end
  self:touch_all(spec, keys)
  return rows
end

function on_secondary.update(self, spec, key, values)
  on_secondary.check_model(spec)
  local names, kinds, packed = given(spec, values)
  self:touch(spec, key)
  local stored = returning(self, spec, spec.statements.secondary:update(names),
    kinds .. spec.key_kinds, packed .. key)[1]
  return stored and noted(self, spec, stored)
end

function on_secondary.delete(self, spec, key)
  on_secondary.check_model(spec)
  self:touch(spec, key)
  self.dual:secondary(spec.statements.secondary:delete(), spec.key_kinds, key)
  return self.dual:settle().affected > 0
end

function on_secondary.upsert(self, spec, key, values)
  on_secondary.check_model(spec)
  local names, kinds, packed = given(spec, values)
  self:touch(spec, key)
  local stored = returning(self, spec, spec.statements.secondary:upsert(names), kinds, packed)[1]
  -- With nothing to set, a row that is there is not returned.
  stored = stored or self:stored("secondary", spec, key)
  if not stored then
    errors.raise("conflict", "model %s: the secondary has another row, whose key it takes for the "
      .. "same as %s", spec.name, row.key_text(spec, key))
  end
  return noted(self, spec, stored)
end

return on_secondary
