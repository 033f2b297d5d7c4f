--- A chunk of a refresh: a range of keys of both sides is compared, the primary's rows share-locked
--- until the secondary has committed what differs. Rows that are equal are not written.

local chunk_end = require "dualdb.sync.chunk_end"
local core = require "dualdb.core"
local key_range = require "dualdb.sync.key_range"
local merge = require "dualdb.sync.merge"
local policies = require "dualdb.policies"

local refresh = {}

local function query(spec, side, condition, lock)
  local builder = spec.statements[side]
  return builder:scan(key_range.both(spec.filter[side], condition), true) .. builder:lock(lock)
end

---@param lane dualdb.Lane
---@param task dualdb.SyncTask
---@param range dualdb.KeyRange
function refresh.begin(lane, task, range)
  local spec = task.spec
  local work = {
    kind = refresh, task = task, range = range, limit = task.pace:rows(), started = core.clock(),
    crossing = policies.crossing(spec),
  }
  lane.work = work
  work.through = chunk_end.find(lane:conn "primary", spec, "primary", range, work.limit,
    task.options.chunk_rows)
  local through = work.through or range.through
  local primary_condition, kinds, values = key_range.condition(spec.statements.primary,
    spec.key_kinds, range.reached, through)
  local condition, set, texts = key_range.settings(spec, range.reached, through)
  local primary, reader = lane:begin_primary(), lane:begin_secondary "reader"
  if set then reader:execute(set, table.unpack(texts)) end
  local secondary = lane:begin_secondary "secondary"
  secondary:execute "set constraints all deferred"
  local names = { table.unpack(task.written.names) }
  names[#names + 1] = merge.mark(task)
  work.job = core.start_stage {
    source = primary, other = reader, target = secondary,
    source_query = query(spec, "primary", primary_condition, not task.snapshot and "share" or nil),
    source_param_kinds = kinds, source_params = values,
    other_query = query(spec, "secondary", condition),
    kinds = spec.kinds, key_columns = spec.key_count, crossing = work.crossing,
    worker = task:worker(lane), deletes = task.deletes, make = merge.make(task),
    table = merge.table(task), columns = table.concat(names, ", "),
    stage_kinds = task.written.kinds .. "b", picked = task.written.indexes,
  }
end

---@param lane dualdb.Lane
---@return dualdb.ChunkCounts
function refresh.finish(lane)
  local work = lane.work
  local task, range = work.task, work.range
  local staged = work.job:finish()
  core.crash_point "sync.staged"
  local secondary = lane.conns.secondary
  local counts = {
    read = staged.rows_source, written = 0, deleted = 0, bytes = staged.bytes,
    rows = math.max(staged.rows_source, staged.rows_other), full = work.through ~= nil,
  }
  local changes = staged.missing + staged.changed - staged.refused
  if task.deletes and staged.extra > 0 then counts.deleted = merge.delete(secondary, task) end
  if changes > 0 then counts.written = merge.write(secondary, task, changes) end
  if counts.deleted + counts.written > 0 then secondary:execute "set constraints all immediate" end
  local after = {
    id = range.id, reached = work.through or range.reached, through = range.through,
    done = work.through == nil,
  }
  counts.refused = task:leave(lane, secondary)
  task:check_journal(secondary)
  task:note(secondary, after, counts)
  lane:commit_chunk()
  chunk_end.note(task.spec, range, work.through, counts.rows)
  range.reached, range.done = after.reached, after.done
  return counts
end

return refresh
