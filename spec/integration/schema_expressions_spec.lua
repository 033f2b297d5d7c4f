-- Check constraints and computed columns: what schema apply carries over means the same on both
-- real servers for the same rows, and what does not is left out by name.

local apply = require "dualdb.schema.apply"
local clients = require "spec.support.clients"
local ddl = require "dualdb.schema.ddl"
local diff = require "dualdb.schema.diff"
local pair = require "spec.support.pair"

local db
local made = {}

local function open(models)
  if db then db:close() end
  db = pair.open(models)
end

local function drop(name)
  db.primary:execute("drop table if exists " .. name)
  db.secondary:execute(("drop table if exists %s cascade"):format(name))
end

local function primary(name, body)
  drop(name)
  made[#made + 1] = name
  db.primary:execute(("create table %s (%s)"):format(name, body))
  db:refresh()
end

--- Makes both sides' tables as said.
local function each(name, mysql, postgres)
  primary(name, mysql)
  db.secondary:execute(("create table %s (%s)"):format(name, postgres))
end

local function has(text, part)
  assert(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
end

local function messages(list)
  local texts = {}
  for i, one in ipairs(list) do texts[i] = one.message end
  return table.concat(texts, "\n")
end

local function is_mariadb() return db.primary:info().product == "mariadb" end

--- Names of the secondary's computed columns, and of its named checks.
local function carried(name)
  local found = {}
  for _, row in ipairs(db.secondary:query([[
      select attname::text as name from pg_attribute
      where attrelid = to_regclass(?) and attgenerated = 's'
      union all select conname::text from pg_constraint
      where conrelid = to_regclass(?) and contype = 'c']], name, name)) do
    found[row.name] = true
  end
  return found
end

-- ---- the proof: the same rows, evaluated by both servers ----

local COLUMNS = [[
  id int primary key, a int, n smallint, w bigint, u int unsigned, h bigint unsigned,
  d decimal(10,2), g decimal(20,6), f double, r float, b bool, p bool,
  s varchar(20) character set utf8mb4 collate utf8mb4_bin,
  z varchar(20) character set utf8mb4 collate utf8mb4_bin,
  ci varchar(20) character set utf8mb4 collate utf8mb4_general_ci,
  k varchar(20) character set ascii, c char(6) character set utf8mb4 collate utf8mb4_bin,
  la varchar(20) character set latin1 collate latin1_bin, x varbinary(10),
  e enum('new', 'Paid', 'done') character set utf8mb4 collate utf8mb4_general_ci,
  t date, t2 date, dt datetime, dt6 datetime(6), tm time, ts timestamp null, ts2 timestamp null]]

--- By turns in the rows, which have them in many combinations so.
local VALUES = {
  a = { "null", "0", "1", "2", "-1", "5", "-7", "2147483647", "-2147483648", "10", "3" },
  n = { "3", "null", "0", "-32768", "32767" },
  w = { "4611686018427387904", "null", "0", "-4611686018427387904", "7", "-8", "100" },
  u = { "0", "4294967295", "null", "1", "17", "5", "2", "100" },
  h = { "18446744073709551615", "0", "null", "9223372036854775808", "5" },
  d = { "0.50", "-0.50", "null", "1.25", "-1.25", "99999999.99", "0", "2.00", "1.5", "-99999999.99",
        "0.05" },
  g = { "0.000001", "null", "-1.500000", "12345678901234.567890", "2.5", "-2.5", "0" },
  f = { "0.1", "null", "-0.5", "1e300", "0", "-0.0", "1000" },
  r = { "0.1", "0.5", "null", "-0.5", "0" },
  b = { "1", "0", "null" },
  p = { "0", "1", "1", "null", "0" },
  s = { "'a'", "null", "''", "'  '", "'a '", "'A'", "'é'", "'a%'", "'a\\\\b'", "'it''s'",
        "'  ab  '", "'a\\tb'", "'Ünïcödé'" },
  z = { "'a'", "'a  '", "null", "''", "' a'", "'b'", "'é'" },
  ci = { "'a'", "''", "null", "'   '", "'A'", "'\\t'", "'é'" },
  k = { "'aBc'", "null", "''", "'Z_z'", "' q '" },
  c = { "'ab'", "null", "''", "'a b'", "'é'" },
  la = { "'a'", "'é'", "null", "''", "'a '" },
  x = { "''", "null", "'abc'", "'a  '", "x'00ff'" },
  e = { "'new'", "'Paid'", "'done'", "null" },
  t = { "'2020-02-29'", "null", "'1999-12-31'", "'2020-01-01'", "'2021-03-04'" },
  t2 = { "'2020-02-29'", "'2020-01-01'", "null", "'2000-01-01'", "'2024-12-31'", "'2019-06-06'",
         "'1001-01-01'" },
  dt = { "'2020-02-29 00:00:00'", "'2020-02-29 23:59:59'", "null", "'2020-01-01 10:00:00'" },
  dt6 = { "'2020-01-01 10:00:00.000001'", "'2020-01-01 10:00:00'", "null",
          "'2019-12-31 23:59:59.999999'", "'2020-02-29 00:00:00'" },
  tm = { "'00:00:00'", "'12:30:00'", "null", "'23:59:59'" },
  ts = { "'2020-02-29 00:00:00'", "null", "'2020-02-29 23:59:59'" },
  ts2 = { "'2020-02-29 00:00:00'", "'2021-01-01 00:00:00'", "null", "'2020-02-29 23:59:59'" },
}
local ROWS = 240

local function fill(name)
  local names, rows = {}, {}
  for column in pairs(VALUES) do names[#names + 1] = column end
  table.sort(names)
  for i = 1, ROWS do
    local fields = { tostring(i) }
    for j, column in ipairs(names) do
      local list = VALUES[column]
      -- Shifted once a turn: lists of the same length meet in other ways too.
      fields[j + 1] = list[(i + i // #list * j) % #list + 1]
    end
    rows[i] = ("(%s)"):format(table.concat(fields, ", "))
  end
  db.primary:execute(("insert into %s (id, %s) values %s"):format(name, table.concat(names, ", "),
    table.concat(rows, ", ")))
end

local CONDITIONS = {
  "a > 0", "a >= 1 and a < 10", "a <> 5 or b = 1", "not (a = 1)", "(a > 0) xor (n > 0)",
  "a between 1 and 5", "a not between -1 and 3", "a in (1, 2, -7)", "a not in (1, 2, 3)",
  "a is null", "a is not null and n is null", "(a > 1) is true", "(a > 1) is not false",
  "(a = n) is unknown", "a <=> n", "a = n or a < n and b = 1", "(a = n or a < n) and p = 1",
  "b = 1", "b <> 1", "b = 0 or p = 1", "b = p", "b <=> p", "b + p = 1", "(a > 0) = (n > 0)",
  "a + n > 5", "a - n <= 0", "a * n = 0", "-a > 1", "a + 1 > 2147483647", "a * 3 - n * 2 > 7",
  "w + a > 0", "w - a < 0", "u > 5", "u + 1 > 4294967295", "u * 2 = 34",
  "u between 1 and 17", "h = 18446744073709551615", "h > 5", "h > w", "u = a", "h div 3 > 4",
  "a div 2 = 1", "a div -2 = 1", "a % 3 = 2", "a % -3 = -1", "mod(a, 2) = 1", "w div 7 > 100",
  "d > 0", "d = 1.5", "d >= -1.25", "d < a", "d + g > 0", "d - 0.5 = 0", "d * 2 = 2.5",
  "d * g > 1.000001", "d * d = 1.5625", "d % 1 = 0.5", "d + a > 3", "d between 0 and 2",
  "d in (0.5, 2, 1.250)", "-d > 1", "abs(a) > 5", "abs(d) = 0.5", "sign(d) = -1",
  "floor(d) = ceiling(d)", "floor(d) = -1", "ceiling(g) = 3", "round(d) = 1", "round(d) = -1",
  "round(d, 1) = 0.1", "round(g, 0) = 3", "round(g) = -3", "truncate(d, 1) = 1.2",
  "truncate(d, 0) = -1", "greatest(a, n) > 4", "least(a, n, 3) < 0", "greatest(a, 1) = 1",
  "coalesce(a, n, 0) = 0", "ifnull(d, 7) = 7", "nullif(a, 1) is null", "nullif(d, a) > 0",
  "if(a > 1, a, n) > 2", "case when a > 1 then 1 when n > 1 then 2 else 3 end = 2",
  "case a when 1 then 10 when 2 then 20 end = 20", "case b when 1 then a else n end > 0",
  "cast(u as signed) - 5 < 0", "cast(a as decimal(12,1)) = 5.0", "cast(d as decimal(10,1)) = 1.3",
  "cast(g as decimal(20,0)) = 3",
  "f > 0", "f = 0", "f = 0.1", "f <= -0.5", "f between 0 and 1", "f > 1e3", "r = 0.1", "r = 0.5",
  "r < 0.5", "f in (0.1, 1000)",
  "s = 'a'", "s <> 'a'", "s <=> 'a'", "s = ''", "s in ('a', 'it''s', 'a\\\\b')",
  "s not in ('A', 'b')", "s = z", "s <> z", "s <=> z", "s like 'a%'", "s not like 'a%'",
  "s like '%\\\\%'", "s like 'a\\\\\\\\_'", "s like 'a|%' escape '|'", "s like '_'",
  "char_length(s) = 2", "char_length(s) between 1 and 3", "length(s) > char_length(s)",
  "trim(s) = 'ab'", "char_length(ltrim(s)) = 4", "char_length(rtrim(s)) = 4",
  "left(s, 1) = 'a'", "right(s, 1) = 'b'", "substr(s, 2) = '%'", "substring(s, 2, 1) = 'b'",
  "concat(s, z) = 'aa'", "concat(s, ' ', a) = 'a 1'", "concat(b, s) = '1a'",
  "coalesce(s, 'none') = 'none'", "if(b = 1, s, z) = 'a'", "nullif(s, 'a') is null",
  "upper(k) is null", "char_length(lower(k)) = 3",
  "ci <> ''", "ci = '  '", "ci is null or char_length(ci) = 1",
  "c = 'ab'", "c <> ''", "char_length(c) = 3", "la = 'a'", "la <> ''", "length(x) = 3",
  "octet_length(x) = 0", "s collate utf8mb4_bin = 'a'",
  "e = 'new'", "e = 'PAID'", "e <> 'Paid'", "e in ('NEW', 'done ')", "e <=> 'new'", "e = 'other'",
  "e <> 'other'", "e not in ('new')", "case e when 'new' then 1 else 0 end = 1", "'new' = e",
  "e = 'done' or a is not null",
  "t > '2020-01-01'", "t = date '2020-02-29'", "t between '2020-01-01' and '2020-12-31'",
  "t in ('2020-02-29', '1999-12-31')", "t <= t2", "t <> t2", "t = dt", "t < dt", "dt <= dt6",
  "t >= '2020-02-28 12:00:00'", "dt > '2020-02-29'", "dt = timestamp '2020-02-29 23:59:59'",
  "dt6 > '2020-01-01 10:00:00.000000'", "dt6 between '2020-01-01' and '2020-01-01 10:00:00'",
  "dt between t and t2", "t between dt and dt6", "t in (t2, dt)", "dt in (t, t2)",
  "case t when dt then 1 when t2 then 2 end = 1", "tm between '12:00:00' and '12:30:00'",
  "tm in ('12:30:00', '00:00:00')", "a between 0.5 and 2.5", "a in (1, 2.0, 2.5)",
  "r in (0.1, 0.5)", "d between a and n", "case d when 2 then 1 when 0.5 then 2 end = 1",
  "tm > '12:00:00'", "tm = time '23:59:59'", "ts <= ts2", "ts <=> ts2", "ts is null",
  "year(t) = 2020", "month(dt) = 2", "day(t) = 29", "dayofmonth(dt) > 1", "quarter(t) = 4",
  "hour(dt) = 23", "minute(tm) = 30", "second(tm) = 59", "date(dt) = t",
  "date(dt6) >= '2020-01-01'",
  "datediff(t, t2) > 0", "datediff(dt, t2) = 0",
  "a > 0 and b = 1 or n < 0 and not (p = 1 or d > 0)", "not (a > 0 and n > 0) and a is not null",
  "1 = 1", "case when a > 0 then s = 'a' else z = 'a' end",
}

--- { type, expression }
local COMPUTED = {
  { "bigint", "a + 1" }, { "bigint", "a * n" }, { "bigint", "u - 1 + 1" , "below zero" },
  { "bigint", "cast(u as signed) - 1" }, { "bigint unsigned", "u * 2 + 1" },
  { "bigint unsigned", "h div 10" }, { "smallint", "n" }, { "int", "coalesce(a, n, 0)" },
  { "int", "d" , "99999999.99 is in an int" }, { "int", "round(d)" }, { "bigint", "g * 3" },
  { "tinyint", "case when a > 1 then 1 else 0 end" }, { "bool", "a > 1" },
  { "bool", "case when a > 1 then 1 else 0 end" }, { "int", "a > 1" },
  { "int", "(a > 1) + (n > 1)" }, { "decimal(12,2)", "d * 2" }, { "decimal(10,1)", "d" },
  { "decimal(30,8)", "d * g" }, { "decimal(20,3)", "g - d" }, { "decimal(12,2)", "d + a" },
  { "decimal(10,0)", "d" }, { "decimal(10,2)", "ifnull(d, 0)" }, { "decimal(14,4)", "d % 0.7" },
  { "varchar(60)", "concat(s, '-', z)" }, { "varchar(60)", "concat(s, ' it''s ', a)" },
  { "text", "concat(s, z)" }, { "char(60)", "concat(s, ' ')" }, { "varchar(20)", "trim(s)" },
  { "varchar(3)", "left(s, 3)" }, { "varchar(20)", "case when a > 0 then s else 'none' end" },
  { "varchar(20)", "coalesce(s, z, 'neither')" }, { "varchar(20)", "upper(k)" },
  { "varchar(20)", "nullif(s, '')" }, { "int", "char_length(ci)" },
  { "int unsigned", "char_length(s)", "a count may be more" }, { "date", "date(dt)" },
  { "date", "case when a > 0 then t else t2 end" }, { "date", "coalesce(t, t2)" },
  { "datetime", "dt" }, { "datetime(6)", "coalesce(dt, dt6)" }, { "int", "year(t)" },
  { "int", "datediff(t2, t)" }, { "int", "null" },
}

--- What has to be left out, and a word of the reason.
local REFUSED = {
  { "nopad = 'a'", "that differ" }, { "nopad <> ''", "that differ" },
  { "nopad in ('a', 'b')", "that differ" },
  { "a / 2 > 1", "division" }, { "a div n > 1", "zero" }, { "a % n = 1", "zero" },
  { "u - 5 < 3", "below zero" }, { "year(t) - 3000 < 0", "below zero" },
  { "u + a > 0", "below zero" }, { "h + 1 > 0", "largest number" }, { "f + 1 > 2", "number" },
  { "f = d", "floating" }, { "ci = 'a'", "utf8mb4_general_ci" }, { "s < 'b'", "ordered" },
  { "s between 'a' and 'b'", "ordered" }, { "ci like 'a%'", "LIKE" }, { "s regexp 'a'", "" },
  { "a & 1 = 1", "operator" }, { "a << 1 = 2", "operator" }, { "lower(s) = 'a'", "letters" },
  { "replace(s, 'a', 'b') = 'b'", "replace" }, { "s = 5", "kind" }, { "ts > '2020-01-01'", "kind" },
  { "t > '2020-1-1'", "complete" }, { "t + interval 1 day > t2", "interval" },
  { "concat(s, d) = 'a'", "concat" }, { "s = '?'", "shows ?" }, { "e = s", "labels" },
  { "e > 'new'", "ordered" }, { "length(la) = 1", "bytes" }, { "a = 0x41", "0x41" },
  { "ci <> 'x' and a > 0", "utf8mb4_general_ci" }, { "greatest(s, z) = 'a'", "number" },
  { "ifnull(u, -1) > 0", "signed" }, { "s = la", "" }, { "round(d, -1) = 0", "literals" },
  { "cast(a as unsigned) > 1", "below zero" },
  { "cast(d as decimal(9,1)) = 1.3", "cuts off" }, { "e + 0 = 1", "number" },
}

--- Tables have limits: of columns that are computed, so many at once.
local AT_ONCE = 60

local function in_parts(list, fn)
  for from = 1, #list, AT_ONCE do
    fn(table.move(list, from, math.min(from + AT_ONCE - 1, #list), 1, {}))
  end
end

--- What each server has in the columns, by its own client.
local function rows_of(driver, name, columns)
  return clients.rows(driver, ("select id, %s from %s order by id"):format(
    table.concat(columns, ", "), name))
end

--- A moment without what is nothing of a second.
local function normal(text) return (text:gsub("(:%d%d)%.0+$", "%1")) end

local function assert_same_rows(name, list, columns)
  local here = rows_of("mysql", name, columns.mysql)
  local there = rows_of("postgres", name, columns.postgres)
  assert.equal(ROWS, #here)
  assert.equal(ROWS, #there)
  for i = 1, ROWS do
    for j, entry in ipairs(list) do
      local one, other = normal(here[i][j + 1]), normal(there[i][j + 1])
      assert(one == other, ("%s of row %d is %s on the primary and %s on the secondary"):format(
        type(entry) == "table" and entry[2] or entry, i, one, other))
    end
  end
end

describe("an expression of the primary", function()
  before_each(function() open() end)

  after_each(function()
    for i = #made, 1, -1 do drop(made[i]) end
    made = {}
    db:close()
    db = nil
  end)

  it("as a condition is true, false and unknown for the same rows on both servers", function()
    in_parts(CONDITIONS, function(list)
      local parts, columns = { COLUMNS }, { mysql = {}, postgres = {} }
      for i, text in ipairs(list) do
        parts[i + 1] = ("q%d bool as (%s)"):format(i, text)
        columns.mysql[i], columns.postgres[i] = "q" .. i, ("q%d::integer"):format(i)
      end
      primary("x_conditions", table.concat(parts, ", "))
      fill("x_conditions")
      local result = apply.run(db, { "x_conditions" })[1]
      local computed = carried("x_conditions")
      for i, text in ipairs(list) do
        assert(computed["q" .. i], ("%s is not translated:\n%s"):format(text,
          table.concat(result.warnings, "\n")))
      end
      db.x_conditions:sync()
      assert_same_rows("x_conditions", list, columns)
    end)
  end)

  it("as a computed column has the same values on both servers", function()
    local list, parts, columns = {}, { COLUMNS }, { mysql = {}, postgres = {} }
    for _, entry in ipairs(COMPUTED) do
      if not entry[3] then list[#list + 1] = entry end
    end
    for i, entry in ipairs(list) do
      local text = entry[1]:find("^varchar") or entry[1]:find("^char") or entry[1] == "text"
      parts[i + 1] = ("q%d %s%s as (%s)"):format(i, entry[1],
        text and " character set utf8mb4" or "", entry[2])
      columns.mysql[i] = "q" .. i
      columns.postgres[i] = entry[1] == "bool" and ("q%d::integer"):format(i) or "q" .. i
    end
    primary("x_computed", table.concat(parts, ", "))
    fill("x_computed")
    local result = apply.run(db, { "x_computed" })[1]
    local computed = carried("x_computed")
    for i, entry in ipairs(list) do
      assert(computed["q" .. i], ("%s is not translated:\n%s"):format(entry[2],
        table.concat(result.warnings, "\n")))
    end
    db.x_computed:sync()
    assert_same_rows("x_computed", list, columns)
    assert.equal("equal", db.x_computed:verify().verdict)
  end)

  it("that does not mean the same is left out, and named with the reason", function()
    -- The one collation of MySQL's that everybody has, and the nearest of MariaDB's.
    local nopad = is_mariadb() and "utf8mb4_general_nopad_ci" or "utf8mb4_0900_ai_ci"
    local parts, count = { ("%s, nopad varchar(20) character set utf8mb4 collate %s"):format(
      COLUMNS, nopad) }, 0
    for i, entry in ipairs(REFUSED) do
      parts[i + 1], count = ("q%d bool as (%s)"):format(i, entry[1]), i
    end
    primary("x_refused", table.concat(parts, ", "))
    local _, warnings = ddl.statements(db, { "x_refused" })
    local about = {}
    for _, warning in ipairs(warnings) do
      local name = warning.message:match("^column (q%d+) is computed on the primary and a plain")
      if name then about[name] = warning.message end
    end
    for i = 1, count do
      assert(about["q" .. i], REFUSED[i][1] .. " is translated")
      has(about["q" .. i], REFUSED[i][2])
    end
  end)

  it("has texts beyond ASCII where the server shows them, and is left out where not", function()
    primary("x_accent", "id int primary key, s varchar(9) character set utf8mb4 "
      .. "collate utf8mb4_bin, constraint accent check (s <> 'é')")
    local result = apply.run(db, { "x_accent" })[1]
    if is_mariadb() then
      assert.same({}, result.warnings)
      db.primary:execute("insert into x_accent values (1, 'e')")
      db.x_accent:sync()
      assert.is_false((pcall(db.secondary.execute, db.secondary,
        "insert into x_accent values (2, 'é')")))
    else
      assert.equal(1, #result.warnings)
      has(result.warnings[1], "accent")
    end
  end)

  it("is not carried where the model changes what it reads", function()
    primary("x_policy", [[id int primary key, day date, n int, later date as (day) stored,
      twice int as (n * 2) stored, constraint early check (day < '2020-01-01'),
      constraint few check (n < 5)]])
    open { x_policy = { policies = { columns = { day = { zero_dates = "null" } } } } }
    local warnings = table.concat(apply.run(db)[1].warnings, "\n")
    has(warnings, "check constraint early is left out: a policy may change column day")
    has(warnings, "column later is computed on the primary and a plain column")
    local found = carried("x_policy")
    assert.same({ few = true, twice = true }, found)
    db.secondary:execute("drop table x_policy")
    open { x_policy = { sync = { transform = function(row) return row end } } }
    has(table.concat(apply.run(db)[1].warnings, "\n"), "the model's transform may change the row")
    assert.same({}, carried("x_policy"))
  end)

  it("of a computed column that is a key, or refers to another, is not carried", function()
    primary("x_parent", "id int primary key")
    -- MariaDB has no computed keys.
    primary("x_keys", ([[a int not null, b int as (a + 1) stored, c int as (b + 1) stored,
      k int %s, primary key (k), constraint above check (b > a),
      d int as (a - 1) stored, foreign key (d) references x_parent (id)]]):format(
      is_mariadb() and "" or "as (a * 2) stored not null"))
    local warnings = table.concat(apply.run(db, { "x_parent", "x_keys" })[2].warnings, "\n")
    if not is_mariadb() then has(warnings, "it is part of the key") end
    has(warnings, "PostgreSQL computes no column from another computed one, b")
    has(warnings, "a foreign key has it")
    assert.same({ b = true, above = true }, carried("x_keys"))
  end)

  describe("that both sides have", function()
    local BODY = [[id int not null auto_increment primary key, price decimal(10,2) not null,
      count int not null default 1, total decimal(12,2) as (price * count) stored,
      cheap bool as (price < 10) virtual, half int as (count & 1) stored,
      constraint positive check (price >= 0 and count > 0)]]

    before_each(function()
      primary("x_sale", BODY)
      apply.run(db, { "x_sale" })
      assert.same({ total = true, cheap = true, positive = true }, carried("x_sale"))
    end)

    local function totals(side)
      local list = {}
      for i, row in ipairs(side:query("select id, total, cheap from x_sale order by id")) do
        local cheap = row.cheap
        if math.type(cheap) then cheap = cheap ~= 0 end
        list[i] = { row.id, tostring(row.total), cheap }
      end
      return list
    end

    it("is computed by both in inserts, updates and upserts", function()
      db:write(function(tx)
        local row = tx:insert("x_sale", { price = "2.50", count = 3 })
        assert.equal("7.5", row.total)
        tx:insert("x_sale", { price = "20.00" })
        tx:update("x_sale", row.id, { price = "3.00" })
        tx:upsert("x_sale", { id = 9, price = "1.10", count = 2 })
      end)
      assert.same({ { 1, "9", true }, { 2, "20", false }, { 9, "2.2", true } },
        totals(db.secondary))
      assert.same(totals(db.primary), totals(db.secondary))
      assert.equal("equal", db.x_sale:verify().verdict)
    end)

    it("is right after a full sync into an empty table and into one with rows", function()
      db.primary:execute("insert into x_sale (price, count) values (1.5, 2), (99, 1), (0, 7)")
      db.x_sale:sync()
      assert.same(totals(db.primary), totals(db.secondary))
      db.primary:execute("update x_sale set price = price + 1")
      db.primary:execute("insert into x_sale (price) values (5)")
      db.x_sale:sync()
      assert.same(totals(db.primary), totals(db.secondary))
      assert.equal("equal", db.x_sale:verify().verdict)
    end)

    it("is repaired by what it is computed from, in both directions", function()
      db.primary:execute("insert into x_sale (price, count) values (1.5, 2), (99, 1), (0, 7)")
      db.x_sale:sync()
      db.secondary:execute("update x_sale set price = 4 where id = 1")
      db.secondary:execute("delete from x_sale where id = 2")
      assert.equal("different", db.x_sale:verify().verdict)
      db.x_sale:repair { strategy = "primary_wins" }
      assert.equal("equal", db.x_sale:verify().verdict)
      db.secondary:execute("update x_sale set price = 4 where id = 1")
      db.x_sale:repair { strategy = "secondary_wins" }
      assert.equal("equal", db.x_sale:verify().verdict)
      assert.same({ 1, "8", true }, totals(db.primary)[1])
    end)

    it("refuses on the secondary what it refuses on the primary", function()
      for _, side in ipairs { db.primary, db.secondary } do
        local err = pair.failure(side.execute, side,
          "insert into x_sale (id, price, count) values (77, -1, 1)")
        assert.equal("integrity", err.class)
      end
    end)

    it("is no difference", function()
      local result = diff.run(db, { "x_sale" })
      assert.same({}, result.differences)
      has(messages(result.notes), "column half is computed on the primary and a plain column")
      assert.equal(1, #result.notes)
    end)
  end)

  describe("in schema diff", function()
    local HERE = [[id int primary key, a int, d decimal(10,2), twice bigint as (a * 2) stored,
      constraint few check (a < 5 and d > 0), constraint odd check (a / 2 > 1)]]

    local function kinds_of(result)
      local list = {}
      for i, one in ipairs(result.differences) do list[i] = one.kind .. " " .. one.name end
      table.sort(list)
      return list
    end

    local function compare(postgres)
      each("x_diff", HERE, postgres)
      local result = diff.run(db, { "x_diff" })
      return kinds_of(result), messages(result.differences), messages(result.notes)
    end

    it("is the same in other words of the secondary", function()
      local list, _, notes = compare([[id int primary key, a int, d decimal(10,2),
        twice bigint generated always as ((a)::int8 * 2) stored,
        constraint other check ("a" < 5 AND ((d)) > 0)]])
      assert.same({}, list)
      assert.equal("check constraint odd of the primary is not carried: the digits of a division "
        .. "are the session's own", notes:match("^[^\n]-own"))
      assert.is_nil(notes:find("\n"))
    end)

    it("is a difference where the secondary has none, with the way to have it", function()
      local list, text = compare("id int primary key, a int, d decimal(10,2), twice bigint")
      assert.same({ "check few", "generated twice" }, list)
      has(text, "check constraint few is on the primary alone")
      has(text, "column twice is computed on the primary and a plain column on the secondary")
      local statement = diff.run(db, { "x_diff" }).differences[1].hint:match("`(.*)`")
      db.secondary:execute(statement)
      assert.same({ "generated twice" }, kinds_of(diff.run(db, { "x_diff" })))
    end)

    it("is a difference where the secondary has another", function()
      local list, text = compare([[id int primary key, a int, d decimal(10,2),
        twice bigint generated always as (a * 3) stored, constraint few check (a < 6 and d > 0)]])
      assert.same({ "check few", "generated twice" }, list)
      has(text, "check constraint few is")
      has(text, "((a < 6) AND (d > (0)::numeric)) on the secondary")
      has(text, "column twice is computed from")
    end)

    it("is noted where it is on the secondary alone", function()
      local list, _, notes = compare([[id int primary key, a int, d decimal(10,2),
        twice bigint generated always as (a::bigint * 2) stored, check (a < 5 and d > 0),
        constraint more check (id > 0)]])
      assert.same({}, list)
      has(notes, "check constraint more is on the secondary, and not compared")
    end)

    it("leaves nothing behind, and waits for no one", function()
      each("x_diff", HERE, "id int primary key, a int, d decimal(10,2), twice bigint")
      local count = "select count(*) as v from pg_class where relname like 'dualdb_compared%'"
      db.secondary:with(function(conn)
        conn:execute("begin")
        conn:execute("insert into x_diff (id) values (1)")
        assert.equal(2, #diff.run(db, { "x_diff" }).differences)
        conn:execute("rollback")
      end)
      assert.equal(0, pair.value(db.secondary, count))
      assert.equal(0, pair.value(db.secondary, "select count(*) as v from x_diff"))
    end)

    it("is noted, and the rest compared, where the secondary makes no temporary tables", function()
      each("x_diff", HERE, "id int primary key, a int, d decimal(10,2), twice bigint, more int")
      local url = os.getenv "DUALDB_SECONDARY_URL"
      local read_only = pair.open(nil, {
        secondary = url .. (url:find("?", 1, true) and "&" or "?")
          .. "options=-c%20default_transaction_read_only%3Don",
      })
      local result = diff.run(read_only, { "x_diff" })
      read_only:close()
      assert.same({ "column more" }, kinds_of(result))
      has(messages(result.notes), "check constraints and computed columns are not compared")
    end)
  end)

  it("has a name that no check of the secondary's own has", function()
    primary("x_name", [[id int primary key, y year, constraint x_name_y_check check (id > 5),
      constraint x_name_id_check check (id < 50)]])
    apply.run(db, { "x_name" })
    assert.equal(3, pair.value(db.secondary, [[select count(*) as v from pg_constraint
      where conrelid = 'x_name'::regclass and contype = 'c']]))
    assert.same({}, diff.run(db, { "x_name" }).differences)
  end)

  it("that the primary does not enforce is left out", function()
    if is_mariadb() then return end  -- which enforces all
    primary("x_lax", "id int primary key, constraint lax check (id > 5) not enforced")
    has(apply.run(db, { "x_lax" })[1].warnings[1], "lax is left out: it is not enforced")
    assert.same({}, carried("x_lax"))
  end)
end)
