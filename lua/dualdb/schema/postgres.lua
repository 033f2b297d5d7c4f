--- What a PostgreSQL schema (the first of the search path) contains, from the catalog.

local core = require "dualdb.core"
local pgtype = require "dualdb.schema.pgtype"
local details = require "dualdb.schema.postgres_details"

local postgres = {}

local TABLES = [[
select c.relname::text as name, c.reltuples::bigint as estimated_rows,
       c.relpages::bigint * current_setting('block_size')::bigint as estimated_bytes,
       current_setting('server_encoding') as encoding
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = current_schema() and c.relkind in ('r', 'p')
order by c.relname]]

--- Domains are resolved to the type below them; it and its modifier decide what a column holds.
local COLUMNS = [[
with recursive below(oid, base, modifier) as (
  select t.oid, t.typbasetype, t.typtypmod from pg_type t where t.typtype = 'd'
  union all
  select b.oid, t.typbasetype, case when b.modifier >= 0 then b.modifier else t.typtypmod end
  from below b join pg_type t on t.oid = b.base where t.typtype = 'd'
)
select c.relname::text as tab, a.attname::text as name, t.typname::text as type, t.oid as type_oid,
       t.typtype::text as type_type, format_type(a.atttypid, a.atttypmod) as column_type,
       a.attnotnull as not_null, a.attidentity::text as identity, a.attgenerated::text as generated,
       pg_get_expr(d.adbin, d.adrelid) as dflt,
       case when b.oid is null then a.atttypmod else b.modifier end as modifier,
       pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname)
         as sequence
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join (below b join pg_type u on u.oid = b.base and u.typtype <> 'd') on b.oid = a.atttypid
join pg_type t on t.oid = coalesce(u.oid, a.atttypid)
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where n.nspname = current_schema() and c.relkind in ('r', 'p')
order by c.relname, a.attnum]]

local LABELS = [[
select enumtypid as type_oid, enumlabel::text as label from pg_enum
order by enumtypid, enumsortorder]]

local INDEXES = [[
select c.relname::text as tab, i.relname::text as name, x.indisunique as is_unique,
       x.indisprimary as is_primary, a.attname::text as col,
       x.indpred is null as whole, x.indoption[k.position - 1] & 1 = 1 as descending
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

--- What the catalog adds to the lengths and precisions in its modifiers; -1 stands for none.
local HEADER = 4

--- A scale has 11 bits and may be negative.
local SCALE_MASK, SCALE_SIGN = 0x7ff, 0x400

--- An interval's modifier: which fields it keeps (all: 7fff), and its precision (any: ffff).
local ALL_FIELDS, ANY_PRECISION = 0x7fff, 0xffff

local function describe_interval(column, modifier)
  if modifier < 0 then modifier = ALL_FIELDS << 16 | ANY_PRECISION end
  if modifier >> 16 & ALL_FIELDS ~= ALL_FIELDS then
    column.kind = nil  -- as `interval year to month`
    return
  end
  local precision = modifier & ANY_PRECISION
  column.fraction = precision == ANY_PRECISION and 6 or precision
end

--- Kind, length, precision and scale.
local function describe(column, row, labels)
  local name, modifier = row.type, row.modifier
  column.kind = pgtype.KINDS[name]
  if row.type_type == "e" then
    column.kind, column.labels = "t", labels[row.type_oid] or {}
  elseif name == "numeric" and modifier >= HEADER then
    column.digits = modifier - HEADER >> 16 & 0xffff
    column.scale = ((modifier - HEADER & SCALE_MASK) ~ SCALE_SIGN) - SCALE_SIGN
  elseif (name == "varchar" or name == "bpchar") and modifier >= HEADER then
    column.length = modifier - HEADER
  elseif (name == "bit" or name == "varbit") and modifier >= 0 then
    column.length = modifier
  elseif name == "interval" then
    describe_interval(column, modifier)
  elseif column.kind == "T" or column.kind == "S" then
    column.fraction = modifier >= 0 and modifier or 6
  end
end

local function read_labels(conn)
  local labels = {}
  for _, row in ipairs(conn:query(LABELS)) do
    local list = labels[row.type_oid] or {}
    labels[row.type_oid], list[#list + 1] = list, row.label
  end
  return labels
end

--- All tables of the current schema: name -> table, and their names in order.
function postgres.inspect(conn)
  local tables, names = {}, {}
  for _, row in ipairs(conn:query(TABLES)) do
    names[#names + 1] = row.name
    tables[row.name] = {
      name = row.name, columns = {}, column = {}, indexes = {}, foreign_keys = {},
      estimated_rows = math.max(0, row.estimated_rows), estimated_bytes = row.estimated_bytes,
      encoding = row.encoding,
    }
  end
  local labels = read_labels(conn)
  for _, row in ipairs(conn:query(COLUMNS)) do
    local column = {
      name = row.name, type = row.type, column_type = row.column_type,
      nullable = not row.not_null, default = absent(row.dflt),
      generated = row.generated ~= "", identity = row.identity ~= "" and row.identity or nil,
      sequence = absent(row.sequence),
    }
    describe(column, row, labels)
    local tab = tables[row.tab]
    tab.columns[#tab.columns + 1] = column
    tab.column[column.name] = column
  end
  for _, row in ipairs(conn:query(INDEXES)) do
    local tab = tables[row.tab]
    local index = tab.indexes[#tab.indexes]
    if not index or index.name ~= row.name then
      index = { name = row.name, unique = row.is_unique, columns = {}, descending = {},
                whole = row.whole }
      tab.indexes[#tab.indexes + 1] = index
    end
    index.columns[#index.columns + 1] = absent(row.col) or "(expression)"
    index.descending[#index.columns] = row.descending
    if row.is_primary then tab.primary_key = index.columns end
  end
  details.read(conn, tables)
  return tables, names
end

return postgres
