-- The prompt, on a pseudo terminal that script(1) makes.

local chat = require "spec.support.chat"
local cli = require "spec.support.cli"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

describe("the prompt", function()
  local db, dir

  before_each(function()
    db, dir = chat.open()
    chat.sync(dir)
  end)
  after_each(function() chat.close(db, dir) end)

  local function start(env)
    local variables = { XDG_STATE_HOME = dir.path .. "/state", TERM = "xterm" }
    for name, value in pairs(env or {}) do variables[name] = value end
    os.execute("mkfifo " .. dir.path .. "/keys")
    os.execute(("cd %s; (script -qefc %s screen <keys >/dev/null 2>&1; "
      .. "echo $? >code) &"):format(dir.path, cli.quote(cli.command({}, { env = variables }))))
    local keys = assert(io.open(dir.path .. "/keys", "wb"))
    keys:setvbuf("no")
    local self = {}
    function self.screen() return (dir:read("screen") or ""):gsub("\r", "") end
    --- Presses keys whether or not somebody reads them.
    function self.press(text) keys:write(text) end
    --- Waits until the pattern is on the screen behind what was seen before.
    local at = 1
    function self.see(pattern)
      return wait.wait_until("the screen shows " .. pattern, function()
        local from, to, found = self.screen():find(pattern, at)
        if from then at = to + 1 end
        return from and (found or true)
      end)
    end
    --- Types at the next prompt. While there is none the terminal keeps what is typed, and a Ctrl-D
    --- in that is lost to the line editor.
    function self.type(text)
      self.see("[b>]> ")
      self.press(text)
    end
    function self.finish()
      keys:close()
      wait.wait_until("the prompt ends", function()
        return (dir:read("code") or ""):find("\n", 1, true)
      end, 30)
      local screen = self.screen()
      for _, name in ipairs { "DUALDB_PRIMARY_URL", "DUALDB_SECONDARY_URL" } do
        local secret = os.getenv(name):match(":([^:@/]+)@")
        assert(not screen:find(secret, 1, true), "a password is on the screen")
      end
      return tonumber(dir:read "code")
    end
    return self
  end

  it("greets, evaluates, goes on until a statement is whole, and leaves", function()
    local session = start()
    session.see("dualdb %d+%.%d+%.%d+, Lua 5%.4.*primary +mysql.*secondary +postgres")
    session.type("1 + 1\n")
    session.see("\n2\n")
    session.type("for i = 1, 2 do\n")
    session.type("print('i', i)\n")
    session.type("end\n")
    session.see("i\t1\ni\t2\n")
    session.type("x = { 1, a = dualdb.NULL }\n")
    session.type("x\n")
    session.see("{ 1, a = NULL }\n")
    session.type(".quit\n")
    assert.equal(0, session.finish())
  end)

  it("shows rows as a table, and below each other when they are too wide", function()
    local session = start()
    session.type("db.primary:query('select id, name, null as n from cli_room order by id')\n")
    session.see("\nid +name +n\n 1 +a +NULL\n 2 +zwölf 日本 🎈 +NULL\n 3 +c +NULL\n%(3 rows%)\n")
    session.type("db.primary:query('select 1 as one, repeat(\"x\", 300) as wide')\n")
    session.see("\n%-%- row 1\none +1\nwide +xxx")
    session.type("db.Room:get(3), db.Room\n")
    session.see('{ id = 3, name = "c" }\nmodel Room\n')
    session.type("\4")
    assert.equal(0, session.finish())
  end)

  it("shows errors in a line and their hint, and goes on", function()
    local session = start()
    session.type("db.primary:query('selec')\n")
    session.see("dualdb: primary: [^\n]+42000")
    session.type("db:write(5)\n")
    session.see("dualdb: write: function expected %(usage%)\n")
    session.type("x = = 1\n")
    session.see("unexpected symbol near '='\n")
    session.type("error('boom')\n")
    session.see("stdin:1: boom\n")
    session.type("'still here'\n")
    session.see("\nstill here\n")
    session.type("\4")
    assert.equal(0, session.finish())
  end)

  it("says once that locals do not survive their line", function()
    local session = start()
    session.type("local a = 1\n")
    session.see("note: a local is gone with its line")
    session.type("local b = 2\n")
    session.type("a\n")
    session.see("\nnil\n")
    session.type("\4")
    session.finish()
    assert.equal(1, select(2, session.screen():gsub("note: a local", "")))
  end)

  it("stops what runs at Ctrl-C, on the server too, and goes on", function()
    local session = start()
    for _, case in ipairs {
      { "mysql", "db.primary:query('select /* cli_repl */ sleep(60)')\n" },
      { "postgres", "db.secondary:query('select /* cli_repl */ pg_sleep(60)::text')\n" },
    } do
      session.type(case[2])
      wait.wait_until("the query runs", function() return servers.runs(case[1], "cli_repl") end)
      session.press("\3")
      session.see("interrupted\n")
      servers.wait_until_gone(case[1], "cli_repl")
    end
    session.type("print('loop') while true do end\n")
    session.see("\nloop\n")
    session.press("\3")
    session.see("interrupted\n")
    session.type("40 + 2\n")
    session.see("\n42\n")
    session.type("\4")
    assert.equal(0, session.finish())
  end)

  it("knows words with a dot", function()
    local session = start()
    session.type(".models\n")
    session.see("Item +cli_item +cli_item")
    session.type(".health\n")
    session.see("secondary +[^\n]*up")
    session.type(".help\n")
    session.see("%.quit")
    session.type(".nonsense\n")
    session.see("no such word: %.nonsense")
    session.type(".quit\n")
    assert.equal(0, session.finish())
  end)

  it("starts without the databases, says why, and connects only when it has to", function()
    local session = start { DUALDB_PRIMARY_URL = "mysql://u:geheim@127.0.0.1:1/x" }
    session.type("1 + 1\n")
    session.see("\n2\n")
    session.type("db.primary:query('select 1')\n")
    session.see("%(unavailable, ")
    session.type("\4")
    assert.equal(0, session.finish())
    dir:remove()
    dir = cli.directory()
    session = start { DUALDB_PRIMARY_URL = "postgres://x" }
    session.see("this is not a MySQL URL %(config%)")
    session.type("\4")
    assert.equal(0, session.finish())
  end)

  it("keeps what was typed in a file for its owner only, but no password", function()
    local session = start()
    session.type("1 + 1\n")
    session.see("\n2\n")
    session.type("u = 'mysql://u:geheim@h/db'\n")
    session.type("\4")
    session.finish()
    local history = dir:read "state/dualdb/history"
    assert.matches("1\\040%+\\0401", history)
    assert.not_matches("geheim", history)
    local pipe = assert(io.popen("stat -c %a " .. dir.path .. "/state/dualdb/history"))
    assert.equal("600\n", pipe:read("a"))
    pipe:close()
  end)
end)
