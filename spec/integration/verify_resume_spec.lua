--- A verification that is killed at whatever moment goes on, and its report is that of one which
--- was not.

local cli = require "spec.support.cli"
local core = require "dualdb.core"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"
local verified = require "spec.support.verified"

local NAME, TEXT = "spec_resumed", "spec_resumed_text"
local SIGKILL = 9

describe("a verification that is killed", function()
  local db, dir, env

  setup(function()
    servers.before_each()
    db = pair.open()
  end)

  teardown(function()
    pair.drop_all(db)
    db:close()
    servers.after_each()
  end)

  before_each(function()
    dir = cli.directory()
    env = { DUALDB_STATE_DIR = dir.path .. "/state" }
  end)
  after_each(function() dir:remove() end)

  local function with(more)
    local all = {}
    for name, value in pairs(env) do all[name] = value end
    for name, value in pairs(more) do all[name] = value end
    return all
  end

  --- What a verification that nobody kills says, and writes.
  local function whole(...)
    local path = dir.path .. "/whole.jsonl"
    local code, document, text = verified.run({ "verify", ..., "--report", path }, { env = env })
    assert.equal(1, code, text)
    return verified.facts(document.models[1]), dir:read "whole.jsonl"
  end

  --- Goes on with a run; what it says, and writes.
  local function resumed(run, expected)
    local path = dir.path .. "/resumed.jsonl"
    local code, document, text = verified.run(
      { "verify", "--resume", tostring(run), "--report", path }, { env = env })
    assert.equal(expected or 1, code, text)
    return verified.facts(document.models[1]), dir:read "resumed.jsonl", text
  end

  local function last_run()
    local _, document = verified.run({ "runs" }, { env = env })
    return document.runs[1]
  end

  describe("with keys in order", function()
    local facts, lines  -- of a verification that nobody kills

    setup(function()
      verified.make(pair, db, NAME)
      dir = cli.directory()
      env = { DUALDB_STATE_DIR = dir.path .. "/state" }
      facts, lines = whole(NAME)
      dir:remove()
    end)

    it("would have found what differs", function()
      assert.same({ 30, 20, 10, 12 }, { facts.changed, facts.missing, facts.extra, facts.chunks })
      local _, count = lines:gsub("\n", "")
      assert.equal(60, count)
    end)

    for _, step in ipairs {
      "verify.begun", "verify.seen", "verify.seen:5", "verify.noted", "verify.noted:5",
      "verify.noted:12", "verify.compared", "verify.confirmed",
    } do
      it("goes on after a death at " .. step, function()
        local code, _, text = verified.run({ "verify", NAME },
          { env = with { DUALDB_CRASH_AT = step } })
        assert.equal(137, code, text)
        local run = last_run()
        assert.equal("interrupted", run.state)
        local again, other_lines = resumed(run.run)
        assert.same(facts, again)
        assert.equal(lines, other_lines)
        run = last_run()
        assert.same({ "finished", "different", 1 }, { run.state, run.verdict, run.exit })
      end)
    end

    it("does not read again what was compared", function()
      local code = verified.run({ "verify", NAME },
        { env = with { DUALDB_CRASH_AT = "verify.noted:6" } })
      assert.equal(137, code)
      -- In the first chunk, which is over; the last one is not.
      for _, id in ipairs { 1, verified.ROWS } do
        db.secondary:execute(("update %s set n = n + 50 where id = %d"):format(NAME, id))
      end
      local again = resumed(last_run().run)
      for _, id in ipairs { 1, verified.ROWS } do
        db.secondary:execute(("update %s set n = n - 50 where id = %d"):format(NAME, id))
      end
      -- The last row is one of those that differ anyway.
      assert.equal(30, again.changed)
      assert.equal(verified.ROWS - 10, again.rows_primary)
    end)

    it("goes on however often, and whenever, it is killed", function()
      math.randomseed(os.time())
      local words, kills, longest = { "verify", NAME }, 0, 0.4
      for _ = 1, 12 do
        local started = verified.start(words, { env = env, chunk_rows = 50 })
        core.sleep(math.random() * longest)
        started:signal(SIGKILL)
        local code = verified.finish(started)
        -- One that was through before it was killed leaves less time to the next.
        if code == 128 + SIGKILL then kills = kills + 1 else longest = longest * 0.75 end
        local run = last_run()
        if run and run.state == "interrupted" then
          words = { "verify", "--resume", tostring(run.run) }
        else
          words = { "verify", NAME }
        end
      end
      assert.is_true(kills > 0)
      if #words == 2 then
        verified.run(words, { env = with { DUALDB_CRASH_AT = "verify.noted:3" } })
      end
      local again, other_lines = resumed(last_run().run)
      for _, name in ipairs { "missing", "extra", "changed", "rows_primary", "rows_secondary",
                              "verdict", "changed_columns", "not_verified" } do
        assert.same(facts[name], again[name])
      end
      assert.equal(lines, other_lines)
    end)

    it("goes on only with the same models, compared the same way", function()
      local code = verified.run({ "verify", NAME, "--where", "n < 5" },
        { env = with { DUALDB_CRASH_AT = "verify.noted:3" } })
      assert.equal(137, code)
      local run = tostring(last_run().run)
      for _, case in ipairs {
        { { "--where", "n < 6" }, "was begun with where = n < 5" },
        { { "--columns", "n" }, "was begun without columns" },
      } do
        local again, _, text = verified.run(
          { "verify", "--resume", run, table.unpack(case[1]) }, { env = env })
        assert.equal(2, again, text)
        assert.matches(case[2], text, 1, true)
      end
      for _, side in ipairs { db.primary, db.secondary } do
        side:execute(("alter table %s add more int"):format(NAME))
      end
      local again, _, text = verified.run({ "verify", "--resume", run }, { env = env })
      for _, side in ipairs { db.primary, db.secondary } do
        side:execute(("alter table %s drop column more"):format(NAME))
      end
      assert.equal(2, again, text)
      assert.matches("the list of columns is not what it was when the run began", text, 1, true)
    end)

    it("cannot go on once it is finished, nor when there is no such run", function()
      whole(NAME)
      local run = last_run().run
      for _, case in ipairs { { run, "is finished" }, { 99, "no run 99" } } do
        local code, _, text = verified.run({ "verify", "--resume", tostring(case[1]) },
          { env = env })
        assert.equal(2, code, text)
        assert.matches(case[2], text, 1, true)
      end
    end)
  end)

  it("of several models goes on with each", function()
    verified.make(pair, db, NAME)
    verified.make(pair, db, NAME .. "2")
    local function facts_of(document)
      local list = {}
      for i, entry in ipairs(document.models) do list[i] = verified.facts(entry) end
      return list
    end
    local names = { "verify", NAME, NAME .. "2" }
    local code, document = verified.run(names, { env = env })
    assert.equal(1, code)
    for _, step in ipairs { "verify.noted:15", "verify.compared", "verify.confirmed:2" } do
      code = verified.run(names, { env = with { DUALDB_CRASH_AT = step } })
      assert.equal(137, code)
      local again, text
      code, again, text = verified.run({ "verify", "--resume", tostring(last_run().run) },
        { env = env })
      assert.equal(1, code, text)
      assert.same(facts_of(document), facts_of(again))
    end
  end)

  it("starts over where keys have no order, and says so", function()
    verified.make(pair, db, TEXT, true)
    local facts, lines = whole(TEXT)
    local code = verified.run({ "verify", TEXT },
      { env = with { DUALDB_CRASH_AT = "verify.seen" } })
    assert.equal(137, code)
    local again, other_lines, text = resumed(last_run().run)
    assert.same(facts, again)
    assert.equal(#lines, #other_lines)
    assert.matches("starts over: its keys have no order", text, 1, true)
  end)
end)
