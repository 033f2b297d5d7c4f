--- Numbers on the command line: what converts an option's word, or says what it should have been.

local quantity = {}

local function not_a(option, word, what)
  return nil, ("option '%s': '%s' is not %s"):format(option, word, what)
end

--- A whole number above 0.
---@param option string   as "--max-rows", for the message
---@return fun(word: string): integer|nil, string|nil
function quantity.count(option)
  return function(word)
    local number = word:match("^%d+$") and math.tointeger(tonumber(word))
    if number and number > 0 then return number end
    return not_a(option, word, "a whole number above 0")
  end
end

local function decimal(word)
  return (word:match("^%d+$") or word:match("^%d+%.%d+$")) and tonumber(word)
end

--- Seconds, which may have decimals.
---@param option string
---@return fun(word: string): number|nil, string|nil
function quantity.seconds(option)
  return function(word)
    local number = decimal(word)
    if number and number > 0 and number < math.huge then return number end
    return not_a(option, word, "a number of seconds above 0")
  end
end

local UNITS = { [""] = 1, k = 1 << 10, m = 1 << 20, g = 1 << 30 }

--- Bytes, also as 500k, 10M or 1.5G, of which each unit is 1024 times the one before.
---@param option string
---@return fun(word: string): integer|nil, string|nil
function quantity.size(option)
  return function(word)
    local digits, unit = word:match("^([%d.]+)(%a?)$")
    local number, factor = digits and decimal(digits), unit and UNITS[unit:lower()]
    local bytes = number and factor and number * factor // 1
    if bytes and bytes >= 1 and bytes < 1 << 62 then return math.tointeger(bytes) end
    return not_a(option, word, "a size above 0, such as 500k, 10M or 1G")
  end
end

return quantity
