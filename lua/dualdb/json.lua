--- JSON documents for programs: the same table gives the same text, and no number loses digits.

local core = require "dualdb.core"

local json = {}

local Array = { __jsontype = "array" }

--- Marks a list, so that it stays one when it is empty.
---@generic T
---@param list T[]|nil
---@return T[]
function json.array(list)
  return setmetatable(list or {}, Array)
end

local Raw = {}

--- Text that is JSON already, as the engine makes of rows.
---@param text string
function json.raw(text)
  return setmetatable({ text = text }, Raw)
end

--- Readers that keep numbers as doubles have no integers beyond this.
local EXACT = 1 << 53

local function encode_integer(value)
  if value > EXACT or value < -EXACT then return ('"%d"'):format(value) end
  return ("%d"):format(value)
end

local function encode_float(value)
  if value ~= value or value == math.huge or value == -math.huge then return "null" end
  if value % 1 == 0 and math.abs(value) <= EXACT then return ("%d"):format(value) end
  local short = ("%.14g"):format(value)
  return tonumber(short) == value and short or ("%.17g"):format(value)
end

--- Keys that come first and last in every object; all others stand between them by name.
local FIRST = {
  "command", "ok", "model", "verdict", "event", "class", "message", "kind", "mode", "strategy",
  "table", "key", "columns",
  "rows_primary", "rows_secondary", "missing", "extra", "changed", "not_verified",
  "rows_read", "rows_written", "rows_deleted", "quarantined",
  "planned", "applied", "skipped", "failed",
  "method", "chunks", "side", "code", "sqlstate", "primary", "secondary",
}
local LAST = { "models", "seconds", "error" }

local RANK = {}
for i, name in ipairs(FIRST) do RANK[name] = i - 1000 end
for i, name in ipairs(LAST) do RANK[name] = i + 1000 end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local rank_a, rank_b = RANK[a] or 0, RANK[b] or 0
    if rank_a ~= rank_b then return rank_a < rank_b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local encode

local function encode_list(list, seen)
  local parts = {}
  for i, value in ipairs(list) do parts[i] = encode(value, seen) end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function encode_object(map, seen)
  local parts = {}
  for i, key in ipairs(sorted_keys(map)) do
    local value = map[key]
    -- A clock's sixteen digits are noise.
    if key == "seconds" and math.type(value) == "float" then
      value = math.floor(value * 1e6) / 1e6
    end
    parts[i] = core.json_string(tostring(key)) .. ":" .. encode(value, seen)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function encode_table(value, seen)
  if core.is_error(value) then return encode_object(json.error(value), seen) end
  if getmetatable(value) == Raw then return value.text end
  if seen[value] then return "null" end
  seen[value] = true
  local list = getmetatable(value) == Array or value[1] ~= nil
  local text = (list and encode_list or encode_object)(value, seen)
  seen[value] = nil
  return text
end

function encode(value, seen)
  local kind = type(value)
  if value == nil or value == core.NULL then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then
    return math.type(value) == "integer" and encode_integer(value) or encode_float(value)
  end
  if kind == "table" then return encode_table(value, seen) end
  return core.json_string(tostring(value))
end

--- The value as one line of JSON.
---@param value any
---@return string
function json.encode(value)
  return encode(value, {})
end

local ERROR_FIELDS = {
  "class", "message", "side", "code", "sqlstate", "retryable", "outcome", "detail", "hint", "model",
  "key", "file", "line",
}

--- What a document says of an error.
---@param err dualdb.Error
---@return table
function json.error(err)
  local fields = {}
  for _, name in ipairs(ERROR_FIELDS) do fields[name] = err[name] end
  return fields
end

return json
