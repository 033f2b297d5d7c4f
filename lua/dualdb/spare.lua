--- How many lanes both servers have connections to spare for, where nobody says how many.

local spare = {}

local QUERIES = {
  primary = "select @@max_connections - (select count(*) from information_schema.processlist) as n",
  secondary = "select current_setting('max_connections')::int "
    .. "- (select count(*)::int from pg_stat_activity) as n",
}

--- At least one lane, at most `most`, and no more than take half of the connections that are free.
---@param db dualdb.Database
---@param most integer
---@param connections integer   of each side that a lane takes at most
---@return integer
function spare.lanes(db, most, connections)
  local count = most
  for _, side in ipairs { db.primary, db.secondary } do
    if count <= 1 then break end
    local free = side:query(QUERIES[side.name])[1].n
    count = math.min(count, free // 2 // connections)
  end
  return math.max(1, count)
end

return spare
