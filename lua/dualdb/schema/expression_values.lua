--- Values of translated expressions: PostgreSQL text with all that is known of the type, and what
--- may be done with values of such types because it means the same on both sides.
---
--- class        "truth", "integer", "decimal", "float", "text", "label", "bytes", "date",
---              "datetime", "moment", "time", "null", "other"
--- sql, atom    the text; it needs no parentheses
--- low, high    of an integer: between them it surely is
--- unsigned     of a number: MySQL would refuse a result below zero
--- digits, scale  of an exact number
--- stored       of a number: PostgreSQL's type; "int4" for a literal
--- collation, charset, most   of a text; most characters
--- literal      of a text or a number that is one
--- column       the primary's column, when it is nothing else

local defaults = require "dualdb.schema.defaults"
local tokens = require "dualdb.schema.expression_tokens"

local values = {}

local refuse = tokens.refuse

--- Beyond these an integer is not a bigint, or none of MySQL's.
local LARGEST, LARGEST_UNSIGNED = 2.0 ^ 63, 2.0 ^ 64
values.LARGEST, values.LARGEST_UNSIGNED = LARGEST, LARGEST_UNSIGNED

--- As an operand.
---@return string
function values.operand(value)
  return value.atom and value.sql or ("(%s)"):format(value.sql)
end
local operand = values.operand

---@param format string   one %s for each value
function values.text(format, ...)
  local list = { ... }
  for i, value in ipairs(list) do list[i] = operand(value) end
  return format:format(table.unpack(list))
end
local text = values.text

-- ---- literals ----

function values.integer(number)
  return { class = "integer", sql = ("%d"):format(number), atom = number >= 0, literal = number,
           low = number + 0.0, high = number + 0.0, digits = #tostring(number), scale = 0,
           stored = math.abs(number) < 2 ^ 31 and "int4" or "int8" }
end

local LAST_UNSIGNED = "18446744073709551615"

--- Digits that a double holds exactly.
local SURE_DIGITS = 15

---@param written string   1, 1.50 or 1e3
function values.number_literal(written)
  local whole, part = written:match("^(%d*)%.?(%d*)$")
  if not whole then
    if #written > SURE_DIGITS then refuse("it has the number %s", written) end
    return { class = "float", sql = written, atom = true, stored = "float8", literal = written }
  end
  if not written:find(".", 1, true) then
    local number = math.tointeger(tonumber(written))
    if number then return values.integer(number) end
    if #written > #LAST_UNSIGNED or #written == #LAST_UNSIGNED and written > LAST_UNSIGNED then
      refuse("it has the number %s", written)
    end
    return { class = "integer", sql = written, atom = true, literal = written, unsigned = true,
             low = tonumber(written), high = tonumber(written), digits = #written, scale = 0,
             stored = "numeric" }
  end
  return { class = "decimal", sql = written, atom = true, digits = #whole + #part, scale = #part,
           stored = "numeric", literal = written }
end

---@param value string
function values.text_literal(value)
  if defaults.is_uncertain(value) then refuse("%s", defaults.UNCERTAIN) end
  if value:find("\0", 1, true) then refuse("PostgreSQL's text holds no zero bytes") end
  return { class = "text", sql = defaults.literal(value), atom = true, literal = value,
           most = utf8.len(value) or refuse("a text is not valid"),
           charset = not value:find("[\x80-\xff]") and "ascii" or "utf8mb4" }
end

-- ---- from one class to another ----

--- As a condition.
function values.truth(value)
  if value.class == "truth" then return value end
  if value.class == "null" then
    return { class = "truth", sql = "null::boolean", atom = true }
  end
  if value.class ~= "integer" and value.class ~= "decimal" then
    refuse("%s is a condition in it", value.sql)
  end
  if value.literal == 0 or value.literal == 1 then
    return { class = "truth", sql = value.literal == 1 and "true" or "false", atom = true }
  end
  return { class = "truth", sql = text("%s <> 0", value) }
end

--- As an exact number: a truth is 1 or 0.
function values.number(value)
  if value.class == "integer" or value.class == "decimal" then return value end
  if value.class ~= "truth" then refuse("%s is a number in it", value.sql) end
  return { class = "integer", sql = text("%s::integer", value), atom = true, low = 0.0, high = 1.0,
           digits = 1, scale = 0, stored = "int4" }
end

local TEMPORAL = { date = true, datetime = true, time = true }

local DAYS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function is_day(written)
  local year, month, day = written:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if not year or year == 0 or day == 0 or not DAYS[month] or day > DAYS[month] then return false end
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return not (month == 2 and day == 29 and not leap)
end

local function is_clock(written)
  local hour, minute, second, fraction = written:match("^(%d%d):(%d%d):(%d%d)(.*)$")
  return hour ~= nil and hour < "24" and minute < "60" and second < "60"
    and (fraction == "" or fraction:find("^%.%d+$") ~= nil and #fraction <= 7)
end

--- A date, a moment or a time that is written in full, whatever it stands beside; nil for others.
---@param written string
function values.temporal(written)
  local class, sql
  local day, clock = written:match("^(%S+) (%S+)$")
  if is_day(written) then
    class, sql = "date", "date"
  elseif day and is_day(day) and is_clock(clock) then
    class, sql = "datetime", "timestamp"
  elseif is_clock(written) then
    class, sql = "time", "time"
  else
    return nil
  end
  return { class = class, sql = ("%s '%s'"):format(sql, written), literal = written,
           fraction = #(written:match("%.(%d+)$") or "") }
end

--- Text literals beside dates are dates.
local function temporal_operands(list)
  local column
  for _, value in ipairs(list) do
    if TEMPORAL[value.class] and not value.literal then column = value end
  end
  if not column then return list end
  local result = {}
  for i, value in ipairs(list) do
    if value.class == "text" and value.literal then
      value = values.temporal(value.literal)
      if not value or (value.class == "time") ~= (column.class == "time") then
        refuse("%s is no complete %s", list[i].sql, column.class)
      end
    end
    result[i] = value
  end
  return result
end

-- ---- what can be compared ----

local function is_number(value)
  return value.class == "integer" or value.class == "decimal" or value.class == "truth"
end

--- All of them as numbers that both sides compare alike.
local function numbers(list)
  local result, unsigned, low, high = {}, false, 0, 0
  for i, value in ipairs(list) do
    value = values.number(value)
    result[i], unsigned = value, unsigned or value.unsigned
    low, high = math.min(low, value.low or 0), math.max(high, value.high or 0)
  end
  -- For more than two the servers take all for signed, or all for unsigned.
  if #list > 2 and unsigned and (low < 0 or high >= LARGEST) then
    refuse("it compares unsigned numbers with others")
  end
  return result
end

--- A float is compared with literals only: what the servers make of others is not the same.
local function floats(list)
  local result = {}
  for i, value in ipairs(list) do
    local literal = value.literal and value.class ~= "text" and #value.sql <= SURE_DIGITS
    if not literal and not (value.class == "float" and value.column) then
      refuse("it compares %s with a floating-point number", value.sql)
    end
    result[i] = value.stored == "float8" and value.column and value
      or { class = "float", sql = text("%s::double precision", value), atom = true }
  end
  return result
end

--- Values of one class that both servers order alike, or nil when they are texts.
---@param list table[]
function values.comparable(list)
  list = temporal_operands(list)
  local exact, float, temporal, class = true, false, true, nil
  for _, value in ipairs(list) do
    if value.class == "null" then refuse("it compares with NULL") end
    exact = exact and is_number(value)
    float = float or value.class == "float"
    temporal = temporal and (value.class == "date" or value.class == "datetime")
    if class ~= nil and class ~= value.class then class = false end
    if class == nil then class = value.class end
  end
  if float then return floats(list) end
  if exact then return numbers(list) end
  if temporal or class == "time" or class == "moment" then return list end
  for _, value in ipairs(list) do
    if value.class ~= "text" and value.class ~= "label" then
      refuse("what it compares with %s is of another kind", list[1].sql)
    end
  end
  return nil
end

-- ---- equal texts ----

--- Collations under which nothing but blanks is equal to a blank.
local ONLY_BLANKS = { utf8mb4_general_ci = true, utf8mb3_general_ci = true, utf8_general_ci = true,
                      latin1_swedish_ci = true }
--- Collations that of the visible ASCII characters take only upper and lower case for the same.
local FOLDS_ASCII = { utf8mb4_0900_ai_ci = true, utf8mb4_unicode_ci = true,
                      utf8mb3_unicode_ci = true, utf8mb4_uca1400_ai_ci = true }
for name in pairs(ONLY_BLANKS) do FOLDS_ASCII[name] = true end

local function is_binary(collation)
  return collation == "binary" or collation:find("_bin$") ~= nil
end

--- Whether blanks at the end count.
local function counts_blanks(collation)
  return collation == "binary" or collation:find("_0900_", 1, true) ~= nil
    or collation:find("_nopad_", 1, true) ~= nil
end

local function without_blanks(value)
  if value.literal then return values.text_literal((value.literal:gsub(" +$", ""))) end
  return { class = "text", sql = ("rtrim(%s, ' ')"):format(value.sql), atom = true }
end

--- The collation that decides, of columns that all have the same one.
function values.collation(list)
  local collation
  for _, value in ipairs(list) do
    if value.collation then
      if collation and collation ~= value.collation then
        refuse("its texts have the collations %s and %s", collation, value.collation)
      end
      collation = value.collation
    end
  end
  return collation
end

--- Labels of an enum, and the empty text of none, that are equal to the literal.
local function labels_like(label, literal)
  local binary = is_binary(label.collation)
  if not binary and not FOLDS_ASCII[label.collation] then
    refuse("texts are equal under %s that differ on the secondary", label.collation)
  end
  local function fold(value)
    if defaults.is_uncertain(value) then refuse("%s", defaults.UNCERTAIN) end
    if not counts_blanks(label.collation) then value = value:gsub(" +$", "") end
    if binary then return value end
    if value:find("[^\x20-\x7e]") then
      refuse("texts are equal under %s that differ on the secondary", label.collation)
    end
    return value:lower()
  end
  local wanted, found = fold(literal), {}
  for _, value in ipairs(label.labels) do
    if fold(value) == wanted then found[#found + 1] = values.text_literal(value) end
  end
  if wanted == "" then found[#found + 1] = values.text_literal("") end
  return found
end

local function label_operands(value, list)
  local result = {}
  for _, other in ipairs(list) do
    if other.class ~= "text" or not other.literal then
      refuse("it compares the labels of %s with %s", value.sql, other.sql)
    end
    for _, label in ipairs(labels_like(value, other.literal)) do result[#result + 1] = label end
  end
  -- What is equal to no label is equal to nothing that the column holds.
  if #result == 0 then return list end
  return result
end

--- A text and what it may be equal to, so that PostgreSQL's equality is the primary's.
---@return table, table[]
function values.equal_texts(value, list)
  if value.class == "label" then return value, label_operands(value, list) end
  local all = { value, table.unpack(list) }
  for _, one in ipairs(list) do
    if one.class == "label" then
      if #list > 1 then refuse("it compares a text with labels") end
      return values.equal_texts(one, { value })
    end
  end
  local collation = values.collation(all)
  if not collation then refuse("it compares literals") end
  if is_binary(collation) and counts_blanks(collation) then return value, list end
  local trimmed, only_blanks = {}, ONLY_BLANKS[collation]
  for i, one in ipairs(list) do
    trimmed[i] = without_blanks(one)
    only_blanks = only_blanks and trimmed[i].literal == ""
  end
  if not is_binary(collation) and not only_blanks then
    refuse("texts are equal under %s that differ on the secondary", collation)
  end
  return without_blanks(value), trimmed
end

--- Whether LIKE looks at characters as PostgreSQL does.
function values.is_exact(value)
  return value.class == "text" and value.collation ~= nil and is_binary(value.collation)
end

return values
