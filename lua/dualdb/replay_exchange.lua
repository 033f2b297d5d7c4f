--- Replay of rows that have taken each other's unique values while the other side was away: one by
--- one none of them can go. They go together, and those that are in the way are given another value
--- before, in the same transaction.

local journal = require "dualdb.journal"
local statement = require "dualdb.statement"
local unique = require "dualdb.repair.unique"

local exchange = {}

--- Another row has the value, as PostgreSQL and MySQL say it.
local DUPLICATE_STATE, DUPLICATE_CODE = "23505", 1062

--- Whether a row was refused because another one has a value of it.
---@param err dualdb.Error
---@return boolean
function exchange.is_taken(err)
  return err.sqlstate == DUPLICATE_STATE or err.code == DUPLICATE_CODE
end

--- Groups of items in the order of repairs, with what is parked.
---@param truth "primary"|"secondary"
---@param items dualdb.ReplayItem[]   as they were locked
---@return dualdb.Group[]             places are those of the items
local function groups_of(spec, truth, items)
  local planned, places = {}, {}
  for i, item in ipairs(items) do
    planned[i] = { key = item.key, primary = item.crossed, secondary = item.other }
    planned[i].wanted = planned[i][truth]
    places[i] = i
  end
  return unique.groups(spec, { get = function(_, at) return planned[at] end }, places)
end

--- Whether rows refer to values of the side's table beside its key: a value for the time being
--- would take them along, and not all the way back.
local function is_followed(db, spec, side)
  local of_key = {}
  for i = 1, spec.key_count do
    of_key[spec.columns[i][side == "primary" and "name" or "secondary"]] = true
  end
  for _, tab in pairs((db.schema:tables(side))) do
    for _, key in ipairs(tab.foreign_keys) do
      if key.referenced_table == spec.table[side] and not key.elsewhere then
        for _, name in ipairs(key.referenced_columns) do
          if not of_key[name] then return true end
        end
      end
    end
  end
  return false
end

--- Of items that were refused because their values are taken: those that take each other's.
---@param db dualdb.Database
---@param truth "primary"|"secondary"
---@param items dualdb.ReplayItem[]
---@return dualdb.ReplayItem[][]
function exchange.groups(db, spec, truth, items)
  if #items < 2 or is_followed(db, spec, journal.other(truth)) then return {} end
  local found = {}
  for _, group in ipairs(groups_of(spec, truth, items)) do
    local members = {}
    for _, step in ipairs(group) do
      if not step.park then members[#members + 1] = items[step.at] end
    end
    if #members > 1 then found[#found + 1] = members end
  end
  return found
end

--- Gives the rows that are in the way other values on the side that is written. What the primary
--- stores beside what crosses of it would be lost: such rows stay where they are, and are refused.
---@param conn userdata               of that side
---@param truth "primary"|"secondary"
---@param items dualdb.ReplayItem[]   locked
function exchange.park(conn, spec, truth, items)
  local target, free = journal.other(truth), {}
  local field = target == "primary" and "crossed" or "other"
  for _, item in ipairs(items) do
    local keeps_more = target == "primary" and item.stored ~= item.crossed
    if not item.reason and not keeps_more then free[#free + 1] = item end
  end
  for _, group in ipairs(groups_of(spec, truth, free)) do
    for _, step in ipairs(group) do
      local item = free[step.at]
      local before = item[field]
      local parked = step.park and before and unique.parked(spec, step.park, before)
      if parked and parked ~= before then
        statement.run(conn, spec, { side = target, action = "update", row = parked, from = before },
          item.key)
        item[field] = parked
      end
    end
  end
end

return exchange
