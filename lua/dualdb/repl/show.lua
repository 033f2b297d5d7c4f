--- What a result looks like at the prompt.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local text = require "dualdb.cli.text"

local show = {}

--- Rows of a query: tables by column name, all of them plain.
local function is_rows(value)
  if type(value) ~= "table" or getmetatable(value) ~= nil or value[1] == nil then return false end
  for key, row in pairs(value) do
    if math.type(key) ~= "integer" or type(row) ~= "table" or getmetatable(row) ~= nil then
      return false
    end
    for name, field in pairs(row) do
      if type(name) ~= "string" or type(field) == "table" then return false end
    end
  end
  return true
end

--- Column names as a query returns them beside its rows.
local function is_names(value)
  if type(value) ~= "table" or value[1] == nil then return false end
  for key, name in pairs(value) do
    if math.type(key) ~= "integer" or type(name) ~= "string" then return false end
  end
  return true
end

local function names_of(rows)
  local names, seen = {}, {}
  for _, row in ipairs(rows) do
    for name in pairs(row) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  return names
end

--- The columns whose every value is a number.
local function numeric(names, rows)
  local right = {}
  for i, name in ipairs(names) do
    right[i] = true
    for _, row in ipairs(rows) do
      local value = row[name]
      if value ~= nil and value ~= core.NULL and type(value) ~= "number" then right[i] = false end
    end
  end
  return right
end

local function expanded(names, rows)
  local widest, lines = 0, {}
  for _, name in ipairs(names) do widest = math.max(widest, text.width(text.visible(name))) end
  for n, row in ipairs(rows) do
    lines[#lines + 1] = ("-- row %d"):format(n)
    for _, name in ipairs(names) do
      local shown = text.visible(name)
      lines[#lines + 1] = shown .. (" "):rep(widest - text.width(shown)) .. "  "
        .. text.value(row[name])
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Rows as an aligned table, or one under the other when that is wider than the terminal.
---@param rows table[]
---@param names string[]|nil   the columns in their order
---@param width integer
---@return string
function show.rows(rows, names, width)
  names = names or names_of(rows)
  local cells, headers = {}, {}
  for i, name in ipairs(names) do headers[i] = text.visible(name) end
  for n, row in ipairs(rows) do
    cells[n] = {}
    for i, name in ipairs(names) do
      cells[n][i] = row[name] == nil and core.NULL or row[name]
    end
  end
  local shown = text.table(headers, cells, { right = numeric(names, rows) })
  for line in shown:gmatch("[^\n]+") do
    if text.width(line) > width then
      shown = expanded(names, rows)
      break
    end
  end
  return ("%s(%d %s)\n"):format(shown, #rows, #rows == 1 and "row" or "rows")
end

local DEPTH, MOST_ENTRIES = 4, 100

local function key_text(key)
  if type(key) == "string" then
    return key:match("^[%a_][%w_]*$") or ('["%s"]'):format(text.visible(key))
  end
  return ("[%s]"):format(tostring(key))
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local number_a, number_b = type(a) == "number", type(b) == "number"
    if number_a and number_b then return a < b end
    if number_a ~= number_b then return number_a end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function describe(value, depth, seen)
  if value == core.NULL then return "NULL" end
  if type(value) == "string" then
    return depth == 0 and text.visible(value) or ('"%s"'):format(text.visible(value))
  end
  local meta = type(value) == "table" and getmetatable(value)
  if type(value) ~= "table" or type(meta) == "table" and meta.__tostring then
    return text.visible(tostring(value))
  end
  if seen[value] or depth >= DEPTH then return "{...}" end
  seen[value] = true
  local parts = {}
  for _, key in ipairs(sorted_keys(value)) do
    if #parts == MOST_ENTRIES then
      parts[#parts + 1] = "..."
      break
    end
    local shown = describe(value[key], depth + 1, seen)
    local at = #parts + 1
    parts[at] = key == at and shown or key_text(key) .. " = " .. shown
  end
  seen[value] = nil
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

--- A value in one line.
---@param value any
---@return string
function show.value(value)
  return describe(value, 0, {})
end

--- What a statement returned, as text with its line ends; nothing when it returned nothing.
---@param results table    packed
---@param width integer    of the terminal
---@return string
function show.results(results, width)
  local parts, i = {}, 1
  while i <= results.n do
    local value, names = results[i], results[i + 1]
    if is_rows(value) then
      if is_names(names) then i = i + 1 else names = nil end
      parts[#parts + 1] = show.rows(value, names, width)
    elseif type(value) == "table" and next(value) == nil and is_names(names) then
      parts[#parts + 1] = show.rows({}, names, width)
      i = i + 1
    elseif errors.is(value) then
      parts[#parts + 1] = text.visible(tostring(value)) .. "\n"
    else
      parts[#parts + 1] = show.value(value) .. "\n"
    end
    i = i + 1
  end
  return table.concat(parts)
end

return show
