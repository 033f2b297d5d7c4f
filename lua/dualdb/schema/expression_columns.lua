--- What an expression may take a column for, and what a computed column may take from one: decided
--- by the types on both sides together.

local core = require "dualdb.core"
local tokens = require "dualdb.schema.expression_tokens"

local columns = {}

--- Values an integer type of MySQL holds, as floats: near the ends of 64 bits they are rounded
--- outwards.
local BITS = { tinyint = 8, smallint = 16, mediumint = 24, int = 32, bigint = 64 }

local function integer_range(column)
  local bits = BITS[column.type]
  if column.unsigned then return 0.0, 2.0 ^ bits - 1 end
  return -2.0 ^ (bits - 1), 2.0 ^ (bits - 1) - 1
end

local POSTGRES_INTEGERS = { int2 = true, int4 = true, int8 = true }
local TEXTS = { char = true, varchar = true, tinytext = true, text = true, mediumtext = true,
                longtext = true }
local BYTES = { binary = true, varbinary = true, tinyblob = true, blob = true, mediumblob = true,
                longblob = true }
--- Types of the same values on both sides, whatever their precisions.
local SAME = { date = { "date", "date" }, datetime = { "timestamp", "datetime" },
               timestamp = { "timestamptz", "moment" }, time = { "time", "time" } }
--- Decimal digits of the longest values.
local DIGITS = { tinyint = 3, smallint = 5, mediumint = 8, int = 10, bigint = 20 }

local function describe(value, here, there)
  local has = there and there.deterministic ~= false and there.type
  -- As a text it has zeros before it.
  if here.column_type:find("zerofill", 1, true) then return end
  if BITS[here.type] and has == "bool" then
    value.class = "truth"
  elseif BITS[here.type] and (POSTGRES_INTEGERS[has] or has == "numeric") then
    value.class, value.digits, value.scale = "integer", DIGITS[here.type], 0
    value.low, value.high = integer_range(here)
    value.unsigned, value.stored = here.unsigned, has
  elseif here.type == "decimal" and has == "numeric" then
    value.class, value.digits, value.scale = "decimal", here.digits, here.scale
    value.unsigned, value.stored = here.unsigned, has
  elseif (here.type == "float" or here.type == "double") and (has == "float4" or has == "float8")
  then
    value.class, value.stored = "float", has
  elseif TEXTS[here.type] and (has == "text" or has == "varchar") then
    value.class, value.most = "text", here.length
    value.collation, value.charset = here.collation, here.charset
  elseif here.type == "enum" and (has == "text" or has == "varchar") then
    value.class, value.labels, value.collation = "label", here.labels, here.collation
  elseif BYTES[here.type] and has == "bytea" then
    value.class = "bytes"
  elseif SAME[here.type] and SAME[here.type][1] == has then
    value.class, value.fraction = SAME[here.type][2], here.fraction or 0
  end
end

--- A column as a value. Its class is "other" for what can only be NULL or not.
---@param column table      of pairing.columns
---@param there table|nil   its type on the secondary, as schema/pgtype.lua describes one
function columns.value(column, there)
  local value = {
    sql = core.quote("postgres", column.secondary), atom = true, class = "other",
    column = column.primary,
  }
  describe(value, column.primary, there)
  return value
end

-- ---- what a computed column stores ----

--- Types that refuse the same numbers on both sides.
local SAME_RANGE = { smallint = "int2", int = "int4", bigint = "int8" }

local function fits(value, low, high)
  return value.low ~= nil and value.low >= low and value.high <= high
end

local WIDER = "its type holds more on the secondary, which would not refuse what the primary does"

local function to_integer(here, there, value)
  if not (POSTGRES_INTEGERS[there.type] or there.type == "numeric" and (there.scale or 0) == 0) then
    return nil
  end
  if not here.unsigned and SAME_RANGE[here.type] == there.type then return value end
  if not fits(value, integer_range(here)) then tokens.refuse(WIDER) end
  return value
end

local function to_decimal(here, there, value)
  if there.type ~= "numeric" or there.digits ~= here.digits or there.scale ~= here.scale then
    return nil
  end
  if here.unsigned and not fits(value, 0, math.huge) then tokens.refuse(WIDER) end
  return value
end

--- In texts of these character sets is every character that PostgreSQL has, or as many as the
--- server has.
local function is_unicode(charset) return charset:find("^utf8") ~= nil end

local LONGEST_CHARACTER = 4

local function to_text(here, there, value)
  if there.type ~= "text" and there.type ~= "varchar" then return nil end
  if not is_unicode(here.charset) and (value.charset or here.charset) ~= here.charset
     or value.charset and is_unicode(value.charset) and here.charset == "utf8mb3"
        and value.charset ~= "utf8mb3" then
    tokens.refuse("its character set may not have all of the characters")
  end
  if there.type == "varchar" and there.length == here.length then
    -- The same limit on both sides.
    if here.type ~= "char" then return value end
  elseif not value.most or value.most * LONGEST_CHARACTER > (here.length or 0) then
    tokens.refuse(WIDER)
  end
  if here.type ~= "char" then return value end
  -- MySQL cuts blanks when a char is read.
  return { sql = ("rtrim(%s, ' ')"):format(value.sql), atom = true, class = "text" }
end

--- The value as the column stores it. Refuses what the two sides would not store alike.
---@param column table     of pairing.columns
---@param there table      its type on the secondary
---@param value table      of schema/expression_values.lua
---@param values table     that module
function columns.assign(column, there, value, values)
  local here, result = column.primary, nil
  if value.class == "null" then
    result = value
  elseif there.type == "bool" and BITS[here.type] then
    if value.class == "truth" or fits(value, 0, 1) then result = values.truth(value) end
  elseif BITS[here.type] then
    if value.class == "truth" or value.class == "integer" or value.class == "decimal" then
      result = to_integer(here, there, values.number(value))
    end
  elseif here.type == "decimal" then
    if value.class == "truth" or value.class == "integer" or value.class == "decimal" then
      result = to_decimal(here, there, values.number(value))
    end
  elseif TEXTS[here.type] then
    if value.class == "text" then result = to_text(here, there, value) end
  elseif SAME[here.type] and SAME[here.type][1] == there.type and value.class == SAME[here.type][2]
         and value.class ~= "moment" and (value.fraction or 0) <= (here.fraction or 0) then
    result = value
  end
  if not result then tokens.refuse("its value becomes %s otherwise", here.column_type) end
  return result
end

return columns
