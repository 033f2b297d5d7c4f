--- Makes the secondary's tables that are not there yet.

local ddl = require "dualdb.schema.ddl"
local errors = require "dualdb.errors"
local order = require "dualdb.order"
local pairing = require "dualdb.schema.pairing"

local apply = {}

---@class dualdb.ApplyResult
---@field model string
---@field table string         the secondary's
---@field created boolean      false: it was there, and fits
---@field statements integer
---@field warnings string[]    what is not the same on the secondary

local RELATIONS = [[
select c.relname::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = current_schema()]]

local function relations(db)
  local taken = {}
  for _, row in ipairs(db.secondary:query(RELATIONS)) do taken[row.name] = true end
  return taken
end

--- Models whose tables are made in one transaction: each by itself, parents first, but those of a
--- cycle of foreign keys together. So no table is ever there without its keys.
local function groups_of(db, model_names, statements)
  local sorted, position, joined = order.parents_first(db, model_names), {}, {}
  for i, name in ipairs(sorted) do position[name] = i end
  for _, statement in ipairs(statements) do
    local parent = position[statement.refers_to]
    for i = position[statement.model], (parent or 0) - 1 do joined[i] = true end
  end
  local groups, current = {}, nil
  for i, name in ipairs(sorted) do
    if not current then
      current = { names = {}, has = {} }
      groups[#groups + 1] = current
    end
    current.names[#current.names + 1] = name
    current.has[name] = true
    if not joined[i] then current = nil end
  end
  return groups
end

local CITEXT = [[
select exists (select from pg_available_extensions where name = 'citext') as available]]

--- A model that wants citext of a server that has none is refused before anything is made.
local function check_citext(db, model_names)
  local available
  for _, name in ipairs(model_names) do
    if db:model_definition(name).unique == "citext" then
      if available == nil then available = db.secondary:query(CITEXT)[1].available end
      if not available then
        error(errors.make("schema", ("model %s: unique is \"citext\", and the secondary does not "
          .. "have the extension citext"):format(name), {
          model = name, side = "secondary",
          hint = "Install PostgreSQL's contrib modules, or leave `unique` out of the model.",
        }))
      end
    end
  end
end

local function make(db, group, statements, results)
  db.secondary:transaction(function(conn)
    for _, statement in ipairs(statements) do
      if group.has[statement.model] then
        local ok, err = pcall(conn.execute, conn, statement.sql)
        if not ok then
          if errors.is(err) then err.model = err.model or statement.model end
          error(err, 0)
        end
        local result = results[statement.model]
        result.statements = result.statements + 1
      end
    end
  end)
  for _, name in ipairs(group.names) do results[name].created = true end
end

--- Makes the tables of the models on the secondary, from the primary's. A table that is there is
--- left alone, but has to fit: if one does not, nothing is done and the error has class `schema`. A
--- model's table comes with everything it has, or not at all.
---@param db dualdb.Database
---@param model_names string[]|nil   default: all
---@param options { progress: fun(result: dualdb.ApplyResult)|nil }|nil   called for each table made
---@return dualdb.ApplyResult[]      in the order of the names
function apply.run(db, model_names, options)
  model_names = model_names or db:model_names()
  local progress = options and options.progress
  db:refresh()
  local guard <close> = setmetatable({}, { __close = function() db:refresh() end })
  local present = db.schema:tables("secondary")
  local list, results, missing = {}, {}, {}
  for _, name in ipairs(model_names) do
    if not results[name] then
      local _, table_name = pairing.table_names(db:model_definition(name))
      local result = {
        model = name, table = table_name, created = false, statements = 0, warnings = {},
      }
      list[#list + 1], results[name] = result, result
      if present[table_name] then db:spec(name) else missing[#missing + 1] = name end
    end
  end
  if #missing == 0 then return list end
  check_citext(db, missing)
  local statements, warnings = ddl.statements(db, missing, {
    present = present, taken = relations(db),
  })
  for _, warning in ipairs(warnings) do
    local of_model = results[warning.model].warnings
    of_model[#of_model + 1] = warning.message
  end
  for _, group in ipairs(groups_of(db, missing, statements)) do
    make(db, group, statements, results)
    for _, name in ipairs(progress and group.names or {}) do progress(results[name]) end
  end
  return list
end

return apply
