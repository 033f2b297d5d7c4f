--- A full sync is killed at whatever moment, or a server is, and run again: it goes on from where
--- it had got to, and in the end the sides are equal.

local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local core = require "dualdb.core"
local edge = require "spec.support.edge"
local matrix = require "spec.fault.matrix"
local sandbox = require "dualdb.sandbox"
local synced = require "spec.support.synced"
local wait = require "spec.support.wait"

local SIGKILL = 9

--- SYNC_KILLS=FACTOR has more of them; SYNC_SEED=N has those of an earlier run.
local FACTOR = tonumber(os.getenv "SYNC_KILLS") or 1
local SEED = math.tointeger(tonumber(os.getenv "SYNC_SEED")) or os.time()

local COUNT, FEW = 60000, 24000
local NAME = "spec_synced"

describe("a full sync that is killed", function()
  local dir

  before_each(function()
    edge.before_each()
    dir = cli.directory()
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  --- Compares the tables by dualdb and by the clients.
  local function assert_equal(tabs)
    local models = {}
    for _, tab in ipairs(tabs) do models[tab.name] = { table = tab.name } end
    local db = edge.pair(models)
    for _, tab in ipairs(tabs) do
      edge.verify(db[tab.name], "equal")
      synced.assert_same(tab)
    end
  end

  ---@class spec.Kills
  ---@field kills integer
  ---@field most_seconds number   until one is killed
  ---@field again function        puts the tables back when they are through
  ---@field in_one_pass boolean|nil
  ---@field direction "to_primary"|nil

  --- Kills syncs of the tables at random times until there were so many. After the last one a sync
  --- runs to its end. Returns the last run, and what the checkpoint said before it.
  ---@param how spec.Kills
  local function kill_often(tabs, how)
    local kills = math.ceil(how.kills * FACTOR)
    local written = how.direction and "mysql" or "postgres"
    print(("\nSYNC_SEED=%d, %d kills"):format(SEED, kills))
    math.randomseed(SEED)
    local before = synced.sessions()
    local killed, completed, resumed = 0, 0, 0
    while true do
      local started = synced.start(tabs, {
        jobs = math.random(3), moving = math.random(3) > 1, direction = how.direction,
      })
      core.sleep(math.random() * how.most_seconds)  -- a part of the time that it takes
      started:signal(SIGKILL)
      local run = synced.finish(started)
      if run.code == 0 then
        completed = completed + 1
        for _, tab in ipairs(tabs) do synced.assert_same(tab) end
        for _, result in pairs(run.results) do
          if result.resumed then resumed = resumed + 1 end
        end
        how.again()
      else
        assert.equal(128 + SIGKILL, run.code, run.text)
        killed = killed + 1
        local reached = synced.reached(tabs[1], written)
        if killed >= kills and (how.in_one_pass or reached and reached > 0) then break end
      end
      -- Half of them begin while the servers are still about the one before.
      if math.random(2) == 1 then synced.wait_for_sessions(before) end
    end
    synced.wait_for_sessions(before)
    local reached = {}
    for _, tab in ipairs(tabs) do reached[tab.name] = synced.reached(tab, written) end
    local run = synced.run(tabs, { direction = how.direction })
    assert.equal(0, run.code, run.text)
    print(("%d killed, %d came to their end before, %d of these went on from a checkpoint")
      :format(killed, completed, resumed))
    assert.is_true(killed >= kills)
    return run, reached
  end

  --- The last run has read what the checkpoint did not say was over, no more and no less.
  local function assert_went_on(run, tab, reached)
    local result = run.results[tab.name]
    assert.is_true(result.resumed)
    assert.is_true(reached > 0)
    assert.equal(tab.count - reached, result.rows_read)
  end

  for _, kind in ipairs { "integer", "text", "composite" } do
    it(("in its load goes on from its last chunk: %s key"):format(kind), function()
      local tab = synced.make(NAME, kind, COUNT)
      local run, reached = kill_often({ tab }, {
        kills = kind == "integer" and 40 or 15, most_seconds = 0.4,
        again = function() synced.empty { tab } end,
      })
      assert.equal("load", run.results[NAME].action)
      assert_went_on(run, tab, reached[NAME])
      assert_equal { tab }
    end)

    it(("in a refresh goes on from its last chunk: %s key"):format(kind), function()
      -- Texts are ordered otherwise on the other side: their rows go by their keys, in one pass.
      local in_one_pass = kind == "text"
      local tab = synced.make(NAME, kind, in_one_pass and FEW or COUNT)
      assert.equal(0, synced.run({ tab }).code)
      synced.spoil { tab }
      local run, reached = kill_often({ tab }, {
        kills = kind == "integer" and 20 or 8, most_seconds = 0.6, in_one_pass = in_one_pass,
        again = function() synced.spoil { tab } end,
      })
      assert.equal("refresh", run.results[NAME].action)
      if not in_one_pass then assert_went_on(run, tab, reached[NAME]) end
      assert_equal { tab }
    end)
  end

  it("with several tables goes on with each of them", function()
    local tabs = {}
    for i, kind in ipairs { "integer", "composite", "text", "integer" } do
      tabs[i] = synced.make(NAME .. i, kind, i == 4 and 500 or COUNT // 2)
    end
    kill_often(tabs, {
      kills = 10, most_seconds = 0.5, in_one_pass = true,
      again = function() synced.empty(tabs) end,
    })
    assert_equal(tabs)
  end)

  for _, mode in ipairs { "load", "refresh" } do
    it(("to the primary goes on from its last chunk: %s"):format(mode), function()
      local tab = synced.make(NAME, "integer", COUNT)
      assert.equal(0, synced.run({ tab }).code)
      local function damage()
        synced[mode == "load" and "empty" or "spoil"]({ tab }, "mysql")
      end
      damage()
      local run, reached = kill_often({ tab }, {
        kills = 12, most_seconds = 0.6, again = damage, direction = "to_primary",
      })
      assert.equal(mode, run.results[NAME].action)
      assert_went_on(run, tab, reached[NAME])
      assert_equal { tab }
    end)
  end

  for _, chunk_rows in ipairs { 2000, 2 * FEW } do
    it(("forgets how far it was when it is to begin anew, with chunks of %d rows"):format(
      chunk_rows), function()
      local tab = synced.make(NAME, "integer", FEW)
      local killed = synced.run({ tab }, { environment = { DUALDB_CRASH_AT = "sync.released" } })
      assert.equal(137, killed.code, killed.text)
      clients.run("mysql", ("update %s set v = v + 1 where id = 0"):format(NAME))
      local run = synced.run({ tab }, { restart = true, chunk_rows = chunk_rows })
      assert.equal(0, run.code, run.text)
      assert.is_false(run.results[NAME].resumed)
      assert.equal(FEW, run.results[NAME].rows_read)
      assert_equal { tab }
    end)
  end

  -- ---- at a step ----

  local WAYS = {
    { name = "load" }, { name = "refresh", refreshes = true },
    { name = "load of the primary", direction = "to_primary", driver = "mysql" },
    { name = "refresh of the primary", direction = "to_primary", driver = "mysql",
      refreshes = true },
  }

  for _, step in ipairs(matrix.steps "sync") do
    for _, way in ipairs(WAYS) do
      it(("at %s (step %d): %s, in a %s"):format(step.name, step.number, step.text, way.name),
        matrix.watched("sync", step.name, way.name, function()
          local tab = synced.make(NAME, "integer", FEW)
          if way.refreshes or way.direction then assert.equal(0, synced.run({ tab }).code) end
          if way.refreshes then
            synced.spoil({ tab }, way.driver)
          else
            synced.empty({ tab }, way.driver)
          end
          local often = step.name:match "%.written$" or step.name:match "%.committed$"
            or step.name:match "%.released$"
          for _, which in ipairs(often and { 1, 2, 7 } or { 1 }) do
            local run = synced.run({ tab }, { direction = way.direction, environment = {
              DUALDB_CRASH_AT = step.name .. ":" .. which,
            } })
            -- A range is cut only where a lane has nothing to do meanwhile.
            if step.name ~= "sync.split" or run.code ~= 0 then
              assert.equal(137, run.code, run.text)
            end
          end
          local run = synced.run({ tab }, { direction = way.direction })
          assert.equal(0, run.code, run.text)
          assert_equal { tab }
        end))
    end
  end

  -- ---- the servers ----

  local CODES = { primary = 4, secondary = 5 }

  local PROJECT = [[
    return { name = "spec", policy = { deadline = %d },
      models = { spec_synced = { table = "spec_synced" } } }
  ]]

  for _, side in ipairs { "primary", "secondary" } do
    for _, mode in ipairs { "load", "refresh" } do
      it(("with the server of the %s goes on when that is back, in a %s"):format(side, mode),
        function()
          local tab = synced.make(NAME, "integer", 3 * COUNT)
          if mode == "refresh" then
            assert.equal(0, synced.run({ tab }, { chunk_rows = 100000 }).code)
            synced.spoil { tab }
          end
          for _, returns in ipairs { true, false } do
            dir:write("dualdb.lua", PROJECT:format(returns and 60 or 1))
            local finish = dir:start { "sync", NAME, "--full" }
            wait.wait_until("a chunk is over", function()
              local reached = synced.reached(tab)
              return reached and reached > 0
            end)
            sandbox.stop(side, "KILL")
            if returns then sandbox.start(side) end
            local run = finish()
            if not returns then
              sandbox.start(side)
              assert.equal(CODES[side], run.code, run.err)
            elseif run.code ~= 0 then
              assert.equal(CODES[side], run.code, run.err)
            end
            if returns and run.code == 0 then
              assert_equal { tab }
              if mode == "load" then synced.empty { tab } else synced.spoil { tab } end
            end
          end
          local run = dir:run { "sync", NAME, "--full" }
          assert.equal(0, run.code, run.err)
          assert_equal { tab }
        end)
    end
  end
end)
