--- What of a table of the secondary may be dropped while it is loaded, and the text that makes it
--- again.

local core = require "dualdb.core"
local uniqueness = require "dualdb.sync.uniqueness"

local definitions = {}

---@class dualdb.Definition
---@field name string
---@field kind "index"|"unique"|"foreign_key"
---@field definition string       of an index the statement; of the others what follows their name
---@field comment string|nil

--- Whether the table may be changed at all, by this user: what is dropped has to be made again. The
--- indexes of partitions belong to those of the whole.
local TABLE = [[
select format('%I.%I', n.nspname, c.relname) as quoted, n.nspname::text as schema,
       c.relkind = 'r' and not c.relispartition and pg_has_role(c.relowner, 'USAGE')
         and has_schema_privilege(n.oid, 'CREATE') as changeable
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = to_regclass(?)]]

--- `stays` is true for what others depend on, and for what its definition does not say all of: the
--- mark of CLUSTER, a target of statistics, a second comment, an operator that is a question mark.
--- Columns that not all versions have are looked up by name.
local INDEXES = [[
select i.relname::text as name, case when k.oid is null then 'index' else 'unique' end as kind,
  x.indisunique as is_unique,
  case when k.oid is null
    then pg_get_indexdef(i.oid) || coalesce(' TABLESPACE ' || quote_ident(t.spcname), '')
    else left(d.head, length(d.head) - length(d.tail))
      || coalesce(' WITH (' || o.options || ')', '')
      || coalesce(' USING INDEX TABLESPACE ' || quote_ident(t.spcname), '') || d.tail
  end as definition,
  coalesce(obj_description(k.oid, 'pg_constraint'), obj_description(i.oid, 'pg_class')) as comment,
  not (x.indisvalid and x.indisready and x.indislive)
    or x.indisprimary or x.indisexclusion or x.indisreplident or x.indisclustered
    or k.contype <> 'u' or right(d.head, length(d.tail)) <> d.tail
    or coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
    or (k.oid is not null and obj_description(i.oid, 'pg_class') is not null)
    or (x.indpred is not null and i.reltablespace <> 0)
    or not coalesce(has_tablespace_privilege(nullif(i.reltablespace, 0), 'CREATE'), true)
    or ((x.indexprs is not null or x.indpred is not null)
        and strpos(pg_get_indexdef(i.oid), '?') > 0)
    or exists (select from pg_attribute a where a.attrelid = i.oid and a.attstattarget >= 0)
    or exists (select from pg_constraint f where f.contype = 'f' and f.conindid = i.oid)
    or exists (select from pg_depend p where p.classid = 'pg_class'::regclass and p.objid = i.oid
               and p.deptype in ('e', 'x', 'P', 'S'))
    as stays,
  x.indexprs is null and x.indpred is null
    and not coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false)
    and not exists (select from unnest(x.indcollation::oid[]) as u (oid)
                    join pg_collation l on l.oid = u.oid where not l.collisdeterministic)
    and not exists (select from unnest(x.indclass::oid[]) as u (oid)
                    join pg_opclass c on c.oid = u.oid
                    where c.opcnamespace <> 'pg_catalog'::regnamespace) as bytewise
from pg_index x
join pg_class i on i.oid = x.indexrelid
left join pg_tablespace t on t.oid = i.reltablespace
left join pg_constraint k on k.conindid = i.oid and k.conrelid = x.indrelid
  and k.contype in ('p', 'u', 'x')
left join lateral (
  select pg_get_constraintdef(k.oid) as head,
         case when k.condeferrable then ' DEFERRABLE' else '' end
           || case when k.condeferred then ' INITIALLY DEFERRED' else '' end as tail) d on true
left join lateral (
  select string_agg(format('%I=%L', p.option_name, p.option_value), ', ') as options
  from pg_options_to_table(i.reloptions) p) o on true
where x.indrelid = ?::regclass
order by i.relname]]

local INDEX_COLUMNS = [[
select i.relname::text as name, a.attname::text as col
from pg_index x
join pg_class i on i.oid = x.indexrelid
cross join lateral unnest(x.indkey::int2[]) with ordinality as u (attnum, position)
join pg_attribute a on a.attrelid = x.indrelid and a.attnum = u.attnum
where x.indrelid = ?::regclass and u.position <= x.indnkeyatts
order by i.relname, u.position]]

local FOREIGN_KEYS = [[
select k.conname::text as name, 'foreign_key' as kind, pg_get_constraintdef(k.oid) as definition,
  obj_description(k.oid, 'pg_constraint') as comment,
  not k.conislocal or k.coninhcount > 0
    or not has_table_privilege(k.confrelid, 'REFERENCES')
    or coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
    or not coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
    or exists (select from pg_trigger t where t.tgconstraint = k.oid and t.tgenabled <> 'O')
    or exists (select from pg_depend p where p.classid = 'pg_constraint'::regclass
               and p.objid = k.oid and p.deptype in ('e', 'x'))
    as stays
from pg_constraint k
where k.contype = 'f' and k.conparentid = 0 and k.conrelid = ?::regclass
order by k.conname]]

--- Runs fn while names are written with their schemas, whatever the search path: definitions have
--- to mean the same in another session. Within a transaction.
local function with_plain_path(conn, fn)
  local path = conn:query("select current_setting('search_path') as path, "
    .. "set_config('search_path', '', true)")[1].path
  local result = fn()
  conn:query("select set_config('search_path', ?, true)", path)
  return result
end

local function columns_of(conn, quoted)
  local columns = {}
  for _, entry in ipairs(conn:query(INDEX_COLUMNS, quoted)) do
    columns[entry.name] = columns[entry.name] or {}
    table.insert(columns[entry.name], entry.col)
  end
  return columns
end

--- The table as definitions name it, and whether anything of it may be dropped; nil when there is
--- none.
---@param conn any
---@param name string   in the current schema
---@return { quoted: string, schema: string, changeable: boolean }|nil
function definitions.table(conn, name)
  return conn:query(TABLE, core.quote("postgres", name))[1]
end

--- All indexes and foreign keys of a table, within a transaction: `stays` for those that must not
--- be dropped. Foreign keys come first.
---@param conn any
---@param quoted string   with its schema
---@return dualdb.Definition[]
function definitions.all(conn, quoted)
  return with_plain_path(conn, function()
    local list = conn:query(FOREIGN_KEYS, quoted)
    local columns = columns_of(conn, quoted)
    for _, entry in ipairs(conn:query(INDEXES, quoted)) do
      entry.columns = columns[entry.name] or {}
      list[#list + 1] = entry
    end
    for _, entry in ipairs(list) do
      if entry.comment == core.NULL then entry.comment = nil end
      entry.stays = entry.stays == true
    end
    return list
  end)
end

--- Those that may be dropped while the model's rows are loaded.
---@param conn any
---@param spec dualdb.Spec
---@param quoted string
---@return dualdb.Definition[]
function definitions.movable(conn, spec, quoted)
  local list = {}
  for _, entry in ipairs(definitions.all(conn, quoted)) do
    local free = not entry.stays
    if free and entry.is_unique then
      free = entry.bytewise and uniqueness.crosses(spec, entry.columns)
    end
    if free then list[#list + 1] = entry end
  end
  return list
end

return definitions
