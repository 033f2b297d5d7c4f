--- One query on each side, both at once.

local core = require "dualdb.core"

local both = {}

local SIDES = { "primary", "secondary" }

--- Seconds between two looks; a query that ends is told at once.
local PATIENCE = 60

---@param conns { primary: any, secondary: any }
---@param queries table<"primary"|"secondary", dualdb.Query>
---@return table<"primary"|"secondary", string[]>   canonical rows
function both.fetch(conns, queries)
  local jobs = {}
  local guard <close> = setmetatable({}, { __close = function()
    for _, job in pairs(jobs) do job:close() end
  end })
  for _, side in ipairs(SIDES) do
    local query = queries[side]
    jobs[side] = core.start_fetch {
      conn = conns[side], sql = query.text, param_kinds = query.param_kinds,
      params = query.params, kinds = query.kinds,
    }
  end
  local rows, running = {}, table.move(SIDES, 1, #SIDES, 1, {})
  while #running > 0 do
    local waited = {}
    for i, side in ipairs(running) do waited[i] = jobs[side] end
    core.wait(waited, PATIENCE)
    for i = #running, 1, -1 do
      local side = running[i]
      if jobs[side]:is_done() then
        rows[side] = jobs[side]:finish()
        table.remove(running, i)
      end
    end
  end
  return rows
end

--- Compares the keys and digests that the queries list; the suspects go to the job.
---@param job dualdb.VerifyJob
---@param queries table<"primary"|"secondary", dualdb.Query>
---@param ordered boolean    they come in key order
---@return integer   suspects
function both.list(job, queries, ordered)
  local spec = job.spec
  return core.compare {
    primary = job.conns.primary, secondary = job.conns.secondary,
    primary_query = queries.primary.text, primary_param_kinds = queries.primary.param_kinds,
    primary_params = queries.primary.params,
    secondary_query = queries.secondary.text, secondary_param_kinds = queries.secondary.param_kinds,
    secondary_params = queries.secondary.params,
    kinds = queries.primary.kinds, key_columns = spec.key_count, ordered = ordered,
    expected_rows = spec.estimated_rows,
    -- Digests of the servers are not those of the engine: only the key is known.
    difference = function(kind, key) job.suspect(kind, key) end,
  }.differences
end

--- A query for each side.
---@param make fun(side: "primary"|"secondary"): dualdb.Query
---@return table<"primary"|"secondary", dualdb.Query>
function both.queries(make)
  return { primary = make "primary", secondary = make "secondary" }
end

return both
