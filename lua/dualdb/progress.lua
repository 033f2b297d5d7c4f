--- How far a long run is: steady lines on a terminal, otherwise a message every few seconds.

local core = require "dualdb.core"
local format = require "dualdb.progress.format"
local log = require "dualdb.log"
local Tables = require "dualdb.progress.tables"
local text = require "dualdb.cli.text"

local progress = {
  count = format.count, plural = format.plural, size = format.size, duration = format.duration,
}

--- Seconds between two looks of the line, and between two messages.
local REDRAW, REPORT = 0.1, 5

---@class dualdb.Meter
local Meter = {}
Meter.__index = Meter

--- A meter for one run of a command: of one model after another (start, callback, finish), or of
--- several at the same time (table, pause, tick, close).
---@param what string      "sync", "verify", "repair"
---@param options { tables: integer|nil, of: integer|nil }|nil   how many, and rows in all, about
---@return dualdb.Meter
function progress.new(what, options)
  local terminal = log.format() == "human" and core.isatty(2)
    and (os.getenv("TERM") or "dumb") ~= "dumb"
  local self = setmetatable({
    what = what, terminal = terminal, shown = log.enabled("info"),
    interval = terminal and REDRAW or REPORT,
  }, Meter)
  self.tables = Tables.new(self, options or {})
  return self
end

-- ---- one model after another ----

local function measured(self, so_far)
  local seconds = core.clock() - self.started
  local rate, eta = format.rate(so_far.rows, (so_far.of or 0) - so_far.rows, seconds)
  return {
    event = "progress", command = self.what, model = self.model, rows = so_far.rows,
    of = so_far.of and math.max(so_far.of, so_far.rows), rows_per_second = rate // 1 | 0,
    eta_seconds = eta, differences = so_far.differences, seconds = format.milliseconds(seconds),
  }
end

local function describe(self, fields)
  local model = text.visible(self.model)
  local parts = { ("%s %s: %s rows"):format(self.what, model, format.count(fields.rows)) }
  if fields.of and fields.of > fields.rows then
    parts[1] = ("%s %s: %s of about %s rows"):format(self.what, model, format.count(fields.rows),
      format.count(fields.of))
  end
  parts[#parts + 1] = format.count(fields.rows_per_second) .. " rows/s"
  if fields.eta_seconds then
    parts[#parts + 1] = "ETA " .. format.duration(fields.eta_seconds)
  end
  if (fields.differences or 0) > 0 then
    parts[#parts + 1] = format.count(fields.differences) .. " to look at again"
  end
  return table.concat(parts, ", ")
end

local function show(line) log.status(format.cut(line, (format.room()))) end

--- A model's run starts.
---@param model string
function Meter:start(model)
  self.model, self.started, self.last = model, core.clock(), core.clock()
  if self.terminal and self.shown then show(self.what .. " " .. text.visible(model)) end
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
      show(describe(self, fields))
    else
      log.emit("info", describe(self, fields), fields)
    end
  end
end

--- A model's run has ended. Programs that read the messages always get this one.
---@param fields table<string, any>   what came of it
function Meter:finish(fields)
  log.clear_status()
  self:done(self.model, self.started, fields)
end

function Meter:done(model, started, fields)
  if log.format() == "human" then return end
  local event = { event = "done", command = self.what, model = model }
  for name, value in pairs(fields) do event[name] = value end
  event.seconds = format.milliseconds(core.clock() - started)
  log.emit("info", ("%s %s: done"):format(self.what, model), event)
end

-- ---- several at the same time ----

--- A table's run starts.
---@param model string
---@param before integer|nil   rows that an earlier run has done
---@return dualdb.TableProgress
function Meter:table(model, before) return self.tables:start(model, before or 0) end

--- Nothing is started for now, and why; nil: it goes on.
---@param reason string|nil
function Meter:pause(reason)
  if self.tables.paused == reason then return end
  self.tables.paused = reason
  self.tables:tick()
end

--- Time has passed, and nothing else may have happened.
function Meter:tick() self.tables:tick() end

--- The run has ended: the lines go away.
function Meter.close() log.clear_status() end

return progress
