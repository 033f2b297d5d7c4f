--- Foreign keys of the secondary's tables. They matter for more than order: what they delete or
--- change on the primary by themselves, they have to delete or change on the secondary.

local core = require "dualdb.core"
local names = require "dualdb.schema.names"
local pairing = require "dualdb.schema.pairing"

local foreign_keys = {}

local function quote(name) return core.quote("postgres", name) end

--- What is not here is `no action`, and so is MySQL's `restrict`, which means the same there;
--- PostgreSQL's could not wait for the end of the transaction.
local RULES = { CASCADE = "cascade", ["SET NULL"] = "set null", ["SET DEFAULT"] = "set default" }

local function rules(key)
  local parts = {}
  for _, event in ipairs { "delete", "update" } do
    local rule = RULES[key["on_" .. event]:upper()]
    if rule then parts[#parts + 1] = (" on %s %s"):format(event, rule) end
  end
  return table.concat(parts)
end

--- Whether the columns, in any order, are exactly those of a key.
local function is_key(columns, wanted)
  if #columns ~= #wanted then return false end
  local has = {}
  for _, name in ipairs(columns) do has[name] = true end
  for _, name in ipairs(wanted) do
    if not has[name] then return false end
  end
  return true
end

local function has_key(primary_key, indexes, wanted)
  if primary_key and is_key(primary_key, wanted) then return true end
  for _, index in ipairs(indexes) do
    if index.unique and index.whole and is_key(index.columns, wanted) then return true end
  end
  return false
end

---@class dualdb.Parent        the table that a foreign key refers to
---@field model string
---@field name string            the secondary's table
---@field columns table<string, table>   of pairing.columns, by the primary's name
---@field kinds table<string, string>    by the primary's name
---@field has_key fun(columns: string[]): boolean   the primary's names

local function is_partial(model)
  return model.sync and (model.sync.filter or model.sync.transform)
end

local function planned_parent(target)
  return {
    model = target.model, name = target.name, columns = target.columns,
    has_key = function(wanted) return has_key(target.key, target.tab.indexes, wanted) end,
  }
end

--- A model whose table is on the secondary already.
local function present_parent(db, model, tab)
  local parent = { model = model, name = tab.name, columns = {} }
  local primary = pairing.primary_table(model, db.schema)
  for _, column in ipairs(pairing.columns(model, primary)) do
    if not tab.column[column.secondary] then return nil end
    parent.columns[column.name] = column
  end
  function parent.has_key(wanted)
    local there = {}
    for i, name in ipairs(wanted) do there[i] = parent.columns[name].secondary end
    return has_key(tab.primary_key, tab.indexes, there)
  end
  return parent
end

--- Parents by the primary's table: those that are made now, and models that are there.
local function parents_of(db, targets, present)
  local parents, known = {}, {}
  for _, target in ipairs(targets) do parents[target.tab.name] = planned_parent(target) end
  for _, name in ipairs(db:model_names()) do
    local model = db:model_definition(name)
    local primary_name, secondary_name = pairing.table_names(model)
    known[primary_name] = name
    local tab = present[secondary_name]
    if not parents[primary_name] and tab then
      parents[primary_name] = present_parent(db, model, tab)
    end
  end
  return parents, known
end

--- Why the secondary cannot have the key; nil when it can.
local function obstacle(target, key, parent, known)
  if key.elsewhere then return "it refers to another database" end
  if not parent then
    local model = known[key.referenced_table]
    if model then return ("model %s is neither made with it nor there"):format(model) end
    return ("table %s is no model"):format(key.referenced_table)
  end
  if is_partial(parent.model) then
    return ("model %s has a filter or a transform, and may lack rows"):format(parent.model.name)
  end
  for i, name in ipairs(key.columns) do
    local column, other = target.columns[name], parent.columns[key.referenced_columns[i]]
    if column.kind ~= other.kind then
      return ("column %s does not fit %s of model %s"):format(name, other.name, parent.model.name)
    end
  end
  if not parent.has_key(key.referenced_columns) then
    return ("(%s) is no unique key of model %s on the secondary"):format(
      table.concat(key.referenced_columns, ", "), parent.model.name)
  end
  return nil
end

local function column_list(columns, wanted)
  local list = {}
  for i, name in ipairs(wanted) do list[i] = quote(columns[name].secondary) end
  return table.concat(list, ", ")
end

--- Deferrable, so that a transaction may write the rows of a cycle, or a table that refers to
--- itself, in any order.
local function statement(target, key, parent)
  local text = "alter table %s add constraint %s foreign key (%s) references %s (%s)%s deferrable"
  return text:format(quote(target.name), quote(names.short(key.name)),
    column_list(target.columns, key.columns), quote(parent.name),
    column_list(parent.columns, key.referenced_columns), rules(key))
end

--- Texts that are equal on the primary alone make rows whose parent the secondary does not find.
local function warn_of_collations(target, key)
  for _, name in ipairs(key.columns) do
    local column = target.tab.column[name]
    if target.columns[name].kind == "t" and column.type ~= "enum" and column.collation
       and not column.collation:find("_bin$") then
      target.warn("foreign key %s: %s (%s) has to be written as in the row it refers to", key.name,
        name, column.collation)
    end
  end
end

--- Adds the statements of all targets' foreign keys, and warns of those that cannot be.
---@param db dualdb.Database
---@param targets dualdb.Target[]
---@param present table<string, table>   the secondary's tables
---@param statements dualdb.DdlStatement[]
function foreign_keys.add(db, targets, present, statements)
  local parents, known
  for _, target in ipairs(targets) do
    local comment = ("foreign keys of model %s"):format(target.model.name)
    for _, key in ipairs(target.tab.foreign_keys) do
      if not parents then parents, known = parents_of(db, targets, present) end
      local parent = parents[key.referenced_table]
      local why = obstacle(target, key, parent, known)
      if why then
        local does = rules(key)
        target.warn("foreign key %s%s is left out: %s", key.name,
          does ~= "" and (" (%s)"):format(does:sub(2)) or "", why)
      else
        warn_of_collations(target, key)
        statements[#statements + 1] = {
          model = target.model.name, sql = statement(target, key, parent), comment = comment,
          refers_to = parent.model.name,
        }
        comment = nil
      end
    end
  end
end

return foreign_keys
