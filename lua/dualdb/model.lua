--- A model: one table on both sides, and what can be done with its rows.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local row = require "dualdb.row"

---@class dualdb.Model
---@field name string
local Model = {}
Model.__index = Model
Model.__name = "dualdb.model"
Model.__tostring = function(self) return ("model %s"):format(self.name) end

---@param db dualdb.Database
---@param name string
function Model.new(db, name)
  return setmetatable({ db = db, name = name }, Model)
end

-- ---- dual writes of one row ----

--- Inserts a row on both sides; returns it as stored.
---@param values table<string, any>
function Model:insert(values)
  return self.db:write(function(tx) return tx:insert(self.name, values) end)
end

--- Writes of many rows in one dual write; see dualdb.Transaction.
local function write_many(self, what, list, options)
  if type(list) ~= "table" then
    error(errors.make("usage", ("%s: a list expected, got a %s"):format(what, type(list)), {
      hint = "A write may run again: an iterator is made within the function of db:write.",
    }), 2)
  end
  return self.db:write(function(tx) return tx[what](tx, self.name, list, options) end)
end

--- Inserts many rows; returns them as stored, or how many they are.
---@param list table[]
---@param options { returning: boolean|nil }|nil
function Model:insert_many(list, options) return write_many(self, "insert_many", list, options) end

--- Updates many rows, each given by its key and the columns to set; returns them as stored, false
--- for those that do not exist, or how many exist.
---@param list table[]
---@param options { returning: boolean|nil }|nil
function Model:update_many(list, options) return write_many(self, "update_many", list, options) end

--- Deletes the rows with the keys; returns how many there were.
---@param keys any[]
function Model:delete_many(keys) return write_many(self, "delete_many", keys) end

--- Sets columns of the row with the key on both sides; returns the row as stored, or nil.
function Model:update(key, values)
  return self.db:write(function(tx) return tx:update(self.name, key, values) end)
end

--- Deletes the row with the key on both sides; true when there was one.
function Model:delete(key)
  return self.db:write(function(tx) return tx:delete(self.name, key) end)
end

--- Inserts the row or sets its columns; returns it as stored.
function Model:upsert(values)
  return self.db:write(function(tx) return tx:upsert(self.name, values) end)
end

-- ---- reads ----

--- The row with the key on one side; nil when there is none.
function Model:get_from(side, key)
  local spec = self.db:spec(self.name)
  local packed = row.pack_key(spec, key)
  local found = side:with(fetch.one, spec, side.name, packed)
  return found and row.unpack(spec, found)
end

--- Rows whose columns have the values given, in key order.
function Model:find_on(side, where)
  local spec = self.db:spec(self.name)
  local indexes, _, packed = row.pack_given(spec, where or {})
  local builder = spec.statements[side.name]
  local conditions, kinds, fields, given = {}, {}, {}, core.fields(packed)
  local NULL_FIELD = core.pack("t", { core.NULL })
  for i, index in ipairs(indexes) do
    if given[i] == NULL_FIELD then
      conditions[i] = builder.columns[index] .. " is null"
    else
      conditions[i] = builder.columns[index] .. " = " .. builder:mark(builder.columns[index])
      kinds[#kinds + 1], fields[#fields + 1] = spec.columns[index].kind, given[i]
    end
  end
  local text = builder:scan(#conditions > 0 and table.concat(conditions, " and ") or nil, true)
  local rows = side:with(function(conn)
    return conn:fetch(text, table.concat(kinds), table.concat(fields), spec.kinds)
  end)
  for i, packed_row in ipairs(rows) do rows[i] = row.unpack(spec, packed_row) end
  return rows
end

--- The row with the key, from the primary or, when that is unavailable, the secondary. Second
--- result: where it came from; see db:read.
---@return table<string, any>|nil, { side: string, stale: boolean, staleness: number|nil }
function Model:get(key)
  return self.db:read(function(db) return self:get_from(db.side, key) end)
end

--- Rows whose columns have the values given; see get.
---@param where table<string, any>|nil
function Model:find(where)
  return self.db:read(function(db) return self:find_on(db.side, where) end)
end

-- ---- the pair ----

local function check_options(what, options, known)
  for name in pairs(options or {}) do
    if not known[name] then errors.usage("%s: unknown option %s", what, tostring(name)) end
  end
  return options or {}
end

--- Makes the secondary's table equal to the primary's, or the other way.
---@param options dualdb.SyncOptions|nil
---@return dualdb.SyncResult
function Model:sync(options)
  options = check_options("sync", options, {
    mode = true, progress = true, direction = true, jobs = true, chunk_rows = true, restart = true,
    snapshot = true, max_rate = true, max_lag = true, throttle = true,
  })
  return require("dualdb.sync").run(self.db, self.name, options)
end

---@class dualdb.VerifyOptions: dualdb.Narrowing
---@field resume integer|nil    a run that was killed, to go on with
---@field progress function|nil
---@field method "auto"|"stream"|"pushdown"|nil   default "auto"
---@field sample integer|nil       compare so many rows, drawn from all that either side has
---@field seed integer|nil         of the drawing, to draw the same again
---@field jobs integer|nil    ranges that are compared at once, each on connections of its own;
---             default: half of the processors, 4 at most, as far as both servers have connections
---             to spare. One for a table of fewer than 100,000 rows, keys that do not begin with a
---             whole number, a date or a moment, a transform, a sample, and the method "pushdown".

--- Compares the two tables. What the databases do wrong is in the verdict; nothing is written.
---@param options dualdb.VerifyOptions|nil
---@return dualdb.Report
function Model:verify(options)
  options = check_options("verify", options, {
    progress = true, where = true, columns = true, since = true, sample = true, seed = true,
    resume = true, method = true, jobs = true,
  })
  self.db:model_definition(self.name)
  return require("dualdb.verify").run(self.db, self.name, options)
end

--- Verifies and mends what differs. Raises what stopped it, with what was done until then done.
---@param options dualdb.RepairOptions|nil
---@return dualdb.RepairResult
function Model:repair(options)
  options = check_options("repair", options, {
    strategy = true, dry_run = true, allow_delete = true, max_rows = true, show = true,
    progress = true, from = true, undo = true, on_undo = true, max_rate = true, throttle = true,
  })
  local result = require("dualdb.repair").run(self.db, { self.name }, options)[1]
  if result.stopped then error(result.error, 0) end
  return result
end

return Model
