--- Verify beside dual writes of the same rows, round after round: what is under way is no
--- difference, and what was planted is one in every round.
---
---   VERIFY_LIVE=n   so many rounds of each way (default 18)

local child = require "spec.support.child"
local core = require "dualdb.core"
local dirty = require "spec.support.dirty"
local journal = require "dualdb.journal"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"
local setup = require "dualdb.setup"
local stream = require "dualdb.verify.stream"

local ROUNDS = math.tointeger(tonumber(os.getenv "VERIFY_LIVE")) or 18
--- In so many of them there are planted differences to find, which takes the time that they last.
local EVERY = 6
local NAME = "spec_live"
local WRITERS, HOT = 3, 2
--- Seconds that a difference has to last: more than a write needs between its two commits here.
local RECHECK = 0.25

local COLUMNS = {
  mysql = "id bigint not null primary key, flag tinyint(1) not null, n bigint not null, "
    .. "filler varchar(40) not null",
  postgres = "id bigint not null primary key, flag boolean not null, n bigint not null, "
    .. "filler varchar(40) not null",
}

--- Turns hot rows to one of two states and back, counts in others, and puts rows in and takes them
--- away again, which are the same each time.
local WRITER = [[
  local dualdb = require "dualdb"
  local ME, STOP, HOT = %d, %q, %d
  local db <close> = dualdb.open { models = { T = { table = %q } }, name = "spec",
    policy = { preset = "available", commit = %q, deadline = 60, breaker = { failures = 1000 } } }
  math.randomseed(%d, ME)
  local number, there = 0, {}
  print "begins"
  while io.open(STOP) do
    number = number + 1
    local key = math.random(HOT)
    db:write(function(tx) tx:update("T", 100 * key, { flag = number %% 2 == 0 }) end)
    db:write(function(tx)
      tx:update("T", 100 * key + 1, { n = 10 * number + ME })
      tx:update("T", 100 * key + 2, { flag = number %% 2 == 0 })
    end)
    local own = 1000 * ME + key
    if there[own] then
      db:write(function(tx) tx:delete("T", own) end)
    else
      db:write(function(tx) tx:insert("T", { id = own, flag = true, n = 7, filler = "" }) end)
    end
    there[own] = not there[own]
  end
  print("writes", 3 * number)
]]

local HOT_ROWS = "(100, true, 0, 'x'), (101, true, 0, 'x'), (102, true, 0, 'x'), "
  .. "(200, true, 0, 'x'), (201, true, 0, 'x'), (202, true, 0, 'x')"
local PLANTED = {
  primary = "(1, true, 0, 'x'), (2, true, 0, 'x'), (150, true, 0, 'x'), (9000, true, 0, 'x')",
  secondary = "(1, false, 0, 'x'), (150, true, 0, 'y'), (0, true, 0, ''), (9001, true, 1, '')",
}
local EXPECTED = { "changed 1", "changed 150", "extra 0", "extra 9001", "missing 2",
                   "missing 9000" }

describe("a verification beside dual writes", function()
  local db

  before_each(function()
    edge.before_each()
    edge.drop_later(NAME)
  end)
  after_each(edge.after_each)

  local function make(commit)
    db = edge.pair({ T = { table = NAME } },
      { policy = { preset = "available", commit = commit, recheck = RECHECK } })
    setup.run(db)
    dirty.clear(db)
    pair.make(db, NAME, COLUMNS)
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute(("insert into %s values %s"):format(NAME, HOT_ROWS))
    end
  end

  local function plant()
    for side, rows in pairs(PLANTED) do
      db[side]:execute(("insert into %s values %s"):format(NAME, rows))
    end
  end

  local function take_out()
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute("delete from " .. NAME .. " where id in (0, 1, 2, 150, 9000, 9001)")
    end
  end

  local function start(commit, stop)
    local writers = {}
    for i = 1, WRITERS do
      writers[i] = child.lua(WRITER:format(i, stop, HOT, NAME, commit, os.time()))
    end
    for _, writer in ipairs(writers) do assert.equal("begins", writer:line()) end
    return writers
  end

  --- Verifies; the differences as sorted texts, and the report.
  local function verify(options)
    local report, list = db.T:verify(options), {}
    if report.error then error(report.error, 0) end
    for difference in report:differences() do
      list[#list + 1] = ("%s %d"):format(difference.kind, difference.key.id)
    end
    report.spool:close()
    table.sort(list)
    return list, report
  end

  --- Runs fn() while writers are at work; returns how many writes they made.
  local function beside(commit, fn)
    local stop = os.tmpname()
    local writers = start(commit, stop)
    local ok, err = pcall(fn)
    os.remove(stop)
    local writes = 0
    for _, writer in ipairs(writers) do
      local text, code = writer:finish()
      assert.equal(0, code, text)
      writes = writes + tonumber(text:match "writes\t(%d+)")
    end
    if not ok then error(err, 0) end
    return writes
  end

  for _, commit in ipairs { "a1", "a2", "journaled" } do
    it("finds what was planted and nothing else, round after round: " .. commit, function()
      make(commit)
      local unstable = 0
      local writes = beside(commit, function()
        for round = 1, ROUNDS do
          local planted = round % EVERY == 0
          if planted then plant() end
          local found, report = verify()
          assert.same(planted and EXPECTED or {}, found, ("round %d"):format(round))
          assert.equal(report.not_verified > 0 and "not_verified" or planted and "different"
            or "equal", report.verdict)
          unstable = unstable + report.not_verified
          if planted then take_out() end
        end
      end)
      print(("\n%s: %d rounds beside %d writes of %d hot rows; %d never held still"):format(commit,
        ROUNDS, writes, 6 + WRITERS * HOT, unstable))
      assert.is_true(writes > 10 * ROUNDS, writes)
      assert.same({}, (verify()))
    end)
  end

  --- Verifies while fn(n) runs before the nth look again at a difference.
  local function with_looks(fn)
    local sleep, looks = core.sleep, 0
    core.sleep = function(seconds)
      looks = looks + 1
      fn(looks)
      return sleep(seconds)
    end
    local ok, found, report = pcall(verify)
    core.sleep = sleep
    if not ok then error(found, 0) end
    return found, report, looks
  end

  it("does not take two moments of a row that goes back and forth for one difference", function()
    make "a1"
    db.primary:execute("update " .. NAME .. " set flag = false where id = 100")
    local found, report = with_looks(function(n)
      -- The secondary follows and is behind again with what it had, and so on.
      db.secondary:execute("update " .. NAME .. " set flag = false where id = 100")
      db.secondary:execute("update " .. NAME .. " set flag = true where id = 100")
      if n == 3 then db.secondary:execute("update " .. NAME .. " set flag = false") end
      if n == 3 then db.primary:execute("update " .. NAME .. " set flag = false") end
    end)
    assert.same({}, found)
    assert.equal("equal", report.verdict)
  end)

  it("does not know of a row that has other values at every look, and says so", function()
    make "a1"
    db.primary:execute("update " .. NAME .. " set flag = false where id = 100")
    local found, report = with_looks(function()
      db.secondary:execute("update " .. NAME .. " set n = n + 1 where id = 100")
    end)
    assert.same({}, found)
    assert.same({ "not_verified", 1 }, { report.verdict, report.not_verified })
  end)

  it("takes a difference that is the same at every look for one, however often it is written",
  function()
    make "a1"
    db.primary:execute("update " .. NAME .. " set flag = false where id = 100")
    local found, report = with_looks(function()
      db.secondary:execute("update " .. NAME .. " set flag = true where id = 100")
    end)
    assert.same({ "changed 100" }, found)
    assert.equal("different", report.verdict)
  end)

  it("looks at once for a row that the secondary did not have, and again", function()
    make "a1"
    db.secondary:execute("delete from " .. NAME .. " where id = 100")
    local has_entries, asked = journal.has, 0
    journal.has = function(...)  -- when the comparison is over
      asked = asked + 1
      if asked == 1 then
        db.secondary:execute("insert into " .. NAME .. " values (100, true, 0, 'x')")
      end
      return has_entries(...)
    end
    local ok, found = pcall(with_looks, function()
      db.secondary:execute("delete from " .. NAME .. " where id = 100")
    end)
    journal.has = has_entries
    assert.is_true(ok, found)
    assert.same({}, found)
  end)

  it("does not wait for differences that the comparison saw long ago", function()
    make "a1"
    db.secondary:execute("update " .. NAME .. " set flag = false where id = 100")
    local compare, clock = stream.compare, core.clock
    stream.compare = function(job)
      local result = compare(job)
      core.clock = function() return clock() + 60 end
      return result
    end
    local ok, found, _, looks = pcall(with_looks, function() end)
    stream.compare, core.clock = compare, clock
    assert.is_true(ok, found)
    assert.same({ "changed 100" }, found)
    assert.equal(0, looks)
  end)

  it("takes a difference that was written before it began for one at the first look", function()
    make "a1"
    db.secondary:execute("update " .. NAME .. " set flag = false where id = 100")
    local found, _, looks = with_looks(function() end)
    assert.same({ "changed 100" }, found)
    assert.equal(1, looks)
  end)
end)
