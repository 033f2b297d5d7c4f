--- Sync: makes the secondary's table of a model what the primary's is.

local bring = require "dualdb.bring"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local journal = require "dualdb.journal"
local log = require "dualdb.log"
local policies = require "dualdb.policies"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local sequences = require "dualdb.schema.sequences"
local settle = require "dualdb.settle"
local Spool = require "dualdb.spool"

local sync = {}

---@class dualdb.SyncResult
---@field model string
---@field mode "full"
---@field rows_read integer
---@field rows_written integer
---@field rows_deleted integer
---@field quarantined integer   rows that the secondary cannot hold, or refuses
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

--- Whether the rows that are read are those that are written: a transform takes all columns, of
--- which the secondary may compute some by itself.
local function is_loadable(spec)
  return not fetch.transform(spec) or #row.writable(spec, "secondary") == #spec.columns
end

--- Says what ended a load, without the server's text: that may have values of the row in it.
local function tell_of_refusal(spec, err)
  log.emit("warn", ("%s: the secondary refused a row (%s), so that the rows now go in batches")
    :format(spec.name, err.sqlstate or err.class), { model = spec.name, sqlstate = err.sqlstate })
end

--- Loads all rows into the empty table, in one transaction. Returns false when the secondary
--- refused one of them, and nothing of the load is left.
local function load(db, spec, result, bin, progress)
  local indexes, names, kinds = row.writable(spec, "secondary")
  local crossing = policies.crossing(spec, indexes)
  local ok, err = pcall(db.primary.with, db.primary, function(primary)
    db.secondary:transaction(function(secondary)
      secondary:execute("set constraints all deferred")  -- a row may come before its parent
      local copied = core.copy {
        source = primary, target = secondary, query = copy_query(spec, indexes), kinds = kinds,
        table = spec.statements.secondary.table, columns = table.concat(names, ", "),
        transform = fetch.transform(spec), crossing = crossing,
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
  if not bring.is_of_row(err) then error(err, 0) end
  tell_of_refusal(spec, err)
  bin:forget()
  result.rows_read, result.rows_written, result.chunks = 0, 0, 0
  result.quarantined, result.policies = 0, {}
  return false
end

--- Compares, and then brings over what differs. Rows that are equal are not written.
local function refresh(db, spec, result, job, progress)
  local crossing = policies.crossing(spec)
  local differing <close> = Spool.new()  -- keys
  db.primary:with(function(primary)
    db.secondary:with(function(secondary)
      local compared = core.compare {
        primary = primary, secondary = secondary,
        primary_query = spec.statements.primary:scan(spec.filter.primary, spec.ordered),
        secondary_query = spec.statements.secondary:scan(spec.filter.secondary, spec.ordered),
        kinds = spec.kinds, key_columns = spec.key_count, ordered = spec.ordered,
        expected_rows = spec.estimated_rows, transform = fetch.transform(spec), crossing = crossing,
        digests = true, difference = function(kind, key)
          if kind == "extra" and not job.deletes then return end
          differing:add { kind = kind, key = key }
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
  result.chunks = settle.bring_all(job, differing)
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

---@class dualdb.SyncRun    a sync whose rows may still wait for those of other models
---@field result dualdb.SyncResult
---@field settled boolean    no row waits any more

--- Adds up what was loaded and what was brought over since.
local function take_counts(run)
  local result, job = run.result, run.job
  result.rows_written = run.loaded + job.written
  result.rows_deleted = job.deleted
  result.quarantined = run.refused + job.quarantined
  result.seconds = core.clock() - run.started
end

--- Rows that were written on the secondary while the primary was down would be lost under it.
local function check_journal(db, model_name)
  local count = journal.count_of(db.secondary, model_name)
  if count == 0 then return end
  local message = ("model %s: the secondary has %d rows that the primary lacks"):format(model_name,
    count)
  error(errors.make("refused", message, {
    model = model_name, side = "secondary",
    hint = "`dualdb journal replay` brings them over first.",
  }), 0)
end

--- Copies a model. Rows that the secondary refuses for the sake of other rows wait for sync.settle.
---@param db dualdb.Database
---@param model_name string
---@param options { mode: "full", progress: function|nil }|nil
---@return dualdb.SyncRun
function sync.start(db, model_name, options)
  options = options or {}
  if options.mode and options.mode ~= "full" then
    errors.usage("sync: unknown mode %s", tostring(options.mode))
  end
  local result = {
    model = model_name, mode = "full", rows_read = 0, rows_written = 0, rows_deleted = 0,
    quarantined = 0, policies = {}, chunks = 0, seconds = 0,
  }
  local run = { db = db, result = result, started = core.clock(), loaded = 0, refused = 0 }
  local spec = db:spec(model_name)
  check_journal(db, model_name)
  local first = db.secondary:query(("select 1 as one from %s limit 1"):format(
    spec.statements.secondary.table))
  local bin = quarantine.bin(db, spec)
  run.job = settle.job(db, spec, bin)
  if #first == 0 and is_loadable(spec) and load(db, spec, result, bin, options.progress) then
    run.loaded, run.refused = result.rows_written, result.quarantined
  else
    refresh(db, spec, result, run.job, options.progress)
  end
  bin:flush()
  run.settled = settle.is_done(run.job)
  if run.settled then bin:finish() end
  finish(db, spec)
  take_counts(run)
  return run
end

--- Between two models: rows that refer to each other in a circle go once both are there.
---@param runs dualdb.SyncRun[]   the last one is the newest
function sync.settle_early(runs)
  local newest = runs[#runs]
  if not newest or newest.settled then return end
  local jobs = {}
  for _, run in ipairs(runs) do
    if not run.settled then jobs[#jobs + 1] = run.job end
  end
  settle.early(jobs)
end

--- Ends runs: rows that wait are tried again, now that the rows of all models are through.
---@param runs dualdb.SyncRun[]
function sync.settle(runs)
  local waiting, jobs = {}, {}
  for _, run in ipairs(runs) do
    if not run.settled then
      waiting[#waiting + 1], jobs[#jobs + 1] = run, run.job
    end
  end
  settle.run(jobs)
  for _, run in ipairs(waiting) do
    run.job.bin:finish()
    finish(run.db, run.job.spec)
    take_counts(run)
    run.settled = true
  end
end

--- Makes the secondary's table of a model equal to the primary's.
---@param db dualdb.Database
---@param model_name string
---@param options { mode: "full", progress: function|nil }|nil
---@return dualdb.SyncResult
function sync.run(db, model_name, options)
  local run = sync.start(db, model_name, options)
  sync.settle { run }
  return run.result
end

return sync
