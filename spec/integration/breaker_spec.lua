-- The breakers of a project, shared by its processes.

local child = require "spec.support.child"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"
local pair = require "spec.support.pair"
local wait = require "spec.support.wait"

local serial = 0

-- A project of its own for each spec: what one has broken is not the next one's.
local function new_name()
  serial = serial + 1
  return ("spec-breaker-%d-%d"):format(core.pid(), serial)
end

local function unavailable(side, message, fields)
  local all = { side = side or "secondary" }
  for name, value in pairs(fields or {}) do all[name] = value end
  return errors.make("unavailable", message or "connection refused", all)
end

describe("the breaker", function()
  local name, opened

  local function open(policy)
    local db = pair.open({}, { name = name, policy = policy or { breaker = { open = 0.3 } } })
    opened[#opened + 1] = db
    return db
  end

  local function fail(db, times, side)
    for _ = 1, times do
      if db.breaker:allows(side or "secondary") then
        db.breaker:failed(side or "secondary", unavailable(side))
      end
    end
  end

  local function wait_until_half_open(db)
    wait.wait_until("the breaker is half open", function()
      return db.breaker:state "secondary" == "half_open"
    end)
  end

  -- Lua code in a process of its own, with `db` the same project.
  local function other(code, lease)
    return child.lua(([[
      local core = require "dualdb.core"
      local errors = require "dualdb.errors"
      local db = require("dualdb").open { name = %q, models = {}, policy = {
        breaker = { open = 0.3 }, connect_timeout = LEASE, deadline = LEASE } }
      %s]]):gsub("LEASE", lease or 60):format(name, code))
  end

  before_each(function() name, opened = new_name(), {} end)
  after_each(function()
    for _, db in ipairs(opened) do
      local path = db.state:directory()
      db:close()
      os.remove(path .. "/breaker")
      os.remove(path)
    end
  end)

  it("opens one side after the failures in a row that the policy says", function()
    local db = open { breaker = { failures = 2, open = 60 } }
    fail(db, 1)
    assert.is_true(db.breaker:allows "secondary")
    fail(db, 1)
    assert.is_false(db.breaker:allows "secondary")
    assert.is_true(db.breaker:allows "primary")
    local state, seconds = db.breaker:state "secondary"
    assert.equal("open", state)
    assert.is_true(seconds >= 0 and seconds < 10)
    assert.equal("closed", (db.breaker:state "primary"))
  end)

  it("counts nothing but what class unavailable says", function()
    local db = open()
    for class in pairs(core.classes) do
      for _ = 1, 5 do
        if class ~= "unavailable" then
          db.breaker:failed("secondary", errors.make(class, "x", { side = "secondary" }))
        end
      end
    end
    for _ = 1, 5 do db.breaker:failed("secondary", "a string") end
    assert.equal("closed", (db.breaker:state "secondary"))
  end)

  it("counts an error once, however many times it is reported on its way", function()
    local db = open()
    local err = unavailable()
    for _ = 1, 10 do db.breaker:failed("secondary", err) end
    assert.is_true(db.breaker:allows "secondary")
  end)

  it("is not opened by a server that says it is starting", function()
    local db = open { breaker = { failures = 1, open = 60 }, connect_timeout = 60 }
    for _, err in ipairs {
      unavailable("secondary", "the database system is starting up", { sqlstate = "57P03" }),
      unavailable("secondary", "connection failed: fatal: the database system is starting up"),
      unavailable("secondary", "couldn't connect to compute node", { sqlstate = "XX000" }),
      unavailable("secondary", "control plane request failed"),
    } do
      db.breaker:failed("secondary", err)
    end
    assert.equal("closed", (db.breaker:state "secondary"))
    db.breaker:failed("secondary", unavailable())
    assert.equal("open", (db.breaker:state "secondary"))
  end)

  it("is shared by all processes of the project, and by no other project", function()
    local db = open { breaker = { open = 60 } }
    local text, status = other([[
      for _ = 1, 3 do
        db.breaker:failed("secondary", errors.make("unavailable", "x", { side = "secondary" }))
      end]]):finish()
    assert.equal(0, status, text)
    assert.is_false(db.breaker:allows "secondary")
    name = new_name()
    assert.is_true(open().breaker:allows "secondary")
  end)

  it("lets one process of many probe when it is half open", function()
    local db = open()
    fail(db, 3)
    local go = os.tmpname()
    os.remove(go)
    local processes = {}
    for i = 1, 6 do
      processes[i] = other(([[
        print "ready"
        while not io.open(%q) do core.sleep(0.001) end
        print(db.breaker:allows "secondary")
        io.stdout:flush()
        core.sleep(30)]]):format(go))
    end
    for _, process in ipairs(processes) do assert.equal("ready", process:line()) end
    wait_until_half_open(db)
    io.open(go, "w"):close()
    local allowed = 0
    for _, process in ipairs(processes) do
      local line = process:line()
      assert.is_true(line == "true" or line == "false", line)
      if line == "true" then allowed = allowed + 1 end
      process:signal(9)
      process:finish()
    end
    os.remove(go)
    assert.equal(1, allowed)
  end)

  it("lets another one probe after a prober was killed", function()
    local db = open { breaker = { open = 0.2 }, connect_timeout = 1, deadline = 1 }
    fail(db, 3)
    local prober = other([[
      while not db.breaker:allows "secondary" do core.sleep(0.01) end
      print "true"
      core.sleep(30)]], 1)
    assert.equal("true", prober:line())
    assert.is_false(db.breaker:allows "secondary")
    prober:signal(9)
    prober:finish()
    wait.wait_until("the lease has lapsed", function() return db.breaker:allows "secondary" end)
    db.breaker:succeeded "secondary"
    assert.equal("closed", (db.breaker:state "secondary"))
  end)

  it("closes by its probe's success and opens by its failure, for all", function()
    local db, observer = open(), open()
    fail(db, 3)
    wait_until_half_open(db)
    fail(db, 1)
    assert.equal("open", (observer.breaker:state "secondary"))
    wait_until_half_open(db)
    assert.is_true(db.breaker:allows "secondary")
    assert.is_false(observer.breaker:allows "secondary")
    db.breaker:succeeded "secondary"
    assert.is_true(observer.breaker:allows "secondary")
    assert.is_true(select(3, observer.breaker:state "secondary") < 10)
  end)

  it("gives a probe back when its database is closed", function()
    local db, observer = open(), open()
    fail(db, 3)
    wait_until_half_open(db)
    assert.is_true(db.breaker:allows "secondary")
    db:close()
    assert.is_true(observer.breaker:allows "secondary")
  end)

  it("closes as soon as a write has asked, though the other side keeps the write out", function()
    local policy = { preset = "strict", deadline = 3, breaker = { open = 0.2 } }
    local db, other_prober = open(policy), open(policy)
    fail(db, 3, "secondary")
    fail(db, 3, "primary")
    wait_until_half_open(db)
    wait.wait_until("the primary's is half open, too", function()
      return other_prober.breaker:allows "primary"
    end)
    local err = pair.failure(db.write, db, function() error "nobody may write now" end)
    assert.same({ "unavailable", "primary" }, { err.class, err.side })
    assert.equal("closed", (other_prober.breaker:state "secondary"))
  end)

  it("says to one caller a second, of all processes, that a beat is due", function()
    local db = open()
    local begin = core.clock()
    local count = [[
      local beats, stop = 0, core.clock() + 1.2
      while core.clock() < stop do
        if db.breaker:beat_due() then beats = beats + 1 end
        core.sleep(0.001)
      end
      print(beats)]]
    local processes = { other(count), other(count), other(count) }
    local beats = 0
    for _, process in ipairs(processes) do
      beats = beats + tonumber(process:line())
      process:finish()
    end
    assert.is_true(beats >= 1)
    assert.is_true(beats <= 1 + math.floor(core.clock() - begin), beats)
    assert.is_boolean(db.breaker:beat_due())
  end)

  it("watches for this process alone, with a warning, when its file cannot be had", function()
    local db = open()
    os.remove(db.state:file "breaker")
    assert.is_true(os.execute("mkdir " .. db.state:file "breaker"))
    log.configure { level = "error" }
    fail(db, 3)
    log.configure { level = "info" }
    assert.is_false(db.breaker:allows "secondary")
    assert.is_true(db.breaker:allows "primary")
    os.remove(db.state:file "breaker")
  end)

  it("reads and writes no file when it is asked", function()
    local db = open()
    assert.is_true(db.breaker:allows "primary")
    local function io_of()
      local file = assert(io.open "/proc/self/io")
      local text = file:read "a"
      file:close()
      return tonumber(text:match "syscr: (%d+)"), tonumber(text:match "syscw: (%d+)")
    end
    local reads, writes = io_of()
    for _ = 1, 1000 do
      db.breaker:allows "primary"
      db.breaker:succeeded "primary"
      db.breaker:beat_due()
    end
    local reads_after, writes_after = io_of()
    assert.is_true(reads_after - reads < 10 and writes_after == writes)
  end)
end)
