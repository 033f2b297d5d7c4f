--- The statements that make the secondary's tables of models from the primary's.

local collations = require "dualdb.schema.collations"
local core = require "dualdb.core"
local defaults = require "dualdb.schema.defaults"
local errors = require "dualdb.errors"
local expression = require "dualdb.schema.expression"
local foreign_keys = require "dualdb.schema.foreign_keys"
local names = require "dualdb.schema.names"
local pairing = require "dualdb.schema.pairing"
local Schema = require "dualdb.schema"
local types = require "dualdb.schema.types"

local ddl = {}

--- PostgreSQL's btree holds no longer entry, MySQL's indexes 3072 bytes.
local LONGEST_ENTRY = 2704
local LONGEST_CHARACTER = 4

---@class dualdb.Target        the table of a model that is to be made
---@field model table            the model's definition
---@field tab table              the primary's table
---@field name string            the secondary's table
---@field columns table<string, table>   of pairing.columns, by the primary's name
---@field key string[]           columns of the primary key, the primary's names
---@field folded table<string, boolean>   columns that are citext, the primary's names
---@field counters table<string, string>  sequences of their own, by the primary's names
---@field types table<string, string>   of the secondary's columns, by the primary's names
---@field expressions dualdb.ExpressionTable
---@field warn fun(format: string, ...)

local function quote(name) return core.quote("postgres", name) end

--- The secondary's names of columns, quoted, as a list in SQL; `descending` of those of an index.
local function column_list(target, columns, descending)
  local list = {}
  for i, name in ipairs(columns) do
    list[i] = quote(target.columns[name].secondary)
      .. (descending and descending[i] and " desc" or "")
  end
  return table.concat(list, ", ")
end

--- For names that cannot be: the model can give others.
local function refuse(target, format, ...)
  error(errors.make("schema", ("model %s: "):format(target.model.name) .. format:format(...), {
    model = target.model.name, hint = "Name it in the model: `table` or `columns`.",
  }))
end

--- PostgreSQL would cut long names in silence, and two columns may come to the same name.
local function check_names(target)
  if Schema.is_own(target.tab.name) or Schema.is_own(target.name) then
    refuse(target, "names that begin with %s are dualdb's own", Schema.OWN_PREFIX)
  end
  if #target.name > names.LONGEST then
    refuse(target, "table name %s is longer than the secondary's %d bytes", target.name,
      names.LONGEST)
  end
  local taken = {}
  for _, column in ipairs(target.tab.columns) do
    local name = target.columns[column.name].secondary
    if #name > names.LONGEST then
      refuse(target, "column name %s is longer than the secondary's %d bytes", name, names.LONGEST)
    end
    if taken[name] then
      refuse(target, "columns %s and %s are both %s on the secondary", taken[name], column.name,
        name)
    end
    taken[name] = column.name
  end
end

--- Whether the texts of a column are equal on the primary where they differ on the secondary.
local function folds(column, kind)
  return kind == "t" and column.type ~= "enum" and column.collation
    and not collations.is_strict(column.collation)
end

--- With `unique = "citext"`: columns of unique keys and of foreign keys, which refer to such.
local function folded_columns(target)
  local folded = {}
  if target.model.unique ~= "citext" then return folded end
  local function add(names_of_columns)
    for _, name in ipairs(names_of_columns) do
      local column = target.tab.column[name]
      if column and folds(column, target.columns[name].kind) then folded[name] = true end
    end
  end
  add(target.key)
  for _, index in ipairs(target.tab.indexes) do
    if index.unique and index.whole then add(index.columns) end
  end
  for _, key in ipairs(target.tab.foreign_keys) do add(key.columns) end
  return folded
end

local function target_of(db, model_name, product, warn)
  local model = db:model_definition(model_name)
  local tab = pairing.primary_table(model, db.schema)
  local target = {
    model = model, tab = tab, columns = {}, warn = warn,
    name = select(2, pairing.table_names(model)),
    key = tab.primary_key or pairing.key_of(model, tab), counters = {}, types = {},
  }
  for _, column in ipairs(pairing.columns(model, tab)) do target.columns[column.name] = column end
  check_names(target)
  target.folded = folded_columns(target)
  for name, column in pairs(target.columns) do
    target.types[name] = column.type
      or types.of(column.primary, column.kind, target.folded[name])
  end
  target.expressions = {
    model = model, columns = target.columns, types = target.types, product = product,
    foreign_keys = tab.foreign_keys,
  }
  return target
end

-- ---- the table ----

local function default_of(target, column, kind)
  local text, why = defaults.translate(column, kind, target.expressions.product)
  if why then
    target.warn("the default %s of column %s is left out: %s", column.default, column.name, why)
  end
  return text
end

--- What makes the column count up: an identity, or where its type can have none a sequence.
local function counter_of(target, column, type_name)
  if not column.auto_increment then return nil end
  if types.IDENTITY[type_name] then return "generated by default as identity" end
  local name = target.counters[column.name]
  if name then return ("default nextval(%s)"):format(defaults.literal(quote(name))) end
  target.warn("column %s counts up on the primary, which %s cannot on the secondary", column.name,
    type_name)
  return nil
end

local function labels_check(target, column, name)
  -- The empty text is what a value reads as that is none of the labels (index 0).
  local list = { "''" }
  for _, label in ipairs(column.labels) do
    if defaults.is_uncertain(label) then
      target.warn("the labels of column %s are not checked: %s", column.name, defaults.UNCERTAIN)
      return ""
    end
    if label ~= "" then list[#list + 1] = defaults.literal(label) end
  end
  return (" check (%s in (%s))"):format(name, table.concat(list, ", "))
end

--- What computes the column on the secondary too, or "" where it is a plain one.
local function computation_of(target, column)
  local text, why = expression.computed(target.expressions, column)
  if text then return (" generated always as (%s) stored"):format(text) end
  target.warn("column %s is computed on the primary and a plain column on the secondary, where "
    .. "it has the value that is copied: %s", column.name, why)
  return ""
end

local function column_sql(target, column)
  local pair = target.columns[column.name]
  local name, type_name = quote(pair.secondary), target.types[column.name]
  local kind = types.kind(type_name, pair.kind)
  local parts = { name, " ", type_name }
  local function add(text) parts[#parts + 1] = text end
  local counter = counter_of(target, column, type_name)
  if column.generated then
    add(computation_of(target, pair))
  elseif counter then
    add(" " .. counter)
  else
    local text = default_of(target, column, kind)
    if text then add(" default " .. text) end
  end
  if not column.nullable then add(" not null") end
  if column.labels and types.kind(type_name) == "t" then add(labels_check(target, column, name)) end
  -- The primary would take 5 for 2005.
  if column.type == "year" then
    add((" check (%s = 0 or %s between 1901 and 2155)"):format(name, name))
  end
  return table.concat(parts)
end

local function add_checks(target, lines)
  local taken = {}
  -- PostgreSQL's own names for the checks of single columns.
  for _, column in pairs(target.columns) do
    taken[("%s_%s_check"):format(target.name, column.secondary)] = true
  end
  for _, check in ipairs(target.tab.checks) do
    local text, why = expression.check(target.expressions, check)
    if text then
      lines[#lines + 1] = ("constraint %s check (%s)"):format(
        quote(names.unique(check.name, taken)), text)
    else
      target.warn("check constraint %s is left out: %s: %s", check.name, why, check.clause)
    end
  end
end

local function table_sql(target)
  local lines = {}
  for i, column in ipairs(target.tab.columns) do lines[i] = column_sql(target, column) end
  lines[#lines + 1] = ("primary key (%s)"):format(column_list(target, target.key))
  add_checks(target, lines)
  return ("create table %s (\n  %s\n)"):format(quote(target.name), table.concat(lines, ",\n  "))
end

-- ---- indexes ----

--- What the secondary does not have in an index, or nil when it can be the same.
local function foreign_kind(index)
  if index.type == "fulltext" or index.type == "spatial" then return index.type .. " index" end
  for _, name in ipairs(index.columns) do
    if name == "(expression)" then return "index on an expression" end
  end
  return not index.whole and "index on a prefix" or nil
end

local function warn_of_collations(target, what, columns)
  for _, name in ipairs(columns) do
    local column = target.tab.column[name]
    if folds(column, target.columns[name].kind)
       and (not target.folded[name] or collations.folds_accents(column.collation)) then
      target.warn("%s: for %s (%s) texts are equal on the primary that differ on the secondary%s",
        what, name, column.collation, target.folded[name] and " in their accents" or "")
    end
  end
end

local function warn_of_length(target, what, columns)
  local bytes = 0
  for _, name in ipairs(columns) do
    local column = target.tab.column[name]
    bytes = bytes + (column.length or 0) * (column.charset and LONGEST_CHARACTER or 1)
  end
  if bytes > LONGEST_ENTRY then
    target.warn("%s: the secondary refuses rows with more than %d bytes in it", what, LONGEST_ENTRY)
  end
end

local function same_columns(a, b)
  return table.concat(a, "\0") == table.concat(b, "\0")
end

local function is_descending(index)
  for i in ipairs(index.columns) do
    if index.descending[i] then return true end
  end
  return false
end

local function add_indexes(target, taken, add)
  for _, index in ipairs(target.tab.indexes) do
    local what = ("%s %s"):format(index.unique and "unique key" or "index", index.name)
    local foreign = foreign_kind(index)
    if index.name == "PRIMARY" then
      if foreign then
        target.warn("the primary key is of prefixes on the primary, of whole columns on the "
          .. "secondary")
      elseif is_descending(index) then
        target.warn("the primary key counts down on the primary, not on the secondary")
      end
    elseif foreign then
      target.warn("%s%s %s is left out", index.unique and "unique " or "", foreign, index.name)
    elseif not (index.unique and same_columns(index.columns, target.key)) then
      if index.unique then warn_of_collations(target, what, index.columns) end
      warn_of_length(target, what, index.columns)
      local name = names.unique(("%s_%s"):format(target.name, index.name), taken)
      add(("create %sindex %s on %s (%s)"):format(index.unique and "unique " or "", quote(name),
        quote(target.name), column_list(target, index.columns, index.descending)))
    end
  end
  warn_of_collations(target, "the primary key", target.key)
  warn_of_length(target, "the primary key", target.key)
end

--- Types that a sequence counts, but no identity.
local COUNTED = { ["numeric(20,0)"] = true }

--- Names that PostgreSQL gives by itself when the table is made, and those of sequences.
local function reserve(target, taken)
  taken[target.name] = true
  taken[target.name .. "_pkey"] = true
  for _, column in ipairs(target.tab.columns) do
    if column.auto_increment then
      local name = ("%s_%s_seq"):format(target.name, target.columns[column.name].secondary)
      if COUNTED[types.of(column, target.columns[column.name].kind)] then
        target.counters[column.name] = names.unique(name, taken)
      end
      taken[name] = true
    end
  end
end

-- ---- all of it ----

local function add_comments(target, add)
  local tab, name = target.tab, quote(target.name)
  if tab.comment ~= "" then
    add(("comment on table %s is %s"):format(name, defaults.literal(tab.comment)))
  end
  for _, column in ipairs(tab.columns) do
    if column.comment ~= "" then
      add(("comment on column %s.%s is %s"):format(name,
        quote(target.columns[column.name].secondary), defaults.literal(column.comment)))
    end
  end
end

local function targets_of(db, model_names, product, warnings)
  local targets, by_table = {}, {}
  for i, model_name in ipairs(model_names) do
    local target = target_of(db, model_name, product, function(format, ...)
      warnings[#warnings + 1] = { model = model_name, message = format:format(...) }
    end)
    local other = by_table[target.name]
    if other then
      refuse(target, "table %s of the secondary is model %s's too", target.name, other.model.name)
    end
    by_table[target.name], targets[i] = target, target
  end
  return targets
end

---@class dualdb.DdlStatement
---@field model string
---@field sql string
---@field comment string|nil     above it, for a reader
---@field refers_to string|nil   a foreign key: the model whose table has to be there

---@class dualdb.SchemaWarning
---@field model string
---@field message string         what is not the same on the secondary

--- The statements that make the secondary's tables, foreign keys last, and what they leave out.
--- Reads the primary only. Fails with class `schema` for what the secondary cannot have.
---@param db dualdb.Database
---@param model_names string[]
---@param options { present: table<string, table>|nil, taken: table<string, boolean>|nil }|nil
---   tables that the secondary has (else foreign keys refer to the models given alone), and names
---   of its relations
---@return dualdb.DdlStatement[], dualdb.SchemaWarning[]
function ddl.statements(db, model_names, options)
  options = options or {}
  local product = db.primary:info().product
  local statements, warnings, taken, extended = {}, {}, {}, false
  for name in pairs(options.taken or {}) do taken[name] = true end
  local targets = targets_of(db, model_names, product, warnings)
  for _, target in ipairs(targets) do reserve(target, taken) end
  for _, target in ipairs(targets) do
    local comment = ("model %s"):format(target.model.name)
    local function add(text)
      statements[#statements + 1] = { model = target.model.name, sql = text, comment = comment }
      comment = nil
    end
    if next(target.folded) and not extended then
      add("create extension if not exists citext")
      extended = true
    end
    for _, name in pairs(target.counters) do add("create sequence " .. quote(name)) end
    add(table_sql(target))
    for column, name in pairs(target.counters) do
      add(("alter sequence %s owned by %s.%s"):format(quote(name), quote(target.name),
        quote(target.columns[column].secondary)))
    end
    add_indexes(target, taken, add)
    add_comments(target, add)
  end
  foreign_keys.add(db, targets, options.present or {}, statements)
  return statements, warnings
end

return ddl
