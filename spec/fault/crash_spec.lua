--- A process that writes dies, or stops and wakes up later, after each step of each protocol. Then
--- somebody else recovers: both sides have the write or neither has, nothing stays behind, and who
--- was told something was told the truth.

local bank = require "spec.support.bank"
local child = require "spec.support.child"
local matrix = require "spec.fault.matrix"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

local SIGCONT, SIGKILL, KILLED = 18, 9, 137

--- How each protocol is made to run. `defer` makes the write go to the primary alone.
local PROTOCOLS = {
  { name = "a1", policy = '{ commit = "a1" }' },
  { name = "a2", policy = '{ commit = "a2" }' },
  { name = "journaled", policy = '{ commit = "journaled" }',
    more = { "journal.entered", "journal.removed" } },
  { name = "primary_only", policy = '{ commit = "a1" }', defer = true,
    more = { "journal.entered" } },
}

describe("a dual write whose process", function()
  local db

  before_each(function()
    db = bank.open()
    bank.make(db)
  end)

  after_each(function()
    db:recover() -- what a failed spec has left holds locks
    require("spec.support.pair").drop_all(db)
    db:close()
  end)

  local function heal() bank.heal(db) end
  local told = bank.told

  local function start(protocol, step, mode, id)
    return child.lua(bank.mover(id, protocol.policy, protocol.defer), {
      DUALDB_CRASH_AT = step.name, DUALDB_CRASH_MODE = mode,
    })
  end

  for _, protocol in ipairs(PROTOCOLS) do
    for _, step in ipairs(matrix.steps(protocol.name, protocol.more)) do
      local what = ("%s (step %d): %s"):format(step.name, step.number, step.text)

      it(("dies at %s"):format(what), matrix.watched(protocol.name, step.name, "dies", function()
        local id = bank.id()
        local before = servers.sessions "postgres"
        local text, status = start(protocol, step, "exit", id):finish()
        assert.equal(KILLED, status, text)
        wait.wait_until("the server has done what it was sent", function()
          for session in pairs(servers.sessions "postgres") do
            if not before[session] then return false end
          end
          return true
        end)
        heal()
        assert.same({}, (bank.violations(db, told(text, id))))
      end))

      it(("stops at %s, and goes on after recovery"):format(what),
          matrix.watched(protocol.name, step.name, "stops", function()
        local id = bank.id()
        local writer = start(protocol, step, "stop", id)
        wait.wait_until("the process stops", function()
          return child.state(writer.pid) == "T"
        end, 30)
        local list, failures = db:recover()
        assert.same({}, failures)
        for _, item in ipairs(list) do assert.is_nil(item.error) end
        writer:signal(SIGCONT)
        local text = writer:finish()
        heal()
        local done, refused = told(text, id)
        assert.equal(1, #done + #refused, text)
        assert.same({}, bank.violations(db, done, refused))
      end))
    end
  end

  it("is killed while stopped leaves nothing behind either", function()
    for _, step in ipairs { "a1.prepared", "a2.prepared" } do
      local id = bank.id()
      local writer = start({ policy = ('{ commit = "%s" }'):format(step:sub(1, 2)) },
        { name = step }, "stop", id)
      wait.wait_until("the process stops", function()
        return child.state(writer.pid) == "T"
      end, 30)
      writer:signal(SIGKILL)
      writer:finish()
      heal()
      assert.same({}, bank.violations(db, {}, { id }))
    end
  end)
end)
