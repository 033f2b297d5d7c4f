--- Repair strategies: which side's row is right. A strategy is a function
--- (primary_row, secondary_row, difference) -> "primary" | "secondary" | "skip" | row.

local errors = require "dualdb.errors"

local strategies = {}

strategies.built_in = {
  primary_wins = function() return "primary" end,
  secondary_wins = function() return "secondary" end,
}

--- What a strategy says whatever the rows, or nil when it has to be asked.
---@param strategy function
---@return "primary"|"secondary"|nil
function strategies.always(strategy)
  if strategy == strategies.built_in.primary_wins then return "primary" end
  if strategy == strategies.built_in.secondary_wins then return "secondary" end
  return nil
end

--- The strategy function for a name or a function, and the name to report.
---@param db dualdb.Database
---@param wanted string|function|nil
---@return function, string
function strategies.find(db, wanted)
  wanted = wanted or "primary_wins"
  if type(wanted) == "function" then return wanted, "function" end
  local found = db.config.strategies[wanted] or strategies.built_in[wanted]
  if found then return found, wanted end
  local known = {}
  for name in pairs(strategies.built_in) do known[#known + 1] = name end
  for name in pairs(db.config.strategies) do known[#known + 1] = name end
  table.sort(known)
  return errors.usage("unknown strategy %s (known: %s)", tostring(wanted),
    table.concat(known, ", "))
end

return strategies
