--- What a PostgreSQL schema says of its tables beyond columns and indexes: constraints, collations,
--- comments.

local core = require "dualdb.core"

local details = {}

local COLUMNS = [[
select c.relname::text as tab, a.attname::text as column,
       col_description(c.oid, a.attnum) as comment,
       l.collname::text as collation, l.collisdeterministic as deterministic,
       case when t.typname in ('varchar', 'bpchar') and a.atttypmod > 0 then a.atttypmod - 4 end
         as length
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type t on t.oid = a.atttypid
left join pg_collation l on l.oid = a.attcollation
where n.nspname = current_schema() and c.relkind in ('r', 'p')
order by c.relname, a.attnum]]

local COMMENTS = [[
select c.relname::text as tab, obj_description(c.oid, 'pg_class') as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = current_schema() and c.relkind in ('r', 'p')]]

local LABELS = [[
select c.relname::text as tab, a.attname::text as column, e.enumlabel::text as label
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_enum e on e.enumtypid = a.atttypid
where n.nspname = current_schema() and c.relkind in ('r', 'p')
order by c.relname, a.attnum, e.enumsortorder]]

local FOREIGN_KEYS = [[
select c.relname::text as tab, k.conname::text as name, r.relname::text as referenced_table,
       rn.nspname <> n.nspname as elsewhere, a.attname::text as col, b.attname::text as referenced,
       k.confupdtype::text as on_update, k.confdeltype::text as on_delete
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_class r on r.oid = k.confrelid
join pg_namespace rn on rn.oid = r.relnamespace
cross join lateral unnest(k.conkey, k.confkey) with ordinality as u(attnum, other, position)
join pg_attribute a on a.attrelid = c.oid and a.attnum = u.attnum
join pg_attribute b on b.attrelid = r.oid and b.attnum = u.other
where n.nspname = current_schema() and k.contype = 'f' and k.conparentid = 0
order by c.relname, k.conname, u.position]]

local CHECKS = [[
select c.relname::text as tab, k.conname::text as name, pg_get_expr(k.conbin, k.conrelid) as clause,
       case when cardinality(k.conkey) = 1 then a.attname::text end as col
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
left join pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
where n.nspname = current_schema() and k.contype = 'c'
order by c.relname, k.conname]]

local function absent(value)
  if value == core.NULL then return nil end
  return value
end

--- A foreign key's rules, in the words of the standard and of MySQL.
local RULES = {
  a = "NO ACTION", r = "RESTRICT", c = "CASCADE", n = "SET NULL", d = "SET DEFAULT",
}

--- Calls fn with each row and its table, and its column if it names one. What was made since the
--- tables were read is left out.
local function each_row(conn, tables, text, fn)
  for _, row in ipairs(conn:query(text)) do
    local tab = tables[row.tab]
    local column = tab and tab.column[row.column]
    if tab and (column or not row.column) then fn(tab, row, column) end
  end
end

local function read_columns(conn, tables)
  each_row(conn, tables, COLUMNS, function(_, row, column)
    column.comment = absent(row.comment) or ""
    column.collation = absent(row.collation)
    column.deterministic = absent(row.deterministic) ~= false
    column.length = column.length or absent(row.length)
    -- A sequence that the column uses but does not own.
    column.sequence = column.sequence
      or (column.default or ""):match("^nextval%('(.+)'::regclass%)$")
  end)
  local labels = {}
  each_row(conn, tables, LABELS, function(_, row, column)
    labels[column] = labels[column] or {}
    table.insert(labels[column], row.label)
  end)
  for column, list in pairs(labels) do column.labels = list end
end

local function read_foreign_keys(conn, tables)
  each_row(conn, tables, FOREIGN_KEYS, function(tab, row)
    local key = tab.foreign_keys[#tab.foreign_keys]
    if not key or key.name ~= row.name then
      key = {
        name = row.name, columns = {}, referenced_table = row.referenced_table,
        referenced_columns = {}, elsewhere = row.elsewhere, on_update = RULES[row.on_update],
        on_delete = RULES[row.on_delete],
      }
      table.insert(tab.foreign_keys, key)
    end
    table.insert(key.columns, row.col)
    table.insert(key.referenced_columns, row.referenced)
  end)
end

--- Adds to each table `comment`, `foreign_keys` and `checks`, and to each column `comment`,
--- `collation`, `deterministic`, `length` and, for an enum type, `labels`.
---@param conn userdata
---@param tables table<string, table>
function details.read(conn, tables)
  for _, tab in pairs(tables) do tab.foreign_keys, tab.checks, tab.comment = {}, {}, "" end
  each_row(conn, tables, COMMENTS, function(tab, row) tab.comment = absent(row.comment) or "" end)
  read_columns(conn, tables)
  read_foreign_keys(conn, tables)
  each_row(conn, tables, CHECKS, function(tab, row)
    table.insert(tab.checks, { name = row.name, clause = row.clause, column = absent(row.col) })
  end)
end

return details
