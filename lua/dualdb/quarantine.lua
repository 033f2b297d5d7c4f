--- Quarantine: rows of the primary that the secondary cannot hold or refuses, and rows of its own
--- that it refuses to delete, kept in a table of the secondary until a policy, the row or what
--- stood against it has changed.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local setup = require "dualdb.setup"

local quarantine = {}

--- Rows that are put in at once, and their bytes.
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
  canonical = excluded.canonical, last_seen = clock_timestamp(),
  attempts = q.attempts + case when q.last_seen < ?::timestamptz then 1 else 0 end]]

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
  values[#values + 1] = self.started  -- once a run, however often it meets the row
  self.db.secondary:transaction(function(conn)
    conn:execute(INSERT:format((ENTRY .. ", "):rep(#waiting - 1) .. ENTRY),
      table.unpack(values, 1, #values))
  end)
end

--- Has the run be one with that which began then, and which it goes on from.
---@param started string   by the clock of the secondary
function Bin:go_on(started)
  self.started = started
end

--- How many rows of the model are in quarantine, whichever run has put them there.
---@return integer
function Bin:total()
  return self.db.secondary:query("select count(*) as n from dualdb_quarantine where model = ?",
    self.spec.name)[1].n
end

--- Drops what was not put in yet, of a run that starts again.
function Bin:forget()
  self.waiting, self.bytes, self.count = {}, 0, 0
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

--- The packed key of an entry, as the model's columns are now; nil when they cannot hold it any
--- more: such an entry is left where it is.
local function key_of(spec, entry)
  local kinds = entry.kinds:sub(1, spec.key_count)
  local key = core.prefix(entry.canonical, spec.key_count)
  if kinds == spec.key_kinds then return key end
  local ok, again = pcall(core.pack, spec.key_kinds, core.unpack(kinds, key), spec.key_names)
  return ok and again or nil
end

local function forget(conn, spec, keys)
  for _, key in ipairs(keys) do
    conn:execute("delete from dualdb_quarantine where model = ? and key_digest = ?", spec.name,
      core.digest(key))
  end
end

--- A model's rows in quarantine, as rows that wait.
local function retried(db, name)
  local settle = require "dualdb.settle"
  local spec = db:spec(name)
  local job = settle.job(db, spec, quarantine.bin(db, spec), function(conn, keys)
    forget(conn, spec, keys)
  end)
  for entry in db.secondary:rows("select kinds, canonical from dualdb_quarantine "
    .. "where model = ? order by key_digest", name) do
    local key = key_of(spec, entry)
    if key then job.waiting:add { kind = "changed", key = key, reason = "" } end
  end
  return job, job.waiting.count
end

--- Reads each row from the primary again, writes it when it can go now, and takes it out of the
--- quarantine; rows that the primary no longer has are taken out too, and deleted on the secondary.
---@param names string[]|nil   models; default all
---@return table[]  { model, tried, written, gone, left, error }
function Quarantine:retry(names)
  local results, jobs = {}, {}
  local function attempt(list, fn)
    local ok, err = pcall(fn)
    if ok then return end
    err = errors.wrap(err)
    if err.class == "canceled" then error(err, 0) end
    for _, result in ipairs(list) do result.error = result.error or err end
  end
  for i, name in ipairs(names_in(self, names)) do
    local result = { model = name, tried = 0, written = 0, gone = 0, left = 0 }
    results[i] = result
    attempt({ result }, function()
      local job, tried = retried(self.db, name)
      result.tried = tried
      jobs[#jobs + 1], result.job = job, job
    end)
  end
  attempt(results, function() require("dualdb.settle").run(jobs) end)
  for _, result in ipairs(results) do
    local job = result.job
    result.job = nil
    if job then
      attempt({ result }, function() job.bin:flush() end)
      result.written, result.gone = job.written, job.gone
    end
    result.left = self.db.secondary:query(
      "select count(*) as n from dualdb_quarantine where model = ?", result.model)[1].n
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
