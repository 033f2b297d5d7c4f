--- Sync: makes the secondary's tables what the primary's are.

local checkpoint = require "dualdb.sync.checkpoint"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local lanes = require "dualdb.sync.lanes"
local order = require "dualdb.order"
local set_aside = require "dualdb.sync.set_aside"
local settle = require "dualdb.settle"
local setup = require "dualdb.setup"
local statements = require "dualdb.sync.statements"
local task = require "dualdb.sync.task"

local sync = {}

---@class dualdb.SyncOptions
---@field mode "full"|nil
---@field jobs integer|nil        lanes; default: one for each processor, as far as both servers
---                               have connections to spare
---@field chunk_rows integer|nil  rows of a chunk at most
---@field restart boolean|nil     forget how far an earlier run has got
---@field progress fun(so_far: { model: string, rows: integer, of: integer, bytes: integer|nil,
---  differences: integer|nil })|nil

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
---@field error dualdb.Error|nil

local MOST_LANES = 4
--- Connections of each side that a lane takes at most.
local LANE_CONNECTIONS = 2

local SPARE = {
  primary = "select @@max_connections - (select count(*) from information_schema.processlist) as n",
  secondary = "select current_setting('max_connections')::int "
    .. "- (select count(*)::int from pg_stat_activity) as n",
}

--- Lanes where nobody says how many.
local function default_lanes(db)
  local count = math.min(core.processors(), MOST_LANES)
  for _, side in ipairs { db.primary, db.secondary } do
    local spare = side:query(SPARE[side.name])[1].n
    count = math.min(count, spare // 2 // LANE_CONNECTIONS)
  end
  return math.max(1, count)
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
    if not one.error then waiting[#waiting + 1] = one.job end
  end
  settle.run(waiting)
end

local function restore_foreign_keys(one)
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
  if not one.error then
    local ok, err = pcall(function()
      statements.move_sequences(one)
      one.bin:finish()
      if one.noted then
        one.db.secondary:transaction(function(conn) checkpoint.forget(conn, one.name) end)
      end
    end)
    if not ok then one.error = errors.wrap(err) end
  else
    pcall(one.bin.flush, one.bin)
  end
  local result = one:sum()
  result.error = one.error
  if not one.error and result.resumed and setup.has_quarantine(one.db) then
    result.quarantined = one.bin:total()  -- with those of the run that it went on from
  end
  return result
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
  do
    local all <close> = lanes.new(db, options.jobs or default_lanes(db), options)
    all:run(order.parents_first(db, names), function(name)
      local ok, one = pcall(task.open, db, name, options)
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
