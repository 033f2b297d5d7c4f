--- A pair for specs: both sandbox servers, with tables that are dropped afterwards.

local dualdb = require "dualdb"

local pair = {}

local made = {}

--- Opens the sandbox's pair with the models given (table name = model name unless said).
---@param models table<string, table>
---@param settings table|nil   more for dualdb.open
function pair.open(models, settings)
  local all = { models = models, name = "spec" }
  for name, value in pairs(settings or {}) do all[name] = value end
  local policy = {}
  if type(all.policy) == "string" then policy.preset = all.policy end
  for name, value in pairs(type(all.policy) == "table" and all.policy or {}) do
    policy[name] = value
  end
  policy.recheck = policy.recheck or 0.02  -- nothing else changes these tables
  all.policy = policy
  return dualdb.open(all)
end

--- Makes a table on both sides; `columns` are the two column lists.
---@param db dualdb.Database
---@param name string
---@param columns { mysql: string, postgres: string }
function pair.make(db, name, columns)
  pair.drop(db, name)
  db.primary:execute(("create table %s (%s)"):format(db.primary:quote(name), columns.mysql))
  db.secondary:execute(("create table %s (%s)"):format(db.secondary:quote(name), columns.postgres))
  made[#made + 1] = name
  db:refresh()
end

function pair.drop(db, name)
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute("drop table if exists " .. side:quote(name))
  end
end

--- Drops everything that make has made, and what the journals say of it.
function pair.drop_all(db)
  for _, side in ipairs { db.primary, db.secondary } do
    if require("dualdb.setup").has_tables(side) then side:execute("delete from dualdb_journal") end
  end
  for i = #made, 1, -1 do pair.drop(db, made[i]) end
  made = {}
end

--- The single value of a query that returns one row with one column `v`.
function pair.value(side, sql, ...)
  return side:query(sql, ...)[1].v
end

--- Calls f, which has to raise an error object, and returns that.
function pair.failure(f, ...)
  local result, err = dualdb.try(f, ...)
  assert(err, "no error was raised, but returned: " .. tostring(result))
  return err
end

--- A URL of a side with another port.
function pair.with_port(url, port)
  return (url:gsub("(@[^:/]+):%d+", "%1:" .. port))
end

return pair
