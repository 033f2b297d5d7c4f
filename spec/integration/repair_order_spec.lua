--- Rows that stand in each other's way: they are repaired in an order, and with values for the time
--- being, that the servers take; in both directions, and back again by the undo file.

local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local repair = require "dualdb.repair"

local DRIVERS = { primary = "mysql", secondary = "postgres" }
local TARGETS = {
  { side = "secondary", source = "mysql", driver = "postgres", strategy = "primary_wins" },
  { side = "primary", source = "postgres", driver = "mysql", strategy = "secondary_wins" },
}

describe("a repair of rows that stand in each other's way", function()
  local dir

  before_each(function()
    edge.before_each()
    dir = cli.directory()
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  local function rows(driver, columns, name)
    return clients.rows(driver, ("select %s from %s order by id"):format(
      type(columns) == "table" and columns[driver] or columns, name or edge.NAME))
  end

  local runs = 0

  --- Repairs all models; both sides are the same then. The undo file leaves what was there before.
  local function mend(db, target, columns, tables)
    local before = {}
    runs = runs + 1
    for _, name in ipairs(tables) do before[name] = rows(target.driver, columns[name], name) end
    local results = repair.run(db, db:model_names(), {
      strategy = target.strategy, allow_delete = true, undo = ("%s/%d.sql"):format(dir.path, runs),
    })
    local applied = 0
    for _, result in ipairs(results) do
      assert.equal(0, result.failed, result.failures[1] and result.failures[1].reason)
      assert.same({}, result.skips)
      applied = applied + result.applied
    end
    for _, name in ipairs(tables) do
      assert.same(rows(target.source, columns[name], name), rows(target.driver, columns[name],
        name))
    end
    assert.equal("", clients.file(target.driver, results[1].undo[target.side]))
    for _, name in ipairs(tables) do
      assert.same(before[name], rows(target.driver, columns[name], name))
    end
    return applied
  end

  --- Unique columns of every kind that a value can be made up for, and ones that may be NULL.
  local UNIQUE = {
    { "text", "u varchar(9) not null unique", "u varchar(9) not null unique", "'%s'" },
    { "an integer", "u int not null unique", "u int not null unique", "%d" },
    { "a small integer", "u smallint not null unique", "u smallint not null unique", "%d" },
    { "bytes of a fixed length", "u binary(3) not null unique", "u bytea not null unique",
      "x'00000%d'", "'\\x00000%d'" },
    { "text that may be null", "u varchar(20) unique", "u varchar(20) unique", "'%s'" },
    { "two columns", "u int not null, w int not null default 4, unique (w, u)",
      "u int not null, w int not null default 4, unique (w, u)", "%d" },
  }

  for _, target in ipairs(TARGETS) do
    for _, case in ipairs(UNIQUE) do
      it(("exchanges unique values on the %s: %s"):format(target.side, case[1]), function()
        local _, db = edge.open {
          mysql = "id int primary key, " .. case[2], postgres = "id int primary key, " .. case[3],
          rows = {},
        }
        local form = { mysql = case[4], postgres = case[5] or case[4] }
        for _, driver in pairs(DRIVERS) do
          local values = {}
          for id = 1, 7 do
            -- On the target: 1 and 2 have each other's, 3, 4 and 5 go around, 6 has what 7 is to
            -- have, and that has another one.
            local there = driver == target.driver and ({ 2, 1, 4, 5, 3, 7, 8 })[id] or id
            values[id] = ("(%d, %s, %d)"):format(id, form[driver]:format(there), id)
          end
          clients.run(driver, "insert into spec_edge (id, u, v) values "
            .. table.concat(values, ", "))
        end
        local shown = { mysql = "id, hex(u), v", postgres = "id, upper(encode(u, 'hex')), v" }
        assert.equal(7, mend(db, target, {
          [edge.NAME] = case[2]:find "binary" and shown or "id, u, v",
        }, { edge.NAME }))
      end)
    end

    it(("lets rows take the values of rows that are deleted on the %s"):format(target.side),
      function()
        local _, db = edge.open {
          mysql = "id int primary key, u varchar(9) not null unique", rows = {},
        }
        clients.run(target.source, "insert into spec_edge values (2, 'one', 0), (9, 'three', 0)")
        clients.run(target.driver, "insert into spec_edge values (1, 'one', 0), (2, 'two', 0), "
          .. "(3, 'three', 0)")
        assert.equal(4, mend(db, target, { [edge.NAME] = "id, u, v" }, { edge.NAME }))
      end)

    it(("writes rows of a table that refers to itself on the %s"):format(target.side), function()
      local _, db = edge.open {
        mysql = "id int primary key, parent int, foreign key (parent) references spec_edge (id)",
        postgres = "id int primary key, parent int references spec_edge (id)", rows = {},
      }
      -- In the order of their keys children come first.
      clients.run(target.source, "insert into spec_edge values (9, null, 0), (8, 9, 0), (7, 8, 0), "
        .. "(1, 7, 0)")
      clients.run(target.driver, "insert into spec_edge values (20, null, 0), (30, 20, 0), "
        .. "(40, 30, 0)")
      assert.equal(7, mend(db, target, { [edge.NAME] = "id, parent, v" }, { edge.NAME }))
    end)

    it(("writes parents first and deletes children first on the %s"):format(target.side), function()
      local names = { "spec_edge_c", "spec_edge_b", "spec_edge_a" }
      for _, name in ipairs(names) do edge.drop_later(name) end
      for _, driver in pairs(DRIVERS) do
        clients.run(driver, [[
          create table spec_edge_c (id int primary key, u int not null unique);
          create table spec_edge_b (id int primary key, c int not null,
            foreign key (c) references spec_edge_c (id));
          create table spec_edge_a (id int primary key, b int not null,
            foreign key (b) references spec_edge_b (id))]])
      end
      for _, name in ipairs(names) do
        clients.run("postgres", ("alter table %s owner to dualdb"):format(name))
      end
      clients.run(target.source, "insert into spec_edge_c values (1, 1), (2, 2); "
        .. "insert into spec_edge_b values (1, 1), (2, 2); "
        .. "insert into spec_edge_a values (1, 1), (2, 2)")
      -- The new parent 2 takes the unique value of the old parent 7, whose children go first.
      clients.run(target.driver, "insert into spec_edge_c values (7, 2), (1, 1); "
        .. "insert into spec_edge_b values (7, 7), (1, 7); "
        .. "insert into spec_edge_a values (7, 7), (1, 1)")
      local db = edge.pair { A = { table = names[3] }, B = { table = names[2] },
                             C = { table = names[1] } }
      assert.equal(7, mend(db, target, { spec_edge_a = "id, b", spec_edge_b = "id, c",
        spec_edge_c = "id, u" }, names))
    end)
  end

  it("waits for the end with what is checked there", function()
    local db
    for _, name in ipairs { "spec_edge_a", "spec_edge_b" } do edge.drop_later(name) end
    clients.run("mysql", "create table spec_edge_a (id int primary key, b int); "
      .. "create table spec_edge_b (id int primary key, a int); "
      .. "insert into spec_edge_a values (1, 1), (2, 2); insert into spec_edge_b values (1, 2), "
      .. "(2, 1)")
    clients.run("postgres", [[
      create table spec_edge_a (id int primary key, b int);
      create table spec_edge_b (id int primary key, a int);
      alter table spec_edge_a add unique (b) deferrable initially immediate;
      insert into spec_edge_a values (1, 2), (2, 1);
      alter table spec_edge_a owner to dualdb; alter table spec_edge_b owner to dualdb;
      alter table spec_edge_b add foreign key (a) references spec_edge_b (id) deferrable]])
    db = edge.pair { A = { table = "spec_edge_a" }, B = { table = "spec_edge_b" } }
    assert.equal(4, mend(db, TARGETS[1], { spec_edge_a = "id, b", spec_edge_b = "id, a" },
      { "spec_edge_a", "spec_edge_b" }))
  end)

  it("names a value that cannot be had, and repairs the others", function()
    local model = edge.open {
      mysql = "id int primary key, u varchar(9) not null unique", rows = { "1, 'a'", "2, 'b'" },
    }
    model:sync()
    -- The row that has it is only on the secondary, and may not be deleted.
    clients.run("postgres", "update spec_edge set u = 'x' where id = 1; "
      .. "update spec_edge set u = 'y' where id = 2; insert into spec_edge values (3, 'a', 0)")
    local result = model:repair()
    assert.same({ 1, 1, 1 }, { result.applied, result.failed, result.skipped })
    assert.equal("1", result.failures[1].key)
    assert.equal("integrity", result.failures[1].error.class)
    assert.same({ { "1", "x" }, { "2", "b" }, { "3", "a" } }, rows("postgres", "id, u"))
  end)

  for _, identity in ipairs { "always", "by default" } do
    it(("writes the keys of an identity column, generated %s, and moves its sequence"):format(
      identity), function()
      local model = edge.open {
        mysql = "id int not null auto_increment primary key", rows = { "1", "5", "90" },
        postgres = ("id int generated %s as identity primary key"):format(identity),
      }
      assert.equal(3, model:repair().applied)
      edge.verify(model, "equal")
      clients.run("postgres", "insert into spec_edge (v) values (7)")
      assert.same({ { "91" } }, clients.rows("postgres", "select id from spec_edge where v = 7"))
      assert.equal(1, model:repair({ strategy = "secondary_wins" }).applied)
      clients.run("mysql", "insert into spec_edge (v) values (8)")
      assert.same({ { "92" } }, clients.rows("mysql", "select id from spec_edge where v = 8"))
    end)
  end

  it("takes a merged row's computed columns from the primary", function()
    local model = edge.open {
      mysql = "id int primary key, a int, twice int as (a * 2) stored, half int as (a / 2) virtual",
      postgres = "id int primary key, a int, twice int, half int", rows = {},
    }
    clients.run("mysql", "insert into spec_edge (id, a, v) values (1, 10, 1)")
    clients.run("postgres", "insert into spec_edge (id, a, twice, half, v) values (1, 40, 3, 3, 1)")
    local result = model:repair { strategy = require("dualdb").merge { a = "max" } }
    assert.equal(1, result.applied, result.failures[1] and result.failures[1].reason)
    for _, driver in pairs(DRIVERS) do
      assert.same({ { "1", "40", "80", "20" } }, rows(driver, "id, a, twice, half"))
    end
  end)

  for _, target in ipairs(TARGETS) do
    it(("names a trigger of the %s that changes the row, and leaves it"):format(target.side),
      function()
        local model = edge.open {
          mysql = "id int primary key, a varchar(20)", rows = { "1, 'a'", "2, 'b'" },
        }
        model:sync()
        clients.run(target.driver, "update spec_edge set a = 'other'")
        clients.run(target.driver, target.driver == "mysql"
          and "create trigger spec_edge_t before update on spec_edge for each row "
            .. "set new.a = if(new.id = 2, concat(new.a, '!'), new.a)"
          or [[create or replace function spec_edge_t() returns trigger language plpgsql as
            $$begin if new.id = 2 then new.a := new.a || '!'; end if; return new; end$$;
            create trigger spec_edge_t before update on spec_edge
              for each row execute function spec_edge_t()]])
        local result = model:repair { strategy = target.strategy, undo = dir.path .. "/undo.sql" }
        assert.same({ 1, 1 }, { result.applied, result.failed })
        assert.equal("2", result.failures[1].key)
        assert.equal(("the %s does not keep the row as it was written (conflict)"):format(
          target.side), result.failures[1].reason)
        assert.same({ { "1", "a" }, { "2", "other" } }, rows(target.driver, "id, a"))
        if target.driver == "postgres" then
          clients.run("postgres", "drop table spec_edge; drop function spec_edge_t()")
        end
      end)
  end
end)
