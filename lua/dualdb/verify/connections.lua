--- A connection to each side, for reading; and which of their errors may pass by themselves.

local connections = {}

connections.PASSING = { transient = true, unavailable = true, capacity = true }

local SIDES = { "primary", "secondary" }

local function release(db, conns)
  for _, side in ipairs(SIDES) do
    local conn = conns[side]
    if conn then
      -- A transaction in which a statement failed ends here; what is broken is closed.
      if not conn:reusable() then pcall(conn.execute, conn, "rollback") end
      db[side]:release(conn)
    end
  end
end

--- Runs fn(conns) and gives the connections back whatever happens.
---@param db dualdb.Database
---@param fn fun(conns: { primary: any, secondary: any })
function connections.with(db, fn)
  local conns = {}
  local guard <close> = setmetatable({}, { __close = function() release(db, conns) end })
  for _, side in ipairs(SIDES) do conns[side] = db[side]:acquire() end
  return fn(conns)
end

return connections
