--- Text for a terminal: values that cannot harm it, and tables that line up.

local core = require "dualdb.core"

local text = {}

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

--- The text in one line, with control characters and bytes that are no UTF-8 made visible.
---@param value string
---@return string
function text.visible(value)
  local function escape(c) return ESCAPES[c] or ("\\x%02x"):format(c:byte()) end
  local parts, at = {}, 1
  while at <= #value do
    local good, bad = utf8.len(value, at)
    local stop = good and #value or bad - 1
    local piece = value:sub(at, stop):gsub("%c", escape)
    -- The controls beyond ASCII too, which UTF-8 has in two bytes.
    piece = piece:gsub("\xC2([\x80-\x9F])", function(c) return ("\\u00%02x"):format(c:byte()) end)
    parts[#parts + 1] = piece
    if not good then parts[#parts + 1] = escape(value:sub(bad, bad)) end
    at = good and #value + 1 or bad + 1
  end
  return table.concat(parts)
end

--- A value of a row, in one line.
---@param value any
---@return string
function text.value(value)
  if value == nil or value == core.NULL then return "NULL" end
  return text.visible(tostring(value))
end

--- Code points that take two columns, and those that take none: the large blocks only.
local WIDE = {
  { 0x1100, 0x115F }, { 0x2E80, 0x303E }, { 0x3041, 0xA4CF }, { 0xAC00, 0xD7A3 },
  { 0xF900, 0xFAFF }, { 0xFE30, 0xFE6F }, { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 },
  { 0x1F300, 0x1F64F }, { 0x1F680, 0x1F6FF }, { 0x1F900, 0x1F9FF }, { 0x20000, 0x3FFFD },
}
local NARROW = { { 0x300, 0x36F }, { 0x200B, 0x200F }, { 0x20D0, 0x20FF }, { 0xFE00, 0xFE0F } }

local function within(code, ranges)
  for _, range in ipairs(ranges) do
    if code >= range[1] and code <= range[2] then return true end
  end
  return false
end

--- Columns that the text takes on a terminal.
---@param value string
---@return integer
function text.width(value)
  if not value:find("[\x80-\xFF]") then return #value end
  local width = 0
  for _, code in utf8.codes(value) do
    if code < 0x300 then
      width = width + 1
    elseif within(code, WIDE) then
      width = width + 2
    elseif not within(code, NARROW) then
      width = width + 1
    end
  end
  return width
end

local function pad(value, width, right)
  local blanks = (" "):rep(width - text.width(value))
  return right and blanks .. value or value .. blanks
end

--- The rows as lines with aligned columns, under their headers.
---@param headers string[]
---@param rows any[][]
---@param options { right: table<integer, boolean>|nil, paint: function|nil }|nil
---@return string
function text.table(headers, rows, options)
  options = options or {}
  local right, widths, cells = options.right or {}, {}, {}
  for i, header in ipairs(headers) do widths[i] = text.width(header) end
  for n, row in ipairs(rows) do
    cells[n] = {}
    for i = 1, #headers do
      cells[n][i] = text.value(row[i])
      widths[i] = math.max(widths[i], text.width(cells[n][i]))
    end
  end
  local lines = {}
  local function add(list, paint)
    local parts = {}
    for i, value in ipairs(list) do
      local padded = pad(value, widths[i], right[i])
      parts[i] = paint and paint(padded, value) or padded
    end
    lines[#lines + 1] = table.concat(parts, "  "):gsub("%s+$", "")
  end
  add(headers)
  for _, row in ipairs(cells) do add(row, options.paint) end
  return table.concat(lines, "\n") .. "\n"
end

return text
