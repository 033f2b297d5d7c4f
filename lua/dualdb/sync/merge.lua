--- Rows that are staged in a table of their own, on their way into the table that they are for: one
--- statement takes away what is not to be there, and others write the rest.

local core = require "dualdb.core"
local errors = require "dualdb.errors"

local merge = {}

local NAME = "dualdb_stage"
--- The column that marks a row that is not to be there.
local MARK = "dualdb_extra"

--- The table, quoted for the side that is written.
---@param task dualdb.SyncTask
function merge.table(task)
  return core.quote(task.target.driver, NAME)
end

--- Its mark, quoted, where a column of the table has the same name.
---@param task dualdb.SyncTask
function merge.mark(task)
  local name, taken = MARK, {}
  for _, column in ipairs(task.spec.columns) do
    taken[column.secondary], taken[column.name] = true, true
  end
  while taken[name] do name = name .. "_" end
  return core.quote(task.target.driver, name)
end

local MAKE = {
  postgres = "create temporary table %s on commit drop as select %s, false as %s from %s limit 0",
  mysql = "create temporary table %s engine = InnoDB as select %s, false as %s from %s limit 0",
}

--- The statement that makes the table, with the columns that are written and the mark.
---@param task dualdb.SyncTask
---@return string
function merge.make(task)
  return MAKE[task.target.driver]:format(merge.table(task), table.concat(task.written.names, ", "),
    merge.mark(task), task.builder.table)
end

--- Takes the table away that an earlier transaction of the connection may have left: on the primary
--- it does not end with one.
---@param task dualdb.SyncTask
function merge.clear(conn, task)
  if task.target.driver == "mysql" then
    conn:execute("drop temporary table if exists " .. merge.table(task))
  end
end

local function same_key(task)
  local parts = {}
  for i = 1, task.spec.key_count do
    local name = task.builder.columns[i]
    parts[i] = ("t.%s = s.%s"):format(name, name)
  end
  return table.concat(parts, " and ")
end

local DELETE = {
  postgres = "delete from %s t using %s s where s.%s and %s",
  mysql = "delete t from %s t join %s s where s.%s and %s",
}

--- Deletes the rows that are marked. Returns how many there were.
---@param task dualdb.SyncTask
function merge.delete(conn, task)
  return conn:execute(DELETE[task.target.driver]:format(task.builder.table, merge.table(task),
    merge.mark(task), same_key(task))).affected
end

--- On the secondary: the rows that are not marked, over those with the same keys. Of rows whose
--- keys only the secondary takes for the same, none goes over the other: then this fails with class
--- `integrity`.
local function upsert(conn, task, count)
  local builder, names = task.builder, task.written.names
  local result = conn:execute(builder:upsert_from(names, ("select %s from %s where %s is not true")
    :format(table.concat(names, ", "), merge.table(task), merge.mark(task))))
  if builder.folding and result.affected < count then
    error(errors.make("integrity",
      "the secondary has another row, whose key it takes for the same as this one's",
      { side = "secondary", sqlstate = "23505" }), 0)
  end
  return result.affected
end

--- On the primary, where an upsert may go over a row with another key: those that are there first,
--- then those that are not.
local function update_and_insert(conn, task)
  local names, sets, key = task.written.names, {}, {}
  for i = 1, task.spec.key_count do key[task.builder.columns[i]] = true end
  for _, name in ipairs(names) do
    if not key[name] then sets[#sets + 1] = ("t.%s = s.%s"):format(name, name) end
  end
  local updated = 0
  if #sets > 0 then
    updated = conn:execute(("update %s t join %s s on %s set %s where not s.%s"):format(
      task.builder.table, merge.table(task), same_key(task), table.concat(sets, ", "),
      merge.mark(task))).affected
  end
  local list = table.concat(names, ", ")
  return updated + conn:execute(("insert into %s (%s) select %s from %s s where not s.%s "
    .. "and not exists (select 1 from %s t where %s)"):format(task.builder.table, list,
    "s." .. table.concat(names, ", s."), merge.table(task), merge.mark(task), task.builder.table,
    same_key(task))).affected
end

--- Writes the rows that are not marked, over those with the same keys.
---@param task dualdb.SyncTask
---@param count integer   of the rows
---@return integer
function merge.write(conn, task, count)
  if task.target.driver == "mysql" then return update_and_insert(conn, task) end
  return upsert(conn, task, count)
end

return merge
