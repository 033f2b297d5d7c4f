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

--- Notes those of the keys, by their digests, that wait in a journal.
local function look_in_journals(report, conns, keys)
  if report.ignores_journal then return end
  local name, digests = report.spec.name, nil
  for _, side in ipairs { "primary", "secondary" } do
    if journal.has(conns[side], name) then
      if not digests then
        digests = {}
        for i, key in ipairs(keys) do digests[i] = core.digest(key) end
      end
      for digest in pairs(journal.pending(conns[side], side, name, digests)) do
        report.in_journal[digest] = true
      end
    end
  end
end

--- Passes the differences that last on to the report, and notes in `places` which those are.
local function batch(report, conns, suspects, places)
  local keys, confirmed = {}, {}
  for i, suspect in ipairs(suspects) do keys[i] = suspect.key end
  -- Before and after: a replay that mends a row meanwhile takes its entry away.
  look_in_journals(report, conns, keys)
  local unstable = recheck.confirm(conns, report.spec, suspects, report.mark, function(found, place)
    report:add(found, place)
    places[found.key] = place
    confirmed[#confirmed + 1] = found.key
  end)
  look_in_journals(report, conns, confirmed)
  if next(report.in_journal) then
    for _, key in ipairs(confirmed) do
      if report.in_journal[core.digest(key)] then report:count("pending", places[key]) end
    end
  end
  for _, suspect in ipairs(unstable) do report:count("not_verified", suspect.place) end
end

--- A server that is lost now leaves rows that nobody could look at again.
local function give_up(report, suspects, err)
  report.unconfirmed = report.unconfirmed or err
  for _, suspect in ipairs(suspects) do report:count("not_verified", suspect.place) end
end

--- Confirms one batch, connected again when the server was lost meanwhile.
local function settle(report, db, suspects)
  if #suspects == 0 then return end
  if report.unconfirmed then return give_up(report, suspects, report.unconfirmed) end
  local places = {}
  local ok, err = pcall(connections.with, db, function(conns)
    batch(report, conns, suspects, places)
  end)
  if ok then return end
  err = errors.wrap(err)
  if not connections.PASSING[err.class] then error(err, 0) end
  local left = {}
  for _, suspect in ipairs(suspects) do
    if not places[suspect.key] then left[#left + 1] = suspect end
  end
  give_up(report, left, err)
end

--- Confirms what the comparison saw.
---@param report dualdb.Report
---@param db dualdb.Database
---@param each fun(): string|nil, any   of part:differences()
function confirm.all(report, db, each)
  local suspects = {}
  for kind, key, primary, secondary, range, chunk, since in each do
    local seen = (primary or secondary)  -- else only the key is known
      and recheck.seen(primary, secondary)
    local place = report.place(range, chunk)
    local column, reason = unreadable.key(report.spec, key)
    if reason then  -- such a row cannot be asked for again
      report:add({ kind = kind, key = key, column = column, reason = reason }, place)
    else
      suspects[#suspects + 1] = { key = key, seen = seen, since = seen and since, place = place }
    end
    if #suspects == AT_ONCE then
      settle(report, db, suspects)
      suspects = {}
    end
  end
  settle(report, db, suspects)
end

return confirm
