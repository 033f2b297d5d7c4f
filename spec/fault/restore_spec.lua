--- The side that decides is restored from a backup that is older than a decision. Recovery sees
--- that, decides nothing by itself and says so, until a person says that the side is the right one.

local bank = require "spec.support.bank"
local child = require "spec.support.child"
local cli = require "spec.support.cli"
local heartbeat = require "dualdb.heartbeat"
local pair = require "spec.support.pair"
local sandbox = require "dualdb.sandbox"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

local DIRECTORY = { primary = "select @@datadir as v", secondary = "show data_directory" }
local DRIVERS = { primary = "mysql", secondary = "postgres" }
local PREPARED = { primary = "xa recover", secondary = "select gid as data from pg_prepared_xacts" }

--- Where a server's files are, as this process sees them (it may run in a directory of its own).
local function data_directory(side)
  local row = servers.look(DRIVERS[side], DIRECTORY[side])[1]
  local pipe = assert(io.popen(("readlink /proc/%d/root"):format(sandbox.status()[side].pid)))
  local root = pipe:read "l"
  pipe:close()
  return (((root == "/" and "" or root) .. (row.v or row.data_directory)):gsub("/+$", ""))
end

local function sh(command) assert(os.execute(command), command) end

describe("recovery after the deciding side was restored from a backup", function()
  local db, project

  before_each(function()
    db = bank.open { breaker = { failures = 1000 } }
    bank.make(db)
    project = cli.directory()
    project:write("dualdb.lua", 'return { name = "spec", models = { spec_account = {} } }')
  end)

  after_each(function()
    db:recover { accept_identity = true }
    pair.drop_all(db)
    db:close()
    project:remove()
  end)

  --- A move that the heartbeat rides on: it does once a second.
  local function move_with_heartbeat(case)
    local writer <close> = bank.open { breaker = { failures = 1000 }, commit = case.commit }
    local function beat()
      return heartbeat.numbers(writer, case.side) or 0
    end
    local before = beat()
    wait.wait_until("a heartbeat rides on a move", function()
      writer:write(bank.move(bank.id(), 3, 4, 1))
      return beat() > before
    end)
  end

  for _, case in ipairs {
    { side = "primary", commit = "a1", step = "a1.decided", prepared = "secondary" },
    { side = "secondary", commit = "a2", step = "a2.decided", prepared = "primary" },
  } do
    it(("decides nothing before a person does: the %s, %s"):format(case.side, case.commit),
        function()
      move_with_heartbeat(case)
      db:recover()
      local data = data_directory(case.side)
      local copy = data .. ".backup"
      servers.finally(function() sh("rm -rf '" .. copy .. "'") end)
      sandbox.stop(case.side)
      sh(("cp -a '%s' '%s'"):format(data, copy))
      sandbox.start(case.side)
      move_with_heartbeat(case)
      child.lua(bank.mover(bank.id(), ('{ commit = "%s" }'):format(case.commit)),
        { DUALDB_CRASH_AT = case.step }):finish()
      sandbox.stop(case.side)
      sh(("rm -rf '%s' && mv '%s' '%s'"):format(data, copy, data))
      sandbox.start(case.side)

      local gid = servers.look(DRIVERS[case.prepared], PREPARED[case.prepared])[1].data
      local list = db:recover()
      assert.equal(1, #list)
      assert.equal(gid, list[1].gid)
      assert.equal("undecided", list[1].outcome)
      assert.equal("refused", list[1].error.class)
      assert.equal(case.side, list[1].error.side)
      local run = project:run { "recover" }
      assert.equal(6, run.code, run.err)
      assert.is_truthy(run.err:find(gid, 1, true), run.err)
      assert.equal(1, #servers.look(DRIVERS[case.prepared], PREPARED[case.prepared]))

      -- Others go on writing, which makes the heartbeats of both sides equal again.
      local others = bank.open { breaker = { failures = 1000 }, commit = case.commit }
      pcall(others.write, others, function(tx)
        tx:execute({ sql = "update spec_account set moved = moved + 0 where id = 4",
          touches = { spec_account = { 4 } } })
      end)
      others:close()
      assert.equal(6, project:run({ "recover" }).code)

      run = project:run { "recover", "--accept-identity" }
      assert.equal(0, run.code, run.err)
      assert.is_truthy(run.out:find("rolled back", 1, true), run.out)
      assert.same({}, servers.look(DRIVERS[case.prepared], PREPARED[case.prepared]))
    end)
  end

  it("is refused as well when another server has taken over", function()
    child.lua(bank.mover(bank.id(), '{ commit = "a1" }'),
      { DUALDB_CRASH_AT = "a1.decided" }):finish()
    db.secondary:execute("update dualdb_meta set value = 'another' where name = 'identity:primary'")
    local run = project:run { "recover" }
    assert.equal(6, run.code, run.err)
    assert.equal(1, #servers.look("postgres", PREPARED.secondary))
    run = project:run { "recover", "--accept-identity" }
    assert.equal(0, run.code, run.err)
    assert.is_truthy(run.out:find("committed", 1, true), run.out)
    bank.heal(db)
    assert.same({}, bank.violations(db, {}, {}))
  end)
end)
