--- Whether rows that are unique on the primary are so on the secondary: only then may a unique key
--- be absent while rows are loaded.

local collations = require "dualdb.schema.collations"
local policies = require "dualdb.policies"

local uniqueness = {}

--- Kinds whose values are equal on the secondary only where they are equal on the primary. Floats
--- are not among them, since their digits may be cut.
local EXACT = {
  b = true, i = true, d = true, t = true, x = true, u = true, B = true, D = true, T = true,
  S = true,
}

--- Pairs of different kinds that lose nothing: the primary's, and that of the column.
local LOSSLESS = { bi = true, id = true, di = true }

--- In others two codes may stand for one character.
local CHARSETS = { utf8mb4 = true, utf8mb3 = true, utf8 = true, latin1 = true, ascii = true }

local function text_crosses(column)
  local primary = column.primary
  if primary.charset and not CHARSETS[primary.charset] then return false end
  for _, label in ipairs(primary.labels or {}) do
    if label == "" then return false end  -- what is no label has that text too
  end
  return not collations.secondary_folds(column.other)
end

local function column_crosses(spec, column)
  local from, kind = column.primary.kind, column.kind
  if not EXACT[kind] or from ~= kind and not LOSSLESS[from .. kind] then return false end
  if column.other.generated or column.narrow or policies.may_change(spec.model, column) then
    return false
  end
  return kind ~= "t" or text_crosses(column)
end

local function same_names(names, set)
  for _, name in ipairs(names) do
    if not set[name] then return false end
  end
  return true
end

--- Whether the primary has a unique key of exactly these columns. Its comparison may be looser:
--- texts with the same bytes are equal to each of its collations.
local function is_unique_there(spec, wanted, count)
  for _, index in ipairs(spec.primary_table.indexes) do
    if index.unique and index.whole and #index.columns == count
      and same_names(index.columns, wanted) then
      return true
    end
  end
  return false
end

--- Whether the secondary's unique key of these columns holds for all rows that the primary can
--- have. The model's own key is none of these: rows are found and written by it.
---@param spec dualdb.Spec
---@param columns string[]   the secondary's names
---@return boolean
function uniqueness.crosses(spec, columns)
  if (spec.model.sync or {}).transform then return false end
  local by_name, wanted, keys = {}, {}, 0
  for _, column in ipairs(spec.columns) do by_name[column.secondary] = column end
  for _, name in ipairs(columns) do
    local column = by_name[name]
    if not column or not column_crosses(spec, column) then return false end
    wanted[column.name] = true
    if column.key then keys = keys + 1 end
  end
  if keys == #columns and keys == spec.key_count then return false end
  return is_unique_there(spec, wanted, #columns)
end

return uniqueness
