--- Which part of a report's map a key lies in.

local core = require "dualdb.core"

local places = {}

--- A bound of a part, of all columns of the key or its first ones, as a canonical row and its
--- kinds; nil where there is none, or no row can be made of it again.
---@param spec dualdb.Spec
---@param bound table<string, any>|nil
---@return string|nil packed, string|nil kinds
function places.pack(spec, bound)
  local list = {}
  for i, name in ipairs(spec.key_names) do
    if not bound or bound[name] == nil then break end
    list[i] = bound[name]
  end
  if #list == 0 then return nil end
  local kinds = spec.key_kinds:sub(1, #list)
  local ok, packed = pcall(core.pack, kinds, list, spec.key_names)
  if ok then return packed, kinds end
  return nil
end

local function compare_bytes(a, b)
  if a == b then return 0 end
  return a < b and -1 or 1
end

--- Decimals as canonical text has them: the longer whole part is the greater one.
local function compare_decimals(a, b)
  local sign_a, sign_b = a:sub(1, 1) == "-", b:sub(1, 1) == "-"
  if sign_a ~= sign_b then return sign_a and -1 or 1 end
  local way = sign_a and -1 or 1
  local whole_a, rest_a = a:match("^%-?(%d+)(.*)$")
  local whole_b, rest_b = b:match("^%-?(%d+)(.*)$")
  if not whole_a or not whole_b then return compare_bytes(a, b) end  -- NaN and infinities
  if #whole_a ~= #whole_b then return #whole_a < #whole_b and -way or way end
  return way * compare_bytes(whole_a .. rest_a, whole_b .. rest_b)
end

local LENGTH = 4  -- bytes in front of a field

--- Compares two keys whose kinds both sides order alike, by the columns that both have.
local function compare(kinds, a, b)
  for i = 1, math.min(#a, #b) do
    local order = (kinds:sub(i, i) == "d" and compare_decimals or compare_bytes)(
      a[i]:sub(LENGTH + 1), b[i]:sub(LENGTH + 1))
    if order ~= 0 then return order end
  end
  return 0
end

--- The parts by their last keys, which are unpacked; the one without comes last. Nil when there are
--- several: then they are no ranges.
local function in_order(spec, map)
  local order, open = {}, nil
  for i, part in ipairs(map) do
    local packed = places.pack(spec, part.last)
    if packed then
      order[#order + 1] = { part = i, through = core.fields(packed) }
    elseif open then
      return nil
    else
      open = { part = i }
    end
  end
  table.sort(order, function(a, b) return compare(spec.key_kinds, a.through, b.through) < 0 end)
  order[#order + 1] = open
  return order
end

--- A function that gives the index of the part for a key; nil where that is not known, as in a map
--- of parts that are no ranges.
---@param spec dualdb.Spec
---@param map dualdb.MapEntry[]
---@return fun(key: string): integer|nil
function places.of(spec, map)
  if #map == 1 then return function() return 1 end end
  local order = spec.ordered and in_order(spec, map)
  if not order or #order == 0 then return function() return nil end end
  local at = 1  -- where the last one was: the next is often there too
  local function behind(fields, i)
    return compare(spec.key_kinds, fields, order[i].through) > 0
  end
  return function(key)
    local fields = core.fields(core.prefix(key, spec.key_count))
    local low, high = 1, #order  -- the last part takes what no bound holds back
    if at < #order and not behind(fields, at) and (at == 1 or behind(fields, at - 1)) then
      return order[at].part
    end
    while low < high do
      local middle = (low + high) // 2
      if behind(fields, middle) then low = middle + 1 else high = middle end
    end
    at = low
    return order[low].part
  end
end

return places
