local cli = require "spec.support.cli"
local dkjson = require "dkjson"
local servers = require "spec.support.servers"

local SLOW = "select /* cli_interrupt */ sleep(60)"

describe("a script", function()
  local dir

  before_each(function() dir = cli.directory() end)
  after_each(function() dir:remove() end)

  it("has all words behind its name for itself, whatever they look like", function()
    dir:write("s.lua", "#!/usr/bin/env dualdb\nprint(arg[0], #arg, ...)")
    for _, words in ipairs {
      { "s.lua" }, { "run", "s.lua" }, { "run", "--", "s.lua" }, { "--", "s.lua" },
      { "-v", "--no-color", "run", "-q", "s.lua" }, { "--project", "x.lua", "s.lua" },
    } do
      if words[1] == "-v" then table.remove(words, 1) end
      for _, extra in ipairs { "--json", "-h", "--version", "--", "run", "-e", "" } do
        words[#words + 1] = extra
      end
      local run = dir:run(words)
      assert.equal("s.lua\t7\t--json\t-h\t--version\t--\trun\t-e\t\n", run.out, run.err)
      assert.equal(0, run.code)
    end
  end)

  it("finds below arg[0] what stood before it", function()
    dir:write("s.lua", "print(arg[-2], arg[-1], arg[0], arg[1])")
    assert.equal("-q\trun\ts.lua\tx\n", dir:run({ "-q", "run", "s.lua", "x" }).out)
  end)

  it("comes from -e, with its words, and our options before them", function()
    assert.equal("a\t--b\n", dir:run({ "-e", "print(...)", "a", "--b" }).out)
    assert.equal("a\t--b\n", dir:run({ "run", "-e", "print(...)", "-q", "a", "--b" }).out)
    assert.equal("--b\n", dir:run({ "-e", "print(...)", "--", "--b" }).out)
    assert.equal("true\tdualdb 0.1.0\n",
      dir:run({ "-e", 'print(dualdb == require "dualdb", dualdb._VERSION)' }).out)
  end)

  it("comes from standard input, without a word or for a hyphen", function()
    assert.equal("in\n", dir:run({}, { stdin = "print('in', ...)" }).out)
    assert.equal("in\ta\tb\n", dir:run({ "-", "a", "b" }, { stdin = "print('in', ...)" }).out)
    assert.equal(0, dir:run({}).code)
  end)

  it("ends with its own exit code", function()
    assert.equal(9, dir:run({ "-e", "os.exit(9)" }).code)
    assert.equal(1, dir:run({ "-e", "os.exit(false)" }).code)
    assert.equal(0, dir:run({ "-e", "os.exit(true, true)" }).code)
    local document, run = dir:json { "-e", "os.exit(9)" }
    assert.equal(9, run.code)
    assert.equal("run", document.command)
  end)

  it("fails with 1 and a stack trace when the mistake is its own", function()
    dir:write("s.lua", "local function f()\n  local x = nil\n  return x.y\nend\nf()\n")
    local run = dir:run { "s.lua" }
    assert.equal(1, run.code)
    assert.matches("^dualdb: s%.lua:3: attempt to index a nil value.*\nstack traceback:.*s%.lua:5",
      run.err)
    assert.not_matches("cli/", run.err)
    assert.equal(1, dir:run({ "-e", "x x" }).code)
    assert.equal(1, dir:run({ "-e", "error({})" }).code)
    assert.equal(1, dir:run({ "-e", "error()" }).code)
    local document = dir:json { "s.lua" }
    assert.equal("script", document.error.class)
    assert.matches("^s%.lua:3: ", document.error.message)
  end)

  it("fails with 1 for its own mistake inside of a dual write too", function()
    local run = dir:run { "-e", "dualdb.open():write(function() error('mine') end)" }
    assert.equal(1, run.code)
    assert.matches("^dualdb: %(command line%):1: mine\n", run.err)
  end)

  it("ends by the class of an error object that it does not catch", function()
    assert.equal(2, dir:run({ "-e", "dualdb.open():write(5)" }).code)
    local run = dir:run { "-e", [[
      dualdb.open { primary = "mysql://u:geheim@127.0.0.1:1/x" }.primary:query("select 1")]] }
    assert.equal(4, run.code)
    assert.matches("^dualdb: primary: [^\n]+%(unavailable, [^\n]+\n$", run.err)
    assert.equal(7, dir:run({ "-e", "require('dualdb.errors').raise('integrity', 'x')" }).code)
    run = dir:run { "-e", [[
      local db = dualdb.open()
      print(select(2, dualdb.try(db.write, db, 5)).class)]] }
    assert.equal("usage\n", run.out)
  end)

  it("sees the files that the command line names", function()
    dir:write("other.lua", "return { name = 'from-flag' }")
    local run = dir:run { "--project", "other.lua", "-e", "print(dualdb.open().name)" }
    assert.equal("from-flag\n", run.out)
    run = dir:run { "--project", "other.lua", "-e", "print(dualdb.open{ name = 'mine' }.name)" }
    assert.equal("mine\n", run.out)
  end)

  it("has its output on standard error when standard output is a document", function()
    local document, run = dir:json {
      "-e", "print('a', 1); io.write('b\\n'); io.stdout:write('c\\n')",
    }
    assert.equal("run", document.command)
    assert.equal("a\t1\nb\nc\n", run.err)
  end)

  it("that is not there, or is no file, is a usage error", function()
    for _, words in ipairs { { "no.lua" }, { "./no" }, { "run", "no" }, { "/tmp" } } do
      assert.equal(2, dir:run(words).code)
    end
  end)

  it("that is stopped ends with 130, and so does what it runs on the server", function()
    dir:write("s.lua", ("dualdb.open().primary:query(%q)"):format(SLOW))
    for _, options in ipairs { {}, { "--json" } } do
      local words = { table.unpack(options) }
      words[#words + 1] = "s.lua"
      local finish, pid = dir:start(words)
      require("spec.support.wait").wait_until("the query runs", function()
        return servers.runs("mysql", "cli_interrupt")
      end)
      require("dualdb.core").kill(pid, 2)
      local run = finish()
      assert.equal(130, run.code)
      assert.matches("canceled", run.err)
      if options[1] then
        assert.equal("canceled", dkjson.decode(run.out).error.class)
      end
      servers.wait_until_gone("mysql", "cli_interrupt")
    end
  end)
end)
