local child = require "spec.support.child"
local cli = require "spec.support.cli"
local fetch = require "dualdb.fetch"
local log = require "dualdb.log"
local pair = require "spec.support.pair"
local wait = require "spec.support.wait"

local NAME, PARENT, OTHER = "spec_refused", "spec_refused_parent", "spec_refused_other"

local COLUMNS = {
  mysql = [[id bigint not null primary key, parent_id bigint null, amount int null,
    mood enum('calm', 'wild') null, code varchar(20) character set utf8mb4 null,
    positive int null, note varchar(40) character set utf8mb4 null]],
  postgres = [[id bigint primary key,
    parent_id bigint references spec_refused_parent (id),
    amount int check (amount < 1000), mood spec_mood, code varchar(20) unique,
    positive spec_positive, note varchar(40)]],
}

--- Each kind of refusal: what makes the row bad on the primary, and what the reason has to say.
local CASES = {
  { "a foreign key", "parent_id = 99", "violates foreign key constraint" },
  { "a check", "amount = 5000", "violates check constraint" },
  { "a unique key", "code = 'taken'", "duplicate key value violates unique constraint" },
  { "an enum without the label", "mood = ''", "invalid input value for enum" },
  { "a domain", "positive = -1", "violates check constraint" },
  { "a trigger", "note = 'forbidden'", "the trigger refuses it" },
}

local function open()
  log.configure { level = "error" }
  local db = pair.open {
    Item = { table = NAME, policies = { overflow = "refuse" } },
    Parent = { table = PARENT }, Other = { table = OTHER },
  }
  for _, name in ipairs { NAME, OTHER, PARENT } do pair.drop(db, name) end
  db.secondary:execute("drop table if exists dualdb_quarantine")
  return db
end

local function close(db)
  log.configure { level = "info" }
  for _, name in ipairs { NAME, OTHER, PARENT } do
    db.secondary:execute(("drop table if exists %s cascade"):format(name))
  end
  db.primary:with(function(conn)
    conn:execute("set foreign_key_checks = 0")
    for _, name in ipairs { NAME, OTHER, PARENT } do
      conn:execute("drop table if exists " .. name)
    end
    conn:execute("set foreign_key_checks = 1")
  end)
  pair.drop_all(db)
  db.secondary:execute("drop type if exists spec_mood")
  db.secondary:execute("drop domain if exists spec_positive")
  db.secondary:execute("drop function if exists spec_refuse")
  db.secondary:execute("drop table if exists dualdb_quarantine")
  db:close()
end

--- Adds rows `from` to `to` with values that everything takes.
local function fill(db, from, to)
  local rows = {}
  for id = from, to do
    rows[#rows + 1] = ("(%d, 1, %d, 'calm', 'c%d', %d, 'good')"):format(id, id % 1000, id, id)
  end
  db.primary:execute(("insert into %s (id, parent_id, amount, mood, code, positive, note) "
    .. "values %s"):format(NAME, table.concat(rows, ", ")))
end

--- Writes on the primary what its strict mode refuses.
local function loosely(db, sql)
  db.primary:with(function(conn)
    local mode = conn:query("select @@sql_mode as mode")[1].mode
    conn:execute("set sql_mode = ''")
    conn:execute(sql)
    conn:execute("set sql_mode = ?", mode)
  end)
end

local function count(side, name, where)
  return pair.value(side, ("select count(*) as v from %s where %s"):format(name, where or "1 = 1"))
end

describe("a row that the secondary's own constraints refuse", function()
  local db

  before_each(function()
    db = open()
    pair.make(db, PARENT, { mysql = "id bigint not null primary key",
                            postgres = "id bigint primary key" })
    db.secondary:execute("create type spec_mood as enum ('calm', 'wild')")
    db.secondary:execute("create domain spec_positive as int check (value >= 0)")
    pair.make(db, NAME, COLUMNS)
    db.secondary:execute([[create function spec_refuse() returns trigger language plpgsql as $$
      begin
        if new.note = 'forbidden' then raise exception 'the trigger refuses it'; end if;
        return new;
      end $$]])
    db.secondary:execute(("create trigger refuse before insert or update on %s for each row "
      .. "execute function spec_refuse()"):format(NAME))
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute(("insert into %s values (1)"):format(PARENT))
    end
  end)

  after_each(function() close(db) end)

  --- Makes rows bad, one of each kind, spread over the good ones.
  local function spoil()
    db.primary:execute(("update %s set code = 'taken' where id = 1"):format(NAME))
    for i, case in ipairs(CASES) do
      loosely(db, ("update %s set %s where id = %d"):format(NAME, case[2], i * 450))
    end
  end

  local function check_outcome(result)
    assert.same({ 3000, 3000 - #CASES, #CASES },
      { result.rows_read, result.rows_written, result.quarantined })
    assert.equal(3000 - #CASES, count(db.secondary, NAME))
    local listed = db:quarantine():list()
    table.sort(listed, function(a, b)
      return #a.key < #b.key or #a.key == #b.key and a.key < b.key
    end)
    assert.equal(#CASES, #listed)
    for i, case in ipairs(CASES) do
      assert.same({ ('{"id":%d}'):format(i * 450), 1 }, { listed[i].key, listed[i].attempts })
      assert.matches(case[3], listed[i].reason, 1, true)
      assert.matches('"id":' .. i * 450, listed[i].row, 1, true)
    end
  end

  it("goes to quarantine from a load, and the 3000 others go on", function()
    fill(db, 1, 3000)
    spoil()
    check_outcome(db.Item:sync())
  end)

  it("goes to quarantine from a refresh too, and verify says why nothing is there", function()
    fill(db, 1, 3000)
    spoil()
    db.secondary:execute(("insert into %s (id) values (3)"):format(NAME))
    check_outcome(db.Item:sync())
    check_outcome((function()
      local again = db.Item:sync()
      assert.equal(0, again.rows_written)
      again.rows_written = 3000 - #CASES
      for _, entry in ipairs(db:quarantine():list()) do assert.equal(2, entry.attempts) end
      db.secondary:execute("update dualdb_quarantine set attempts = 1")
      return again
    end)())
    local report = db.Item:verify()
    assert.same({ "different", #CASES }, { report.verdict, report.missing })
    report.spool:close()
  end)

  it("leaves it when what stood against it is gone, by retry", function()
    fill(db, 1, 3000)
    spoil()
    db.Item:sync()
    db.secondary:execute(("insert into %s values (99)"):format(PARENT))
    db.secondary:execute(("alter table %s drop constraint %s_amount_check"):format(NAME, NAME))
    db.secondary:execute("alter type spec_mood add value ''")
    db.secondary:execute(("drop trigger refuse on %s"):format(NAME))
    db.primary:execute(("update %s set positive = 1 where positive < 0"):format(NAME))
    db.primary:execute(("delete from %s where id = 1"):format(NAME))
    local results = db:quarantine():retry()
    assert.same({ "Item", 6, 5, 1 },
      { results[1].model, results[1].tried, results[1].written, results[1].left })
    assert.equal(1, db.Item:sync().rows_deleted)
    results = db:quarantine():retry()
    assert.same({}, results)
    assert.equal("equal", db.Item:verify().verdict)
    assert.same({}, db:quarantine():list())
  end)

  it("makes the command end with 7, and keeps values out of the log", function()
    fill(db, 1, 3000)
    spoil()
    local dir = cli.directory()
    dir:write("dualdb.lua", ([[return { name = "spec", models = {
      Item = { table = "%s", policies = { overflow = "refuse" } } } }]]):format(NAME))
    local document, run = dir:json { "sync", "--full", "Item" }
    assert.equal(7, run.code)
    assert.equal(#CASES, document.models[1].quarantined)
    assert.matches("the secondary refused a row", run.err, 1, true)
    assert.not_matches("5000", run.err, 1, true)
    run = dir:run { "quarantine", "retry" }
    assert.equal(7, run.code)
    db.primary:execute(("delete from %s where id %% 450 = 0"):format(NAME))
    assert.equal(0, dir:run { "quarantine", "retry" }.code)
    assert.equal(0, dir:run { "sync", "--full", "Item" }.code)
    assert.equal(0, dir:run { "verify", "Item" }.code)
    dir:remove()
  end)

  it("is tried again at the end when another row stood in its way", function()
    fill(db, 1, 1500)
    db.Item:sync()
    db.primary:execute(("update %s set code = 'moved' where id = 1400"):format(NAME))
    db.primary:execute(("update %s set code = 'c1400' where id = 2"):format(NAME))
    db.primary:execute(("update %s set note = 'other'"):format(NAME))
    local result = db.Item:sync()
    assert.same({ 1500, 0 }, { result.rows_written, result.quarantined })
    assert.equal("equal", db.Item:verify().verdict)
  end)

  it("may be one that the secondary shall no longer have", function()
    db.primary:execute(("insert into %s values (2)"):format(PARENT))
    db.secondary:execute(("insert into %s values (2), (5)"):format(PARENT))
    db.secondary:execute(("insert into %s (id, parent_id) values (9, 5)"):format(NAME))
    local result = db.Parent:sync()
    assert.same({ 0, 1 }, { result.rows_deleted, result.quarantined })
    local listed = db:quarantine():list()
    assert.equal('{"id":5}', listed[1].key)
    assert.matches("delete refused: .*foreign key", listed[1].reason)
    db.secondary:execute(("delete from %s where id = 9"):format(NAME))
    assert.same({ 1, 1, 0 }, (function()
      local retried = db:quarantine():retry()[1]
      return { retried.tried, retried.gone, retried.left }
    end)())
    assert.equal("equal", db.Parent:verify().verdict)
  end)

  it("is in quarantine, and no other one, when the sync is killed later", function()
    fill(db, 1, 1500)
    db.primary:execute(("update %s set amount = 5000 where id in (100, 1450)"):format(NAME))
    db.secondary:execute(("insert into %s (id) values (1)"):format(NAME))
    db.secondary:execute([[create or replace function spec_refuse() returns trigger
      language plpgsql as $$ begin
        if new.id = 1400 then perform pg_advisory_xact_lock(815); end if;
        return new;
      end $$]])
    local function blocked()
      return pair.value(db.secondary, "select count(*) as v from pg_stat_activity "
        .. "where wait_event = 'advisory'") > 0
    end
    db.secondary:with(function(holder)
      holder:execute("select pg_advisory_lock(815)")
      local run = child.lua(([[
        local db = require("dualdb").open { name = "spec", models = {
          Item = { table = "%s", policies = { overflow = "refuse" } } } }
        db.Item:sync()]]):format(NAME))
      wait.wait_until("the last batch waits", blocked)
      run:signal(9)
      run:finish()
      holder:execute("select pg_advisory_unlock(815)")
    end)
    wait.wait_until("the server has noticed", function() return not blocked() end)
    local listed = db:quarantine():list()
    assert.same({ 1, '{"id":100}' }, { #listed, listed[1].key })
    -- The rows go over by their keys, so many at a time.
    local over = 1399 // fetch.BATCH * fetch.BATCH
    assert.equal(over - 1, count(db.secondary, NAME))
    local result = db.Item:sync()
    assert.same({ 1500 - over - 1, 2 }, { result.rows_written, result.quarantined })
    assert.equal(2, #db:quarantine():list())
  end)

  it("is not taken for one when the table is what is wrong", function()
    fill(db, 1, 10)
    db.Item:sync()
    db.primary:execute(("update %s set note = 'new'"):format(NAME))
    db.secondary:execute(("alter table %s drop column note"):format(NAME))
    assert.equal("schema", pair.failure(db.Item.sync, db.Item).class)
    assert.same({}, db:quarantine():list())
  end)
end)

describe("rows that refer to rows that come later", function()
  local db

  before_each(function() db = open() end)
  after_each(function() close(db) end)

  local DEFERRABLE = "deferrable initially immediate"

  local function make_tree(suffix)
    pair.make(db, NAME, {
      mysql = "id bigint not null primary key, parent_id bigint null, note varchar(10) null",
      postgres = ("id bigint primary key, parent_id bigint references %s (id) %s, note varchar(10)")
        :format(NAME, suffix),
    })
    local rows = {}
    for id = 1, 1000 do rows[id] = ("(%d, %d)"):format(id, id + 1) end
    db.primary:execute(("insert into %s (id, parent_id) values %s, (1001, null)"):format(NAME,
      table.concat(rows, ", ")))
  end

  it("of the same table are loaded", function()
    make_tree(DEFERRABLE)
    local result = db.Item:sync()
    assert.same({ 1001, 0 }, { result.rows_written, result.quarantined })
    assert.equal("equal", db.Item:verify().verdict)
  end)

  for _, suffix in ipairs { DEFERRABLE, "" } do
    it(("of the same table go in a refresh (%s)"):format(suffix), function()
      make_tree(suffix)
      db.secondary:execute(("insert into %s values (2000)"):format(NAME))
      local result = db.Item:sync()
      assert.same({ 1001, 1, 0 },
        { result.rows_written, result.rows_deleted, result.quarantined })
      assert.equal("equal", db.Item:verify().verdict)
    end)
  end

  it("of the same table go in a circle of many batches, but those that lead nowhere", function()
    make_tree(DEFERRABLE)
    db.primary:execute(("update %s set parent_id = 1 where id = 1001"):format(NAME))
    db.primary:execute(("insert into %s (id, parent_id) values (3000, 3001), (3001, 3002), "
      .. "(3002, 4000)"):format(NAME))
    local result = db.Item:sync()
    assert.same({ 1001, 3 }, { result.rows_written, result.quarantined })
    local report = db.Item:verify()
    assert.same({ 3, 0, 0 }, { report.missing, report.extra, report.changed })
    report.spool:close()
    db.primary:execute(("insert into %s (id, parent_id) values (4000, 3000)"):format(NAME))
    result = db.Item:sync()
    assert.same({ 4, 0 }, { result.rows_written, result.quarantined })
    assert.same({}, db:quarantine():list())
  end)

  it("of two tables go with --all, whichever comes first", function()
    for _, names in ipairs { { PARENT, OTHER }, { OTHER, PARENT } } do
      pair.make(db, names[1], {
        mysql = "id bigint not null primary key, other_id bigint null",
        postgres = "id bigint primary key, other_id bigint",
      })
    end
    for _, names in ipairs { { PARENT, OTHER }, { OTHER, PARENT } } do
      db.secondary:execute(("alter table %s add constraint %s_other foreign key (other_id) "
        .. "references %s (id) %s"):format(names[1], names[1], names[2], DEFERRABLE))
    end
    db.primary:execute(("insert into %s values (1, 1), (2, null), (3, 7)"):format(PARENT))
    db.primary:execute(("insert into %s values (1, 1), (2, 2)"):format(OTHER))
    local dir = cli.directory()
    dir:write("dualdb.lua", ([[return { name = "spec", models = {
      Parent = { table = "%s" }, Other = { table = "%s" } } }]]):format(PARENT, OTHER))
    local document, run = dir:json { "sync", "--full", "--all" }
    assert.equal(7, run.code)
    local by_name = {}
    for _, model in ipairs(document.models) do by_name[model.model] = model end
    assert.same({ 2, 1 }, { by_name.Parent.rows_written, by_name.Parent.quarantined })
    assert.same({ 2, 0 }, { by_name.Other.rows_written, by_name.Other.quarantined })
    assert.equal(1, #dir:json({ "quarantine", "list" }).models[1].rows)
    db.primary:execute(("insert into %s values (7, 3)"):format(OTHER))
    document, run = dir:json { "sync", "--full", "--all" }
    assert.equal(0, run.code)
    assert.same({ models = {} }, { models = dir:json({ "quarantine", "list" }).models })
    assert.equal(0, dir:run { "verify", "--all" }.code)
    assert.equal(2, #document.models)
    dir:remove()
  end)

  it("are deleted before those they refer to, though parents come first", function()
    pair.make(db, PARENT, { mysql = "id bigint not null primary key",
                            postgres = "id bigint primary key" })
    pair.make(db, OTHER, {
      mysql = ("id bigint not null primary key, parent_id bigint not null, "
        .. "foreign key (parent_id) references %s (id)"):format(PARENT),
      postgres = ("id bigint primary key, parent_id bigint not null references %s (id)")
        :format(PARENT),
    })
    db.secondary:execute(("insert into %s values (1)"):format(PARENT))
    db.secondary:execute(("insert into %s values (1, 1)"):format(OTHER))
    local dir = cli.directory()
    dir:write("dualdb.lua", ([[return { name = "spec", models = {
      Parent = { table = "%s" }, Other = { table = "%s" } } }]]):format(PARENT, OTHER))
    assert.equal(0, dir:run { "sync", "--full", "--all" }.code)
    assert.same({ 0, 0 }, { count(db.secondary, PARENT), count(db.secondary, OTHER) })
    dir:remove()
  end)
end)
