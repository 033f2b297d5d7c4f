local cli = require "spec.support.cli"

local UNREACHABLE = {
  primary = { DUALDB_PRIMARY_URL = "mysql://u:geheim@127.0.0.1:1/x" },
  secondary = { DUALDB_SECONDARY_URL = "postgresql://u:geheim@127.0.0.1:1/x" },
}

describe("the command line", function()
  local dir

  before_each(function() dir = cli.directory() end)
  after_each(function() dir:remove() end)

  it("says in one line which dualdb it is", function()
    local run = dir:run { "--version" }
    assert.equal(0, run.code)
    assert.matches("^dualdb %d+%.%d+%.%d+ %(canonical form 1, Lua 5%.4, [^,]+, libpq [%d.]+%)\n$",
      run.out)
    assert.equal("", run.err)
  end)

  it("helps for all, for a command and for a topic, on standard output", function()
    for _, words in ipairs {
      { "help" }, { "--help" }, { "-h" }, { "help", "verify" }, { "verify", "--help" },
      { "help", "exit-codes" }, { "help", "configuration" }, { "help", "scripts" },
      { "help", "output" }, { "help", "schema" }, { "repair", "-h", "--nonsense" },
    } do
      local run = dir:run(words)
      assert.equal(0, run.code)
      assert.truthy(#run.out > 100)
      assert.equal("", run.err)
    end
    assert.matches("%-%-allow%-delete", dir:run({ "help", "repair" }).out)
  end)

  it("names every command in its help", function()
    local help = dir:run({ "help" }).out
    for _, name in ipairs {
      "run", "setup", "health", "models", "schema", "sync", "verify", "repair", "shell", "sandbox",
      "help",
    } do
      assert.truthy(help:find("\n   " .. name .. " ", 1, true), name)
      assert.equal(0, dir:run({ "help", name }).code)
    end
  end)

  it("answers nonsense with exit 2, a reason and a suggestion, and nothing on standard output",
  function()
    for _, case in ipairs {
      { { "verfy" }, "unknown command 'verfy'", "Did you mean 'verify'" },
      { { "models", "--jsn" }, "unknown option '%-%-jsn'", "Did you mean '%-%-json'" },
      { { "help", "exitcodes" }, "no topic 'exitcodes'", "Did you mean 'exit%-codes'" },
      { { "--log-format", "xml", "models" }, "must be one of", "help" },
      { { "-q", "-v", "models" }, "can not be used together", "help" },
      { { "models", "extra" }, "too many arguments", "help" },
      { { "--project" }, "requires an argument", "help" },
      { { "verify", "--incremental", "--all" }, "unknown option", "help" },
      { { "verify" }, "no model is given", "%-%-all" },
      { { "verify", "--all", "--report", "x.txt" }, "does not end in %.jsonl", "help" },
      { { "verify", "--all", "--report" }, "requires an argument", "help" },
      { { "sync", "--all" }, "%-%-full is not given", "Only full" },
      { { "sync", "--full" }, "no model is given", "%-%-all" },
      { { "sync", "--all", "--full", "--snapshot", "--to-primary" }, "contradict each other",
        "%-%-to%-primary reads the secondary" },
      { { "sync", "--all", "--full", "--jobs", "0" }, "'%-%-jobs': '0' is not a whole", "help" },
      { { "sync", "--all", "--full", "--chunk-rows", "1.5" }, "not a whole number", "help" },
      { { "sync", "--all", "--full", "--max-rate", "10T" }, "not a size above 0", "help" },
      { { "sync", "--all", "--full", "--max-rate", "1.2.3M" }, "not a size above 0", "help" },
      { { "sync", "--all", "--full", "--max-rate", "0k" }, "not a size above 0", "help" },
      { { "sync", "--all", "--full", "--max-lag", "soon" }, "not a number of seconds", "help" },
      { { "repair" }, "no model is given", "%-%-all" },
      { { "repair", "--all", "--max-rows", "0" }, "not a whole number above 0", "help" },
      { { "repair", "--all", "--max-rows", "1e3" }, "not a whole number above 0", "help" },
      { { "repair", "--all", "--max-rows=-5" }, "not a whole number above 0", "help" },
      { { "shell" }, "missing argument 'side'", "help" },
      { { "shell", "third" }, "must be one of 'primary', 'secondary'", "help" },
      { { "sandbox", "sideways" }, "must be one of", "help" },
      { { "schema" }, "command is required", "help" },
      { { "schema", "aply" }, "aply", "Did you mean" },
      { { "run" }, "no file is given" },
      { { "run", "-e" }, "requires an argument" },
      { { "setup", "now" }, "too many arguments", "help" },
    } do
      local run = dir:run(case[1], { env = UNREACHABLE.primary })
      local what = table.concat(case[1], " ") .. ": " .. run.err
      assert.equal(2, run.code, what)
      assert.equal("", run.out, what)
      assert.truthy(run.err:match("^dualdb: [^\n]*" .. case[2] .. "[^\n]*%(usage%)\n"), what)
      if case[3] then assert.truthy(run.err:match("\nhint: [^\n]*" .. case[3]), what) end
    end
  end)

  it("takes its options before and behind the command", function()
    for _, words in ipairs {
      { "--json", "help", "output" }, { "help", "--json", "output" },
      { "help", "output", "--json" },
    } do
      assert.matches('^{"command":"help","ok":true,', dir:run(words).out)
    end
  end)

  it("gives one document for an error too, with all there is to say", function()
    local document, run = dir:json({ "verfy" })
    assert.equal(2, run.code)
    assert.equal("usage", document.error.class)
    assert.equal("Did you mean 'verify'?", document.error.hint)
    assert.False(document.error.retryable)
    assert.equal("not_applied", document.error.outcome)
    assert.equal(0, #document.models)
    assert.matches('"models":%[%]', run.out)
    document, run = dir:json({ "models" }, { env = UNREACHABLE.primary })
    assert.equal(4, run.code)
    assert.equal("models", document.command)
    assert.equal("unavailable", document.error.class)
    assert.equal("primary", document.error.side)
    assert.equal("number", type(document.error.code))
    assert.True(document.error.retryable)
  end)

  it("ends with 4 for the primary, 5 for the secondary and 3 for the configuration", function()
    dir:write("dualdb.lua", "return { models = { A = { table = 'cli_room' } } }")
    assert.equal(4, dir:run({ "health" }, { env = UNREACHABLE.primary }).code)
    assert.equal(5, dir:run({ "health" }, { env = UNREACHABLE.secondary }).code)
    assert.equal(4, dir:run({ "setup" }, { env = UNREACHABLE.primary }).code)
    assert.equal(4, dir:run({ "sync", "A", "--full" }, { env = UNREACHABLE.primary }).code)
    assert.equal(4, dir:run({ "verify", "A" }, { env = UNREACHABLE.primary }).code)
    assert.equal(4, dir:run({ "repair", "A", "--yes" }, { env = UNREACHABLE.primary }).code)
    local nowhere = { unset = { "DUALDB_PRIMARY_URL", "DUALDB_SECONDARY_URL" } }
    assert.equal(3, dir:run({ "models" }, nowhere).code)
    assert.equal(3, dir:run({ "models", "--project", "no.lua" }).code)
    assert.equal(3, dir:run({ "--env-file", "no.env", "models" }).code)
  end)

  it("says where the project file is wrong", function()
    dir:write("dualdb.lua", "return {\n  modles = {},\n}\n")
    local run = dir:run { "models" }
    assert.equal(3, run.code)
    assert.matches("dualdb%.lua:2: unknown key modles, did you mean models", run.err)
  end)

  it("hides a password that stands where it does not belong", function()
    for _, words in ipairs {
      { "mysql://u:geheim@h/db" }, { "verify", "--primary=mysql://u:geheim@h/db" },
      { "run", "postgres://u:geheim@h/db" }, { "models", "mysql://u:geheim@h/db" },
      { "--json", "mysql://u:geheim@h/db" },
    } do
      assert.equal(2, dir:run(words).code)
    end
    assert.equal(3, dir:run({ "models" }, { env = { DUALDB_PRIMARY_URL = "x://u:geheim@h" } }).code)
  end)

  it("logs as text, logfmt or lines of JSON, and errors also when quiet", function()
    local unreachable = { env = UNREACHABLE.primary }
    local run = dir:run({ "models", "--log-format", "json", "-q" }, unreachable)
    local line = cli.json_lines(run.err)[1]
    assert.equal("error", line.level)
    assert.equal("unavailable", line.class)
    assert.matches("^%d+%-%d+%-%d+T%d+:%d+:%d+%.%d+Z$", line.ts)
    run = dir:run({ "models", "--log-format", "logfmt", "-q" }, unreachable)
    assert.matches("^ts=%S+ level=error msg=\"primary: .*\" class=unavailable", run.err)
    run = dir:run({ "models", "-q" }, unreachable)
    assert.matches("^dualdb: primary: .* %(unavailable, ", run.err)
  end)

  it("keeps its exit code when nobody reads what it says", function()
    local pipe = assert(io.popen(("{ %s; echo $? >&3; } 3>&1 >/dev/full 2>/dev/null"):format(
      cli.command { "help" })))
    assert.equal("70\n", pipe:read("a"))
    pipe:close()
    pipe = assert(io.popen(("{ { %s 2>&4; echo $? >&3; } | true; } 3>&1 4>&1"):format(
      cli.command { "help" })))
    assert.equal("0\n", pipe:read("a"))
    pipe:close()
  end)
end)
