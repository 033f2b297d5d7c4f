--- Confirms what a comparison found: only differences that last go into the report, and those whose
--- key has an entry in a journal are pending.

local connections = require "dualdb.verify.connections"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local journal = require "dualdb.journal"
local recheck = require "dualdb.recheck"
local unreadable = require "dualdb.unreadable"

local confirm = {}

--- Differences that are confirmed together: each time those that a server saw by digests alone need
--- the time to last.
local AT_ONCE = 10000

--- Notes those of the keys, by their digests, that have an entry in a journal.
local function look_in_journals(report, conns, keys)
  if report.ignores_journal then return end
  local name, digests = report.spec.name, nil
  for _, side in ipairs { "primary", "secondary" } do
    if journal.has(conns[side], name) then
      if not digests then
        digests = {}
        for i, key in ipairs(keys) do digests[i] = core.digest(key) end
      end
      for digest in pairs(journal.dirty(conns[side], name, digests)) do
        report.in_journal[digest] = true
      end
    end
  end
end

--- Passes the differences that last on to the report.
local function batch(report, conns, suspects, added)
  local keys, confirmed, places = {}, {}, {}
  for i, suspect in ipairs(suspects) do
    keys[i] = suspect.key
    places[suspect.key] = suspect.place
  end
  -- Before and after: a replay that mends a row meanwhile takes its entry away.
  look_in_journals(report, conns, keys)
  local unstable = recheck.confirm(conns, report.spec, suspects, report.mark, function(found)
    report:add(found, places[found.key])
    added[found.key] = true
    confirmed[#confirmed + 1] = found.key
  end)
  look_in_journals(report, conns, confirmed)
  if next(report.in_journal) then
    for _, key in ipairs(confirmed) do
      if report.in_journal[core.digest(key)] then report:count("pending", places[key]) end
    end
  end
  for _, suspect in ipairs(unstable) do report:count("not_verified", places[suspect.key]) end
end

---@class dualdb.Seen           a difference that a comparison saw
---@field kind "missing"|"extra"|"changed"
---@field key string            canonical
---@field primary string|nil    digest of the row; nil: there is none, or only the key is known
---@field secondary string|nil
---@field range integer         where it was seen
---@field chunk integer

--- A server that is lost now leaves rows that nobody could look at again.
local function give_up(report, suspects, err)
  report.unconfirmed = report.unconfirmed or err
  for _, suspect in ipairs(suspects) do report:count("not_verified", suspect.place) end
end

--- Confirms one batch, connected again when the server was lost meanwhile.
local function settle(report, db, suspects)
  if #suspects == 0 then return end
  if report.unconfirmed then return give_up(report, suspects, report.unconfirmed) end
  local added = {}
  local ok, err = pcall(connections.with, db, function(conns)
    batch(report, conns, suspects, added)
  end)
  if ok then return end
  err = errors.wrap(err)
  if not connections.PASSING[err.class] then error(err, 0) end
  local left = {}
  for _, suspect in ipairs(suspects) do
    if not added[suspect.key] then left[#left + 1] = suspect end
  end
  give_up(report, left, err)
end

--- Confirms what the comparison saw until the time `since`.
---@param report dualdb.Report
---@param db dualdb.Database
---@param each fun(): dualdb.Seen|nil   an iterator
---@param since number
function confirm.all(report, db, each, since)
  local suspects = {}
  for found in each do
    local seen = (found.primary or found.secondary)  -- else only the key is known
      and recheck.seen(found.primary, found.secondary)
    local place = report.place(found.range, found.chunk)
    local column, reason = unreadable.key(report.spec, found.key)
    if reason then  -- such a row cannot be asked for again
      report:add({ kind = found.kind, key = found.key, column = column, reason = reason }, place)
    else
      suspects[#suspects + 1] = {
        key = found.key, seen = seen, since = seen and since, place = place,
      }
    end
    if #suspects == AT_ONCE then
      settle(report, db, suspects)
      suspects = {}
    end
  end
  settle(report, db, suspects)
end

return confirm
