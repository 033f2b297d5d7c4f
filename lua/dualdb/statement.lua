--- The statement of one repair: run with bound parameters, or shown with its values for a person.

local core = require "dualdb.core"
local row = require "dualdb.row"

local statement = {}

--- An update sets only what differs, and what the primary would otherwise set by itself.
local function indexes_of(spec, change)
  local writable = row.writable(spec, change.side)
  if change.action ~= "update" then return writable end
  local differs, indexes = {}, {}
  for _, i in ipairs(core.differing(change.from, change.row)) do differs[i] = true end
  for _, i in ipairs(writable) do
    local sets_itself = change.side == "primary" and spec.columns[i].primary.on_update
    if differs[i] or sets_itself then indexes[#indexes + 1] = i end
  end
  return indexes
end

--- The columns in which two rows differ, when a side computes all of them by itself, so that no
--- statement gives it other values.
---@param side "primary"|"secondary"
---@param a string
---@param b string
---@return string|nil   names, with commas between
function statement.computed(spec, side, a, b)
  local writable, names = {}, {}
  for _, i in ipairs(row.writable(spec, side)) do writable[i] = true end
  for _, i in ipairs(core.differing(a, b)) do
    if writable[i] then return nil end
    names[#names + 1] = spec.names[i]
  end
  return #names > 0 and table.concat(names, ", ") or nil
end

--- SQL with placeholders, kinds and packed parameters of a change.
---@param change { side: string, action: string, row: string|nil, from: string|nil }
---@return string, string, string
function statement.build(spec, change, key)
  local builder = spec.statements[change.side]
  if change.action == "delete" then return builder:delete(), spec.key_kinds, key end
  local names, kinds = {}, {}
  local indexes = indexes_of(spec, change)
  for i, index in ipairs(indexes) do
    names[i], kinds[i] = builder.columns[index], spec.columns[index].kind
  end
  if change.action == "insert" then
    return builder:insert(names), table.concat(kinds), row.pick(change.row, indexes)
  end
  return builder:update(names), table.concat(kinds) .. spec.key_kinds,
    row.pick(change.row, indexes, key)
end

--- Runs a change; a write that does not meet exactly one row is a conflict.
function statement.run(conn, spec, change, key)
  local text, kinds, packed = statement.build(spec, change, key)
  local result = conn:put(text, kinds, packed)
  if result.affected ~= 1 then
    require("dualdb.errors").raise("conflict", "%s affected %d rows of the %s instead of one",
      change.action, result.affected, change.side)
  end
end

-- ---- for people ----

local HEX = {}
for code = 0, 255 do HEX[string.char(code)] = ("%02x"):format(code) end

local function hex(bytes) return (bytes:gsub(".", HEX)) end

local RAW = { i = true, d = true, f = true, g = true }

--- A value as a literal of the dialect.
local function literal(driver, kind, text)
  if text == core.NULL then return "null" end
  if kind == "b" then return text end
  if RAW[kind] then
    return text:match("^%-?[%d.eE+-]+$") and text or ("'%s'"):format(text)
  end
  if kind == "x" then
    return driver == "mysql" and ("x'%s'"):format(hex(text)) or ("'\\x%s'"):format(hex(text))
  end
  if kind == "B" then return ("b'%s'"):format(text) end
  local quoted = text:gsub("'", "''")
  if driver == "mysql" then quoted = quoted:gsub("\\", "\\\\") end
  return "'" .. quoted .. "'"
end

--- The statement of a change with its values in it, for a person to read.
---@return string
function statement.render(db, spec, change, found)
  local text, kinds, packed = statement.build(spec, change, found.key)
  local driver = db[change.side].driver
  local values, i = core.texts(kinds, packed), 0
  local literals = {}
  for n, value in ipairs(values) do literals[n] = literal(driver, kinds:sub(n, n), value) end
  -- Quoted names may hold question marks; the builder's placeholders stand alone.
  text = statement.substitute(driver, text, function()
    i = i + 1
    return literals[i]
  end)
  return text .. ";"
end

--- Replaces each placeholder outside quoted names by what `value()` returns.
function statement.substitute(driver, text, value)
  local quote = driver == "mysql" and "`" or '"'
  local parts, at = {}, 1
  while true do
    local stop = text:find("[?" .. quote .. "]", at)
    if not stop then break end
    parts[#parts + 1] = text:sub(at, stop - 1)
    if text:sub(stop, stop) == "?" then
      parts[#parts + 1] = value()
      at = stop + 1
    else
      local close = text:find(quote, stop + 1, true)
      parts[#parts + 1] = text:sub(stop, close)
      at = close + 1
    end
  end
  parts[#parts + 1] = text:sub(at)
  return table.concat(parts)
end

return statement
