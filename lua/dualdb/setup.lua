--- dualdb's own tables. They begin with dualdb_ and are never models.

local core = require "dualdb.core"

local setup = {}

--- Version of the tables below; raised with each change of them.
setup.VERSION = 1

local TABLES = {
  mysql = [[
create table if not exists dualdb_meta (
  name varchar(64) character set ascii not null primary key,
  value varchar(255) character set utf8mb4 not null
) engine = InnoDB]],
  postgres = [[
create table if not exists dualdb_meta (
  name varchar(64) not null primary key,
  value varchar(255) not null
)]],
}

local INSERT = {
  mysql = "insert into dualdb_meta (name, value) values (?, ?) on duplicate key update "
    .. "value = values(value)",
  postgres = "insert into dualdb_meta (name, value) values (?, ?) on conflict (name) do update "
    .. "set value = excluded.value",
}

local function entries()
  return {
    setup_version = tostring(setup.VERSION),
    canonical_version = tostring(core.CANONICAL_VERSION),
  }
end

--- Rows that the secondary cannot hold; see dualdb.quarantine. Only the side that could not take a
--- row has it, and so far rows go one way.
local QUARANTINE = [[
create table if not exists dualdb_quarantine (
  model text not null,
  key_digest text not null,
  key json not null,
  column_name text,
  reason text not null,
  "row" json not null,
  kinds text not null,
  canonical bytea not null,
  attempts integer not null default 1,
  first_seen timestamptz not null default clock_timestamp(),
  last_seen timestamptz not null default clock_timestamp(),
  primary key (model, key_digest)
)]]

--- Whether the secondary has the table of the quarantine. Never writes.
---@return boolean
function setup.has_quarantine(db)
  return db.secondary:query("select to_regclass('dualdb_quarantine') is not null as there")[1].there
end

--- Makes the table of the quarantine; harmless when it is there.
function setup.make_quarantine(db)
  if not setup.has_quarantine(db) then db.secondary:execute(QUARANTINE) end
end

--- Makes the tables on both sides; harmless when they are there.
---@param db dualdb.Database
function setup.run(db)
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute(TABLES[side.driver])
    side:transaction(function(conn)
      for name, value in pairs(entries()) do conn:execute(INSERT[side.driver], name, value) end
    end)
  end
  setup.make_quarantine(db)
end

local EXISTS = {
  mysql = "select count(*) as n from information_schema.tables "
    .. "where table_schema = database() and table_name = 'dualdb_meta'",
  postgres = "select count(*) as n from pg_class where oid = to_regclass('dualdb_meta')",
}

--- Whether both sides have the tables of this version. Never writes.
---@return boolean
function setup.is_done(db)
  for _, side in ipairs { db.primary, db.secondary } do
    if side:query(EXISTS[side.driver])[1].n == 0 then return false end
    local found = {}
    for _, entry in ipairs(side:query("select name, value from dualdb_meta")) do
      found[entry.name] = entry.value
    end
    for name, value in pairs(entries()) do
      if found[name] ~= value then return false end
    end
  end
  return setup.has_quarantine(db)
end

return setup
