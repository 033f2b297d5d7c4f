--- How far a full sync of a model is, kept on the side that it writes: each chunk's transaction
--- says so too, so that what is written and what is said are one.

local core = require "dualdb.core"

local checkpoint = {}

---@class dualdb.Checkpoint
---@field mode "load"|"refresh"
---@field ranges dualdb.KeyRange[]   by their ids, which count from 1
---@field started_at string        when the first run began, by the clock of the side

--- What a checkpoint is only good for: the same tables, columns and choice of rows.
---@param spec dualdb.Spec
---@param direction "to_secondary"|"to_primary"
---@param identity string         of the table that is written: another one of its name is not it
---@return string
function checkpoint.fingerprint(spec, direction, identity)
  local parts = { direction, identity, spec.table.primary, spec.table.secondary, spec.kinds,
    spec.filter.primary or "", spec.filter.secondary or "", tostring(spec.key_count) }
  for i, name in ipairs(spec.names) do parts[#parts + 1] = i .. ":" .. name end
  local letters = ("t"):rep(#parts)
  return core.digest(core.pack(letters, parts))
end

local function bound(value)
  return value and core.bytes(value) or core.NULL
end

local function key_of(value)
  return value ~= core.NULL and value or nil
end

--- What an earlier run has left of the model; nil when there is nothing, or nothing of use. The
--- second result says whether there was something all the same.
---@param side dualdb.Side        that is written
---@param model string
---@param fingerprint string
---@return dualdb.Checkpoint|nil, boolean
function checkpoint.read(side, model, fingerprint)
  local found = side:query(
    "select mode, fingerprint, started_at from dualdb_sync where model = ?", model)[1]
  if not found or found.fingerprint ~= fingerprint then return nil, found ~= nil end
  local ranges = {}
  for _, entry in ipairs(side:query("select id, reached, through, done, rows_read, rows_written, "
    .. "rows_deleted from dualdb_sync_range where model = ? order by id", model)) do
    ranges[entry.id] = {
      id = entry.id, reached = key_of(entry.reached), through = key_of(entry.through),
      done = entry.done ~= 0, rows_read = entry.rows_read, rows_written = entry.rows_written,
      rows_deleted = entry.rows_deleted,
    }
  end
  return { mode = found.mode, ranges = ranges, started_at = found.started_at }, true
end

local function add_range(conn, model, range)
  conn:execute("insert into dualdb_sync_range (model, id, reached, through, done) "
    .. "values (?, ?, ?, ?, 0)", model, range.id, bound(range.reached), bound(range.through))
end

--- Notes a sync that begins, in the connection's transaction.
---@param conn any
---@param model string
---@param mode "load"|"refresh"
---@param fingerprint string
---@param ranges dualdb.KeyRange[]
---@param started_at string
function checkpoint.begin(conn, model, mode, fingerprint, ranges, started_at)
  checkpoint.forget(conn, model)
  conn:execute("insert into dualdb_sync (model, mode, fingerprint, started_at) "
    .. "values (?, ?, ?, ?)", model, mode, fingerprint, started_at)
  for _, range in ipairs(ranges) do add_range(conn, model, range) end
end

--- Notes a chunk, in its transaction. `range` is as it will be.
---@param counts { read: integer, written: integer, deleted: integer }
function checkpoint.advance(conn, model, range, counts)
  local result = conn:execute("update dualdb_sync_range set reached = ?, done = ?, "
    .. "rows_read = rows_read + ?, rows_written = rows_written + ?, "
    .. "rows_deleted = rows_deleted + ? where model = ? and id = ?", bound(range.reached),
    range.done and 1 or 0, counts.read, counts.written, counts.deleted, model, range.id)
  if result.affected ~= 1 then
    local errors = require "dualdb.errors"
    error(errors.make("conflict", ("model %s: another sync has taken its place"):format(model), {
      model = model, hint = "Two syncs of a model at a time help nobody: let one of them run.",
    }), 0)
  end
end

--- Notes that a range was cut in two.
---@param side dualdb.Side
---@param upper dualdb.KeyRange
function checkpoint.split(side, model, range, upper)
  side:transaction(function(conn)
    conn:execute("update dualdb_sync_range set through = ? where model = ? and id = ?",
      bound(range.through), model, range.id)
    add_range(conn, model, upper)
  end)
end

--- The sync is through, or begins anew.
function checkpoint.forget(conn, model)
  conn:execute("delete from dualdb_sync_range where model = ?", model)
  conn:execute("delete from dualdb_sync where model = ?", model)
end

return checkpoint
