--- Whether a column of the secondary can hold every value of the primary's, by their types alone.

local capacity = {}

-- ---- integers and decimals ----

--- Powers of two: a type holds -2^low to 2^high - 1.
local MYSQL_BITS = { tinyint = 8, smallint = 16, mediumint = 24, int = 32, bigint = 64 }
local POSTGRES_BITS = { int2 = 16, int4 = 32, int8 = 64 }
--- Decimal digits of the largest values: of 2^n - 1 for unsigned, 2^(n-1) for signed ones.
local DIGITS = {
  signed = { [8] = 3, [16] = 5, [24] = 7, [32] = 10, [64] = 19 },
  unsigned = { [8] = 3, [16] = 5, [24] = 8, [32] = 10, [64] = 20 },
}
--- Decimals with so many digits fit into the integer type, whatever they are.
local WHOLE_DIGITS = { int2 = 4, int4 = 9, int8 = 18 }

local YEAR_DIGITS = 4

local function whole_digits(column)
  if not column.digits then return math.huge end
  return column.digits - (column.scale or 0)
end

local function integer_fits(here, there)
  if here.type == "year" then
    return there.kind == "i" or there.kind == "d" and whole_digits(there) >= YEAR_DIGITS
  end
  local bits = MYSQL_BITS[here.type]
  if there.kind == "b" then return here.kind == "b" end
  if there.kind == "i" then
    return bits + (here.unsigned and 1 or 0) <= POSTGRES_BITS[there.type]
  end
  return whole_digits(there) >= DIGITS[here.unsigned and "unsigned" or "signed"][bits]
end

local function decimal_fits(here, there)
  if there.kind == "i" then return whole_digits(here) <= WHOLE_DIGITS[there.type] end
  return whole_digits(here) <= whole_digits(there)
end

-- ---- text ----

local UUID_LENGTH = 36

local function has_labels(here, there)
  if not here.labels then return false end
  local known = {}
  for _, label in ipairs(there.labels) do known[label] = true end
  for _, label in ipairs(here.labels) do
    if not known[label] then return false end
  end
  return true
end

local function text_problem(here, there)
  if there.labels then
    return not has_labels(here, there) and "does not have all labels" or nil
  end
  if there.type == "bpchar" and here.type ~= "char" and here.type ~= "enum" then
    return "loses blanks at the end"
  end
  if there.length and (here.length or math.huge) > there.length then
    return ("holds %d characters"):format(there.length)
  end
  return nil
end

-- ---- bits ----

local function bits_problem(here, there)
  if there.kind == "b" then return here.length ~= 1 and "holds one bit" or nil end
  if there.type == "varbit" then return "holds bits of other lengths" end
  return here.length ~= there.length and ("holds %d bits"):format(there.length) or nil
end

-- ---- all of them ----

local function rounds(here, there, kind)
  local scale = there.kind == "i" and 0 or there.scale or math.huge
  return here.kind == "d" and (here.scale or 0) > scale
    or (kind == "T" or kind == "S") and (here.fraction or 0) > (there.fraction or 6)
end

--- Why the secondary's column cannot hold the primary's values, or nil. `here` is a column as
--- schema/mysql.lua describes it, `there` one of schema/postgres.lua, `kind` what both are read as.
---@return string|nil
function capacity.problem(here, there, kind)
  if rounds(here, there, kind) then return "would round" end
  if here.kind == "i" or here.kind == "b" then
    return not integer_fits(here, there) and "has a smaller range" or nil
  end
  if here.kind == "d" then
    return not decimal_fits(here, there) and "has a smaller range" or nil
  end
  if here.kind == "g" then return there.kind == "f" and "would round" or nil end
  if here.kind == "B" then return bits_problem(here, there) end
  if here.kind == "x" and there.kind == "u" then
    return not (here.type == "binary" and here.length == 16) and "holds 16 bytes" or nil
  end
  if here.kind == "t" and there.kind == "u" then
    return here.length ~= UUID_LENGTH and "holds uuids, which have 36 characters" or nil
  end
  if here.kind == "j" and there.kind == "t" then
    return there.length and ("holds %d characters"):format(there.length) or nil
  end
  if here.kind == "t" and there.kind == "t" then return text_problem(here, there) end
  return nil
end

return capacity
