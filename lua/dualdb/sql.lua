--- The statements that dualdb makes itself, in each server's dialect. Values are always bound;
--- names are always quoted.

local core = require "dualdb.core"

local sql = {}

---@class dualdb.Statements
---@field driver string
---@field table string          quoted
---@field columns string[]      quoted, key columns first
---@field key_count integer
---@field marks table<string, string>   by column: what stands for a value, where it is not a ?
---@field folding table<string, string>|nil   key columns of types that take texts with different
---                                           bytes for equal, and the type to compare them as

--- A builder for one table on one side.
---@param driver string
---@param table_name string
---@param column_names string[]  key columns first
---@param key_count integer
---@param placeholders table<integer, string>|nil   of columns whose value is not a plain ?
---@param folding table<integer, string>|nil        as in the class
function sql.statements(driver, table_name, column_names, key_count, placeholders, folding)
  local columns, marks, folds = {}, {}, {}
  for i, name in ipairs(column_names) do
    columns[i] = core.quote(driver, name)
    marks[columns[i]] = placeholders and placeholders[i]
    folds[columns[i]] = folding and folding[i]
  end
  return setmetatable({
    driver = driver, table = core.quote(driver, table_name), columns = columns,
    key_count = key_count, marks = marks, folding = next(folds) and folds or nil,
  }, { __index = sql })
end

local function pick(list, from, to)
  return table.concat(list, ", ", from, to)
end

--- What stands for a value of a column.
---@param name string   quoted
function sql:mark(name)
  return self.marks[name] or "?"
end

--- Placeholders for one value of each of the columns.
local function marks_of(self, names)
  local marks = {}
  for i, name in ipairs(names) do marks[i] = self:mark(name) end
  return table.concat(marks, ", ")
end

local function key_columns(self)
  return { table.unpack(self.columns, 1, self.key_count) }
end

--- The names of the columns with the indexes, quoted.
---@param indexes integer[]
---@return string[]
function sql:names(indexes)
  local names = {}
  for i, index in ipairs(indexes) do names[i] = self.columns[index] end
  return names
end

--- The builder of the same table for some of its columns, or for expressions instead of columns;
--- those of the key are the first.
---@param columns string[]   quoted
---@return dualdb.Statements
function sql:only(columns)
  return setmetatable({
    driver = self.driver, table = self.table, columns = columns, key_count = self.key_count,
    marks = self.marks, folding = self.folding,
  }, { __index = sql })
end

--- What tells which transaction wrote a row of the secondary.
function sql:writer()
  return self.table .. ".xmin::text::bigint"
end

function sql:column_list()
  return pick(self.columns, 1, #self.columns)
end

function sql:key_list()
  return pick(self.columns, 1, self.key_count)
end

--- "k1 = ? and k2 = ?". Where the type folds, this finds similar keys too.
function sql:key_match()
  local parts = {}
  for i = 1, self.key_count do parts[i] = self.columns[i] .. " = " .. self:mark(self.columns[i]) end
  return table.concat(parts, " and ")
end

--- As key_match, for the row with this key by its bytes and no similar one. The first of each two
--- comparisons is for the index.
local function exact_key_match(self)
  if not self.folding then return self:key_match() end
  local parts = {}
  for i = 1, self.key_count do
    local name = self.columns[i]
    local type_name = self.folding[name]
    parts[i] = type_name and ('(%s, %s::text collate "C") = '
      .. "(select given, given::text from (select ?::%s) as it (given))")
      :format(name, name, type_name)
      or name .. " = " .. self:mark(name)
  end
  return table.concat(parts, " and ")
end

local LOCKS = {
  mysql = { share = " lock in share mode", update = " for update" },
  postgres = { share = " for share", update = " for update" },
}

---@param lock "share"|"update"|nil
function sql:lock(lock)
  return lock and LOCKS[self.driver][lock] or ""
end

--- All rows, in key order when wanted; `where` is the person's own SQL.
function sql:scan(where, ordered)
  local text = ("select %s from %s"):format(self:column_list(), self.table)
  if where then text = ("%s where (%s)"):format(text, where) end
  if ordered then text = ("%s order by %s"):format(text, self:key_list()) end
  return text
end

function sql:select_by_key(lock)
  return ("select %s from %s where %s%s"):format(self:column_list(), self.table, self:key_match(),
                                                self:lock(lock))
end

--- "k1 in (?, ?)" or "(k1, k2) in ((?, ?), ...)" for `count` keys.
function sql:any_key_match(count)
  if self.key_count == 1 then
    return ("%s in (%s)"):format(self.columns[1],
      string.rep(self:mark(self.columns[1]), count, ", "))
  end
  return ("(%s) in (%s)"):format(self:key_list(),
    string.rep("(" .. marks_of(self, key_columns(self)) .. ")", count, ", "))
end

--- Rows with any of `count` keys.
function sql:select_by_keys(count, lock)
  return ("select %s from %s where %s%s"):format(self:column_list(), self.table,
                                                self:any_key_match(count), self:lock(lock))
end

--- One row of an insert: a placeholder for each of the columns that it gives, and for the others
--- what stands there.
---@param names string[]                 quoted
---@param given table<string, boolean>   by quoted name
---@param absent table<string, string>   where it is not `default`
function sql:tuple(names, given, absent)
  local parts = {}
  for i, name in ipairs(names) do
    parts[i] = given[name] and self:mark(name) or absent[name] or "default"
  end
  return "(" .. table.concat(parts, ", ") .. ")"
end

--- `names` are the columns that are given, quoted; nil means all. `rows` is how many there are
--- (default 1), or an array of tuples.
---@param names string[]|nil
---@param rows integer|string[]|nil
function sql:insert(names, rows)
  names = names or self.columns
  if #names == 0 then
    return self.driver == "mysql" and ("insert into %s () values ()"):format(self.table)
      or ("insert into %s default values"):format(self.table)
  end
  -- Identity columns take the value that the other side has given.
  local override = self.driver == "postgres" and " overriding system value" or ""
  local tuples = type(rows) == "table" and table.concat(rows, ", ")
    or string.rep("(" .. marks_of(self, names) .. ")", rows or 1, ", ")
  return ("insert into %s (%s)%s values %s"):format(self.table, table.concat(names, ", "), override,
                                                   tuples)
end

--- Inserts a row unless its key is there; parameters: its values, those of the columns `more`, and
--- the key.
---@param names string[]
---@param more string[]|nil
function sql:insert_unless_there(names, more)
  local all, values = { table.unpack(names) }, { marks_of(self, names) }
  for _, name in ipairs(more or {}) do all[#all + 1], values[#values + 1] = name, "?" end
  return ("insert into %s (%s)%s select %s%s where not exists (select 1 from %s where %s)"):format(
    self.table, table.concat(all, ", "),
    self.driver == "postgres" and " overriding system value" or "", table.concat(values, ", "),
    self.driver == "mysql" and " from dual" or "", self.table, exact_key_match(self))
end

local function assignments(names, format)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = format:gsub("%%s", (name:gsub("%%", "%%%%"))) end
  return table.concat(parts, ", ")
end

--- Sets the columns given; parameters: their values, then the key.
function sql:update(names)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = name .. " = " .. self:mark(name) end
  return ("update %s set %s where %s"):format(self.table, table.concat(parts, ", "),
                                             exact_key_match(self))
end

function sql:delete()
  return ("delete from %s where %s"):format(self.table, exact_key_match(self))
end

function sql:delete_keys(count)
  local match = self.folding and string.rep("(" .. exact_key_match(self) .. ")", count, " or ")
    or self:any_key_match(count)
  return ("delete from %s where %s"):format(self.table, match)
end

local function without_key(self, names)
  local keys, others = {}, {}
  for i = 1, self.key_count do keys[self.columns[i]] = true end
  for _, name in ipairs(names) do
    if not keys[name] then others[#others + 1] = name end
  end
  return others
end

--- " where ...": an upsert's row replaces none but that with its key by the bytes.
local function replaceable(self)
  local parts = {}
  for i = 1, self.key_count do
    local name = self.columns[i]
    if self.folding[name] then
      parts[#parts + 1] = ('%s.%s::text collate "C" = excluded.%s::text collate "C"'):format(
        self.table, name, name)
    end
  end
  return " where " .. table.concat(parts, " and ")
end

--- What an insert on the secondary does where a row with its key is there.
local function on_conflict(self, names, set)
  local others = set or without_key(self, names)
  if #others == 0 and self.folding then others = key_columns(self) end
  local action = #others == 0 and "nothing"
    or "update set " .. assignments(others, "%s = excluded.%s")
  return (" on conflict (%s) do %s%s"):format(self:key_list(), action,
    self.folding and replaceable(self) or "")
end

--- Insert, or set the columns that are not the key; of these only those in `set`, when it is given.
--- `names` and `count` as in insert. MySQL may change a row with another key: there only for rows
--- whose keys are known to be there. Where the key folds, a row that meets a similar one is left
--- out: fewer rows are affected.
function sql:upsert(names, count, set)
  names = names or self.columns
  if self.driver == "postgres" then
    return self:insert(names, count) .. on_conflict(self, names, set)
  end
  local others = set or without_key(self, names)
  if #others == 0 then
    local key = self.columns[1]
    return ("%s on duplicate key update %s = %s"):format(self:insert(names, count), key, key)
  end
  return ("%s on duplicate key update %s"):format(self:insert(names, count),
    assignments(others, "%s = values(%s)"))
end

--- The same on the secondary for the rows of a query, whose columns are those named.
---@param names string[]
---@param query string
function sql:upsert_from(names, query)
  return ("insert into %s (%s) overriding system value %s%s"):format(self.table,
    table.concat(names, ", "), query, on_conflict(self, names))
end

return sql
