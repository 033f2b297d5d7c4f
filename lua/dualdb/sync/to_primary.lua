--- Chunks of a sync the other way, for a primary that was lost or damaged: the secondary's rows are
--- the truth. The range is locked on the primary first, as every dual write does it; then older
--- transactions of the secondary are waited for, so that what it does not show is not there; then
--- its rows are read, and the primary commits them with its checkpoint.

local chunk_end = require "dualdb.sync.chunk_end"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local key_range = require "dualdb.sync.key_range"
local merge = require "dualdb.sync.merge"
local policies = require "dualdb.policies"
local replay_keys = require "dualdb.replay_keys"
local row = require "dualdb.row"

local to_primary = { load = {}, refresh = {} }

--- Seconds that older transactions of the secondary are waited for.
local HORIZON = 5

--- So often a lock is not waited for. The next row behind a range is locked with it, which another
--- lane may just have inserted: that one commits only when this one does not stand still.
local IMPATIENT = 6

--- Locks the rows of a range and the gaps between them. Returns how many rows there are.
local function lock(conn, task, range, condition, kinds, values)
  local builder = task.spec.statements.primary
  local hint = task.spec.primary_table.primary_key and " force index (primary)" or ""
  local found = conn:fetch(("select count(*) from %s%s%s for update%s"):format(builder.table, hint,
    condition and " where " .. condition or "", (range.tries or 0) < IMPATIENT and " nowait" or ""),
    kinds, values, "i")
  return core.unpack("i", found[1])[1]
end

--- Begins both transactions of a chunk: the range is locked, and the secondary shows all of it.
local function enter(lane, task, work)
  local spec, range = task.spec, work.range
  local reader = lane:conn "reader"
  work.through = chunk_end.find(reader, spec, "secondary", range, work.limit, true)
  local through = work.through or range.through
  local primary = lane:begin_primary()
  -- The secondary's rows keep its own; those of the primary are looked at when all are there.
  primary:execute "set session foreign_key_checks = 0"
  work.condition, work.kinds, work.values = key_range.condition(spec.statements.primary,
    spec.key_kinds, range.reached, through)
  work.there = lock(primary, task, range, work.condition, work.kinds, work.values)
  if not replay_keys.wait_for_older(reader, HORIZON) then
    errors.raise("transient", replay_keys.OLDER)
  end
  lane:begin_secondary "reader"
  local condition, set, texts = key_range.settings(spec, range.reached, through)
  if set then reader:execute(set, table.unpack(texts)) end
  return primary, reader, key_range.both(spec.filter.secondary, condition)
end

local function begin_work(lane, task, range, kind)
  local work = {
    kind = kind, task = task, range = range, limit = task.pace:rows(), started = core.clock(),
    crossing = policies.crossing(task.spec, {}),
  }
  lane.work = work
  return work
end

--- A value that the primary's types cannot hold: there is no quarantine on this side. A load has
--- the columns that are written, a refresh has all; the key's are the first of both.
local function refuse_refused(lane, task)
  local spec = task.spec
  lane:take_refusals()
  local function name_of(column)
    return spec.names[task.mode == "load" and task.written.indexes[column] or column]
  end
  lane:each_refusal(function(packed, column, reason)
    local name = column and name_of(column)
    -- What the statement to the primary refuses is told by the place among its columns.
    reason = reason:gsub("^column (%d+)", function(place)
      return "column " .. name_of(math.tointeger(tonumber(place)))
    end)
    local key = row.key_text(spec, packed)
    local where = name and ("column %s: "):format(name) or ""
    error(errors.make("data", ("model %s: the secondary's row with key %s cannot go to the "
      .. "primary: %s%s"):format(task.name, key, where, reason), {
        model = task.name, side = "primary", key = key,
      }), 0)
  end)
end

local function leave(lane, task, range, work, counts)
  local primary = lane.conns.primary
  refuse_refused(lane, task)
  task:check_journal(primary)
  local after = {
    id = range.id, reached = work.through or range.reached, through = range.through,
    done = work.through == nil,
  }
  counts.full, counts.refused = work.through ~= nil, 0
  task:note(primary, after, counts)
  core.crash_point "sync.written"
  lane:commit "primary"
  core.crash_point "sync.committed"
  lane:commit "reader"
  core.crash_point "sync.released"
  range.reached, range.done = after.reached, after.done
  return counts
end

---@param lane dualdb.Lane
---@param task dualdb.SyncTask
---@param range dualdb.KeyRange
function to_primary.load.begin(lane, task, range)
  local work = begin_work(lane, task, range, to_primary.load)
  local primary, reader, condition = enter(lane, task, work)
  local builder = task.spec.statements.secondary
  work.job = core.start_copy {
    source = reader, target = primary,
    query = ("select %s from %s%s order by %s"):format(
      table.concat(builder:names(task.written.indexes), ", "), builder.table,
      condition and " where " .. condition or "", builder:key_list()),
    kinds = task.written.kinds, table = task.builder.table,
    columns = table.concat(task.written.names, ", "), key_columns = task.spec.key_count,
    replaces = work.there > 0,  -- a writer was first
  }
end

---@param lane dualdb.Lane
---@return dualdb.ChunkCounts
function to_primary.load.finish(lane)
  local work = lane.work
  local copied = work.job:finish()
  core.crash_point "sync.staged"
  return leave(lane, work.task, work.range, work, {
    read = copied.rows_read, written = copied.rows_written, deleted = 0, bytes = copied.bytes,
    rows = copied.rows_read,
  })
end

---@param lane dualdb.Lane
---@param task dualdb.SyncTask
---@param range dualdb.KeyRange
function to_primary.refresh.begin(lane, task, range)
  local spec = task.spec
  local work = begin_work(lane, task, range, to_primary.refresh)
  local primary, reader, condition = enter(lane, task, work)
  merge.clear(primary, task)
  local names = { table.unpack(task.written.names) }
  names[#names + 1] = merge.mark(task)
  work.job = core.start_stage {
    source = reader, source_query = spec.statements.secondary:scan(condition, true),
    other = lane:conn "primary_reader",
    other_query = spec.statements.primary:scan(
      key_range.both(spec.filter.primary, work.condition), true),
    other_param_kinds = work.kinds, other_params = work.values,
    kinds = spec.kinds, key_columns = spec.key_count, deletes = task.deletes, whole_extras = true,
    target = primary, make = merge.make(task), table = merge.table(task),
    columns = table.concat(names, ", "), stage_kinds = task.written.kinds .. "b",
    picked = task.written.indexes,
  }
end

---@param lane dualdb.Lane
---@return dualdb.ChunkCounts
function to_primary.refresh.finish(lane)
  local work = lane.work
  local task = work.task
  local staged = work.job:finish()
  core.crash_point "sync.staged"
  local primary = lane.conns.primary
  local counts = {
    read = staged.rows_source, written = 0, deleted = 0, bytes = staged.bytes,
    rows = math.max(staged.rows_source, staged.rows_other),
  }
  if task.deletes and staged.extra > 0 then counts.deleted = merge.delete(primary, task) end
  local changes = staged.missing + staged.changed - staged.refused
  if changes > 0 then counts.written = merge.write(primary, task, changes) end
  return leave(lane, task, work.range, work, counts)
end

-- ---- when all rows are there ----

--- Rows of the primary that refer to no row: its keys were not looked at meanwhile.
---@param task dualdb.SyncTask
function to_primary.check_foreign_keys(task)
  local quote = function(name) return core.quote("mysql", name) end
  for _, key in ipairs(task.spec.primary_table.foreign_keys) do
    local same, given = {}, {}
    for i, name in ipairs(key.columns) do
      same[i] = ("p.%s = c.%s"):format(quote(key.referenced_columns[i]), quote(name))
      given[i] = ("c.%s is not null"):format(quote(name))
    end
    local count = not key.elsewhere and task.db.primary:query(("select count(*) as n from %s c "
      .. "where %s and not exists (select 1 from %s p where %s)"):format(task.builder.table,
      table.concat(given, " and "), quote(key.referenced_table), table.concat(same, " and ")))[1].n
    if count and count > 0 then
      error(errors.make("integrity", ("model %s: %d rows have no parent by foreign key %s"):format(
        task.name, count, key.name), {
          model = task.name, side = "primary",
          hint = "Their table has to come over too: `dualdb sync --full --to-primary --all`.",
        }), 0)
    end
  end
end

return to_primary
