-- Several tables at a time, on several lanes: foreign keys among them, large tables that are split
-- among the lanes, and the error of one that is none of the others'.

local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local servers = require "spec.support.servers"
local sync = require "dualdb.sync"

local NAMES = { "spec_t_item", "spec_t_part", "spec_t_shop", "spec_t_note", "spec_t_boss" }

describe("tables that are synced at a time", function()
  before_each(edge.before_each)
  after_each(function()
    clients.run("mysql", "set foreign_key_checks = 0; drop table if exists "
      .. table.concat(NAMES, ", "))
    edge.after_each()
  end)

  local function both(sql)
    clients.run("mysql", sql)
    clients.run("postgres", sql)
  end

  --- Shops have items, which have parts; notes are of all three; a shop has a boss, who is of a
  --- shop; an item may be part of another one.
  local function open()
    clients.run("mysql", "set foreign_key_checks = 0; drop table if exists "
      .. table.concat(NAMES, ", "))
    for i = #NAMES, 1, -1 do edge.drop_later(NAMES[i]) end
    both [[
      create table spec_t_shop (id int primary key, boss int);
      create table spec_t_boss (id int primary key, shop int not null,
        foreign key (shop) references spec_t_shop (id));
      create table spec_t_item (id int primary key, shop int not null, part_of int,
        foreign key (shop) references spec_t_shop (id),
        foreign key (part_of) references spec_t_item (id));
      create table spec_t_part (item int, number int, primary key (item, number),
        foreign key (item) references spec_t_item (id));
      create table spec_t_note (id int primary key, item int, number int,
        foreign key (item, number) references spec_t_part (item, number))]]
    local rows = servers.million("mysql", 1)
    clients.run("mysql", ([[
      insert into spec_t_shop select n, null from (%s) q where n < 20;
      insert into spec_t_boss select n, n %% 20 from (%s) q where n < 20;
      update spec_t_shop set boss = id;
      insert into spec_t_item select n, n %% 20, null from (%s) q where n < 500;
      update spec_t_item set part_of = 499 - id where id %% 3 = 0;
      insert into spec_t_part select id, n from spec_t_item, (%s) q where n < 3;
      insert into spec_t_note select item * 10 + number, item, number from spec_t_part]]):gsub(
      "%%s", rows):gsub("%%%%", "%%"))
    -- A circle needs keys that are checked at the transaction's end, as `schema apply` makes them.
    clients.run("mysql", "alter table spec_t_shop add foreign key (boss) "
      .. "references spec_t_boss (id)")
    clients.run("postgres", "alter table spec_t_shop add foreign key (boss) "
      .. "references spec_t_boss (id) deferrable; "
      .. "alter table spec_t_boss alter constraint spec_t_boss_shop_fkey deferrable")
    for _, name in ipairs(NAMES) do
      clients.run("postgres", ("alter table %s owner to dualdb"):format(name))
    end
    local models = {}
    for _, name in ipairs(NAMES) do models[name] = { table = name } end
    return edge.pair(models)
  end

  local KEYS = { spec_t_part = "item, number" }

  local function agree()
    for _, name in ipairs(NAMES) do
      local sql = ("select * from %s order by %s"):format(name, KEYS[name] or "id")
      assert.same(clients.rows("mysql", sql), clients.rows("postgres", sql))
    end
  end

  local function run(db, options)
    local results = sync.all(db, NAMES, options)
    for i, result in ipairs(results) do
      assert.equal(NAMES[i], result.model)
      if result.error then error(result.error, 0) end
    end
    return results
  end

  for _, chunk_rows in ipairs { 7, 100000 } do
    it(("come with their parents, themselves and their circles, in chunks of %d"):format(
      chunk_rows), function()
      local db = open()
      for _, result in ipairs(run(db, { jobs = 3, chunk_rows = chunk_rows })) do
        assert.same({ result.rows_read, 0 }, { result.rows_written, result.quarantined })
      end
      agree()
      -- Rows that are wrong, rows that are gone with those that refer to them, and new ones.
      clients.run("postgres", "update spec_t_shop set boss = 3 where id > 10; "
        .. "delete from spec_t_note where id % 7 = 0; update spec_t_item set part_of = null")
      clients.run("mysql", "delete from spec_t_note where item > 450; "
        .. "delete from spec_t_part where item > 450; update spec_t_item set part_of = null; "
        .. "delete from spec_t_item where id > 450; "
        .. "insert into spec_t_shop values (90, null); insert into spec_t_boss values (90, 90); "
        .. "update spec_t_shop set boss = 90 where id in (0, 90); "
        .. "insert into spec_t_item values (900, 90, 1); insert into spec_t_part values (900, 1); "
        .. "insert into spec_t_note values (9001, 900, 1)")
      for _, result in ipairs(run(db, { jobs = 3, chunk_rows = chunk_rows })) do
        assert.equal(0, result.quarantined)
      end
      agree()
    end)
  end

  it("do not fail for one that does, in the order in which they were named", function()
    local db = open()
    clients.run("postgres", "drop table spec_t_note")
    for _ = 1, 2 do
      local results = sync.all(db, { "spec_t_shop", "spec_t_note", "spec_t_boss" }, { jobs = 3 })
      assert.same({ "spec_t_shop", "spec_t_note", "spec_t_boss" },
        { results[1].model, results[2].model, results[3].model })
      assert.equal("schema", results[2].error.class)
      assert.is_nil(results[1].error or results[3].error)
      assert.same({ { "20", "20" } }, clients.rows("postgres", "select (select count(*) from "
        .. "spec_t_shop where boss is not null), (select count(*) from spec_t_boss)"))
    end
  end)

  it("leave a row whose parent is nowhere in quarantine, with the rows that refer to it", function()
    local db = open()
    clients.run("mysql", "set foreign_key_checks = 0; "
      .. "update spec_t_item set shop = 77 where id = 7")
    local results = sync.all(db, NAMES, { jobs = 3, chunk_rows = 50 })
    local refused = {}
    for i, result in ipairs(results) do
      assert.is_nil(result.error)
      refused[i] = result.quarantined
    end
    assert.equal(results[1].rows_read, results[1].rows_written + refused[1])
    assert.equal(results[2].rows_read, results[2].rows_written + refused[2])
    for _, model in ipairs { "spec_t_item", "spec_t_part", "spec_t_note" } do
      local there = tonumber(clients.rows("postgres", "select count(*) from " .. model)[1][1])
      local all = tonumber(clients.rows("mysql", "select count(*) from " .. model)[1][1])
      local aside = tonumber(clients.rows("postgres", ("select count(*) from dualdb_quarantine "
        .. "where model = '%s'"):format(model))[1][1])
      assert.equal(all, there + aside)
      assert.is_true(aside > 0 and aside < 10, aside)
    end
    clients.run("mysql", "update spec_t_item set shop = 7 where id = 7")
    run(db, { jobs = 3, chunk_rows = 50 })
    agree()
    assert.same({}, db:quarantine():list())
  end)
end)

describe("a large table", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  --- Rows of which nearly all are in a hundredth of the keys' range; and the most ranges that there
  --- were at a time.
  local function open(key, mysql_key)
    edge.drop_later(edge.NAME)
    clients.run("mysql", ("create table %s (id %s, sub int, v int, primary key (id, sub)); "
      .. "insert into %s select %s, n %% 3, n from (%s) q where n < 120000; analyze table %s")
      :format(edge.NAME, mysql_key, edge.NAME, key, servers.million("mysql", 1), edge.NAME))
    return edge.pair { T = { table = edge.NAME } }
  end

  local function agree()
    local sums = {}
    for i, driver in ipairs { "mysql", "postgres" } do
      sums[i] = clients.rows(driver, "select count(*), sum(v), count(distinct v), sum(sub), "
        .. "count(distinct id) from spec_edge")
    end
    assert.same(sums[1], sums[2])
    assert.equal("120000", sums[1][1][1])
  end

  for _, case in ipairs {
    { "bigint", "if(n >= 118800, 1000000000000000 * (n - 118000), n div 3)", "bigint" },
    { "bigint unsigned", "18446744073709551615 - (n div 3)", "numeric(20)" },
    { "datetime(6)", "timestampadd(microsecond, if(n < 1000, n * 1000000, n div 3), "
      .. "'2001-01-01')", "timestamp(6)" },
  } do
    it(("whose key of %s is spread unevenly is split among the lanes"):format(case[1]), function()
      local db = open(case[2], case[1])
      clients.run("postgres", ("create table spec_edge (id %s, sub int, v int, "
        .. "primary key (id, sub)); alter table spec_edge owner to dualdb"):format(case[3]))
      local ranges, lanes = 0, {}
      local function look()
        local found = servers.look("postgres", "select count(*) as n, "
          .. "count(*) filter (where rows_read > 0) as used from dualdb_sync_range")[1]
        ranges = math.max(ranges, found.used)
        lanes[#lanes + 1] = found.n
      end
      for _ = 1, 2 do
        local result = sync.run(db, "T", { jobs = 3, chunk_rows = 2000, progress = look })
        assert.same({ 120000, 120000 }, { result.rows_read, result.rows_written })
        assert.is_true(result.chunks >= 60, result.chunks)
        assert.is_true(ranges >= 3, ranges)
        agree()
        assert.same({ { "0" } }, clients.rows("postgres", "select count(*) from dualdb_sync_range"))
        ranges = 0
        clients.run("postgres", "update spec_edge set v = v + 1")
        db:refresh()
      end
    end)
  end

  it("with rows of 16 MiB is copied and compared", function()
    local _, db = edge.open { mysql = "id int primary key, b longblob",
      postgres = "id int primary key, b bytea", rows = {} }
    local most = servers.look("mysql", "select @@max_allowed_packet as n")[1].n
    if most < 17 * 1024 * 1024 then
      servers.command("mysql", "set global max_allowed_packet = 67108864")
      servers.finally(function()
        servers.command("mysql", ("set global max_allowed_packet = %d"):format(most))
      end)
    end
    for id = 1, 4 do
      clients.run("mysql", ("insert into spec_edge values (%d, repeat('%d', 16777216), %d)"):format(
        id, id, id))
    end
    local result = sync.run(db, "T", { jobs = 2 })
    assert.same({ 4, 4, 0 }, { result.rows_read, result.rows_written, result.quarantined })
    clients.run("postgres", "update spec_edge set b = '\\x00' where id = 2; "
      .. "delete from spec_edge where id = 4")
    assert.equal(2, sync.run(db, "T", { jobs = 2 }).rows_written)
    local sha = "select id, %s from spec_edge order by id"
    assert.same(clients.rows("mysql", sha:format "sha2(b, 256)"),
      clients.rows("postgres", sha:format "encode(sha256(b), 'hex')"))
  end)
end)
