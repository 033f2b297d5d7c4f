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
---@field place integer        where it was seen, for whoever is told that it lasts
---@field seen string|nil      the digests of both rows; nil when only the key is known
---@field since number|nil     when this very difference was first seen
---@field writer integer|nil   the transaction that wrote the secondary's row, at the last look
---@field times integer|nil    it was seen in a row

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
  local seen = core.digests(a, b)
  return {
    key = key, kind = kind_of(a, b), primary = a, secondary = b, column = column, reason = reason,
  }, spec.condition and ("%s %s %s"):format(seen, here, there) or seen
end

-- ---- which rows were written meanwhile ----

--- The secondary's next transaction: rows that others wrote before it have not changed since.
---@param conn any   a connection of the secondary
---@return integer
function recheck.mark(conn)
  return conn:query("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as next")[1].next
end

--- The spec whose rows end in the transaction that wrote the secondary's, a number of 32 bits: that
--- and the row have to be of one moment. The primary has none.
local function watched(spec)
  local base = spec.tested or spec
  if base.watched then return base.watched end
  local result = narrow.copy(base)
  result.kinds, result.statements = base.kinds .. "i", {}
  for side, expression in pairs { primary = "0", secondary = base.statements.secondary:writer() } do
    local builder = base.statements[side]
    local columns = table.move(builder.columns, 1, #builder.columns, 1, {})
    columns[#columns + 1] = expression
    result.statements[side] = builder:only(columns)
  end
  base.watched = result
  return result
end

--- Whether a transaction was before the mark. Numbers go round.
local function is_before(writer, mark)
  local distance = (mark - writer) & 0xFFFFFFFF
  return distance > 0 and distance < 0x80000000
end

-- ---- looks ----

--- How often a difference must be seen of a row that the secondary does not have, where nothing
--- tells whether it had it between two times; and of one that is written again and again.
local TIMES_ABSENT, TIMES_WRITTEN = 3, LOOKS

--- What is known of a difference that was seen again; nil when it has lasted, if it may end here.
---@param item dualdb.Suspect
---@return dualdb.Suspect|nil
local function weigh(spec, item, found, seen, writer, mark, before, after, may_end)
  local same = item.seen == seen
  local quiet = found.secondary == nil or writer ~= nil
    and (writer == item.writer or mark ~= nil and is_before(writer, mark))
  local since = same and quiet and item.since or after
  local times = (same or not item.seen) and (item.times or 1) + 1 or 1
  local lasted = quiet and before - since >= spec.recheck
    and (writer ~= nil or times >= TIMES_ABSENT)
  if may_end and same and (lasted or times >= TIMES_WRITTEN) then return nil end
  return {
    key = item.key, place = item.place, seen = seen, writer = writer, since = since, times = times,
  }
end

--- Reads the rows of `waiting` again. Calls real(found, place) for those whose difference has
--- lasted, and returns what is known of the others that still differ.
local function look(conns, spec, waiting, mark, real)
  local keys, left, last = {}, {}, 0
  for i, item in ipairs(waiting) do keys[i] = item.key end
  local cross, whole, own = fetch.crosser(spec), watched(spec), #(spec.tested or spec).kinds
  local reading  -- the next rows, while these are judged
  local guard <close> = setmetatable({}, { __close = function()
    if reading then reading:close() end
  end })
  while last < #keys do
    reading = reading or fetch.start(conns, whole, keys, 1, own)
    local primary, secondary, writers, through = reading:finish()
    local before, after = reading.began, core.clock()
    local from = last + 1
    last = through
    reading = last < #keys and fetch.start(conns, whole, keys, last + 1, own) or nil
    for i = from, last do
      local key = keys[i]
      local found, seen = recheck.judge(spec, cross, key, primary[key], secondary[key])
      if found then
        local writer = secondary[key] and (">i8"):unpack(writers[key], -8)
        local known = weigh(spec, waiting[i], found, seen, writer, mark, before, after, real)
        if known then
          left[#left + 1] = known
        else
          real(found, waiting[i].place)
        end
      end
    end
  end
  return left
end

--- Looks at once at those of which more has to be known than the comparison saw, so that they have
--- lasted when the others have. Returns what still differs, in the same order.
local function first_look(conns, spec, waiting, mark)
  local early, noted, left = {}, {}, {}
  for _, item in ipairs(waiting) do
    if spec.condition then item.seen = nil end  -- whether that held is not in it
    if not item.seen or not mark or item.seen:find(" none", 1, true) then
      early[#early + 1] = item
      noted[item.key] = false
    end
  end
  for _, item in ipairs(look(conns, spec, early, mark, nil)) do noted[item.key] = item end
  for _, item in ipairs(waiting) do
    local known = noted[item.key]
    if known ~= false then left[#left + 1] = known or item end
  end
  return left
end

--- Seconds until all differences that were seen have had the time to last.
local function seconds_left(waiting, must_last)
  local newest = -math.huge
  for _, item in ipairs(waiting) do newest = math.max(newest, item.since or -math.huge) end
  return newest + must_last - core.clock()
end

--- Confirms differences. Calls real(found, place) for each that lasts; returns those that never
--- held still.
---@param conns { primary: any, secondary: any }
---@param spec dualdb.Spec
---@param waiting dualdb.Suspect[]
---@param mark integer|nil      recheck.mark before they were seen first
---@param real fun(found: dualdb.Found, place: integer)
---@return dualdb.Suspect[] unstable
function recheck.confirm(conns, spec, waiting, mark, real)
  local pause = spec.recheck
  waiting = first_look(conns, spec, waiting, mark)
  for _ = 1, LOOKS do
    if #waiting == 0 then break end
    local seconds = seconds_left(waiting, pause)
    if seconds > 0 then core.sleep(seconds) end
    waiting = look(conns, spec, waiting, mark, real)
    pause = pause * 1.5
  end
  return waiting
end

return recheck
