--- Confirms what a comparison found: only differences that last go into the report, and those whose
--- key has an entry in a journal are pending.

local core = require "dualdb.core"
local journal = require "dualdb.journal"
local recheck = require "dualdb.recheck"
local unreadable = require "dualdb.unreadable"

local confirm = {}

--- Differences that are confirmed together.
local AT_ONCE = 10000

--- Notes the keys, by their digests, that have an entry in a journal.
local function look_in_journals(report, conns, digests)
  if report.ignores_journal then return end
  for _, side in ipairs { "primary", "secondary" } do
    for digest in pairs(journal.dirty(conns[side], report.spec.name, digests)) do
      report.in_journal[digest] = true
    end
  end
end

--- Passes the differences that last on to the report.
local function batch(report, conns, suspects)
  if #suspects == 0 then return end
  local digests, confirmed = {}, {}
  for i, suspect in ipairs(suspects) do digests[i] = core.digest(suspect.key) end
  -- Before and after: a replay that mends a row meanwhile takes its entry away.
  look_in_journals(report, conns, digests)
  local unstable = recheck.confirm(conns, report.spec, suspects, function(found)
    report:add(found)
    confirmed[#confirmed + 1] = core.digest(found.key)
  end)
  look_in_journals(report, conns, confirmed)
  for _, digest in ipairs(confirmed) do
    if report.in_journal[digest] then report.pending = report.pending + 1 end
  end
  report.not_verified = report.not_verified + unstable
end

---@class dualdb.Seen           a difference that a comparison saw
---@field kind "missing"|"extra"|"changed"
---@field key string            canonical
---@field primary string|nil    digest of the row; nil: there is none, or only the key is known
---@field secondary string|nil

--- Confirms what the comparison saw until the time `since`.
---@param report dualdb.Report
---@param conns { primary: any, secondary: any }
---@param each fun(): dualdb.Seen|nil   an iterator
---@param since number
function confirm.all(report, conns, each, since)
  local suspects = {}
  for found in each do
    local seen = (found.primary or found.secondary)  -- else only the key is known
      and recheck.seen(found.primary, found.secondary)
    local column, reason = unreadable.key(report.spec, found.key)
    if reason then  -- such a row cannot be asked for again
      report:add { kind = found.kind, key = found.key, column = column, reason = reason }
    else
      suspects[#suspects + 1] = { key = found.key, seen = seen, since = seen and since }
    end
    if #suspects == AT_ONCE then
      batch(report, conns, suspects)
      suspects = {}
    end
  end
  batch(report, conns, suspects)
end

return confirm
