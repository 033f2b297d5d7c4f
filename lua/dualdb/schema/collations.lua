--- Which texts are equal: what a collation of either side takes for the same.

local collations = {}

--- Collations that tell apart whatever has different bytes: only under those is what is unique on
--- the secondary what is unique on the primary.
---@param collation string   of the primary
function collations.is_strict(collation)
  return collation == "binary" or collation:find("_bin$") ~= nil
    or collation:find("_cs$") ~= nil and not collation:find("_ai_cs$")
end

--- Whether the primary's collation takes é for e as well.
---@param collation string
function collations.folds_accents(collation)
  return not collation:find("_as_", 1, true)
end

--- Whether the secondary's column takes texts with different bytes for equal.
---@param column table   as schema/postgres.lua describes it
function collations.secondary_folds(column)
  return column.type == "citext" or column.deterministic == false
end

local OFFERS = [[
select exists (select from pg_available_extensions where name = 'citext') as citext,
       exists (select from pg_collation where collprovider = 'i') as icu,
       (select min(collname::text) from pg_collation where not collisdeterministic) as existing]]

--- How a column could fold case on the secondary, as a hint: what this server has.
---@param db dualdb.Database
---@param column string
function collations.ways_out(db, column)
  local offers, ways = db.secondary:query(OFFERS)[1], {}
  if offers.citext then
    ways[#ways + 1] = "a citext column (`unique = \"citext\"` in the model)"
  end
  if type(offers.existing) == "string" then
    ways[#ways + 1] = ("the nondeterministic collation %s"):format(offers.existing)
  elseif offers.icu then
    ways[#ways + 1] = "a nondeterministic ICU collation (create collation folded (provider = icu, "
      .. "locale = 'und-u-ks-level1', deterministic = false))"
  end
  if #ways == 0 then return "This PostgreSQL has neither citext nor ICU collations." end
  return ("Column %s could have %s."):format(column, table.concat(ways, ", or "))
end

return collations
