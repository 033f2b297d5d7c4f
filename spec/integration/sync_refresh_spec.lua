-- A full sync of a table whose secondary has rows writes what differs, whatever differs, and
-- nothing else. The servers' own clients judge.

local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local servers = require "spec.support.servers"
local sync = require "dualdb.sync"

local function numbers(count)
  local rows = {}
  for i = 1, count do rows[i] = ("%d, 'a%d'"):format(i, i) end
  return rows
end

local SHOWN = { edge.plain "id", edge.text "a" }

describe("a refresh", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  it("writes what is missing, deletes what is extra, mends what changed, in one chunk", function()
    local _, db = edge.open { mysql = "id int primary key, a varchar(20)", rows = numbers(30) }
    sync.run(db, "T")
    clients.run("mysql", "delete from spec_edge where id in (1, 15, 30); "
      .. "insert into spec_edge values (0, 'low', 100), (40, 'high', 101); "
      .. "update spec_edge set a = 'changed' where id in (2, 16, 29); "
      .. "update spec_edge set id = 150, v = 150 where id = 10")
    local result = sync.run(db, "T")
    assert.same({ "refresh", 29, 6, 4, 1 }, { result.action, result.rows_read, result.rows_written,
      result.rows_deleted, result.chunks })
    edge.agree(SHOWN)
  end)

  it("of a table whose primary has no rows any more deletes all, unless it shall not", function()
    local _, db = edge.open { mysql = "id int primary key, a varchar(20)", rows = numbers(7) }
    sync.run(db, "T")
    clients.run("mysql", "delete from spec_edge")
    db = edge.pair { T = { table = edge.NAME, sync = { deletes = false } } }
    assert.equal(0, sync.run(db, "T", { chunk_rows = 2 }).rows_deleted)
    assert.same({ { "7" } }, clients.rows("postgres", "select count(*) from spec_edge"))
    clients.run("mysql", "insert into spec_edge values (3, 'new', 3), (9, 'more', 9)")
    local result = sync.run(db, "T", { chunk_rows = 1 })
    assert.same({ 2, 0 }, { result.rows_written, result.rows_deleted })
    assert.same({ { "8" } }, clients.rows("postgres", "select count(*) from spec_edge"))
    assert.same({ { "new" } }, clients.rows("postgres", "select a from spec_edge where id = 3"))
    clients.run("mysql", "delete from spec_edge")
    db = edge.pair { T = { table = edge.NAME } }
    result = sync.run(db, "T", { chunk_rows = 2 })
    assert.same({ 0, 0, 8 }, { result.rows_read, result.rows_written, result.rows_deleted })
    assert.same({ { "0" } }, clients.rows("postgres", "select count(*) from spec_edge"))
  end)

  it("of equal tables writes nothing", function()
    local _, db = edge.open {
      mysql = "id int primary key, a varchar(20), d double, n decimal(10,4), j json",
      postgres = "id int primary key, a varchar(20), d float8, n numeric, j jsonb",
      rows = { [[1, 'a', -0.0, 1.5, '{"b": 1, "a": [1.0, 2]}']], "2, null, 0.1, 100, 'null'",
               "3, '', 1e300, 0, '[]'" },
    }
    sync.run(db, "T")
    clients.run("postgres", "update spec_edge set n = 1.5000000 where id = 1")  -- the same number
    local function trace()
      return clients.run("postgres", "select string_agg(id || ':' || xmin || ':' || ctid, ',' "
        .. "order by id) from spec_edge")
    end
    local before = trace()
    for _, chunk_rows in ipairs { 1, 2, 100 } do
      local result = sync.run(db, "T", { chunk_rows = chunk_rows })
      assert.same({ 3, 0, 0 }, { result.rows_read, result.rows_written, result.rows_deleted })
    end
    assert.equal(before, trace())
    edge.verify(db.T, "equal")
  end)

  it("writes values that the secondary's own = takes for the same", function()
    clients.run("postgres", "create extension if not exists citext; "
      .. "drop collation if exists spec_nocase; create collation spec_nocase "
      .. "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    local _, db = edge.open {
      mysql = "id int primary key, d double, f float, c varchar(9), n varchar(9), b char(9)",
      postgres = "id int primary key, d float8, f float4, c citext, "
        .. "n varchar(9) collate spec_nocase, b varchar(9)",
      rows = { "1, -0.0e0, 0, 'a', 'b', 'c'", "2, 0, -0.0e0, 'A', 'B', 'C'" },
    }
    clients.run("mysql", "update spec_edge set d = -d, f = -f")
    sync.run(db, "T")
    local shown = { edge.plain "id", edge.text "c", edge.text "n" }
    edge.agree(shown)
    edge.verify(db.T, "equal")
    for _, change in ipairs { "d = 0 - d", "f = 0 - f", "c = case c when 'a' then 'A' else 'a' end",
                              "c = upper(c)", "n = lower(n)" } do
      clients.run("postgres", "update spec_edge set " .. change)
      sync.run(db, "T")
      edge.agree(shown)
      edge.verify(db.T, "equal")
    end
    clients.run("postgres", "update spec_edge set c = upper(c), n = upper(n)")
    assert.equal(1, sync.run(db, "T").rows_written)
    edge.agree(shown)
    clients.run("postgres", "update spec_edge set d = 'NaN', f = 'NaN'")
    assert.equal(2, sync.run(db, "T").rows_written)
    edge.verify(db.T, "equal")
    clients.run("postgres", "drop table spec_edge; drop collation spec_nocase")
  end)

  it("sets right, or says, that two rows have swapped a unique value", function()
    local _, db = edge.open {
      mysql = "id int primary key, u varchar(9) not null unique",
      rows = { "1, 'one'", "2, 'two'", "3, 'three'" },
    }
    sync.run(db, "T")
    clients.run("postgres", "update spec_edge set u = 'x' where id = 1; "
      .. "update spec_edge set u = 'one' where id = 2; "
      .. "update spec_edge set u = 'two' where id = 1; "
      .. "update spec_edge set u = 'wrong' where id = 3")
    local result = sync.run(db, "T", { chunk_rows = 2 })
    assert.same({ { "3", "three" } },
      clients.rows("postgres", "select id, u from spec_edge where id = 3"))
    if result.quarantined == 0 then
      edge.verify(db.T, "equal")
    else
      assert.equal(2, result.quarantined)
      assert.equal(2, #db:quarantine():list())
      assert.equal(2, edge.verify(db.T, "different").changed)
    end
  end)

  it("gives a unique value that was freed to the row that has it now", function()
    local _, db = edge.open {
      mysql = "id int primary key, u varchar(9) not null unique",
      rows = { "1, 'one'", "2, 'two'", "3, 'three'" },
    }
    sync.run(db, "T")
    clients.run("mysql", "delete from spec_edge where id = 3; "
      .. "update spec_edge set u = 'three' where id = 1")
    for _, chunk_rows in ipairs { 1, 10 } do
      local result = sync.run(db, "T", { chunk_rows = chunk_rows })
      assert.equal(0, result.quarantined)
      edge.agree { edge.plain "id", edge.text "u" }
    end
  end)

  it("leaves columns alone that the secondary computes, or that it alone has", function()
    local _, db = edge.open {
      mysql = "id int primary key, a int, twice int as (a * 2) stored",
      postgres = "id int primary key, a int, twice int generated always as (a * 2) stored, "
        .. "own int default 7", rows = {},
    }
    clients.run("mysql", "insert into spec_edge (id, a, v) values (1, 1, 1), (2, 2, 2), (3, 3, 3)")
    for _ = 1, 2 do
      assert.equal(3, sync.run(db, "T", { chunk_rows = 2 }).rows_written)
      assert.same({ { "1", "1", "2", "7" }, { "2", "2", "4", "7" }, { "3", "3", "6", "7" } },
        clients.rows("postgres", "select id, a, twice, own from spec_edge order by id"))
      clients.run("postgres", "update spec_edge set a = 0")
    end
  end)

  it("stays within the model's filter, on both sides", function()
    local _, db = edge.open {
      mysql = "id int primary key, a varchar(20)", rows = numbers(20),
      model = { sync = { filter = "id % 2 = 0 or id = 3" } },
    }
    local result = sync.run(db, "T", { chunk_rows = 3 })
    assert.same({ 11, 11 }, { result.rows_read, result.rows_written })
    clients.run("postgres", "insert into spec_edge values (1, 'own', 1), (21, 'own', 21); "
      .. "insert into spec_edge values (100, 'extra', 100); delete from spec_edge where id = 4; "
      .. "update spec_edge set a = 'wrong' where id in (3, 20)")
    result = sync.run(db, "T", { chunk_rows = 3 })
    assert.same({ 11, 3, 1 }, { result.rows_read, result.rows_written, result.rows_deleted })
    assert.same({ { "1" }, { "21" } },
      clients.rows("postgres", "select id from spec_edge where a = 'own' order by id"))
    assert.same({ { "13" } }, clients.rows("postgres", "select count(*) from spec_edge"))
    edge.verify(db.T, "equal")
  end)
end)

describe("rows that the secondary refuses, among many chunks", function()
  local dir

  before_each(function()
    edge.before_each()
    dir = cli.directory()
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  local BAD = "id in (23, 24, 50, 99)"

  --- A hundred rows, four of which the secondary refuses, each for a reason of its own.
  local function open()
    local _, db = edge.open {
      mysql = "id int primary key, a varchar(20), n int",
      postgres = "id int primary key, a varchar(9), n int check (n < 1000)", rows = {},
      model = { policies = { columns = { a = { overflow = "refuse" } } } },
    }
    clients.run("mysql", "insert into spec_edge select n, concat('a', n), n, n from "
      .. ("(%s) q where n between 1 and 100"):format(servers.million("mysql", 1)))
    clients.run("mysql", "update spec_edge set n = 1000 where id in (23, 24); "
      .. "update spec_edge set a = repeat('x', 10) where id = 50; "
      .. "update spec_edge set a = concat('b', char(0), 'c') where id = 99")
    return db
  end

  local function check(db, result)
    assert.same({ 100, 4 }, { result.rows_read, result.quarantined })
    assert.same({ { "96" } }, clients.rows("postgres", "select count(*) from spec_edge"))
    assert.same({ { "0" } },
      clients.rows("postgres", "select count(*) from spec_edge where " .. BAD))
    local keys = {}
    for i, entry in ipairs(db:quarantine():list()) do keys[i] = tonumber(entry.key:match "%d+") end
    table.sort(keys)
    assert.same({ 23, 24, 50, 99 }, keys)
  end

  it("are in quarantine, and all others go", function()
    local db = open()
    local result = sync.run(db, "T", { chunk_rows = 7, jobs = 2 })
    check(db, result)
    assert.equal(96, result.rows_written)
    result = sync.run(db, "T", { chunk_rows = 7, jobs = 2 })
    check(db, result)
    assert.equal(0, result.rows_written)
    clients.run("mysql", "update spec_edge set n = 1, a = 'good' where " .. BAD)
    result = sync.run(db, "T", { chunk_rows = 7, jobs = 2 })
    assert.same({ 4, 0 }, { result.rows_written, result.quarantined })
    assert.same({}, db:quarantine():list())
    edge.agree { edge.plain "id", edge.text "a", edge.plain "n" }
  end)

  it("stay in quarantine, and are told of, when a run goes on from one that was ended", function()
    local db = open()
    clients.run("mysql", "update spec_edge set n = 1000 where id = 2; "
      .. "update spec_edge set a = repeat('x', 10) where id = 4")
    for _, chunk_rows in ipairs { 5, 3 } do
      assert.is_false((pcall(sync.run, db, "T", { jobs = 1, chunk_rows = chunk_rows,
        progress = function(so_far)
          if so_far.rows > 30 then error "the end" end
        end })))
      db = edge.pair { T = { table = edge.NAME, policies = {
        columns = { a = { overflow = "refuse" } } } } }
      local result = sync.run(db, "T", { jobs = 2, chunk_rows = chunk_rows })
      assert.is_true(result.resumed)
      assert.equal(6, result.quarantined)
      assert.equal(6, #db:quarantine():list())
      assert.same({ { "94" } }, clients.rows("postgres", "select count(*) from spec_edge"))
      clients.run("postgres", "delete from spec_edge where id > 3")  -- and now a refresh
    end
  end)

  it("make the command end with 7", function()
    open()
    dir:write("dualdb.lua", [[return { models = { T = { table = "spec_edge", policies = {
      columns = { a = { overflow = "refuse" } } } } } }]])
    for _ = 1, 2 do
      local document, run = dir:json { "sync", "T", "--full" }
      assert.equal(7, run.code, run.err)
      assert.same({ 100, 4 }, { document.models[1].rows_read, document.models[1].quarantined })
    end
  end)

  it("and values that a policy changes are counted once, over chunks and tries", function()
    local _, db = edge.open {
      mysql = "id int primary key, a varchar(20), n int",
      postgres = "id int primary key, a varchar(9), n int check (n < 1000)", rows = {},
      model = { policies = { nul = "strip", columns = { a = { overflow = "clamp" } } } },
    }
    clients.run("mysql", "insert into spec_edge select n, concat('a', n), n, n from "
      .. ("(%s) q where n between 1 and 60"):format(servers.million("mysql", 1)))
    clients.run("mysql", "update spec_edge set a = concat('b', char(0), 'c') where id % 10 = 0; "
      .. "update spec_edge set a = repeat('x', 20) where id % 10 = 5; "
      .. "update spec_edge set n = 1000 where id in (7, 41)")
    for _, chunk_rows in ipairs { 7, 100 } do
      local result = sync.run(db, "T", { chunk_rows = chunk_rows })
      assert.same({ 60, 2 }, { result.rows_read, result.quarantined })
      assert.same({ nul = 6, overflow = 6 }, result.policies)
      clients.run("postgres", "delete from spec_edge where id % 3 = 0")
    end
    -- A load too whose every chunk is refused.
    clients.run("postgres", "delete from spec_edge")
    local result = sync.run(db, "T", { chunk_rows = 7 })
    assert.same({ nul = 6, overflow = 6 }, result.policies)
  end)
end)

describe("tables without a key", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  it("are an error when they are named, and told of when all are meant", function()
    for name, columns in pairs { spec_edge = "a int", spec_edge_other = "a int primary key" } do
      edge.drop_later(name)
      clients.run("mysql", ("create table %s (%s); insert into %s values (1)"):format(name, columns,
        name))
      clients.run("postgres", ("create table %s (%s); alter table %s owner to dualdb"):format(name,
        columns, name))
    end
    local dir = cli.directory()
    servers.finally(function() dir:remove() end)
    local named = dir:run { "sync", "spec_edge", "--full" }
    assert.equal(2, named.code)
    assert.matches("no model spec_edge (usage)", named.err, 1, true)
    dir:write("dualdb.lua", [[return { models = { T = { table = "spec_edge" } } }]])
    local model = dir:run { "sync", "T", "--full" }
    assert.equal(3, model.code, model.err)
    assert.matches("has no primary key", model.err, 1, true)
    os.remove(dir.path .. "/dualdb.lua")
    local all = dir:run { "sync", "--all", "--full" }
    assert.matches("spec_edge has no primary key and is not copied", all.err)
    assert.same({ { "0" } }, clients.rows("postgres", "select count(*) from spec_edge"))
    assert.same({ { "1" } }, clients.rows("postgres", "select count(*) from spec_edge_other"))
  end)
end)
