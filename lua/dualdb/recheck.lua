--- A difference counts only when it lasts: both rows are read again, and again with growing waits
--- as long as they keep changing, so that live traffic gives no false alarm.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"

local recheck = {}

--- Seconds that a difference has to last, unchanged on both sides.
local MUST_LAST = 0.5
--- Looks at a row that keeps changing before it is given up as not verified.
local LOOKS = 6

local function kind_of(primary, secondary)
  if not primary then return "extra" end
  return secondary and "changed" or "missing"
end

--- Reads the rows of `waiting` again; returns those that still differ, with the rows as they are
--- now and `since` the time at which this very difference was first seen.
local function look(conns, spec, waiting)
  local keys = {}
  for i, item in ipairs(waiting) do keys[i] = item.key end
  local now = core.clock()
  local primary = fetch.many(conns.primary, spec, "primary", keys)
  local secondary = fetch.many(conns.secondary, spec, "secondary",
    fetch.crossable_keys(spec, keys))
  local cross = fetch.crosser(spec)
  local left = {}
  for _, item in ipairs(waiting) do
    local a, b = primary[item.key], secondary[item.key]
    local column, reason
    if a then a, column, reason = cross(a) end
    if reason then a = primary[item.key] end
    if reason or not fetch.same(spec, a, b) then
      local same = item.seen and item.primary == a and item.secondary == b
      left[#left + 1] = {
        key = item.key, kind = kind_of(a, b), primary = a, secondary = b, seen = true,
        since = same and item.since or now, column = column, reason = reason,
      }
    end
  end
  return left
end

--- Confirms differences. `found` is a list of { key, primary, secondary, since, seen }, where
--- `seen`
--- says that the rows are known. Calls real(found) for each that lasts; returns how many never held
--- still.
---@param conns { primary: any, secondary: any }
---@param spec dualdb.Spec
---@param found table[]
---@param real fun(found: dualdb.Found)
---@return integer unstable
function recheck.confirm(conns, spec, found, real)
  local waiting, pause = found, MUST_LAST
  for _ = 1, LOOKS do
    waiting = look(conns, spec, waiting)
    local now, unsettled, newest = core.clock(), {}, 0
    for _, item in ipairs(waiting) do
      if now - item.since >= MUST_LAST then
        real(item)
      else
        unsettled[#unsettled + 1] = item
        newest = math.max(newest, item.since)
      end
    end
    waiting = unsettled
    if #waiting == 0 then return 0 end
    core.sleep(math.max(newest + pause - core.clock(), 0.01))
    pause = pause * 1.5
  end
  return #waiting
end

return recheck
