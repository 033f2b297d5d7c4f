-- Indexes that are dropped for a load and made again afterwards, whatever happens in between.

local aside = require "spec.support.aside"
local child = require "spec.support.child"
local clients = require "spec.support.clients"
local pair = require "spec.support.pair"
local set_aside = require "dualdb.sync.set_aside"
local setup = require "dualdb.setup"
local wait = require "spec.support.wait"

local NAME = "spec_aside"
local close, names_of, open = aside.close, aside.names_of, aside.open
local restore_all, state = aside.restore_all, aside.state

local COLUMNS = {
  mysql = [[id bigint not null primary key, a int null, b varchar(20) character set utf8mb4 null,
    c json null, unique key a_b (a, b), unique key b (b)]],
  postgres = "id bigint primary key, a int, b varchar(20), c jsonb",
}

describe("what is set aside", function()
  local db

  before_each(function()
    db = open()
    pair.make(db, NAME, COLUMNS)
  end)

  after_each(function() close(db) end)

  --- Runs `statements`, takes what can be taken, which has to be `names`, and makes it again.
  local function check(names, ...)
    for _, statement in ipairs { ... } do db.secondary:execute(statement) end
    local before = state(db)
    local taken = set_aside.take(db, db:spec "Item")
    assert.same(names, names_of(taken))
    if #names > 0 then assert.is_true(#state(db) < #before) end
    assert.same(names, names_of(set_aside.pending(db, { "Item" })))
    assert.same({}, set_aside.pending(db, { "Parent" }))
    restore_all(db)
    assert.same(before, state(db))
  end

  --- Each kind of index, and the statements that make one named x.
  local MOVED = {
    { "a plain index", "create index x on spec_aside (a)" },
    { "an index of several columns", "create index x on spec_aside (a, b)" },
    { "a descending index", "create index x on spec_aside (a desc nulls last, b)" },
    { "an index on an expression", "create index x on spec_aside (lower(b), (a + 1))" },
    { "a partial index", "create index x on spec_aside (a) where b like 'x%'" },
    { "a GIN index", "create index x on spec_aside using gin (c jsonb_path_ops) "
      .. "with (fastupdate = off)" },
    { "a hash index", "create index x on spec_aside using hash (b)" },
    { "a BRIN index", "create index x on spec_aside using brin (a) with (pages_per_range = 16)" },
    { "an index that includes columns", "create index x on spec_aside (a) include (b)" },
    { "an index with a fill factor", "create index x on spec_aside (a) with (fillfactor = 70)" },
    { "an index with another collation", "create index x on spec_aside (b collate \"C\")" },
    { "an index with a comment", "create index x on spec_aside (a)",
      [[comment on index x is E'it''s \\ what? "this"']] },
    { "a unique index", "create unique index x on spec_aside (b, a)" },
    { "a unique constraint", "alter table spec_aside add constraint x unique (b)",
      "comment on constraint x on spec_aside is 'only once'" },
    { "a deferrable unique constraint", "alter table spec_aside add constraint x unique (a, b) "
      .. "include (id) with (fillfactor = 60) deferrable initially deferred" },
  }

  for _, case in ipairs(MOVED) do
    it("comes back as it was: " .. case[1], function() check({ "x" }, table.unpack(case, 2)) end)
  end

  --- Each index that has to stay.
  local STAYING = {
    { "a unique index of which the primary knows nothing",
      "create unique index x on spec_aside (a)" },
    { "a unique index on an expression", "create unique index x on spec_aside (lower(b))" },
    { "a partial unique index", "create unique index x on spec_aside (b) where a > 0" },
    { "an exclusion", "alter table spec_aside add constraint x exclude using btree (a with =)" },
    { "the replica identity", "alter table spec_aside alter b set not null",
      "create unique index x on spec_aside (b)",
      "alter table spec_aside replica identity using index x" },
    { "the index that the table is clustered on", "create index x on spec_aside (a)",
      "alter table spec_aside cluster on x" },
    { "an index with a target of statistics", "create index x on spec_aside ((a + 1))",
      "alter index x alter column 1 set statistics 500" },
    { "an index with a question mark among its operators",
      "create index x on spec_aside ((c ?? 'k'))" },
    { "a unique constraint with a second comment",
      "alter table spec_aside add constraint x unique (b)", "comment on index x is 'own'" },
    { "a unique key that a table of others refers to",
      "alter table spec_aside add constraint x unique (b)",
      "create table spec_aside_parent (b varchar(20) references spec_aside (b))" },
  }

  for _, case in ipairs(STAYING) do
    it("is not " .. case[1], function()
      check({}, table.unpack(case, 2))
    end)
  end

  it("leaves the index alone that an unfinished CREATE INDEX CONCURRENTLY left behind", function()
    db.secondary:execute("insert into spec_aside (id, b) values (1, 'same'), (2, 'same')")
    local err = pair.failure(db.secondary.execute, db.secondary,
      "create unique index concurrently x on spec_aside (b)")
    assert.equal("integrity", err.class)
    db.secondary:execute("delete from spec_aside")
    check({})
  end)

  it("is nothing of a table with rows", function()
    db.secondary:execute("create index x on spec_aside (a)")
    db.secondary:execute("insert into spec_aside (id) values (1)")
    local before = state(db)
    assert.same({}, set_aside.take(db, db:spec "Item"))
    assert.same(before, state(db))
    assert.same({}, set_aside.pending(db))
  end)

  it("is nothing of a partitioned table", function()
    db.secondary:execute("drop table spec_aside")
    db.secondary:execute("create table spec_aside (id bigint primary key, a int, b varchar(20), "
      .. "c jsonb) partition by range (id)")
    db.secondary:execute("create table spec_aside_parent partition of spec_aside default")
    db:refresh()
    check({}, "create index x on spec_aside (a)")
  end)

  it("is none of the indexes by which rows are found", function()
    pair.make(db, NAME, {
      mysql = "id bigint not null, a int not null, b varchar(20), c json, unique key a (a)",
      postgres = "id bigint, a int not null, b varchar(20), c jsonb",
    })
    db:close()
    db = pair.open { Item = { table = NAME, key = "a" } }
    check({}, "create unique index x on spec_aside (a)")
  end)

  it("does not depend on the search path of the session that makes it again", function()
    db.secondary:execute "create schema if not exists spec_aside_elsewhere"
    db.secondary:execute("create function spec_aside_elsewhere.twice(int) returns int "
      .. "language sql immutable as 'select 2 * $1'")
    db.secondary:execute("create index x on spec_aside (spec_aside_elsewhere.twice(a))")
    local before = state(db)
    -- The connection that is given back is the next one that is taken.
    db.secondary:execute("set search_path = public, spec_aside_elsewhere")
    assert.matches("(twice(a))", table.concat(state(db)), 1, true)
    local taken = set_aside.take(db, db:spec "Item")
    db.secondary:execute("reset search_path")
    assert.matches("(spec_aside_elsewhere.twice(a))", taken[1].definition, 1, true)
    restore_all(db)
    assert.same(before, state(db))
    db.secondary:execute "drop schema spec_aside_elsewhere cascade"
  end)

  it("is listed as nothing where dualdb has no tables yet, and listing makes none", function()
    db.secondary:execute("drop table dualdb_set_aside")
    assert.same({}, set_aside.pending(db))
    assert.is_false(pair.value(db.secondary,
      "select to_regclass('dualdb_set_aside') is not null as v"))
    setup.run(db)
  end)
end)

describe("a unique index", function()
  local db

  before_each(function() db = open() end)
  after_each(function() close(db) end)

  local TEXT = "varchar(20) character set utf8mb4 collate "

  --- Columns of both sides, what else the model says, and the secondary's index on v.
  local function taken(mysql, postgres, model, index)
    pair.make(db, NAME, {
      mysql = ("id bigint not null primary key, v %s null, unique key v (v)"):format(mysql),
      postgres = ("id bigint primary key, v %s"):format(postgres),
    })
    db.secondary:execute(index or "create unique index x on spec_aside (v)")
    model = model or {}
    model.table = NAME
    db:close()
    db = pair.open { Item = model }
    return #set_aside.take(db, db:spec "Item") == 1
  end

  --- Cases in which what is unique on the primary is unique on the secondary.
  local FOLLOWING = {
    { "integers", "int", "bigint" },
    { "unsigned integers", "bigint unsigned", "numeric(20)" },
    { "decimals", "decimal(10, 2)", "numeric(12, 4)" },
    { "texts of which the primary folds the case", TEXT .. "utf8mb4_unicode_ci", "varchar(20)" },
    { "texts without trailing blanks", "char(20) character set utf8mb4", "char(20)" },
    { "texts of bytes", TEXT .. "utf8mb4_bin", "text" },
    { "labels", "enum('a', 'b')", "text" },
    { "bytes", "varbinary(20)", "bytea" },
    { "points in time", "timestamp(6)", "timestamptz(6)" },
    { "dates, with a policy that is no other than the default", "date", "date",
      { policies = { zero_dates = "refuse" } } },
    { "rows that a filter picks", "int", "int", { sync = { filter = "id > 5" } } },
  }

  for _, case in ipairs(FOLLOWING) do
    it("is set aside for " .. case[1], function()
      assert.is_true(taken(table.unpack(case, 2)))
    end)
  end

  --- Cases in which two rows of the primary may be one for it.
  local STAYING = {
    { "floats, whose digits may be cut", "double", "double precision" },
    { "a type that takes texts of different case for the same", TEXT .. "utf8mb4_bin", "citext" },
    { "a collation that does", TEXT .. "utf8mb4_bin", "text collate spec_aside_folded" },
    { "a collation of its own that does", TEXT .. "utf8mb4_bin", "text", nil,
      "create unique index x on spec_aside (v collate spec_aside_folded)" },
    { "a policy that changes values", "date", "date", { policies = { zero_dates = "null" } } },
    { "a policy that cuts values", "int", "smallint",
      { policies = { columns = { v = { overflow = "clamp" } } } } },
    { "a transform", "int", "int",
      { sync = { transform = function(values) return values end } } },
    { "a character set in which two codes are one character", "varchar(20) character set cp932",
      "text" },
    { "labels among which is the one of what is none", "enum('', 'b')", "text" },
    { "a column that the secondary computes", "bigint",
      "bigint generated always as (id / 2) stored" },
  }

  for _, case in ipairs(STAYING) do
    it("stays for " .. case[1], function()
      clients.run("postgres", "create extension if not exists citext")
      db.secondary:execute("create collation if not exists spec_aside_folded (provider = icu, "
        .. "locale = 'und-u-ks-level1', deterministic = false)")
      local ok, result = pcall(taken, table.unpack(case, 2))
      db.secondary:execute("drop table spec_aside")
      db.secondary:execute("drop collation spec_aside_folded")
      assert.same({ true, false }, { ok, result })
    end)
  end

  it("stays when the primary's is of a prefix only", function()
    pair.make(db, NAME, {
      mysql = "id bigint not null primary key, v varchar(20) null, unique key v (v(5))",
      postgres = "id bigint primary key, v varchar(20)",
    })
    db.secondary:execute("create unique index x on spec_aside (v)")
    assert.same({}, set_aside.take(db, db:spec "Item"))
  end)

  it("that finds duplicates says so, and is not forgotten", function()
    pair.make(db, NAME, COLUMNS)
    db.secondary:execute("create unique index x on spec_aside (b)")
    local entry = set_aside.take(db, db:spec "Item")[1]
    db.secondary:execute("insert into spec_aside (id, b) values (1, 'same'), (2, 'same')")
    local err = pair.failure(set_aside.restore, db, entry)
    assert.same({ "integrity", "23505" }, { err.class, err.sqlstate })
    assert.matches("(b)=(same)", err.detail, 1, true)
    assert.equal(1, #set_aside.pending(db))
    db.secondary:execute("update spec_aside set b = 'other' where id = 2")
    restore_all(db)
    assert.matches("UNIQUE INDEX x ON", table.concat(state(db)), 1, true)
  end)
end)

describe("setting aside", function()
  local db

  before_each(function()
    db = open()
    pair.make(db, NAME, COLUMNS)
  end)

  after_each(function() close(db) end)

  --- Runs fn(conn) within a transaction of a connection of its own.
  local function beside(fn)
    local conn <close> = db.secondary:connect()
    conn:execute("begin")
    fn(conn)
    conn:execute("rollback")
  end

  --- The transactions that wait for a lock of the kind on the table.
  local function waiting(mode)
    local list = {}
    for i, entry in ipairs(db.secondary:query("select virtualtransaction as v from pg_locks "
      .. "where not granted and mode = ? and relation = to_regclass(?)", mode, NAME)) do
      list[i] = entry.v
    end
    return list[1]
  end

  --- What a process of its own runs with the pair `db` and the module `set_aside`.
  local function process(code)
    return child.lua([[
      local pair, set_aside = require "spec.support.pair", require "dualdb.sync.set_aside"
      local db = pair.open { Item = { table = "spec_aside" } }
    ]] .. code)
  end

  it("gives up, with nothing dropped, when others keep the table", function()
    db.secondary:execute("create index x on spec_aside (a)")
    local before = state(db)
    beside(function(conn)
      conn:execute("lock table spec_aside in row exclusive mode")
      local err = pair.failure(set_aside.take, db, db:spec "Item",
        { lock_timeout = 0.05, attempts = 2 })
      assert.same({ "transient", "55P03", "secondary" }, { err.class, err.sqlstate, err.side })
    end)
    assert.same(before, state(db))
    assert.same({}, set_aside.pending(db))
    assert.equal(1, #set_aside.take(db, db:spec "Item"))
  end)

  it("waits for others again and again, and then goes on", function()
    db.secondary:execute("create index x on spec_aside (a)")
    local run
    beside(function(conn)
      conn:execute("lock table spec_aside in row exclusive mode")
      run = process [[
        set_aside.take(db, db:spec "Item", { lock_timeout = 0.1, attempts = 1000 })]]
      local first = wait.wait_until("it waits", function()
        return waiting "AccessExclusiveLock"
      end)
      wait.wait_until("it waits again", function()
        local now = waiting "AccessExclusiveLock"
        return now and now ~= first
      end)
    end)
    local text, status = run:finish()
    assert.same({ "", 0 }, { text, status })
    assert.same({ "x" }, names_of(set_aside.pending(db)))
  end)

  it("leaves a table alone that got its first row while it waited", function()
    db.secondary:execute("create index x on spec_aside (a)")
    local before = state(db)
    local conn <close> = db.secondary:connect()
    conn:execute("begin")
    conn:execute("insert into spec_aside (id) values (1)")
    local run = process [[
      print(#set_aside.take(db, db:spec "Item", { lock_timeout = 10 }))]]
    wait.wait_until("it waits", function() return waiting "AccessExclusiveLock" end)
    conn:execute("commit")
    assert.same({ "0\n", 0 }, { run:finish() })
    assert.same(before, state(db))
  end)

  --- An index whose making waits for the advisory lock 77, with a row for it.
  local function slow_index()
    db.secondary:execute([[create or replace function spec_aside_wait(int) returns int
      language plpgsql immutable as
      'begin perform pg_advisory_xact_lock(77); return $1; end']])
    db.secondary:execute("create index x on spec_aside (spec_aside_wait(a))")
    local before = state(db)
    set_aside.take(db, db:spec "Item")
    return before
  end

  local function maker()
    return wait.wait_until("the index is being made", function()
      local found = db.secondary:query("select pid from pg_locks where locktype = 'advisory' "
        .. "and objid = 77 and not granted")[1]
      return found and found.pid
    end)
  end

  --- Ends the making of the index half way, by `stop(run, pid of the server's process)`.
  local function interrupted(stop)
    local before = slow_index()
    db.secondary:execute("insert into spec_aside (id, a) values (1, 1)")
    local run
    beside(function(conn)
      conn:execute("select pg_advisory_xact_lock(77)")
      run = process [[
        local _, err = require("dualdb").try(set_aside.restore, db, set_aside.pending(db)[1])
        print(err.class)]]
      local pid = maker()
      stop(run, pid)
      wait.wait_until("the server has noticed", function()
        return #db.secondary:query("select 1 as one from pg_stat_activity where pid = ?", pid) == 0
      end)
    end)
    assert.same({ "x" }, names_of(set_aside.pending(db)))
    assert.is_true(#state(db) < #before)
    restore_all(db)
    assert.same(before, state(db))
    db.secondary:execute("drop table spec_aside")
    db.secondary:execute("drop function spec_aside_wait")
    return run:finish()
  end

  it("is made good later when the server ends the session in the middle", function()
    local text = interrupted(function(_, pid)
      db.secondary:query("select pg_terminate_backend(?)", pid)
    end)
    assert.equal("unavailable\n", text)
  end)

  it("is made good later when the process is killed in the middle", function()
    local _, status = interrupted(function(run, pid)
      run:signal(9)
      wait.wait_until("the process is gone", function()
        return child.state(run.pid) == nil or child.state(run.pid) == "Z"
      end)
      db.secondary:query("select pg_terminate_backend(?)", pid)  -- as it does once it looks
    end)
    assert.equal(137, status)
  end)

  it("is made good once, when two do so at a time", function()
    local before = slow_index()
    db.secondary:execute("insert into spec_aside (id, a) values (1, 1)")
    local runs = {}
    beside(function(conn)
      conn:execute("select pg_advisory_xact_lock(77)")
      for i = 1, 2 do
        runs[i] = process "set_aside.restore(db, set_aside.pending(db)[1])"
        if i == 1 then maker() end
      end
      wait.wait_until("the other one waits", function()
        return #db.secondary:query("select 1 as one from pg_stat_activity "
          .. "where wait_event_type = 'Lock' and query like '%for update%'") == 1
      end)
    end)
    for _, run in ipairs(runs) do assert.same({ "", 0 }, { run:finish() }) end
    assert.same(before, state(db))
    assert.same({}, set_aside.pending(db))
    db.secondary:execute("drop table spec_aside")
    db.secondary:execute("drop function spec_aside_wait")
  end)

  local function take_index()
    db.secondary:execute("create index x on spec_aside (a)")
    return set_aside.take(db, db:spec "Item")[1]
  end

  it("is done with when a person has made the same index again", function()
    local entry = take_index()
    db.secondary:execute("create index x on spec_aside (a)")
    set_aside.restore(db, entry)
    assert.same({}, set_aside.pending(db))
  end)

  it("names another index that has the name, and does not forget its own", function()
    local entry = take_index()
    db.secondary:execute("create index x on spec_aside (b)")
    local before = state(db)
    local err = pair.failure(set_aside.restore, db, entry)
    assert.equal("schema", err.class)
    assert.equal("table spec_aside has another index x than the one that was set aside",
      err.message)
    assert.same(before, state(db))
    assert.same({ "x" }, names_of(set_aside.pending(db)))
  end)

  it("is done with when the table is gone", function()
    local entry = take_index()
    db.secondary:execute("drop table spec_aside")
    set_aside.restore(db, entry)
    assert.same({}, set_aside.pending(db))
  end)

  it("makes an index with the memory and the workers given, for its transaction alone", function()
    local entry = take_index()
    local conn <close> = db.secondary:connect()
    local function shown(name)
      return conn:query("select current_setting(?) as v", name)[1].v
    end
    conn:execute("set maintenance_work_mem = '32MB'")
    conn:execute("set statement_timeout = '5s'")
    local statement = set_aside.begin(conn, entry, { memory = 200 * 1024 * 1024, workers = 3 })
    assert.equal(entry.definition, statement)
    assert.same({ "200MB", "3", "0" }, { shown "maintenance_work_mem",
      shown "max_parallel_maintenance_workers", shown "statement_timeout" })
    conn:execute("rollback")
    set_aside.begin(conn, entry, { memory = 1024 * 1024 })
    assert.equal("32MB", shown "maintenance_work_mem")
    conn:execute(statement)
    set_aside.finish(conn, entry)
    assert.equal("5s", shown "statement_timeout")
    assert.same({}, set_aside.pending(db))
    assert.is_nil(set_aside.begin(conn, entry))
    set_aside.finish(conn, entry)
  end)

  it("is not for those who could not make again what they drop", function()
    db.secondary:execute("create index x on spec_aside (a)")
    clients.run("postgres", "create role spec_aside_other; alter table spec_aside owner to "
      .. "spec_aside_other; grant all on spec_aside to public")
    local ok, taken = pcall(set_aside.take, db, db:spec "Item")
    clients.run("postgres", "drop table spec_aside; drop role spec_aside_other")
    assert.same({ true, {} }, { ok, taken })
  end)

  it("brings an index back into its tablespace", function()
    clients.run("postgres", "set allow_in_place_tablespaces = on; "
      .. "create tablespace spec_aside_space location ''; "
      .. "grant create on tablespace spec_aside_space to public")
    db.secondary:execute("create index x on spec_aside (a) tablespace spec_aside_space")
    db.secondary:execute("create index w on spec_aside (a) tablespace spec_aside_space "
      .. "where a > 1")
    db.secondary:execute("alter table spec_aside add constraint y unique (b) "
      .. "with (fillfactor = 80) using index tablespace spec_aside_space deferrable")
    db.secondary:execute("create index z on spec_aside (a)")  -- in the database's own
    local before = state(db)
    assert.same({ "x", "y", "z" }, names_of(set_aside.take(db, db:spec "Item")))
    db.secondary:execute("set default_tablespace = spec_aside_space")
    restore_all(db)
    db.secondary:execute("reset default_tablespace")
    assert.same(before, state(db))
    db.secondary:execute("drop table spec_aside")
    clients.run("postgres", "drop tablespace spec_aside_space")
  end)
end)
