--- A sample is drawn over all rows that either side has, each as likely as any other, says how it
--- was drawn and no more than follows from it.

local cli = require "spec.support.cli"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"

local NAME = "spec_sample"
local DIGITS = "(select 0 as d union all select 1 union all select 2 union all select 3 union all "
  .. "select 4 union all select 5 union all select 6 union all select 7 union all select 8 "
  .. "union all select 9)"
local NUMBERS = ("select a.d + 10 * b.d + 100 * c.d + 1000 * d.d as n from %s a, %s b, %s c, %s d")
  :format(DIGITS, DIGITS, DIGITS, DIGITS)

describe("a sample", function()
  local db, T

  before_each(function()
    edge.before_each()
    edge.drop_later(NAME)
    db = edge.pair { T = { table = NAME, watermark = "at" } }
    T = db.T
  end)

  after_each(edge.after_each)

  --- A table with a key and `v`, which the primary fills for n from 0 to count - 1, on both sides.
  local function make(mysql, postgres, value, count, names)
    pair.make(db, NAME, { mysql = mysql .. ", v int not null, at datetime",
                          postgres = postgres .. ", v int not null, at timestamp" })
    db.primary:execute(("insert into %s (%s, v, at) select %s, n, '2026-01-01' + interval n day "
      .. "from (%s) q where n < %d"):format(NAME, names or "k", value, NUMBERS, count))
    assert.is_nil(T:sync().error)
    assert.equal(count, pair.value(db.secondary, "select count(*) as v from " .. NAME))
  end

  local function make_integers(count, value)
    make("k bigint not null primary key", "k bigint not null primary key", value or "n + 1", count)
  end

  --- Verifies; returns the report, and the keys that differ, as "kind key".
  local function verify(options)
    local report = T:verify(options)
    if report.error then error(report.error, 0) end
    local list = {}
    for difference in report:differences() do
      list[#list + 1] = ("%s %s"):format(difference.kind, tostring(difference.key.k))
    end
    report.spool:close()
    return report, list
  end

  --- The keys that are drawn: all rows differ.
  local function drawn(options)
    local report, list = verify(options)
    assert.equal(report.sample.rows, #list)
    for i, text in ipairs(list) do list[i] = tonumber(text:match "%d+$") end
    return list, report
  end

  it("of equal tables is equal, says that it is one, how it was drawn and what follows", function()
    make_integers(5000)
    local report = verify { sample = 600, seed = 7 }
    assert.equal("equal", report.verdict)
    assert.same({ "sample of 600 rows" }, report.narrowed)
    assert.same({
      count = 600, rows = 600, seed = 7, all = false,
      drawn_by = "uniformly, without replacement, from the keys that either side has, by points of "
        .. "the key range 1 to 5000",
      confidence = "with 95 % confidence at most 0.5 % of the rows differ",
    }, report.sample)
    assert.same({ 600, 600 }, { report.rows_primary, report.rows_secondary })
    assert.same({ 600, 600 }, { report.coverage.rows_primary, report.coverage.rows_secondary })
    assert.equal("sample", report.method)
  end)

  it("is the same again with the same seed, and another with another", function()
    make_integers(3000)
    db.secondary:execute("update " .. NAME .. " set v = v + 1")
    local first = drawn { sample = 100, seed = 1 }
    assert.equal(100, #first)
    assert.same(first, (drawn { sample = 100, seed = 1 }))
    assert.not_same(first, (drawn { sample = 100, seed = 2 }))
    local list, report = drawn { sample = 100 }
    assert.not_same(first, list)
    assert.same(list, (drawn { sample = 100, seed = report.sample.seed }))
  end)

  it("says nothing of all rows when some of it differ", function()
    make_integers(3000)
    db.secondary:execute("update " .. NAME .. " set v = v + 1 where k % 10 = 0")
    local report, list = verify { sample = 300, seed = 3 }
    assert.equal("different", report.verdict)
    assert.is_nil(report.sample.confidence)
    assert.is_true(#list > 10 and #list < 60, #list)
  end)

  it("finds rows that are missing, and those that are extra at either end of the keys and between",
  function()
    make_integers(400, "2 * n + 1000")
    db.secondary:execute("delete from " .. NAME .. " where k % 4 = 0")
    for _, first in ipairs { 601, 1001, 1801 } do
      db.secondary:execute(("insert into %s select n, 1, null from generate_series(%d, %d, 2) n")
        :format(NAME, first, first + 398))
    end
    local report, list = verify { sample = 250, seed = 5 }
    local seen = { missing = 0, below = 0, between = 0, above = 0 }
    for _, text in ipairs(list) do
      local kind, key = text:match "(%a+) (%d+)"
      key = tonumber(key)
      local what = kind == "missing" and kind or key < 1000 and "below" or key > 1800 and "above"
        or "between"
      seen[what] = seen[what] + 1
    end
    -- 200 rows of each, and 200 that are on both sides.
    for what, count in pairs(seen) do
      assert.is_true(count > 25 and count < 75, ("%s: %d"):format(what, count))
    end
    assert.same({ seen.missing, seen.below + seen.between + seen.above },
      { report.missing, report.extra })
    assert.is_true(report.rows_primary < 250 and report.rows_secondary < 250)
  end)

  for what, value in pairs {
    points = "n + 1 + if(n < 200, 0, (n - 200) * 9)",   -- the second half has nine gaps a key
    digests = "n + 1 + if(n < 200, 0, (n - 200) * 999)",
  } do
    it("draws each row alike, whatever the gaps between the keys, by " .. what, function()
      make_integers(400, value)
      db.secondary:execute("update " .. NAME .. " set v = v + 1")
      local dense, all, of_one = 0, 0, 0
      for seed = 1, 40 do
        local list, report = drawn { sample = 30, seed = seed }
        assert.matches(what == "points" and "by points of" or "least SHA%-256",
          report.sample.drawn_by)
        for _, key in ipairs(list) do
          all = all + 1
          if key <= 200 then dense = dense + 1 end
          if key == 400 or key == 1 then of_one = of_one + 1 end
        end
      end
      -- Binomial, with half of 1200 and a deviation of 17: five of these either way.
      assert.equal(1200, all)
      assert.is_true(dense > 515 and dense < 685, ("%d of 1200"):format(dense))
      assert.is_true(of_one > 0 and of_one < 15)
    end)
  end

  local BIN = "character set utf8mb4 collate utf8mb4_bin"
  local FOLDED = "character set utf8mb4 collate utf8mb4_general_ci"
  --- { the types on either side, the value for n }: each is unique.
  local KEYS = {
    { "int unsigned", "bigint", "1000000 * n" },
    { "bigint", "bigint", "if(n % 2, -1, 1) * (n + 1) * 4611686018427387" },
    { "bigint unsigned", "numeric(20)", "18446744073709551615 - n * 97" },
    { "int(9) zerofill", "bigint", "n * 5000" },
    { "year", "int", "1901 + n" },
    { "decimal(12,3)", "numeric(12,3)", "n * 1.25 - 20" },
    { "decimal(12,3)", "numeric", "n * 1.25 - 20" },
    { "decimal(20,0)", "numeric(20)", "n * 100" },
    { "date", "date", "'1900-01-01' + interval n * 97 day" },
    { "datetime(6)", "timestamp(6)",
      "timestamp('1969-12-31 12:00:00') + interval n * 1234567 microsecond" },
    { "datetime", "timestamp", "timestamp('1960-01-01') + interval n hour" },
    { "timestamp(3) default '2000-01-01'", "timestamptz(3)",
      "timestamp('2020-01-01') + interval n * 123000 microsecond" },
    { "time(2)", "time(2)", "sec_to_time(n * 61 + 0.25)" },
    { "varbinary(20)", "bytea", "unhex(left(sha2(n, 256), 8 + 2 * (n % 16)))" },
    { "binary(16)", "uuid", "unhex(left(sha2(n, 256), 32))" },
    { "char(36) " .. FOLDED, "uuid",
      "concat(left(sha2(n, 256), 8), '-0000-0000-0000-', lpad(upper(hex(n)), 12, '0'))" },
    { "varchar(40) " .. BIN, "varchar(40)",
      "concat('é,日 ', n, '\\\\', repeat(' ', n % 3), '|')" },
    { "varchar(40) " .. FOLDED, "text", "concat('Straße ', n)" },
    { "varchar(40) character set latin1", "varchar(40)", "concat('Ä', n, 'ß')" },
    { "char(20) " .. BIN, "char(20)", "concat('x', n)" },
  }
  --- Keys of two columns, of which the other is v.
  local TWO = {
    { "enum('b','a','ü') " .. BIN, "text", "n % 3 + 1" }, { "tinyint(1)", "boolean", "n % 2" },
    { "date", "date", "'2026-01-01' + interval n div 3 day" },
  }

  it("draws the same keys on both sides, of whatever types they are", function()
    local mysql, postgres, names, values = {}, {}, {}, {}
    for i, key in ipairs(table.move(TWO, 1, #TWO, #KEYS + 1, { table.unpack(KEYS) })) do
      local name, two = "k" .. i, i > #KEYS
      local tail = two and (" not null, unique (%s, v)"):format(name) or " not null unique"
      mysql[i], postgres[i] = ("%s %s%s"):format(name, key[1], tail), name .. " " .. key[2] .. tail
      names[i], values[i] = name, key[3]
      db:model("K" .. i, { table = NAME, key = two and { name, "v" } or name })
    end
    db:model("T", { table = NAME, key = "v" })
    make(table.concat(mysql, ", ") .. ", unique (v)", table.concat(postgres, ", ")
      .. ", unique (v)", table.concat(values, ", "), 90, table.concat(names, ", "))
    for pass = 1, 2 do
      for i in ipairs(names) do
        local what = ("%d: %s"):format(i, mysql[i])
        local report = db["K" .. i]:verify { sample = 17, seed = 1 }
        report.spool:close()
        if report.error then error(report.error, 0) end
        assert.same({ 17, 17, 17 },
          { report.sample.rows, report.rows_primary, report.rows_secondary }, what)
        assert.equal(pass == 1 and "equal" or "different", report.verdict, what)
        assert.equal(pass == 1 and 0 or 17, report.changed, what)
      end
      db.secondary:execute("update " .. NAME .. " set at = at + interval '1 day'")
    end
  end)

  it("is refused for keys of which the servers do not make the same text", function()
    for _, types in ipairs { { "double", "double precision" }, { "time", "interval" },
                             { "bit(9)", "bit(9)" } } do
      pair.make(db, NAME, {
        mysql = ("k %s not null primary key, v int, at datetime"):format(types[1]),
        postgres = ("k %s not null primary key, v int, at timestamp"):format(types[2]),
      })
      local err = pair.failure(T.verify, T, { sample = 10 })
      assert.equal("usage", err.class)
      assert.matches("^model T: sample: its key column k is .*, of which the servers do not make "
        .. "the same text", err.message)
    end
  end)

  it("is all rows when there are no more", function()
    make_integers(40)
    db.secondary:execute("insert into " .. NAME .. " values (77, 1, null)")
    db.primary:execute("insert into " .. NAME .. " values (78, 1, null)")
    local report, list = verify { sample = 100 }
    assert.same({ 42, true, "all keys that either side has" },
      { report.sample.rows, report.sample.all, report.sample.drawn_by })
    assert.same({ 41, 41 }, { report.rows_primary, report.rows_secondary })
    table.sort(list)
    assert.same({ "extra 77", "missing 78" }, list)
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute("delete from " .. NAME .. " where k > 40")
    end
    assert.equal("every row was compared", verify({ sample = 100 }).sample.confidence)
    for _, side in ipairs { db.primary, db.secondary } do side:execute("delete from " .. NAME) end
    report = verify { sample = 100 }
    assert.same({ "equal", 0 }, { report.verdict, report.sample.rows })
    assert.is_nil(report.sample.confidence)
  end)

  it("is drawn from what the verification is narrowed to", function()
    make_integers(2000)
    db.secondary:execute("update " .. NAME .. " set v = v + 1 where k % 2 = 1")
    local report, list = verify { sample = 50, where = "v % 2 = 0 or k > 1990", columns = { "at" } }
    assert.equal("different", report.verdict)  -- the condition holds on one side only
    assert.same({ "where v % 2 = 0 or k > 1990", "columns k, at", "sample of 50 rows" },
      report.narrowed)
    assert.is_true(#list > 25)
    for _, text in ipairs(list) do
      local key = tonumber(text:match "^changed (%d+)$")
      assert.is_true(key % 2 == 1 and key <= 1990, text)
    end
    report = verify { sample = 50, where = "k % 100 = 0", since = "2026-02-01" }
    assert.same({ "equal", 20, true }, { report.verdict, report.sample.rows, report.sample.all })
    assert.same({ 20, 20 }, { report.rows_primary, report.rows_secondary })
  end)

  it("compares rows as the model says that they cross", function()
    make_integers(500)
    db:model("T", { table = NAME, sync = { filter = "k > 100",
      transform = function(row)
        if row.k % 5 == 0 then return nil end
        row.v = row.v + 1
        return row
      end } })
    T = db.T
    db.secondary:execute("update " .. NAME .. " set v = v + 1")
    db.secondary:execute("delete from " .. NAME .. " where k % 5 = 0 and k <> 250")
    local report, list = verify { sample = 350, seed = 1 }
    assert.same({ "extra 250" }, list)
    assert.is_true(report.rows_secondary > 270)
    db.primary:execute("update " .. NAME .. " set v = v + 1 where k = 299")
    report = verify { sample = 400, seed = 1 }
    assert.same({ 1, 1 }, { report.changed, report.extra })
  end)

  it("is refused for a number that is none", function()
    make_integers(10)
    for _, options in ipairs { { sample = 0 }, { sample = -1 }, { sample = 1.5 }, { sample = "9" },
                               { sample = 100001 }, { sample = 5, seed = 1.5 }, { seed = 5 } } do
      assert.equal("usage", pair.failure(T.verify, T, options).class)
    end
  end)

  it("is told on the command line beside the verdict, with its seed", function()
    make_integers(3000)
    local dir = cli.directory()
    servers.finally(function() dir:remove() end)
    dir:write("dualdb.lua", ("return { models = { T = { table = %q } } }"):format(NAME))
    local run = dir:run { "verify", "T", "--sample", "1000", "--seed", "11" }
    assert.equal(0, run.code, run.err)
    assert.matches("T +equal %(sample%) +1,000 +1,000 ", run.out)
    assert.matches("\nT: compared sample of 1000 rows\n  drawn uniformly, without replacement, "
      .. "from the keys that either side has, by points of the key range 1 to 3000, "
      .. "with %-%-seed 11\n  with 95 %% confidence at most 0.3 %% of the rows differ\n", run.out)
    local entry = dir:json({ "verify", "T", "--sample", "1000" }).models[1]
    assert.same({ "equal", 1000, 1000 }, { entry.verdict, entry.sample.count, entry.sample.rows })
    assert.same({ "sample of 1000 rows" }, entry.narrowed)
    assert.equal("number", type(entry.sample.seed))
    for _, words in ipairs { { "--sample", "0" }, { "--sample", "x" }, { "--seed", "1" },
                             { "--sample", "5", "--seed", "x" } } do
      assert.equal(2, dir:run({ "verify", "T", table.unpack(words) }).code)
    end
  end)
end)
