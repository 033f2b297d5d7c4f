-- Edge cases of whole runs, each by its number in the project's list of 25. The servers' own
-- clients make the rows and judge them.
--
-- 21 to 24 are here; 25 is in edge_cases_trouble_spec.

local clients = require "spec.support.clients"
local dualdb = require "dualdb"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"

describe("edge case 21: repair where one row stands in the way of another", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local PARENT, CHILD = "spec_edge_parent", "spec_edge_child"

  --- A parent and a child on both sides, with the rule of their foreign key.
  local function family(rule)
    for _, name in ipairs { PARENT, CHILD } do edge.drop_later(name) end
    for _, driver in ipairs { "mysql", "postgres" } do
      clients.run(driver, ("create table %s (id int primary key, v int); "
        .. "create table %s (id int primary key, parent int not null, "
        .. "foreign key (parent) references %s (id) on delete %s)"):format(PARENT, CHILD, PARENT,
        rule))
    end
    for _, name in ipairs { PARENT, CHILD } do
      clients.run("postgres", ("alter table %s owner to dualdb"):format(name))
    end
    clients.run("mysql", ("insert into %s values (1, 1), (2, 2), (3, 3); "
      .. "insert into %s values (10, 1), (20, 2), (21, 2), (30, 3)"):format(PARENT, CHILD))
    -- In alphabetical order the child comes first.
    return edge.pair { AChild = { table = CHILD }, Parent = { table = PARENT } }
  end

  local function both_agree()
    for _, name in ipairs { PARENT, CHILD } do
      local sql = ("select * from %s order by id"):format(name)
      assert.same(clients.rows("mysql", sql), clients.rows("postgres", sql))
    end
  end

  it("swapped values of a unique key are set right, or counted as failed", function()
    local model = edge.open {
      mysql = "id int primary key, u varchar(9) not null unique",
      rows = { "1, 'one'", "2, 'two'", "3, 'three'", "4, 'four'" },
    }
    model:sync()
    clients.run("postgres", "update spec_edge set u = u || '?' where id in (1, 2); "
      .. "update spec_edge set u = 'two' where id = 1; "
      .. "update spec_edge set u = 'one' where id = 2; "
      .. "update spec_edge set u = 'FOUR' where id = 4")
    local result = model:repair()
    assert.equal(3, result.applied + result.failed)
    assert.is_true(result.applied >= 1)  -- the fourth row stands in nobody's way
    assert.same({ { "1", "one" }, { "2", "two" }, { "3", "three" }, { "4", "four" } },
      clients.rows("mysql", "select id, u from spec_edge order by id"))
    local report = edge.verify(model, result.failed > 0 and "different" or "equal")
    assert.equal(result.failed, report.changed)
    for _, failure in ipairs(result.failures) do
      assert.equal("integrity", failure.error.class)
    end
  end)

  it("rows that take over the unique value of a deleted one follow it", function()
    local model = edge.open {
      mysql = "id int primary key, u varchar(9) not null unique", rows = { "1, 'one'", "2, 'two'" },
    }
    model:sync()
    clients.run("mysql", "delete from spec_edge where id = 1; "
      .. "update spec_edge set u = 'one' where id = 2")
    local runs = 0
    repeat
      runs = runs + 1
      local result = model:repair { allow_delete = true }
      assert.is_true(result.applied >= 1)
      local report = model:verify()
      report.spool:close()
    until report.verdict == "equal" or runs == 3
    assert.is_true(runs < 3)
    edge.agree(edge.all(edge.text, "u"))
  end)

  it("parents come before children, and are deleted after them", function()
    local db = family "restrict"
    local repair = require "dualdb.repair"
    local names = db:model_names()
    local function applied(options)
      local total = 0
      for _, result in ipairs(repair.run(db, names, options)) do
        assert.equal(0, result.failed, result.failures[1] and result.failures[1].reason)
        total = total + result.applied
      end
      return total
    end
    assert.equal(7, applied {})
    both_agree()
    clients.run("mysql", ("delete from %s where parent = 2; delete from %s where id = 2"):format(
      CHILD, PARENT))
    assert.equal(3, applied { allow_delete = true })
    both_agree()
    clients.run("mysql", ("delete from %s; delete from %s"):format(CHILD, PARENT))
    assert.equal(4, applied { strategy = "secondary_wins" })
    both_agree()
  end)

  it("a cascade takes children along, which is no failure and is proved afterwards", function()
    local db = family "cascade"
    db.Parent:sync()
    db.AChild:sync()
    clients.run("mysql", ("delete from %s where id = 2"):format(PARENT))
    assert.same({ { "2" } }, clients.rows("mysql", "select count(*) from " .. CHILD))
    local result = db.Parent:repair { allow_delete = true }
    assert.same({ 1, 0 }, { result.applied, result.failed })
    both_agree()
    edge.verify(db.Parent, "equal")
    edge.verify(db.AChild, "equal")
    -- Deletes that are not allowed take no child with them.
    clients.run("mysql", ("delete from %s where id = 1"):format(PARENT))
    assert.equal(0, db.Parent:repair().applied)
    assert.same({ { "2" } }, clients.rows("postgres", "select count(*) from " .. CHILD))
  end)

  it("a trigger that changes what was written is a failure, and nothing of it stays", function()
    local model = edge.open {
      mysql = "id int primary key, a varchar(20)", rows = { "1, 'a'", "2, 'b'", "3, 'c'" },
    }
    model:sync()
    clients.run("postgres", [[
      create or replace function spec_edge_change() returns trigger language plpgsql as
        $$begin if new.id = 2 then new.a := new.a || '!'; end if; return new; end$$;
      update spec_edge set a = 'other';
      create trigger spec_edge_change before update on spec_edge
        for each row execute function spec_edge_change()]])
    local result = model:repair()
    assert.same({ 2, 1 }, { result.applied, result.failed })
    assert.equal("conflict", result.failures[1].error.class)
    assert.same({ { "1", "a" }, { "2", "other" }, { "3", "c" } },
      clients.rows("postgres", "select id, a from spec_edge order by id"))
    assert.equal(1, edge.verify(model, "different").changed)
    clients.run("postgres", "drop table spec_edge; drop function spec_edge_change()")
  end)
end)

describe("edge case 22: columns that are computed, hidden, or of one side alone", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  --- A key that tells case, accents and blanks apart, and columns of every odd sort.
  local function open()
    local db <close> = pair.open {}
    local model = edge.open {
      mysql = ("k varchar(9) character set utf8mb4 collate %s primary key, a int, "
        .. "twice int as (a * 2) stored, thrice int as (a * 3) virtual, hidden int invisible, "
        .. "b varchar(9) as (concat(a, 'x')) virtual"):format(
        db.primary:info().product == "mariadb" and "utf8mb4_nopad_bin" or "utf8mb4_0900_bin"),
      postgres = "k varchar(9) primary key, a int, twice int, thrice int, hidden int, "
        .. "b varchar(9), own int default 7, sum int generated always as (a + 1) stored",
      rows = {},
    }
    clients.run("mysql", "insert into spec_edge (k, a, hidden, v) values ('A', 5, 1, 1), "
      .. "('a', 5, 1, 2), ('Ä', 5, 1, 3), ('a ', 5, 1, 4), ('', null, null, 5)")
    return model
  end

  local SHOWN = edge.all(edge.plain, "a", "twice", "thrice", "hidden")

  it("are compared where both have them, and never written where they are computed", function()
    local model = open()
    assert.equal(5, model:sync().rows_written)
    edge.agree(SHOWN)
    clients.run("postgres", "update spec_edge set own = 8")
    local report = edge.verify(model, "equal")
    table.sort(report.uncovered)
    assert.same({ "own", "sum" }, report.uncovered)
    for _, column in ipairs { "twice", "thrice", "hidden" } do
      clients.run("postgres", ("update spec_edge set %s = 0 where k = 'a'"):format(column))
      assert.equal(1, edge.verify(model, "different").changed)
      assert.equal(1, model:repair().applied)
      edge.agree(SHOWN)
    end
    assert.same({ { "8" } }, clients.rows("postgres", "select distinct own from spec_edge"))
    clients.run("mysql", "delete from spec_edge where k in ('a', 'Ä')")
    assert.equal(2, model:repair { strategy = "secondary_wins" }.applied)
    edge.agree(SHOWN)
  end)

  it("are left to the secondary that computes them, under a transform too", function()
    local model = edge.open {
      mysql = "id int primary key, a int, twice int as (a * 2) stored",
      postgres = "id int primary key, a int, twice int generated always as (a * 2) stored",
      rows = {},
      model = { sync = { transform = function(given)
        if given.id == 3 then return nil end
        given.a, given.twice = 10, 20
        return given
      end } },
    }
    clients.run("mysql", "insert into spec_edge (id, a, v) values (1, 1, 1), (2, 2, 2), (3, 3, 3)")
    assert.equal(2, model:sync().rows_written)
    local there = { { "1", "10", "20" }, { "2", "10", "20" } }
    local sql = "select id, a, twice from spec_edge order by id"
    assert.same(there, clients.rows("postgres", sql))
    edge.verify(model, "equal")
    clients.run("postgres", "update spec_edge set a = 7 where id = 2")
    assert.equal(1, model:sync().rows_written)
    assert.same(there, clients.rows("postgres", sql))
  end)

  it("that the secondary computes otherwise are named by repair, which cannot mend them", function()
    local model = edge.open {
      mysql = "id int primary key, a int, twice int as (a * 2) stored",
      postgres = "id int primary key, a int, twice int generated always as (a * 3) stored",
      rows = {},
    }
    clients.run("mysql", "insert into spec_edge (id, a, v) values (1, 0, 1), (2, 2, 2)")
    model:sync()
    assert.equal(1, edge.verify(model, "different").changed)
    local result = model:repair()
    assert.same({ 0, 1, 0 }, { result.applied, result.skipped, result.failed })
    assert.same({ ["the secondary computes column twice by itself"] = 1 }, result.skips)
    -- Beside another column, or in a row that is not there, it is found when the row is proved.
    clients.run("postgres", "update spec_edge set a = 5 where id = 2")
    for _ = 1, 2 do
      result = model:repair()
      assert.same({ 0, 0, 1 }, { result.applied, result.skipped, result.failed })
      assert.matches("the secondary computes column twice by itself", result.failures[1].reason, 1,
        true)
      clients.run("postgres", "delete from spec_edge where id = 2")
    end
  end)

  it("do not make a delete or an update meet rows that are like its own", function()
    local model = open()
    model:sync()
    assert.is_true(model:delete "A")
    assert.equal(6, model:update("a", { a = 6 }).a)
    local left = { { "2", "6", "12" }, { "3", "5", "10" }, { "4", "5", "10" },
      { "5", "NULL", "NULL" } }
    for _, driver in ipairs { "mysql", "postgres" } do
      assert.same(left, clients.rows(driver, "select v, a, twice from spec_edge order by v"))
    end
    clients.run("mysql", "delete from spec_edge where k = 'a'")
    assert.equal(1, model:repair { allow_delete = true }.applied)
    assert.equal(3, #edge.agree(SHOWN))
  end)

  it("keys of another case than the row's change and delete on both sides or on none", function()
    local model = edge.open {
      mysql = "k varchar(9) collate utf8mb4_general_ci primary key", rows = { "'google'" },
    }
    model:sync()
    local function try(method, ...) return dualdb.try(model[method], model, ...) end
    try("update", "GOOGLE", { v = 9 })
    edge.agree(edge.all(edge.text, "k"))
    try("delete", "Google")
    edge.agree(edge.all(edge.text, "k"))
    edge.verify(model, "equal")
  end)
end)

describe("edge case 23: sequences", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local function next_number()
    return tonumber(clients.rows("postgres",
      "insert into spec_edge (a, v) values ('new', 0) returning id")[1][1])
  end

  it("are above every key after a load, a direct insert, and a jump, by one", function()
    local model = edge.open {
      mysql = "id int auto_increment primary key, a varchar(9)", rows = { "1, 'a'", "41, 'b'" },
    }
    model:sync()
    assert.equal(42, next_number())
    assert.equal(43, next_number())
    model:sync()  -- which deletes both
    clients.run("mysql", "insert into spec_edge (a, v) values ('c', 3)")
    model:sync()
    assert.same({ { "42" } }, clients.rows("mysql", "select max(id) from spec_edge"))
    assert.equal(44, next_number())  -- never back
    clients.run("mysql", "insert into spec_edge values (1000, 'jump', 4)")
    model:sync()
    assert.equal(1001, next_number())
    clients.run("postgres", "insert into spec_edge values (2000, 'direct', 5)")
    model:sync { }
    assert.is_true(next_number() > 1001)
  end)

  it("of unsigned keys, too", function()
    local model = edge.open {
      mysql = "id bigint unsigned auto_increment primary key, a varchar(9)",
      rows = { "1, 'a'", "9223372036854775000, 'b'" },
    }
    model:sync()
    assert.same({ { "9223372036854775001" } }, clients.rows("postgres",
      "insert into spec_edge (a, v) values ('new', 0) returning id"))
  end)

  it("of a table without rows start at one", function()
    local model = edge.open { mysql = "id int auto_increment primary key, a varchar(9)",
                              rows = {} }
    model:sync()
    edge.verify(model, "equal")
    assert.equal(1, next_number())
  end)
end)

describe("edge case 24: rows that change, move and vanish between two looks", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local COUNT = 1000

  --- A model whose first row runs `meddle` once, in the middle of what reads it.
  local function open(meddle)
    local rows, armed = {}, false
    for i = 1, COUNT do rows[i] = ("%d, 'a%d'"):format(10 * i, i) end
    local model = edge.open {
      mysql = "id int primary key, a varchar(9)", rows = rows,
      model = { sync = { transform = function(row)
        if armed then
          armed = false
          meddle()
        end
        return row
      end } },
    }
    return model, function() armed = true end
  end

  --- Changed, deleted (the one with the highest key, too), moved, and put behind the cursor.
  local CHANGES = [[
    update spec_edge set a = 'new' where id in (10, 20, 9000);
    delete from spec_edge where id in (30, 9010, 10000);
    update spec_edge set id = 5 where id = 9020;
    update spec_edge set id = 20000 where id = 40;
    insert into spec_edge values (1, 'low', -1), (30000, 'high', -2)]]

  local function agree() return edge.agree { edge.plain "id", edge.text "a" } end

  it("on both sides, as by dual writes, are no differences", function()
    local model, arm = open(function()
      clients.run("mysql", CHANGES)
      clients.run("postgres", CHANGES)
    end)
    model:sync()
    arm()
    local report = edge.verify(model, "equal")
    assert.equal(0, report.not_verified)
    agree()
  end)

  it("on one side are named, each of them that is there at the end", function()
    local model, arm = open(function() clients.run("mysql", CHANGES) end)
    model:sync()
    arm()
    -- What was read before the changes was equal.
    local report = edge.verify(model, "equal")
    assert.same({ COUNT, COUNT }, { report.rows_primary, report.rows_secondary })
    report = edge.verify(model, "different")
    assert.same({ 4, 5, 3 }, { report.missing, report.extra, report.changed })
    assert.equal(12, model:repair { allow_delete = true }.applied)
    agree()
  end)

  it("while a table is loaded are found by the next look, and brought by the next sync", function()
    local model, arm = open(function() clients.run("mysql", CHANGES) end)
    arm()
    assert.equal(COUNT, model:sync().rows_written)
    edge.verify(model, "different")
    model:sync()
    edge.verify(model, "equal")
    agree()
  end)

  it("while a table is refreshed are never overwritten by what they were", function()
    local model, arm = open(function() clients.run("mysql", CHANGES) end)
    model:sync()
    clients.run("postgres", "update spec_edge set a = 'old' where id <= 50 or id >= 9000")
    arm()
    model:sync()
    assert.same({ { "3" } }, clients.rows("postgres",
      "select count(*) from spec_edge where id in (10, 20, 9000) and a = 'new'"))
    assert.same({ { "0" } }, clients.rows("postgres",
      "select count(*) from spec_edge where a = 'old' and id in (select id from spec_edge "
      .. "where id < 9020 or id > 10000)"))
    model:sync()
    edge.verify(model, "equal")
    agree()
  end)

  it("between a run that was broken off and the next leave no stale row", function()
    local broken = false
    local model, arm = open(function()
      broken = true
      error "broken off"
    end)
    arm()
    assert.is_false((pcall(model.sync, model)))
    assert.is_true(broken)
    assert.same({ { "0" } }, clients.rows("postgres", "select count(*) from spec_edge"))
    clients.run("mysql", CHANGES)
    model:sync()
    edge.verify(model, "equal")
    agree()
  end)

  it("and change again at every look are not verified, never called equal", function()
    local writer = dualdb.open { name = "spec" }
    local turn = 0
    local model = open(function() end)
    model:sync()
    clients.run("postgres", "update spec_edge set a = 'old' where id = 10")
    local busy <close> = pair.open { T = { table = edge.NAME, sync = { transform = function(row)
      if row.id == 10 then
        turn = turn + 1
        writer.secondary:execute("update spec_edge set a = ? where id = 10", "t" .. turn)
      end
      return row
    end } } }
    local report = busy.T:verify()
    report.spool:close()
    writer:close()
    assert.equal("not_verified", report.verdict)
    assert.equal(1, report.not_verified)
    assert.is_true(turn > 3)
  end)
end)
