--- Brings the two tables of a model together: which column belongs to which, what kind of value
--- both hold, what the key is.

local capacity = require "dualdb.schema.capacity"
local collations = require "dualdb.schema.collations"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local naming = require "dualdb.naming"
local pgtype = require "dualdb.schema.pgtype"
local policies = require "dualdb.policies"
local sql = require "dualdb.sql"

local pairing = {}

--- Kinds that two natural kinds have in common, where they are not the same. core/row/CANONICAL.md.
local COMMON = {
  bi = "i", ib = "b", di = "d", fg = "g", gf = "g", tu = "u", tj = "j", jt = "j", Bb = "b",
  xu = "x",
}

--- The kind in which both sides of a column are read, given their natural ones, or nil.
local function common_kind(primary, secondary)
  if primary.kind == secondary.kind then return primary.kind end
  if primary.kind == "i" and secondary.kind == "d" then
    return secondary.scale == 0 and "i" or "d"
  end
  return COMMON[primary.kind .. secondary.kind]
end

local function fail(class, model, format, ...)
  error(errors.make(class, ("model %s: "):format(model.name) .. format:format(...), {
    model = model.name, file = model.file, line = model.line,
  }))
end

--- The secondary's name for a column of the primary.
local function secondary_column(model, name)
  local columns = model.columns
  if columns == "snake_case" then return naming.snake_case(name) end
  return columns and columns[name] or name
end

--- The secondary's name for the model's table.
function pairing.table_names(model)
  local names = model.table or model.name
  if type(names) == "table" then
    return names.primary or model.name, names.secondary or names.primary or model.name
  end
  if model.tables == "snake_case" then return names, naming.snake_case(names) end
  return names, names
end

local function is_unique(tab, key)
  local wanted = {}
  for _, name in ipairs(key) do wanted[name] = true end
  for _, index in ipairs(tab.indexes) do
    if index.unique and index.whole and #index.columns == #key then
      local same = true
      for _, name in ipairs(index.columns) do
        same = same and wanted[name] and not tab.column[name].nullable
      end
      if same then return true end
    end
  end
  return false
end

--- The key's columns of the model: as declared, else the primary key.
---@return string[]
function pairing.key_of(model, tab)
  if model.multiset then  -- no key: a row is what all of its columns say
    local names = {}
    for i, column in ipairs(tab.columns) do names[i] = column.name end
    return names
  end
  local key = model.key
  if type(key) == "string" then key = { key } end
  if not key then
    if not tab.primary_key then
      fail("config", model, "table %s has no primary key and the model names none", tab.name)
    end
    return tab.primary_key
  end
  for _, name in ipairs(key) do
    if not tab.column[name] then
      fail("config", model, "key column %s does not exist in table %s", name, tab.name)
    end
  end
  if not is_unique(tab, key) then
    fail("config", model, "key (%s) is not a primary or unique key of table %s without nulls",
      table.concat(key, ", "), tab.name)
  end
  return key
end

--- The primary's table of a model; a config error when there is none.
function pairing.primary_table(model, schema)
  local name = pairing.table_names(model)
  local tab = schema:table("primary", name)
  if not tab then
    fail("config", model, "table %s does not exist on the primary", name)
  end
  return tab
end

--- The servers round, cut and refuse as they like, so a type that is too small is refused here,
--- before any row moves; unless a policy says what becomes of values that it does not hold.
local function check_capacity(model, column, other, kind)
  local problem = capacity.problem(column.primary, other, kind)
  if not problem then return end
  column.narrow = policies.accept(model, column, problem)
  if column.narrow then return end
  fail("schema", model, "column %s is %s on the primary and %s on the secondary, which %s",
    column.name, column.primary.column_type, other.column_type, problem)
end

--- The type that the model gives a column on the secondary, and what it makes of the kind. Of the
--- database's own types nothing is known here.
local function declare_type(model, column)
  local text = model.types and model.types[column.name]
  if not text then return end
  local declared = pgtype.parse(text)
  column.type = declared.column_type
  if not declared.kind then return end
  local kind = common_kind(column, declared)
  if not kind then
    fail("schema", model, "column %s is %s on the primary, and %s does not hold the same values",
      column.name, column.primary.column_type, declared.column_type)
  end
  check_capacity(model, column, declared, kind)
  column.kind = kind
end

--- Columns of the primary, key columns first, with the secondary's names: what is known without the
--- secondary.
function pairing.columns(model, tab)
  local is_key, ordered = {}, {}
  for _, name in ipairs(pairing.key_of(model, tab)) do
    is_key[name] = true
    ordered[#ordered + 1] = tab.column[name]
  end
  for _, column in ipairs(tab.columns) do
    if not is_key[column.name] then ordered[#ordered + 1] = column end
  end
  for name in pairs(type(model.columns) == "table" and model.columns or {}) do
    if not tab.column[name] then
      fail("config", model, "column %s does not exist in table %s", name, tab.name)
    end
  end
  for name in pairs(model.types or {}) do
    if not tab.column[name] then
      fail("config", model, "types: column %s does not exist in table %s", name, tab.name)
    end
  end
  for name in pairs((model.policies or {}).columns or {}) do
    if not tab.column[name] or is_key[name] then
      fail("config", model, "policies: column %s %s", name, is_key[name]
        and "is part of the key, which no policy may change"
        or "does not exist in table " .. tab.name)
    end
  end
  local integers = {}
  for _, name in ipairs(model.integers or {}) do integers[name] = true end
  local columns = {}
  for i, column in ipairs(ordered) do
    if not column.kind then
      fail("schema", model, "column %s has type %s, which dualdb cannot represent yet",
        column.name, column.column_type)
    end
    columns[i] = {
      name = column.name, secondary = secondary_column(model, column.name), primary = column,
      kind = integers[column.name] and column.kind == "b" and "i" or column.kind,
      key = is_key[column.name] or false,
    }
    declare_type(model, columns[i])
  end
  return columns
end

--- Gives a column of pairing.columns its counterpart `other` and the kind that both hold. Fails
--- with class `schema` when they do not hold the same values.
function pairing.fit(model, column, other, table_name)
  if not other then
    fail("schema", model, "column %s has no counterpart %s in table %s of the secondary",
      column.name, column.secondary, table_name)
  end
  if not other.kind then
    fail("schema", model,
      "column %s of the secondary has type %s, which dualdb cannot represent yet",
      other.name, other.column_type)
  end
  local kind = common_kind({ kind = column.kind }, other)
  if not kind then
    fail("schema", model, "column %s is %s on the primary and %s on the secondary, which do not "
      .. "hold the same values", column.name, column.primary.column_type, other.column_type)
  end
  check_capacity(model, column, other, kind)
  column.kind = kind
  column.other = other
end

--- What stands for a value of a column where it is not a plain ?: for bytes that go into a uuid.
local function placeholders(columns)
  local list = {}
  for i, column in ipairs(columns) do
    if column.kind == "x" and column.other.kind == "u" then list[i] = "encode(?, 'hex')::uuid" end
  end
  return list
end

--- The key's columns in which the secondary takes texts with different bytes for equal, and the
--- type that does so.
local function folding(columns)
  local list = {}
  for i, column in ipairs(columns) do
    if column.key and collations.secondary_folds(column.other) then
      list[i] = column.other.type == "citext" and "citext" or "text"
    end
  end
  return list
end

--- Types whose values may be of many megabytes: not many such rows are held at once.
local WIDE = {
  mediumblob = true, longblob = true, mediumtext = true, longtext = true, geometry = true,
  linestring = true, polygon = true, multipoint = true, multilinestring = true,
  multipolygon = true, geometrycollection = true, geomcollection = true,
}

---@class dualdb.Spec      a model with both its tables
---@field name string
---@field columns table[]    key columns first: { name, secondary, kind, key, primary, other }
---@field names string[]     the primary's names, in the same order
---@field kinds string       kind letters, in the same order
---@field key_count integer
---@field key_kinds string
---@field wide boolean       a row may have megabytes
---@field ordered boolean    both servers return the key in the same order
---@field statements { primary: dualdb.Statements, secondary: dualdb.Statements }
---@field uncovered string[] columns that the secondary has beyond the primary's
---@field estimated_rows integer
---@field key_folds boolean    a server takes keys for the same whose texts differ
---@field recheck number       seconds that a difference has to last, unchanged on both sides

--- Both tables as one spec. Fails with class `config` for what the model says wrongly and `schema`
--- for what the tables cannot do.
---@return dualdb.Spec
function pairing.resolve(model, schema, sides)
  local tab = pairing.primary_table(model, schema)
  local primary_name, secondary_name = pairing.table_names(model)
  local other = schema:table("secondary", secondary_name)
  if not other then
    error(errors.make("schema",
      ("model %s: table %s does not exist on the secondary"):format(model.name, secondary_name),
      { model = model.name, side = "secondary",
        hint = "`dualdb schema apply` makes it from the primary's." }))
  end
  local columns = pairing.columns(model, tab)
  local spec = {
    name = model.name, model = model, columns = columns, names = {}, key_names = {},
    estimated_rows = math.max(tab.estimated_rows, other.estimated_rows), uncovered = {},
    table = { primary = primary_name, secondary = secondary_name }, index = {},
    primary_table = tab, secondary_table = other,
  }
  local kinds, secondary_names, covered = {}, {}, {}
  for _, column in ipairs(columns) do
    spec.wide = spec.wide or WIDE[column.primary.type] or false
  end
  spec.key_count = 0
  for i, column in ipairs(columns) do
    pairing.fit(model, column, other.column[column.secondary], secondary_name)
    kinds[i], spec.names[i], secondary_names[i] = column.kind, column.name, column.secondary
    spec.index[column.name] = i
    covered[column.secondary] = true
    if column.key then
      spec.key_count = spec.key_count + 1
      spec.key_names[spec.key_count] = column.name
    end
  end
  for _, column in ipairs(other.columns) do
    if not covered[column.name] then spec.uncovered[#spec.uncovered + 1] = column.name end
  end
  spec.kinds = table.concat(kinds)
  spec.key_kinds = spec.kinds:sub(1, spec.key_count)
  spec.ordered = core.kinds_ordered(spec.key_kinds)
  for i = 1, spec.key_count do
    -- An enum is ordered by index on one side and by its text on the other.
    local type_name = columns[i].primary.type
    if type_name == "enum" or type_name == "set" then spec.ordered = false end
    local collation = columns[i].kind == "t" and columns[i].primary.collation
    if collation and not collations.is_strict(collation) then spec.key_folds = true end
  end
  spec.key_folds = spec.key_folds or folding(columns) ~= nil and next(folding(columns)) ~= nil
  spec.statements = {
    primary = sql.statements(sides.primary.driver, primary_name, spec.names, spec.key_count),
    secondary = sql.statements(sides.secondary.driver, secondary_name, secondary_names,
      spec.key_count, placeholders(columns), folding(columns)),
  }
  return spec
end

return pairing
