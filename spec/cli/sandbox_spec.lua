-- dualdb sandbox, and the module under it, on sandboxes of their own beside the one the specs use.

local core = require "dualdb.core"
local cli = require "spec.support.cli"
local sandbox = require "dualdb.sandbox"
local system = require "dualdb.sandbox.system"

-- The sandboxes here are what the default gives: not the one of the specs, and MariaDB's or MySQL's
-- packaged server, so that all of it takes seconds.
local UNSET = { "DUALDB_SANDBOX", "SERVERS" }

local function dies(pid)
  return system.wait(10, function() return not system.alive(pid) end)
end

--- The exported variables as a table; the shell reads them as a person's would.
local function exports(text)
  local env = {}
  for line in text:gmatch("[^\n]+") do
    local name = assert(line:match("^export ([%u%d_]+)='[^\n]*'$"), line)
    env[name] = system.capture(line .. '; printf %s "$' .. name .. '"')
  end
  return env
end

describe("dualdb sandbox", function()
  local place

  before_each(function() place = cli.directory() end)

  after_each(function()
    for _, name in ipairs(place:list()) do
      if place:read(name .. "/state") then
        place:run({ "sandbox", "down", "--dir", name }, { unset = UNSET })
      end
    end
    place:remove()
  end)

  -- The passwords here are not those of the specs' sandbox: the output of `env` has to have them.
  local function run(...) return place:run({ "sandbox", ... }, { unset = UNSET }) end

  it("goes up, is harmless a second time, and leaves nothing when it goes down", function()
    local up = run("up")
    assert.equal(0, up.code, up.err)
    assert.same({ ".sandbox" }, place:list())
    local first = place:json({ "sandbox", "status" }, { unset = UNSET }).sandbox

    local again = run("up")
    assert.equal(0, again.code, again.err)
    local second = place:json({ "sandbox", "status" }, { unset = UNSET }).sandbox
    assert.same(first, second)
    assert.is_true(second.primary.answers and second.secondary.answers)

    local down = run("down")
    assert.equal(0, down.code, down.err)
    assert.same({}, place:list())
    assert.is_true(dies(first.primary.pid))
    assert.is_true(dies(first.secondary.pid))
    assert.equal(0, run("down").code)
    assert.equal(4, run("status").code)
  end)

  it("prints what to export, with which dualdb finds both servers", function()
    assert.equal(0, run("up").code)
    local env = exports(run("env").out)
    local health = place:run({ "health" }, { unset = UNSET, env = {
      DUALDB_PRIMARY_URL = env.DUALDB_PRIMARY_URL,
      DUALDB_SECONDARY_URL = env.DUALDB_SECONDARY_URL,
    } })
    assert.equal(0, health.code, health.err)
    assert.equal("1", system.capture(system.quote(env.DUALDB_SANDBOX_MYSQL)
      .. " -Ne 'select @@log_bin and @@sync_binlog = 1' chatdb"))
    assert.equal("t", system.capture(system.quote(env.DUALDB_SANDBOX_PSQL)
      .. " -d chatdb -Atc \"select current_setting('max_prepared_transactions')::int > 0\""))
  end)

  it("keeps its passwords from other users", function()
    assert.equal(0, run("up").code)
    local env = exports(run("env").out)
    local secret = env.DUALDB_PRIMARY_URL:match(":(%x+)@")
    local readable = system.capture("find " .. place.path .. "/.sandbox -type f -perm /077 "
      .. "-exec grep -lF " .. secret .. " {} + 2>/dev/null")
    assert.equal("", readable)
    assert.is_nil(run("up").out:find(secret, 1, true))
    assert.is_nil(run("status").out:find(secret, 1, true))
  end)

  it("starts again what has died", function()
    assert.equal(0, run("up").code)
    local before = place:json({ "sandbox", "status" }, { unset = UNSET }).sandbox
    for _, side in ipairs { "primary", "secondary" } do
      core.kill(before[side].pid, 9)
      assert.is_true(dies(before[side].pid))
    end
    assert.equal(4, run("status").code)
    local up = run("up")
    assert.equal(0, up.code, up.err)
    local after = place:json({ "sandbox", "status" }, { unset = UNSET }).sandbox
    for _, side in ipairs { "primary", "secondary" } do
      assert.is_true(after[side].answers)
      assert.equal(before[side].port, after[side].port)
      assert.is_not.equal(before[side].pid, after[side].pid)
    end
  end)

  it("does not collide with a second one, nor with itself when started twice at once", function()
    local ends = {
      (place:start({ "sandbox", "up", "--dir", "one" }, { unset = UNSET })),
      (place:start({ "sandbox", "up", "--dir", "one" }, { unset = UNSET })),
      (place:start({ "sandbox", "up", "--dir", "it's two" }, { unset = UNSET })),
    }
    for _, finish in ipairs(ends) do
      local done = finish()
      assert.equal(0, done.code, done.err)
    end
    local one = sandbox.status { dir = place.path .. "/one" }
    local two = sandbox.status { dir = place.path .. "/it's two" }
    assert.is_true(one.primary.answers and one.secondary.answers)
    assert.is_true(two.primary.answers and two.secondary.answers)
    assert.equal(0, run("down", "--dir", "one").code)
    two = sandbox.status { dir = place.path .. "/it's two" }
    assert.is_true(two.primary.answers and two.secondary.answers)
    assert.equal(0, run("down", "--dir", "it's two").code)
  end)

  it("has sockets that can be reached however long its path is", function()
    local dir = place.path .. "/" .. ("long"):rep(30)
    assert.equal(0, run("up", "--dir", dir).code)
    local status = sandbox.status { dir = dir }
    assert.is_true(#status.primary.socket <= 107)
    assert.is_true(status.primary.answers and status.secondary.answers)
    local run_directory = status.secondary.socket:match("^(.*)/postgres$")
    assert.equal(0, run("down", "--dir", dir).code)
    assert.is_false(system.exists(run_directory, "e"))
    assert.same({}, place:list())
  end)

  it("moves to another port when somebody has taken its own", function()
    assert.equal(0, run("up").code)
    local dir = place.path .. "/.sandbox"
    local opts = { dir = dir }
    sandbox.stop("secondary", nil, opts)
    local before = sandbox.status(opts)
    -- A second server of the same kind takes the port: the first one's log stays as it is.
    local other = place.path .. "/other"
    assert.equal(0, run("up", "--dir", other).code)
    sandbox.stop("secondary", nil, { dir = other })
    local state = assert(place:read("other/state"))
    place:write("other/state",
      (state:gsub("postgres_port=%d+", "postgres_port=" .. before.secondary.port)))
    sandbox.start("secondary", { dir = other })

    local up = run("up")
    assert.equal(0, up.code, up.err)
    local after = sandbox.status(opts)
    assert.is_true(after.secondary.answers)
    assert.is_not.equal(before.secondary.port, after.secondary.port)
    assert.equal(before.primary.port, after.primary.port)
  end)

  it("never removes what it did not make", function()
    place:write("mine", "x")
    assert.equal(6, run("up", "--dir", place.path).code)
    assert.equal(6, run("down", "--dir", place.path).code)
    assert.same({ "mine" }, place:list())

    assert.equal(0, run("up").code)
    place:write(".sandbox/mine too", "x")
    assert.equal(0, run("down").code)
    assert.same({ ".sandbox", "mine" }, place:list())
    assert.equal("x", place:read(".sandbox/mine too"))
    os.remove(place.path .. "/.sandbox/mine too")
  end)

  it("refuses nonsense and changes nothing", function()
    assert.equal(2, run("up", "--flavor", "oracle").code)
    assert.equal(2, run("up", "--dir", "no/such/parent").code)
    assert.equal(2, run("up", "--dir", "..").code)
    assert.equal(3, run("env").code)
    assert.same({}, place:list())
  end)

  it("leaves no process and names the log when a server cannot start", function()
    assert.equal(0, run("up").code)
    local status = place:json({ "sandbox", "status" }, { unset = UNSET }).sandbox
    for _, side in ipairs { "primary", "secondary" } do
      sandbox.stop(side, nil, { dir = place.path .. "/.sandbox" })
    end
    local state = assert(place:read(".sandbox/state"))
    local home = state:match("postgres_home=([^\n]+)")
    assert(os.rename(home .. "/data/global", home .. "/data/elsewhere"))

    local up = run("up")
    assert.equal(5, up.code, up.err)
    assert.is_truthy(up.err:find(status.secondary.log, 1, true), up.err)
    local after = sandbox.status { dir = place.path .. "/.sandbox" }
    assert.is_false(after.primary.running)
    assert.is_false(after.secondary.running)
  end)
end)

describe("a server of the sandbox", function()
  local place, opts

  setup(function()
    place = cli.directory()
    opts = { dir = place.path .. "/servers" }
    sandbox.up(opts)
  end)

  teardown(function()
    sandbox.down(opts)
    place:remove()
  end)

  for _, side in ipairs { "primary", "secondary" } do
    it(("can be killed, stopped, frozen and started again on its port: the %s"):format(side),
      function()
        local port = sandbox.status(opts)[side].port
        for _, signal in ipairs { "KILL", "TERM" } do
          sandbox.stop(side, signal, opts)
          assert.is_false(sandbox.status(opts)[side].running)
          sandbox.start(side, opts)
          assert.is_true(sandbox.status(opts)[side].answers)
        end
        sandbox.stop(side, "STOP", opts)
        local frozen = sandbox.status(opts)[side]
        assert.is_true(frozen.running)
        assert.is_false(frozen.answers)
        sandbox.stop(side, "CONT", opts)
        assert.is_true(system.wait(10, function() return sandbox.status(opts)[side].answers end))
        assert.equal(port, sandbox.status(opts)[side].port)
      end)
  end
end)
