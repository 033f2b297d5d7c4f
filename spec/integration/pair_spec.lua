local core = require "dualdb.core"
local dualdb = require "dualdb"
local pair = require "spec.support.pair"

local NAME = "spec_pair_item"

local COLUMNS = {
  mysql = [[id bigint not null primary key, name varchar(100) null, amount decimal(14,4) null,
    flag tinyint(1) null, ratio double null, raw varbinary(100) null, doc json null,
    at datetime(6) null]],
  postgres = [[id bigint primary key, name varchar(100), amount numeric(14,4), flag boolean,
    ratio double precision, raw bytea, doc jsonb, at timestamp(6)]],
}

--- Rows 1 to `count` on the primary.
local function fill(db, count)
  db.primary:transaction(function(conn)
    for id = 1, count do
      conn:execute(("insert into %s values (?, ?, ?, ?, ?, ?, ?, ?)"):format(NAME), id,
        id % 7 == 0 and dualdb.NULL or ("näme %d 🎈"):format(id), ("%d.%04d"):format(id, id % 1000),
        id % 3 == 0, id / 7, core.bytes(("\0\255%d"):format(id)),
        ('{"n": %d.0, "t": [1, "é"]}'):format(id), "2026-01-01 00:00:00.000001")
    end
  end)
end

local function collect(report)
  local found = {}
  for d in report:differences() do found[#found + 1] = d end
  table.sort(found, function(a, b) return a.key.id < b.key.id end)
  return found
end

describe("sync, verify and repair", function()
  local db

  before_each(function()
    db = pair.open { Item = { table = NAME } }
    pair.make(db, NAME, COLUMNS)
    fill(db, 500)
  end)

  after_each(function()
    pair.drop_all(db)
    db:close()
  end)

  local function on_secondary(sql, ...)
    return db.secondary:execute(sql:format(NAME), ...)
  end

  local function plant()
    on_secondary("update %s set name = 'other', amount = amount + 1 where id = 10")
    on_secondary("update %s set name = null where id = 11")
    on_secondary("delete from %s where id in (1, 500)")
    on_secondary("insert into %s (id, name) values (0, 'new'), (501, 'newer')")
  end

  it("copies every row into an empty table, after which both are equal", function()
    local result = db.Item:sync()
    assert.equal(500, result.rows_read)
    assert.equal(500, result.rows_written)
    local report = db.Item:verify()
    assert.equal("equal", report.verdict)
    assert.equal(500, report.rows_primary)
    assert.equal(500, report.rows_secondary)
  end)

  it("names exactly the rows and columns that differ, with both values", function()
    db.Item:sync()
    plant()
    local report = db.Item:verify()
    assert.equal("different", report.verdict)
    assert.same({ 2, 2, 2 }, { report.missing, report.extra, report.changed })
    local found = collect(report)
    assert.equal(6, #found)
    assert.equal("extra", found[1].kind)
    assert.is_nil(found[1].primary)
    assert.equal("missing", found[2].kind)
    assert.equal("näme 1 🎈", found[2].primary.name)
    assert.equal("changed", found[3].kind)
    assert.same({ "name", "amount" }, found[3].columns)
    assert.equal("10.001", found[3].primary.amount)
    assert.equal("11.001", found[3].secondary.amount)
    assert.same({ "name" }, found[4].columns)
    assert.equal(dualdb.NULL, found[4].secondary.name)
  end)

  it("writes only what differs when the table has rows already", function()
    db.Item:sync()
    local function versions()
      local by_id = {}
      for _, row in ipairs(db.secondary:query(
        ("select id, xmin::text as version from %s"):format(NAME))) do
        by_id[row.id] = row.version
      end
      return by_id
    end
    local before = versions()
    plant()
    local result = db.Item:sync()
    assert.equal(4, result.rows_written)
    assert.equal(2, result.rows_deleted)
    assert.equal("equal", db.Item:verify().verdict)
    local rewritten = 0
    for id, version in pairs(versions()) do
      if before[id] ~= version then rewritten = rewritten + 1 end
    end
    assert.equal(4, rewritten)
    result = db.Item:sync()
    assert.equal(0, result.rows_written)
    assert.equal(0, result.rows_deleted)
  end)

  it("leaves rows that only the secondary has when the model says so", function()
    db.Item:sync()
    on_secondary("insert into %s (id) values (501)")
    local keeping <close> = pair.open { Item = { table = NAME, sync = { deletes = false } } }
    assert.equal(0, keeping.Item:sync().rows_deleted)
    assert.equal(1, keeping.Item:verify().extra)
  end)

  it("filters and transforms by the model's policy, in sync and in verify alike", function()
    local partial <close> = pair.open { Item = { table = NAME, sync = {
      filter = "id <= 100",
      transform = function(row)
        if row.id == 50 then return nil end
        row.name = "masked"
        return row
      end,
    } } }
    partial.Item:sync()
    assert.equal(99, pair.value(db.secondary, "select count(*) as v from " .. NAME))
    assert.equal(99, pair.value(db.secondary,
      ("select count(*) as v from %s where name = 'masked'"):format(NAME)))
    assert.equal("equal", partial.Item:verify().verdict)
    on_secondary("update %s set name = 'x' where id = 7")
    assert.equal(1, partial.Item:verify().changed)
    assert.equal(1, partial.Item:sync().rows_written)
    assert.equal("equal", partial.Item:verify().verdict)
  end)

  it("loads nothing at all when the copy fails in the middle", function()
    db.secondary:execute([[create or replace function spec_full() returns trigger
      language plpgsql as $$ begin
        if new.id = 400 then raise 'full' using errcode = 'disk_full'; end if;
        return new;
      end $$]])
    db.secondary:execute(("create trigger spec_full before insert on %s for each row "
      .. "execute function spec_full()"):format(NAME))
    local err = pair.failure(db.Item.sync, db.Item)
    db.secondary:execute("drop function spec_full cascade")
    assert.equal("capacity", err.class)
    assert.equal("secondary", err.side)
    assert.equal(0, pair.value(db.secondary, "select count(*) as v from " .. NAME))
  end)

  it("repairs towards the primary, deletes only when allowed, and proves it", function()
    db.Item:sync()
    plant()
    local result = db.Item:repair {}
    assert.equal(4, result.applied)
    assert.equal(2, result.skipped)
    assert.equal(2, result.skips["deletes are not allowed"])
    assert.same({ 0, 2, 0 }, (function()
      local r = db.Item:verify()
      return { r.missing, r.extra, r.changed }
    end)())
    result = db.Item:repair { allow_delete = true }
    assert.equal(2, result.applied)
    assert.equal("equal", db.Item:verify().verdict)
    assert.equal("näme 10 🎈", db.Item:get_from(db.secondary, 10).name)
  end)

  it("repairs towards the secondary", function()
    db.Item:sync()
    plant()
    local result = db.Item:repair { strategy = "secondary_wins", allow_delete = true }
    assert.equal(6, result.applied)
    assert.equal("equal", db.Item:verify().verdict)
    assert.equal("other", db.Item:get_from(db.primary, 10).name)
    assert.is_nil(db.Item:get_from(db.primary, 1))
    assert.equal("newer", db.Item:get_from(db.primary, 501).name)
  end)

  it("asks a strategy in Lua for each row, and takes a side, its own row, or nothing", function()
    db.Item:sync()
    plant()
    local asked = {}
    local result = db.Item:repair { allow_delete = true, strategy = function(a, b, difference)
      asked[#asked + 1] = difference.kind
      if difference.key.id == 10 then
        b.name = a.name .. "+" .. b.name
        return b
      elseif difference.key.id == 11 then
        error("no idea")
      elseif difference.kind == "missing" then
        return "primary"
      end
      return "skip"
    end }
    assert.equal(3, result.applied)
    assert.equal(3, result.skipped)
    assert.equal("näme 10 🎈+other", db.Item:get_from(db.primary, 10).name)
    assert.equal("näme 10 🎈+other", db.Item:get_from(db.secondary, 10).name)
    assert.equal(2, db.Item:verify().extra)
  end)

  it("changes nothing in a dry run, and shows the statements", function()
    db.Item:sync()
    plant()
    local shown = {}
    local result = db.Item:repair { dry_run = true, allow_delete = true,
      show = function(text) shown[#shown + 1] = text end }
    assert.equal(6, result.planned)
    assert.equal(0, result.applied)
    assert.equal(6, #shown)
    assert.equal(6, (function()
      local r = db.Item:verify()
      return r.missing + r.extra + r.changed
    end)())
    -- What is shown is what mends it: run through the server's own parser.
    for _, text in ipairs(shown) do db.secondary:execute(text) end
    assert.equal("equal", db.Item:verify().verdict)
  end)

  it("refuses to touch more rows than it may", function()
    db.Item:sync()
    plant()
    local err = pair.failure(db.Item.repair, db.Item, { max_rows = 5 })
    assert.equal("refused", err.class)
    assert.equal(2, db.Item:verify().missing)
  end)

  it("counts a row as failed when the target does not keep what was written", function()
    db.Item:sync()
    db.secondary:execute(([[create or replace function spec_meddle() returns trigger
      language plpgsql as 'begin new.name := ''meddled''; return new; end']]))
    db.secondary:execute(([[create trigger spec_meddle before insert or update on %s
      for each row execute function spec_meddle()]]):format(NAME))
    db.primary:execute(("update %s set name = 'a' where id = 1"):format(NAME))
    db.primary:execute(("update %s set amount = 9 where id = 2"):format(NAME))
    local result = db.Item:repair {}
    db.secondary:execute("drop function spec_meddle cascade")
    assert.equal(2, result.failed)
    assert.equal(0, result.applied)
    assert.equal("näme 1 🎈", db.Item:get_from(db.secondary, 1).name)
  end)

  it("refuses unknown options and strategies as usage errors", function()
    assert.equal("usage", pair.failure(db.Item.verify, db.Item, { nope = 1 }).class)
    assert.equal("usage", pair.failure(db.Item.sync, db.Item, { mode = "sideways" }).class)
    assert.equal("usage", pair.failure(db.Item.repair, db.Item, { strategy = "nobody" }).class)
  end)

  it("says not_verified, with the reason, when a side cannot be read", function()
    db.Item:sync()
    local alone <close> = pair.open({ Item = { table = NAME } },
      { secondary = pair.with_port(os.getenv "DUALDB_SECONDARY_URL", 1) })
    local report = alone.Item:verify()
    assert.equal("not_verified", report.verdict)
    assert.equal("unavailable", report.error.class)
    assert.equal("secondary", report.error.side)
  end)

  it("says never equal when a connection is killed in the middle: it goes on, or has not verified",
  function()
    db.Item:sync()
    local killer = db.secondary:acquire()
    local killed = false
    local report = db.Item:verify()
    assert.equal("equal", report.verdict)
    local slow <close> = pair.open { Item = { table = NAME, sync = {
      transform = function(row)
        if not killed then
          killed = true
          killer:query("select pg_terminate_backend(pid) from pg_stat_activity where query like "
            .. "'COPY (select%' and pid <> pg_backend_pid()")
          for _, process in ipairs(db.primary:query("select id as id from "
            .. "information_schema.processlist where info like 'select `id`%'")) do
            db.primary:execute(("kill %d"):format(process.id))
          end
        end
        return row
      end,
    } } }
    -- Enough rows that the streams cannot have been read to their ends already.
    db.primary:execute(([[insert into %s (id, name) select a.id * 1000 + b.id + 100000,
      repeat('x', 90) from %s a, %s b]]):format(NAME, NAME, NAME))
    report = slow.Item:verify()
    db.secondary:release(killer)
    assert.is_true(killed)
    local missing = db.primary:query("select count(*) as n from " .. NAME)[1].n
      - db.secondary:query("select count(*) as n from " .. NAME)[1].n
    if report.error then assert.equal("not_verified", report.verdict)
    else assert.same({ "different", missing }, { report.verdict, report.missing }) end
  end)
end)

describe("a model", function()
  local db

  after_each(function()
    if db then
      pair.drop_all(db)
      db:close()
      db = nil
    end
  end)

  local KEYS = {
    ["of text"] = { "k varchar(40) collate utf8mb4_bin not null primary key, v int",
      "k varchar(40) primary key, v int",
      { "'a'", "'A'", "'ä'", "'a b'", "'a\t'", "''", "'ß'", "'日本'", "'🎈'", "'z-1'", "'Z_1'" } },
    ["of two columns, in another order than the table's"] = {
      "v int, b int not null, a varchar(10) not null, primary key (a, b)",
      "v int, b int not null, a varchar(10) not null, primary key (a, b)", nil },
    ["beyond 2^63"] = { "k bigint unsigned not null primary key, v int",
      "k numeric(20,0) primary key, v int",
      { "0", "1", "9223372036854775807", "9223372036854775808", "18446744073709551615" } },
    ["of bytes"] = { "k varbinary(8) not null primary key, v int", "k bytea primary key, v int",
      { "x''", "x'00'", "x'0000'", "x'ff'", "x'ff00'", "x'7f'" } },
    ["of decimals"] = { "k decimal(10,3) not null primary key, v int",
      "k numeric(10,3) primary key, v int", { "-1.5", "0", "0.001", "10", "9.999", "-10.25" } },
    ["of days"] = { "k date not null primary key, v int", "k date primary key, v int",
      { "'1000-01-01'", "'1969-12-31'", "'1970-01-01'", "'2026-11-22'", "'9999-12-31'" } },
    ["of an enum"] = { "k enum('z','a','m') not null primary key, v int",
      "k text primary key, v int", { "'z'", "'a'", "'m'" } },
  }

  for what, case in pairs(KEYS) do
    it(("with a key %s is copied, compared and repaired"):format(what), function()
      local name = "spec_pair_key"
      db = pair.open { K = { table = name } }
      pair.make(db, name, { mysql = case[1], postgres = case[2] })
      local keys = case[3]
      if keys then
        for i, key in ipairs(keys) do
          db.primary:execute(("insert into %s (k, v) values (%s, %d)"):format(name, key, i))
        end
      else
        for i = 1, 20 do
          db.primary:execute(("insert into %s (a, b, v) values (?, ?, ?)"):format(name),
            string.char(96 + i % 5), i, i)
        end
      end
      local count = pair.value(db.primary, "select count(*) as v from " .. name)
      assert.equal(count, db.K:sync().rows_written)
      assert.equal("equal", db.K:verify().verdict)
      db.secondary:execute(("update %s set v = -v"):format(name))
      local report = db.K:verify()
      assert.equal(count, report.changed)
      assert.equal(0, report.missing + report.extra)
      assert.equal(count, db.K:repair({}).applied)
      db.secondary:execute(("delete from %s"):format(name))
      assert.equal(count, db.K:verify().missing)
      db.K:sync()
      assert.equal("equal", db.K:verify().verdict)
    end)
  end

  it("whose key differs only in case on the two sides is missing here and extra there", function()
    local name = "spec_pair_case"
    db = pair.open { K = { table = name } }
    pair.make(db, name, { mysql = "k varchar(20) primary key, v int",
                          postgres = "k varchar(20) primary key, v int" })
    db.primary:execute(("insert into %s values ('Google', 1)"):format(name))
    db.secondary:execute(("insert into %s values ('google', 1)"):format(name))
    local report = db.K:verify()
    assert.same({ 1, 1, 0 }, { report.missing, report.extra, report.changed })
  end)

  it("whose tables or columns do not fit is refused by name before any row moves", function()
    local name = "spec_pair_misfit"
    db = pair.open { K = { table = name } }
    local cases = {
      { "id int primary key, y point", "id int primary key, y text", "schema", "y" },
      { "id int primary key, n int", "id int primary key", "schema", "n" },
      { "id int primary key, n int", "id int primary key, n date", "schema", "n" },
      { "id int primary key, n int", "id int primary key, n int[]", "schema", "n" },
      { "n int", "n int", "config", "primary key" },
    }
    for _, case in ipairs(cases) do
      pair.make(db, name, { mysql = case[1], postgres = case[2] })
      local err = pair.failure(db.K.sync, db.K)
      assert.equal(case[3], err.class)
      assert.is_truthy(err.message:find(case[4], 1, true), err.message)
    end
  end)

  it("whose table or key does not exist is a config error", function()
    db = pair.open { A = { table = "spec_no_such_table" } }
    assert.equal("config", pair.failure(db.A.sync, db.A).class)
    local name = "spec_pair_nokey"
    pair.make(db, name, { mysql = "id int primary key, v int",
                          postgres = "id int primary key, v int" })
    db:model("B", { table = name, key = "nope" })
    assert.equal("config", pair.failure(db.B.sync, db.B).class)
    db:model("C", { table = name, key = "v" })
    local err = pair.failure(db.C.sync, db.C)
    assert.equal("config", err.class)
    assert.is_truthy(err.message:find("unique", 1, true))
  end)

  it("keeps tinyint(1) as integers when it says so, and else refuses 2 as a boolean", function()
    local name = "spec_pair_tiny"
    db = pair.open { T = { table = name, integers = { "n" } }, U = { table = name } }
    pair.make(db, name, { mysql = "id int primary key, n tinyint(1)",
                          postgres = "id int primary key, n smallint" })
    db.primary:execute(("insert into %s values (1, 2), (2, -1)"):format(name))
    db.T:sync()
    assert.equal("equal", db.T:verify().verdict)
    db.secondary:execute(("alter table %s alter n type boolean using false"):format(name))
    db:refresh()
    local report = db.U:verify()
    assert.same({ "different", 2 }, { report.verdict, report.quarantined })
  end)
end)
