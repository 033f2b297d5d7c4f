--- Expressions of the primary, in check constraints and computed columns, as PostgreSQL's: those
--- that mean exactly the same on both sides for every row, and why not for all others.

local columns = require "dualdb.schema.expression_columns"
local parse = require "dualdb.schema.expression_parse"
local pgtype = require "dualdb.schema.pgtype"
local policies = require "dualdb.policies"
local tokens = require "dualdb.schema.expression_tokens"
local values = require "dualdb.schema.expression_values"
local write = require "dualdb.schema.expression_write"

local expression = {}

---@class dualdb.ExpressionTable   what expressions of a table refer to
---@field model dualdb.Model
---@field columns table<string, table>   of pairing.columns, by the primary's name
---@field types table<string, table>     each one's type on the secondary, as schema/pgtype.lua
---   describes one; a text is parsed
---@field foreign_keys table[]           the primary's
---@field product "mysql"|"mariadb"

local function type_of(tab, name)
  local found = tab.types[name]
  if type(found) == "string" then return pgtype.parse(found) end
  return found
end

--- PostgreSQL changes no computed column when the parent of a foreign key changes.
local function is_in_foreign_key(tab, name)
  for _, key in ipairs(tab.foreign_keys) do
    for _, column in ipairs(key.columns) do
      if column == name then return true end
    end
  end
  return false
end

local function environment(tab, computes)
  return {
    -- MySQL's information_schema has each byte of a character as a character.
    shows_characters = tab.product == "mariadb",
    column = function(name)
      local column = tab.columns[name]
      if not column then tokens.refuse("column %s is not known", name) end
      if computes and column.primary.generated then
        tokens.refuse("PostgreSQL computes no column from another computed one, %s", name)
      end
      if policies.may_change(tab.model, column) then
        tokens.refuse("a policy may change column %s on the secondary", name)
      end
      return columns.value(column, type_of(tab, name))
    end,
  }
end

local function translate(tab, text, computes, finish)
  local ok, result = pcall(function()
    if (tab.model.sync or {}).transform then
      tokens.refuse("the model's transform may change the row")
    end
    if tab.product == "mysql" then text = tokens.unescape(text) end
    return finish(write.value(parse.tree(text), environment(tab, computes)))
  end)
  if ok then return result.sql end
  local reason = tokens.reason(result)
  if not reason then error(result, 0) end
  return nil, reason
end

--- The condition of a check constraint in PostgreSQL's words; or nil, and why there is none.
---@param tab dualdb.ExpressionTable
---@param check { clause: string, enforced: boolean }
---@return string|nil, string|nil
function expression.check(tab, check)
  if not check.enforced then return nil, "it is not enforced" end
  return translate(tab, check.clause, false, values.truth)
end

--- What a computed column is computed from, in PostgreSQL's words; or nil, and why it stays plain.
---@param tab dualdb.ExpressionTable
---@param column table   of pairing.columns
---@return string|nil, string|nil
function expression.computed(tab, column)
  local name, there = column.name, type_of(tab, column.name)
  if column.key then return nil, "it is part of the key" end
  if not there then return nil, "its type is the database's own" end
  if policies.may_change(tab.model, column) then return nil, "a policy may change it" end
  if is_in_foreign_key(tab, name) then return nil, "a foreign key has it" end
  return translate(tab, column.primary.expression, true, function(value)
    return columns.assign(tab.columns[name], there, value, values)
  end)
end

return expression
