--- Tables for the specs of what is set aside, and what their indexes and foreign keys are.

local pair = require "spec.support.pair"
local set_aside = require "dualdb.sync.set_aside"
local setup = require "dualdb.setup"

local aside = {}

local NAME, PARENT, CHILD = "spec_aside", "spec_aside_parent", "spec_aside_child"
local MODELS = { Item = { table = NAME }, Parent = { table = PARENT }, Child = { table = CHILD } }

--- All that a table's indexes and foreign keys are, in one text for each.
local STATE = [[
select pg_get_indexdef(i.oid) || coalesce(' tablespace ' || t.spcname, '')
    || coalesce(' comment ' || obj_description(i.oid, 'pg_class'), '') as v
from pg_index x join pg_class i on i.oid = x.indexrelid
left join pg_tablespace t on t.oid = i.reltablespace
where x.indrelid = to_regclass(?)
union all
select k.conname || ' ' || pg_get_constraintdef(k.oid) || ' of ' || k.conindid::regclass
    || coalesce(' comment ' || obj_description(k.oid, 'pg_constraint'), '')
from pg_constraint k where k.conrelid = to_regclass(?)
order by 1]]

--- The state of a table (spec_aside), to compare before and after.
function aside.state(db, name)
  local list = {}
  for i, entry in ipairs(db.secondary:query(STATE, name or NAME, name or NAME)) do
    list[i] = entry.v
  end
  return list
end

--- The names of entries, in order.
function aside.names_of(entries)
  local names = {}
  for i, entry in ipairs(entries) do names[i] = entry.name end
  table.sort(names)
  return names
end

--- A pair with the models Item, Parent and Child, and dualdb's own tables.
function aside.open()
  local db = pair.open(MODELS)
  setup.run(db)
  return db
end

--- Drops the tables of them all.
function aside.close(db)
  if setup.has_tables(db.secondary) then db.secondary:execute("delete from dualdb_set_aside") end
  db.secondary:execute("drop table if exists dualdb_quarantine")
  for _, name in ipairs { NAME, PARENT, CHILD } do
    db.secondary:execute(("drop table if exists %s cascade"):format(name))
  end
  db.primary:with(function(conn)
    conn:execute("set foreign_key_checks = 0")
    for _, name in ipairs { NAME, PARENT, CHILD } do
      conn:execute("drop table if exists " .. name)
    end
    conn:execute("set foreign_key_checks = 1")
  end)
  pair.drop_all(db)
  db:close()
end

--- Makes all again that is set aside.
function aside.restore_all(db)
  for _, entry in ipairs(set_aside.pending(db)) do set_aside.restore(db, entry) end
  assert(#set_aside.pending(db) == 0, "something is still set aside")
end

return aside
