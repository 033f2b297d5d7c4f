--- Where the chunks of a pushed down comparison end: at keys of the primary, which both servers
--- order alike. Keys that are numbers close together are cut by arithmetic; where they are not, the
--- primary's index is asked for every so many-th.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"
local key_range = require "dualdb.sync.key_range"

local cut = {}

--- Keys are close together when at most so many numbers fall to each.
local SPARSE = 4

---@class dualdb.Cutter
---@field job dualdb.VerifyJob
---@field low string|nil      the primary's least and greatest key, where it is cut by arithmetic
---@field high string|nil
local Cutter = {}
Cutter.__index = Cutter

local function ask(job, query)
  return job.conns.primary:fetch(query.text, query.param_kinds, query.params, query.kinds)
end

local function condition_of(job, range)
  local builder = job.spec.statements.primary
  local condition, kinds, values = key_range.condition(builder, job.spec.key_kinds, range.reached,
    range.through)
  condition = key_range.both(condition, job.filter.primary)
  return condition and " where " .. condition or "", kinds, values
end

--- A packed integer or time as a number that tells how far two are from each other.
local function position(packed)
  local value = 0.0
  for i = 5, #packed do value = value * 256 + packed:byte(i) end
  return value
end

---@param job dualdb.VerifyJob
---@param range dualdb.KeyRange   that is to be cut
---@return dualdb.Cutter
function cut.new(job, range)
  local self = setmetatable({ job = job }, Cutter)
  local spec = job.spec
  if spec.key_count ~= 1 or not key_range.splits(spec.key_kinds) then return self end
  local name = spec.statements.primary.columns[1]
  local where, kinds, values = condition_of(job, range)
  local ends = ask(job, {
    text = ("select min(%s), max(%s) from %s%s"):format(name, name, spec.statements.primary.table,
      where),
    param_kinds = kinds, params = values, kinds = spec.key_kinds:rep(2),
  })[1]
  local low, high = table.unpack(core.fields(ends))
  if #low ~= #high or not key_range.middle(low, high) then return self end
  local numbers = position(high) - position(low)
  if spec.key_kinds ~= "i" or numbers <= SPARSE * math.max(spec.estimated_rows, 1) then
    self.low, self.high = low, high
  end
  return self
end

--- Adds the keys between two that cut the way into so many equal parts, a power of two.
local function add_middles(list, low, high, parts)
  local middle = parts > 1 and key_range.middle(low, high)
  if not middle then return end
  add_middles(list, low, middle, parts // 2)
  list[#list + 1] = middle
  add_middles(list, middle, high, parts // 2)
end

--- Every `step`-th key of the primary in the range, at most `most` of them.
local function every(job, range, step, most)
  local spec = job.spec
  local builder = spec.statements.primary
  local where, kinds, values = condition_of(job, range)
  local keys = builder:key_list()
  local numbered = ("select %s, row_number() over (order by %s) as dualdb_position from %s%s "
    .. "order by %s limit %d"):format(keys, keys, builder.table, where, keys, step * most)
  return fetch.crossable_keys(spec, ask(job, {
    text = ("select %s from (%s) as dualdb_keys where dualdb_position %% %d = 0 "
      .. "order by %s"):format(
      keys, numbered, step, keys),
    param_kinds = kinds, params = values, kinds = spec.key_kinds,
  }))
end

local function ranges_between(range, bounds)
  local list, reached = {}, range.reached
  for i, bound in ipairs(bounds) do
    list[i] = { reached = reached, through = bound }
    reached = bound
  end
  list[#list + 1] = { reached = reached, through = range.through }
  return list
end

--- The range in about so many parts, a power of two; one where it cannot be cut.
---@param range dualdb.KeyRange
---@param rows integer     of the primary in it
---@param parts integer
---@return dualdb.KeyRange[]
function Cutter:parts(range, rows, parts)
  local bounds = {}
  if self.low then
    add_middles(bounds, range.reached or self.low, range.through or self.high, parts)
  elseif rows > parts then
    bounds = every(self.job, range, -(-rows // parts), parts - 1)
  end
  return ranges_between(range, bounds)
end

--- Iterates over the chunks of the range, in lists of at most `together`, each of about so many
--- rows.
---@param range dualdb.KeyRange
---@param rows integer       of a chunk
---@param together integer
---@return fun(): dualdb.KeyRange[]|nil
function Cutter:chunks(range, rows, together)
  if self.low then
    local parts = 1
    while parts * rows < self.job.spec.estimated_rows do parts = parts * 2 end
    local all, at = self:parts(range, self.job.spec.estimated_rows, parts), 0
    return function()
      if at >= #all then return nil end
      local list = table.move(all, at + 1, math.min(at + together, #all), 1, {})
      at = at + #list
      return list
    end
  end
  local left = range
  return function()
    if not left then return nil end
    local bounds = every(self.job, left, rows, together)
    local list = ranges_between(left, bounds)
    left = #bounds == together and table.remove(list) or nil
    return list
  end
end

return cut
