--- Dual writes: the transaction object that `db:write(fn)` gives to fn, and the retry around it.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local row = require "dualdb.row"

local write = {}

---@class dualdb.Transaction
local Transaction = {}
Transaction.__index = Transaction

-- ---- statements on models ----

--- What the secondary holds for a stored row of the primary: the row, or nil when the model's
--- transform leaves it out. A row that it cannot hold ends the dual write, also when fn catches the
--- error: the primary has it already.
local function for_secondary(self, spec, stored)
  local copy, column, reason = fetch.crosser(spec)(stored)
  if not reason then return copy end
  self.refused = errors.make("data",
    ("model %s: column %s: %s, which the secondary cannot hold"):format(spec.name, column, reason),
    {
      model = spec.name, column = column, key = row.key_text(spec, stored), side = "secondary",
      hint = "`policies` of the model say what becomes of such values.",
    })
  return error(self.refused, 0)
end

local function insert_on_secondary(self, spec, stored)
  local indexes, names, kinds = row.writable(spec, "secondary")
  self.dual:secondary(spec.statements.secondary:insert(names), kinds, row.pick(stored, indexes), 1)
end

--- The key of a row that was just inserted: as given, or the AUTO_INCREMENT value.
local function inserted_key(spec, values, result)
  local key = {}
  for i, name in ipairs(spec.key_names) do
    local value = values[name]
    if value == nil or value == core.NULL then
      if not spec.columns[i].primary.auto_increment or not result.insert_id then
        errors.usage("model %s: key column %s has no value and the primary does not number it",
          spec.name, name)
      end
      value = result.insert_id
    end
    key[i] = value
  end
  return row.pack_key(spec, key)
end

local function stored_row(self, spec, key)
  local stored = fetch.one(self.primary, spec, "primary", key)
  if not stored then
    errors.raise("conflict", "model %s: the row just written with key %s cannot be found",
      spec.name, row.key_text(spec, key))
  end
  return stored
end

local function quoted(spec, side, indexes)
  local names = {}
  for i, index in ipairs(indexes) do names[i] = spec.statements[side].columns[index] end
  return names
end

--- Inserts a row on both sides; returns it as the primary stored it, defaults filled in.
---@param model string
---@param values table<string, any>
---@return table<string, any>
function Transaction:insert(model, values)
  self:check()
  local spec = self.db:spec(model)
  local indexes, kinds, packed = row.pack_given(spec, values)
  local result = self.dual:primary(
    spec.statements.primary:insert(quoted(spec, "primary", indexes)), kinds, packed)
  local stored = stored_row(self, spec, inserted_key(spec, values, result))
  local copy = for_secondary(self, spec, stored)
  if copy then insert_on_secondary(self, spec, copy) end
  return row.unpack(spec, stored)
end

--- Inserts many rows; returns them as stored, in order.
---@param list table[]
---@return table[]
function Transaction:insert_many(model, list)
  local stored = {}
  for i, values in ipairs(list) do stored[i] = self:insert(model, values) end
  return stored
end

--- Sets the columns given on the row with the key, on both sides. Returns the row as stored, or nil
--- when there is none.
---@return table<string, any>|nil
function Transaction:update(model, key, values)
  self:check()
  local spec = self.db:spec(model)
  local packed_key = row.pack_key(spec, key)
  local indexes, kinds, packed = row.pack_given(spec, values)
  if #indexes == 0 then errors.usage("model %s: update sets no column", spec.name) end
  local result = self.dual:primary(
    spec.statements.primary:update(quoted(spec, "primary", indexes)),
    kinds .. spec.key_kinds, packed .. packed_key)
  if result.affected == 0 then
    -- The secondary must not have it either: the same statement has to find nothing there.
    self.dual:secondary(spec.statements.secondary:update(quoted(spec, "secondary", indexes)),
      kinds .. spec.key_kinds, packed .. packed_key, 0)
    return nil
  end
  local new_key = {}
  local old = row.unpack_key(spec, packed_key)
  for i, name in ipairs(spec.key_names) do
    new_key[i] = values[name] ~= nil and values[name] or old[name]
  end
  local stored = stored_row(self, spec, row.pack_key(spec, new_key))
  self:overwrite_secondary(spec, packed_key, stored)
  return row.unpack(spec, stored)
end

--- Gives the secondary's row with `key` all values of the primary's stored row.
function Transaction:overwrite_secondary(spec, key, stored)
  local copy = for_secondary(self, spec, stored)
  if not copy then
    self.dual:secondary(spec.statements.secondary:delete(), spec.key_kinds, key, -1)
    return
  end
  local indexes, names, kinds = row.writable(spec, "secondary")
  self.dual:secondary(spec.statements.secondary:update(names), kinds .. spec.key_kinds,
    row.pick(copy, indexes) .. key, fetch.transform(spec) and -1 or 1)
end

--- Deletes the row with the key on both sides; true when there was one.
---@return boolean
function Transaction:delete(model, key)
  self:check()
  local spec = self.db:spec(model)
  local packed_key = row.pack_key(spec, key)
  local result = self.dual:primary(spec.statements.primary:delete(), spec.key_kinds, packed_key)
  self.dual:secondary(spec.statements.secondary:delete(), spec.key_kinds, packed_key,
    fetch.transform(spec) and -1 or result.affected)
  return result.affected > 0
end

--- Whether the primary has the row with this very key, which stays as it is until the end.
local function lock_row(self, spec, key)
  local ok, found = pcall(fetch.one, self.primary, spec, "primary", key, "update")
  if ok then return found ~= nil end
  self.refused = errors.wrap(found)  -- a deadlock has rolled everything back
  return error(self.refused, 0)
end

--- Inserts the row, or sets the columns given when its key is there already. Returns it as stored.
--- A row that has another key, but one that a server takes for the same, is left alone: an error.
---@return table<string, any>
function Transaction:upsert(model, values)
  self:check()
  local spec = self.db:spec(model)
  local indexes, kinds, packed = row.pack_given(spec, values)
  local key = {}
  for i, name in ipairs(spec.key_names) do key[i] = values[name] end
  local packed_key = row.pack_key(spec, key)
  local builder, given = spec.statements.primary, quoted(spec, "primary", indexes)
  if not lock_row(self, spec, packed_key) then
    self.dual:primary(builder:insert(given), kinds, packed)
  elseif #indexes > spec.key_count then
    local rest = {}
    for i = spec.key_count + 1, #indexes do rest[#rest + 1] = i end
    self.dual:primary(builder:update({ table.unpack(given, rest[1]) }),
      kinds:sub(rest[1]) .. spec.key_kinds, row.pick(packed, rest, packed_key))
  end
  local copy = for_secondary(self, spec, stored_row(self, spec, packed_key))
  if copy then
    local all, names, all_kinds = row.writable(spec, "secondary")
    self.dual:secondary(spec.statements.secondary:upsert(names), all_kinds, row.pick(copy, all),
      spec.statements.secondary.folding and 1 or -1)
  end
  return row.unpack(spec, stored_row(self, spec, packed_key))
end

-- ---- raw SQL and reads ----

--- Runs SQL on both sides: the same text, or { mysql = ..., postgres = ..., touches = {...} }.
--- Returns the primary's result.
---@param statement string|table
function Transaction:execute(statement, ...)
  self:check()
  local primary, secondary = statement, statement
  if type(statement) == "table" then
    primary, secondary = statement.mysql or statement.sql, statement.postgres or statement.sql
    if not primary or not secondary then
      errors.usage("execute: { sql = ... } or both mysql and postgres expected")
    end
  end
  local result = self.dual:execute("primary", primary, ...)
  self.dual:execute("secondary", secondary, ...)
  return result
end

--- Rows of a query on the primary, inside the transaction.
function Transaction:query(text, ...)
  self:check()
  return self.primary:query(text, ...)
end

--- The row of a model with the key, read on the primary inside the transaction; nil when absent.
function Transaction:get(model, key)
  self:check()
  local spec = self.db:spec(model)
  local found = fetch.one(self.primary, spec, "primary", row.pack_key(spec, key))
  return found and row.unpack(spec, found)
end

function Transaction:check()
  if not self.dual then errors.usage("the transaction has ended") end
  if self.refused then error(self.refused, 0) end
end

-- ---- running one ----

local function ulid()
  local alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
  local text, time = {}, core.wall_clock() // 1000
  for i = 10, 1, -1 do
    text[i] = alphabet:sub(time % 32 + 1, time % 32 + 1)
    time = time // 32
  end
  for i = 11, 26 do
    local at = math.random(32)
    text[i] = alphabet:sub(at, at)
  end
  return table.concat(text)
end

local GID_LIMIT = 64

local function new_gid(db, session)
  local function short(text, limit) return (text:gsub("[^%w-]", "-"):sub(1, limit)) end
  local gid = ("ddb1_%s_%s_%d_%s"):format(short(db.name, 12), short(core.hostname(), 10),
    session, ulid())
  assert(#gid <= GID_LIMIT)
  return gid
end

--- One attempt. The connections go back to their pools in the end; broken ones are closed there.
local function attempt(db, fn, deadline)
  local primary = db.primary:acquire()
  local guard <close> = setmetatable({}, { __close = function() db.primary:release(primary) end })
  local secondary = db.secondary:acquire()
  local guard2 <close> = setmetatable({}, {
    __close = function() db.secondary:release(secondary) end,
  })
  local left = deadline - core.clock()
  primary:set_timeout(math.max(left, 0.001))
  secondary:set_timeout(math.max(left, 0.001))

  local dual <close> = core.dual(primary, secondary)
  local tx = setmetatable({ db = db, dual = dual, primary = primary }, Transaction)
  local gid = new_gid(db, primary:info().session)
  db.current = tx
  local results = table.pack(pcall(fn, tx))
  db.current = nil
  if results[1] and tx.refused then results = { false, tx.refused, n = 2 } end
  if results[1] then
    local ok, err = pcall(dual.commit, dual)
    if not ok then results = { false, err, n = 2 } end
  end
  tx.dual = nil
  if not results[1] then
    dual:rollback()
    error(results[2], 0)
  end
  return gid, results
end

local function retry_wait(policy, attempts)
  local most = math.min(policy.retry.cap, policy.retry.base * 2 ^ (attempts - 1))
  return math.random() * most
end

--- Runs fn(tx) as a dual write: both sides or neither. Errors of retryable classes run the whole
--- function again, with full jitter, until the policy's deadline; so fn must be safe to run again.
--- Returns what fn returned, then how it went: { gid, sides, journaled, attempts }.
---@param db dualdb.Database
---@param fn fun(tx: dualdb.Transaction): any
function write.run(db, fn)
  if db.current then return fn(db.current) end  -- a nested write joins the outer one
  local policy = db.policy
  local deadline = core.clock() + policy.deadline
  local attempts = 0
  while true do
    attempts = attempts + 1
    local ok, gid, results = pcall(attempt, db, fn, deadline)
    if ok then
      local how = {
        gid = gid, sides = { "primary", "secondary" }, journaled = false, attempts = attempts,
      }
      results.n = math.max(results.n, 2) + 1  -- how comes second even when fn returned nothing
      results[results.n] = how
      return table.unpack(results, 2, results.n)
    end
    local err = gid
    local again = errors.is(err) and err.retryable and err.outcome == "not_applied"
    local wait = retry_wait(policy, attempts)
    if not again or core.clock() + wait >= deadline then error(err, 0) end
    core.sleep(wait)
  end
end

return write
