-- What a project remembers on this machine.

local child = require "spec.support.child"
local core = require "dualdb.core"
local log = require "dualdb.log"
local State = require "dualdb.state"

local function shell(command, ...)
  local pipe = assert(io.popen(command:format(...)))
  local text = pipe:read "a"
  pipe:close()
  return text
end

local function config(settings)
  return {
    name = settings and settings.name or "shop",
    primary = { host = "db", dbname = "shop", user = "u", password = "geheim" },
    secondary = settings and settings.secondary
      or { host = "ep-x.neon.tech", dbname = "shop", user = "u", password = "geheim" },
  }
end

describe("the state", function()
  local directory

  local function open(env, settings)
    env = env or { DUALDB_STATE_DIR = directory }
    return State.new(config(settings), function(name) return env[name] end)
  end

  -- What f writes to standard error.
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

  before_each(function()
    directory = shell("mktemp -d /tmp/dualdb-state-spec-XXXXXX"):match "%S+"
    log.configure { format = "human", level = "info" }
  end)
  after_each(function() shell("rm -rf %s", directory) end)

  it("remembers a string for every process", function()
    open():set("probe", "a1\n")
    assert.equal("a1\n", open():get "probe")
    assert.is_nil(open():get "other")
    local other = child.lua(([[
      local State = require "dualdb.state"
      State.new({ name = "shop", primary = { host = "db", dbname = "shop" },
        secondary = { host = "ep-x.neon.tech", dbname = "shop" } },
        function() return %q end):set("probe", "a2")]]):format(directory))
    local text, status = other:finish()
    assert.equal(0, status, text)
    assert.equal("a2", open():get "probe")
  end)

  it("is for this user alone, and nothing in its path is a secret", function()
    local state = open()
    state:set("probe", "x")
    assert.equal("700 600\n", shell("stat -c %%a %s %s/probe | tr '\\n' ' ' | sed 's/ $//'; echo",
      state:directory(), state:directory()))
    assert.matches("/shop%-%x+$", state:directory())
    assert.is_nil(state:directory():find("geheim", 1, true))
  end)

  it("is another one for another name and for other databases, not for another password", function()
    local mine = open():directory()
    assert.equal(mine, open(nil, { secondary = {
      host = "ep-x.neon.tech", dbname = "shop", port = "5432", user = "v", password = "neu",
    } }):directory())
    assert.not_equal(mine, open(nil, { name = "shop2" }):directory())
    for _, other in ipairs {
      { host = "ep-y.neon.tech", dbname = "shop" }, { host = "ep-x.neon.tech", dbname = "other" },
      { host = "ep-x.neon.tech", dbname = "shop", port = "6432" },
    } do
      assert.not_equal(mine, open(nil, { secondary = other }):directory())
    end
  end)

  it("lives where the environment says, else in the user's home", function()
    local function place(env) return open(env):directory():match "^(.*)/shop%-%x+$" end
    local home = directory .. "/home"
    assert.equal(home .. "/.local/state/dualdb", place { HOME = home })
    assert.equal(home .. "/xdg/dualdb", place { HOME = home, XDG_STATE_HOME = home .. "/xdg" })
    assert.equal(home .. "/own", place {
      HOME = home, XDG_STATE_HOME = home .. "/xdg", DUALDB_STATE_DIR = home .. "/own",
    })
  end)

  it("lives among the temporary files, with a warning, when the home cannot be used", function()
    local state = open { HOME = "/dev/null", TMPDIR = directory }
    local text = complaints(function()
      state:set("probe", "a1")
      state:set("probe", "a2")
    end)
    assert.matches("^dualdb: warning: /dev/null/[^\n]*\n$", text)
    assert.matches("^" .. directory:gsub("%-", "%%-") .. "/dualdb%-%d+/", state:directory())
    complaints(function()
      assert.equal("a2", open({ HOME = "/dev/null", TMPDIR = directory }):get "probe")
    end)
  end)

  it("trusts no directory among the temporary files that others can enter", function()
    local taken = ("%s/dualdb-%d"):format(directory, core.user_id())
    shell("mkdir -m 777 %s", taken)
    local state = open { HOME = "/dev/null", TMPDIR = directory }
    complaints(function() assert.is_nil(state:directory()) end)
    shell("rmdir %s; mkdir %s/other; ln -s %s/other %s", taken, directory, directory, taken)
    state = open { HOME = "/dev/null", TMPDIR = directory }
    complaints(function() assert.is_nil(state:directory()) end)
  end)

  it("remembers for this process when nothing can be written", function()
    local state = open { HOME = "/dev/null", TMPDIR = "/dev/null" }
    local text = complaints(function()
      state:set("probe", "a1")
      assert.equal("a1", state:get "probe")
    end)
    assert.matches("ends with this process\n$", text)
    complaints(function()
      assert.is_nil(open({ HOME = "/dev/null", TMPDIR = directory }):get "probe")
    end)
  end)

  it("remembers a value that its file cannot take, and complains once", function()
    local state = open()
    shell("mkdir -p %s/probe/full", state:directory())
    local text = complaints(function()
      state:set("probe", "a1")
      state:set("probe", "a2")
    end)
    assert.matches("^dualdb: warning: [^\n]*remembers it alone\n$", text)
    assert.equal("a2", state:get "probe")
    assert.equal("", shell("ls %s | grep new", state:directory()))
  end)

  it("has the old value or the new one when a writer is killed at any moment", function()
    local state = open()
    local long = { ("a"):rep(100000), ("b"):rep(70000) }
    state:set("value", long[1])
    for _ = 1, 20 do
      local writer = child.lua(([[
        local core = require "dualdb.core"
        print "writing"
        while true do
          core.write_file_atomic(%q, ("a"):rep(100000))
          core.write_file_atomic(%q, ("b"):rep(70000))
        end]]):format(state:file "value", state:file "value"))
      assert.equal("writing", writer:line())
      writer:signal(9)
      writer:finish()
      local text = state:get "value"
      assert.is_true(text == long[1] or text == long[2], #text)
    end
  end)

  it("takes strings by plain names only", function()
    local state = open()
    for _, name in ipairs { "", "a/b", "..", "a b", ".hidden", "-x" } do
      assert.equal("usage", select(2, pcall(state.get, state, name)).class)
    end
    assert.equal("usage", select(2, pcall(state.set, state, "n", 1)).class)
  end)
end)
