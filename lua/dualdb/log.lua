--- Messages to the person or the program that runs dualdb, on standard error: as text, as logfmt or
--- as lines of JSON. Values of parameters and rows never come here.

local core = require "dualdb.core"
local json = require "dualdb.json"
local text = require "dualdb.cli.text"

local log = {}

log.FORMATS = { "human", "logfmt", "json" }

local LEVELS = { debug = 1, info = 2, warn = 3, error = 4 }

--- The sink: the only state of the process that modules share.
local sink = { format = "human", level = LEVELS.info, status = {} }

---@param options { format: "human"|"logfmt"|"json"|nil, level: "debug"|"info"|"warn"|"error"|nil }
function log.configure(options)
  sink.format = options.format or sink.format
  sink.level = LEVELS[options.level] or sink.level
end

function log.format() return sink.format end

---@param level "debug"|"info"|"warn"|"error"
function log.enabled(level) return LEVELS[level] >= sink.level end

local function timestamp()
  local now = core.wall_clock()
  return os.date("!%Y-%m-%dT%H:%M:%S", now // 1000000) .. (".%06dZ"):format(now % 1000000)
end

local function logfmt_value(value)
  local word = tostring(value)
  if word:find('[%s"=\\%c]') or word == "" then return core.json_string(word) end
  return word
end

local function sorted_names(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local render = {}

function render.human(level, message)
  if level == "error" then return "dualdb: " .. message end
  if level == "warn" then return "dualdb: warning: " .. message end
  return message
end

function render.logfmt(level, message, fields)
  local parts = {
    "ts=" .. timestamp(), "level=" .. level, "msg=" .. logfmt_value(message),
  }
  for _, name in ipairs(sorted_names(fields)) do
    parts[#parts + 1] = name .. "=" .. logfmt_value(fields[name])
  end
  return table.concat(parts, " ")
end

function render.json(level, message, fields)
  local parts = {
    '{"ts":"' .. timestamp() .. '"', '"level":"' .. level .. '"',
    '"msg":' .. core.json_string(message),
  }
  for _, name in ipairs(sorted_names(fields)) do
    parts[#parts + 1] = core.json_string(name) .. ":" .. json.encode(fields[name])
  end
  return table.concat(parts, ",") .. "}"
end

-- ---- the status, which is redrawn in place ----

--- Lines of the terminal that the status takes: one that has become narrower has broken what was
--- longer into several.
local function lines_taken()
  local width, taken = core.width(2) or math.huge, 0
  for _, line in ipairs(sink.status) do
    taken = taken + math.max(1, math.ceil(text.width(line) / width))
  end
  return taken
end

--- What brings the cursor to the beginning of the status.
local function to_its_start()
  local taken = lines_taken()
  if taken == 0 then return "" end
  return taken > 1 and ("\r\27[%dA"):format(taken - 1) or "\r"
end

--- Each line replaces what is in its place, so that nothing is blank in between.
local function drawn(lines) return table.concat(lines, "\27[K\n") .. "\27[J" end

--- Shows lines that the next ones replace; only for a terminal. None may be as wide as that.
---@param lines string|string[]
function log.status(lines)
  if type(lines) == "string" then lines = { lines } end
  local start = to_its_start()
  if start == "" then start = "\r" end
  sink.status = lines
  io.stderr:write(start .. drawn(lines))
end

--- Takes the status away, before anything else is written to the terminal.
function log.clear_status()
  if #sink.status == 0 then return end
  io.stderr:write(to_its_start() .. "\27[J")
  sink.status = {}
end

-- ---- messages ----

--- Writes a message, when its level is high enough; above the status. The text form shows no
--- fields: what a person needs is in the text.
---@param level "debug"|"info"|"warn"|"error"
---@param message string
---@param fields table<string, any>|nil
function log.emit(level, message, fields)
  if not log.enabled(level) then return end
  local line = render[sink.format](level, message, fields or {})
  if #sink.status == 0 then
    io.stderr:write(line, "\n")
  else
    io.stderr:write(to_its_start() .. "\27[J" .. line .. "\n" .. drawn(sink.status))
  end
end

return log
