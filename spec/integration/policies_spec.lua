local core = require "dualdb.core"
local dualdb = require "dualdb"
local pair = require "spec.support.pair"

local NAME = "spec_policy"

local COLUMNS = {
  mysql = [[id bigint not null primary key, born date null, seen datetime(6) null,
    note varchar(40) character set utf8mb4 null, doc json null, long_time time(6) null,
    big bigint unsigned null, flag tinyint(1) null, amount decimal(20,2) null, ratio double null]],
  postgres = [[id bigint primary key, born date, seen timestamp(6), note varchar(40), doc jsonb,
    long_time time(6), big bigint, flag boolean, amount numeric(12,2), ratio real]],
}

--- What lets the two tables, whose types differ in range, be a model at all.
local LENIENT = { overflow = "refuse", float_digits = 6 }

local function with(more)
  local policies = {}
  for name, value in pairs(LENIENT) do policies[name] = value end
  for name, value in pairs(more or {}) do policies[name] = value end
  return policies
end

--- Writes on the primary what its strict mode refuses.
local function loosely(db, sql, ...)
  local given = table.pack(...)
  db.primary:with(function(conn)
    local mode = conn:query("select @@sql_mode as mode")[1].mode
    conn:execute("set sql_mode = ''")
    conn:execute(sql:format(NAME), table.unpack(given, 1, given.n))
    conn:execute("set sql_mode = ?", mode)
  end)
end

local function collect(report)
  local found = {}
  for d in report:differences() do found[#found + 1] = d end
  table.sort(found, function(a, b) return a.key.id < b.key.id end)
  return found
end

--- Each policy: a column, the value of the primary, its refusal, and what else may become of it.
local CASES = {
  { policy = "zero_dates", column = "born", value = "0000-00-00",
    reason = "0000-00-00 is not a date",
    outcomes = { null = dualdb.NULL, infinity = "infinity", ["1970-01-02"] = "1970-01-02" } },
  { policy = "zero_dates", column = "born", value = "2020-00-15",
    reason = "2020-00-15 is not a date",
    outcomes = { null = dualdb.NULL } },
  { policy = "zero_dates", column = "seen", value = "2020-00-15 10:00:00.5",
    reason = "2020-00-15 10:00:00.500000 is not a date",
    outcomes = { null = dualdb.NULL, infinity = "infinity",
                 ["1970-01-02"] = "1970-01-02 00:00:00" } },
  { policy = "nul", column = "note", value = "a\0b\0", reason = "text has a NUL byte",
    outcomes = { strip = "ab", replace = "a\u{FFFD}b\u{FFFD}" } },
  { policy = "nul", column = "doc", value = [[{"b\u0000":"\\u0000\u0000","b":2}]],
    reason = "json has a \\u0000",
    outcomes = { replace = '{"b":2,"b\u{FFFD}":"\\\\u0000\u{FFFD}"}' } },
  { policy = "time_range", column = "long_time", value = "-01:00:00",
    reason = "a time of -3600 seconds is not within a day",
    outcomes = { clamp = "00:00:00", null = dualdb.NULL } },
  { policy = "time_range", column = "long_time", value = "838:59:59",
    reason = "a time of 3020399 seconds is not within a day", outcomes = { clamp = "24:00:00" } },
  { policy = "overflow", column = "big", value = "18446744073709551615",
    reason = "18446744073709551615 is out of range",
    outcomes = { clamp = math.maxinteger, null = dualdb.NULL } },
  { policy = "overflow", column = "flag", value = 2, reason = "2 is not a boolean",
    outcomes = { clamp = true, null = dualdb.NULL } },
  { policy = "overflow", column = "flag", value = -1, reason = "-1 is not a boolean",
    outcomes = { clamp = false } },
  { policy = "overflow", column = "amount", value = "-99999999999.5",
    reason = "-99999999999.5 is out of range",
    outcomes = { clamp = "-9999999999.99", null = dualdb.NULL } },
}

describe("a value that the secondary cannot hold", function()
  local db

  before_each(function()
    db = pair.open { Item = { table = NAME, policies = LENIENT } }
    pair.make(db, NAME, COLUMNS)
    db.secondary:execute("drop table if exists dualdb_quarantine")
    for id = 1, 3 do
      loosely(db, "insert into %s (id, born, note) values (?, '2000-02-29', 'good')", id)
    end
  end)

  after_each(function()
    pair.drop_all(db)
    db.secondary:execute("drop table if exists dualdb_quarantine")
    db:close()
  end)

  local function make_bad(case)
    loosely(db, ("update %%s set %s = ? where id = 2"):format(case.column), case.value)
  end

  for _, case in ipairs(CASES) do
    local shown = case.column .. " " .. ("%q"):format(case.value):gsub("\0", "0")

    it(shown .. " is refused by default, by name, and the other rows go on", function()
      make_bad(case)
      local result = db.Item:sync()
      assert.same({ 3, 2, 1 }, { result.rows_read, result.rows_written, result.quarantined })
      local listed = db:quarantine():list()
      assert.equal(1, #listed)
      assert.same({ "Item", '{"id":2}', case.column, case.reason, 1 },
        { listed[1].model, listed[1].key, listed[1].column, listed[1].reason, listed[1].attempts })

      local report = db.Item:verify()
      assert.equal("different", report.verdict)
      assert.same({ 1, 0, 0, 1 },
        { report.missing, report.extra, report.changed, report.quarantined })
      local found = collect(report)[1]
      assert.same({ "missing", 2, case.column, case.reason },
        { found.kind, found.key.id, found.column, found.reason })
      report.spool:close()

      result = db.Item:sync()
      assert.same({ 0, 1 }, { result.rows_written, result.quarantined })
      assert.equal(2, db:quarantine():list()[1].attempts)

      local repaired = db.Item:repair()
      assert.same({ 0, 1, 1 }, { repaired.applied, repaired.skipped, repaired.quarantined })
      assert.equal(1, repaired.skips[("column %s: %s"):format(case.column, case.reason)])
    end)

    for word, outcome in pairs(case.outcomes) do
      it(("%s becomes %s by the policy %s, in a copy, a refresh and a repair"):format(shown,
        tostring(outcome), word), function()
        make_bad(case)
        local lossy <close> = pair.open {
          Item = { table = NAME, policies = with { columns = { [case.column] = {
            [case.policy] = word } } } },
        }
        local function check(result)
          assert.equal(0, result.quarantined)
          assert.equal(1, result.policies[case.policy])
          local kind = lossy:spec("Item").columns[lossy:spec("Item").index[case.column]].kind
          local stored = lossy.secondary:with(function(conn)
            return conn:fetch(("select %s from %s where id = 2"):format(case.column, NAME), nil,
              nil, kind)[1]
          end)
          assert.same({ outcome }, core.unpack(kind, stored))
          local report = lossy.Item:verify()
          assert.equal("equal", report.verdict)
          assert.equal(1, report.policies[case.policy])
          report.spool:close()
        end
        check(lossy.Item:sync())
        lossy.secondary:execute(("delete from %s where id = 2"):format(NAME))
        check(lossy.Item:sync())
        lossy.secondary:execute(("update %s set note = 'other' where id = 2"):format(NAME))
        assert.equal(1, lossy.Item:repair().applied)
        assert.equal("equal", lossy.Item:verify().verdict)
      end)
    end
  end

  it("is kept with exact values, as JSON and as bytes", function()
    loosely(db, "update %s set born = '0000-00-00', big = 18446744073709551615, note = ?, "
      .. "amount = 1.5 where id = 2", "a\0ü")
    db.Item:sync()
    local entry = db:quarantine():list { "Item" }[1]
    assert.equal("born", entry.column)
    assert.equal('{"id":2,"born":"0000-00-00","seen":null,"note":"a\\u0000ü","doc":null,'
      .. '"long_time":null,"big":"18446744073709551615","flag":null,"amount":"1.5","ratio":null}',
      entry.row)
    local kept = db.secondary:query("select kinds, canonical from dualdb_quarantine")[1]
    assert.equal(db:spec("Item").kinds, kept.kinds)
    assert.equal("a\0ü", core.unpack(kept.kinds, kept.canonical)[4])
  end)

  it("leaves the quarantine when the row crosses in a later sync", function()
    loosely(db, "update %s set born = '0000-00-00' where id in (1, 2)")
    assert.equal(2, db.Item:sync().quarantined)
    loosely(db, "update %s set born = '2001-01-01' where id = 1")
    loosely(db, "delete from %s where id = 2")
    assert.equal(0, db.Item:sync().quarantined)
    assert.same({}, db:quarantine():list())
  end)

  it("does not end a dual write half done: both sides are rolled back", function()
    db.Item:sync()
    local function write(fn) return pair.failure(db.write, db, fn) end
    local err = write(function(tx)
      tx:insert("Item", { id = 10 })
      tx:insert("Item", { id = 11, note = "a\0b" })
    end)
    assert.equal("data", err.class)
    assert.matches("model Item: column note: text has a NUL byte", err.message, 1, true)
    assert.same({ "Item", "note", "11" }, { err.model, err.column, err.key })
    err = write(function(tx)
      pcall(tx.insert, tx, "Item", { id = 12, long_time = "25:00:00" })
    end)
    assert.matches("column long_time", err.message, 1, true)
    assert.equal("data", write(function(tx)
      tx:update("Item", 1, { big = "18446744073709551615" })
    end).class)
    assert.equal("data", write(function(tx)
      tx:upsert("Item", { id = 1, amount = "100000000000" })
    end).class)
    for _, side in ipairs { db.primary, db.secondary } do
      assert.equal(3, side:query(("select count(*) as n from %s"):format(NAME))[1].n)
    end
    assert.equal("equal", db.Item:verify().verdict)
  end)

  it("crosses in a dual write as its policy says", function()
    db.Item:sync()
    local lossy <close> = pair.open({ Item = { table = NAME, policies = LENIENT } },
      { policies = { nul = "strip" } })
    local stored = lossy.Item:insert { id = 10, note = "a\0b", ratio = 1 / 3 }
    assert.equal("a\0b", stored.note)
    assert.equal("ab", lossy.Item:get_from(lossy.secondary, 10).note)
    assert.equal("equal", lossy.Item:verify().verdict)
    assert.equal("different", db.Item:verify().verdict)
  end)

  it("is rounded to the digits that a model keeps of floats, and compared by them", function()
    loosely(db, "update %s set ratio = id / 7")
    assert.equal(3, db.Item:sync().policies.float_digits)
    assert.equal("equal", db.Item:verify().verdict)
    db.secondary:execute(("update %s set ratio = ratio * 1.0001 where id = 3"):format(NAME))
    local report = db.Item:verify()
    assert.equal(1, report.changed)
    assert.equal(1, db.Item:sync().rows_written)
    assert.equal("equal", db.Item:verify().verdict)
  end)

  it("is refused where the policy gives NULL and the column takes none", function()
    db.secondary:execute(("alter table %s alter born set not null"):format(NAME))
    db:refresh()
    make_bad { column = "born", value = "0000-00-00" }
    local lossy <close> = pair.open {
      Item = { table = NAME, policies = with { zero_dates = "null" } },
    }
    assert.equal(1, lossy.Item:sync().quarantined)
    assert.matches("takes no null", lossy:quarantine():list()[1].reason, 1, true)
  end)

  it("stays what it is in a transform that does not touch it", function()
    loosely(db, "update %s set born = '0000-00-00', flag = 2 where id = 2")
    local seen
    local policies = with { zero_dates = "null", overflow = "clamp" }
    local model = { table = NAME, policies = policies, sync = {
      transform = function(row)
        if row.id == 2 then seen = { row.born, row.flag } end
        row.note = "changed"
        return row
      end,
    } }
    local lossy <close> = pair.open { Item = model }
    assert.equal(0, lossy.Item:sync().quarantined)
    assert.same({ "0000-00-00", 2 }, seen)
    local row = lossy.Item:get_from(lossy.secondary, 2)
    assert.same({ dualdb.NULL, true, "changed" }, { row.born, row.flag, row.note })
    assert.equal("equal", lossy.Item:verify().verdict)
  end)

  it("does not stop 10,000 others", function()
    db.primary:execute(("insert into %s (id, note) select seq, 'x' from (%s) s"):format(NAME,
      "select a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10 as seq from (select 0 as n"
      .. (" union all select %d"):rep(9):format(1, 2, 3, 4, 5, 6, 7, 8, 9) .. ") a, (select 0 as n"
      .. (" union all select %d"):rep(9):format(1, 2, 3, 4, 5, 6, 7, 8, 9) .. ") b, (select 0 as n"
      .. (" union all select %d"):rep(9):format(1, 2, 3, 4, 5, 6, 7, 8, 9) .. ") c, (select 0 as n"
      .. (" union all select %d"):rep(9):format(1, 2, 3, 4, 5, 6, 7, 8, 9) .. ") d"))
    loosely(db, "update %s set born = '0000-00-00' where id = 5000")
    local result = db.Item:sync()
    assert.same({ 10003, 10002, 1 },
      { result.rows_read, result.rows_written, result.quarantined })
    assert.equal(1, db.Item:verify().missing)
  end)
end)

describe("a key that the secondary cannot hold", function()
  local db

  after_each(function()
    pair.drop_all(db)
    db.secondary:execute("drop table if exists dualdb_quarantine")
    db:close()
  end)

  it("is refused, whatever the policies say, and the rows around it are compared", function()
    db = pair.open { Item = { table = NAME, policies = { zero_dates = "null" } } }
    pair.make(db, NAME, {
      mysql = "day date not null primary key, note varchar(20)",
      postgres = "day date primary key, note varchar(20)",
    })
    for _, day in ipairs { "0000-00-00", "1999-12-31", "2020-00-15", "2020-01-01", "2024-02-29" } do
      loosely(db, "insert into %s values (?, 'n')", day)
    end
    local result = db.Item:sync()
    assert.same({ 5, 3, 2 }, { result.rows_read, result.rows_written, result.quarantined })
    local report = db.Item:verify()
    assert.same({ "different", 2, 0, 0, 2 },
      { report.verdict, report.missing, report.extra, report.changed, report.quarantined })
    result = db.Item:sync()
    assert.same({ 0, 2 }, { result.rows_written, result.quarantined })
    loosely(db, "delete from %s where day = '0000-00-00'")
    assert.same({ 0, 1 }, { db.Item:sync().rows_written, #db:quarantine():list() })
  end)
end)
