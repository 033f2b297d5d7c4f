--- Where a chunk of a range of keys ends, found without a lock: rows may come and go before it is
--- compared. Where keys are numbers that lie as densely as in the chunk before, arithmetic finds it
--- and the server's estimate of the rows in between confirms it; else the key is scanned.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"
local key_range = require "dualdb.sync.key_range"

local chunk_end = {}

--- Keys among which one is looked for that the secondary can hold, too.
local LOOKED_AT = 1000
--- The server's estimate may be off by so much; beyond it keys do not lie as they did before.
local TRUSTED = 2

-- ---- by arithmetic ----

local EXPLAIN = {
  mariadb = "explain select 1 from %s where %s > ? and %s <= ?",
  mysql = "explain format=traditional select 1 from %s where %s > ? and %s <= ?",
}

local function number(spec, key)
  local value = core.unpack(spec.key_kinds, key)[1]
  return math.type(value) == "integer" and value or nil
end

--- The rows of a range as its index has it, by the primary's estimate.
local function estimate(conn, spec, low, high)
  local builder = spec.statements.primary
  local name = builder.columns[1]
  local text = EXPLAIN[conn:info().product]:format(builder.table, name, name)
  local plan = conn:query(text, low, high)[1]
  return tonumber(plan and plan.rows)
end

--- A key that is as far from the last one as the chunk before was long, and has about as many rows
--- before it as a chunk may have; nil when that cannot be known.
local function reckoned(conn, spec, range, limit)
  local density = range.density
  if not density or spec.key_kinds ~= "i" or not range.reached then return nil end
  local low = number(spec, range.reached)
  local high = low and low + limit / density
  if not high or high >= 2 ^ 62 then return nil end
  high = math.floor(high)
  local last = range.through and number(spec, range.through)
  if range.through and (not last or high >= last) or high <= low then return nil end
  local rows = estimate(conn, spec, low, high)
  if not rows or rows > limit * TRUSTED or rows * TRUSTED < limit then return nil end
  return core.pack("i", { high })
end

--- Notes how densely the keys of a chunk lie, for the next one of its range.
---@param spec dualdb.Spec
---@param range dualdb.KeyRange   reached is where the chunk began
---@param through string|nil      where it ended
---@param rows integer            that it had
function chunk_end.note(spec, range, through, rows)
  range.density = nil
  if spec.key_kinds ~= "i" or not (range.reached and through) or rows == 0 then return end
  local low, high = number(spec, range.reached), number(spec, through)
  if low and high and high > low then range.density = rows / (high - low) end
end

-- ---- by a scan ----

local function scanned(conn, spec, side, range, limit)
  local builder = spec.statements[side]
  local condition, kinds, values = key_range.condition(builder, spec.key_kinds, range.reached,
    range.through)
  local where = condition and " where " .. condition or ""
  for _, count in ipairs { 1, LOOKED_AT } do
    local found = conn:fetch(("select %s from %s%s order by %s limit %d offset %d"):format(
      builder:key_list(), builder.table, where, builder:key_list(), count, limit - 1), kinds,
      values, spec.key_kinds)
    local crossable = fetch.crossable_keys(spec, found)[1]
    if crossable or not found[1] then return crossable end
  end
  return nil
end

--- The last key of a chunk of about `limit` rows, or of exactly that many, that begins behind
--- `range.reached`; nil when it is the range's last chunk. The secondary can hold the key; there
--- need not be a row with it.
---@param conn any                a connection of the side that is read
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@param range dualdb.KeyRange
---@param limit integer
---@param exact any
---@return string|nil
function chunk_end.find(conn, spec, side, range, limit, exact)
  local key = side == "primary" and not exact and reckoned(conn, spec, range, limit)
  if key and fetch.crossable_keys(spec, { key })[1] then return key end
  return scanned(conn, spec, side, range, limit)
end

return chunk_end
