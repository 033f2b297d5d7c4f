--- Rows that are staged in a table of the transaction's own, on their way into the table that they
--- are for: one statement takes away what is not to be there, and one writes the rest.

local core = require "dualdb.core"
local errors = require "dualdb.errors"

local merge = {}

--- The table, quoted; it ends with its transaction.
merge.TABLE = core.quote("postgres", "dualdb_stage")

--- The column that marks a row that is not to be there.
local MARK = "dualdb_extra"

--- Its name, quoted, where a column of the table has the same.
---@param task dualdb.SyncTask
function merge.mark(task)
  local name, taken = MARK, {}
  for _, column in ipairs(task.spec.columns) do taken[column.secondary] = true end
  while taken[name] do name = name .. "_" end
  return core.quote("postgres", name)
end

--- The statement that makes the table, with the columns that are written and the mark.
---@param task dualdb.SyncTask
---@return string
function merge.make(task)
  return ("create temporary table %s on commit drop as select %s, false as %s from %s limit 0")
    :format(merge.TABLE, table.concat(task.written.names, ", "), merge.mark(task),
      task.spec.statements.secondary.table)
end

--- Deletes the rows that are marked. Returns how many there were.
---@param task dualdb.SyncTask
function merge.delete(conn, task)
  local builder, parts = task.spec.statements.secondary, {}
  for i = 1, task.spec.key_count do
    parts[i] = ("t.%s = s.%s"):format(builder.columns[i], builder.columns[i])
  end
  return conn:execute(("delete from %s t using %s s where s.%s and %s"):format(builder.table,
    merge.TABLE, merge.mark(task), table.concat(parts, " and "))).affected
end

--- Writes the rows that are not marked, over those with the same keys. Of rows whose keys only the
--- secondary takes for the same, none goes over the other: then this fails with class `integrity`.
---@param task dualdb.SyncTask
---@param count integer   of the rows
function merge.upsert(conn, task, count)
  local builder, names = task.spec.statements.secondary, task.written.names
  local result = conn:execute(builder:upsert_from(names, ("select %s from %s where %s is not true")
    :format(table.concat(names, ", "), merge.TABLE, merge.mark(task))))
  if builder.folding and result.affected < count then
    error(errors.make("integrity",
      "the secondary has another row, whose key it takes for the same as this one's",
      { side = "secondary", sqlstate = "23505" }), 0)
  end
  return result.affected
end

return merge
