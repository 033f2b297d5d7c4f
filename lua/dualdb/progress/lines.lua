--- The lines of a run of several tables: of each as much as there is room for.

local format = require "dualdb.progress.format"
local text = require "dualdb.cli.text"

local lines = {}

--- What is measured of a table, or of all of them: the fields of a progress event.
---@class dualdb.Measured
---@field model string|nil        nil: all of them
---@field rows integer
---@field of integer|nil          about
---@field bytes integer
---@field rows_per_second integer
---@field bytes_per_second integer
---@field eta_seconds integer|nil
---@field phase string|nil
---@field differences integer|nil

local function of_rows(measured)
  if measured.of and measured.of > measured.rows then
    return ("%s of about %s rows"):format(format.count(measured.rows), format.count(measured.of))
  end
  return format.count(measured.rows) .. " rows"
end

--- The same in four columns; nothing when it is not known of how many.
local function percent(measured)
  if not measured.of or measured.of == 0 then return nil end
  return ("%d%%"):format(100 * measured.rows // measured.of)
end

local function pieces(measured)
  local bytes = measured.bytes_per_second
  return {
    rows = of_rows(measured), percent = percent(measured) or of_rows(measured),
    rows_rate = format.count(measured.rows_per_second) .. " rows/s",
    bytes_rate = bytes > 0 and format.size(bytes) .. "/s" or nil,
    eta = measured.eta_seconds and "ETA " .. format.duration(measured.eta_seconds) or nil,
    differences = (measured.differences or 0) > 0
      and format.count(measured.differences) .. " to look at again" or nil,
  }
end

--- From what says all to what says least.
local FORMS = {
  { "rows", "rows_rate", "bytes_rate", "eta", "differences" },
  { "rows", "rows_rate", "bytes_rate", "eta" },
  { "rows", "rows_rate", "eta" },
  { "percent", "rows_rate", "eta" },
  { "percent", "eta" },
  { "percent" },
}

--- The first form that fits; the last one is cut.
local function fitting(head, measured, columns)
  local all, line = pieces(measured), nil
  for _, form in ipairs(FORMS) do
    local parts = {}
    for _, name in ipairs(form) do parts[#parts + 1] = all[name] end
    line = head .. table.concat(parts, ", ")
    if text.width(line) <= columns then return line end
  end
  return format.cut(line, columns)
end

--- Phases in which no rows are counted.
local UNCOUNTED = { indexes = true, ["foreign keys"] = true, paused = true }

local function pad(word, width) return word .. (" "):rep(width - text.width(word)) end

--- A running table's line. `name_width` is what the longest of the names takes.
---@param measured dualdb.Measured
---@param columns integer
---@param name_width integer
---@return string
function lines.of_table(measured, columns, name_width)
  name_width = math.min(name_width, columns // 3)
  local name = pad(format.cut(text.visible(measured.model), name_width), name_width)
  local phase = measured.phase or "copy"
  if UNCOUNTED[phase] then
    return format.cut(("%s  %s, %s"):format(name, phase, format.duration(measured.phase_seconds)),
      columns)
  end
  return fitting(("%s  %s: "):format(name, phase), measured, columns)
end

--- The line for all of them.
---@param what string
---@param measured dualdb.Measured
---@param run { finished: integer, tables: integer|nil, paused: string|nil }
---@param columns integer
---@return string
function lines.of_all(what, measured, run, columns)
  local head = what .. ": "
  if run.paused then
    local share = percent(measured)
    return format.cut(("%s%s%s"):format(head, share and share .. ", " or "", run.paused), columns)
  end
  if run.tables then
    local long = ("%s%d of %d tables, "):format(head, run.finished, run.tables)
    if text.width(long) <= columns // 3 then head = long end
  end
  return fitting(head, measured, columns)
end

--- For a log: everything, and which tables are under way.
---@param what string
---@param measured dualdb.Measured
---@param running dualdb.Measured[]
---@param run { finished: integer, tables: integer|nil, paused: string|nil }
---@return string
function lines.of_log(what, measured, running, run)
  local names = {}
  for i, one in ipairs(running) do
    names[i] = text.visible(one.model)
    if one.phase and one.phase ~= "copy" then names[i] = ("%s (%s)"):format(names[i], one.phase) end
  end
  local line = lines.of_all(what .. (#names > 0 and " " .. table.concat(names, ", ") or ""),
    measured, { finished = run.finished, tables = run.tables }, math.huge)
  return run.paused and line .. ", " .. run.paused or line
end

return lines
