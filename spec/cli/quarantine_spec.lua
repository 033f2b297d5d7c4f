local chat = require "spec.support.chat"
local cli = require "spec.support.cli"

--- Writes on the primary what its strict mode refuses.
local function loosely(db, sql)
  db.primary:with(function(conn)
    local mode = conn:query("select @@sql_mode as mode")[1].mode
    conn:execute("set sql_mode = ''")
    conn:execute(sql)
    conn:execute("set sql_mode = ?", mode)
  end)
end

local function project(policies)
  return ([[return { name = "spec", models = {
    Person = { table = "cli_person"%s },
  } }]]):format(policies and ", policies = " .. policies or "")
end

describe("dualdb quarantine", function()
  local db, dir

  before_each(function()
    db, dir = chat.open()
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute("drop table if exists cli_person")
    end
    db.secondary:execute("drop table if exists dualdb_quarantine")
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute(
        "create table cli_person (id bigint primary key, born date, note varchar(40))")
    end
    loosely(db, "insert into cli_person values (1, '2000-01-01', 'a'), (2, '0000-00-00', 'b'), "
      .. "(3, '2020-00-15', 'c'), (4, '2000-01-01', concat('d', char(0)))")
    dir:write("dualdb.lua", project())
  end)

  after_each(function()
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute("drop table if exists cli_person")
    end
    db.secondary:execute("drop table if exists dualdb_quarantine")
    chat.close(db, dir)
  end)

  it("is empty at first, without making a table for it", function()
    assert.same({ 0, "no row is in quarantine\n" }, (function()
      local run = dir:run { "quarantine", "list" }
      return { run.code, run.out }
    end)())
    assert.equal(0, dir:run { "quarantine", "retry" }.code)
    assert.False(db.secondary:query(
      "select to_regclass('dualdb_quarantine') is not null as there")[1].there)
  end)

  it("gets the rows that a sync could not bring over, which then ends with 7", function()
    local run = dir:run { "sync", "--full", "--all" }
    assert.equal(7, run.code)
    assert.matches("3 rows cannot go to the secondary and are in quarantine", run.err, 1, true)
    local document = dir:json { "quarantine", "list", "Person" }
    local rows = document.models[1].rows
    assert.equal(3, #rows)
    table.sort(rows, function(a, b) return a.key.id < b.key.id end)
    assert.same({ "born", "0000-00-00 is not a date", "0000-00-00", "b" },
      { rows[1].column, rows[1].reason, rows[1].row.born, rows[1].row.note })
    assert.same({ "note", "d\0" }, { rows[3].column, rows[3].row.note })
    run = dir:run { "quarantine", "list" }
    assert.equal(0, run.code)
    assert.matches('Person  {"id":3}  column born: 2020%-00%-15 is not a date', run.out)
  end)

  it("makes verify say different, and why, with 1", function()
    dir:run { "sync", "--full", "--all" }
    local run = dir:run { "verify", "--all", "--report", "d.jsonl" }
    assert.equal(1, run.code)
    assert.matches("missing  id=2  cannot cross: column born: 0000-00-00 is not a date", run.out, 1,
      true)
    assert.matches('"reason":"column born: 0000-00-00 is not a date"', dir:read "d.jsonl", 1, true)
    assert.equal(3, dir:json { "verify", "--all" }.models[1].quarantined)
  end)

  it("is emptied by retry once a policy takes the values, and says how often it did", function()
    dir:run { "sync", "--full", "--all" }
    local run = dir:run { "quarantine", "retry" }
    assert.equal(7, run.code)
    assert.matches("Person +3 +0 +0 +3", run.out)
    dir:write("dualdb.lua", project '{ zero_dates = "null" }')
    local document
    document, run = dir:json { "quarantine", "retry" }
    assert.equal(7, run.code)
    local model = document.models[1]
    assert.same({ 3, 2, 0, 1 }, { model.tried, model.written, model.gone, model.left })
    dir:write("dualdb.lua", project
      '{ zero_dates = "null", nul = "strip", columns = { born = { zero_dates = "1970-01-01" } } }')
    assert.equal(0, dir:run { "quarantine", "retry", "Person" }.code)
    assert.equal(0, dir:run { "sync", "--full", "--all" }.code)
    document = dir:json { "sync", "--full", "--all" }
    assert.same({ zero_dates = 2, nul = 1 }, document.models[1].policies)
    run = dir:run { "verify", "--all" }
    assert.equal(0, run.code)
    assert.matches("Person: policy zero_dates: 2 values", run.err, 1, true)
    assert.same({ { id = 2, born = "1970-01-01" }, { id = 3, born = "1970-01-01" } },
      db.secondary:query("select id, born from cli_person where id in (2, 3) order by id"))
  end)

  it("is emptied by retry once the rows are mended or gone", function()
    dir:run { "sync", "--full", "--all" }
    loosely(db, "update cli_person set born = '2001-02-03' where id = 2")
    loosely(db, "delete from cli_person where id = 3")
    local model = dir:json { "quarantine", "retry" }.models[1]
    assert.same({ 3, 1, 1, 1 }, { model.tried, model.written, model.gone, model.left })
    assert.equal("2001-02-03",
      db.secondary:query("select born from cli_person where id = 2")[1].born)
  end)

  it("ends with 2 for a model that does not exist", function()
    local run = dir:run { "quarantine", "list", "Persno" }
    assert.equal(2, run.code)
    assert.matches("Person", run.err, 1, true)
  end)

  it("is where repair puts such rows, ending with 7", function()
    local run = dir:run { "repair", "--all", "--dry-run" }
    assert.equal(7, run.code)
    assert.False(db.secondary:query(
      "select to_regclass('dualdb_quarantine') is not null as there")[1].there)
    run = dir:run { "repair", "--all", "--yes" }
    assert.equal(7, run.code)
    assert.matches("1 skipped: column born: 0000-00-00 is not a date", run.err, 1, true)
    assert.equal(3, #dir:json({ "quarantine", "list" }).models[1].rows)
    assert.equal(1, db.secondary:query("select count(*) as n from cli_person")[1].n)
  end)
end)

describe("policies in the project file", function()
  local dir

  before_each(function() dir = cli.directory() end)
  after_each(function() dir:remove() end)

  for _, case in ipairs {
    { '{ zero_date = "null" }',
      "dualdb.lua:2: model Person: policies: unknown key zero_date, did you mean zero_dates?" },
    { '{ nul = "null" }', 'dualdb.lua:2: model Person: policies: nul: expected "refuse", "strip"' },
    { '{ zero_dates = "2020-02-30" }', "policies: zero_dates: expected" },
    { '{ float_digits = 16 }', "policies: float_digits: expected a number of digits from 1 to 15" },
    { '{ columns = { born = { overflows = "clamp" } } }',
      "policies: born: unknown key overflows, did you mean overflow?" },
    { '{ columns = { born = "null" } }', "policies: columns: born: expected a table" },
  } do
    it(("%s are refused with 3, saying where and what is meant"):format(case[1]), function()
      dir:write("dualdb.lua", project(case[1]))
      local run = dir:run { "models" }
      assert.equal(3, run.code)
      assert.matches(case[2], run.err, 1, true)
    end)
  end

  it("are refused with 3 at the top level too", function()
    dir:write("dualdb.lua", 'return {\n policies = { nil_bytes = "strip" },\n}')
    local run = dir:run { "models" }
    assert.equal(3, run.code)
    assert.matches("dualdb.lua:2: policies: unknown key nil_bytes", run.err, 1, true)
  end)
end)
