--- Conditions under which a statement of a repair, or its undoing, may change a row: that the
--- columns still have the values which they had when the statement was thought of. A repair has
--- compared the whole rows under their locks by then; what is run later, from a file, has these.
---
--- A column whose type cannot be compared in SQL without doubt has no condition: a wrong "no" would
--- keep a row from being mended.

local collations = require "dualdb.schema.collations"
local core = require "dualdb.core"

local guard = {}

--- Bytes from which on a value is compared by its length alone.
local LONG = 8192

--- Sizes of values that are of their kind's own form; others are raw (core/row/raw.h).
local WIDTHS = { b = 1, i = 9, D = 4, T = 8, S = 8, u = 16 }
local HEAD = 4
local NULL = core.pack("t", { core.NULL })
local UNREADABLE = "\xFFunreadable value"

local GEOMETRIES = {
  geometry = true, point = true, linestring = true, polygon = true, multipoint = true,
  multilinestring = true, multipolygon = true, geometrycollection = true, geomcollection = true,
}

local function is_raw(kind, field)
  local width = WIDTHS[kind]
  if width then return #field ~= HEAD + width end
  return kind == "j" and field:find(UNREADABLE, HEAD + 1, true) == HEAD + 1
end

local MYSQL_BYTES = "cast(cast(%s as char) as binary) = ?"

local MYSQL = {
  t = function() return MYSQL_BYTES end,
  x = function(at) return not GEOMETRIES[at.type] and "%s = ?" or nil end,
  -- What others wrote may be the same uuid, the same document, in another form.
  u = function(at, written) return (written or at.type == "uuid") and "%s = ?" or nil end,
  j = function(at, written)
    if not written then return nil end
    return at.column_type:lower() == "json" and "%s = cast(? as json)" or MYSQL_BYTES
  end,
}

local POSTGRES = {
  t = function(at) return collations.secondary_folds(at) and '%s::text collate "C" = ?' or nil end,
  u = function(at, written) return (written or at.type == "uuid") and "%s = ?" or false end,
  j = function(at, written)
    if at.type == "jsonb" then return "%s = ?" end
    return written and "%s::text = ?" or false
  end,
}

local function mysql_form(column, at, written)
  local form = MYSQL[column.kind]
  if not form then return "%s = ?" end
  return form(at, written)
end

local function postgres_form(column, at, written, mark)
  local form = POSTGRES[column.kind]
  local found = form and form(at, written)
  if found == false then return nil end
  return found or "%s = " .. mark
end

local LENGTHS = {
  mysql = { t = "octet_length(cast(%s as char)) = ?", x = "octet_length(%s) = ?" },
  postgres = { t = "octet_length(%s::text) = ?", x = "octet_length(%s) = ?" },
}

--- The condition that a column has a value: SQL, the kind of its parameter and the parameter, which
--- are nil where there is none; or nil when there is no condition.
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@param index integer     of the column
---@param field string      the value, packed
---@param written boolean   dualdb wrote it, and knows its form
---@return string|nil, string|nil, string|nil
function guard.condition(spec, side, index, field, written)
  local column, builder = spec.columns[index], spec.statements[side]
  local name, kind = builder.columns[index], column.kind
  local at = side == "primary" and column.primary or column.other
  if field == NULL then return name .. " is null" end
  if is_raw(kind, field) then return nil end
  local form = builder.driver == "mysql" and mysql_form(column, at, written)
    or builder.driver == "postgres" and postgres_form(column, at, written, builder:mark(name))
  if not form then return nil end
  local by_length = LENGTHS[builder.driver][kind]
  if #field > LONG and by_length and not (kind == "x" and at.type == "uuid") then
    form, kind, field = by_length, "i", core.pack("i", { #field - HEAD })
  end
  return form:gsub("%%s", (name:gsub("%%", "%%%%")), 1), kind, field
end

return guard
