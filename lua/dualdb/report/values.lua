--- Values of rows as the page gets them, in JSON that may stand in a script element: null, a
--- string, or a list of parts where a string is not enough. A part is a string, a number (so many
--- characters, of bytes so many of them, are left out) or a list with hexadecimal digits (a byte
--- that is no UTF-8). Bytes are hexadecimal digits throughout.

local core = require "dualdb.core"
local escape = require "dualdb.report.escape"

local values = {}

--- Bytes of a value that are kept: at its ends, on either side of what has changed, and of what has
--- changed itself. It is cut only where something worth the cut is left out.
local ENDS, AROUND, CHANGED = 128, 512, 8192
local WORTH = 64

--- Whether a character begins at a byte of a text, or the text has ended.
local function at_start(text, at)
  local byte = text:byte(at)
  return not byte or byte < 0x80 or byte >= 0xC0
end

local function back(text, at)
  local least = math.max(at - 3, 1)
  while at > least and not at_start(text, at) do at = at - 1 end
  return at
end

--- How many bytes two texts have in common at their beginning, or (`step` is -1) at their end.
local function common(a, b, most, step)
  local function same(from, to)
    if step > 0 then return a:sub(from + 1, to) == b:sub(from + 1, to) end
    return a:sub(-to, -from - 1) == b:sub(-to, -from - 1)
  end
  local done, size = 0, 4096
  while done < most do
    local to = math.min(done + size, most)
    if same(done, to) then
      done = to
    elseif size == 1 then
      break
    else
      size = math.max(1, math.min(size, to - done) // 2)
    end
  end
  return done
end

-- ---- parts ----

local function characters(kind, text, from, to)
  return kind ~= "x" and utf8.len(text, from, to) or to - from + 1
end

local function add_text(parts, kind, text)
  if kind == "x" then
    local digits = text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    parts[#parts + 1] = '"' .. digits .. '"'
    return
  end
  local at = 1
  while at <= #text do
    local good, bad = utf8.len(text, at)
    if good or bad > at then
      parts[#parts + 1] = escape.text(text:sub(at, good and #text or bad - 1))
    end
    if good then break end
    parts[#parts + 1] = ('["%02x"]'):format(text:byte(bad))
    at = bad + 1
  end
end

--- The text from byte `from` through `to`; in the middle all but `head` and `tail` bytes is left
--- out.
local function add_cut(parts, kind, text, from, to, head, tail)
  if to < from then return end
  if to - from + 1 <= head + tail + WORTH then return add_text(parts, kind, text:sub(from, to)) end
  local stop, start = from + head, to - tail + 1
  if kind ~= "x" then stop, start = back(text, stop), back(text, start) end
  if stop > from then add_text(parts, kind, text:sub(from, stop - 1)) end
  parts[#parts + 1] = ("%d"):format(characters(kind, text, stop, start - 1))
  if start <= to then add_text(parts, kind, text:sub(start, to)) end
end

local function joined(parts)
  if #parts == 0 then return '""' end
  if #parts == 1 and parts[1]:byte() == 34 then return parts[1] end
  return "[" .. table.concat(parts, ",") .. "]"
end

-- ---- values ----

--- A value that stands by itself. Of a long one `most` bytes are kept at most.
---@param kind string            kind letter
---@param text string|userdata   of core.texts
---@param most integer
---@return string json
function values.one(kind, text, most)
  if text == core.NULL then return "null" end
  local parts, tail = {}, math.min(ENDS, most // 4)
  add_cut(parts, kind, text, 1, #text, most - tail, tail)
  return joined(parts)
end

--- Two values that differ: long ones are cut, but not where they differ first and last.
---@param kind string
---@param a string|userdata
---@param b string|userdata
---@return string json_a, string json_b
function values.pair(kind, a, b)
  if a == core.NULL or b == core.NULL then
    return values.one(kind, a, CHANGED), values.one(kind, b, CHANGED)
  end
  local least = math.min(#a, #b)
  local before = common(a, b, least, 1)
  if kind ~= "x" then before = math.min(back(a, before + 1), back(b, before + 1)) - 1 end
  local behind = common(a, b, least - before, -1)
  while kind ~= "x" and behind > 0
    and not (at_start(a, #a - behind + 1) and at_start(b, #b - behind + 1)) do
    behind = behind - 1
  end
  local function parts_of(text)
    local parts = {}
    add_cut(parts, kind, text, 1, before, ENDS, AROUND)
    add_cut(parts, kind, text, before + 1, #text - behind, CHANGED // 2, CHANGED // 2)
    add_cut(parts, kind, text, #text - behind + 1, #text, AROUND, ENDS)
    return joined(parts)
  end
  return parts_of(a), parts_of(b)
end

--- A key, or the first columns of one, as a list of its values.
---@param kinds string
---@param packed string   canonical, of as many columns as there are kinds
---@return string json
function values.key(kinds, packed)
  local list = {}
  for i, text in ipairs(core.texts(kinds, packed)) do
    list[i] = values.one(kinds:sub(i, i), text, AROUND)
  end
  return "[" .. table.concat(list, ",") .. "]"
end

return values
