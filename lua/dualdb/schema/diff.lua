--- What is not the same in the two sides' tables: by meaning, not by text. What dualdb does not
--- carry at all is a note.

local diff_columns = require "dualdb.schema.diff_columns"
local diff_expressions = require "dualdb.schema.diff_expressions"
local diff_keys = require "dualdb.schema.diff_keys"
local errors = require "dualdb.errors"
local pairing = require "dualdb.schema.pairing"
local Schema = require "dualdb.schema"

local diff = {}

---@class dualdb.SchemaDifference
---@field model string
---@field kind string             "table", "column", "type", "not null", "default", "identity", ...
---@field name string             of the table, column or key, as the primary has it where it does
---@field primary string          what is there
---@field secondary string
---@field message string
---@field hint string|nil         a way out

---@class dualdb.SchemaNote
---@field model string|nil
---@field message string

---@class dualdb.SchemaDiff
---@field differences dualdb.SchemaDifference[]
---@field notes dualdb.SchemaNote[]   what is not compared, or not carried

local function adder(result, model_name)
  return function(kind, fields)
    fields.model, fields.kind = model_name, kind
    table.insert(result.differences, fields)
  end, function(message)
    table.insert(result.notes, { model = model_name, message = message })
  end
end

local function models_by_table(db)
  local map = {}
  for _, name in ipairs((db:model_names())) do
    local model = db:model_definition(name)
    map[(pairing.table_names(model))] = model
  end
  return map
end

--- The columns of the model, or nil after a difference when the primary's table cannot be a model.
local function columns_of(model, tab, add)
  local ok, columns = pcall(pairing.columns, model, tab)
  if ok then return columns end
  if not (errors.is(columns) and columns.class == "schema") then error(columns, 0) end
  add("type", {
    name = tab.name, primary = "cannot be represented", secondary = "not compared",
    message = columns.message:gsub("^model .-: ", ""),
  })
  return nil
end

local function compare(db, name, parents, product, result)
  local add, note = adder(result, name)
  local model = db:model_definition(name)
  local primary_name, secondary_name = pairing.table_names(model)
  local tab, other = db.schema:table("primary", primary_name),
    db.schema:table("secondary", secondary_name)
  if not tab or not other then
    local side, missing = "primary", primary_name
    if tab then side, missing = "secondary", secondary_name end
    add("table", {
      name = missing, primary = tab and "there" or "missing",
      secondary = other and "there" or "missing",
      message = ("table %s does not exist on the %s"):format(missing, side),
      hint = tab and "`dualdb schema apply` makes it from the primary's." or nil,
    })
    return
  end
  local columns = columns_of(model, tab, add)
  if not columns then return end
  local context = {
    db = db, model = model, tab = tab, other = other, columns = columns, by_name = {},
    key = pairing.key_of(model, tab), add = add, note = note, models_by_table = parents,
    product = product,
  }
  for _, column in ipairs(columns) do context.by_name[column.name] = column end
  diff_columns.run(context)
  diff_keys.run(context)
  diff_expressions.run(context)
end

-- ---- what no model stands for ----

local OBJECTS = [[
select 'view' as kind, table_name as name from information_schema.views
 where table_schema = database()
union all select 'trigger', trigger_name from information_schema.triggers
 where trigger_schema = database()
union all select lower(routine_type), routine_name from information_schema.routines
 where routine_schema = database()
union all select 'event', event_name from information_schema.events where event_schema = database()
order by 1, 2]]

--- Views, triggers and routines of the primary, and the secondary's tables that are no model's.
local function note_the_rest(db, result)
  local _, note = adder(result, nil)
  for _, row in ipairs(db.primary:query(OBJECTS)) do
    note(("%s %s of the primary is not carried"):format(row.kind, row.name))
  end
  local names, without_key = db:model_names()
  local is_model = {}
  for _, name in ipairs(names) do
    is_model[select(2, pairing.table_names(db:model_definition(name)))] = true
  end
  for _, name in ipairs(without_key) do
    note(("table %s has no primary key and is not a model"):format(name))
  end
  for _, name in ipairs(select(2, db.schema:tables("secondary"))) do
    if not is_model[name] and not Schema.is_own(name) then
      note(("table %s of the secondary belongs to no model"):format(name))
    end
  end
end

--- Compares the tables of the models on both sides. Leaves nothing written.
---@param db dualdb.Database
---@param model_names string[]|nil   default: all, and what no model stands for is noted
---@return dualdb.SchemaDiff
function diff.run(db, model_names)
  local result = { differences = {}, notes = {} }
  db:refresh()
  local product, parents = db.primary:info().product, models_by_table(db)
  for _, name in ipairs(model_names or (db:model_names())) do
    compare(db, name, parents, product, result)
  end
  if not model_names then note_the_rest(db, result) end
  return result
end

return diff
