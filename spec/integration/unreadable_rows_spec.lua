local cli = require "spec.support.cli"
local core = require "dualdb.core"
local log = require "dualdb.log"
local pair = require "spec.support.pair"

local NAME = "spec_unread"

--- Each pair of types of which one holds values that the other has no equal of: the side with them,
--- such a value (as SQL) and a good one, what is said of it, and how it is shown.
local CASES = {
  { "text that is no json, on the primary", side = "primary",
    mysql = "longtext character set utf8mb4", postgres = "jsonb",
    bad = "'{\"a\": 1,'", good = "'{\"a\": 1}'", reason = "json", shown = '{"a": 1,' },
  { "text that is no json, on the secondary", side = "secondary",
    mysql = "json", postgres = "text",
    bad = "'nothing of the sort'", good = "'{\"a\": 1}'", reason = "json",
    shown = "nothing of the sort" },
  { "text that is no uuid, on the primary", side = "primary",
    mysql = "char(36) character set ascii", postgres = "uuid",
    bad = "'not-a-uuid'", good = "'6f1f2e10-7a0b-4a3e-9a25-0a53c4a1d0ff'", reason = "uuid",
    shown = "not-a-uuid" },
  { "a NaN where an integer is wanted, on the secondary", side = "secondary",
    mysql = "bigint unsigned", postgres = "numeric(20,0)",
    bad = "'NaN'", good = "7", reason = "decimal is not an integer", shown = "NaN" },
  { "an integer that no bigint holds, on the secondary", side = "secondary",
    mysql = "bigint unsigned", postgres = "numeric(30,0)",
    bad = "18446744073709551616", good = "7", reason = "decimal is not an integer",
    shown = "18446744073709551616" },
  { "an interval with months, on the secondary", side = "secondary",
    mysql = "time(6)", postgres = "interval",
    bad = "'1 month 2 days 03:00'", good = "'10:00:00'", reason = "months",
    shown = "1 months 2 days 03:00:00" },
  { "a time with a zone, on the secondary", side = "secondary",
    mysql = "time(6)", postgres = "timetz",
    bad = "'10:00:00+02'", good = "'10:00:00+00'", good_mysql = "'10:00:00'", reason = "zone",
    shown = "10:00:00-7200 seconds west of UTC" },
  { "a timestamp of the last years of all, on the secondary", side = "secondary",
    mysql = "datetime(6)", postgres = "timestamp",
    bad = "'294276-12-31 23:59:59.5'", good = "'2020-01-01 00:00:00'", reason = "out of range",
    shown = "294276-12-31 23:59:59.500000" },
  { "json that is nested too deep, on the secondary", side = "secondary",
    mysql = "json", postgres = "jsonb",
    bad = "(repeat('[', 600) || repeat(']', 600))::jsonb", good = "'1'", reason = "nest",
    shown = ("["):rep(600) .. ("]"):rep(600) },
}

describe("a value that cannot be read as what both sides hold", function()
  local db

  before_each(function()
    log.configure { level = "error" }
    db = pair.open { Item = { table = NAME } }
    db.secondary:execute("drop table if exists dualdb_quarantine")
  end)

  after_each(function()
    pair.drop_all(db)
    db.secondary:execute("drop table if exists dualdb_quarantine")
    db:close()
    log.configure { level = "info" }
  end)

  --- Twenty rows, those of the primary good; the bad one is 7.
  local function make(case)
    pair.make(db, NAME, {
      mysql = ("id bigint not null primary key, v %s null"):format(case.mysql),
      postgres = ("id bigint primary key, v %s"):format(case.postgres),
    })
    for id = 1, 20 do
      db.primary:execute(("insert into %s values (%d, %s)"):format(NAME, id,
        case.good_mysql or case.good))
    end
  end

  local function spoil(case)
    db[case.side]:execute(("update %s set v = %s where id = 7"):format(NAME, case.bad))
  end

  local function only(report)
    local found
    for difference in report:differences() do
      assert.is_nil(found)
      found = difference
    end
    report.spool:close()
    return found
  end

  for _, case in ipairs(CASES) do
    it(("(%s) is a difference, and no end of the run"):format(case[1]), function()
      make(case)
      if case.side == "primary" then
        spoil(case)
        local result = db.Item:sync()
        assert.same({ 20, 19, 1 }, { result.rows_read, result.rows_written, result.quarantined })
        local listed = db:quarantine():list()
        assert.same({ 1, "v", '{"id":7}' }, { #listed, listed[1].column, listed[1].key })
        assert.matches(case.reason, listed[1].reason, 1, true)
        assert.matches(core.json_string(case.shown), listed[1].row, 1, true)
        local report = db.Item:verify()
        assert.same({ "different", 1, 1 }, { report.verdict, report.missing, report.quarantined })
        local found = only(report)
        assert.same({ 7, "v", case.shown }, { found.key.id, found.column, found.primary.v })
        assert.matches(case.reason, found.reason, 1, true)
        result = db.Item:sync()
        assert.same({ 0, 1 }, { result.rows_written, result.quarantined })
        db.primary:execute(("update %s set v = %s where id = 7"):format(NAME, case.good))
        assert.same({ 1, 0 }, (function()
          local retried = db:quarantine():retry()[1]
          return { retried.written, retried.left }
        end)())
      else
        assert.equal(20, db.Item:sync().rows_written)
        spoil(case)
        local report = db.Item:verify()
        assert.same({ "different", 1 }, { report.verdict, report.changed })
        local found = only(report)
        assert.same({ 7, case.shown }, { found.key.id, found.secondary.v })
        assert.equal(case.shown, db.Item:get_from(db.secondary, 7).v)
        report = db.Item:repair { strategy = "secondary_wins" }
        assert.same({ 0, 1 }, { report.applied, report.failed })
        local result = db.Item:sync()
        assert.same({ 1, 0 }, { result.rows_written, result.quarantined })
      end
      assert.equal("equal", db.Item:verify().verdict)
    end)
  end

  it("is what a plain query fails on, naming the column", function()
    make(CASES[9])
    assert.equal(20, db.Item:sync().rows_written)
    spoil(CASES[9])
    local err = pair.failure(db.secondary.query, db.secondary, "select v from " .. NAME)
    assert.equal("data", err.class)
    assert.matches('"v"', err.message, 1, true)
  end)

  it("and makes verify, too, go through the command line with 1, and sync with 7", function()
    make(CASES[1])
    spoil(CASES[1])
    local dir = cli.directory()
    dir:write("dualdb.lua", ([[return { name = "spec", models = { Item = { table = "%s" } } }]])
      :format(NAME))
    assert.equal(7, dir:run({ "sync", "--full", "Item" }).code)
    local run = dir:run { "verify", "Item", "--report", "d.jsonl" }
    assert.equal(1, run.code)
    assert.matches("cannot cross: column v: ", run.out, 1, true)
    assert.matches([["v":"{\"a\": 1,"]], dir:read "d.jsonl", 1, true)
    dir:remove()
  end)

  it("is a difference in a key as well: its row is named, and left alone", function()
    pair.make(db, NAME, {
      mysql = "id char(36) character set ascii collate ascii_bin not null primary key, n int",
      postgres = "id uuid primary key, n int",
    })
    db.primary:execute(([[insert into %s values ('6f1f2e10-7a0b-4a3e-9a25-0a53c4a1d0ff', 1),
      ('not-a-uuid', 2)]]):format(NAME))
    local result = db.Item:sync()
    assert.same({ 1, 1 }, { result.rows_written, result.quarantined })
    result = db.Item:sync()
    assert.same({ 0, 1 }, { result.rows_written, result.quarantined })
    local report = db.Item:verify()
    assert.same({ "different", 1, 1 }, { report.verdict, report.missing, report.quarantined })
    local found = only(report)
    assert.same({ "not-a-uuid", "id" }, { found.key.id, found.column })
    local repaired = db.Item:repair { allow_delete = true }
    assert.same({ 0, 1 }, { repaired.applied, repaired.quarantined })
    local retried = db:quarantine():retry()[1]
    assert.same({ 1, 0, 1 }, { retried.tried, retried.written, retried.left })
  end)

  it("is one in a key of the secondary too, which is in no order", function()
    pair.make(db, NAME, {
      mysql = "id bigint unsigned not null primary key, n int",
      postgres = "id numeric(20,0) primary key, n int",
    })
    db.primary:execute(("insert into %s values (1, 1), (2, 2), (3, 3)"):format(NAME))
    db.Item:sync()
    db.secondary:execute(("insert into %s values ('NaN', 1), (99999999999999999999, 2)")
      :format(NAME))
    local report = db.Item:verify()
    assert.same({ "different", 2, 5 }, { report.verdict, report.extra, report.rows_secondary })
    report.spool:close()
    local result = db.Item:sync()
    assert.same({ 0, 0, 2 }, { result.rows_written, result.rows_deleted, result.quarantined })
    db.secondary:execute(("delete from %s where id > 3"):format(NAME))
    assert.equal("equal", db.Item:verify().verdict)
    assert.equal(0, db.Item:sync().quarantined)
    assert.same({}, db:quarantine():list())
  end)
end)
