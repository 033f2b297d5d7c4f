--- A chunk of a refresh: a range of keys of both sides is compared, the primary's rows share-locked
--- until the secondary has committed what differs. Rows that are equal are not written.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"
local key_range = require "dualdb.sync.key_range"
local merge = require "dualdb.sync.merge"
local policies = require "dualdb.policies"

local refresh = {}

--- Keys among which one is looked for that the secondary can hold, too.
local LOOKED_AT = 1000

--- The key of the last row of the chunk, found without a lock: rows may come and go before it is
--- compared. nil when it is the range's last chunk. The secondary must be able to read the key.
local function chunk_end(conn, task, range, limit)
  local spec, builder = task.spec, task.spec.statements.primary
  local condition, kinds, values = key_range.condition(builder, spec.key_kinds, range.reached,
    range.through)
  for _, count in ipairs { 1, LOOKED_AT } do
    local found = conn:fetch(("select %s from %s%s order by %s limit %d offset %d"):format(
      builder:key_list(), builder.table, condition and " where " .. condition or "",
      builder:key_list(), count, limit - 1), kinds, values, spec.key_kinds)
    local crossable = fetch.crossable_keys(spec, found)[1]
    if crossable or not found[1] then return crossable end
  end
  return nil
end

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
  work.through = chunk_end(lane:conn "primary", task, range, work.limit)
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
  range.reached, range.done = after.reached, after.done
  return counts
end

return refresh
