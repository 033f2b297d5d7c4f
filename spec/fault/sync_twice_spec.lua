--- Two full syncs of a model at once: the second one is refused and disturbs nothing, and the model
--- is free again when the first one has ended, however it has.

local child = require "spec.support.child"
local cli = require "spec.support.cli"
local edge = require "spec.support.edge"
local servers = require "spec.support.servers"
local synced = require "spec.support.synced"
local wait = require "spec.support.wait"

local SIGKILL, SIGCONT, CONFLICT = 9, 18, 1
local NAME, CHUNK, COUNT = "spec_synced", 100, 2000
local RUNNING = "model %s: another sync of it is running"

describe("a full sync beside another one of the same model", function()
  local dir

  before_each(function()
    edge.before_each()
    dir = cli.directory()
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  --- A sync that stands still in its third chunk.
  local function stopped(tabs, direction, step)
    local started = synced.start(tabs, {
      chunk_rows = CHUNK, jobs = 1, direction = direction,
      environment = { DUALDB_CRASH_AT = step or "sync.released:3", DUALDB_CRASH_MODE = "stop" },
    })
    wait.wait_until("the process stops", function() return child.state(started.pid) == "T" end, 30)
    return started
  end

  local function options(direction, restart)
    return { chunk_rows = CHUNK, jobs = 1, direction = direction, restart = restart }
  end

  local WAYS = {
    { name = "a load", restarts = true },
    { name = "a refresh", refresh = true },
    { name = "a load of the primary", direction = "to_primary", driver = "mysql" },
    { name = "a refresh of the primary", direction = "to_primary", driver = "mysql",
      refresh = true },
  }

  --- A table on which the sync has something to do.
  local function make(way)
    local tab = synced.make(NAME, "integer", COUNT)
    if way.direction or way.refresh then assert.equal(0, synced.run({ tab }).code) end
    if way.refresh then
      synced.spoil({ tab }, way.driver)
    elseif way.direction then
      synced.empty({ tab }, way.driver)
    end
    return tab
  end

  local function assert_refused(run, names)
    assert.equal(CONFLICT, run.code, run.text)
    for _, name in ipairs(names) do assert.matches(RUNNING:format(name), run.text, 1, true) end
  end

  for _, way in ipairs(WAYS) do
    it(("is refused, and %s is not disturbed"):format(way.name), function()
      local tab = make(way)
      local first = stopped({ tab }, way.direction)
      assert.equal(3 * CHUNK, synced.reached(tab, way.driver))
      assert_refused(synced.run({ tab }, options(way.direction)), { NAME })
      if way.restarts then
        assert_refused(synced.run({ tab }, options(way.direction, true)), { NAME })
      end
      assert.equal(3 * CHUNK, synced.reached(tab, way.driver))
      first:signal(SIGCONT)
      local run = synced.finish(first)
      assert.equal(0, run.code, run.text)
      assert.is_false(run.results[NAME].resumed)
      assert.equal(COUNT, run.results[NAME].rows_read)
      synced.assert_same(tab)
      assert.equal(0, synced.run({ tab }, options(way.direction)).code)
      synced.assert_same(tab)
    end)

    it(("goes on where %s was killed"):format(way.name), function()
      local tab = make(way)
      local first = stopped({ tab }, way.direction)
      first:signal(SIGKILL)
      local run = synced.run({ tab }, options(way.direction))
      assert.equal(0, run.code, run.text)
      assert.is_true(run.results[NAME].resumed)
      assert.equal(COUNT - 3 * CHUNK, run.results[NAME].rows_read)
      synced.finish(first)
      synced.assert_same(tab)
    end)
  end

  it("is refused in the other direction too", function()
    local tab = make(WAYS[1])
    local first = stopped { tab }
    assert_refused(synced.run({ tab }, options "to_primary"), { NAME })
    first:signal(SIGCONT)
    assert.equal(0, synced.finish(first).code)
    synced.assert_same(tab)
  end)

  it("is refused all models that the first one will come to, and copies the others", function()
    local tabs = {}
    for i = 1, 3 do tabs[i] = synced.make(NAME .. i, "integer", COUNT) end
    local first = stopped { tabs[1], tabs[2] }
    local run = synced.run({ tabs[3], tabs[2], tabs[1] }, options())
    assert_refused(run, { tabs[1].name, tabs[2].name })
    assert.equal(COUNT, run.results[tabs[3].name].rows_read)
    first:signal(SIGCONT)
    run = synced.finish(first)
    assert.equal(0, run.code, run.text)
    for _, tab in ipairs(tabs) do synced.assert_same(tab) end
  end)

  it("is told by the command who is in the way", function()
    local tab = make(WAYS[1])
    local first = stopped { tab }
    dir:write("dualdb.lua", ("return { name = 'spec', models = { %s = { table = %q } } }"):format(
      NAME, NAME))
    local run = dir:run { "sync", NAME, "--full" }
    assert.equal(CONFLICT, run.code, run.err)
    assert.matches(RUNNING:format(NAME), run.err, 1, true)
    local session = math.tointeger(tonumber(run.err:match "primary's session (%d+)"))
    assert.is_truthy(servers.sessions("mysql")[session])
    first:signal(SIGKILL)
    synced.finish(first)
    run = dir:run { "sync", NAME, "--full" }
    assert.equal(0, run.code, run.err)
    synced.assert_same(tab)
  end)

  -- ---- a session that the primary has ended ----

  it("has the model when the first one has lost its session, and keeps it", function()
    local tab = make(WAYS[1])
    local before = servers.sessions "mysql"
    local first = stopped { tab }
    servers.end_new_sessions("mysql", before)
    local second = stopped { tab }
    first:signal(SIGCONT)
    assert_refused(synced.finish(first), { NAME })
    second:signal(SIGCONT)
    local run = synced.finish(second)
    assert.equal(0, run.code, run.text)
    assert.equal(COUNT - 3 * CHUNK, run.results[NAME].rows_read)
    synced.assert_same(tab)
  end)

  it("is refused when the first one has lost its session and has got another one", function()
    local tab = make(WAYS[1])
    local before = servers.sessions "mysql"
    local first = stopped { tab }
    servers.end_new_sessions("mysql", before)
    local holder = servers.open "mysql"
    holder:execute "begin"
    holder:query(("select v from %s where id = %d for update"):format(NAME, 7 * (COUNT - 1)))
    first:signal(SIGCONT)
    wait.wait_until("it goes on", function() return synced.reached(tab) > 3 * CHUNK end)
    assert_refused(synced.run({ tab }, options()), { NAME })
    holder:execute "rollback"
    local run = synced.finish(first)
    assert.equal(0, run.code, run.text)
    synced.assert_same(tab)
  end)
end)
