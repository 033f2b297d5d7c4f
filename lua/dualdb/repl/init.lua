--- The prompt: Lua typed line by line, with the pair at hand.

local app = require "dualdb.app"
local core = require "dualdb.core"
local dualdb = require "dualdb"
local errors = require "dualdb.errors"
local show = require "dualdb.repl.show"
local url = require "dualdb.url"

local repl = {}

local HELP = [[
Lua 5.4, one statement or expression after the other. What is at hand:

  db                       the pair: db.primary, db.secondary, db.MODEL, db:write(fn), db:health()
  dualdb                   the library

  db.primary:query("select * from room where id = ?", 7)
  db.Message:get(7)        db.Message:find { room_id = 7 }
  db.Message:verify()      db.Message:repair { dry_run = true }

  .models  .health         as on the command line
  .help  .quit             Ctrl-C stops what runs, Ctrl-D leaves
]]

---@class dualdb.Repl
---@field args table
---@field out dualdb.Output
---@field history string|nil    the file
---@field told boolean          that locals do not survive

-- ---- the file of what was typed ----

local function history_file()
  local state = os.getenv("XDG_STATE_HOME")
  if not state or state:sub(1, 1) ~= "/" then
    local home = os.getenv("HOME")
    if not home or home == "" then return nil end
    state = home .. "/.local/state"
  end
  local directory = state .. "/dualdb"
  local quoted = "'" .. directory:gsub("'", [['\'']]) .. "'"
  if not os.execute("umask 077 && mkdir -p " .. quoted .. " 2>/dev/null") then return nil end
  return directory .. "/history"
end

--- Lines with a password in them are not kept.
local function remember(self, lines)
  if not self.history or url.mask(lines) ~= lines then return end
  for line in lines:gmatch("[^\n]+") do app.add_history(line) end
  app.save_history(self.history)
end

-- ---- one statement ----

local function is_incomplete(message)
  return message:match("<eof>$") ~= nil
end

--- The chunk of a whole statement or expression; nil when more lines are needed; or nil and the
--- message.
local function compile(source)
  local chunk = load("return " .. source, "=stdin", "t")
  if chunk then return chunk end
  local wrong
  chunk, wrong = load(source, "=stdin", "t")
  if chunk then return chunk end
  if is_incomplete(wrong) then return nil end
  return nil, wrong
end

--- A line, or nil at the end of input. Ctrl-C gives up what was typed so far: "".
local function read_line(prompt)
  local ok, line = pcall(app.read_line, prompt)
  if core.interrupted() or not ok then
    app.reset_signals()
    io.stdout:write("\n")
    return "", true
  end
  return line
end

--- Reads lines until they are a statement. Returns the chunk, its text, and what is wrong with it;
--- nothing at the end of input.
local function read_statement(first)
  local source = first
  while true do
    local chunk, wrong = compile(source)
    if chunk or wrong then return chunk, source, wrong end
    local line, given_up = read_line("     >> ")
    if given_up then return nil, "", nil end
    if not line then return nil, source, "the input ends inside of a statement" end
    source = source .. "\n" .. line
  end
end

local function say_error(self, raised)
  if errors.is(raised) then
    if raised.class == "canceled" then
      app.reset_signals()
      io.stderr:write("interrupted\n")
    else
      self.out.error(raised)
    end
  else
    io.stderr:write(tostring(raised), "\n")
  end
end

local function handler(raised)
  if errors.is(raised) then return raised end
  local stack = debug.traceback(tostring(raised), 2)
  return (stack:gsub("\n%s*%[C%]: in function 'xpcall'.*$", ""))
end

local function note_locals(self, source)
  if self.told or not source:match("^%s*local%s") then return end
  self.told = true
  io.stderr:write("note: a local is gone with its line; without `local` it stays\n")
end

local function evaluate(self, chunk, source)
  local results = table.pack(xpcall(chunk, handler))
  io.stdout:flush()
  if not results[1] then
    say_error(self, results[2])
    return
  end
  note_locals(self, source)
  local values = table.pack(table.unpack(results, 2, results.n))
  io.stdout:write(show.results(values, core.width(1) or 80))
  io.stdout:flush()
end

-- ---- words with a dot ----

local function run_command(self, name)
  local ok, err = xpcall(function()
    require("dualdb.cli." .. name).command(self.args, self.out)
  end, handler)
  if not ok then say_error(self, err) end
  io.stdout:flush()
end

local WORDS = {
  help = function() io.stdout:write(HELP) end,
  models = function(self) run_command(self, "models") end,
  health = function(self) run_command(self, "health") end,
}
WORDS.h = WORDS.help

local function dot_command(self, line)
  local word = line:match("^%.(%a+)%s*$")
  if word == "quit" or word == "q" or word == "exit" then return "quit" end
  local action = WORDS[word]
  if action then
    action(self)
  else
    io.stderr:write(("no such word: %s; there are .help .models .health .quit\n"):format(line))
  end
end

-- ---- the loop ----

--- Where a side is, without what is secret.
local function address(settings)
  local place = settings.socket or settings.host or settings.hostaddr or "localhost"
  if settings.port and not settings.socket then place = place .. ":" .. settings.port end
  return ("%s@%s/%s"):format(settings.user or "", place, settings.dbname or "")
end

local function greet(db)
  io.stdout:write(("dualdb %s, %s. .help says what is at hand, .quit leaves.\n"):format(
    core.VERSION, _VERSION))
  if not db then return end
  io.stdout:write(("primary    mysql     %s\nsecondary  postgres  %s\n"):format(
    address(db.config.primary), address(db.config.secondary)))
end

--- One line and what follows from it. Returns "quit" at the end.
local function step(self)
  local line, given_up = read_line("dualdb> ")
  if given_up then return nil end
  if not line then
    io.stdout:write("\n")
    return "quit"
  end
  if line:match("^%s*$") then return nil end
  if line:match("^%.%a") then
    remember(self, line)
    return dot_command(self, line)
  end
  local chunk, source, wrong = read_statement(line)
  if source ~= "" then remember(self, source) end
  if wrong then
    io.stderr:write(wrong, "\n")
  elseif chunk then
    evaluate(self, chunk, source)
  end
end

--- Converses until the end of input. Returns the exit code.
---@param args table
---@param out dualdb.Output
---@return integer
function repl.run(args, out)
  local self = { args = args, out = out, history = history_file(), told = false }
  if self.history then app.load_history(self.history) end
  _G.dualdb, _G.arg = dualdb, args.script_arguments
  local ok, db = pcall(args.db)
  _G.db = ok and db or nil
  greet(_G.db)
  if not ok then say_error(self, db) end
  while true do
    local done, result = pcall(step, self)
    if not done then say_error(self, result) end
    if result == "quit" then return 0 end
  end
end

return repl
