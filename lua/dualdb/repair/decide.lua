--- What is to become of one difference: the strategy's word, and the row that both sides shall
--- have.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local strategies = require "dualdb.strategies"

local decide = {}

---@class dualdb.StrategyDifference   what a strategy is given of a difference, beside the rows
---@field model string
---@field kind "missing"|"extra"|"changed"
---@field key table<string, any>
---@field columns string[]      that differ; none where a row is missing
---@field newest "primary"|"secondary"|nil   by the model's watermark; nil: `tie` says why
---@field tie string|nil
---@field compare fun(column: string): integer|nil   -1, 0 or 1: the primary's value is smaller,
---                                                  the same or larger; NULL is smaller than all

---@class dualdb.StrategyModel        the model, as a strategy sees it
---@field name string
---@field key string[]
---@field columns string[]
---@field watermark string|nil

local function compare(spec, found, name)
  local index = spec.index[name]
  if not index then error(("model %s has no column %s"):format(spec.name, tostring(name)), 0) end
  return core.compare_rows(spec.columns[index].kind, core.pick(found.primary, { index }),
    core.pick(found.secondary, { index }))
end

--- Which side's row is newer by the watermark, or nil and why that is not known. A row that only
--- one side has is the newer one: its absence has no time.
local function newest(spec, found)
  if not found.secondary then return "primary" end
  if not found.primary then return "secondary" end
  local name = spec.model.watermark
  if not name then return nil, "the model has no watermark" end
  local order = compare(spec, found, name)
  if order == 0 then return nil, ("the watermark %s is the same on both sides"):format(name) end
  return order > 0 and "primary" or "secondary"
end

--- What a strategy is called with.
local function arguments(spec, found)
  local a = found.primary and row.unpack(spec, found.primary)
  local b = found.secondary and row.unpack(spec, found.secondary)
  local newer, tie = newest(spec, found)
  return a, b, {
    model = spec.name, kind = found.kind, key = row.unpack_key(spec, found.key),
    columns = a and b and row.changed_columns(spec, found.primary, found.secondary) or {},
    newest = newer, tie = tie,
    compare = function(name) return a and b and compare(spec, found, name) or nil end,
  }, {
    name = spec.name, key = table.move(spec.key_names, 1, spec.key_count, 1, {}),
    columns = table.move(spec.names, 1, #spec.names, 1, {}), watermark = spec.model.watermark,
  }
end

--- A row that the strategy has made.
local function own_row(spec, found, said)
  local ok, packed = pcall(row.pack, spec, said)
  if not ok then return "skip", "strategy's row: " .. tostring(packed) end
  if core.prefix(packed, spec.key_count) ~= found.key then
    return "skip", "strategy changed the key"
  end
  local crossed, column, reason = fetch.crossing(spec):apply(packed)
  if not crossed then
    return "skip", "strategy's row: " .. quarantine.text(spec.names[column], reason)
  end
  return "row", crossed
end

--- What a strategy said, as "row" and the canonical row that both sides shall have (nil: no row),
--- or "skip", reason; "refused", reason when the primary's row cannot cross.
---@param spec dualdb.Spec
---@param strategy function
---@param found dualdb.Found
---@return "row"|"skip"|"refused", string|nil
function decide.row(spec, strategy, found)
  local ok, said, why = true, strategies.always(strategy), nil
  if not said then ok, said, why = pcall(strategy, arguments(spec, found)) end
  if not ok then
    if core.is_error(said) and said.class == "canceled" then error(said, 0) end
    return "skip", "strategy failed: " .. tostring(said)
  end
  if said == "primary" then
    if found.reason then return "refused", quarantine.text(found.column, found.reason) end
    return "row", found.primary
  end
  if said == "secondary" then return "row", found.secondary end
  if said == "skip" then
    return "skip", type(why) == "string" and "strategy: " .. why or "strategy said so"
  end
  if type(said) == "table" then return own_row(spec, found, said) end
  return "skip", ("strategy returned %s"):format(tostring(said))
end

return decide
