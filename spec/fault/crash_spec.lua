--- A process that writes dies, or stops and wakes up later, after each step of each protocol. Then
--- somebody else recovers: both sides have the write or neither has, nothing stays behind, and who
--- was told something was told the truth.

local bank = require "spec.support.bank"
local child = require "spec.support.child"
local core = require "dualdb.core"
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

--- The steps of one protocol, and those of the journal that it passes.
local function steps_of(protocol)
  local list = {}
  for _, step in ipairs(core.crash_points()) do
    local of = step.name:match("^[^.]+") == protocol.name
    for _, name in ipairs(protocol.more or {}) do of = of or step.name == name end
    if of then list[#list + 1] = step end
  end
  return list
end

local function state_of(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text:match("%) (%a)")
end

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

  --- Recovers and replays as anybody would, until nothing is left to do.
  local function heal()
    wait.wait_until("nothing is in doubt any more", function()
      local list = db:recover()
      for _, item in ipairs(list) do
        if item.error then error(item.error) end
      end
      return #list == 0
    end, 20)
    db:journal():replay()
  end

  --- Reads what the process said: the id of the move and whether it was done; nothing when it died.
  local function told(text, id)
    if text:find("done\t" .. id, 1, true) then return { id }, {} end
    local outcome = text:match("failed\t" .. id:gsub("%-", "%%-") .. "\t(%S+)")
    if outcome == "not_applied" then return {}, { id } end
    return {}, {}
  end

  local function start(protocol, step, mode, id)
    return child.lua(bank.mover(id, protocol.policy, protocol.defer), {
      DUALDB_CRASH_AT = step.name, DUALDB_CRASH_MODE = mode,
    })
  end

  for _, protocol in ipairs(PROTOCOLS) do
    for _, step in ipairs(steps_of(protocol)) do
      local what = ("%s (step %d): %s"):format(step.name, step.number, step.text)

      it(("dies at %s"):format(what), function()
        local id = bank.id()
        local text, status = start(protocol, step, "exit", id):finish()
        assert.equal(KILLED, status, text)
        heal()
        assert.same({}, (bank.violations(db, told(text, id))))
      end)

      it(("stops at %s, and goes on after recovery"):format(what), function()
        local id = bank.id()
        local writer = start(protocol, step, "stop", id)
        wait.wait_until("the process stops", function() return state_of(writer.pid) == "T" end)
        local list, failures = db:recover()
        assert.same({}, failures)
        for _, item in ipairs(list) do assert.is_nil(item.error) end
        writer:signal(SIGCONT)
        local text = writer:finish()
        heal()
        local done, refused = told(text, id)
        assert.equal(1, #done + #refused, text)
        assert.same({}, bank.violations(db, done, refused))
      end)
    end
  end

  it("is killed while stopped leaves nothing behind either", function()
    for _, step in ipairs { "a1.prepared", "a2.prepared" } do
      local id = bank.id()
      local writer = start({ policy = ('{ commit = "%s" }'):format(step:sub(1, 2)) },
        { name = step }, "stop", id)
      wait.wait_until("the process stops", function() return state_of(writer.pid) == "T" end)
      writer:signal(SIGKILL)
      writer:finish()
      heal()
      assert.same({}, bank.violations(db, {}, { id }))
    end
  end)
end)
