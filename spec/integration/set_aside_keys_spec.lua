-- Foreign keys that are dropped for a load and made again afterwards, and the rows that break them.

local aside = require "spec.support.aside"
local child = require "spec.support.child"
local fetch = require "dualdb.fetch"
local pair = require "spec.support.pair"
local set_aside = require "dualdb.sync.set_aside"

local NAME, PARENT, CHILD = "spec_aside", "spec_aside_parent", "spec_aside_child"
local close, names_of, open = aside.close, aside.names_of, aside.open
local restore_all, state = aside.restore_all, aside.state

describe("a foreign key that was set aside", function()
  local db

  before_each(function()
    db = open()
    pair.make(db, PARENT, {
      mysql = "id bigint not null primary key, code varchar(9) null, unique key code (code)",
      postgres = "id bigint primary key, code varchar(9) collate \"C\"",
    })
    pair.make(db, NAME, {
      mysql = "id bigint not null primary key, parent_id bigint null, code varchar(9) null, "
        .. "own_id bigint null",
      postgres = "id bigint primary key, parent_id bigint, code varchar(9), own_id bigint",
    })
    pair.make(db, CHILD, {
      mysql = "id bigint not null primary key, item_id bigint null",
      postgres = "id bigint primary key, item_id bigint",
    })
  end)

  after_each(function() close(db) end)

  local function add(name, column, definition)
    db.secondary:execute(("alter table %s add constraint f foreign key (%s) references %s"):format(
      name, column, definition))
  end

  local function on_both(statement, ...)
    db.primary:execute(statement, ...)
    db.secondary:execute(statement, ...)
  end

  local function take(model)
    local taken = set_aside.take(db, db:spec(model or "Item"))
    assert.equal("foreign_key", taken[1].kind)
    return taken[1]
  end

  local function ids(side, name)
    local list = {}
    for i, entry in ipairs(side:query(("select id from %s order by id"):format(name or NAME))) do
      list[i] = entry.id
    end
    return list
  end

  local function is_valid()
    local found = db.secondary:query("select convalidated as v from pg_constraint "
      .. "where conname = 'f' and conrelid = to_regclass(?)", NAME)[1]
    return found and found.v
  end

  --- How each kind of foreign key is made.
  local KEYS = {
    { "one that cascades and waits for the end of the transaction", "parent_id",
      "spec_aside_parent (id) on delete cascade on update set null deferrable initially deferred" },
    { "one that takes all of its columns or none", "parent_id",
      "spec_aside_parent match full on delete restrict" },
    { "one to the same table", "own_id", "spec_aside (id) on delete set default deferrable" },
    { "one that was not valid", "parent_id", "spec_aside_parent not valid" },
    { "one with a comment", "parent_id", "spec_aside_parent", "it's ? \\ here" },
  }

  for _, case in ipairs(KEYS) do
    it("comes back as it was: " .. case[1], function()
      add(NAME, case[2], case[3])
      if case[4] then
        db.secondary:execute("comment on constraint f on spec_aside is "
          .. pair.value(db.secondary, "select quote_literal(?::text) as v", case[4]))
      end
      local before = state(db)
      local entry = take()
      assert.equal(#before - 1, #state(db))
      restore_all(db)
      assert.same(before, state(db))
      assert.equal("f", entry.name)
    end)
  end

  it("comes back with another that closes a circle", function()
    add(NAME, "own_id", "spec_aside_child (id) deferrable")
    add(CHILD, "item_id", "spec_aside (id)")
    local before, before_there = state(db), state(db, CHILD)
    take "Item"
    take "Child"
    assert.equal(#before_there - 1, #state(db, CHILD))
    restore_all(db)
    assert.same(before, state(db))
    assert.same(before_there, state(db, CHILD))
  end)

  it("comes back after the unique index that it needs, which was set aside later", function()
    db.secondary:execute("create unique index f on spec_aside_parent (code)")
    add(NAME, "code", "spec_aside_parent (code)")
    local before, before_there = state(db), state(db, PARENT)
    take "Item"
    assert.same({ "f" }, names_of(set_aside.take(db, db:spec "Parent")))
    restore_all(db)
    assert.same(before, state(db))
    assert.same(before_there, state(db, PARENT))
  end)

  it("comes back beside an index of the same name", function()
    db.secondary:execute("create index f on spec_aside (parent_id)")
    add(NAME, "parent_id", "spec_aside_parent")
    local before = state(db)
    assert.same({ "f", "f" }, names_of(set_aside.take(db, db:spec "Item")))
    restore_all(db)
    assert.same(before, state(db))
  end)

  it("leaves rows without their parents that were there while it was not valid", function()
    db.secondary:execute("insert into spec_aside (id, parent_id) values (1, 99)")
    add(NAME, "parent_id", "spec_aside_parent not valid")
    db.secondary:execute("delete from spec_aside")
    take()
    db.secondary:execute("insert into spec_aside (id, parent_id) values (1, 99)")
    restore_all(db)
    assert.same({ 1 }, ids(db.secondary))
    assert.is_false(is_valid())
  end)

  it("has rows without their parents in quarantine, in the words of the server", function()
    add(NAME, "parent_id", "spec_aside_parent")
    local entry = take()
    on_both("insert into spec_aside_parent (id) values (1)")
    on_both("insert into spec_aside (id, parent_id) values (1, 1), (2, 99), (3, null), (4, 98)")
    set_aside.restore_foreign_key(db, entry)
    assert.same({ 1, 3 }, ids(db.secondary))
    assert.is_true(is_valid())
    local listed = db:quarantine():list()
    assert.same({ '{"id":2}', '{"id":4}' }, { listed[1].key, listed[2].key })
    assert.matches('insert or update on table "spec_aside" violates foreign key constraint "f" '
      .. '(Key (parent_id)=(99) is not present in table "spec_aside_parent".)', listed[1].reason, 1,
      true)
    assert.same({}, set_aside.pending(db))
    on_both("insert into spec_aside_parent (id) values (98), (99)")
    db:quarantine():retry()
    assert.same({ 1, 2, 3, 4 }, ids(db.secondary))
  end)

  it("has half a key in quarantine where it takes all of its columns or none", function()
    db.secondary:execute("alter table spec_aside_parent add unique (id, code)")
    add(NAME, "parent_id, code", "spec_aside_parent (id, code) match full")
    take()
    on_both("insert into spec_aside_parent (id, code) values (1, 'a')")
    on_both("insert into spec_aside (id, parent_id, code) values (1, 1, 'a'), (2, 1, null), "
      .. "(3, null, null)")
    restore_all(db)
    assert.same({ 1, 3 }, ids(db.secondary))
    assert.equal(1, #db:quarantine():list())
  end)

  it("compares texts as the parent does", function()
    db.secondary:execute("create unique index code on spec_aside_parent (code)")
    db.secondary:execute("alter table spec_aside alter code type varchar(9) collate \"POSIX\"")
    add(NAME, "code", "spec_aside_parent (code)")
    local entry = take()
    on_both("insert into spec_aside_parent (id, code) values (1, 'a')")
    on_both("insert into spec_aside (id, code) values (1, 'a'), (2, 'b')")
    set_aside.restore_foreign_key(db, entry)
    assert.same({ 1 }, ids(db.secondary))
  end)

  it("follows what the primary's own key has done to rows meanwhile", function()
    add(NAME, "parent_id", "spec_aside_parent on delete set null")
    local entry = take()
    on_both("insert into spec_aside (id, parent_id) values (1, 99), (2, 99)")
    db.primary:execute("update spec_aside set parent_id = null where id = 1")
    db.primary:execute("delete from spec_aside where id = 2")
    set_aside.restore_foreign_key(db, entry)
    assert.same({ 1 }, ids(db.secondary))
    assert.same({}, db:quarantine():list())
    assert.equal(0, pair.value(db.secondary, "select count(parent_id) as v from spec_aside"))
  end)

  for _, rule in ipairs { "no action", "restrict", "cascade", "set null" } do
    it("has the rows in quarantine too that refer to those, by " .. rule, function()
      add(NAME, "parent_id", "spec_aside_parent")
      local entry = take()
      add(CHILD, "item_id", "spec_aside on delete " .. rule)
      on_both("insert into spec_aside_parent (id) values (1)")
      on_both("insert into spec_aside (id, parent_id) values (1, 1), (2, 99), (3, 98)")
      on_both("insert into spec_aside_child (id, item_id) values (10, 1), (20, 2), (30, 3)")
      db.primary:execute("update spec_aside set parent_id = 1 where id = 3")
      set_aside.restore_foreign_key(db, entry)
      assert.same({ 1, 3 }, ids(db.secondary))
      assert.same({ 10, 30 }, ids(db.secondary, CHILD))
      local listed = db:quarantine():list { "Child", "Item" }
      assert.same({ "Child", '{"id":20}', "Item", '{"id":2}' },
        { listed[1].model, listed[1].key, listed[2].model, listed[2].key })
      assert.matches("Key (item_id)=(2) is not present", listed[1].reason, 1, true)
    end)
  end

  it("does not blame a row for what refers to it from a table of no model", function()
    add(NAME, "parent_id", "spec_aside_parent")
    local entry = take()
    db.secondary:execute("create table spec_aside_foreign (id bigint "
      .. "references spec_aside deferrable)")
    on_both("insert into spec_aside (id, parent_id) values (1, 99), (2, null)")
    db.secondary:execute("insert into spec_aside_foreign values (1)")
    local err = pair.failure(set_aside.restore_foreign_key, db, entry)
    db.secondary:execute("drop table spec_aside_foreign")
    assert.equal("integrity", err.class)
    assert.matches('on table "spec_aside_foreign"', err.message, 1, true)
    assert.equal(1, #set_aside.pending(db))
    assert.same({ 1, 2 }, ids(db.secondary))
    assert.same({}, db:quarantine():list())
  end)

  it("has what hangs on a row without its parent in quarantine, down to the last", function()
    add(NAME, "own_id", "spec_aside")
    local entry = take()
    on_both("insert into spec_aside (id, own_id) values (1, null), (2, 1), (3, 99), (4, 3), (5, 4)")
    set_aside.restore_foreign_key(db, entry)
    assert.same({ 1, 2 }, ids(db.secondary))
    assert.equal(3, #db:quarantine():list())
    assert.is_true(is_valid())
  end)

  it("goes on where a run was killed after it held for new rows", function()
    add(NAME, "parent_id", "spec_aside_parent")
    take()
    on_both("insert into spec_aside (id, parent_id) values (1, 99)")
    local run = child.lua([[
      local core, pair = require "dualdb.core", require "spec.support.pair"
      local set_aside = require "dualdb.sync.set_aside"
      local db = pair.open { Item = { table = "spec_aside" } }
      set_aside.restore_foreign_key(db, set_aside.pending(db)[1], function()
        core.kill(core.pid(), 9)
      end)]])
    local text, status = run:finish()
    assert.equal(137, status, text)
    assert.is_false(is_valid())
    local err = pair.failure(db.secondary.execute, db.secondary,
      "insert into spec_aside (id, parent_id) values (2, 98)")
    assert.equal("23503", err.sqlstate)
    restore_all(db)
    assert.is_true(is_valid())
    assert.same({}, ids(db.secondary))
    assert.equal(1, #db:quarantine():list())
  end)

  it("is not forgotten when nobody takes the rows away", function()
    add(NAME, "parent_id", "spec_aside_parent")
    local entry = take()
    on_both("insert into spec_aside (id, parent_id) values (1, 99)")
    local err = pair.failure(set_aside.restore_foreign_key, db, entry, function() end)
    assert.equal("integrity", err.class)
    assert.equal(1, #set_aside.pending(db))
    assert.is_false(is_valid())
  end)

  it("becomes valid in the end also when it is set aside again half way", function()
    add(NAME, "parent_id", "spec_aside_parent")
    local before, entry = state(db), take()
    on_both("insert into spec_aside (id, parent_id) values (1, 99)")
    pair.failure(set_aside.restore_foreign_key, db, entry, function() end)
    db.secondary:execute("delete from spec_aside")
    assert.same(entry, take())
    restore_all(db)
    assert.same(before, state(db))
  end)

  it("hands the keys over in batches, and all of them", function()
    add(NAME, "parent_id", "spec_aside_parent")
    local entry, seen = take(), 0
    on_both("insert into spec_aside_parent (id) values (1)")
    db.secondary:execute("insert into spec_aside (id, parent_id) select n, 99 "
      .. "from generate_series(1, 1234) as n")
    set_aside.restore_foreign_key(db, entry, function(keys)
      assert.is_true(#keys <= fetch.BATCH)
      seen = seen + #keys
      local spec = db:spec "Item"
      db.secondary:with(function(conn)
        conn:put(spec.statements.secondary:delete_keys(#keys), spec.key_kinds:rep(#keys),
          table.concat(keys))
      end)
    end)
    assert.equal(1234, seen)
    assert.is_true(is_valid())
  end)
end)
