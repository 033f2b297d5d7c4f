--- The tables of both sides, read when they are first asked for.

local mysql = require "dualdb.schema.mysql"
local postgres = require "dualdb.schema.postgres"
local remembered = require "dualdb.schema.remembered"

local INSPECT = { mysql = mysql.inspect, postgres = postgres.inspect }

---@class dualdb.Schema
local Schema = {}
Schema.__index = Schema

--- dualdb's own tables are never models.
Schema.OWN_PREFIX = "dualdb_"

---@param sides { primary: dualdb.Side, secondary: dualdb.Side, state: dualdb.State|nil }
function Schema.new(sides)
  return setmetatable({ sides = sides, known = {} }, Schema)
end

--- Reads a side's tables, and remembers them for the time when it is down.
local function read(self, side_name)
  local side, state = self.sides[side_name], self.sides.state
  local tables, names = side:with(INSPECT[side.driver])
  local known = { tables = tables, names = names }
  if state then
    local packed = remembered.pack(known)
    local name = "schema_" .. side_name
    if state:get(name) ~= packed then state:set(name, packed) end
  end
  return known
end

--- Says which side is down: as long as it is, its tables are what they were. Writes and reads that
--- go on without it need no more; nothing else may take them for what they are.
---@param side_name "primary"|"secondary"|nil
function Schema:without(side_name)
  self.down = side_name
  self.recalled = nil
end

local function recall(self, side_name)
  if not self.recalled then
    local text = self.sides.state and self.sides.state:get("schema_" .. side_name)
    self.recalled = text and remembered.unpack(text) or read(self, side_name)
    for _, tab in pairs(self.recalled.tables) do
      tab.estimated_rows, tab.estimated_bytes = tab.estimated_rows or 0, tab.estimated_bytes or 0
    end
  end
  return self.recalled
end

--- Name -> table, and the names in order, of one side.
---@param side_name "primary"|"secondary"
function Schema:tables(side_name)
  local known = self.known[side_name]
  if not known and self.down == side_name then
    known = recall(self, side_name)
  elseif not known then
    known = read(self, side_name)
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
