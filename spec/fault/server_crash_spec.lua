--- A server is killed while a dual write stands at a step of its protocol, and started again. The
--- writer goes on and tells the truth, and recovery leaves both sides equal.

local bank = require "spec.support.bank"
local child = require "spec.support.child"
local matrix = require "spec.fault.matrix"
local pair = require "spec.support.pair"
local sandbox = require "dualdb.sandbox"
local wait = require "spec.support.wait"

local SIGCONT, SIGKILL = 18, 9

local PROTOCOLS = {
  { name = "a1" }, { name = "a2" }, { name = "journaled", more = { "journal.entered" } },
}

local KILLED = {
  { "the primary's server", "primary killed", "primary" },
  { "the secondary's server", "secondary killed", "secondary" },
  { "both servers", "both killed", "primary", "secondary" },
}

describe("a dual write survives that a server is killed:", function()
  local db

  before_each(function()
    db = bank.open { breaker = { failures = 1000 } }
    bank.make(db)
  end)

  after_each(function()
    db:recover()
    pair.drop_all(db)
    db:close()
  end)

  --- A process that makes a move and stops at a step. The time that it stands still is its own.
  local function stopped_at(protocol, step)
    local id = bank.id()
    local writer = child.lua(bank.mover(id, ('{ commit = "%s", deadline = 60, '
      .. 'breaker = { failures = 1000 } }'):format(protocol.name)),
      { DUALDB_CRASH_AT = step.name, DUALDB_CRASH_MODE = "stop" })
    wait.wait_until("the process stops", function()
      return child.state(writer.pid) == "T"
    end, 30)
    return writer, id
  end

  local function kill_and_start(servers)
    for i = 3, #servers do sandbox.stop(servers[i], "KILL") end
    for i = 3, #servers do sandbox.start(servers[i]) end
  end

  for _, protocol in ipairs(PROTOCOLS) do
    for _, step in ipairs(matrix.steps(protocol.name, protocol.more)) do
      for _, servers in ipairs(KILLED) do
        it(("%s at %s (step %d): %s"):format(servers[1], step.name, step.number, step.text),
            matrix.watched(protocol.name, step.name, servers[2], function()
          local writer, id = stopped_at(protocol, step)
          kill_and_start(servers)
          writer:signal(SIGCONT)
          local text = writer:finish()
          local done, refused = bank.told(text, id)
          assert.equal(1, #done + #refused, text)
          bank.heal(db)
          assert.same({}, bank.violations(db, done, refused))
        end))
      end

      it(("both servers and the writer at %s"):format(step.name),
          matrix.watched(protocol.name, step.name, "all killed", function()
        local writer = stopped_at(protocol, step)
        writer:signal(SIGKILL)
        writer:finish()
        kill_and_start(KILLED[3])
        bank.heal(db)
        assert.same({}, bank.violations(db, {}, {}))
      end))
    end
  end
end)
