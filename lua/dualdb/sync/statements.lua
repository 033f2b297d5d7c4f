--- What is done to a table of the secondary around its rows: its indexes are set aside before a
--- load and made again after it, by the lanes, beside the rows of other tables; then it is
--- analyzed.

local errors = require "dualdb.errors"
local log = require "dualdb.log"
local progress = require "dualdb.progress"
local sequences = require "dualdb.schema.sequences"
local set_aside = require "dualdb.sync.set_aside"

local statements = {}

--- Bytes that an index is sorted in, of all that are made at a time.
local MEMORY = 512 * 1024 * 1024

--- Sets the indexes of an empty table aside when it gets many rows.
---@param task dualdb.SyncTask
function statements.set_aside(task)
  if not task.forwards or task.mode ~= "load" or not task:is_large() or task.result.resumed then
    return
  end
  set_aside.take(task.db, task.spec)
end

--- Whether the planner's knowledge of the table is out of date; the server looks to small changes.
local function is_changed(task)
  local result = task:sum()
  return task.mode == "load"
    or 20 * (result.rows_written + result.rows_deleted) > task.spec.estimated_rows
end

--- What is to be done once a model's rows are over.
---@param task dualdb.SyncTask
function statements.plan(task)
  task.statements = {}
  if not task.forwards then return task:finish() end
  local ok, pending = pcall(task.pending, task)
  if not ok then
    task.error = task.error or errors.wrap(pending)
    task:finish()
    return
  end
  for _, entry in ipairs(pending) do
    if entry.kind ~= "foreign_key" then table.insert(task.statements, { entry = entry }) end
  end
  if task.result.resumed and #pending > 0 then
    log.emit("info", ("%s: %s an earlier sync has set aside %s made again"):format(task.name,
      progress.plural(#pending, "index or key"), #pending == 1 and "is" or "are"),
      { model = task.name, pending = #pending })
  end
  if not task.error and is_changed(task) then
    table.insert(task.statements, { analyze = true })
  end
  task.left = #task.statements
  if task.left == 0 then task:finish() end
end

--- The statement is through, or there was none to run.
local function ended(lane)
  local task, statement = lane.work.task, lane.work.statement
  if statement.entry then set_aside.finish(lane.conns.secondary, statement.entry) end
  lane.work = nil
  task.left = task.left - 1
  if task.left == 0 then task:finish() end
end

--- Begins the next statement of any model on the lane. Returns whether there was one. A table is
--- analyzed when its indexes are there.
---@param all dualdb.Lanes
---@param lane dualdb.Lane
function statements.begin(all, lane)
  for _, task in ipairs(all.tasks) do
    local statement = task.phase == "indexes" and task.statements[1]
    if statement and (statement.entry or task.left == 1) then
      table.remove(task.statements, 1)
      lane.work = { task = task, statement = statement }
      local ok, err = pcall(function()
        local text
        if statement.entry then
          text = set_aside.begin(lane:conn "secondary", statement.entry,
            { memory = MEMORY // #all.lanes })
        else
          text = "analyze " .. task.spec.statements.secondary.table
        end
        if text then lane.work.job = lane:start_statement(text) else ended(lane) end
      end)
      if not ok then
        lane:abandon()
        statements.failed(task, err)
      end
      return true
    end
  end
  return false
end

--- One that failed keeps its note, and the next sync tries again.
function statements.failed(task, err)
  err = errors.wrap(err)
  if err.class == "canceled" then error(err, 0) end
  task.error = task.error or err
  task.left = task.left - 1
  if task.left <= 0 then task:finish() end
end

---@param lane dualdb.Lane
function statements.finish(lane)
  local task, job = lane.work.task, lane.work.job
  local ok, err = pcall(function()
    job:finish()
    lane:end_statement()
    ended(lane)
    job:close()
  end)
  if ok then return end
  lane:abandon()
  statements.failed(task, err)
end

--- After a sync the secondary's next value is above every key.
---@param task dualdb.SyncTask
function statements.move_sequences(task)
  local spec = task.spec
  task.db.secondary:with(function(conn)
    for i, column in ipairs(spec.columns) do
      if sequences.counts(column) then
        sequences.move(conn, spec.statements.secondary.table, spec.statements.secondary.columns[i],
          column.other.sequence)
      end
    end
  end)
end

return statements
