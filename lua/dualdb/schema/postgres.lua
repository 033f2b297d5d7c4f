--- What a PostgreSQL schema (the first of the search path) contains, from the catalog.

local core = require "dualdb.core"
local details = require "dualdb.schema.postgres_details"

local postgres = {}

local KINDS = {
  int2 = "i", int4 = "i", int8 = "i", numeric = "d", float4 = "f", float8 = "g", bool = "b",
  text = "t", citext = "t", varchar = "t", bpchar = "t", bytea = "x",
  date = "D", time = "T", timestamp = "S", timestamptz = "S",
  json = "j", jsonb = "j", uuid = "u",
}

local TABLES = [[
select c.relname::text as name, c.reltuples::bigint as estimated_rows
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = current_schema() and c.relkind in ('r', 'p')
order by c.relname]]

local COLUMNS = [[
select c.relname::text as tab, a.attname::text as name, t.typname::text as type,
       t.typtype::text as type_type, format_type(a.atttypid, a.atttypmod) as column_type,
       a.attnotnull as not_null, a.attidentity::text as identity, a.attgenerated::text as generated,
       pg_get_expr(d.adbin, d.adrelid) as dflt, a.atttypmod as modifier,
       pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname)
         as sequence
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where n.nspname = current_schema() and c.relkind in ('r', 'p')
order by c.relname, a.attnum]]

local INDEXES = [[
select c.relname::text as tab, i.relname::text as name, x.indisunique as is_unique,
       x.indisprimary as is_primary, a.attname::text as col,
       x.indpred is null as whole
from pg_index x
join pg_class c on c.oid = x.indrelid
join pg_class i on i.oid = x.indexrelid
join pg_namespace n on n.oid = c.relnamespace
cross join lateral unnest(x.indkey::int2[]) with ordinality as k(attnum, position)
left join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
where n.nspname = current_schema() and k.position <= x.indnkeyatts
order by c.relname, i.relname, k.position]]

local function absent(value)
  if value == core.NULL then return nil end
  return value
end

local NUMERIC_HEADER = 4  -- numeric's modifier is ((precision << 16) | scale) + 4

local function kind_of(row)
  if row.type_type == "e" then return "t" end
  return KINDS[row.type]
end

--- All tables of the current schema: name -> table, and their names in order.
function postgres.inspect(conn)
  local tables, names = {}, {}
  for _, row in ipairs(conn:query(TABLES)) do
    names[#names + 1] = row.name
    tables[row.name] = {
      name = row.name, columns = {}, column = {}, indexes = {}, foreign_keys = {},
      estimated_rows = math.max(0, row.estimated_rows),
    }
  end
  for _, row in ipairs(conn:query(COLUMNS)) do
    local column = {
      name = row.name, type = row.type, column_type = row.column_type,
      nullable = not row.not_null, default = absent(row.dflt),
      generated = row.generated ~= "", identity = row.identity ~= "" and row.identity or nil,
      sequence = absent(row.sequence), kind = kind_of(row),
    }
    if row.type == "numeric" and row.modifier >= NUMERIC_HEADER then
      column.scale = (row.modifier - NUMERIC_HEADER) & 0xffff
    end
    if column.kind == "T" or column.kind == "S" then
      column.fraction = row.modifier >= 0 and row.modifier or 6
    end
    local tab = tables[row.tab]
    tab.columns[#tab.columns + 1] = column
    tab.column[column.name] = column
  end
  for _, row in ipairs(conn:query(INDEXES)) do
    local tab = tables[row.tab]
    local index = tab.indexes[#tab.indexes]
    if not index or index.name ~= row.name then
      index = { name = row.name, unique = row.is_unique, columns = {}, whole = row.whole }
      tab.indexes[#tab.indexes + 1] = index
    end
    index.columns[#index.columns + 1] = absent(row.col) or "(expression)"
    if row.is_primary then tab.primary_key = index.columns end
  end
  details.read(conn, tables)
  return tables, names
end

return postgres
