--- A difference counts only when it lasts: both rows are read again, and again with growing waits
--- as long as they keep changing, so that live traffic gives no false alarm. Between two looks only
--- the digests of the rows are kept.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"
local narrow = require "dualdb.verify.narrow"

local recheck = {}

--- Looks at a row that keeps changing before it is given up as not verified.
local LOOKS = 6

---@class dualdb.Suspect       a difference that may not last
---@field key string           canonical
---@field seen string|nil      the digests of both rows; nil when only the key is known
---@field since number|nil     when this very difference was first seen

local function kind_of(primary, secondary)
  if not primary then return "extra" end
  return secondary and "changed" or "missing"
end

--- What two rows are remembered by, given their digests.
---@param primary string|nil
---@param secondary string|nil
---@return string
function recheck.seen(primary, secondary)
  return (primary or "none") .. " " .. (secondary or "none")
end

--- Judges one key by its rows as they are now: nil when they are the same, else the difference, and
--- what it is remembered by. A comparison that a condition narrows is about the rows for which it
--- holds: when it holds on no side there is no difference, when on one side only there is one.
---@return dualdb.Found|nil, string|nil
function recheck.judge(spec, cross, key, a, b)
  local here, there = true, true
  if spec.condition then
    a, here = narrow.test(spec, a)
    b, there = narrow.test(spec, b)
  end
  local stored, column, reason = a, nil, nil
  if a then a, column, reason = cross(a) end
  if reason then a = stored end
  here, there = here and a ~= nil, there and b ~= nil  -- a transform may leave the row out
  if not here and not there then return nil end
  if here == there and not reason and fetch.same(spec, a, b) then return nil end
  local seen = recheck.seen(a and core.digest(a), b and core.digest(b))
  return {
    key = key, kind = kind_of(a, b), primary = a, secondary = b, column = column, reason = reason,
  }, spec.condition and ("%s %s %s"):format(seen, here, there) or seen
end

--- Reads the rows of `waiting` again. Calls real(found) for those whose difference has lasted, and
--- returns those where it is not known yet.
local function look(conns, spec, waiting, real)
  local keys, left, last = {}, {}, 0
  for i, item in ipairs(waiting) do keys[i] = item.key end
  local cross = fetch.crosser(spec)
  while last < #keys do
    local from, before = last + 1, core.clock()
    local primary, secondary
    primary, secondary, last = fetch.both(conns, spec.tested or spec, keys, from)
    local after = core.clock()
    for i = from, last do
      local item, key = waiting[i], keys[i]
      local found, seen = recheck.judge(spec, cross, key, primary[key], secondary[key])
      if found then
        if item.seen ~= seen then
          left[#left + 1] = { key = key, seen = seen, since = after }
        elseif before - item.since < spec.recheck then
          left[#left + 1] = item
        else
          real(found)
        end
      end
    end
  end
  return left
end

--- Seconds until all differences that were seen have had the time to last.
local function seconds_left(waiting, must_last)
  local newest = -math.huge
  for _, item in ipairs(waiting) do newest = math.max(newest, item.since or -math.huge) end
  return newest + must_last - core.clock()
end

--- Confirms differences. Calls real(found) for each that lasts; returns those that never held
--- still.
---@param conns { primary: any, secondary: any }
---@param spec dualdb.Spec
---@param waiting dualdb.Suspect[]
---@param real fun(found: dualdb.Found)
---@return dualdb.Suspect[] unstable
function recheck.confirm(conns, spec, waiting, real)
  local pause = spec.recheck
  for _ = 1, LOOKS do
    local seconds = seconds_left(waiting, pause)
    if seconds > 0 then core.sleep(seconds) end
    waiting = look(conns, spec, waiting, real)
    if #waiting == 0 then break end
    pause = pause * 1.5
  end
  return waiting
end

return recheck
