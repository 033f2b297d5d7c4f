--- Messages to the person or the program that runs dualdb, on standard error: as text, as logfmt or
--- as lines of JSON. Values of parameters and rows never come here.

local core = require "dualdb.core"
local json = require "dualdb.json"

local log = {}

log.FORMATS = { "human", "logfmt", "json" }

local LEVELS = { debug = 1, info = 2, warn = 3, error = 4 }

--- The sink: the only state of the process that modules share.
local sink = { format = "human", level = LEVELS.info, status_shown = false }

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
  local text = tostring(value)
  if text:find('[%s"=\\%c]') or text == "" then return core.json_string(text) end
  return text
end

local function sorted_names(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local render = {}

function render.human(level, text)
  if level == "error" then return "dualdb: " .. text end
  if level == "warn" then return "dualdb: warning: " .. text end
  return text
end

function render.logfmt(level, text, fields)
  local parts = {
    "ts=" .. timestamp(), "level=" .. level, "msg=" .. logfmt_value(text),
  }
  for _, name in ipairs(sorted_names(fields)) do
    parts[#parts + 1] = name .. "=" .. logfmt_value(fields[name])
  end
  return table.concat(parts, " ")
end

function render.json(level, text, fields)
  local parts = {
    '{"ts":"' .. timestamp() .. '"', '"level":"' .. level .. '"',
    '"msg":' .. core.json_string(text),
  }
  for _, name in ipairs(sorted_names(fields)) do
    parts[#parts + 1] = core.json_string(name) .. ":" .. json.encode(fields[name])
  end
  return table.concat(parts, ",") .. "}"
end

--- Writes a message, when its level is high enough. The text form shows no fields: what a person
--- needs is in the text.
---@param level "debug"|"info"|"warn"|"error"
---@param text string
---@param fields table<string, any>|nil
function log.emit(level, text, fields)
  if not log.enabled(level) then return end
  log.clear_status()
  io.stderr:write(render[sink.format](level, text, fields or {}), "\n")
end

--- Shows a line that the next one replaces; only for a terminal.
---@param text string
function log.status(text)
  io.stderr:write("\r", text, "\27[K")
  sink.status_shown = true
end

--- Takes the status line away, before anything else is written to the terminal.
function log.clear_status()
  if not sink.status_shown then return end
  io.stderr:write("\r\27[K")
  sink.status_shown = false
end

return log
