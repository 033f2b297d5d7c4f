--- Numbers of a long run, for people: counts, sizes, durations, and lines that fit a terminal.

local core = require "dualdb.core"
local text = require "dualdb.cli.text"

local format = {}

---@param count number
---@return string  with a comma between thousands
function format.count(count)
  local digits = ("%d"):format(count // 1)
  local sign, number = digits:match("^(%-?)(%d+)$")
  number = number:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return sign .. number
end

--- "1 row", "2 rows".
---@param count integer
---@param noun string
---@return string
function format.plural(count, noun)
  return ("%s %s%s"):format(format.count(count), noun, count == 1 and "" or "s")
end

local UNITS = { "B", "KiB", "MiB", "GiB", "TiB" }

---@param bytes number
---@return string  512 B, 1.5 MiB, 120 GiB
function format.size(bytes)
  local unit = 1
  while bytes >= 1024 and unit < #UNITS do bytes, unit = bytes / 1024, unit + 1 end
  return (unit > 1 and bytes < 10 and "%.1f %s" or "%.0f %s"):format(bytes, UNITS[unit])
end

---@param seconds number
---@return string  0:07, 12:34, 1:02:03
function format.duration(seconds)
  local whole = math.ceil(seconds)
  if whole >= 3600 then
    return ("%d:%02d:%02d"):format(whole // 3600, whole % 3600 // 60, whole % 60)
  end
  return ("%d:%02d"):format(whole // 60, whole % 60)
end

--- The beginning of the text that takes so many columns at most.
---@param line string
---@param columns integer
---@return string
function format.cut(line, columns)
  if text.width(line) <= columns then return line end
  local stop, width = 0, 0
  for at, code in utf8.codes(line) do
    local character = utf8.char(code)
    width = width + text.width(character)
    if width > columns then break end
    stop = at + #character - 1
  end
  return line:sub(1, stop)
end

--- The columns that a line of the status may take: one that is wider would wrap, and its next look
--- would not replace it.
---@return integer columns, integer lines
function format.room()
  local columns, lines = core.width(2)
  columns, lines = columns or 80, lines or 0
  return columns - 1, lines > 0 and lines or 24
end

--- How fast, and how long it will take.
---@param done number          since it started
---@param left number
---@param seconds number       since it started
---@return number rate, integer|nil eta
function format.rate(done, left, seconds)
  local rate = seconds > 0 and done / seconds or 0
  return rate, rate > 0 and left > 0 and math.ceil(left / rate) or nil
end

--- Seconds as events have them.
function format.milliseconds(seconds) return math.floor(seconds * 1000) / 1000 end

return format
