local child = require "spec.support.child"
local core = require "dualdb.core"
local dirty = require "spec.support.dirty"
local dualdb = require "dualdb"
local pair = require "spec.support.pair"
local replayed = require "spec.support.replayed"
local servers = require "spec.support.servers"
local setup = require "dualdb.setup"
local wait = require "spec.support.wait"

local NAME = replayed.NAME
local on_primary, on_secondary = replayed.on_primary, replayed.on_secondary
local replay, rows, assert_equal = replayed.replay, replayed.rows, replayed.assert_equal

describe("replay", function()
  local db

  local function reopen(...) db = replayed.reopen(...) end

  before_each(function() db = replayed.open_equal() end)

  after_each(replayed.close)

  it("has nothing to do where there is no entry, and where the tables do not exist", function()
    assert.same({}, replay())
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute "drop table dualdb_journal"
    end
    assert.same({}, replay())
    setup.run(db)
  end)

  for _, side in ipairs { "primary", "secondary" } do
    local on = side == "primary" and on_primary or on_secondary
    it(("brings inserts, updates and deletes of the %s over, and takes their entries away")
      :format(side), function()
      on({ 1 }, "update %s set name = 'ä 🎈', amount = 11 where id = 1")
      on({ 2 }, "delete from %s where id = 2")
      on({ 7, 8 }, "insert into %s (id, name) values (7, 'seven'), (8, null)")
      local truth = rows(side)
      local result = replay()[1]
      assert.is_nil(result.error)
      assert.same({ 4, 0, 0, 0 },
        { result.replayed, result.conflicts, result.quarantined, result.left })
      assert.same(truth, rows "primary")
      assert.same(truth, rows "secondary")
      assert.equal(0, dirty.count(db))
      assert_equal()
    end)

    it(("goes by the state that the %s has now, whatever its entries were made for"):format(side),
      function()
        on({ 1 }, "delete from %s where id = 1")
        on({ 1 }, "insert into %s (id, name) values (1, 'again')")
        on({ 1 }, "update %s set name = 'at last' where id = 1")
        on({ 9 }, "insert into %s (id, name) values (9, 'short')")
        on({ 9 }, "delete from %s where id = 9")
        assert.equal(2, replay()[1].replayed)
        assert.equal("at last", rows("primary")[1].name)
        assert_equal()
        assert.equal(0, dirty.count(db))
      end)

    it(("brings more keys of the %s than one statement has"):format(side), function()
      db[side]:transaction(function(conn)
        for id = 100, 1300 do
          conn:execute(("insert into %s (id, name) values (?, ?)"):format(NAME), id, "n" .. id)
          dirty.enter(conn, db, "Item", id)
        end
      end)
      assert.equal(1201, replay()[1].replayed)
      assert_equal()
      assert.equal(0, dirty.count(db))
    end)

    it(("quarantines a key of the %s that the other side does not take, and brings the others")
      :format(side), function()
      local other = side == "primary" and "secondary" or "primary"
      if side == "primary" then
        on({ 1 }, "update %s set amount = -5 where id = 1")
      else
        db.primary:execute(("insert into %s (id, name) values (70, 'taken')"):format(NAME))
        on({ 1 }, "update %s set name = 'taken' where id = 1")
      end
      for id = 10, 40 do on({ id }, "insert into %s (id, name) values (" .. id .. ", null)") end
      local result = replay()[1]
      assert.same({ 31, 1, 0 }, { result.replayed, result.quarantined, result.left })
      assert.equal(0, dirty.count(db, other))
      local entry = db:journal():list()[1]
      assert.same({ "quarantined", '{"id":1}', side }, { entry.state, entry.key, entry.side })
      assert.equal(1, entry.attempts)
      assert.matches("amount_check", entry.last_error .. "amount_check", 1, true)
      -- Left alone until somebody asks, or the row is written again.
      assert.equal(0, replay()[1].replayed)
      assert.equal(1, db:journal():list()[1].attempts)
      replay { retry_quarantined = true }
      assert.equal(2, db:journal():list()[1].attempts)
      on({ 1 }, "update %s set name = 'fine', amount = 5 where id = 1")
      assert.equal(1, replay()[1].replayed)
      assert.equal(0, dirty.count(db))
    end)
  end

  for _, side in ipairs { "primary", "secondary" } do
    local on = side == "primary" and on_primary or on_secondary
    local other = side == "primary" and "secondary" or "primary"

    it(("brings rows of the %s over that have exchanged a unique value, beside others")
      :format(side), function()
      on({ 1, 2, 3 }, "update %s set name = null where id < 4")
      for id, name in ipairs { "b", "c", "a" } do
        on({}, "update %s set name = ? where id = ?", name, id)
      end
      -- Not theirs: a value that stays taken.
      db[other]:execute(("insert into %s (id, name) values (70, 'taken')"):format(NAME))
      on({ 4 }, "insert into %s (id, name) values (4, 'taken')")
      for id = 10, 30 do on({ id }, "insert into %s (id, name) values (" .. id .. ", null)") end
      local result = replay()[1]
      assert.same({ 24, 1, 0 }, { result.replayed, result.quarantined, result.left })
      assert.same({ "b", "c", "a" }, { rows(other)[1].name, rows(other)[2].name,
        rows(other)[3].name })
      assert.equal('{"id":4}', db:journal():list()[1].key)
      db[other]:execute(("delete from %s where id = 70"):format(NAME))
      assert.equal(1, replay({ retry_quarantined = true })[1].replayed)
      assert_equal()
      assert.equal(0, dirty.count(db))
    end)

    it(("changes no row of those of the %s that have exchanged a unique value if one cannot go")
      :format(side), function()
      on({ 1, 2 }, "update %s set name = null where id < 3")
      on({}, "update %s set name = 'b' where id = 1")
      on({}, "update %s set name = 'a' where id = 2")
      local check = "alter table %s add constraint spec_check check (name <> 'a' or amount = 1)"
      db[other]:execute(check:format(NAME))
      local truth, before = rows(side), rows(other)
      local result = replay()[1]
      assert.same({ 0, 2, 0 }, { result.replayed, result.quarantined, result.left })
      assert.same(truth, rows(side))
      assert.same(before, rows(other))
      db[other]:execute(("alter table %s drop constraint spec_check"):format(NAME))
      assert.equal(2, replay({ retry_quarantined = true })[1].replayed)
      assert_equal()
    end)
  end

  it("gives no value for the time being to a row whose value other rows follow", function()
    local FOLLOWER = "spec_replay_follower"
    pair.make(db, FOLLOWER, {
      mysql = "id int not null primary key, name varchar(50)",
      postgres = ("id int primary key, name varchar(50) references %s (name) on update cascade")
        :format(NAME),
    })
    reopen()
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute("insert into " .. FOLLOWER .. " values (1, 'a')")
    end
    on_primary({ 1, 2 }, "update %s set name = null where id < 3")
    on_primary({}, "update %s set name = 'b' where id = 1")
    on_primary({}, "update %s set name = 'a' where id = 2")
    assert.equal(2, replay()[1].quarantined)
    assert.equal("a", pair.value(db.secondary, "select name as v from " .. FOLLOWER))
  end)

  it("quarantines a row whose values the secondary cannot hold, and says why", function()
    db.primary:with(function(conn)
      local mode = conn:query("select @@sql_mode as mode")[1].mode
      conn:execute "set sql_mode = ''"
      conn:execute(("update %s set at = '0000-00-00' where id = 2"):format(NAME))
      conn:execute("set sql_mode = ?", mode)
    end)
    dirty.enter(db.primary, db, "Item", 2)
    local result = replay()[1]
    assert.same({ 0, 1 }, { result.replayed, result.quarantined })
    assert.matches("column at: 0000-00-00", db:journal():list()[1].last_error, 1, true)
    reopen { policies = { zero_dates = "null" } }
    assert.equal(1, replay({ retry_quarantined = true })[1].replayed)
    assert_equal()
  end)

  -- ---- what is under way on the secondary ----

  --- An insert of row 50 that the secondary has not committed, of a dual write whose primary part
  --- is gone again.
  local function insert_under_way()
    local conn = replayed.connection "postgres"
    conn:execute "begin"
    conn:execute(("insert into %s (id, name) values (50, 'late')"):format(NAME))
    return conn
  end

  it("believes no absence on the secondary while an older insert is open there", function()
    local conn = insert_under_way()
    on_primary({ 50 }, "delete from %s where id = 50")
    reopen(nil, { policy = { deadline = 0.5 } })
    local result = replay()[1]
    assert.same({ 0, 1 }, { result.replayed, result.left })
    local entry = db:journal():list()[1]
    assert.same({ "open", 0 }, { entry.state, entry.attempts })
    assert.matches("transaction of the secondary", entry.last_error, 1, true)
    conn:execute "commit"
    conn:close()
    assert.equal(1, replay()[1].replayed)
    assert_equal()
  end)

  it("does not believe it while the insert is prepared either", function()
    local conn = insert_under_way()
    local ok = pcall(conn.execute, conn, "prepare transaction 'spec_replay'")
    conn:close()
    if not ok then return pending "the secondary has no prepared transactions" end
    on_primary({ 50 }, "delete from %s where id = 50")
    on_secondary({ 50 }, "delete from %s where id = 50")
    db.primary:execute "delete from dualdb_journal"
    db.primary:execute(("insert into %s (id, name) values (50, 'late')"):format(NAME))
    reopen(nil, { policy = { deadline = 0.5 } })
    assert.same({ 0, 1 }, { replay()[1].replayed, dirty.count(db) })
    db.secondary:execute "commit prepared 'spec_replay'"
    assert.equal(1, replay()[1].replayed)
    assert.equal("late", rows("primary")[4].name)
    assert_equal()
  end)

  it("waits for an insert of the secondary that is committed in time", function()
    local conn = insert_under_way()
    on_primary({ 50 }, "delete from %s where id = 50")
    local other = child.lua(([[
      local dualdb = require "dualdb"
      local db <close> = dualdb.open { models = { Item = { table = %q } }, name = "spec",
        policy = { deadline = 20 } }
      print(db:journal():replay()[1].replayed)
    ]]):format(NAME))
    wait.wait_until("the replay asks for older transactions", function()
      return servers.look("postgres", "select count(*) as n from pg_stat_activity "
        .. "where query like '%pg_snapshot_xmin%' and pid <> pg_backend_pid()")[1].n > 0
    end)
    conn:execute "commit"
    conn:close()
    assert.equal("1\n", (other:finish()))
    assert_equal()
  end)

  it("brings a row over that the secondary's unfinished insert has, once that has ended", function()
    local conn = insert_under_way()
    on_primary({ 50 }, "insert into %s (id, name) values (50, 'newer')")
    reopen(nil, { policy = { deadline = 0.5 } })
    assert.equal(1, replay()[1].left)
    conn:execute "commit"
    conn:close()
    assert.equal(1, replay()[1].replayed)
    assert_equal()
  end)

  it("lets nobody insert a row on the primary that it has found absent", function()
    on_primary({ 50 }, "delete from %s where id = 50")
    local other = child.lua(([[
      local dualdb = require "dualdb"
      local db <close> = dualdb.open { models = { Item = { table = %q } }, name = "spec" }
      db:journal():replay()
      print "done"
    ]]):format(NAME), { DUALDB_CRASH_AT = "replay.secondary_locked", DUALDB_CRASH_MODE = "stop" })
    wait.wait_until("the replay has locked and stands still", function()
      return io.open(("/proc/%d/stat"):format(other.pid)):read("a"):find(") T ", 1, true)
    end)
    local conn = replayed.connection "mysql"
    conn:execute "set innodb_lock_wait_timeout = 1"
    local ok, err = pcall(conn.execute, conn, ("insert into %s (id) values (50)"):format(NAME))
    other:signal(18)
    assert.equal("done\n", (other:finish()))
    assert.same({ false, "transient" }, { ok, err.class })
  end)

  it("leaves a locked row for later, and brings the others", function()
    local conn = replayed.connection "mysql"
    conn:execute "begin"
    conn:execute(("select * from %s where id = 1 for update"):format(NAME))
    on_primary({ 2 }, "update %s set amount = 22 where id = 2")
    dirty.enter(db.primary, db, "Item", 1)
    reopen(nil, { policy = { deadline = 0.5 } })
    local result = replay()[1]
    conn:execute "rollback"
    conn:close()
    assert.same({ 1, 0, 1 }, { result.replayed, result.quarantined, result.left })
    assert.equal("open", db:journal():list()[1].state)
    assert.equal(1, replay()[1].replayed)
    assert_equal()
  end)

  -- ---- conflicts ----

  local function conflict()
    on_primary({ 1 }, "update %s set name = 'from M' where id = 1")
    on_secondary({ 1 }, "update %s set name = 'from P' where id = 1")
    on_primary({ 2 }, "update %s set amount = 22 where id = 2")
  end

  it("leaves a key that was written on both sides for a person, and brings the others", function()
    conflict()
    local result = replay()[1]
    assert.same({ 1, 2, 0 }, { result.replayed, result.conflicts, result.left })
    assert.equal("from M", rows("primary")[1].name)
    assert.equal("from P", rows("secondary")[1].name)
    for _, entry in ipairs(db:journal():list()) do assert.equal("conflict", entry.state) end
    assert.equal(2, replay()[1].conflicts)
    -- Somebody decides.
    db.secondary:execute(("update %s set name = 'from M' where id = 1"):format(NAME))
    assert.equal(1, replay()[1].replayed)
    assert.equal(0, dirty.count(db))
    assert_equal()
  end)

  local WAITS = {
    mysql = "select count(*) as n from information_schema.processlist "
      .. "where info like 'select %for update'",
    postgres = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'",
  }

  for side, driver in pairs { primary = "postgres", secondary = "mysql" } do
    it(("of the %s sees a write to the other side alone that commits while it waits for the row")
      :format(side), function()
      local on = side == "primary" and on_primary or on_secondary
      local conn = replayed.connection(driver)
      conn:execute "begin"
      conn:execute(("update %s set name = 'other' where id = 1"):format(NAME))
      dirty.enter(conn, db, "Item", 1)
      on({ 1 }, "update %s set name = 'own' where id = 1")
      on({ 2 }, "update %s set name = 'own 2' where id = 2")
      local other = child.lua(([[
        local dualdb = require "dualdb"
        local db <close> = dualdb.open { models = { Item = { table = %q } }, name = "spec" }
        local result = db:journal():replay()[1]
        print(result.replayed, result.conflicts, result.left)
      ]]):format(NAME))
      wait.wait_until("the replay waits", function()
        return servers.look(driver, WAITS[driver])[1].n > 0
      end)
      conn:execute "commit"
      assert.equal("1\t2\t0\n", (other:finish()))
      assert.same({ "other", "own 2" },
        { rows(side == "primary" and "secondary" or "primary")[1].name,
          rows(side == "primary" and "secondary" or "primary")[2].name })
      assert.equal("own", rows(side)[1].name)
    end)
  end

  for name, wanted in pairs {
    primary_wins = "from M", secondary_wins = "from P", join = "M and P",
  } do
    it(("has the strategy %s decide about it"):format(name), function()
      conflict()
      reopen({ sync = { on_conflict = name } }, { strategies = {
        join = function(a)
          a.name = "M and P"
          return a
        end,
      } })
      assert.equal(2, replay()[1].replayed)
      assert.equal(wanted, rows("primary")[1].name)
      assert_equal()
      assert.equal(0, dirty.count(db))
    end)
  end

  it("has a strategy decide about a row that one side has deleted", function()
    on_primary({ 1 }, "update %s set name = 'from M' where id = 1")
    on_secondary({ 1 }, "delete from %s where id = 1")
    on_primary({ 2 }, "delete from %s where id = 2")
    on_secondary({ 2 }, "update %s set name = 'from P' where id = 2")
    assert.equal(2, replay({ strategy = "secondary_wins" })[1].replayed)
    assert.same({ 2, 3 }, { rows("primary")[1].id, rows("primary")[2].id })
    assert_equal()
  end)

  -- ---- the model as a whole ----

  for _, side in ipairs { "primary", "secondary" } do
    it(("compares a model that is marked on the %s, and brings what differs"):format(side),
      function()
        local truth = db[side]
        truth:execute(("update %s set amount = 9"):format(NAME))
        truth:execute(("delete from %s where id = 2"):format(NAME))
        truth:execute(("insert into %s (id, name) values (20, 'new')"):format(NAME))
        dirty.whole(truth, "Item")
        assert.equal(1, db:journal():status()[1].whole)
        local wanted = rows(side)
        local result = replay()[1]
        assert.is_nil(result.error)
        assert.same({ 4, 0, 0 }, { result.replayed, result.left, result.whole })
        assert.same(wanted, rows "primary")
        assert.same(wanted, rows "secondary")
        assert.equal(0, dirty.count(db))
      end)
  end

  it("keeps what the secondary alone was given when the primary is marked", function()
    on_secondary({ 1 }, "update %s set name = 'from P' where id = 1")
    db.primary:execute(("update %s set amount = 9 where id = 2"):format(NAME))
    dirty.whole(db.primary, "Item")
    local result = replay()[1]
    assert.equal(1, result.replayed)
    assert.equal(9, rows("secondary")[2].amount)
    assert.equal("from P", rows("secondary")[1].name)
    assert.is_true(result.conflicts > 0)
  end)

  it("marks a model with more entries than the cap as a whole", function()
    reopen(nil, { policy = { journal_cap = 20 } })
    db.primary:transaction(function(conn)
      for id = 100, 150 do
        conn:execute(("insert into %s (id) values (?)"):format(NAME), id)
        dirty.enter(conn, db, "Item", id)
      end
    end)
    local seen
    replay { progress = function()
      seen = seen or servers.look("mysql", ("select count(*) as n from %s.dualdb_journal")
        :format(servers.settings("mysql").dbname))[1].n
    end }
    assert.equal(0, dirty.count(db))
    assert_equal()
  end)

  -- ---- models of other shapes ----

  it("brings children after their parents, and deletes parents after their children", function()
    local PARENT, CHILD = "spec_replay_z_parent", "spec_replay_a_child"
    pair.drop(db, CHILD)
    pair.make(db, PARENT, {
      mysql = "id int not null primary key", postgres = "id int primary key",
    })
    pair.make(db, CHILD, {
      mysql = "id int not null primary key, up int not null, foreign key (up) references "
        .. PARENT .. " (id)",
      postgres = "id int primary key, up int not null references " .. PARENT .. " (id)",
    })
    local two <close> = pair.open { Parent = { table = PARENT }, Child = { table = CHILD } }
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute("insert into " .. PARENT .. " values (1)")
      side:execute("insert into " .. CHILD .. " values (1, 1)")
    end
    dirty.write(two, two.primary, "Child", { 1 }, "delete from " .. CHILD)
    dirty.write(two, two.primary, "Parent", { 1 }, "delete from " .. PARENT)
    dirty.write(two, two.primary, "Parent", { 2 }, "insert into " .. PARENT .. " values (2)")
    dirty.write(two, two.primary, "Child", { 5 }, "insert into " .. CHILD .. " values (5, 2)")
    local results = two:journal():replay()
    assert.same({ "Parent", "Child" }, { results[1].model, results[2].model })
    assert.same({ 2, 2 }, { results[1].replayed, results[2].replayed })
    assert.equal(0, dirty.count(db))
    assert.equal(5, pair.value(db.secondary, "select id as v from " .. CHILD))
    -- The same the other way.
    dirty.write(two, two.secondary, "Parent", { 3 }, "insert into " .. PARENT .. " values (3)")
    dirty.write(two, two.secondary, "Child", { 6 }, "insert into " .. CHILD .. " values (6, 3)")
    dirty.write(two, two.secondary, "Child", { 5 }, "delete from " .. CHILD .. " where id = 5")
    dirty.write(two, two.secondary, "Parent", { 2 }, "delete from " .. PARENT .. " where id = 2")
    results = two:journal():replay()
    assert.same({ 2, 2 }, { results[1].replayed, results[2].replayed })
    assert.equal(6, pair.value(db.primary, "select id as v from " .. CHILD))
  end)

  it("knows rows by keys of several columns, of text and of bytes", function()
    local KEYED = "spec_replay_keyed"
    pair.make(db, KEYED, {
      mysql = "a varchar(20) character set utf8mb4 collate utf8mb4_bin not null, "
        .. "b varbinary(20) not null, n int, primary key (a, b)",
      postgres = "a varchar(20) not null, b bytea not null, n int, primary key (a, b)",
    })
    local keyed <close> = pair.open { Keyed = { table = KEYED } }
    local given = { { "ä", "\0\255" }, { "A'\\", "" }, { "a", "x" } }
    for i, key in ipairs(given) do
      dirty.write(keyed, keyed.primary, "Keyed", { { key[1], core.bytes(key[2]) } },
        "insert into " .. KEYED .. " values (?, ?, ?)", key[1], core.bytes(key[2]), i)
    end
    assert.equal('{"a":"ä","b":"00ff"}', (keyed:journal():list()[1].key:gsub("\\\\x", "")))
    assert.equal(3, keyed:journal():replay()[1].replayed)
    for _, key in ipairs(given) do
      dirty.write(keyed, keyed.secondary, "Keyed", { { key[1], core.bytes(key[2]) } },
        "update " .. KEYED .. " set n = n + 10 where a = ? and b = ?", key[1], core.bytes(key[2]))
    end
    assert.equal(3, keyed:journal():replay()[1].replayed)
    assert.equal(36, pair.value(keyed.primary, "select cast(sum(n) as signed) as v from " .. KEYED))
    assert.equal("equal", keyed.Keyed:verify().verdict)
  end)

  it("gives the secondary what a transform makes, and back only what changed there", function()
    reopen { sync = { transform = function(row)
      if row.amount > 100 then return nil end
      row.name = dualdb.NULL
      return row
    end } }
    db.secondary:execute(("update %s set name = null"):format(NAME))
    on_primary({ 1 }, "update %s set name = 'secret', amount = 11 where id = 1")
    on_primary({ 2 }, "update %s set amount = 200 where id = 2")
    assert.equal(2, replay()[1].replayed)
    assert.same({ { id = 1, name = dualdb.NULL, amount = 11 },
      { id = 3, name = dualdb.NULL, amount = 3 } }, rows "secondary")
    on_secondary({ 1 }, "update %s set amount = 12 where id = 1")
    assert.equal(1, replay()[1].replayed)
    assert.same({ id = 1, name = "secret", amount = 12 }, rows("primary")[1])
    assert_equal()
  end)

  it("names a model that does not exist, and keeps its entries", function()
    dirty.enter(db.primary, db, "Item", 1)
    db.primary:execute "update dualdb_journal set model = 'Gone'"
    local result = replay()[1]
    assert.same({ "Gone", 1, "usage" }, { result.model, result.left, result.error.class })
  end)

  it("ends with the error of a side that is unavailable", function()
    on_primary({ 1 }, "update %s set amount = 7 where id = 1")
    local err = pair.failure(function()
      local half <close> = pair.open({ Item = { table = NAME } }, {
        secondary = pair.with_port(os.getenv "DUALDB_SECONDARY_URL", 1),
      })
      half:journal():replay()
    end)
    assert.same({ "unavailable", "secondary" }, { err.class, err.side })
    assert.equal(1, dirty.count(db))
  end)
end)
