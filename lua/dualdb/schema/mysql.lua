--- What a MySQL or MariaDB database contains, from its information_schema.

local core = require "dualdb.core"

local mysql = {}

local KINDS = {
  smallint = "i", mediumint = "i", int = "i", bigint = "i",
  decimal = "d", float = "f", double = "g",
  char = "t", varchar = "t", tinytext = "t", text = "t", mediumtext = "t", longtext = "t",
  enum = "t", set = "t", inet4 = "t", inet6 = "t", json = "j", uuid = "u", bit = "B", year = "i",
  binary = "x", varbinary = "x", tinyblob = "x", blob = "x", mediumblob = "x", longblob = "x",
  date = "D", time = "T", datetime = "S", timestamp = "S",
  geometry = "x", point = "x", linestring = "x", polygon = "x", multipoint = "x",
  multilinestring = "x", multipolygon = "x", geometrycollection = "x", geomcollection = "x",
}

local function absent(value)
  if value == core.NULL then return nil end
  return value
end

--- The natural kind of a column, or nil when this version cannot represent its type.
local function kind_of(column)
  if column.type == "tinyint" then
    return column.column_type:match("^tinyint%(1%)$") and "b" or "i"
  end
  return KINDS[column.type]
end

local LABEL_ESCAPES = { ["0"] = "\0", n = "\n", r = "\r", ["\\"] = "\\" }

local function number(value)
  return value ~= core.NULL and tonumber(value) or nil
end

--- Characters or bytes; of a bit its bits.
local function length_of(row, name)
  if name == "bit" then return tonumber(row.column_type:match("^bit%((%d+)%)")) end
  return number(row.length)
end

--- The labels of enum('a','it''s'): quotes inside are doubled, the rest is escaped by backslashes.
local function enum_labels(column_type)
  local body = column_type:match("^enum(%(.*%))$")
  local labels, at = {}, 2
  while body:sub(at, at) == "'" do
    local label = {}
    at = at + 1
    while true do
      local stop = body:find("'", at, true)
      label[#label + 1] = body:sub(at, stop - 1):gsub("\\(.)", LABEL_ESCAPES)
      at = stop + 1
      if body:sub(at, at) ~= "'" then break end
      label[#label + 1] = "'"
      at = at + 1
    end
    labels[#labels + 1] = table.concat(label)
    at = at + 1
  end
  return labels
end

local COLUMNS = [[
select table_name as tab, column_name as name, data_type as type, column_type as column_type,
       is_nullable as nullable, column_default as dflt, extra as extra,
       character_maximum_length as length, numeric_precision as digits,
       numeric_scale as scale, datetime_precision as fraction,
       character_set_name as charset, collation_name as collation,
       generation_expression as expression, column_comment as comment
from information_schema.columns
where table_schema = database()
order by table_name, ordinal_position]]

local TABLES = [[
select table_name as name, engine as engine, table_rows as estimated_rows,
       data_length as estimated_bytes, table_comment as comment
from information_schema.tables
where table_schema = database() and table_type = 'BASE TABLE'
order by table_name]]

local INDEXES = [[
select table_name as tab, index_name as name, non_unique as non_unique, seq_in_index as position,
       column_name as col, sub_part as sub_part, index_type as type, collation as direction
from information_schema.statistics
where table_schema = database()
order by table_name, index_name, seq_in_index]]

local FOREIGN_KEYS = [[
select k.table_name as tab, k.constraint_name as name, k.column_name as col,
       k.referenced_table_name as referenced_table, k.referenced_column_name as referenced_column,
       k.referenced_table_schema <> k.table_schema as is_foreign,
       r.update_rule as on_update, r.delete_rule as on_delete
from information_schema.key_column_usage k
join information_schema.referential_constraints r
  on r.constraint_schema = k.constraint_schema and r.constraint_name = k.constraint_name
 and r.table_name = k.table_name
where k.table_schema = database() and k.referenced_table_name is not null
order by k.table_name, k.constraint_name, k.ordinal_position]]

local CHECKS = {
  mariadb = [[
select table_name as tab, constraint_name as name, check_clause as clause, 'YES' as enforced
from information_schema.check_constraints where constraint_schema = database()
order by table_name, constraint_name]],
  mysql = [[
select t.table_name as tab, c.constraint_name as name, c.check_clause as clause,
       t.enforced as enforced
from information_schema.check_constraints c
join information_schema.table_constraints t
  on t.constraint_schema = c.constraint_schema and t.constraint_name = c.constraint_name
 and t.constraint_type = 'CHECK'
where c.constraint_schema = database()
order by t.table_name, c.constraint_name]],
}

local TRIGGERS = [[
select distinct event_object_table as tab from information_schema.triggers
where event_object_schema = database()]]

--- Triggers are shown only to who may make some. A role that allows it is not looked for: then they
--- are said to be unknown.
local SEES_TRIGGERS = [[
select count(*) as v
from (select grantee, privilege_type from information_schema.user_privileges
      union all
      select grantee, privilege_type from information_schema.schema_privileges
      where database() like table_schema) p
where privilege_type = 'TRIGGER'
  and grantee = concat("'", left(current_user(), char_length(current_user())
                                 - char_length(substring_index(current_user(), '@', -1)) - 1),
                       "'@'", substring_index(current_user(), '@', -1), "'")]]

local function read_columns(conn, tables)
  for _, row in ipairs(conn:query(COLUMNS)) do
    local tab = tables[row.tab]
    if tab then
      local extra = row.extra:lower()
      local column = {
        name = row.name, type = row.type:lower(), column_type = row.column_type,
        unsigned = row.column_type:find("unsigned", 1, true) ~= nil,
        nullable = row.nullable == "YES",
        default = absent(row.dflt),
        default_is_expression = extra:find("default_generated", 1, true) ~= nil,
        auto_increment = extra:find("auto_increment", 1, true) ~= nil,
        on_update = extra:find("on update", 1, true) ~= nil,
        generated = (absent(row.expression) or "") ~= "", expression = absent(row.expression),
        length = length_of(row, row.type:lower()), digits = number(row.digits),
        scale = number(row.scale), fraction = number(row.fraction),
        charset = absent(row.charset), collation = absent(row.collation),
        comment = row.comment,
      }
      column.kind = kind_of(column)
      if column.type == "enum" then column.labels = enum_labels(column.column_type) end
      tab.columns[#tab.columns + 1] = column
      tab.column[column.name] = column
    end
  end
end

local function read_indexes(conn, tables)
  for _, row in ipairs(conn:query(INDEXES)) do
    local tab = tables[row.tab]
    if tab then
      local index = tab.indexes[#tab.indexes]
      if not index or index.name ~= row.name then
        index = { name = row.name, unique = tonumber(row.non_unique) == 0, type = row.type:lower(),
                  columns = {}, descending = {}, whole = true }
        tab.indexes[#tab.indexes + 1] = index
      end
      -- An index on an expression has no column, one on a prefix has a length.
      index.columns[#index.columns + 1] = absent(row.col) or "(expression)"
      index.descending[#index.columns] = row.direction == "D"
      if absent(row.sub_part) or row.col == core.NULL then index.whole = false end
      if row.name == "PRIMARY" then tab.primary_key = index.columns end
    end
  end
end

local function read_foreign_keys(conn, tables)
  for _, row in ipairs(conn:query(FOREIGN_KEYS)) do
    local tab = tables[row.tab]
    if tab then
      local key = tab.foreign_keys[#tab.foreign_keys]
      if not key or key.name ~= row.name then
        key = { name = row.name, columns = {}, referenced_table = row.referenced_table,
                referenced_columns = {}, on_update = row.on_update, on_delete = row.on_delete,
                elsewhere = tonumber(row.is_foreign) == 1 }  -- in another database
        tab.foreign_keys[#tab.foreign_keys + 1] = key
      end
      key.columns[#key.columns + 1] = row.col
      key.referenced_columns[#key.referenced_columns + 1] = row.referenced_column
    end
  end
end

--- Check constraints. MariaDB's JSON is longtext with the check json_valid(`column`).
local function read_checks(conn, tables)
  local product = conn:info().product
  local patch = product == "mysql" and conn:info().version:match("^8%.0%.(%d+)")
  if patch and tonumber(patch) < 16 then return end  -- had no checks
  for _, row in ipairs(conn:query(CHECKS[product])) do
    local tab = tables[row.tab]
    local name = product == "mariadb" and row.clause:match("^json_valid%(`(.+)`%)$")
    local column = tab and name and tab.column[name:gsub("``", "`")]
    if column and column.type == "longtext" then
      column.type, column.kind = "json", "j"
    elseif tab then
      tab.checks[#tab.checks + 1] = {
        name = row.name, clause = row.clause, enforced = row.enforced == "YES",
      }
    end
  end
end

local function read_triggers(conn, tables)
  if conn:query(SEES_TRIGGERS)[1].v == 0 then return end
  for _, tab in pairs(tables) do tab.triggers = false end
  for _, row in ipairs(conn:query(TRIGGERS)) do
    if tables[row.tab] then tables[row.tab].triggers = true end
  end
end

--- All base tables of the connection's database: name -> table, and their names in order.
function mysql.inspect(conn)
  local tables, names = {}, {}
  for _, row in ipairs(conn:query(TABLES)) do
    names[#names + 1] = row.name
    tables[row.name] = {
      name = row.name, columns = {}, column = {}, indexes = {}, foreign_keys = {}, checks = {},
      engine = absent(row.engine), comment = row.comment,
      triggers = true,   -- or it is not known that there are none
      estimated_rows = tonumber(absent(row.estimated_rows) or 0),
      estimated_bytes = tonumber(absent(row.estimated_bytes) or 0),
    }
  end
  read_columns(conn, tables)
  read_indexes(conn, tables)
  read_foreign_keys(conn, tables)
  read_checks(conn, tables)
  read_triggers(conn, tables)
  return tables, names
end

return mysql
