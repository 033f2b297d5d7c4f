--- A repair is killed at each of its steps, and at whatever moment: no batch is half repaired, and
--- the undo file puts back all that was; then the next repair goes on.

local child = require "spec.support.child"
local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local core = require "dualdb.core"
local dualdb = require "dualdb"
local edge = require "spec.support.edge"
local matrix = require "spec.fault.matrix"
local servers = require "spec.support.servers"
local setup = require "dualdb.setup"
local synced = require "spec.support.synced"

local SIGKILL = 9

--- REPAIR_KILLS=FACTOR has more of them; REPAIR_SEED=N has those of an earlier run.
local FACTOR = tonumber(os.getenv "REPAIR_KILLS") or 1
local SEED = math.tointeger(tonumber(os.getenv "REPAIR_SEED")) or os.time()

local DRIVERS = { primary = "mysql", secondary = "postgres" }

local CODE = [[
  local dualdb = require "dualdb"
  local db <close> = dualdb.open {
    name = "spec", policy = { recheck = 0.01 }, models = { T = { table = "spec_edge" } },
  }
  print "begins"
  local result = db.T:repair { strategy = %s, undo = %q, allow_delete = true }
  print(("applied %%d, failed %%d, skipped %%d"):format(result.applied, result.failed,
    result.skipped))
]]

--- Ways to repair; and of each side that is written how many rows are repaired when a batch is
--- through.
local WAYS = {
  primary_wins = { code = '"primary_wins"', ends = { secondary = { 0, 100, 200, 250, 350, 400 } } },
  secondary_wins = { code = '"secondary_wins"', ends = { primary = { 0, 100, 200, 300, 400 } } },
  merge = { code = "dualdb.merge { a = function(x, y) return x .. y end }",
            ends = { primary = { 0, 100, 200, 300 }, secondary = { 0, 100, 200, 250 } } },
}

describe("a repair that is killed", function()
  local dir, runs, sessions

  before_each(function()
    edge.before_each()
    dir, runs = cli.directory(), 0
    local db <close> = dualdb.open { name = "spec" }
    setup.ensure(db, true)
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  --- Rows 0 to 99 are the primary's alone, 100 to 249 are changed, and the rest is the
  --- secondary's alone. Of a unique column some values have changed places, if wanted.
  local function make(exchanged)
    local model = edge.open {
      mysql = "id int primary key, a varchar(40), u int not null unique", rows = {},
    }
    clients.run("mysql", ("insert into spec_edge select n, concat('primary', n), n, n from (%s) m "
      .. "where n < 250"):format(servers.million("mysql", 1)))
    clients.run("postgres", ("insert into spec_edge select n, 'secondary' || n, "
      .. "case when n between 110 and %d then 229 - n else n end, n + 1 "
      .. "from generate_series(100, 399) n"):format(exchanged and 119 or 0))
    return model
  end

  --- The rows of both sides, by key.
  local function state()
    local found = {}
    for side, driver in pairs(DRIVERS) do
      found[side] = {}
      for _, row in ipairs(clients.rows(driver, "select id, a, u, v from spec_edge")) do
        found[side][row[1]] = table.concat(row, " ")
      end
    end
    return found
  end

  local function start(way, environment)
    runs, sessions = runs + 1, synced.sessions()
    for _, driver in pairs(DRIVERS) do clients.run(driver, "delete from dualdb_journal") end
    local undo = ("%s/%d.sql"):format(dir.path, runs)
    local started = child.lua(CODE:format(way.code, undo), environment)
    servers.finally(function()
      if not started.ended then
        started:signal(SIGKILL)
        started:finish()
      end
    end)
    assert.equal("begins", started:line())
    return started, undo
  end

  local function finish(started)
    local text, code = started:finish()
    started.ended = true
    synced.wait_for_sessions(sessions)
    return code, text
  end

  --- How many rows of a side are not what they were; each of them is what it shall be.
  local function changed(before, now, wanted, side)
    local count, ids = 0, {}
    for id in pairs(before[side]) do ids[id] = true end
    for id in pairs(wanted[side]) do ids[id] = true end
    for id in pairs(ids) do
      if now[side][id] ~= before[side][id] then
        count = count + 1
        assert.equal(wanted[side][id], now[side][id])
      end
    end
    return count
  end

  local function one_of(list, count, what)
    for _, allowed in ipairs(list) do
      if count == allowed then return end
    end
    error(("%s: %d rows are repaired, which is in the middle of a batch"):format(what, count))
  end

  local function undo_all(undo)
    local found = 0
    for side, driver in pairs(DRIVERS) do
      local path = undo:gsub("%.sql$", "." .. side .. ".sql")
      if dir:read(path:match "[^/]+$") then
        assert.equal("", clients.file(driver, path))
        found = found + 1
      end
    end
    return found
  end

  --- What a repair makes of the tables, which are as they were afterwards.
  local function outcome_of(way, before)
    local started, undo = start(way)
    local code, text = finish(started)
    assert.equal(0, code, text)
    assert.matches("applied 400, failed 0, skipped 0", text)
    local wanted = state()
    assert.same(wanted.primary, wanted.secondary)
    assert.equal(way.ends.primary and way.ends.secondary and 2 or 1, undo_all(undo))
    assert.same(before, state())
    return wanted
  end

  --- After a death: whole batches, which are undone, and repaired again to the end.
  local function check(way, before, wanted, undo, what)
    local now, counts = state(), {}
    for side, ends in pairs(way.ends) do
      counts[side] = changed(before, now, wanted, side)
      one_of(ends, counts[side], what)
    end
    undo_all(undo)
    assert.same(before, state())
  end

  for name, way in pairs(WAYS) do
    for _, step in ipairs(matrix.steps "repair") do
      it(("at %s (step %d): %s, by %s"):format(step.name, step.number, step.text, name),
        matrix.watched("repair", step.name, name, function()
          local model = make(true)
          local before = state()
          local wanted = outcome_of(way, before)
          local started, undo = start(way, { DUALDB_CRASH_AT = step.name .. ":2" })
          assert.equal(137, (finish(started)))
          check(way, before, wanted, undo, step.name)
          local code, text = finish((start(way)))
          assert.equal(0, code, text)
          assert.same(wanted, state())
          edge.verify(model, "equal")
        end))
    end
  end

  it("between its two commits leaves a batch to the journal, which brings it over", function()
    local model = make(false)
    local before = state()
    local wanted = outcome_of(WAYS.merge, before)
    local started = start(WAYS.merge, { DUALDB_CRASH_AT = "repair.committed:2" })
    assert.equal(137, (finish(started)))
    local now = state()
    -- The first batch were rows that only the secondary lacked.
    assert.same({ 100, 100 }, { changed(before, now, wanted, "primary"),
      changed(before, now, wanted, "secondary") })
    local db = model.db
    assert.is_true(#db:journal():list { "T" } > 0)
    assert.is_true(edge.verify(model, "different").pending > 0)
    db:journal():replay {}
    now = state()
    assert.same({ 100, 200 }, { changed(before, now, wanted, "primary"),
      changed(before, now, wanted, "secondary") })
    assert.same({}, db:journal():list { "T" })
  end)

  for name, way in pairs(WAYS) do
    it(("at whatever moment, by %s"):format(name), function()
      math.randomseed(SEED)
      make(true)
      local before = state()
      local began = core.clock()
      local wanted = outcome_of(way, before)
      local seconds = (core.clock() - began) / 2
      local kills, ended = math.ceil(5 * FACTOR), 0
      for i = 1, kills do
        local started, undo = start(way)
        core.sleep(math.random() * seconds)  -- a part of the time that it takes
        started:signal(SIGKILL)
        local code, text = finish(started)
        if code == 0 then ended = ended + 1 else assert.equal(128 + SIGKILL, code, text) end
        check(way, before, wanted, undo, ("REPAIR_SEED=%d, kill %d"):format(SEED, i))
      end
      print(("REPAIR_SEED=%d, %s: %d kills, %d came to their end before"):format(SEED, name, kills,
        ended))
    end)
  end
end)
