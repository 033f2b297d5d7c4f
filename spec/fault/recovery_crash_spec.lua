--- Whoever puts things in order can die as well: a process that recovers, one that replays the
--- journal, and an owner that finds out what became of its lost answer, each dies or stops at each
--- of its steps.

local bank = require "spec.support.bank"
local child = require "spec.support.child"
local matrix = require "spec.fault.matrix"
local pair = require "spec.support.pair"
local Proxy = require "spec.support.proxy"
local wait = require "spec.support.wait"

local SIGCONT, SIGKILL, KILLED = 18, 9, 137

describe("after a dual write", function()
  local db
  local movers = {}

  before_each(function()
    db = bank.open { deadline = 2, breaker = { failures = 1000 } }
    bank.make(db)
  end)

  after_each(function()
    for _, process in ipairs(movers) do
      if child.state(process.pid) == "T" then process:signal(SIGKILL) end -- of a spec that failed
    end
    movers = {}
    db:recover()
    pair.drop_all(db)
    db:close()
  end)

  --- It has time to stand still in.
  local function policy(commit)
    return ('{ commit = "%s", deadline = 60, breaker = { failures = 1000 } }'):format(commit)
  end

  --- A process that makes a move; it dies, or stops, at a step.
  local function mover(commit, step, mode, environment)
    local id, all = bank.id(), { DUALDB_CRASH_AT = step, DUALDB_CRASH_MODE = mode }
    for name, value in pairs(environment or {}) do all[name] = value end
    movers[#movers + 1] = child.lua(bank.mover(id, policy(commit)), all)
    return movers[#movers], id
  end

  local function is_stopped(process)
    wait.wait_until("the process stops", function()
      return child.state(process.pid) == "T"
    end, 30)
  end

  local RECOVER = [[
package.path = "./?.lua;" .. package.path
require("dualdb.recovery").RETENTION = %d
local db <close> = require("spec.support.bank").open { deadline = 2 }
for _, item in ipairs(db:recover()) do print(item.gid, item.outcome, item.error) end
print "over"
]]

  local function recoverer(step, mode)
    local retention = step == "recovery.removed" and 0 or 86400
    return child.lua(RECOVER:format(retention),
      { DUALDB_CRASH_AT = step, DUALDB_CRASH_MODE = mode })
  end

  --- Where the writer died, and whether the move is there in the end.
  local LEFT = {
    { "a1.prepared", applied = false }, { "a1.decided", applied = true },
    { "a2.prepared", applied = false }, { "a2.decided", applied = true },
  }

  --- What recovery finds when it comes to the step. (A row is removed when its session is over, and
  --- that of an abort is the recoverer's own.)
  local function left_for(step)
    return step.name == "recovery.removed" and { LEFT[2], LEFT[4] } or LEFT
  end

  for _, step in ipairs(matrix.steps "recovery") do
    for _, left in ipairs(left_for(step)) do
      local function died(mode)
        local writer, id = mover(left[1]:sub(1, 2), left[1], "exit")
        writer:finish()
        local process = recoverer(step.name, mode)
        return id, process
      end

      local function all_is_well(id)
        bank.heal(db)
        local list = { id }
        assert.same({}, bank.violations(db, left.applied and list or {},
          left.applied and {} or list))
      end

      it(("left by a death at %s, recovery dies at %s: %s"):format(left[1], step.name, step.text),
          matrix.watched("recovery of " .. left[1], step.name, "dies", function()
        local id, process = died "exit"
        local text, status = process:finish()
        assert.equal(KILLED, status, text)
        all_is_well(id)
      end))

      it(("left by a death at %s, recovery stops at %s, others recover, it goes on"):format(left[1],
          step.name), matrix.watched("recovery of " .. left[1], step.name, "stops", function()
        local id, process = died "stop"
        is_stopped(process)
        bank.heal(db)
        process:signal(SIGCONT)
        local text, status = process:finish()
        assert.equal(0, status, text)
        all_is_well(id)
      end))
    end
  end

  -- ---- the owner that asks ----

  for _, step in ipairs(matrix.steps "resolve") do
    for _, commit in ipairs { "a1", "a2", "journaled" } do
      local side = commit == "a2" and "secondary" or "primary"
      for _, when in ipairs { "request", "answer" } do
        for _, mode in ipairs { "exit", "stop" } do
          local what = ("resolve, %s of COMMIT lost, %s"):format(when, commit)
          it(("whose %s of COMMIT was lost (%s), its owner %s at %s"):format(when, commit,
              mode == "exit" and "dies" or "stops", step.name),
              matrix.watched(what, step.name, mode == "exit" and "dies" or "stops", function()
            local proxy = Proxy.start(side)
            local guard <close> = setmetatable({}, { __close = function() proxy:stop() end })
            proxy:rule { "commit", when = when, what = "reset" }
            local writer, id = mover(commit, step.name, mode,
              { ["DUALDB_" .. side:upper() .. "_URL"] = proxy.url })
            if mode == "stop" then
              is_stopped(writer)
              for _, item in ipairs(db:recover()) do assert.is_nil(item.error) end
              writer:signal(SIGCONT)
            end
            local said, status = writer:finish()
            assert.equal(mode == "exit" and KILLED or 0, status, said)
            bank.heal(db)
            local done, refused = bank.told(said, id)
            if mode == "exit" then
              done, refused = when == "answer" and { id } or {}, when == "request" and { id } or {}
            end
            assert.equal(1, #done + #refused, said)
            assert.same({}, bank.violations(db, done, refused))
          end))
        end
      end
    end
  end

  -- ---- many at once ----

  it("two recover and its owner goes on, all at once", function()
    for _, step in ipairs { "a1.prepared", "a1.decided", "a2.prepared", "a2.decided" } do
      local writer, id = mover(step:sub(1, 2), step, "stop")
      is_stopped(writer)
      local first, second = recoverer(nil, "exit"), recoverer(nil, "exit")
      writer:signal(SIGCONT)
      local text = writer:finish()
      for _, process in ipairs { first, second } do
        local said, status = process:finish()
        assert.equal(0, status, said)
        assert.is_truthy(said:find("over", 1, true), said)
      end
      local done, refused = bank.told(text, id)
      assert.equal(1, #done + #refused, text)
      bank.heal(db)
      assert.same({}, bank.violations(db, done, refused))
    end
  end)

  it("the branch of a session that still is there (1397) is left alone, and finished after it",
      function()
    local writer, id = mover("a2", "a2.decided", "stop")
    is_stopped(writer)
    local list = db:recover()
    assert.equal(1, #list)
    assert.is_nil(list[1].error)
    assert.equal("primary", list[1].side)
    if list[1].outcome ~= "committed" then assert.equal("owner_alive", list[1].outcome) end
    writer:signal(SIGKILL)
    writer:finish()
    bank.heal(db)
    assert.same({}, bank.violations(db, { id }, {}))
  end)

  it("whose deciding side is gone nothing is decided until it is back", function()
    local proxy = Proxy.start "primary"
    local guard <close> = setmetatable({}, { __close = function() proxy:stop() end })
    local through <close> = bank.open({ breaker = { failures = 1000 } }, { primary = proxy.url })
    assert.same({}, (through:recover()))
    local writer, id = mover("a1", "a1.decided", "exit")
    writer:finish()
    proxy:down()
    local list, failures = through:recover()
    assert.is_true(#failures > 0)
    for _, item in ipairs(list) do assert.equal("undecided", item.outcome) end
    assert.equal(1, pair.value(db.secondary, "select count(*) as v from pg_prepared_xacts"))
    proxy:up()
    list = through:recover()
    assert.equal("committed", list[1].outcome)
    bank.heal(db)
    assert.same({}, bank.violations(db, { id }, {}))
  end)

  -- ---- replay ----

  local REPLAY = [[
package.path = "./?.lua;" .. package.path
local db <close> = require("spec.support.bank").open { deadline = 2 }
for _, result in ipairs(db:journal():replay()) do print(result.model, result.left, result.error) end
]]

  --- Leaves keys in the journal: a changed row, an absent one, and a model as a whole.
  local function leave_keys()
    local id = bank.id()
    db:write(bank.move(id, 1, 2, 10), { defer = true })
    db:write(function(tx)
      tx:execute({ sql = "update spec_account set balance = balance + 1 where id = 3",
        touches = { spec_account = true } })
      tx:execute({ sql = "update spec_account set balance = balance - 1 where id = 4",
        touches = { spec_account = true } })
    end, { defer = true })
    return id
  end

  for _, step in ipairs(matrix.steps "replay") do
    it(("replay dies at %s: %s"):format(step.name, step.text),
        matrix.watched("replay", step.name, "dies", function()
      local id = leave_keys()
      local text, status = child.lua(REPLAY, { DUALDB_CRASH_AT = step.name }):finish()
      assert.equal(KILLED, status, text)
      wait.wait_until("all is replayed", function()
        bank.heal(db)
        return #bank.violations(db, { id }, {}) == 0
      end, 20)
    end))

    it(("replay stops at %s, another one begins, it goes on"):format(step.name),
        matrix.watched("replay", step.name, "stops", function()
      local id = leave_keys()
      local process = child.lua(REPLAY, { DUALDB_CRASH_AT = step.name, DUALDB_CRASH_MODE = "stop" })
      is_stopped(process)
      local other = child.lua("print 'begins'\n" .. REPLAY)
      assert.equal("begins", other:line())
      process:signal(SIGCONT)
      for _, one in ipairs { process, other } do
        local text, status = one:finish()
        assert.equal(0, status, text)
      end
      bank.heal(db)
      assert.same({}, bank.violations(db, { id }, {}))
    end))
  end
end)
