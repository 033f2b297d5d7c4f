--- Rows that go by their keys: what differs is found first and then brought over in small
--- transactions, where the secondary's refusals are found row by row. For tables that cannot go by
--- ranges, and for chunks of which the secondary has refused a row.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local key_range = require "dualdb.sync.key_range"
local log = require "dualdb.log"
local policies = require "dualdb.policies"
local settle = require "dualdb.settle"
local Spool = require "dualdb.spool"

local by_keys = {}

--- Says what ended a chunk, without the server's text: that may have values of the row in it. Once
--- for each kind of refusal.
---@param task dualdb.SyncTask
function by_keys.tell(task, err)
  local state = err.sqlstate or err.class
  task.told = task.told or {}
  if task.told[state] then return end
  task.told[state] = true
  log.emit("warn", ("%s: the secondary refused a row (%s), so that the rows now go in batches")
    :format(task.name, err.sqlstate or err.class), { model = task.name, sqlstate = err.sqlstate })
end

local function add_counts(task, counts)
  for policy, count in pairs(counts) do
    if count > 0 then
      task.result.policies[policy] = (task.result.policies[policy] or 0) + count
    end
  end
end

--- Compares a range of both sides and brings over what differs. Without bounds the keys need no
--- order.
---@param task dualdb.SyncTask
---@param reached string|nil
---@param through string|nil
---@param progress function|nil
function by_keys.compare(task, reached, through, progress)
  local spec, db = task.spec, task.db
  local crossing = policies.crossing(spec)
  local primary_builder, secondary_builder = spec.statements.primary, spec.statements.secondary
  local condition, kinds, values = key_range.condition(primary_builder, spec.key_kinds, reached,
    through)
  local differing <close> = Spool.new()  -- keys
  db.primary:with(function(primary)
    db.secondary:transaction(function(secondary)
      local other, set, texts
      if reached or through then
        other, set, texts = key_range.settings(spec, reached, through)
        secondary:execute(set, table.unpack(texts))
      end
      local compared = core.compare {
        primary = primary, secondary = secondary,
        primary_query = primary_builder:scan(key_range.both(spec.filter.primary, condition),
          spec.ordered),
        primary_param_kinds = condition and kinds, primary_params = condition and values,
        secondary_query = secondary_builder:scan(key_range.both(spec.filter.secondary, other),
          spec.ordered),
        kinds = spec.kinds, key_columns = spec.key_count, ordered = spec.ordered,
        expected_rows = spec.estimated_rows, transform = fetch.transform(spec),
        crossing = crossing, digests = true, difference = function(kind, key)
          if kind == "extra" and not task.deletes then return end
          differing:add { kind = kind, key = key }
        end,
        progress = progress and function(so_far)
          progress { model = spec.name, rows = task.result.rows_read + so_far.rows_primary,
                     of = spec.estimated_rows, differences = so_far.differences }
        end,
      }
      task.result.rows_read = task.result.rows_read + compared.rows_primary
    end)
  end)
  add_counts(task, crossing:counts())
  task.result.chunks = task.result.chunks + settle.bring_all(task.job, differing)
end

--- Brings over the rows of a chunk of a load, of at most `most` rows behind where the range has got
--- to. Returns the last key, and whether it was the range's last chunk.
---@param task dualdb.SyncTask
---@param range dualdb.KeyRange
---@param most integer
---@return string|nil, boolean
function by_keys.load(task, range, most)
  local spec, builder = task.spec, task.spec.statements.primary
  local condition, kinds, values = key_range.condition(builder, spec.key_kinds, range.reached,
    range.through)
  local where = key_range.both(spec.filter.primary, condition)
  local found = task.db.primary:with(function(primary)
    return primary:fetch(("select %s from %s%s order by %s limit %d"):format(builder:key_list(),
      builder.table, where and " where " .. where or "", builder:key_list(), most),
      condition and kinds, condition and values, spec.key_kinds)
  end)
  local keys <close> = Spool.new()
  for _, key in ipairs(found) do keys:add { kind = "changed", key = key } end
  task.job.policies = {}
  settle.bring_all(task.job, keys)
  add_counts(task, task.job.policies)
  task.result.rows_read = task.result.rows_read + #found
  task.result.chunks = task.result.chunks + 1
  return found[#found], #found < most
end

--- Loads all rows into the empty table in one transaction, on this thread: for a transform that is
--- a function of the running program. Returns false, and the error, when the secondary refused one
--- of them; nothing of the load is left then.
---@param task dualdb.SyncTask
---@param progress function|nil
---@return boolean, dualdb.Error|nil
function by_keys.copy(task, progress)
  local spec, db, written = task.spec, task.db, task.written
  local crossing = policies.crossing(spec, written.indexes)
  local builder = spec.statements.primary
  local ok, err = pcall(db.primary.with, db.primary, function(primary)
    db.secondary:transaction(function(secondary)
      secondary:execute "set constraints all deferred"
      local copied = core.copy {
        source = primary, target = secondary,
        query = ("select %s from %s%s"):format(table.concat(builder:names(written.indexes), ", "),
          builder.table, spec.filter.primary and " where (" .. spec.filter.primary .. ")" or ""),
        kinds = written.kinds, table = spec.statements.secondary.table,
        columns = table.concat(written.names, ", "), transform = fetch.transform(spec),
        crossing = crossing, refused = function(packed, column, reason)
          task:refuse(packed, column, reason)
        end,
        progress = progress and function(so_far)
          progress { model = spec.name, rows = so_far.rows_read, of = spec.estimated_rows,
                     bytes = so_far.bytes }
        end,
      }
      task.result.rows_read, task.copied = copied.rows_read, copied.rows_written
      task.refused, task.result.chunks = copied.rows_refused, 1
      task.result.bytes = copied.bytes
    end)
  end)
  if ok then
    add_counts(task, crossing:counts())
    return true
  end
  if not task.is_of_row(err) then error(err, 0) end
  task.bin:forget()
  task.result.rows_read, task.copied, task.refused, task.result.chunks = 0, 0, 0, 0
  return false, err
end

--- The other way: what differs is repaired from the secondary, row by row.
---@param task dualdb.SyncTask
function by_keys.repair(task)
  local result = require("dualdb.repair").run(task.db, { task.name }, {
    strategy = "secondary_wins", allow_delete = task.deletes, max_rows = math.maxinteger,
  })[1]
  task.copied, task.result.chunks = result.applied, 1
  if result.failed + result.skipped > 0 then
    errors.raise("integrity", "model %s: %d rows did not go to the primary", task.name,
      result.failed + result.skipped)
  end
end

return by_keys
