--- What a sync would do with a model. Looks at both sides, and writes to neither.

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

--- Whether rows can be loaded into the secondary's table as they are made: a transform takes all
--- columns, of which the secondary may compute some by itself.
---@param spec dualdb.Spec
function plan.is_loadable(spec)
  return not fetch.transform(spec) or #row.writable(spec, "secondary") == #spec.columns
end

local function is_empty(side, builder)
  return #side:query(("select 1 from %s limit 1"):format(builder.table)) == 0
end

---@param db dualdb.Database
---@param name string
---@param direction "to_secondary"|"to_primary"
---@return dualdb.SyncPlan
function plan.of(db, name, direction)
  local spec = db:spec(name)
  local forwards = direction == "to_secondary"
  local target = forwards and "secondary" or "primary"
  local read = forwards and spec.primary_table or spec.secondary_table
  local loads = is_empty(db[target], spec.statements[target])
    and (not forwards or plan.is_loadable(spec))
  return {
    model = name, mode = "full", direction = direction, action = loads and "load" or "refresh",
    table = spec.table, estimated_rows = read.estimated_rows,
    estimated_bytes = read.estimated_bytes,
  }
end

return plan
