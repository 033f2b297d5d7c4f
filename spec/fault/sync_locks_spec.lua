--- What a full sync has read is written only while the primary holds it locked: a sync that stops
--- in the middle, and whose session is ended meanwhile, writes nothing over what came after.

local child = require "spec.support.child"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local sandbox = require "dualdb.sandbox"
local servers = require "spec.support.servers"
local setup = require "dualdb.setup"
local synced = require "spec.support.synced"
local wait = require "spec.support.wait"

local SIGCONT, PRIMARY_UNAVAILABLE = 18, 4
local NAME, CHUNK, COUNT = "spec_synced", 100, 1000
--- A key of the second chunk, and one between two others of it.
local KEY, NEW = 7 * 150, 7 * 150 + 1

describe("a full sync", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local function stop_at(tab, step)
    local started = synced.start({ tab }, {
      chunk_rows = CHUNK, jobs = 1, policy = "{ deadline = 1 }",
      environment = { DUALDB_CRASH_AT = step, DUALDB_CRASH_MODE = "stop" },
    })
    wait.wait_until("the process stops", function() return child.state(started.pid) == "T" end, 30)
    return started
  end

  local function value(driver, key)
    local row = clients.rows(driver, ("select v from %s where id = %d"):format(NAME, key))[1]
    return row and row[1]
  end

  --- The sync stops when it has read KEY's row. It loses its locks, a dual write changes the row,
  --- and the sync goes on, without a primary that it could ask again.
  local function assert_kept(tab, db)
    local before = servers.sessions "mysql"
    local started = stop_at(tab, tab.step)
    servers.end_new_sessions("mysql", before)
    db:write(function(tx) tx:update("T", KEY, { v = 777777 }) end)
    servers.destroy "primary"
    started:signal(SIGCONT)
    local run = synced.finish(started)
    assert.equal(PRIMARY_UNAVAILABLE, run.code, run.text)
    assert.equal("777777", value("postgres", KEY))
    sandbox.start "primary"
    assert.equal(0, synced.run({ tab }, { chunk_rows = CHUNK }).code)
    assert.equal("777777", value("postgres", KEY))
    assert.equal("777777", value("mysql", KEY))
    synced.assert_same(tab)
  end

  local function open()
    local db = edge.pair { T = { table = NAME } }
    setup.run(db)
    return db
  end

  it("that has lost its locks writes nothing over a newer row in a refresh", function()
    local tab = synced.make(NAME, "integer", COUNT)
    assert.equal(0, synced.run({ tab }).code)
    synced.spoil { tab }
    clients.run("postgres", ("update %s set v = -1 where id = %d"):format(NAME, KEY))
    tab.step = "sync.staged:2"
    assert_kept(tab, open())
  end)

  it("that has lost its locks writes nothing over a newer row in a load beside writers", function()
    local tab = synced.make(NAME, "integer", COUNT)
    local run = synced.run({ tab }, {
      chunk_rows = CHUNK, jobs = 1, environment = { DUALDB_CRASH_AT = "sync.released:1" },
    })
    assert.equal(137, run.code, run.text)
    local db = open()
    db:write(function(tx) tx:insert("T", { id = NEW, v = 1, filler = "" }) end)
    clients.run("postgres", ("insert into %s values (%d, -1, '')"):format(NAME, KEY))
    tab.count = COUNT + 1
    tab.step = "sync.staged:1"
    assert_kept(tab, db)
  end)

  local DIED = {
    { "a1", "a1.prepared" }, { "a1", "a1.decided" }, { "a2", "a2.prepared" },
    { "a2", "a2.decided" },
  }

  local WRITER = [[
    local dualdb = require "dualdb"
    local db <close> = dualdb.open { models = { T = { table = %q } }, name = "spec",
      policy = { commit = %q, deadline = 5 } }
    db:write(function(tx) tx:execute({ sql = "update %s set v = 777777 where abs(v) = 150",
      touches = { T = {} } }) end)
  ]]

  for _, died in ipairs(DIED) do
    local commit, step = table.unpack(died)
    for _, kind in ipairs { "integer", "text" } do
      it(("gets through behind a writer that has died at %s, %s key"):format(step, kind), function()
        local tab = synced.make(NAME, kind, COUNT)
        assert.equal(0, synced.run({ tab }).code)
        synced.spoil { tab }
        clients.run("postgres", ("update %s set v = -150 where abs(v) = 150"):format(NAME))
        local db = open()
        servers.finally(function() db:recover() end)
        local writer = child.lua(WRITER:format(NAME, commit, NAME), { DUALDB_CRASH_AT = step })
        local text, code = writer:finish()
        assert.equal(137, code, text)
        local run = synced.run { tab }
        assert.equal(0, run.code, run.text)
        db:recover()
        synced.assert_same(tab)
        assert.equal(step:find "decided$" and "1" or "0", clients.rows("mysql",
          ("select count(*) from %s where v = 777777"):format(NAME))[1][1])
      end)
    end
  end

  it("keeps a key locked that the primary lacks, whatever the server's isolation is", function()
    local tab = synced.make(NAME, "text", COUNT)
    assert.equal(0, synced.run({ tab }).code)
    clients.run("postgres", ("insert into %s values ('extra', 1, '')"):format(NAME))
    local isolation = "set global transaction isolation level %s"
    servers.finally(function() servers.command("mysql", isolation:format "repeatable read") end)
    servers.command("mysql", isolation:format "read committed")
    local holder = servers.open "postgres"
    holder:execute "begin"
    holder:query(("select v from %s where k = 'extra' for update"):format(NAME))
    local started = synced.start { tab }
    wait.wait_until("the sync waits to delete the row", function()
      return #servers.look("postgres", "select 1 as one from pg_locks where not granted") > 0
    end)
    local writer = servers.open "mysql"
    writer:execute "set innodb_lock_wait_timeout = 1"
    local err = servers.failure(writer.execute, writer,
      ("insert into %s values ('extra', 2, '')"):format(NAME))
    assert.equal("transient", err.class)
    holder:execute "rollback"
    assert.equal(0, synced.finish(started).code)
    synced.assert_same(tab)
  end)
end)
