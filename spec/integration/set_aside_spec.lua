-- Indexes and foreign keys that are dropped for a load and made again afterwards, whatever happens
-- in between.

local child = require "spec.support.child"
local core = require "dualdb.core"
local pair = require "spec.support.pair"
local set_aside = require "dualdb.sync.set_aside"
local setup = require "dualdb.setup"
local wait = require "spec.support.wait"

local NAME, PARENT, CHILD = "spec_aside", "spec_aside_parent", "spec_aside_child"
local MODELS = { Item = { table = NAME }, Parent = { table = PARENT }, Child = { table = CHILD } }

--- All that a table's indexes and foreign keys are, in one text for each.
local STATE = [[
select pg_get_indexdef(i.oid) || coalesce(' tablespace ' || t.spcname, '')
    || coalesce(' comment ' || obj_description(i.oid, 'pg_class'), '') as v
from pg_index x join pg_class i on i.oid = x.indexrelid
left join pg_tablespace t on t.oid = i.reltablespace
where x.indrelid = to_regclass(?)
union all
select k.conname || ' ' || pg_get_constraintdef(k.oid) || ' of ' || k.conindid::regclass
    || coalesce(' comment ' || obj_description(k.oid, 'pg_constraint'), '')
from pg_constraint k where k.conrelid = to_regclass(?)
order by 1]]

local function state(db, name)
  local list = {}
  for i, entry in ipairs(db.secondary:query(STATE, name or NAME, name or NAME)) do
    list[i] = entry.v
  end
  return list
end

local function names_of(entries)
  local names = {}
  for i, entry in ipairs(entries) do names[i] = entry.name end
  table.sort(names)
  return names
end

local function open()
  local db = pair.open(MODELS)
  setup.run(db)
  return db
end

local function close(db)
  if setup.has_tables(db.secondary) then db.secondary:execute("delete from dualdb_set_aside") end
  db.secondary:execute("drop table if exists dualdb_quarantine")
  for _, name in ipairs { NAME, PARENT, CHILD } do
    db.secondary:execute(("drop table if exists %s cascade"):format(name))
  end
  db.primary:with(function(conn)
    conn:execute("set foreign_key_checks = 0")
    for _, name in ipairs { NAME, PARENT, CHILD } do
      conn:execute("drop table if exists " .. name)
    end
    conn:execute("set foreign_key_checks = 1")
  end)
  pair.drop_all(db)
  db:close()
end

local function restore_all(db)
  for _, entry in ipairs(set_aside.pending(db)) do set_aside.restore(db, entry) end
  assert.same({}, set_aside.pending(db))
end

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
    for _, id in ipairs { 1, 2 } do
      db.secondary:execute("insert into spec_aside (id, a) values (?, 1)", id)
    end
    local err = pair.failure(db.secondary.execute, db.secondary,
      "create unique index concurrently x on spec_aside (a)")
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
