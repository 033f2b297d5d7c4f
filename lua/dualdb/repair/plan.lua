--- What a repair is going to do with a model's differences: decided once, row by row, and kept in
--- unlinked files until it is done, so that memory does not grow with their number.

local decide = require "dualdb.repair.decide"
local fetch = require "dualdb.fetch"
local memory = require "dualdb.memory"
local statement = require "dualdb.statement"
local unreadable = require "dualdb.unreadable"

local plan = {}

---@class dualdb.Planned
---@field kind "missing"|"extra"|"changed"   read from a file
---@field key string             canonical
---@field primary string|nil     the rows as the difference has them
---@field secondary string|nil
---@field wanted string|nil      that both sides shall have

local SIDES = { "primary", "secondary" }

-- ---- the file ----

---@class dualdb.PlanFile
---@field count integer
local File = {}
File.__index = File

local HEAD = "<I4 I4 I4 I4 B"
local HEAD_BYTES = HEAD:packsize()
--- Where the wanted row is.
local NOWHERE, PRIMARY, SECONDARY, OWN = 0, 1, 2, 3

---@return dualdb.PlanFile
function plan.file()
  return setmetatable({ file = assert(io.tmpfile()), count = 0 }, File)
end

---@param planned dualdb.Planned
function File:add(planned)
  local a, b, wanted = planned.primary or "", planned.secondary or "", planned.wanted or ""
  local where = wanted == "" and NOWHERE or wanted == a and PRIMARY or wanted == b and SECONDARY
    or OWN
  if where ~= OWN then wanted = "" end
  assert(self.file:write(HEAD:pack(#planned.key, #a, #b, #wanted, where), planned.key, a, b,
    wanted))
  self.count = self.count + 1
end

--- The planned repair at a place of the file, and the place behind it; nil at the end.
---@param at integer
---@return dualdb.Planned|nil, integer|nil
function File:get(at)
  memory.sweep()
  self.file:seek("set", at)
  local head = self.file:read(HEAD_BYTES)
  if not head then return nil end
  local key, a, b, own, where = HEAD:unpack(head)
  local function field(length) return length > 0 and self.file:read(length) or nil end
  local found = { key = field(key), primary = field(a), secondary = field(b) }
  found.kind = not found.primary and "extra" or found.secondary and "changed" or "missing"
  local wanted = field(own)
  found.wanted = where == PRIMARY and found.primary or where == SECONDARY and found.secondary
    or wanted
  memory.note(a + b + own)
  return found, at + HEAD_BYTES + key + a + b + own
end

--- Iterates over places, a window of them at a time.
---@param most integer
---@return fun(): integer[]|nil
function File:windows(most)
  local at = 0
  return function()
    local places = {}
    while #places < most do
      self.file:seek("set", at)
      local head = self.file:read(HEAD_BYTES)
      if not head then break end
      local key, a, b, own = HEAD:unpack(head)
      places[#places + 1] = at
      at = at + HEAD_BYTES + key + a + b + own
    end
    return #places > 0 and places or nil
  end
end

function File:close()
  if self.file then self.file:close() end
  self.file = nil
end
File.__close = File.close
File.__gc = File.close

-- ---- deciding ----

--- What is written so that both sides have the wanted row.
---@param planned dualdb.Planned
---@return dualdb.Change[]   with the rows as the difference has them
function plan.changes(planned)
  local changes, wanted = {}, planned.wanted
  for _, side in ipairs(SIDES) do
    local has = planned[side]
    if has ~= wanted then
      changes[#changes + 1] = {
        side = side, row = wanted, from = has, guard = "seen",
        action = not wanted and "delete" or has and "update" or "insert",
      }
    end
  end
  return changes
end

--- Whether a repair writes to a side.
---@param side "primary"|"secondary"
function plan.writes(planned, side) return planned[side] ~= planned.wanted end

plan.COMPUTES = "the %s computes column %s by itself"

--- The planned repair of a difference; or nil and why there is none, and whether that is because
--- the secondary cannot hold the primary's row.
---@param spec dualdb.Spec
---@param strategy function
---@param found dualdb.Found
---@param options { allow_delete: boolean|nil }
---@return dualdb.Planned|nil, string|nil, boolean|nil
function plan.one(spec, strategy, found, options)
  -- The side with the entry has the truth, which no strategy here knows of.
  if found.pending then return nil, "pending in the journal" end
  local verdict, wanted = decide.row(spec, strategy, found)
  if verdict ~= "row" then return nil, wanted, verdict == "refused" end
  local column, reason = unreadable.key(spec, found.key)
  if reason then return nil, ("column %s: %s"):format(column, reason) end
  local planned = {
    key = found.key, primary = found.primary, secondary = found.secondary, wanted = wanted,
  }
  for _, change in ipairs(plan.changes(planned)) do
    if change.action == "delete" and not options.allow_delete then
      return nil, "deletes are not allowed"
    end
    local computed = change.action == "update"
      and statement.computed(spec, change.side, change.from, change.row)
    if computed then return nil, plan.COMPUTES:format(change.side, computed) end
  end
  return planned
end

--- A planned repair as its rows are now, locked or not: what the primary stores may be more than
--- what crosses of it.
---@param conns { primary: any, secondary: any }
---@param keys string[]
---@param lock "update"|nil
---@return table<string, string>, table<string, string>, table<string, string>
---        by key: the primary's rows as they cross, as they are stored, the secondary's rows
function plan.rows(conns, spec, keys, lock)
  local stored = fetch.many(conns.primary, spec, "primary", keys, lock)
  local secondary = fetch.many(conns.secondary, spec, "secondary",
    fetch.crossable_keys(spec, keys), lock)
  local cross, crossed = fetch.crosser(spec), {}
  for key, packed in pairs(stored) do
    local given, _, reason = cross(packed)
    crossed[key] = (reason or given == packed) and packed or given  -- one of them in memory
  end
  return crossed, stored, secondary
end

return plan
