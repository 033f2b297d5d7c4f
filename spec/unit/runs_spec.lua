-- Run records.

local child = require "spec.support.child"
local core = require "dualdb.core"
local log = require "dualdb.log"
local runs = require "dualdb.runs"
local State = require "dualdb.state"

local function shell(command, ...)
  local pipe = assert(io.popen(command:format(...)))
  local text = pipe:read "a"
  pipe:close()
  return text
end

local CONFIG = { name = "shop", primary = { host = "db", dbname = "shop" },
                 secondary = { host = "ep-x", dbname = "shop" } }

describe("run records", function()
  local directory

  -- What is of a pair that records need; each is as another process would have it.
  local function pair(env)
    env = env or { DUALDB_STATE_DIR = directory }
    return { state = State.new(CONFIG, function(name) return env[name] end) }
  end

  local function complaints(f)
    local path, stderr = directory .. "/stderr", io.stderr
    local file = assert(io.open(path, "w"))
    io.stderr = file  -- luacheck: ignore
    local ok, err = pcall(f)
    io.stderr = stderr  -- luacheck: ignore
    file:close()
    assert(ok, err)
    return shell("cat %s", path)
  end

  local function usage(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.equal("usage", err.class, err.message)
    return err.message
  end

  before_each(function()
    directory = shell("mktemp -d /tmp/dualdb-runs-spec-XXXXXX"):match "%S+"
    log.configure { format = "human", level = "info" }
  end)
  after_each(function() shell("rm -rf %s", directory) end)

  it("say who ran what, when, with which options, and what came of it", function()
    local path = directory .. "/undo.sql"
    local file = assert(io.open(path, "w"))
    file:write(("delete from t;\n"):rep(10000))
    file:close()
    local run = runs.begin(pair(), {
      command = "repair", models = { "Message", "Room" },
      options = { max_rows = 10, dry_run = false, columns = { "a", "b" }, where = "id > 7",
                  strategy = function() end },
    })
    run:finish {
      verdict = "different", exit = 1, counts = { Message = { applied = 3, verdict = "equal" } },
      files = { { kind = "undo", path = path } },
    }
    local record = runs.get(pair(), run.id)
    assert.equal("repair", record.command)
    assert.equal(core.user_name(), record.user)
    assert.equal(core.hostname(), record.host)
    assert.equal(core.pid(), record.pid)
    assert.equal("finished", record.state)
    assert.equal("different", record.verdict)
    assert.equal(1, record.exit)
    assert.same({ "Message", "Room" }, record.models)
    assert.same({ max_rows = 10, dry_run = "false", columns = "a,b", where = "id > 7",
                  strategy = "function" }, record.options)
    assert.same({ Message = { applied = 3, verdict = "equal" } }, record.counts)
    local text = ("delete from t;\n"):rep(10000)
    assert.same({ { kind = "undo", path = path, digest = core.digest(text) } }, record.files)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", record.started_at)
  end)

  it("are listed newest first, as many as are asked for", function()
    local db = pair()
    for i = 1, 3 do runs.begin(db, { command = "verify", models = { "m" .. i } }):finish {} end
    local models = {}
    for _, record in ipairs(runs.list(pair(), 2)) do models[#models + 1] = record.models[1] end
    assert.same({ "m3", "m2" }, models)
    assert.equal(3, #runs.list(pair()))
  end)

  it("tell a run that is under way from one that was killed", function()
    local run = runs.begin(pair(), { command = "verify" })
    assert.equal("running", runs.get(pair(), run.id).state)
    assert.equal(("run %d is still running"):format(run.id),
      usage(runs.resume, pair(), run.id, "verify"))
    local killed = child.lua(([[
      local State, runs = require "dualdb.state", require "dualdb.runs"
      local db = { state = State.new({ name = "shop", primary = { host = "db", dbname = "shop" },
        secondary = { host = "ep-x", dbname = "shop" } }, function() return %q end) }
      runs.begin(db, { command = "verify", models = { "Message" } })
      os.exit(3)]]):format(directory))
    local text, status = killed:finish()
    assert.equal(3, status, text)
    local record = runs.list(pair(), 1)[1]
    assert.equal("interrupted", record.state)
    local resumed, found = runs.resume(pair(), record.run, "verify")
    assert.same({ "Message" }, found.models)
    assert.equal("running", runs.get(pair(), record.run).state)
    resumed:finish { verdict = "equal", exit = 0 }
    assert.equal("finished", runs.get(pair(), record.run).state)
  end)

  it("of finished runs, of other commands and of none cannot go on", function()
    local run = runs.begin(pair(), { command = "verify" })
    run:finish { verdict = "equal", exit = 0 }
    assert.equal(("run %d is finished"):format(run.id),
      usage(runs.resume, pair(), run.id, "verify"))
    run = runs.begin(pair(), { command = "repair" })
    run:leave()
    assert.equal(("run %d is a repair, no verify"):format(run.id),
      usage(runs.resume, pair(), run.id, "verify"))
    assert.equal("no run 99", usage(runs.get, pair(), 99))
  end)

  it("are for their owner alone, and leave no other file when a run is over", function()
    local run = runs.begin(pair(), { command = "verify" })
    io.open(run:file(), "w"):close()
    run:finish {}
    local names = shell("cd %s/*/ && ls", directory)
    for name in names:gmatch "%S+" do assert.matches("^runs", name) end
    assert.equal("", shell("find %s -type f -perm /077", directory))
  end)

  it("lose the files of runs that nobody goes on with, and stay themselves", function()
    for _ = 1, 25 do
      local run = runs.begin(pair(), { command = "verify" })
      io.open(run:file(), "w"):close()
      run:leave()
    end
    assert.equal(25, #runs.list(pair()))
    assert.equal("20\n", shell("ls %s/*/*-seen | wc -l", directory))
  end)

  it("of two processes at once are all there", function()
    local children = {}
    for i = 1, 3 do
      children[i] = child.lua(([[
        local State, runs = require "dualdb.state", require "dualdb.runs"
        local db = { state = State.new({ name = "shop", primary = { host = "db", dbname = "shop" },
          secondary = { host = "ep-x", dbname = "shop" } }, function() return %q end) }
        for _ = 1, 20 do
          runs.begin(db, { command = "verify", models = { "a" } }):finish { exit = 0 }
        end]]):format(directory))
    end
    for _, process in ipairs(children) do
      local text, status = process:finish()
      assert.equal(0, status, text)
      assert.equal("", text)
    end
    local list = runs.list(pair())
    assert.equal(60, #list)
    for _, record in ipairs(list) do assert.equal(0, record.exit) end
  end)

  it("fail nothing where there is no place for them, and that is said once", function()
    io.open(directory .. "/file", "w"):close()
    local path = directory .. "/file/x"
    local db = pair { DUALDB_STATE_DIR = path, TMPDIR = path }
    local said = complaints(function()
      for _ = 1, 2 do
        local run = runs.begin(db, { command = "verify" })
        assert.is_nil(run.id)
        assert.is_nil(run:file())
        run:finish { verdict = "equal", exit = 0 }
      end
      assert.same({}, runs.list(db))
    end)
    local _, lines = said:gsub("\n", "")
    assert.equal(1, lines, said)
  end)

  it("fail nothing where the file is something else", function()
    local db = pair()
    local file = assert(io.open(db.state:file "runs", "w"))
    file:write(("not of dualdb "):rep(1000))
    file:close()
    local said = complaints(function()
      runs.begin(db, { command = "verify" }):finish { exit = 0 }
    end)
    assert.matches("file is not a database; this run's record ends with this process", said)
  end)
end)
