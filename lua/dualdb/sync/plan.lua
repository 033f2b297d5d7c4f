--- What a sync does, or would do, with a model. Looks at both sides, and writes to neither.

local fetch = require "dualdb.fetch"
local row = require "dualdb.row"

local plan = {}

---@class dualdb.SyncPlan
---@field model string
---@field mode "full"
---@field direction "to_secondary"|"to_primary"
---@field action "load"|"refresh"   into an empty table; or only what differs is written
---@field table { primary: string, secondary: string }
---@field estimated_rows integer    of the table that is read
---@field estimated_bytes integer

--- Whether a side's table has no rows.
---@param side "primary"|"secondary"
function plan.is_empty(db, spec, side)
  return #db[side]:query(("select 1 as one from %s limit 1"):format(
    spec.statements[side].table)) == 0
end

--- What becomes of the model's rows: an empty table is loaded, if rows can go into it as they are
--- made. A transform takes all columns, of which the secondary may compute some by itself.
---@param db dualdb.Database
---@param spec dualdb.Spec
---@param forwards boolean    the secondary is written
---@return "load"|"refresh"
function plan.action(db, spec, forwards)
  local target = forwards and "secondary" or "primary"
  if forwards and fetch.transform(spec) and #row.writable(spec, target) < #spec.columns then
    return "refresh"
  end
  return plan.is_empty(db, spec, target) and "load" or "refresh"
end

---@param db dualdb.Database
---@param name string
---@param direction "to_secondary"|"to_primary"
---@return dualdb.SyncPlan
function plan.of(db, name, direction)
  local spec = db:spec(name)
  local forwards = direction == "to_secondary"
  local read = forwards and spec.primary_table or spec.secondary_table
  return {
    model = name, mode = "full", direction = direction,
    action = plan.action(db, spec, forwards), table = spec.table,
    estimated_rows = read.estimated_rows, estimated_bytes = read.estimated_bytes,
  }
end

return plan
