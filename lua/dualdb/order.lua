--- The order in which models are written: tables before the tables that refer to them.

local pairing = require "dualdb.schema.pairing"

local order = {}

--- The models among those given, by their tables.
local function models_by_table(db, names)
  local by_table = {}
  for _, name in ipairs(names) do
    by_table[(pairing.table_names(db:model_definition(name)))] = name
  end
  return by_table
end

--- Calls fn with the name of each model, of those by_table, that a model's rows refer to.
local function each_parent(db, by_table, name, fn)
  local tab = db.schema:table("primary", (pairing.table_names(db:model_definition(name))))
  for _, key in ipairs(tab and tab.foreign_keys or {}) do
    local parent = by_table[key.referenced_table]
    if parent and parent ~= name then fn(parent) end
  end
end

--- For each of the names, in the order of parents_first, those before it that its rows refer to.
---@param db dualdb.Database
---@param sorted string[]
---@return table<string, string[]>
function order.parents(db, sorted)
  local by_table, before, result = models_by_table(db, sorted), {}, {}
  for _, name in ipairs(sorted) do
    result[name] = {}
    each_parent(db, by_table, name, function(parent)
      if before[parent] then table.insert(result[name], parent) end
    end)
    before[name] = true
  end
  return result
end

--- Model names, parents first; a cycle of foreign keys is cut where it is entered.
---@param db dualdb.Database
---@param names string[]
---@return string[]
function order.parents_first(db, names)
  local by_table = models_by_table(db, names)
  local sorted, state = {}, {}
  local function visit(name)
    if state[name] then return end
    state[name] = true
    each_parent(db, by_table, name, visit)
    sorted[#sorted + 1] = name
  end
  for _, name in ipairs(names) do visit(name) end
  return sorted
end

return order
