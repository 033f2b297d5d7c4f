--- Sync: makes the secondary's tables what the primary's are.

local checkpoint = require "dualdb.sync.checkpoint"
local claims = require "dualdb.sync.claims"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local lanes = require "dualdb.sync.lanes"
local order = require "dualdb.order"
local set_aside = require "dualdb.sync.set_aside"
local settle = require "dualdb.settle"
local setup = require "dualdb.setup"
local snapshot = require "dualdb.sync.snapshot"
local spare = require "dualdb.spare"
local statements = require "dualdb.sync.statements"
local task = require "dualdb.sync.task"
local to_primary = require "dualdb.sync.to_primary"

local sync = {}

---@class dualdb.SyncOptions
---@field mode "full"|nil
---@field direction "to_secondary"|"to_primary"|nil   the other way is for a primary that was lost
---@field jobs integer|nil        lanes; default: one for each processor, as far as both servers
---                               have connections to spare
---@field chunk_rows integer|nil  rows of a chunk at most
---@field restart boolean|nil     forget how far an earlier run has got
---@field snapshot boolean|nil    copy one moment of the primary, without locks; for times in which
---                               nobody writes through dualdb
---@field progress fun(so_far: { model: string, rows: integer, of: integer, bytes: integer|nil,
---  differences: integer|nil })|nil
---@field meter dualdb.Meter|nil  shows how far each model is
---@field max_rate integer|nil    bytes a second
---@field max_lag number|nil      seconds that a replica may be behind
---@field throttle function|nil   instead of the models' own; see dualdb.sync.politeness

---@class dualdb.SyncResult
---@field model string
---@field mode "full"
---@field action "load"|"refresh"
---@field resumed boolean         it went on from where an earlier run had got to
---@field rows_read integer
---@field rows_written integer
---@field rows_deleted integer
---@field quarantined integer     rows that the secondary cannot hold, or refuses
---@field policies table<string, integer>   values that each policy changed
---@field chunks integer
---@field bytes integer           of canonical rows that were copied
---@field seconds number
---@field snapshot dualdb.Snapshot|nil
---@field error dualdb.Error|nil

local MOST_LANES = 4
--- Connections of each side that a lane takes at most.
local LANE_CONNECTIONS = 2

--- Lanes where nobody says how many.
local function default_lanes(db)
  return spare.lanes(db, math.min(core.processors(), MOST_LANES), LANE_CONNECTIONS)
end

local function failed(name, err)
  err = errors.wrap(err)
  if err.class == "canceled" then error(err, 0) end
  return { model = name, mode = "full", error = err }
end

--- Ends the models together: rows that wait for those of others are tried again, now that all are
--- through; then foreign keys are made again.
local function settle_all(tasks)
  local waiting = {}
  for _, one in ipairs(tasks) do
    if not one.error and one.forwards then waiting[#waiting + 1] = one.job end
  end
  settle.run(waiting)
end

local function restore_foreign_keys(one)
  if not one.forwards then return end
  for _, entry in ipairs(one:pending()) do
    if entry.kind == "foreign_key" then
      local ok, err = pcall(set_aside.restore_foreign_key, one.db, entry,
        set_aside.quarantine_orphans(one.db, one.spec, one.bin))
      if not ok then one.error = one.error or errors.wrap(err) end
    end
  end
end

--- A model is through: nothing of it is to be gone on with.
local function finish(one)
  local left
  if not one.error then
    local ok, err = pcall(function()
      if one.forwards then
        statements.move_sequences(one)
        left = one.bin:finish()
      else
        to_primary.check_foreign_keys(one)
        one.db.primary:query("analyze table " .. one.builder.table)
      end
      if one.noted then
        core.crash_point "sync.over"
        one.target:transaction(function(conn) checkpoint.forget(conn, one.name) end)
        core.crash_point "sync.forgotten"
      end
    end)
    if not ok then one.error = errors.wrap(err) end
  else
    pcall(one.bin.flush, one.bin)
  end
  local result = one:sum()
  if left and result.resumed then result.quarantined = left end  -- with those of the runs before
  result.error = one.error
  return result
end

local function note_snapshot(db, opened, taken, beats)
  local disturbed = snapshot.beats(db) ~= beats
  for _, one in ipairs(opened) do
    one.result.snapshot = taken
    if disturbed then one.error = one.error or snapshot.disturbed(one.name) end
  end
  if not disturbed then snapshot.note(db, taken) end
end

--- Copies the models, several at a time. An error of one model is in its result and does not stop
--- the others; an interrupt is raised.
---@param db dualdb.Database
---@param names string[]
---@param options dualdb.SyncOptions|nil
---@return dualdb.SyncResult[]   in the order of the names
function sync.all(db, names, options)
  options = options or {}
  if options.mode and options.mode ~= "full" then
    errors.usage("sync: unknown mode %s", tostring(options.mode))
  end
  local results, opened = {}, {}
  setup.ensure(db, true)
  local claimed <close> = claims.take(db, names)
  local taken, beats
  do
    local all <close> = lanes.new(db, options.jobs or default_lanes(db), options, claimed)
    if options.snapshot then
      beats = snapshot.beats(db)
      taken = snapshot.take(db, all.lanes)
    end
    all:run(order.parents_first(db, names), function(name)
      local ok, one = pcall(function()
        claimed:keep(name)
        local new = task.open(db, name, options)
        new:drop_outdated()
        return new
      end)
      if ok then
        opened[#opened + 1] = one
        return one
      end
      results[name] = failed(name, one)
      return nil
    end)
  end
  local ok, err = pcall(settle_all, opened)
  for _, one in ipairs(opened) do
    if not ok and not settle.is_done(one.job) then one.error = one.error or errors.wrap(err) end
  end
  for _, one in ipairs(opened) do restore_foreign_keys(one) end
  if taken then note_snapshot(db, opened, taken, beats) end
  for _, one in ipairs(opened) do results[one.name] = finish(one) end
  local list = {}
  for i, name in ipairs(names) do list[i] = results[name] end
  return list
end

--- Makes the secondary's table of a model equal to the primary's.
---@param db dualdb.Database
---@param model_name string
---@param options dualdb.SyncOptions|nil
---@return dualdb.SyncResult
function sync.run(db, model_name, options)
  db:model_definition(model_name)
  local result = sync.all(db, { model_name }, options)[1]
  if result.error then error(result.error, 0) end
  return result
end

return sync
