--- The map of a report: the key space in parts, and what was found in each.

local core = require "dualdb.core"

local map = {}

--- Parts of a map; more chunks than that are put together with their neighbours.
map.MOST = 1000

---@class dualdb.MapEntry       a part of the key space
---@field first table|nil       its keys are behind this one; nil: the start, or no order is known
---@field last table|nil        its last key; nil: the end
---@field rows integer          of the side that has more there
---@field missing integer
---@field extra integer
---@field changed integer
---@field pending integer       of these: keys in the journal
---@field not_verified integer  rows that could not be judged
---@field reason string|nil     why it could not be verified

map.COUNTS = { "missing", "extra", "changed", "pending", "not_verified" }

--- A bound of keys, which may have the key's first columns only, as a table by name.
local function key_of(spec, packed)
  if not packed then return nil end
  local count, key = #core.fields(packed), {}
  for i, value in ipairs(core.unpack(spec.key_kinds:sub(1, count), packed)) do
    key[spec.key_names[i]] = value
  end
  return key
end

--- Whether there can be a key in a stretch: when the last row of a range has ended a chunk, the one
--- behind it has none.
local function has_keys(stretch)
  return not stretch.reached or stretch.reached ~= stretch.through
end

local function join(entry, other)
  for _, name in ipairs(map.COUNTS) do entry[name] = entry[name] + other[name] end
  entry.rows, entry.last = entry.rows + other.rows, other.last
  entry.reason = entry.reason or other.reason
end

--- Makes a map of stretches of keys, which are in their order: { reached, through, rows, counts,
--- reason }. Its size is bounded, whatever the number of stretches.
---@param spec dualdb.Spec
---@param each fun(): table|nil   an iterator
---@return dualdb.MapEntry[]
function map.of(spec, each)
  local entries, size, filled = {}, 1, 0
  local function add(stretch)
    local entry = {
      first = key_of(spec, stretch.reached), last = key_of(spec, stretch.through),
      rows = stretch.rows, reason = stretch.reason,
    }
    for _, name in ipairs(map.COUNTS) do
      entry[name] = stretch.counts and stretch.counts[name] or 0
    end
    if filled > 0 and filled < size then
      join(entries[#entries], entry)
      filled = filled + 1
    else
      entries[#entries + 1], filled = entry, 1
    end
    if #entries > map.MOST then  -- pairs of neighbours become one; the last stands alone for now
      local halved = {}
      for i = 1, #entries, 2 do
        halved[#halved + 1] = entries[i]
        if entries[i + 1] then join(entries[i], entries[i + 1]) end
      end
      entries, size = halved, 2 * size
    end
  end
  for stretch in each do
    if has_keys(stretch) then add(stretch) end
  end
  return entries
end

return map
