--- Sync: makes the secondary's table of a model what the primary's is.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local policies = require "dualdb.policies"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local sequences = require "dualdb.schema.sequences"

local sync = {}

--- Rows that are merged in one transaction, and parameters that one statement may have.
local MERGE_ROWS = 500
--- The same of rows that may have megabytes: all of a batch are in memory.
local MERGE_WIDE_ROWS = 4
local MOST_PARAMETERS = 60000

---@class dualdb.SyncResult
---@field model string
---@field mode "full"
---@field rows_read integer
---@field rows_written integer
---@field rows_deleted integer
---@field quarantined integer   rows that the secondary cannot hold
---@field policies table<string, integer>   values that each policy changed
---@field chunks integer
---@field seconds number
---@field error dualdb.Error|nil

--- The primary's query for the columns that are copied.
local function copy_query(spec, indexes)
  local names = {}
  for i, index in ipairs(indexes) do names[i] = spec.statements.primary.columns[index] end
  local builder = spec.statements.primary
  local text = ("select %s from %s"):format(table.concat(names, ", "), builder.table)
  if spec.filter.primary then text = ("%s where (%s)"):format(text, spec.filter.primary) end
  if spec.ordered then text = ("%s order by %s"):format(text, builder:key_list()) end
  return text
end

--- The transform, cut to the columns that are copied.
local function copy_transform(spec, indexes)
  local transform = fetch.transform(spec)
  if not transform then return nil end
  return function(packed)
    local changed = transform(packed)
    return changed and row.pick(changed, indexes)
  end
end

--- Loads all rows into the empty table, in one transaction. Returns false when another writer put
--- rows there meanwhile, and nothing of the load is left.
local function load(db, spec, result, bin, progress)
  local indexes, names, kinds = row.writable(spec, "secondary")
  local transform = copy_transform(spec, indexes)
  if transform and #indexes ~= #spec.columns then
    indexes, names, kinds = {}, spec.statements.secondary.columns, spec.kinds
    for i = 1, #spec.columns do indexes[i] = i end
  end
  local crossing = policies.crossing(spec, indexes)
  local ok, err = pcall(db.primary.with, db.primary, function(primary)
    db.secondary:transaction(function(secondary)
      local copied = core.copy {
        source = primary, target = secondary, query = copy_query(spec, indexes), kinds = kinds,
        table = spec.statements.secondary.table, columns = table.concat(names, ", "),
        transform = transform, crossing = crossing,
        refused = function(packed, index, reason)
          bin:add(packed, index and spec.names[indexes[index]], reason, indexes)
        end,
        progress = progress and function(so_far)
          progress { model = spec.name, rows = so_far.rows_read, of = spec.estimated_rows,
                     bytes = so_far.bytes }
        end,
      }
      result.rows_read, result.rows_written = copied.rows_read, copied.rows_written
      result.quarantined, result.chunks = copied.rows_refused, 1
      result.policies = crossing:counts()
    end)
  end)
  if ok then return true end
  if errors.is(err) and err.class == "integrity" and err.sqlstate == "23505" then
    result.rows_read, result.rows_written, result.chunks = 0, 0, 0
    result.quarantined, result.policies = 0, {}
    return false
  end
  error(err, 0)
end

--- Writes rows, as the secondary shall hold them, over those with the same keys.
---@param rows string[]
function sync.write_rows(secondary, spec, rows)
  local indexes, names, kinds = row.writable(spec, "secondary")
  local at_once = math.max(1, MOST_PARAMETERS // #indexes)
  for from = 1, #rows, at_once do
    local to = math.min(from + at_once - 1, #rows)
    local picked = {}
    for i = from, to do picked[#picked + 1] = row.pick(rows[i], indexes) end
    secondary:put(spec.statements.secondary:upsert(names, #picked), kinds:rep(#picked),
      table.concat(picked))
  end
end

--- Brings rows with the given keys over: they are locked on the primary until the secondary has
--- committed, so that an older state is never written over a newer one.
local function merge(db, spec, keys, result, bin, deletes)
  local refused = {}
  db.primary:transaction(function(primary)
    local current = fetch.many(primary, spec, "primary", keys, "share")
    local cross = fetch.crosser(spec)
    local rows, absent = {}, {}
    for _, key in ipairs(keys) do
      local packed = current[key]
      local crossed, column, reason
      if packed then crossed, column, reason = cross(packed) end
      if reason then
        refused[#refused + 1] = { packed, column, reason }
      elseif crossed then
        rows[#rows + 1] = crossed
      else
        absent[#absent + 1] = key
      end
    end
    absent = fetch.crossable_keys(spec, absent)
    db.secondary:transaction(function(secondary)
      if #absent > 0 and deletes then
        local done = secondary:put(spec.statements.secondary:delete_keys(#absent),
          spec.key_kinds:rep(#absent), table.concat(absent))
        result.rows_deleted = result.rows_deleted + done.affected
      end
      sync.write_rows(secondary, spec, rows)
    end)
    result.rows_written = result.rows_written + #rows
  end)
  for _, row_refused in ipairs(refused) do bin:add(table.unpack(row_refused)) end
  result.quarantined = result.quarantined + #refused
  result.chunks = result.chunks + 1
end

--- Compares, and merges what differs. Rows that are equal are not written.
local function refresh(db, spec, result, bin, progress)
  local crossing = policies.crossing(spec)
  local policy = spec.model.sync or {}
  local deletes = policy.deletes ~= false
  local keys, most = {}, spec.wide and MERGE_WIDE_ROWS or MERGE_ROWS
  local function flush()
    if #keys == 0 then return end
    local batch = keys
    keys = {}
    merge(db, spec, batch, result, bin, deletes)
  end
  db.primary:with(function(primary)
    db.secondary:with(function(secondary)
      local compared = core.compare {
        primary = primary, secondary = secondary,
        primary_query = spec.statements.primary:scan(spec.filter.primary, spec.ordered),
        secondary_query = spec.statements.secondary:scan(spec.filter.secondary, spec.ordered),
        kinds = spec.kinds, key_columns = spec.key_count, ordered = spec.ordered,
        expected_rows = spec.estimated_rows, transform = fetch.transform(spec), crossing = crossing,
        difference = function(kind, key)
          if kind == "extra" and not deletes then return end
          keys[#keys + 1] = key
          if #keys >= most then flush() end
        end,
        progress = progress and function(so_far)
          progress { model = spec.name, rows = so_far.rows_primary, of = spec.estimated_rows,
                     differences = so_far.differences }
        end,
      }
      result.rows_read = compared.rows_primary
      result.policies = crossing:counts()
    end)
  end)
  flush()
end

--- After a sync the secondary's next value is above every key, and its planner knows the table.
local function finish(db, spec)
  db.secondary:with(function(conn)
    for i, column in ipairs(spec.columns) do
      if sequences.counts(column) then
        sequences.move(conn, spec.statements.secondary.table, spec.statements.secondary.columns[i],
          column.other.sequence)
      end
    end
    conn:execute("analyze " .. spec.statements.secondary.table)
  end)
end

--- Makes the secondary's table of a model equal to the primary's.
---@param db dualdb.Database
---@param model_name string
---@param options { mode: "full", progress: function|nil }|nil
---@return dualdb.SyncResult
function sync.run(db, model_name, options)
  options = options or {}
  if options.mode and options.mode ~= "full" then
    errors.usage("sync: unknown mode %s", tostring(options.mode))
  end
  local started = core.clock()
  local result = {
    model = model_name, mode = "full", rows_read = 0, rows_written = 0, rows_deleted = 0,
    quarantined = 0, policies = {}, chunks = 0, seconds = 0,
  }
  local spec = db:spec(model_name)
  local first = db.secondary:query(("select 1 as one from %s limit 1"):format(
    spec.statements.secondary.table))
  local bin = quarantine.bin(db, spec)
  if #first > 0 or not load(db, spec, result, bin, options.progress) then
    refresh(db, spec, result, bin, options.progress)
  end
  bin:finish()
  finish(db, spec)
  result.seconds = core.clock() - started
  return result
end

return sync
