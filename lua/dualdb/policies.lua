--- Policies: what a model declares about values that the secondary cannot hold. The default of each
--- is to refuse the row.

local core = require "dualdb.core"

local policies = {}

local function is_date(value)
  if type(value) ~= "string" or not value:match("^%d%d%d%d%-%d%d%-%d%d$") then return false end
  return (pcall(core.pack, "D", { value }))
end

local function words(...)
  local known = {}
  for _, word in ipairs { ... } do known[word] = true end
  return function(value) return known[value] or false end
end

local function zero_dates(value)
  return value == "refuse" or value == "null" or value == "infinity" or is_date(value)
end

--- Floats have 15 digits that survive every way there and back.
local MOST_DIGITS = 15
--- And those of 32 bits have six.
local MOST_SINGLE_DIGITS = 6

local function float_digits(value)
  return math.type(value) == "integer" and value >= 1 and value <= MOST_DIGITS
end

--- Per policy: what checks its value, and how a message calls what is expected.
policies.RULES = {
  zero_dates = { zero_dates, '"refuse", "null", "infinity" or a date as "1970-01-01"' },
  nul = { words("refuse", "strip", "replace"), '"refuse", "strip" or "replace"' },
  time_range = { words("refuse", "clamp", "null"), '"refuse", "clamp" or "null"' },
  overflow = { words("refuse", "clamp", "null"), '"refuse", "clamp" or "null"' },
  invalid_utf8 = { words("refuse", "replace"), '"refuse" or "replace"' },
  float_digits = { float_digits, "a number of digits from 1 to 15" },
}

--- The policies that can apply to values of a kind.
local BY_KIND = {
  b = { "overflow" }, i = { "overflow" }, d = { "overflow" },
  f = { "float_digits" }, g = { "float_digits" },
  t = { "nul", "invalid_utf8", "overflow" }, j = { "nul" },
  D = { "zero_dates" }, S = { "zero_dates" }, T = { "time_range" },
  u = {},  -- but values that could not be read are refused
}

--- The policies of a column: its own before the model's before the project's. Those of the model
--- and the project do not apply to a key, since a key that changes is another row.
---@param model dualdb.Model
---@param name string
---@return table
function policies.of(model, name)
  local all = model.policies or {}
  local own = (all.columns or {})[name] or {}
  local found = {}
  for policy in pairs(policies.RULES) do
    local value = own[policy]
    if value == nil then value = all[policy] end
    found[policy] = value
  end
  return found
end

--- A model's policies over the project's.
function policies.merge(project, model)
  if not project then return model end
  local merged = {}
  for name, value in pairs(project) do merged[name] = value end
  for name, value in pairs(model or {}) do merged[name] = value end
  return merged
end

--- Whether a declared policy takes what the secondary's type cannot hold; `problem` is what
--- schema/capacity.lua says. Also "refuse", when it is declared: rows are refused then, not tables.
---@return boolean
function policies.accept(model, column, problem)
  if column.key then return false end
  local own = policies.of(model, column.name)
  if problem == "would round" then
    return own.float_digits ~= nil and column.primary.kind == "g"
  end
  if own.overflow == nil then return false end
  return problem == "has a smaller range" or problem:find("^holds %d+ characters$") ~= nil
end

--- Whether a declared policy may give the secondary another value than the primary's.
---@param model dualdb.Model
---@param column table   of pairing.columns
---@return boolean
function policies.may_change(model, column)
  if column.key then return false end
  local own = policies.of(model, column.name)
  for _, policy in ipairs(BY_KIND[column.kind] or {}) do
    if own[policy] ~= nil and own[policy] ~= "refuse" then return true end
  end
  return false
end

-- ---- for the engine ----

local INTEGERS = {
  int2 = { -0x8000, 0x7fff }, int4 = { -0x80000000, 0x7fffffff },
  int8 = { math.mininteger, math.maxinteger },
}
local UNSIGNED_DIGITS = 20   -- of 2^64 - 1: numeric(20) holds every integer

--- The limits of the secondary's type, as core.crossing wants them.
local function limits(entry, kind, other)
  if kind == "i" and INTEGERS[other.type] then
    entry.least, entry.most = INTEGERS[other.type][1], INTEGERS[other.type][2]
  elseif (kind == "i" or kind == "d") and other.type == "numeric" and other.digits then
    local whole = other.digits - (other.scale or 0)
    if kind == "d" then
      entry.whole_digits, entry.fraction_digits = math.max(whole, 0), math.max(other.scale or 0, 0)
    elseif whole < UNSIGNED_DIGITS then
      local most = 1
      for _ = 1, whole do most = most * 10 end  -- 10^19 wraps to the bits of an unsigned integer
      entry.most = most - 1
      entry.least = whole >= 19 and math.mininteger or -entry.most
    end
  elseif kind == "t" then
    if other.type == "varchar" or other.type == "bpchar" then
      entry.most_characters = other.length
    end
    entry.drops_blanks = other.type == "bpchar"
  elseif kind == "j" then
    entry.holds_nul = other.type ~= "jsonb"
  elseif kind == "T" then
    entry.within_day = other.type ~= "interval"
  elseif kind == "g" then
    entry.single = other.type == "float4"
  end
end

local function actions(entry, kind, own)
  for _, policy in ipairs(BY_KIND[kind]) do
    local value = own[policy]
    if policy == "float_digits" then
      local most = (kind == "f" or entry.single) and MOST_SINGLE_DIGITS or MOST_DIGITS
      entry.digits = value and math.min(value, most)
    elseif policy == "zero_dates" and value and value ~= "refuse" and value ~= "null" then
      entry.zero_dates, entry.date = "set", core.pack("D", { value })
    else
      entry[policy] = value
    end
  end
end

--- What happens to rows of a model on their way to the secondary.
---@param spec dualdb.Spec
---@param indexes integer[]|nil   the columns that the rows have; default all
---@return any crossing           of core.crossing
function policies.crossing(spec, indexes)
  local kinds, entries = {}, {}
  local transforms = (spec.model.sync or {}).transform ~= nil
  local count = indexes and #indexes or #spec.columns
  for i = 1, count do
    local column = spec.columns[indexes and indexes[i] or i]
    kinds[i] = column.kind
    if BY_KIND[column.kind] then
      local entry = {
        index = i, takes_null = column.other.nullable,
        narrow = transforms or column.narrow,
      }
      limits(entry, column.kind, column.other)
      actions(entry, column.kind, column.key and {} or policies.of(spec.model, column.name))
      entries[#entries + 1] = entry
    end
  end
  return core.crossing(table.concat(kinds), entries)
end

return policies
