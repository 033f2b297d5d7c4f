--- The order in which models are written: tables before the tables that refer to them.

local pairing = require "dualdb.schema.pairing"

local order = {}

--- Model names, parents first; a cycle of foreign keys is cut where it is entered.
---@param db dualdb.Database
---@param names string[]
---@return string[]
function order.parents_first(db, names)
  local by_table = {}
  for _, name in ipairs(names) do
    by_table[(pairing.table_names(db:model_definition(name)))] = name
  end
  local sorted, state = {}, {}
  local function visit(name)
    if state[name] then return end
    state[name] = true
    local table_name = pairing.table_names(db:model_definition(name))
    local tab = db.schema:table("primary", table_name)
    for _, key in ipairs(tab and tab.foreign_keys or {}) do
      local parent = by_table[key.referenced_table]
      if parent and parent ~= name then visit(parent) end
    end
    sorted[#sorted + 1] = name
  end
  for _, name in ipairs(names) do visit(name) end
  return sorted
end

return order
