--- Tables and rows over the whole type matrix, from a seed: the same seed gives the same table. All
--- values are literals of MySQL's SQL, so that nothing of dualdb's own writes them.

local geometries = require "spec.property.geometries"

local generate = {}

local random = math.random

local function one_of(list) return list[random(#list)] end

local function chance(share) return random() < share end

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function text_literal(text) return "_utf8mb4 x'" .. hex(text) .. "'" end

-- ---- values ----

local function digits(count)
  local list = {}
  for i = 1, count do list[i] = random(0, 9) end
  return table.concat(list)
end

--- The 64 bits as a number without a sign.
local function unsigned_text(value)
  if value >= 0 then return ("%d"):format(value) end
  local tens = (value >> 1) // 5
  return ("%d%d"):format(tens, value - tens * 10)
end

--- An integer of at most `bits` bits: as often small as large.
local function integer(bits, unsigned)
  local size = random(1, bits)
  local value = size == 64 and random(0) or random(0) & ((1 << size) - 1)
  if unsigned then return unsigned_text(value) end
  local half = 1 << (bits - 1)
  if bits < 64 then value = value % (half * 2) - half end
  return ("%d"):format(value)
end

local function integers(name, bits)
  local lowest = bits == 64 and "-9223372036854775808" or ("%d"):format(-(1 << (bits - 1)))
  local highest = bits == 64 and "9223372036854775807" or ("%d"):format((1 << (bits - 1)) - 1)
  local most = bits == 64 and "18446744073709551615" or ("%d"):format((1 << bits) - 1)
  return {
    function()
      return { sql = name, form = "plain", edges = { "0", "1", "-1", lowest, highest },
               make = function() return integer(bits) end }
    end,
    function()
      return { sql = name .. " unsigned", form = "plain", edges = { "0", "1", highest, most },
               make = function() return integer(bits, true) end }
    end,
  }
end

local function decimal()
  local total = random(1, 65)
  local scale = random(0, math.min(total, 30))
  local whole = total - scale
  local nines = (whole > 0 and ("9"):rep(whole) or "0") .. (scale > 0 and "." .. ("9"):rep(scale)
    or "")
  local least = scale > 0 and "0." .. ("0"):rep(scale - 1) .. "1" or "1"
  return {
    sql = ("decimal(%d,%d)"):format(total, scale), form = "plain",
    edges = { "0", nines, "-" .. nines, least, "-" .. least, "-0" },
    make = function()
      local text = whole > 0 and digits(random(1, whole)) or "0"
      if scale > 0 then text = text .. "." .. digits(random(1, scale)) end
      return (chance(0.5) and "-" or "") .. text
    end,
  }
end

local function floating(name, format, pattern, edges)
  return function()
    return {
      sql = name, form = "number", edges = edges,
      make = function()
        while true do
          local value = string.unpack(format, string.pack("<i8", random(0)))
          if value == value and math.abs(value) < math.huge then return pattern:format(value) end
        end
      end,
    }
  end
end

local ALPHABET = {
  "a", "b", "Z", "0", " ", "-", "_", "%", "\\", "'", '"', "\t", "\n", "\r", "\26", "\127", ",", "{",
  "é", "ß", "ı", "İ", "Ω", "ж", "日", "本", "한", "e\u{301}", "\u{200b}", "\u{feff}", "\u{ffff}",
  "😀", "👩‍👧", "\u{10ffff}",
}
local LATIN = { "a", "Z", "0", " ", "'", "\\", "é", "ß", "ü", "Å", "ñ", "\t", "\n", "¿" }

--- At most `most` characters.
local function some_text(alphabet, most)
  local list, length = {}, 0
  for _ = 1, random(0, math.min(most, 40)) do
    local c = one_of(alphabet)
    length = length + utf8.len(c)
    if length > most then break end
    list[#list + 1] = c
  end
  return table.concat(list)
end

local function texts(name, most, alphabet, tail)
  return function()
    local length = most and random(1, most)
    return {
      sql = (length and ("%s(%d)"):format(name, length) or name) .. " " .. tail, form = "text",
      edges = { text_literal "", text_literal "N", text_literal " ", text_literal "a" },
      make = function() return text_literal(some_text(alphabet, length or 60)) end,
    }
  end
end

local UTF8 = "character set utf8mb4 collate utf8mb4_bin"
local FOLDED = "character set utf8mb4 collate utf8mb4_general_ci"

local function bytes(name, most)
  return function()
    local length = most and random(1, most)
    return {
      sql = length and ("%s(%d)"):format(name, length) or name, form = "bytes",
      edges = { "x''", "x'00'", "x'ff'", "x'20'", "x'5c'" },
      make = function()
        local list = {}
        for i = 1, random(0, length or 60) do list[i] = string.char(random(0, 255)) end
        return "x'" .. hex(table.concat(list)) .. "'"
      end,
    }
  end
end

-- ---- dates and times ----

local MONTH = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function day(first, last)
  local month = random(12)
  return ("%04d-%02d-%02d"):format(random(first, last), month, random(MONTH[month]))
end

local function clock(fraction)
  local text = ("%02d:%02d:%02d"):format(random(0, 23), random(0, 59), random(0, 59))
  return fraction > 0 and text .. "." .. digits(fraction) or text
end

local function with_fraction(list, fraction)
  local all = {}
  for i, text in ipairs(list) do all[i] = "'" .. text .. "'" end
  if fraction > 0 then
    all[#all + 1] = "'" .. list[#list] .. "." .. ("9"):rep(fraction) .. "'"
    all[#all + 1] = "'" .. list[1] .. "." .. ("0"):rep(fraction - 1) .. "1'"
  end
  return all
end

local function dates()
  return {
    sql = "date", form = "plain",
    edges = { "'0001-01-01'", "'1582-10-10'", "'1969-12-31'", "'1970-01-01'", "'2000-02-29'",
              "'9999-12-31'" },
    make = function() return "'" .. day(1, 9999) .. "'" end,
  }
end

local function times()
  local fraction = random(0, 6)
  return {
    sql = ("time(%d)"):format(fraction), form = "time",
    edges = with_fraction({ "00:00:00", "12:00:00", "23:59:59" }, fraction),
    make = function() return "'" .. clock(fraction) .. "'" end,
  }
end

--- Of many hours, and below zero: the model says that the secondary has an interval.
local function durations()
  local fraction = random(0, 6)
  return {
    sql = ("time(%d)"):format(fraction), form = "interval", declared = "interval",
    edges = with_fraction({ "00:00:00", "-00:00:01", "-838:58:59", "24:00:00", "838:58:59" },
      fraction),
    make = function()
      return ("'%s%d%s'"):format(chance(0.5) and "-" or "", random(0, 835), clock(fraction):sub(3))
    end,
  }
end

local function datetimes()
  local fraction = random(0, 6)
  return {
    sql = ("datetime(%d)"):format(fraction), form = "moment",
    edges = with_fraction({ "0001-01-01 00:00:00", "1969-12-31 23:59:59", "2024-03-31 02:30:00",
      "9999-12-31 23:59:59" }, fraction),
    make = function() return ("'%s %s'"):format(day(1, 9999), clock(fraction)) end,
  }
end

local function timestamps()
  local fraction = random(0, 6)
  return {
    sql = ("timestamp(%d) null"):format(fraction), form = "zoned",
    edges = with_fraction({ "1970-01-01 00:00:01", "2024-10-27 01:30:00", "2038-01-19 03:14:07" },
      fraction),
    make = function() return ("'%s %s'"):format(day(1971, 2037), clock(fraction)) end,
  }
end

-- ---- JSON, in the one text that both servers print ----

local function json_text(depth)
  local kind = random(depth > 0 and 8 or 6)
  if kind == 1 then return "null" end
  if kind == 2 then return chance(0.5) and "true" or "false" end
  if kind == 3 then return integer(64) end
  if kind == 4 then return one_of { "0.5", "-1.25", "1234.0625", "18446744073709551615" } end
  if kind < 7 then
    return '"' .. one_of { "", "a", "é", "😀", "日本", "it's", "\\\"", "\\\\", "\\n", "a/b" } .. '"'
  end
  local list = {}
  if kind == 7 then
    for i = 1, random(0, 3) do list[i] = json_text(depth - 1) end
    return "[" .. table.concat(list, ", ") .. "]"
  end
  -- Names of one length: MySQL orders by length first, the canonical form does not.
  for _, name in ipairs { "aa", "bb", "cc" } do
    if chance(0.5) then list[#list + 1] = ('"%s": %s'):format(name, json_text(depth - 1)) end
  end
  return "{" .. table.concat(list, ", ") .. "}"
end

local function json()
  return {
    sql = "json", form = "json",
    edges = { text_literal "null", text_literal "{}", text_literal "[]", text_literal '""',
              text_literal "0" },
    make = function() return text_literal(json_text(3)) end,
  }
end

local LABELS = { "a", "B", "it''s", "x y", "é", "日本", "b\\\\c", "0", "1" }

local function sets()
  local labels, edges = {}, { "''" }
  for i = 1, random(1, #LABELS) do
    labels[i] = "'" .. LABELS[i] .. "'"
    edges[i + 1] = labels[i]
  end
  return {
    sql = ("set(%s) %s"):format(table.concat(labels, ","), UTF8), form = "text", edges = edges,
    make = function() return tostring(random(0, (1 << #labels) - 1)) end,
  }
end

local function bits()
  local size = random(2, 64)
  return {
    sql = ("bit(%d)"):format(size), form = "bits", size = size,
    edges = { "b'0'", "b'1'", "b'" .. ("1"):rep(size) .. "'", "b'1" .. ("0"):rep(size - 1) .. "'" },
    make = function()
      local list = {}
      for i = 1, random(1, size) do list[i] = random(0, 1) end
      return "b'" .. table.concat(list) .. "'"
    end,
  }
end

local function years()
  return { sql = "year", form = "year", edges = { "0", "1901", "2155", "1970" },
           make = function() return tostring(random(1901, 2155)) end }
end

local NO_UUID, ALL_UUID = ("0"):rep(32), ("f"):rep(32)

local function uuid_digits()
  local list = {}
  for i = 1, 16 do list[i] = string.char(random(0, 255)) end
  return hex(table.concat(list))
end

local function with_hyphens(text)
  return ("'%s-%s-%s-%s-%s'"):format(text:sub(1, 8), text:sub(9, 12), text:sub(13, 16),
    text:sub(17, 20), text:sub(21))
end

local function uuids(name, declared)
  return function()
    return { sql = name, form = "uuid", declared = declared,
             edges = { with_hyphens(NO_UUID), with_hyphens(ALL_UUID) },
             make = function() return with_hyphens(uuid_digits()) end }
  end
end

--- MariaDB's own type refuses those with the highest bit of the version set and the variant's not.
local function mariadb_uuids()
  local column = uuids "uuid"()
  function column.make()
    local text = uuid_digits()
    if text:byte(13) >= ("8"):byte() then text = text:sub(1, 16) .. "a" .. text:sub(18) end
    return with_hyphens(text)
  end
  return column
end

local function binary_uuids()
  return { sql = "binary(16)", form = "uuid_bytes", declared = "uuid",
           edges = { "x'" .. NO_UUID .. "'", "x'" .. ALL_UUID .. "'" },
           make = function() return "x'" .. uuid_digits() .. "'" end }
end

local function enums()
  local labels, edges = {}, {}
  for i = 1, random(1, #LABELS) do
    labels[i] = "'" .. LABELS[i] .. "'"
    edges[i] = labels[i]
  end
  return { sql = ("enum(%s) %s"):format(table.concat(labels, ","), UTF8), form = "text",
           edges = edges, make = function() return one_of(edges) end }
end

local TYPES = {
  function()
    return { sql = "tinyint(1)", form = "bool", edges = { "0", "1" },
             make = function() return one_of { "0", "1" } end }
  end,
  decimal, decimal,
  floating("float", "<f", "%.9g", { "0", "-0e0", "1.17549435e-38", "3.40282346e38", "1.4e-45",
    "-1.5", "0.1", "16777217" }),
  floating("double", "<d", "%.17g", { "0", "-0e0", "2.2250738585072014e-308",
    "1.7976931348623157e308", "4.9406564584124654e-324", "-1.5", "0.1", "9007199254740993" }),
  texts("char", 50, ALPHABET, UTF8), texts("varchar", 200, ALPHABET, UTF8),
  texts("varchar", 60, ALPHABET, FOLDED), texts("varchar", 60, LATIN, "character set latin1"),
  texts("tinytext", nil, ALPHABET, UTF8), texts("longtext", nil, ALPHABET, FOLDED),
  bytes("binary", 20), bytes("varbinary", 60), bytes("blob"), bytes("longblob"),
  dates, times, durations, datetimes, timestamps, json, enums, sets, bits, years,
  uuids("char(36)", "uuid"), binary_uuids, geometries.column, geometries.column,
  function()
    return { sql = "bit(1)", form = "bit", edges = { "b'0'", "b'1'" },
             make = function() return one_of { "b'0'", "b'1'" } end }
  end,
}
for _, entry in ipairs { { "tinyint", 8 }, { "smallint", 16 }, { "mediumint", 24 }, { "int", 32 },
                         { "bigint", 64 } } do
  table.move(integers(entry[1], entry[2]), 1, 2, #TYPES + 1, TYPES)
end

--- Types of one product only.
local MORE = { mariadb = { mariadb_uuids }, mysql = {} }

--- Types that keys have.
local KEYS = {
  integers("int", 32)[1], integers("bigint", 64)[1], integers("bigint", 64)[2], decimal, dates,
  datetimes, texts("varchar", 30, ALPHABET, UTF8), bytes("varbinary", 16),
  uuids("char(36)", "uuid"), binary_uuids,
}

-- ---- columns that the server computes ----

--- { the form of what it is computed from, its type, its form, the expression }.
local COMPUTED = {
  { "plain", "int", "plain", "%s is null" }, { "text", "int", "plain", "char_length(%s)" },
  { "plain", "varchar(200)", "text", "concat('<', %s, '>')" },
  { "text", "varchar(250)", "text", "concat(%s, '!')" },
  { "bool", "int", "plain", "if(%s, 2, 3)" }, { "year", "int", "plain", "%s + 1" },
  { "plain", "varchar(10)", "text", "case when %s is null then 'none' else 'some' end" },
}

--- A column computed from the one given, or nil when there is no expression for it. MariaDB stores
--- nothing computed from a char, whose blanks depend on the session.
local function computed(from)
  if from.sql:find "^char" then return nil end
  local fitting = {}
  for _, entry in ipairs(COMPUTED) do
    if entry[1] == from.form then fitting[#fitting + 1] = entry end
  end
  if #fitting == 0 then return nil end
  local entry = one_of(fitting)
  return {
    sql = entry[3] == "text" and entry[2] .. " " .. UTF8 or entry[2], form = entry[3],
    expression = ("%s %s"):format("(" .. entry[4]:format(from.name) .. ")",
      chance(0.5) and "stored" or "virtual"),
    from = from.name, edges = { "default" }, make = function() return "default" end,
  }
end

-- ---- tables ----

---@class spec.GeneratedColumn
---@field name string
---@field sql string             its type on the primary
---@field form string            how clients have to show it, see clients.lua
---@field edges string[]         literals at the ends of what it holds, the simplest first
---@field make fun(): string     any literal
---@field declared string|nil   the secondary's type, where the model says it
---@field expression string|nil what the server computes it by, from the column `from`
---@field nullable boolean
---@field key boolean

---@class spec.GeneratedTable
---@field seed integer
---@field columns spec.GeneratedColumn[]   key columns first
---@field rows string[][]        literals

local MOST_COLUMNS = 9

local function literal(column)
  if column.expression then return "default" end
  if column.nullable and chance(0.15) then return "null" end
  if chance(0.3) then return one_of(column.edges) end
  return column.make()
end

local function add(result, column, key)
  column.key = key
  column.nullable = not key and chance(0.8)
  column.name = ("c%d"):format(#result.columns + 1)
  result.columns[#result.columns + 1] = column
end

local function fill(result, rows)
  for i = 1, rows do
    local row = {}
    for at, column in ipairs(result.columns) do row[at] = literal(column) end
    result.rows[i] = row
  end
end

---@param seed integer
---@param rows integer
---@param product "mysql"|"mariadb"
---@return spec.GeneratedTable
function generate.table(seed, rows, product)
  math.randomseed(seed)
  local types = table.move(MORE[product], 1, #MORE[product], #TYPES + 1, { table.unpack(TYPES) })
  local result = { seed = seed, columns = {}, rows = {} }
  for _ = 1, chance(0.25) and 2 or 1 do add(result, one_of(KEYS)(), true) end
  for _ = 1, random(1, MOST_COLUMNS) do add(result, one_of(types)(), false) end
  if chance(0.4) then
    local column = computed(one_of(result.columns))
    if column then add(result, column, false) end
  end
  fill(result, rows)
  return result
end

--- Tables that have every type among them, with keys of every type in turn.
---@param seed integer
---@param rows integer
---@param product "mysql"|"mariadb"
---@return spec.GeneratedTable[]
function generate.all_types(seed, rows, product)
  math.randomseed(seed)
  local types = table.move(MORE[product], 1, #MORE[product], #TYPES + 1, { table.unpack(TYPES) })
  for i = #types, 2, -1 do
    local j = random(i)
    types[i], types[j] = types[j], types[i]
  end
  local tables = {}
  for from = 1, #types, MOST_COLUMNS do
    local result = { seed = seed, columns = {}, rows = {} }
    tables[#tables + 1] = result
    add(result, KEYS[(seed + #tables) % #KEYS + 1](), true)
    for i = from, math.min(from + MOST_COLUMNS - 1, #types) do add(result, types[i](), false) end
    fill(result, rows)
  end
  return tables
end

local BATCH = 100

--- The SQL that makes the table on the primary with its rows. Rows whose key is there are left out.
---@param case spec.GeneratedTable
---@param name string
---@return string
function generate.sql(case, name)
  local lines, key = {}, {}
  for i, column in ipairs(case.columns) do
    lines[i] = ("%s %s%s"):format(column.name, column.sql,
      column.expression and " as " .. column.expression or column.nullable and "" or " not null")
    if column.key then key[#key + 1] = column.name end
  end
  lines[#lines + 1] = ("primary key (%s)"):format(table.concat(key, ", "))
  local parts = {
    "set time_zone = '+00:00'; set names utf8mb4;",
    ("drop table if exists %s;"):format(name),
    ("create table %s (%s);"):format(name, table.concat(lines, ", ")),
  }
  for from = 1, #case.rows, BATCH do
    local values = {}
    for i = from, math.min(from + BATCH - 1, #case.rows) do
      values[#values + 1] = "(" .. table.concat(case.rows[i], ", ") .. ")"
    end
    parts[#parts + 1] = ("insert into %s values %s on duplicate key update %s = %s;"):format(name,
      table.concat(values, ",\n"), key[1], key[1])
  end
  return table.concat(parts, "\n")
end

return generate
