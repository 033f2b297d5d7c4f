--- Current rows of a model by their keys.

local core = require "dualdb.core"
local memory = require "dualdb.memory"
local policies = require "dualdb.policies"

local fetch = {}

--- Keys that one statement asks for at most: well within the 65,535 parameters of both servers, and
--- of a list of 1,000 MariaDB would make a table of its own (in_predicate_conversion_threshold).
fetch.BATCH = 900
--- The same where rows may have megabytes: more would be read in vain when they have.
local WIDE_BATCH = 32

--- The row with a packed key on a connection, or nil.
---@param conn any
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@param key string            canonical
---@param lock "share"|"update"|nil
---@return string|nil
function fetch.one(conn, spec, side, key, lock)
  local text = spec.statements[side]:select_by_key(lock)
  memory.sweep()
  local rows = conn:fetch(text, spec.key_kinds, key, spec.kinds)
  -- A collation may find rows whose key is only similar.
  for _, found in ipairs(rows) do
    memory.note(#found)
    if core.prefix(found, spec.key_count) == key then return found end
  end
  return nil
end

--- Keys to ask a side for next, given what its rows had so far.
local function slice_of(spec, side)
  spec.slices = spec.slices or {}
  spec.slices[side] = spec.slices[side] or (spec.wide and 1 or fetch.BATCH)
  return spec.slices[side]
end

--- The rows with the packed keys from keys[from] on, as many as may be held at once: packed key ->
--- canonical row, absent ones are left out; and the index of the last key that was asked for.
---@param keys string[]
---@param from integer
---@return table<string, string>, integer
function fetch.some(conn, spec, side, keys, from, lock)
  if from > #keys then return {}, #keys end
  local slice, most = slice_of(spec, side), spec.wide and WIDE_BATCH or fetch.BATCH
  while true do
    memory.sweep()
    local to = math.min(from + slice - 1, #keys)
    local count = to - from + 1
    local rows, bytes, dropped = conn:fetch(spec.statements[side]:select_by_keys(count, lock),
      spec.key_kinds:rep(count), table.concat(keys, "", from, to), spec.kinds,
      count > 1 and memory.BYTES or math.maxinteger)
    memory.note(bytes)
    if not dropped then
      if bytes < memory.BYTES // 4 then slice = math.min(2 * slice, most) end
      spec.slices[side] = slice
      local found = {}
      for _, packed in ipairs(rows) do found[core.prefix(packed, spec.key_count)] = packed end
      return found, to
    end
    slice = math.max(1, math.min(count // 2, #rows))
  end
end

--- The rows with packed keys, all of them in memory: packed key -> canonical row.
---@param keys string[]
---@return table<string, string>
function fetch.many(conn, spec, side, keys, lock)
  local found, to = {}, 0
  while to < #keys do
    local some
    some, to = fetch.some(conn, spec, side, keys, to + 1, lock)
    for key, packed in pairs(some) do found[key] = packed end
  end
  return found
end

--- The rows of both sides with the packed keys from keys[from] on, as fetch.some. The secondary is
--- not asked for keys that it cannot have.
---@param conns { primary: any, secondary: any }
---@return table<string, string>, table<string, string>, integer
function fetch.both(conns, spec, keys, from)
  local primary, last = fetch.some(conns.primary, spec, "primary", keys, from)
  local crossable = fetch.crossable_keys(spec, table.move(keys, from, last, 1, {}))
  local secondary, to = fetch.some(conns.secondary, spec, "secondary", crossable, 1)
  while to < #crossable and keys[last] ~= crossable[to] do last = last - 1 end
  return primary, secondary, last
end

-- ---- both sides at once ----

--- Rows of both sides that are being read, each side on a thread of its own.
---@class dualdb.Reading
---@field from integer     the first of the keys that were asked for
---@field to integer       the last
---@field began number     when, by core.clock
---@field own integer      columns of a row; what the statements have behind them comes apart
local Reading = {}
Reading.__index = Reading

--- Seconds between two looks; a query that ends is told at once.
local PATIENCE = 60

function Reading:close()
  for _, job in pairs(self.jobs) do job:close() end
end
Reading.__close = Reading.close

--- Begins to read the rows of both sides with the packed keys from keys[from] on, as fetch.both.
--- The connections are busy until it is finished or closed. Rows that may have megabytes are read
--- when they are asked for, for what is read ahead is held twice.
---@param conns { primary: any, secondary: any }
---@param spec dualdb.Spec
---@param keys string[]
---@param from integer
---@param own integer
---@return dualdb.Reading
function fetch.start(conns, spec, keys, from, own)
  local most = math.min(slice_of(spec, "primary"), slice_of(spec, "secondary"))
  local to = math.min(from + most - 1, #keys)
  local self = setmetatable({
    conns = conns, spec = spec, keys = keys, from = from, to = to, jobs = {}, began = core.clock(),
    own = own,
  }, Reading)
  if spec.wide then return self end
  local asked = { primary = table.move(keys, from, to, 1, {}) }
  asked.secondary = fetch.crossable_keys(spec, asked.primary)
  memory.sweep()
  for side, list in pairs(asked) do
    if #list > 0 then
      self.jobs[side] = core.start_fetch {
        conn = conns[side], sql = spec.statements[side]:select_by_keys(#list),
        param_kinds = spec.key_kinds:rep(#list), params = table.concat(list), kinds = spec.kinds,
        most = memory.BYTES, key_columns = spec.key_count, own_columns = own,
      }
    end
  end
  return self
end

--- Reads the rows now, on this thread.
local function read(self)
  local primary, secondary, last = fetch.both(self.conns, self.spec, self.keys, self.from)
  local rest = {}
  for _, rows in ipairs { primary, secondary } do
    for key, packed in pairs(rows) do
      rows[key] = core.prefix(packed, self.own)
      rest[key] = packed:sub(#rows[key] + 1)  -- in the end, the secondary's
    end
  end
  return primary, secondary, rest, last
end

--- Waits for the rows: of each side packed key -> canonical row, what the secondary's statement has
--- behind its own columns, by the same keys, and the index of the last key that was asked for.
---@return table<string, string>, table<string, string>, table<string, string>, integer
function Reading:finish()
  if not next(self.jobs) then
    self.began = core.clock()
    return read(self)
  end
  local spec, found, rest, too_many = self.spec, { primary = {}, secondary = {} }, {}, false
  for side, job in pairs(self.jobs) do
    while not job:is_done() do core.wait({ job }, PATIENCE) end
    local rows, dropped, behind = job:finish()
    local bytes = 0
    for _, packed in pairs(rows) do bytes = bytes + #packed end
    memory.note(bytes)
    found[side] = rows
    if side == "secondary" then rest = behind end
    too_many = too_many or dropped
    if dropped then spec.slices[side] = math.max(1, (self.to - self.from + 1) // 4)
    elseif bytes < memory.BYTES // 4 then
      spec.slices[side] = math.min(2 * spec.slices[side], fetch.BATCH)
    end
  end
  if too_many then return read(self) end
  return found.primary, found.secondary, rest, self.to
end

-- ---- on their way to the secondary ----

--- A row that a transform returned, packed. A value that it has left alone may be one that only the
--- primary can hold, and that no Lua value stands for: it keeps its bytes.
local function repack(spec, packed, given, changed)
  local rows = require "dualdb.row"
  local fields, untouched = core.fields(packed), {}
  for i, name in ipairs(spec.names) do untouched[i] = changed[name] == given[name] end
  local result = {}
  for i, column in ipairs(spec.columns) do
    result[i] = untouched[i] and fields[i]
      or rows.pack_value(spec, column, changed[column.name])
  end
  return table.concat(result)
end

--- The primary's transform of a model as the engine wants it: canonical row -> canonical row or
--- nil.
function fetch.transform(spec)
  local sync = spec.model.sync
  local transform = sync and sync.transform
  if not transform then return nil end
  local rows = require "dualdb.row"
  return function(packed)
    local given = rows.unpack(spec, packed)
    local copy = {}
    for name, value in pairs(given) do copy[name] = value end
    local changed = transform(copy)
    if changed == nil or changed == false then return nil end
    if type(changed) ~= "table" then
      require("dualdb.errors").usage("model %s: transform returned a %s, not a row or nil",
        spec.name, type(changed))
    end
    local result = repack(spec, packed, given, changed)
    if core.prefix(result, spec.key_count) ~= core.prefix(packed, spec.key_count) then
      require("dualdb.errors").usage("model %s: transform changed the key", spec.name)
    end
    return result
  end
end

--- The crossing of single rows of a model; runs over a table make one of their own, which counts.
function fetch.crossing(spec)
  spec.crossing = spec.crossing or policies.crossing(spec)
  return spec.crossing
end

--- What becomes of a row of the primary on its way to the secondary, by the model's transform and
--- its policies: canonical row -> the row that the secondary shall hold; nil when it is left out;
--- nil, the column's name and the reason when the secondary cannot hold it.
---@param spec dualdb.Spec
---@param crossing any|nil   one that counts; default: that of single rows
---@return fun(packed: string): string|nil, string|nil, string|nil
function fetch.crosser(spec, crossing)
  local transform = fetch.transform(spec)
  crossing = crossing or fetch.crossing(spec)
  return function(packed)
    local changed = packed
    if transform then changed = transform(packed) end
    if not changed then return nil end
    local crossed, column, reason = crossing:apply(changed)
    if crossed then return crossed end
    return nil, spec.names[column], reason
  end
end

--- Whether two rows, as one and the other side hold them, are the same: floats of which the model
--- keeps only some digits are compared by those.
function fetch.same(spec, a, b)
  if a == b then return true end
  if not a or not b then return false end
  local crossing = fetch.crossing(spec)
  return crossing:settles() and crossing:settle(a) == crossing:settle(b)
end

--- The keys among those given that the secondary can have. What its types cannot hold it does not
--- contain, and must not be asked for.
---@param keys string[]
---@return string[]
function fetch.crossable_keys(spec, keys)
  if not spec.key_crossing then
    local indexes = {}
    for i = 1, spec.key_count do indexes[i] = i end
    spec.key_crossing = policies.crossing(spec, indexes)
  end
  local list = {}
  for _, key in ipairs(keys) do
    if spec.key_crossing:apply(key) then list[#list + 1] = key end
  end
  return list
end

return fetch
