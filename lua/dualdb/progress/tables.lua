--- Several tables under way at once: what is known of each, and of all of them together.

local core = require "dualdb.core"
local format = require "dualdb.progress.format"
local lines = require "dualdb.progress.lines"
local log = require "dualdb.log"
local text = require "dualdb.cli.text"

---@class dualdb.Tables
local Tables = {}
Tables.__index = Tables

---@param meter dualdb.Meter
---@param options { tables: integer|nil, of: integer|nil }
---@return dualdb.Tables
function Tables.new(meter, options)
  return setmetatable({
    meter = meter, count = options.tables, of = options.of, running = {}, paused = nil,
    started = core.clock(), last = core.clock(),
    finished = { tables = 0, rows = 0, done = 0, of = 0, bytes = 0 },
  }, Tables)
end

-- ---- one of them ----

---@class dualdb.TableProgress
local Handle = {}
Handle.__index = Handle

---@param model string
---@param before integer
---@return dualdb.TableProgress
function Tables:start(model, before)
  local now = core.clock()
  local handle = setmetatable({
    tables = self, model = model, started = now, before = before,
    rows = before, bytes = 0, phase = "copy", most = before, most_bytes = 0,
    phase_started = now, phase_rows = before, phase_bytes = 0,
  }, Handle)
  self.running[#self.running + 1] = handle
  self:tick(true)
  return handle
end

--- How far the table is. A phase counts rows and bytes by itself.
---@param so_far { rows: integer|nil, of: integer|nil, bytes: integer|nil, phase: string|nil,
---   differences: integer|nil }
function Handle:update(so_far)
  if so_far.phase and so_far.phase ~= self.phase then
    self.phase, self.phase_started = so_far.phase, core.clock()
    self.phase_rows, self.phase_bytes = so_far.rows or self.rows, so_far.bytes or self.bytes
  end
  for _, name in ipairs { "rows", "of", "bytes", "differences" } do
    self[name] = so_far[name] or self[name]
  end
  self.most, self.most_bytes = math.max(self.most, self.rows), math.max(self.most_bytes, self.bytes)
  self.tables:tick()
end

--- The table is through. Programs that read the messages always get this one.
---@param fields table<string, any>   what came of it
function Handle:finish(fields)
  local tables = self.tables
  for i, handle in ipairs(tables.running) do
    if handle == self then table.remove(tables.running, i) break end
  end
  local sum = tables.finished
  sum.tables, sum.rows = sum.tables + 1, sum.rows + self.most
  sum.done, sum.bytes = sum.done + self.most - self.before, sum.bytes + self.most_bytes
  sum.of = sum.of + self.most
  tables.meter:done(self.model, self.started, fields)
  tables:tick(true)
end

--- Rates begin with the phase: what was counted before it took another time.
local function measure(handle, what, now)
  local seconds = now - handle.phase_started
  local rate, eta = format.rate(handle.rows - handle.phase_rows, (handle.of or 0) - handle.rows,
    seconds)
  local bytes = format.rate(handle.bytes - handle.phase_bytes, 0, seconds)
  return {
    event = "progress", command = what, model = handle.model, rows = handle.rows,
    of = handle.of and math.max(handle.of, handle.rows), bytes = handle.bytes,
    rows_per_second = rate // 1 | 0, bytes_per_second = bytes // 1 | 0, eta_seconds = eta,
    phase = handle.phase, differences = handle.differences,
    seconds = format.milliseconds(now - handle.started), phase_seconds = seconds,
  }
end

-- ---- all of them ----

--- Rows of all; of how many is known when it was said, or of every table that has run so far.
local function measure_all(self, now)
  local sum = self.finished
  local rows, done, bytes, of = sum.rows, sum.done, sum.bytes, sum.of
  for _, handle in ipairs(self.running) do
    rows, done = rows + handle.most, done + handle.most - handle.before
    bytes = bytes + handle.most_bytes
    of = of + math.max(handle.of or 0, handle.most)
  end
  of = math.max(self.of or 0, of)
  local seconds = now - self.started
  local rate, eta = format.rate(done, of - rows, seconds)
  return {
    event = "progress", command = self.meter.what, rows = rows, of = of, bytes = bytes,
    rows_per_second = rate // 1 | 0, bytes_per_second = format.rate(bytes, 0, seconds) // 1 | 0,
    eta_seconds = eta, phase = self.paused and "paused" or nil, reason = self.paused,
    seconds = format.milliseconds(seconds),
  }
end

local function run_of(self)
  return { finished = self.finished.tables, tables = self.count, paused = self.paused }
end

--- A line for each table that there is room for, and one for all: never more than the terminal has,
--- for what has scrolled away cannot be drawn again.
local function draw(self, all, each)
  local columns, height = format.room()
  local widest, shown = 0, {}
  for _, measured in ipairs(each) do
    widest = math.max(widest, text.width(text.visible(measured.model)))
  end
  local most = math.max(0, height - 2)
  for i = 1, math.min(#each, #each > most and most - 1 or most) do
    shown[i] = lines.of_table(each[i], columns, widest)
  end
  if #each > most and most > 0 then
    shown[#shown + 1] = format.cut(("and %d more"):format(#each - #shown), columns)
  end
  shown[#shown + 1] = lines.of_all(self.meter.what, all, run_of(self), columns)
  log.status(shown)
end

--- Events have what a line needs, but for this.
local function event_of(measured)
  measured.phase_seconds = nil
  return measured
end

local function report(self, all, each)
  local message = lines.of_log(self.meter.what, all, each, run_of(self))
  if log.format() == "human" then
    log.emit("info", message)
    return
  end
  for _, measured in ipairs(each) do
    log.emit("info", lines.of_log(self.meter.what, measured, { measured }, { finished = 0 }),
      event_of(measured))
  end
  log.emit("info", message, all)
end

--- Shows how far it is, when it is time for that; on a terminal also at once.
---@param at_once boolean|nil
function Tables:tick(at_once)
  local meter, now = self.meter, core.clock()
  if not meter.shown then return end
  if now - self.last < meter.interval and not (at_once and meter.terminal) then return end
  self.last = now
  local each = {}
  for i, handle in ipairs(self.running) do each[i] = measure(handle, meter.what, now) end
  local all = measure_all(self, now)
  if meter.terminal then draw(self, all, each) else report(self, all, each) end
end

return Tables
