--- Repair strategies: which side's row is right. A strategy is a function
--- (primary_row, secondary_row, difference, model) -> "primary" | "secondary" | "skip", reason |
--- row. See dualdb.StrategyDifference and dualdb.StrategyModel for the last two.

local ask = require "dualdb.repair.ask"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local merge = require "dualdb.repair.merge"

local strategies = {}

local function newest_wins(_, _, difference)
  if difference.newest then return difference.newest end
  return "skip", difference.tie
end

strategies.built_in = {
  primary_wins = function() return "primary" end,
  secondary_wins = function() return "secondary" end,
  newest_wins = newest_wins,
  ask = ask.strategy(),
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
  local own = db.config.strategies[wanted]
  -- What a person said for all that follow is for one run.
  if wanted == "ask" and not own then
    ask.check()
    return ask.strategy(), wanted
  end
  local found = own or strategies.built_in[wanted]
  if found then return found, wanted end
  local known = {}
  for name in pairs(strategies.built_in) do known[#known + 1] = name end
  for name in pairs(db.config.strategies) do known[#known + 1] = name end
  table.sort(known)
  return errors.usage("unknown strategy %s (known: %s)", tostring(wanted),
    table.concat(known, ", "))
end

local function fail(spec, format, ...)
  error(errors.make("config", ("model %s: "):format(spec.name) .. format:format(...), {
    model = spec.name, file = spec.model.file, line = spec.model.line,
  }), 0)
end

--- Kinds whose values grow with time.
local GROWS = "[idgfDTS]"

local function check_watermark(spec, name)
  local watermark = spec.model.watermark
  if not watermark then
    fail(spec, "strategy %s needs a watermark, and the model has none", name)
  end
  local index = spec.index[watermark]
  if not index then fail(spec, "the watermark %s is no column", watermark) end
  local kind = spec.columns[index].kind
  if not kind:find(GROWS) then
    fail(spec, "the watermark %s is a column of kind %s, which does not say what is newer",
      watermark, core.kind_name(kind))
  end
end

--- Fails with class `config` when a strategy needs what the model does not have.
---@param spec dualdb.Spec
---@param strategy function
---@param name string   for messages
function strategies.check(spec, strategy, name)
  local needs = merge.needs(strategy) or { columns = {} }
  if strategy == newest_wins or needs.watermark then check_watermark(spec, name) end
  for column in pairs(needs.columns) do
    if not spec.index[column] then
      fail(spec, "strategy %s: there is no column %s to merge", name, column)
    end
  end
end

return strategies
