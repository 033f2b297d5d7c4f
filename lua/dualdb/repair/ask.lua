--- The strategy `ask`: a person at a terminal sees both rows and says which is right.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"

local ask = {}

local HELP = "  p  the primary's row is right     P  and so for all that follow\n"
  .. "  s  the secondary's row is right   S  and so for all that follow\n"
  .. "  n  leave both as they are         q  leave this and all that follow\n"

local LETTERS = { p = "primary", s = "secondary", n = "skip", P = "primary", S = "secondary",
                  q = "skip" }
local LASTING = { P = true, S = true, q = true }

--- Bytes of a value that are shown.
local LONGEST = 60

local function escape(bytes)
  return (bytes:gsub(".", function(c) return ("\\x%02x"):format(c:byte()) end))
end

--- A value for a line of a terminal.
local function shown(value)
  if value == nil then return "" end
  if value == core.NULL then return "null" end
  if type(value) ~= "string" then return tostring(value) end
  -- Bytes, and the controls beyond ASCII, which UTF-8 has in two.
  local text = value:gsub("%c", escape):gsub("\xC2[\x80-\x9F]", escape)
  if not utf8.len(text) then text = text:gsub("[\x80-\xFF]", escape) end
  return #text > LONGEST and text:sub(1, utf8.offset(text, 0, LONGEST - 2) - 1) .. "..." or text
end

local function key_text(difference, model)
  local parts = {}
  for i, name in ipairs(model.key) do
    parts[i] = ("%s = %s"):format(name, shown(difference.key[name]))
  end
  return table.concat(parts, ", ")
end

--- Both rows: the columns that differ, or all of the row that is there.
local function show(write, a, b, difference, model)
  write(("\n%s, %s: %s\n"):format(shown(model.name), key_text(difference, model),
    difference.kind))
  local names = #difference.columns > 0 and difference.columns or model.columns
  local width = 0
  for _, name in ipairs(names) do width = math.max(width, #name) end
  local form = "  %-" .. width .. "s  %-30s  %s\n"
  write(form:format("", a and "primary" or "primary (no row)",
    b and "secondary" or "secondary (no row)"))
  for _, name in ipairs(names) do
    write(form:format(shown(name), shown(a and a[name]), shown(b and b[name])))
  end
end

--- A strategy that asks; its answers for all that follow last as long as it does.
---@param read (fun(): string|nil)|nil      default: a line of standard input
---@param write fun(text: string)|nil       default: to standard error
---@return function
function ask.strategy(read, write)
  read = read or function() return io.read "l" end
  write = write or function(text) io.stderr:write(text) end
  local lasting
  return function(a, b, difference, model)
    if lasting then return lasting, lasting == "skip" and "left by a person" or nil end
    log.clear_status()
    show(write, a, b, difference, model)
    while true do
      write "p, s, n, P, S, q or ? "
      local answer = read()
      if not answer then
        error(errors.make("canceled", "nobody answers any more"), 0)
      end
      local said = LETTERS[answer:match "^%s*(%a)%s*$"]
      if said then
        if LASTING[answer:match "%a"] then lasting = said end
        return said, said == "skip" and "left by a person" or nil
      end
      write(HELP)
    end
  end
end

--- Refuses where there is nobody to ask.
function ask.check()
  if core.isatty(0) then return end
  error(errors.make("refused", "the strategy ask needs a terminal to ask at", {
    hint = "Name another one with --strategy, for example primary_wins.",
  }), 0)
end

return ask
