-- Every kind of key: either both servers return it in the order that dualdb compares in, or dualdb
-- does not rely on their order. In both cases a planted difference is found.

local apply = require "dualdb.schema.apply"
local core = require "dualdb.core"
local pair = require "spec.support.pair"

local TABLE = "key_order"

local db

local function drop()
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute("drop table if exists " .. TABLE)
  end
end

local function is_mariadb() return db.primary:info().product == "mariadb" end

--- A collation that does not pad with blanks, and compares bytes.
local function no_pad()
  return is_mariadb() and "utf8mb4_nopad_bin" or "utf8mb4_0900_bin"
end

-- ---- the order of dd_key_compare, said a second time ----

--- Sign, whole digits and fraction of a canonical decimal, so that texts of them compare.
local function decimal_parts(text)
  local sign, whole, fraction = text:match("^(%-?)(%d+)%.?(%d*)$")
  return sign == "-", ("0"):rep(100 - #whole) .. whole .. "." .. fraction .. ("0"):rep(
    100 - #fraction)
end

local function compare_decimals(a, b)
  local a_negative, a_digits = decimal_parts(a)
  local b_negative, b_digits = decimal_parts(b)
  if a_negative ~= b_negative then return a_negative and -1 or 1 end
  if a_digits == b_digits then return 0 end
  return (a_digits < b_digits) ~= a_negative and -1 or 1
end

local function compare_bytes(a, b)
  local shorter = math.min(#a, #b)
  for i = 1, shorter do
    if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) and -1 or 1 end
  end
  return #a == #b and 0 or #a < #b and -1 or 1
end

local LENGTH = 4  -- of a field, before its bytes

local function compare_keys(kinds, a, b)
  local a_fields, b_fields = core.fields(a), core.fields(b)
  for i = 1, #kinds do
    local compare = kinds:sub(i, i) == "d" and compare_decimals or compare_bytes
    local order = compare(a_fields[i]:sub(LENGTH + 1), b_fields[i]:sub(LENGTH + 1))
    if order ~= 0 then return order end
  end
  return 0
end

-- ---- the corpus ----

---@class spec.KeyCase
---@field name string
---@field key string            the key's columns on the primary
---@field columns string[]|nil  their names in the order of the key (default: id)
---@field keys string[]         literals of the primary
---@field secondary string|nil  the table's columns there (default: schema apply makes it)
---@field ordered boolean
---@field setup fun()|nil       before anything

local PUNCTUATION = {
  "'a-b'", "'a b'", "'a_b'", "'a\\\\b'", "'a%b'", "'ab'", "'a.b'", "'a''b'", "'a\"b'", "'A-C'",
}

local TEXTS = {
  "''", "'a'", "'B'", "'c'", "'Straße'", "'strand'", "'Zoë'", "'zoo'", "'İstanbul'", "'istiridye'",
  "'éclair'", "'eclat'", "'日本'", "'😀'", "'Ω'", "'ж'",
}

local function with(list, ...)
  local all = table.move(list, 1, #list, 1, {})
  for _, more in ipairs { ... } do table.move(more, 1, #more, #all + 1, all) end
  return all
end

local UUIDS = {
  "'00000000-0000-0000-0000-000000000000'", "'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'",
  "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12'",
  "'0FEEBC99-9C0B-4EF8-BB6D-6BB9BD380A12'", "'9ceebc99-9c0b-4ef8-bb6d-6bb9bd380a10'",
}

---@type spec.KeyCase[]
local CASES = {
  { name = "texts of a collation that folds case and accents", ordered = false,
    key = "id varchar(30) collate utf8mb4_general_ci", keys = TEXTS },
  { name = "texts of a collation that folds ß and ss", ordered = false,
    key = "id varchar(30) collate utf8mb4_unicode_ci",
    keys = { "'Straße'", "'Strassf'", "'strase'", "'STRASSD'", "'I'", "'ı'", "'j'", "'İz'" } },
  { name = "texts of a Turkish collation", ordered = false,
    key = "id varchar(30) collate utf8mb4_turkish_ci",
    keys = { "'i'", "'I'", "'ısı'", "'İzmir'", "'izmit'", "'j'", "'h'", "'ş'", "'s'" } },
  { name = "texts of a binary collation", ordered = false,
    key = "id varchar(30) character set utf8mb4 collate utf8mb4_bin",
    keys = with(TEXTS, PUNCTUATION, { "'A'", "'🎈'", "'a\\t'", "'b '", "'B\\t'", "'ｚ'",
      "'\\Z'", "'%'", "'_'" }) },
  { name = "texts of latin1", ordered = false,
    key = "id varchar(30) character set latin1 collate latin1_swedish_ci",
    keys = { "'a'", "'B'", "'ä'", "'å'", "'z'", "'ö'", "'Ünder'", "'x-y'", "'x y'" } },
  { name = "texts with blanks at their end, all of them different", ordered = false,
    key = function() return "id varchar(30) character set utf8mb4 collate " .. no_pad() end,
    keys = { "'a'", "'a '", "'a  '", "'a\\t'", "' a'", "' '", "''", "'b'" } },
  { name = "padded chars", ordered = false,
    key = "id char(5) character set utf8mb4 collate utf8mb4_bin",
    keys = { "'a'", "'a b'", "'ab'", "'A'", "' a'", "''", "'é'" } },
  { name = "punctuation", ordered = false, key = "id varchar(30)", keys = PUNCTUATION },
  { name = "varbinary with zero and 255 bytes", ordered = true, key = "id varbinary(20)",
    keys = { "x''", "x'00'", "x'0000'", "x'00ff'", "x'ff'", "x'ff00'", "x'ffff'", "x'61'",
      "x'6100'", "x'6120'", "x'7f'", "x'80'", "'a-b'", "'a_b'" } },
  { name = "binary(16)", ordered = true, key = "id binary(16)",
    keys = { "repeat(x'00', 16)", "repeat(x'ff', 16)", "concat(repeat(x'00', 15), x'01')",
      "concat(x'61', repeat(x'00', 15))", "concat(x'61', repeat(x'20', 15))", "repeat('a', 16)",
      "concat(x'80', repeat(x'00', 15))" } },
  { name = "unsigned numbers beyond 2^63", ordered = true, key = "id bigint unsigned",
    keys = { "0", "1", "9", "10", "9007199254740993", "9223372036854775807", "9223372036854775808",
      "18446744073709551614", "18446744073709551615" } },
  { name = "negative numbers", ordered = true, key = "id bigint",
    keys = { "-9223372036854775808", "-9223372036854775807", "-10", "-9", "-1", "1", "9", "10",
      "256", "9223372036854775807" } },
  { name = "numbers far apart", ordered = true, key = "id bigint",
    keys = { "1", "2", "1000000000000000", "1000000000000001", "3000000000000000" } },
  { name = "decimals of many digits", ordered = true, key = "id decimal(65,30)",
    keys = { "-99999999999999999999999999999999999.999999999999999999999999999999", "-10", "-9",
      "-1.5", "-0.000000000000000000000000000001", "0", "0.000000000000000000000000000001", "0.5",
      "1.5", "9", "10", "10.25", "99999999999999999999999999999999999" } },
  { name = "decimals of different scales", ordered = true, key = "id decimal(20,4)",
    secondary = "id numeric primary key, v integer not null",
    keys = { "-100", "-20.5", "-20.25", "-3", "0", "0.0001", "1.5", "1.25", "100", "20", "3" } },
  { name = "booleans", ordered = true, key = "id tinyint(1)", keys = { "0", "1" } },
  { name = "dates of all centuries", ordered = true, key = "id date",
    keys = { "'0001-01-01'", "'0009-12-31'", "'1000-01-01'", "'1582-10-10'", "'1900-02-28'",
      "'1969-12-31'", "'1970-01-01'", "'2000-02-29'", "'9999-12-31'" } },
  { name = "times", ordered = true, key = "id time(6)",
    keys = { "'00:00:00'", "'00:00:00.000001'", "'09:59:59.999999'", "'10:00:00'",
      "'23:59:59.999999'" } },
  { name = "times that are negative or longer than a day", ordered = true, key = "id time(6)",
    secondary = "id interval primary key, v integer not null",
    keys = { "'-838:59:59'", "'-24:00:00'", "'-00:00:00.000001'", "'00:00:00'", "'09:00:00'",
      "'24:00:00'", "'100:00:00'", "'838:59:59'" } },
  { name = "datetimes with microseconds", ordered = true, key = "id datetime(6)",
    keys = { "'0001-01-01 00:00:00'", "'1969-12-31 23:59:59.999999'", "'1970-01-01 00:00:00'",
      "'2024-03-31 02:30:00.000001'", "'2024-03-31 02:30:00.1'", "'9999-12-31 23:59:59.999999'" } },
  { name = "timestamps with microseconds", ordered = true, key = "id timestamp(6)",
    keys = { "'1970-01-02 00:00:00'", "'2024-10-27 00:30:00.000001'", "'2024-10-27 00:30:00.1'",
      "'2024-10-27 01:30:00'", "'2037-12-31 23:59:59.999999'" } },
  { name = "enums, which one side orders by their index", ordered = false,
    key = "id enum('zebra', 'apple', 'Mango', 'it''s')",
    keys = { "'zebra'", "'apple'", "'Mango'", "'it''s'" } },
  { name = "sets, which one side orders by their bits", ordered = false,
    key = "id set('z', 'a', 'M')",
    keys = { "''", "'z'", "'a'", "'z,a'", "'M'", "'z,M'", "'a,M'" } },
  { name = "bits", ordered = true, key = "id bit(64)",
    keys = { "b'0'", "b'1'", "b'10'", "x'7fffffffffffffff'", "x'8000000000000000'",
      "x'ffffffffffffffff'" } },
  { name = "years", ordered = true, key = "id year", keys = { "0", "1901", "1999", "2155" } },
  { name = "uuids as texts in both cases", ordered = false, key = "id char(36)", keys = UUIDS },
  { name = "uuids as texts and as uuids", ordered = false,
    key = "id char(36) character set ascii collate ascii_bin",
    secondary = "id uuid primary key, v integer not null",
    keys = { UUIDS[1], UUIDS[3], UUIDS[6], "'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'" } },
  { name = "doubles", ordered = false, key = "id double",
    keys = { "-1.5e300", "-2", "-1e-300", "0", "1e-300", "0.1", "2", "1.7976931348623157e308" } },
  { name = "composite keys in another order than the columns", ordered = true,
    key = "c int not null, a varbinary(5) not null, b bigint not null", columns = { "b", "a", "c" },
    keys = { "1, 'a', 2", "2, 'a', 2", "1, 'b', 1", "1, '', 2", "3, x'61ff', -1", "0, x'6100', -1",
      "1, 'a', 10" } },
  { name = "composite keys of which one column is text", ordered = false,
    key = "a int not null, b varchar(9) collate utf8mb4_general_ci not null",
    columns = { "a", "b" },
    keys = { "1, 'a'", "1, 'B'", "2, 'é'", "2, 'f'", "-1, 'Z'" } },
}

local function make(case)
  drop()
  local columns = case.columns or { "id" }
  local key = type(case.key) == "function" and case.key() or case.key
  db.primary:execute(("create table %s (%s, v int not null, primary key (%s))"):format(TABLE, key,
    table.concat(columns, ", ")))
  for i, literal in ipairs(case.keys) do
    db.primary:execute(("insert into %s values (%s, %d)"):format(TABLE, literal, i))
  end
  if case.secondary then
    db.secondary:execute(("create table %s (%s)"):format(TABLE, case.secondary))
  end
  db:refresh()
  if not case.secondary then apply.run(db, { TABLE }) end
  return db[TABLE], table.concat(columns, ", ")
end

--- The canonical keys as the side orders them by itself.
local function keys_of(side, spec, order)
  local names = spec.statements[side.name]:key_list()
  return side:with(function(conn)
    return conn:fetch(("select %s from %s order by %s"):format(names, TABLE, order), "", "",
      spec.key_kinds)
  end)
end

describe("a key of", function()
  setup(function() db = pair.open() end)

  teardown(function()
    drop()
    db:close()
  end)

  for _, case in ipairs(CASES) do
    it(case.name .. (case.ordered and " has one order" or " is not compared by order"), function()
      local model, order = make(case)
      model:sync()
      local spec = db:spec(TABLE)
      assert.equal(case.ordered, spec.ordered)
      local report = model:verify()
      assert.equal("equal", report.verdict, report.reason)
      assert.equal(#case.keys, report.rows_primary)
      assert.equal(#case.keys, report.rows_secondary)
      assert.equal(case.ordered and "stream" or "stream-partitioned", report.method)
      if case.ordered then
        local here, there = keys_of(db.primary, spec, order), keys_of(db.secondary, spec, order)
        assert.same(here, there)
        for i = 2, #here do
          assert.equal(-1, compare_keys(spec.key_kinds, here[i - 1], here[i]),
            ("rows %d and %d are in another order"):format(i - 1, i))
        end
      end
    end)

    it(case.name .. " does not hide a row that was changed, is missing, or is too many", function()
      local model = make(case)
      model:sync()
      local last = #case.keys
      db.primary:execute(("delete from %s where v = 1"):format(TABLE))
      local missing, changed = last > 2 and last or 0, 2
      db.secondary:execute(("delete from %s where v = %d"):format(TABLE, missing))
      db.secondary:execute(("update %s set v = -1 where v = %d"):format(TABLE, changed))
      local report, kinds = model:verify(), {}
      for difference in report:differences() do kinds[#kinds + 1] = difference.kind end
      table.sort(kinds)
      assert.equal("different", report.verdict)
      local found = missing > 0 and { "changed", "extra", "missing" } or { "changed", "extra" }
      assert.same(found, kinds)
      model:sync()
      assert.equal("equal", model:verify().verdict)
    end)
  end
end)
