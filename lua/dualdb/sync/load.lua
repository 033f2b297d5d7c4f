--- A chunk of a load: rows of the primary, share-locked until the secondary has committed them, by
--- COPY into the table itself. Where writers are beside it, rows may be there already: then the
--- rows go through a table of the transaction's own, and those that are there become what the
--- primary has.

local checkpoint = require "dualdb.sync.checkpoint"
local core = require "dualdb.core"
local key_range = require "dualdb.sync.key_range"
local merge = require "dualdb.sync.merge"
local policies = require "dualdb.policies"

local load = {}

--- A chunk stops behind the row with which it has so many bytes, or has taken so many times as long
--- as it should.
local MOST_BYTES = 64 * 1024 * 1024
local MOST_TIMES = 4

local function query(task, range, limit)
  local spec, builder = task.spec, task.spec.statements.primary
  local condition, kinds, values = key_range.condition(builder, spec.key_kinds, range.reached,
    range.through)
  local parts = {}
  if spec.filter.primary then parts[1] = "(" .. spec.filter.primary .. ")" end
  parts[#parts + 1] = condition
  return ("select %s from %s%s order by %s%s%s"):format(
    table.concat(builder:names(task.written.indexes), ", "), builder.table,
    #parts > 0 and " where " .. table.concat(parts, " and ") or "", builder:key_list(),
    limit and " limit " .. limit or "", task.snapshot and "" or builder:lock "share"), kinds, values
end

---@param lane dualdb.Lane
---@param task dualdb.SyncTask
---@param range dualdb.KeyRange
function load.begin(lane, task, range)
  -- Where one chunk would end the next could not begin: all rows are one chunk.
  local whole = task.whole
  local work = {
    kind = load, task = task, range = range, started = core.clock(),
    limit = not whole and task.pace:rows() or nil,
    crossing = policies.crossing(task.spec, task.written.indexes),
  }
  lane.work = work
  local text, kinds, values = query(task, range, work.limit)
  local primary, secondary = lane:begin_primary(), lane:begin_secondary "secondary"
  secondary:execute "set constraints all deferred"  -- a row may come before its parent
  local builder = task.spec.statements.secondary
  local target = builder.table
  if task.meets_writers then
    secondary:execute(merge.make(task))
    target, work.merges = merge.TABLE, true
  end
  work.job = core.start_copy {
    source = primary, target = secondary, query = text, param_kinds = kinds, params = values,
    kinds = task.written.kinds, table = target, columns = table.concat(task.written.names, ", "),
    crossing = work.crossing, worker = task:worker(lane), key_columns = task.spec.key_count,
    most_seconds = not whole and task.pace.seconds * MOST_TIMES or nil,
    most_bytes = not whole and MOST_BYTES or nil,
  }
end

--- The rows are on their way into the transactions; ends these. Returns what was done.
---@param lane dualdb.Lane
---@return dualdb.ChunkCounts
function load.finish(lane)
  local work = lane.work
  local task, range = work.task, work.range
  local copied = work.job:finish()
  task:quarantine(lane)
  local secondary = lane.conns.secondary
  if work.merges then merge.upsert(secondary, task, copied.rows_written) end
  local after = {
    id = range.id, reached = #copied.last_key > 0 and copied.last_key or range.reached,
    through = range.through,
    done = not work.limit or copied.rows_read < work.limit and not copied.stopped,
  }
  local counts = {
    read = copied.rows_read, written = copied.rows_written, deleted = 0, bytes = copied.bytes,
    full = not after.done, rows = copied.rows_read,
  }
  secondary:execute "set constraints all immediate"
  task:check_journal(secondary)
  task:note(secondary, after, counts, checkpoint)
  lane:commit "secondary"
  lane:commit "primary"
  range.reached, range.done = after.reached, after.done
  return counts
end

return load
