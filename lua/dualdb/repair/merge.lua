--- dualdb.merge: a strategy that takes each column from where the project says.

local core = require "dualdb.core"

local merge = {}

local function smaller(order, sign) return order * sign < 0 and "secondary" or "primary" end

--- Which side's value a rule takes: (difference, column) -> side, or nil and why not.
local RULES = {
  primary = function() return "primary" end,
  secondary = function() return "secondary" end,
  max = function(difference, column) return smaller(difference.compare(column), 1) end,
  -- NULL is smaller than all, and no value.
  min = function(difference, column, a, b)
    if a[column] == core.NULL then return "secondary" end
    if b[column] == core.NULL then return "primary" end
    return smaller(difference.compare(column), -1)
  end,
  newest = function(difference)
    return difference.newest, difference.tie
  end,
}

local NAMES = "primary, secondary, max, min, newest or a function"

--- What a strategy of merge needs of a model, for a check before anything is read.
local needs = setmetatable({}, { __mode = "k" })

local function check(rules, otherwise)
  if type(rules) ~= "table" then
    error("merge: a table from columns to rules expected", 3)
  end
  if not RULES[otherwise] then
    error(("merge: %s is no rule for the other columns"):format(tostring(otherwise)), 3)
  end
  for column, rule in pairs(rules) do
    if type(column) ~= "string" or not (RULES[rule] or type(rule) == "function") then
      error(("merge: %s: expected %s"):format(tostring(column), NAMES), 3)
    end
  end
end

--- A strategy that makes one row of two. For each column that differs `rules` says whose value is
--- taken: "primary", "secondary", "max", "min" (NULL never wins these two), "newest" (of the row
--- whose watermark is larger), or function(primary_value, secondary_value, primary_row,
--- secondary_row) -> value. Columns without a rule follow `otherwise`. A row that one side lacks
--- comes from the other; nothing is deleted.
---@param rules table<string, string|function>
---@param otherwise string|nil   default "primary"
---@return function   a strategy
function merge.strategy(rules, otherwise)
  otherwise = otherwise or "primary"
  check(rules, otherwise)
  local function strategy(a, b, difference)
    if not b then return "primary" end
    if not a then return "secondary" end
    local merged = {}
    for name, value in pairs(a) do merged[name] = value end
    for _, column in ipairs(difference.columns) do
      local rule = rules[column] or otherwise
      if type(rule) == "function" then
        merged[column] = rule(a[column], b[column], a, b)
      else
        local side, why = RULES[rule](difference, column, a, b)
        if not side then return "skip", why end
        if side == "secondary" then merged[column] = b[column] end
      end
    end
    return merged
  end
  local watermark = otherwise == "newest"
  for _, rule in pairs(rules) do watermark = watermark or rule == "newest" end
  needs[strategy] = { watermark = watermark, columns = rules }
  return strategy
end

--- What a strategy needs: { watermark = boolean, columns = names }; nil when it is none of these.
function merge.needs(strategy) return needs[strategy] end

return merge
