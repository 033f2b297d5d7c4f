--- How far a long run is: one steady line on a terminal, otherwise a message every few seconds.

local core = require "dualdb.core"
local log = require "dualdb.log"

local progress = {}

--- Seconds between two looks of the line, and between two messages.
local REDRAW, REPORT = 0.1, 5

---@param count number
---@return string  with a comma between thousands
function progress.count(count)
  local digits = ("%d"):format(count // 1)
  local sign, number = digits:match("^(%-?)(%d+)$")
  number = number:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return sign .. number
end

--- "1 row", "2 rows".
---@param count integer
---@param noun string
---@return string
function progress.plural(count, noun)
  return ("%s %s%s"):format(progress.count(count), noun, count == 1 and "" or "s")
end

local UNITS = { "B", "KiB", "MiB", "GiB", "TiB" }

---@param bytes number
---@return string  512 B, 1.5 MiB, 120 GiB
function progress.size(bytes)
  local unit = 1
  while bytes >= 1024 and unit < #UNITS do bytes, unit = bytes / 1024, unit + 1 end
  return (unit > 1 and bytes < 10 and "%.1f %s" or "%.0f %s"):format(bytes, UNITS[unit])
end

---@param seconds number
---@return string  0:07, 12:34, 1:02:03
function progress.duration(seconds)
  local whole = math.ceil(seconds)
  if whole >= 3600 then
    return ("%d:%02d:%02d"):format(whole // 3600, whole % 3600 // 60, whole % 60)
  end
  return ("%d:%02d"):format(whole // 60, whole % 60)
end

---@class dualdb.Meter
local Meter = {}
Meter.__index = Meter

--- A meter for one run of a command.
---@param what string      "sync", "verify", "repair"
---@return dualdb.Meter
function progress.new(what)
  local terminal = log.format() == "human" and core.isatty(2)
    and (os.getenv("TERM") or "dumb") ~= "dumb"
  return setmetatable({
    what = what, terminal = terminal, shown = log.enabled("info"),
    interval = terminal and REDRAW or REPORT,
  }, Meter)
end

local function milliseconds(seconds)
  return math.floor(seconds * 1000) / 1000
end

local function measured(self, so_far)
  local seconds = core.clock() - self.started
  local rate = seconds > 0 and so_far.rows / seconds or 0
  local left = (so_far.of or 0) - so_far.rows
  return {
    event = "progress", command = self.what, model = self.model, rows = so_far.rows,
    of = so_far.of and math.max(so_far.of, so_far.rows), rows_per_second = rate // 1 | 0,
    eta_seconds = rate > 0 and left > 0 and math.ceil(left / rate) or nil,
    differences = so_far.differences, seconds = milliseconds(seconds),
  }
end

local function describe(self, fields)
  local parts = { ("%s %s: %s rows"):format(self.what, self.model, progress.count(fields.rows)) }
  if fields.of and fields.of > fields.rows then
    parts[1] = ("%s %s: %s of about %s rows"):format(self.what, self.model,
      progress.count(fields.rows), progress.count(fields.of))
  end
  parts[#parts + 1] = progress.count(fields.rows_per_second) .. " rows/s"
  if fields.eta_seconds then
    parts[#parts + 1] = "ETA " .. progress.duration(fields.eta_seconds)
  end
  if (fields.differences or 0) > 0 then
    parts[#parts + 1] = progress.count(fields.differences) .. " to look at again"
  end
  return table.concat(parts, ", ")
end

--- The line must not wrap: its next look would not replace it.
local function fit(text)
  local width = core.width(2) or 80
  if #text < width then return text end
  local cut = utf8.offset(text, width - 1)
  return cut and text:sub(1, cut - 1) or text
end

--- A model's run starts.
---@param model string
function Meter:start(model)
  self.model, self.started, self.last = model, core.clock(), core.clock()
  if self.terminal and self.shown then log.status(fit(self.what .. " " .. model)) end
end

--- The function that a run is given to say how far it is.
---@return fun(so_far: { rows: integer, of: integer|nil, differences: integer|nil })
function Meter:callback()
  return function(so_far)
    if so_far.model and so_far.model ~= self.model then self:start(so_far.model) end
    local now = core.clock()
    if not self.shown or now - self.last < self.interval then return end
    self.last = now
    local fields = measured(self, so_far)
    if self.terminal then
      log.status(fit(describe(self, fields)))
    else
      log.emit("info", describe(self, fields), fields)
    end
  end
end

--- A model's run has ended. Programs that read the messages always get this one.
---@param fields table<string, any>   what came of it
function Meter:finish(fields)
  log.clear_status()
  if log.format() == "human" then return end
  local event = { event = "done", command = self.what, model = self.model }
  for name, value in pairs(fields) do event[name] = value end
  event.seconds = milliseconds(core.clock() - self.started)
  log.emit("info", ("%s %s: done"):format(self.what, self.model), event)
end

return progress
