--- Rows that a delete takes along by its foreign keys, or changes: what puts them back, for the
--- undo file. They may be of tables that are no models.

local core = require "dualdb.core"

local cascade = {}

--- How far a chain of tables is followed.
local DEEPEST = 32

local MYSQL_BYTES = {
  binary = true, varbinary = true, tinyblob = true, blob = true, mediumblob = true, longblob = true,
  geometry = true, point = true, linestring = true, polygon = true, multipoint = true,
  multilinestring = true, multipolygon = true, geometrycollection = true, geomcollection = true,
}

--- An expression whose value is the column's as a literal.
local function mysql_literal(column, name)
  local form = "replace(quote(cast(%s as char)), char(13 using utf8mb4), '\\\\r')"
  if MYSQL_BYTES[column.type] then
    form = "concat('x''', hex(%s), '''')"
  elseif column.type == "bit" then
    form = "concat('b''', bin(%s + 0), '''')"
  elseif column.type == "float" then  -- as text it has six digits
    form = "quote(cast(cast(%s as double) as char))"
  end
  return ("coalesce(%s, 'null')"):format(form:format(name))
end

local function literal_of(driver, column)
  local name = core.quote(driver, column.name)
  if driver == "mysql" then return mysql_literal(column, name) end
  return ("quote_nullable(%s::text)"):format(name)
end

local function quoted(driver, names)
  local list = {}
  for i, name in ipairs(names) do list[i] = core.quote(driver, name) end
  return table.concat(list, ", ")
end

--- The literals of a table's columns, of the rows that a condition finds.
local function fetch(conn, driver, tab, columns, of)
  local shown = {}
  for i, column in ipairs(columns) do
    shown[i] = ("%s as v%d"):format(literal_of(driver, column), i)
  end
  local kinds, rows = ("t"):rep(#columns), {}
  for i, packed in ipairs(conn:fetch(("select %s from %s where %s"):format(
    table.concat(shown, ", "), core.quote(driver, tab.name), of.condition), of.kinds, of.params,
    kinds)) do
    rows[i] = core.texts(kinds, packed)
  end
  return rows
end

local function stored(tab)
  local list = {}
  for _, column in ipairs(tab.columns) do
    if not column.generated then list[#list + 1] = column end
  end
  return list
end

--- "k1 = v1 and k2 = v2" of a row's primary key.
local function key_match(driver, tab, columns, row)
  local parts = {}
  for _, name in ipairs(tab.primary_key) do
    for i, column in ipairs(columns) do
      if column.name == name then
        parts[#parts + 1] = ("%s = %s"):format(core.quote(driver, name), row[i])
      end
    end
  end
  return table.concat(parts, " and ")
end

local function insert(driver, tab, columns, row)
  local names = {}
  for i, column in ipairs(columns) do names[i] = column.name end
  local name = core.quote(driver, tab.name)
  return ("insert into %s (%s)%s select %s%s where not exists (select 1 from %s where %s);"):format(
    name, quoted(driver, names), driver == "postgres" and " overriding system value" or "",
    table.concat(row, ", "), driver == "mysql" and " from dual" or "", name,
    key_match(driver, tab, columns, row))
end

--- Sets a foreign key again that the delete has set to NULL.
local function update(driver, tab, key, columns, row)
  local sets, nulls, is_of_key = {}, {}, {}
  for _, name in ipairs(key.columns) do is_of_key[name] = true end
  for i, column in ipairs(columns) do
    if is_of_key[column.name] then
      local name = core.quote(driver, column.name)
      sets[#sets + 1] = ("%s = %s"):format(name, row[i])
      nulls[#nulls + 1] = name .. " is null"
    end
  end
  return ("update %s set %s where %s and %s;"):format(core.quote(driver, tab.name),
    table.concat(sets, ", "), key_match(driver, tab, columns, row), table.concat(nulls, " and "))
end

local RULES = { CASCADE = "insert", ["SET NULL"] = "update" }

--- Adds what brings the rows of a table back that refer to those of `of`, and what refers to them.
local function follow(conn, driver, tables, of, texts, depth)
  if depth > DEEPEST then return end
  for _, name in ipairs(of.names) do
    local tab = tables[name]
    for _, key in ipairs(tab.foreign_keys) do
      local rule = RULES[key.on_delete]
      if rule and key.referenced_table == of.table and not key.elsewhere then
        local columns = stored(tab)
        local found = {
          table = name, names = of.names, kinds = of.kinds, params = of.params,
          condition = ("(%s) in (select %s from %s where %s)"):format(quoted(driver, key.columns),
            quoted(driver, key.referenced_columns), core.quote(driver, of.table), of.condition),
        }
        local rows = fetch(conn, driver, tab, columns, found)
        if #rows > 0 and not tab.primary_key then
          texts[#texts + 1] = ("-- %d rows of %s, which has no primary key, do not come back")
            :format(#rows, (name:gsub("%c", " ")))
        else
          for _, row in ipairs(rows) do
            texts[#texts + 1] = rule == "insert" and insert(driver, tab, columns, row)
              or update(driver, tab, key, columns, row)
          end
        end
        if rule == "insert" and #rows > 0 then
          follow(conn, driver, tables, found, texts, depth + 1)
        end
      end
    end
  end
end

--- Statements that bring back what a delete is about to take along, in order.
---@param db dualdb.Database
---@param conn userdata   of the side
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@param key string      canonical
---@return string[]
function cascade.statements(db, conn, spec, side, key)
  local tables, names = db.schema:tables(side)
  local texts = {}
  follow(conn, db[side].driver, tables, {
    table = spec.table[side], names = names, condition = spec.statements[side]:key_match(),
    kinds = spec.key_kinds, params = key,
  }, texts, 1)
  return texts
end

return cascade
