--- What a command says: results on standard output, all else on standard error; with --json
--- standard output is exactly one document.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local json = require "dualdb.json"
local log = require "dualdb.log"
local text = require "dualdb.cli.text"

-- Kept here: a script under --json has its own output sent to standard error.
local stdout = io.stdout

local COLOURS = { red = 31, green = 32, yellow = 33, bold = 1 }

---@class dualdb.Output
---@field json boolean
---@field verbose boolean
local Output = {}
Output.__index = Output

local function wants_colour(no_color)
  local function set(name) return (os.getenv(name) or "") ~= "" end
  if no_color or set("NO_COLOR") then return false end
  if set("FORCE_COLOR") then return true end
  return core.isatty(1) and os.getenv("TERM") ~= "dumb"
end

--- Until the command line is understood: its words may already say how to report that it is not.
---@param options { json: boolean|nil, verbose: boolean|nil, no_color: boolean|nil }
---@return dualdb.Output
function Output.new(options)
  local self = {
    json = options.json or false, verbose = options.verbose or false,
    colour = wants_colour(options.no_color), started = core.clock(), document = {},
  }
  -- Commands call these as plain functions.
  for _, name in ipairs { "print", "write", "result", "table", "error", "paint" } do
    self[name] = function(...) return Output[name](self, ...) end
  end
  self.log = log.emit
  return setmetatable(self, Output)
end

local function put(self, ...)
  log.clear_status()
  local ok, _, code = stdout:write(...)
  if not ok then self.broken = self.broken or code end
end

--- Writes text as it is.
function Output:write(piece)
  if not self.json then put(self, piece) end
end

--- Writes a line for a person.
---@param line string
function Output:print(line)
  if not self.json then put(self, line, "\n") end
end

---@param word string
---@param colour string
function Output:paint(word, colour)
  if not self.colour then return word end
  return ("\27[%dm%s\27[0m"):format(COLOURS[colour], word)
end

--- Writes an aligned table for a person.
---@param headers string[]
---@param rows any[][]
---@param options { right: table<integer, boolean>|nil, colours: table|nil }|nil
function Output:table(headers, rows, options)
  if self.json then return end
  options = options or {}
  put(self, text.table(headers, rows, {
    right = options.right,
    paint = options.colours and self.colour and function(padded, value)
      local colour = options.colours[value]
      return colour and self.paint(padded, colour) or padded
    end,
  }))
end

--- Adds fields to the document of --json.
---@param fields table<string, any>
function Output:result(fields)
  for name, value in pairs(fields) do self.document[name] = value end
end

--- Reports an error on standard error. `where` is put before what it says.
---@param err dualdb.Error
---@param where string|nil
function Output:error(err, where)
  local message = tostring(err)
  if where and not message:find(where, 1, true) then message = where .. ": " .. message end
  local fields = json.error(err)
  fields.message = nil
  log.clear_status()
  log.emit("error", message, fields)
  if err.hint and log.format() == "human" then io.stderr:write("hint: ", err.hint, "\n") end
  if self.verbose and err.detail and log.format() == "human" then
    io.stderr:write("detail: ", err.detail, "\n")
  end
end

--- Closes the output and returns the exit code.
---@param command string|nil
---@param code integer
---@return integer
function Output:finish(command, code)
  log.clear_status()
  if self.json then
    local document = self.document
    document.command = command or core.NULL
    document.ok = code == 0
    document.models = document.models or json.array()
    document.seconds = core.clock() - self.started
    put(self, json.encode(document), "\n")
  end
  local ok, reason, errno = stdout:flush()
  local EPIPE = 32
  if self.broken or not ok then
    if (self.broken or errno) ~= EPIPE then
      self.error(errors.make("internal",
        "standard output cannot be written: " .. (reason or "an earlier error")))
      return 70
    end
  end
  return code
end

return Output
