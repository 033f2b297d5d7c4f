--- What a repair replaces can be put back: the undo file, run by the servers' own clients, leaves
--- what was there before. The clients make the rows and judge them.

local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local dualdb = require "dualdb"
local edge = require "spec.support.edge"

local DRIVERS = { primary = "mysql", secondary = "postgres" }

describe("the undo file of a repair", function()
  local dir

  before_each(function()
    edge.before_each()
    dir = cli.directory()
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  --- All that both tables hold, as their clients show it. Documents are put back by their content;
  --- MariaDB, which keeps their text, has them here in the form that they are put back in.
  local function dump()
    local texts = {}
    for side, driver in pairs(DRIVERS) do
      texts[side] = clients.run(driver, ("select * from %s order by v, id"):format(edge.NAME))
    end
    return texts
  end

  local function undo(result)
    for side, path in pairs(result.undo) do
      assert.equal("", clients.file(DRIVERS[side], path))
    end
  end

  --- Repairs, and undoes it; nobody sees a difference then. Returns the result.
  local function there_and_back(model, options)
    local before = dump()
    options.undo = dir.path .. "/undo.sql"
    local result = model:repair(options)
    assert.same({ 0, {} }, { result.failed, result.skips }, result.failures[1]
      and result.failures[1].reason)
    assert.is_true(result.applied > 0)
    assert.not_same(before, dump())
    edge.verify(model, "equal")
    undo(result)
    assert.same(before, dump())
    -- What is undone stays as it is, however often.
    undo(result)
    assert.same(before, dump())
    return result
  end

  local TYPES = {
    mysql = [[id bigint unsigned not null primary key, i int, ti tinyint(1), d decimal(30,10),
      f float, g double, t varchar(80) character set utf8mb4, l varchar(80) character set latin1,
      m mediumtext, x varbinary(60), b binary(4), o blob, da date, ti6 time(6), dt datetime(6),
      ts timestamp(6) null, j json, y year, b1 bit(1), b9 bit(9), e enum('a','b'), s set('x','y'),
      twice bigint as (i * 2) stored]],
    postgres = [[id numeric(20,0) primary key, i int, ti boolean, d numeric(30,10), f real,
      g double precision, t varchar(80), l varchar(80), m text, x bytea, b bytea, o bytea, da date,
      ti6 interval, dt timestamp(6), ts timestamptz(6), j jsonb, y smallint, b1 boolean, b9 bit(9),
      e text, s text, twice bigint generated always as (i::bigint * 2) stored]],
    columns = "(id, i, ti, d, f, g, t, l, m, x, b, o, da, ti6, dt, ts, j, y, b1, b9, e, s, v)",
  }

  --- Rows of every type: plain ones, the ends of the ranges, NULLs, texts that quoting is hard for.
  local ROWS = {
    [[(1, -2147483648, 0, -12345678901234567890.0123456789, 0.1, 1e300, 'it''s \\ "`?%s', 'é', 'm',
      x'00ff0d0a1a275c', x'00000000', x'', '1000-01-01', '-838:59:58.999999',
      '1000-01-01 00:00:00.000001', '1970-01-01 00:00:01.5', '{"a": [1, 0.1, "\\n\\u0001"]}', 1901,
      0, b'000000101', 'a', 'x,y', 1)]],
    [[(18446744073709551615, 2147483647, 1, 0.1, 16777216, 0.1, '', 'ÿ', 'line\nline\r\n\tx',
      x'78', x'61626364', repeat(x'00', 3), '9999-12-31', '100:00:00.5',
      '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', '[]', 2155, 1, b'111111111', 'b', '', 2)
    ]],
    [[(3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
      null, null, null, null, null, null, 3)]],
    [[(4, 0, 1, 1, -1.5, -0.25, '日本 🎈 ''quoted''', 'x', concat('--', char(10), ';'), x'31',
      x'31323334', x'27', '2026-11-29', '00:00:00', '2026-11-29 01:02:03', '2026-11-29 01:02:03',
      'null', 2026, 1, b'0', 'a', 'y', 4)]],
  }

  local function open_types()
    local model = edge.open { mysql = TYPES.mysql, postgres = TYPES.postgres, rows = {} }
    for _, values in ipairs(ROWS) do
      clients.run("mysql", ("insert into %s %s values %s"):format(edge.NAME, TYPES.columns, values))
    end
    assert.equal(4, model:sync().rows_written)
    return model
  end

  --- Another value in every column of row 1 and 4, row 2 is gone, and a row 77 is new.
  local DAMAGE = {
    postgres = [[
      update spec_edge set i = 7, ti = not ti, d = d + 1, f = f + 1, g = 2.5, t = 'a''\b',
        l = E'q\r\n', m = null, x = '\x0d', b = '\x01020304', o = '\x00', da = '0044-03-15 BC',
        ti6 = '800:00:00.25', dt = '0001-01-01 BC', ts = 'infinity', j = '{"b": 1.5}', y = 1999,
        b1 = null, b9 = b'101010101', e = 'b', s = 'x' where v = 1;
      update spec_edge set t = 'other', d = null where v = 4;
      delete from spec_edge where v = 2;
      insert into spec_edge (id, i, t, j, v) values (77, 5, E'new\\ \x01', 'null', 77)]],
    mysql = [[
      update spec_edge set i = 7, ti = not ti, d = d + 1, f = 1e10, g = 2.5, t = 'a''\\b\0\r\Z',
        l = 'ñ\r\n', m = null, x = x'0d', b = x'01020304', o = x'00', da = '1000-01-02',
        ti6 = '800:00:00.25', dt = '1000-01-01', ts = '1980-01-01', j = '{"b":1.5}', y = 1999,
        b1 = null, b9 = b'101010101', e = 'b', s = 'x' where v = 1;
      update spec_edge set t = 'other', d = null where v = 4;
      delete from spec_edge where v = 2;
      insert into spec_edge (id, i, t, j, v) values (77, 5, 'new\\ \0', 'null', 77)]],
  }

  for side, driver in pairs(DRIVERS) do
    it(("puts back rows of every type on the %s"):format(side), function()
      local model = open_types()
      clients.run(driver, DAMAGE[driver])
      local result = there_and_back(model, {
        strategy = side == "primary" and "secondary_wins" or "primary_wins", allow_delete = true,
      })
      assert.equal(4, result.applied)
      assert.is_nil(result.undo[side == "primary" and "secondary" or "primary"])
    end)
  end

  it("is there for each side when both are written", function()
    local model = open_types()
    clients.run("postgres", "update spec_edge set i = 1000, t = 'their', d = null where v = 1; "
      .. "update spec_edge set i = -5, m = 'm' where v = 4")
    local result = there_and_back(model, {
      strategy = dualdb.merge { i = "max", m = "secondary", t = function(a, b) return a .. b end },
    })
    assert.equal(2, result.applied)
    assert.is_string(result.undo.primary)
    assert.is_string(result.undo.secondary)
  end)

  it("puts back zero dates, partial ones, and the key 0", function()
    local model = edge.open {
      mysql = "id int not null auto_increment primary key, da date, dt datetime",
      postgres = "id int generated always as identity primary key, da date, dt timestamp",
      rows = {}, model = { policies = { zero_dates = "null" } },
    }
    clients.run("mysql", "set sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; insert into spec_edge values "
      .. "(0, '0000-00-00', '2020-00-15 10:00:00', 1), (5, '2020-01-01', '0000-00-00', 2)")
    assert.equal(2, model:sync().rows_written)
    clients.run("postgres", "update spec_edge set da = '2021-01-01', dt = '2021-01-01' "
      .. "where id = 0; delete from spec_edge where id = 5")
    there_and_back(model, { strategy = "secondary_wins", allow_delete = true })
  end)

  it("puts back columns that only the secondary has", function()
    local model = edge.open {
      mysql = "id int primary key, a int",
      postgres = [[id int primary key, a int, own text default 'd', "o?n ""x" timestamptz,
        sum int generated always as (a + 1) stored]],
      rows = { "1, 1", "2, 2" },
    }
    model:sync()
    clients.run("postgres", [[update spec_edge set own = 'what''s ? "it"\',
      "o?n ""x" = '2026-01-01 00:00Z' where id = 2]])
    clients.run("mysql", "delete from spec_edge where id = 2")
    there_and_back(model, { allow_delete = true })
  end)

  for side, driver in pairs(DRIVERS) do
    it(("puts back what a delete on the %s has taken along"):format(side), function()
      local model = edge.open {
        mysql = "id int primary key, up int, foreign key (up) references spec_edge (id) "
          .. "on delete cascade", rows = {},
        postgres = "id int primary key, up int references spec_edge (id) on delete cascade",
      }
      for _, name in ipairs { "spec_edge_child", "spec_edge_grand", "spec_edge_null" } do
        edge.drop_later(name)
      end
      clients.run(driver, driver == "mysql" and [[
        insert into spec_edge values (1, null, 1), (2, 1, 2), (3, null, 3);
        create table spec_edge_child (a int, b varchar(9), top int not null, f float, x blob,
          d datetime(3), n bit(9), primary key (a, b),
          foreign key (top) references spec_edge (id) on delete cascade);
        create table spec_edge_grand (id int primary key, a int, b varchar(9), j json,
          foreign key (a, b) references spec_edge_child (a, b) on delete cascade);
        create table spec_edge_null (id int primary key, top int, t text,
          foreign key (top) references spec_edge (id) on delete set null);
        insert into spec_edge_child values (1, 'it''s\\', 1, 0.1, x'00ff0d', '2026-01-01', 5),
          (1, '\r\n"', 2, null, null, null, null), (2, 'stays', 3, 1, '', null, null);
        insert into spec_edge_grand values (1, 1, 'it''s\\', '{"a":1}'), (2, 2, 'stays', null);
        insert into spec_edge_null values (1, 1, 'a'), (2, 3, 'b'), (3, null, 'c')]] or [[
        insert into spec_edge values (1, null, 1), (2, 1, 2), (3, null, 3);
        create table spec_edge_child (a int, b varchar(9), top int not null
            references spec_edge (id) on delete cascade, f real, x bytea, d timestamptz, n int[],
          twice int generated always as (a * 2) stored, primary key (a, b));
        create table spec_edge_grand (id int generated always as identity primary key, a int,
          b varchar(9), j jsonb,
          foreign key (a, b) references spec_edge_child (a, b) on delete cascade);
        create table spec_edge_null (id int primary key, top int references spec_edge (id)
          on delete set null, t text);
        insert into spec_edge_child values (1, E'it''s\\', 1, 0.1, '\x00ff0d', '2026-01-01',
          '{1,null}'), (1, E'\r\n"', 2, null, null, null, null),
          (2, 'stays', 3, null, null, null, null);
        insert into spec_edge_grand (a, b, j) values (1, E'it''s\\', '{"a":1}'), (2, 'stays', null);
        insert into spec_edge_null values (1, 1, 'a'), (2, 3, 'b'), (3, null, 'c');
        grant all on spec_edge_child, spec_edge_grand, spec_edge_null to public]])
      clients.run(driver == "mysql" and "postgres" or "mysql",
        "insert into spec_edge values (3, null, 3)")
      local function others()
        local texts = {}
        for i, name in ipairs { "child", "grand", "null" } do
          texts[i] = clients.run(driver, ("select * from spec_edge_%s order by 1, 2"):format(name))
        end
        return texts
      end
      local before, all = dump(), others()
      local result = model:repair {
        strategy = side == "primary" and "secondary_wins" or "primary_wins", allow_delete = true,
        undo = dir.path .. "/undo.sql",
      }
      assert.same({ 0, 2 }, { result.failed, result.applied + result.skipped })
      assert.not_same(all, others())
      edge.verify(model, "equal")
      for _ = 1, 2 do
        undo(result)
        assert.same(before, dump())
        assert.same(all, others())
      end
    end)
  end

  it("leaves alone what has changed since", function()
    local model = edge.open {
      mysql = "id int primary key, a varchar(20), b varchar(20)",
      rows = { "1, 'a', 'b'", "2, 'a', 'b'", "3, 'a', 'b'", "4, 'a', 'b'" },
    }
    model:sync()
    clients.run("postgres", "update spec_edge set a = 'other' where id <= 2; "
      .. "delete from spec_edge where id in (3, 4)")
    local result = model:repair { undo = dir.path .. "/undo.sql" }
    assert.equal(4, result.applied)
    clients.run("postgres", "update spec_edge set a = 'A' where id = 1; "
      .. "update spec_edge set b = 'B' where id = 2; update spec_edge set b = 'B' where id = 3")
    undo(result)
    assert.same({ { "1", "A", "b" }, { "2", "other", "B" }, { "3", "a", "B" } },
      clients.rows("postgres", "select id, a, b from spec_edge order by id"))
  end)

  it("has nothing of rows that were skipped or refused", function()
    local model = edge.open {
      mysql = "id int primary key, a varchar(20)", rows = { "1, 'a'", "2, 'b'", "3, 'c'" },
    }
    model:sync()
    clients.run("postgres", [[
      update spec_edge set a = 'other';
      alter table spec_edge add check (a <> 'b')]])
    local result = model:repair { undo = dir.path .. "/undo.sql", strategy = function(a)
      return a.id == 3 and "skip" or "primary"
    end }
    assert.same({ 1, 1, 1 }, { result.applied, result.skipped, result.failed })
    local text = dir:read "undo.secondary.sql"
    assert.equal(1, select(2, text:gsub("update ", "")))
    assert.same({ "undo.secondary.sql" }, dir:list())
    result = model:repair { undo = dir.path .. "/nothing.sql", strategy = function(a)
      return a.id == 3 and "skip" or "primary"
    end }
    assert.same({ 0, 1, 1 }, { result.applied, result.skipped, result.failed })
    assert.same({}, result.undo)
    assert.same({ "undo.secondary.sql" }, dir:list())
  end)

  it("is one file however much it has in it", function()
    local model = edge.open { mysql = "id int primary key, a mediumtext", rows = {} }
    clients.run("mysql", "insert into spec_edge select seq.d * 100 + t.d, "
      .. "repeat(char(97 + t.d % 26), 9000), seq.d * 100 + t.d from "
      .. "(select 0 as d union all select 1 union all select 2 union all select 3) seq, "
      .. "(select a.d * 10 + b.d as d from (select 0 as d union all select 1 union all select 2 "
      .. "union all select 3 union all select 4 union all select 5 union all select 6 union all "
      .. "select 7 union all select 8 union all select 9) a, (select 0 as d union all select 1 "
      .. "union all select 2 union all select 3 union all select 4 union all select 5 union all "
      .. "select 6 union all select 7 union all select 8 union all select 9) b) t")
    model:sync()
    clients.run("postgres", "update spec_edge set a = repeat('ü', 9000)")
    local result = there_and_back(model, {})
    assert.equal(400, result.applied)
    assert.same({ "undo.secondary.sql" }, dir:list())
    assert.equal("600", (io.popen(("stat -c %%a %s"):format(result.undo.secondary)):read "l"))
  end)

  it("is not written over another one, and without it nothing is repaired", function()
    local model = edge.open { mysql = "id int primary key, a int", rows = { "1, 1" } }
    model:sync()
    clients.run("postgres", "update spec_edge set a = 2")
    dir:write("undo.secondary.sql", "of an earlier run")
    local _, err = dualdb.try(model.repair, model, { undo = dir.path .. "/undo.sql" })
    assert.equal("usage", err.class)
    assert.matches("undo.secondary.sql is there already", err.message, 1, true)
    assert.equal("of an earlier run", dir:read "undo.secondary.sql")
    _, err = dualdb.try(model.repair, model, { undo = "/proc/none/undo.sql" })
    assert.equal("config", err.class)
    assert.same({ { "2" } }, clients.rows("postgres", "select a from spec_edge"))
  end)
end)
