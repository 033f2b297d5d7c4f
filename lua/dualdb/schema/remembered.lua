--- What the tables of a side were when they were last read, kept on this machine: a process that
--- starts while a side is down still knows its models.

local remembered = {}

local VERSION = "1"

local function write_value(parts, value, ids)
  local kind = math.type(value) or type(value)
  if kind == "table" then
    parts[#parts + 1] = string.pack("<c1I4", "t", ids[value])
  elseif kind == "string" then
    parts[#parts + 1] = string.pack("<c1s4", "s", value)
  elseif kind == "integer" then
    parts[#parts + 1] = string.pack("<c1i8", "i", value)
  elseif kind == "float" then
    parts[#parts + 1] = string.pack("<c1d", "f", value)
  elseif kind == "boolean" then
    parts[#parts + 1] = string.pack("<c1B", "b", value and 1 or 0)
  else
    error("a " .. kind .. " cannot be remembered")
  end
end

--- An estimate is another each time, and nobody needs it while the side is down.
local LEFT_OUT = { estimated_rows = true, estimated_bytes = true }

local function sorted_keys(tab)
  local keys = {}
  for key in pairs(tab) do
    if not LEFT_OUT[key] then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == "number"
  end)
  return keys
end

--- A tree of plain tables, which may refer to one another, as bytes; equal trees give equal bytes.
---@param root table
---@return string
function remembered.pack(root)
  local ids, list = { [root] = 1 }, { root }
  local parts, at = {}, 1
  while at <= #list do  -- the list grows while tables are met
    local tab = list[at]
    local keys = sorted_keys(tab)
    parts[#parts + 1] = string.pack("<I4", #keys)
    for _, key in ipairs(keys) do
      local value = tab[key]
      if type(value) == "table" and not ids[value] then
        list[#list + 1] = value
        ids[value] = #list
      end
      write_value(parts, key, ids)
      write_value(parts, value, ids)
    end
    at = at + 1
  end
  return VERSION .. string.pack("<I4", #list) .. table.concat(parts)
end

local function read_value(text, at, tables)
  local kind = text:sub(at, at)
  if kind == "t" then
    local id, next_at = string.unpack("<I4", text, at + 1)
    return assert(tables[id]), next_at
  elseif kind == "s" then
    return string.unpack("<s4", text, at + 1)
  elseif kind == "i" then
    return string.unpack("<i8", text, at + 1)
  elseif kind == "f" then
    return string.unpack("<d", text, at + 1)
  elseif kind == "b" then
    local bit, next_at = string.unpack("<B", text, at + 1)
    return bit == 1, next_at
  end
  return error "not what was packed"
end

--- The tree again; nil for anything that pack has not made.
---@param text string
---@return table|nil
function remembered.unpack(text)
  local ok, root = pcall(function()
    assert(text:sub(1, 1) == VERSION)
    local count, at = string.unpack("<I4", text, 2)
    assert(count <= #text)
    local tables = {}
    for i = 1, count do tables[i] = {} end
    for i = 1, count do
      local pairs_left
      pairs_left, at = string.unpack("<I4", text, at)
      for _ = 1, pairs_left do
        local key, value
        key, at = read_value(text, at, tables)
        value, at = read_value(text, at, tables)
        tables[i][key] = value
      end
    end
    assert(at == #text + 1)
    return tables[1]
  end)
  return ok and root or nil
end

return remembered
