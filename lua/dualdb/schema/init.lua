--- The tables of both sides, read when they are first asked for.

local mysql = require "dualdb.schema.mysql"
local postgres = require "dualdb.schema.postgres"

local INSPECT = { mysql = mysql.inspect, postgres = postgres.inspect }

---@class dualdb.Schema
local Schema = {}
Schema.__index = Schema

--- dualdb's own tables are never models.
Schema.OWN_PREFIX = "dualdb_"

---@param sides { primary: dualdb.Side, secondary: dualdb.Side }
function Schema.new(sides)
  return setmetatable({ sides = sides, known = {} }, Schema)
end

--- Name -> table, and the names in order, of one side.
---@param side_name "primary"|"secondary"
function Schema:tables(side_name)
  local known = self.known[side_name]
  if not known then
    local side = self.sides[side_name]
    local tables, names = side:with(INSPECT[side.driver])
    known = { tables = tables, names = names }
    self.known[side_name] = known
  end
  return known.tables, known.names
end

--- One table, or nil.
function Schema:table(side_name, name)
  return self:tables(side_name)[name]
end

--- Forgets what was read: the tables have changed.
function Schema:refresh()
  self.known = {}
end

---@param name string
function Schema.is_own(name)
  return name:sub(1, #Schema.OWN_PREFIX) == Schema.OWN_PREFIX
end

return Schema
