--- Quarantine: rows of the primary that the secondary cannot hold, kept in a table of the secondary
--- until a policy or the row itself has changed.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local setup = require "dualdb.setup"

local quarantine = {}

--- Rows that are written, or retried, in one transaction; and their bytes.
local BATCH_ROWS = 200
local BATCH_BYTES = 1024 * 1024

-- ---- putting rows in ----

local ENTRY = "(?, ?, ?::json, ?, ?, ?::json, ?, ?::bytea)"

local INSERT = [[
insert into dualdb_quarantine as q
  (model, key_digest, key, column_name, reason, "row", kinds, canonical)
values %s
on conflict (model, key_digest) do update
set key = excluded.key, column_name = excluded.column_name,
  reason = excluded.reason, "row" = excluded."row", kinds = excluded.kinds,
  canonical = excluded.canonical, attempts = q.attempts + 1, last_seen = clock_timestamp()]]

---@class dualdb.Bin      where one run puts the rows of a model
---@field count integer    rows put in
local Bin = {}
Bin.__index = Bin

--- When the run started, by the clock of the secondary.
local function now(db)
  return db.secondary:query("select clock_timestamp()::text as now")[1].now
end

---@param db dualdb.Database
---@param spec dualdb.Spec
---@return dualdb.Bin
function quarantine.bin(db, spec)
  return setmetatable({
    db = db, spec = spec, count = 0, waiting = {}, bytes = 0, started = now(db),
  }, Bin)
end

--- Takes a row in, as the primary has it. `column` may be nil when it is not known which it was.
--- `indexes` are the columns that the row has, when it has not all of them.
---@param packed string
---@param column string|nil
---@param reason string
---@param indexes integer[]|nil
function Bin:add(packed, column, reason, indexes)
  local spec, kinds, names = self.spec, self.spec.kinds, self.spec.names
  if indexes and #indexes ~= #names then
    local letters = {}
    names = {}
    for i, index in ipairs(indexes) do
      letters[i], names[i] = spec.columns[index].kind, spec.names[index]
    end
    kinds = table.concat(letters)
  end
  local key = core.prefix(packed, spec.key_count)
  self.count = self.count + 1
  self.bytes = self.bytes + #packed
  self.waiting[#self.waiting + 1] = table.pack(spec.name, core.digest(key),
    core.row_json(spec.key_kinds, key, spec.key_names), column or core.NULL, reason,
    core.row_json(kinds, packed, names), kinds, core.bytes(packed))
  if #self.waiting >= BATCH_ROWS or self.bytes >= BATCH_BYTES then self:flush() end
end

function Bin:flush()
  local waiting = self.waiting
  if #waiting == 0 then return end
  self.waiting, self.bytes = {}, 0
  setup.make_quarantine(self.db)
  local values = {}
  for _, entry in ipairs(waiting) do table.move(entry, 1, entry.n, #values + 1, values) end
  self.db.secondary:transaction(function(conn)
    conn:execute(INSERT:format((ENTRY .. ", "):rep(#waiting - 1) .. ENTRY),
      table.unpack(values, 1, #values))
  end)
end

--- Ends a run that has seen every row of the model: what it did not put in has crossed or is gone.
function Bin:finish()
  self:flush()
  if not setup.has_quarantine(self.db) then return end
  self.db.secondary:execute("delete from dualdb_quarantine where model = ? and "
    .. "last_seen < ?::timestamptz", self.spec.name, self.started)
end

-- ---- reading and retrying ----

---@class dualdb.Quarantine
local Quarantine = {}
Quarantine.__index = Quarantine

---@param db dualdb.Database
---@return dualdb.Quarantine
function quarantine.of(db)
  return setmetatable({ db = db }, Quarantine)
end

--- The models with rows in quarantine, or those given.
local function names_in(self, names)
  if not setup.has_quarantine(self.db) then return {} end
  if names then return names end
  local found = {}
  for i, entry in ipairs(self.db.secondary:query(
    "select distinct model from dualdb_quarantine order by model")) do
    found[i] = entry.model
  end
  return found
end

local function present(value)
  if value == core.NULL then return nil end
  return value
end

--- The rows in quarantine: { model, key, column, reason, row, attempts, first_seen, last_seen };
--- key and row are JSON with exact values.
---@param names string[]|nil   models; default all
---@return table[]
function Quarantine:list(names)
  local list = {}
  for _, name in ipairs(names_in(self, names)) do
    for entry in self.db.secondary:rows([[
select key::text as key, column_name as "column", reason, "row"::text as "row", attempts,
       first_seen, last_seen
from dualdb_quarantine where model = ? order by first_seen, key_digest]], name) do
      entry.model, entry.column = name, present(entry.column)
      list[#list + 1] = entry
    end
  end
  return list
end

--- The packed keys of a model's rows, as its columns are now. A key that they cannot hold any more
--- is left where it is.
local function keys_of(db, spec)
  local keys = {}
  for entry in db.secondary:rows("select kinds, canonical from dualdb_quarantine "
    .. "where model = ? order by key_digest", spec.name) do
    local kinds = entry.kinds:sub(1, spec.key_count)
    local key = core.prefix(entry.canonical, spec.key_count)
    if kinds ~= spec.key_kinds then
      local ok, again = pcall(core.pack, spec.key_kinds, core.unpack(kinds, key), spec.key_names)
      key = ok and again or nil
    end
    keys[#keys + 1] = key
  end
  return keys
end

local function forget(conn, spec, keys)
  for _, key in ipairs(keys) do
    conn:execute("delete from dualdb_quarantine where model = ? and key_digest = ?", spec.name,
      core.digest(key))
  end
end

--- Rows of the batch, locked on the primary until the secondary has them.
local function retry_batch(db, spec, keys, write_rows)
  local done = { written = 0, gone = 0, refused = {} }
  local cross = fetch.crosser(spec)
  db.primary:transaction(function(primary)
    local current = fetch.many(primary, spec, "primary", keys, "share")
    local rows, settled = {}, {}
    for _, key in ipairs(keys) do
      local packed = current[key]
      local crossed, column, reason
      if packed then crossed, column, reason = cross(packed) end
      if reason then
        done.refused[#done.refused + 1] = { packed, column, reason }
      else
        settled[#settled + 1] = key
        if crossed then rows[#rows + 1] = crossed else done.gone = done.gone + 1 end
      end
    end
    db.secondary:transaction(function(secondary)
      write_rows(secondary, spec, rows)
      forget(secondary, spec, settled)
    end)
    done.written = #rows
  end)
  return done
end

local ROW_CLASSES = { data = true, integrity = true, schema = true }

--- A batch; when the secondary refuses it, each row by itself, and what it says of one is the
--- reason.
local function retry(db, spec, keys, write_rows, bin, result)
  local ok, done = pcall(retry_batch, db, spec, keys, write_rows)
  if ok then
    result.written, result.gone = result.written + done.written, result.gone + done.gone
    for _, refused in ipairs(done.refused) do bin:add(refused[1], refused[2], refused[3]) end
    return
  end
  local err = errors.wrap(done)
  if not ROW_CLASSES[err.class] then error(err, 0) end
  if #keys > 1 then
    for _, key in ipairs(keys) do retry(db, spec, { key }, write_rows, bin, result) end
    return
  end
  local packed = db.primary:with(fetch.one, spec, "primary", keys[1])
  if packed then bin:add(packed, nil, err.message) end
end

--- Reads each row from the primary again, writes it when it can cross now, and takes it out of the
--- quarantine; rows that the primary no longer has are taken out too.
---@param names string[]|nil   models; default all
---@return table[]  { model, tried, written, gone, left, error }
function Quarantine:retry(names)
  local write_rows = require("dualdb.sync").write_rows
  local results = {}
  for i, name in ipairs(names_in(self, names)) do
    local result = { model = name, tried = 0, written = 0, gone = 0, left = 0 }
    results[i] = result
    local ok, err = pcall(function()
      local spec = self.db:spec(name)
      local bin = quarantine.bin(self.db, spec)
      local keys = keys_of(self.db, spec)
      result.tried = #keys
      for from = 1, #keys, BATCH_ROWS do
        local batch = table.move(keys, from, math.min(from + BATCH_ROWS - 1, #keys), 1, {})
        retry(self.db, spec, batch, write_rows, bin, result)
      end
      bin:flush()
    end)
    if not ok then
      result.error = errors.wrap(err)
      if result.error.class == "canceled" then error(result.error, 0) end
    end
    result.left = self.db.secondary:query(
      "select count(*) as n from dualdb_quarantine where model = ?", name)[1].n
  end
  return results
end

--- How a refusal is said in one line.
---@param column string|nil
---@param reason string
---@return string
function quarantine.text(column, reason)
  return column and ("column %s: %s"):format(column, reason) or reason
end

return quarantine
