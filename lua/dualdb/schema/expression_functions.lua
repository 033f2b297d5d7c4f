--- Functions that mean exactly the same on both sides for arguments of the classes named here.

local tokens = require "dualdb.schema.expression_tokens"
local values = require "dualdb.schema.expression_values"

local functions = {}

local refuse, text, operand = tokens.refuse, values.text, values.operand

local function check_count(name, arguments, least, most)
  if #arguments < least or #arguments > (most or least) then
    refuse("%s has %d arguments", name, #arguments)
  end
end

--- An argument that has to be a literal integer of at least `least`.
local function whole(name, value, least)
  local number = value.class == "integer" and value.literal
  if math.type(number) ~= "integer" or number < least then
    refuse("%s is translated with literals from %d only", name, least)
  end
  return number
end

-- ---- values of any class ----

--- What no function gives.
local OPAQUE = { label = true, other = true, float = true, moment = true, bytes = true }

--- The values of branches as of one class.
---@param list table[]
---@return table result   without text
---@return table[]        the values, to be written
function functions.unite(list)
  local result, written, kinds = { class = "null" }, {}, {}
  for _, value in ipairs(list) do
    if value.class ~= "null" then kinds[value.class] = true end
  end
  -- A truth beside numbers is one.
  if kinds.truth and (kinds.integer or kinds.decimal) then
    kinds.truth, kinds.integer = nil, true
  end
  local mixed = kinds.integer and kinds.decimal
  for i, value in ipairs(list) do
    if value.class == "truth" and not kinds.truth then value = values.number(value) end
    if OPAQUE[value.class] then refuse("a branch has the value %s", value.sql) end
    written[i] = value
    if value.class ~= "null" then
      if result.class ~= "null" and result.class ~= value.class and not mixed then
        refuse("its branches have values of different kinds")
      end
      result.class = mixed and "decimal" or value.class
      result.low = math.min(result.low or math.huge, value.low or -math.huge)
      result.high = math.max(result.high or -math.huge, value.high or math.huge)
      result.unsigned = result.unsigned or value.unsigned
      result.scale = math.max(result.scale or 0, value.scale or 0)
      result.whole = math.max(result.whole or 0, (value.digits or 0) - (value.scale or 0))
      result.most = math.max(result.most or 0, value.most or math.huge)
      result.fraction = math.max(result.fraction or 0, value.fraction or 0)
    end
  end
  if result.class == "integer" or result.class == "decimal" then
    if result.unsigned and (result.low < 0 or mixed) then
      refuse("its branches are signed and unsigned")
    end
    result.digits = result.whole + result.scale
    if result.class == "decimal" then result.low, result.high = nil, nil end
  else
    result.low, result.high = nil, nil
  end
  if result.class == "text" then
    result.collation = values.collation(list)
    result.charset = functions.charset(list)
    if result.most == math.huge then result.most = nil end
  end
  return result, written
end

--- The character set of a text made of these: one that all have, ASCII literals aside.
function functions.charset(list)
  local charset = "ascii"
  for _, value in ipairs(list) do
    if value.charset and value.charset ~= "ascii" then
      if charset ~= "ascii" and charset ~= value.charset then return "utf8mb4" end
      charset = value.charset
    end
  end
  return charset
end

local function coalesce(name, arguments)
  check_count(name, arguments, 1, 50)
  local result, written = functions.unite(arguments)
  local list = {}
  for i, value in ipairs(written) do list[i] = value.sql end
  result.sql, result.atom = ("coalesce(%s)"):format(table.concat(list, ", ")), true
  return result
end

--- case when conditions hold, then those values; `otherwise` may be nil.
---@param whens { condition: table, value: table }[]
function functions.case(whens, otherwise)
  local list = {}
  for i, when in ipairs(whens) do list[i] = when.value end
  list[#list + 1] = otherwise
  local result, written = functions.unite(list)
  local parts = {}
  for i, when in ipairs(whens) do
    parts[i] = ("when %s then %s"):format(values.truth(when.condition).sql, written[i].sql)
  end
  if otherwise then parts[#parts + 1] = "else " .. written[#written].sql end
  result.sql, result.atom = ("case %s end"):format(table.concat(parts, " ")), true
  if result.class == "null" then result.sql = "null" end
  return result
end

local function choose(name, arguments)
  check_count(name, arguments, 3)
  return functions.case({ { condition = arguments[1], value = arguments[2] } }, arguments[3])
end

--- The same comparison as `=`, which schema/expression_write.lua gives.
local function nullif(name, arguments, write)
  check_count(name, arguments, 2)
  local result, written = functions.unite { arguments[1] }
  result.sql = ("case when %s then null else %s end"):format(
    write.equal(arguments[1], { arguments[2] }).sql, written[1].sql)
  result.atom = true
  return result
end

--- PostgreSQL's leave out NULLs, the primary's give NULL.
local function extreme(name, arguments)
  check_count(name, arguments, 2, 20)
  local numbers, nulls = {}, {}
  for i, value in ipairs(arguments) do numbers[i] = values.number(value) end
  local list = values.comparable(numbers)
  for _, value in ipairs(list) do
    if not value.literal then nulls[#nulls + 1] = text("%s is null", value) end
  end
  local result, written = functions.unite(list)
  local parts = {}
  for i, value in ipairs(written) do parts[i] = value.sql end
  local call = ("%s(%s)"):format(name, table.concat(parts, ", "))
  result.sql, result.atom = call, true
  if #nulls > 0 then
    result.sql = ("case when %s then null else %s end"):format(table.concat(nulls, " or "), call)
  end
  return result
end

-- ---- numbers ----

local function one_number(name, arguments, most)
  check_count(name, arguments, 1, most)
  local value = values.number(arguments[1])
  return value, {
    class = value.class, atom = true, low = value.low, high = value.high, digits = value.digits,
    scale = value.scale, unsigned = value.unsigned, stored = value.stored,
  }
end

local function abs(name, arguments)
  local value, result = one_number(name, arguments)
  if value.class == "integer" then
    if value.stored ~= "int8" and value.stored ~= "numeric" then
      value = { sql = text("%s::bigint", value), atom = true }
      result.stored = "int8"
    end
    result.low, result.high = 0.0, math.max(math.abs(result.low), math.abs(result.high))
  end
  result.sql = ("abs(%s)"):format(value.sql)
  return result
end

local function sign(name, arguments)
  local value = one_number(name, arguments)
  return { class = "integer", sql = ("sign(%s)::integer"):format(value.sql), atom = true,
           low = -1.0, high = 1.0, digits = 1, scale = 0, stored = "int4" }
end

--- floor and ceiling: an integer is its own.
local function to_whole(postgres)
  return function(name, arguments)
    local value, result = one_number(name, arguments)
    if value.class == "integer" then return value end
    result.sql = ("%s(%s)"):format(postgres, value.sql)
    result.digits, result.scale = result.digits + 1, 0
    return result
  end
end

--- round and truncate, to digits after the point that are there.
local function to_digits(postgres)
  return function(name, arguments)
    local value, result = one_number(name, arguments, 2)
    local digits = arguments[2] and whole(name, arguments[2], 0) or 0
    if value.class == "integer" then return value end
    result.sql = ("%s(%s, %d)"):format(postgres, value.sql, digits)
    result.digits, result.scale = result.digits + 1, math.min(result.scale, digits)
    return result
  end
end

-- ---- texts ----

local function is_text(value) return value.class == "text" end

local function one_text(name, arguments, most)
  check_count(name, arguments, 1, most)
  local value = arguments[1]
  if not is_text(value) then refuse("%s has the argument %s", name, value.sql) end
  return value, {
    class = "text", atom = true, most = value.most, collation = value.collation,
    charset = value.charset,
  }
end

local LONGEST_TEXT = 2.0 ^ 32

local function count(sql)
  return { class = "integer", sql = sql, atom = true, low = 0.0, high = LONGEST_TEXT,
           unsigned = true, digits = 10, scale = 0, stored = "int4" }
end

local function char_length(name, arguments)
  check_count(name, arguments, 1)
  if arguments[1].class ~= "label" then one_text(name, arguments) end
  return count(("char_length(%s)"):format(arguments[1].sql))
end

local function octet_length(name, arguments)
  check_count(name, arguments, 1)
  local value = arguments[1]
  if value.class ~= "bytes" then
    one_text(name, arguments)
    if not value.charset:find("^utf8") and value.charset ~= "ascii" then
      refuse("its texts have other bytes on the secondary")
    end
  end
  return count(("octet_length(%s)"):format(value.sql))
end

local function trim(postgres)
  return function(name, arguments)
    local value, result = one_text(name, arguments)
    result.sql = ("%s(%s, ' ')"):format(postgres, value.sql)
    return result
  end
end

local function part(name, arguments)
  check_count(name, arguments, 2)
  local value, result = one_text(name, arguments, 2)
  result.most = whole(name, arguments[2], 0)
  result.sql = ("%s(%s, %d)"):format(name, value.sql, result.most)
  return result
end

local function substring(name, arguments)
  check_count(name, arguments, 2, 3)
  local value, result = one_text(name, arguments, 3)
  local from = whole(name, arguments[2], 1)
  if arguments[3] then
    result.most = whole(name, arguments[3], 0)
    result.sql = ("substr(%s, %d, %d)"):format(value.sql, from, result.most)
  else
    result.sql = ("substr(%s, %d)"):format(value.sql, from)
  end
  return result
end

--- What letters are upper and lower case is the same where there are ASCII's alone.
local function letters(postgres)
  return function(name, arguments)
    local value, result = one_text(name, arguments)
    if value.charset ~= "ascii" then
      refuse("%s knows other letters on the secondary", name)
    end
    result.sql = ('%s(%s collate "C")'):format(postgres, operand(value))
    return result
  end
end

local LONGEST_NUMBER = 20

local function concat(name, arguments)
  check_count(name, arguments, 1, 50)
  local parts, most = {}, 0
  for i, value in ipairs(arguments) do
    if value.class == "truth" then value = values.number(value) end
    if value.class == "integer" then
      parts[i], most = text("%s::text", value), most + LONGEST_NUMBER
    elseif is_text(value) then
      -- Not of one type but text, so that the operator is the same for all.
      parts[i] = value.literal and value.sql or text("%s::text", value)
      most = most + (value.most or math.huge)
    else
      refuse("%s has the argument %s", name, value.sql)
    end
  end
  if #arguments == 1 then parts[2] = "''" end
  return {
    class = "text", sql = table.concat(parts, " || "), collation = values.collation(arguments),
    charset = functions.charset(arguments), most = most < math.huge and most or nil,
  }
end

-- ---- dates ----

--- A field of a date or a moment without a zone.
local function field(postgres, classes, high)
  return function(name, arguments)
    check_count(name, arguments, 1)
    if not classes[arguments[1].class] or not arguments[1].column then
      refuse("%s has the argument %s", name, arguments[1].sql)
    end
    return { class = "integer", atom = true, low = 0.0, high = high, unsigned = true, digits = 4,
             sql = ("floor(extract(%s from %s))::integer"):format(postgres, arguments[1].sql),
             scale = 0, stored = "int4" }
  end
end

local DATES, CLOCKS = { date = true, datetime = true }, { datetime = true, time = true }

function functions.to_date(value)
  if not DATES[value.class] then refuse("%s becomes a date", value.sql) end
  if value.class == "date" then return value end
  return { class = "date", sql = text("%s::date", value), atom = true }
end

local LONGEST_SPAN = 4e6  -- days between the first year and the last

local function datediff(name, arguments)
  check_count(name, arguments, 2)
  return { class = "integer", sql = text("%s - %s", functions.to_date(arguments[1]),
             functions.to_date(arguments[2])), low = -LONGEST_SPAN, high = LONGEST_SPAN,
           digits = 7, scale = 0, stored = "int4" }
end

--- The primary counts from the year 0.
local FIRST_DAY = 366

--- What MariaDB shows for datediff.
local function to_days(name, arguments)
  check_count(name, arguments, 1)
  return { class = "integer", low = 0.0, high = LONGEST_SPAN, digits = 7, scale = 0,
           sql = text("%s - date '0001-01-01' + " .. FIRST_DAY, functions.to_date(arguments[1])),
           stored = "int4" }
end

-- ---- all of them ----

local BY_NAME = {
  coalesce = coalesce, ifnull = coalesce, ["if"] = choose, nullif = nullif, greatest = extreme,
  least = extreme, abs = abs, sign = sign, floor = to_whole "floor", ceiling = to_whole "ceil",
  ceil = to_whole "ceil", round = to_digits "round", truncate = to_digits "trunc",
  char_length = char_length, character_length = char_length, length = octet_length,
  octet_length = octet_length, trim = trim "btrim", ltrim = trim "ltrim", rtrim = trim "rtrim",
  left = part, right = part, substr = substring, substring = substring, upper = letters "upper",
  ucase = letters "upper", lower = letters "lower", lcase = letters "lower", concat = concat,
  year = field("year", DATES, 9999.0), month = field("month", DATES, 12.0),
  dayofmonth = field("day", DATES, 31.0), day = field("day", DATES, 31.0),
  quarter = field("quarter", DATES, 4.0), hour = field("hour", CLOCKS, 24.0),
  minute = field("minute", CLOCKS, 59.0), second = field("second", CLOCKS, 59.0),
  datediff = datediff, to_days = to_days,
}

--- A call with translated arguments. Refuses a function that is not known to be the same.
---@param name string
---@param arguments table[]
---@param write table   schema/expression_write.lua
function functions.call(name, arguments, write)
  local fn = BY_NAME[name]
  if not fn then refuse("it calls %s", name) end
  return fn(name, arguments, write)
end

return functions
