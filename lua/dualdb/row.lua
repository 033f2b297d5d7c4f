--- Rows of a model: Lua tables by the primary's column names on one side, canonical rows (strings,
--- as the engine reads, compares and writes them) on the other.

local core = require "dualdb.core"
local errors = require "dualdb.errors"

local row = {}

--- The key that a person gave, as a canonical row: a value, an array, or a table by name.
---@param spec dualdb.Spec
---@return string
function row.pack_key(spec, key)
  local values = {}
  if type(key) ~= "table" then
    if spec.key_count ~= 1 then
      errors.usage("model %s: the key has %d columns (%s)", spec.name, spec.key_count,
        table.concat(spec.key_names, ", "))
    end
    values[1] = key
  elseif key[1] ~= nil then
    if #key ~= spec.key_count then
      errors.usage("model %s: the key has %d columns (%s), %d values given", spec.name,
        spec.key_count, table.concat(spec.key_names, ", "), #key)
    end
    values = key
  else
    for i, name in ipairs(spec.key_names) do values[i] = key[name] end
    for name in pairs(key) do
      if not spec.index[name] or spec.index[name] > spec.key_count then
        errors.usage("model %s: %s is not a column of the key", spec.name, tostring(name))
      end
    end
  end
  for i, name in ipairs(spec.key_names) do
    if values[i] == nil or values[i] == core.NULL then
      errors.usage("model %s: key column %s has no value", spec.name, name)
    end
  end
  return core.pack(spec.key_kinds, values, spec.names)
end

--- A canonical row as a table by name.
---@param spec dualdb.Spec
function row.unpack(spec, packed)
  local values = core.unpack(spec.kinds, packed)
  local result = {}
  for i, name in ipairs(spec.names) do result[name] = values[i] end
  return result
end

--- The key of a canonical row or key as a table by name.
function row.unpack_key(spec, packed)
  local values = core.unpack(spec.key_kinds, core.prefix(packed, spec.key_count))
  local result = {}
  for i, name in ipairs(spec.key_names) do result[name] = values[i] end
  return result
end

--- The key as people write it: 7, or (7, "a").
function row.key_text(spec, packed)
  local texts = core.texts(spec.key_kinds, core.prefix(packed, spec.key_count))
  if #texts == 1 then return texts[1] end
  return "(" .. table.concat(texts, ", ") .. ")"
end

--- Raised where the primary does not have what it has just been given.
---@param key string   packed
function row.not_found(spec, key)
  return errors.raise("conflict", "model %s: the row just written with key %s cannot be found",
    spec.name, row.key_text(spec, key))
end

--- A whole row given as a table by name, packed. Every column must be there.
function row.pack(spec, values)
  local list = {}
  for i, name in ipairs(spec.names) do
    local value = values[name]
    if value == nil then value = core.NULL end
    list[i] = value
  end
  return core.pack(spec.kinds, list, spec.names)
end

--- One value of a column as a packed field.
function row.pack_value(spec, column, value)
  if value == nil then value = core.NULL end
  local ok, packed = pcall(core.pack, column.kind, { value }, { column.name })
  if ok then return packed end
  packed.model = spec.name
  return error(packed, 0)
end

--- The columns that `values` gives, in the model's order: their indexes, kinds and packed values.
--- A name that is no column of the model is a usage error.
function row.pack_given(spec, values)
  if type(values) ~= "table" then
    errors.usage("model %s: a table of columns expected, got a %s", spec.name, type(values))
  end
  for name in pairs(values) do
    if not spec.index[name] then
      errors.usage("model %s: no column %s", spec.name, tostring(name))
    end
  end
  local indexes, kinds, list, names = {}, {}, {}, {}
  for i, name in ipairs(spec.names) do
    if values[name] ~= nil then
      local n = #indexes + 1
      indexes[n], kinds[n], list[n], names[n] = i, spec.columns[i].kind, values[name], name
    end
  end
  local kind_letters = table.concat(kinds)
  return indexes, kind_letters, core.pack(kind_letters, list, names)
end

--- The columns that are written to a side, which are all but those it computes itself: their
--- indexes, quoted names and kinds.
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@return integer[], string[], string
function row.writable(spec, side)
  local indexes, names, kinds = {}, {}, {}
  for i, column in ipairs(spec.columns) do
    local at = side == "primary" and column.primary or column.other
    if not at.generated then
      local n = #indexes + 1
      indexes[n], kinds[n] = i, column.kind
      names[n] = spec.statements[side].columns[i]
    end
  end
  return indexes, names, table.concat(kinds)
end

--- Names of the columns in which two canonical rows differ.
---@return string[]
function row.changed_columns(spec, a, b)
  local names = {}
  for i, index in ipairs(core.differing(a, b)) do names[i] = spec.names[index] end
  return names
end

--- The fields of a row at the given indexes, as a row; those of the row `more` follow.
---@param packed string
---@param indexes integer[]
---@param more string|nil
---@return string
function row.pick(packed, indexes, more)
  return core.pick(packed, indexes, more)
end

return row
