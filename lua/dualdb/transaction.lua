--- The transaction object that `db:write(fn)` gives to fn: what is written through it goes to the
--- sides that take part.

local batch = require "dualdb.batch"
local certain = require "dualdb.certain"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local on_secondary = require "dualdb.secondary_writes"
local row = require "dualdb.row"
local touched = require "dualdb.touched"

---@class dualdb.Transaction
---@field db dualdb.Database
---@field gid string
---@field mode "a1"|"a2"|"journaled"|"primary_only"|"secondary_only"
---@field primary any|nil      connection
---@field secondary any|nil    connection
---@field touched table<string, { keys: table<string, boolean>, whole: boolean }>
local Transaction = {}
Transaction.__index = Transaction
Transaction.__name = "dualdb.transaction"

---@return dualdb.Transaction
function Transaction.new(fields)
  fields.touched, fields.numbered, fields.savepoints = {}, {}, 0
  return setmetatable(fields, Transaction)
end

--- The end of the write. Who has kept the object is told so.
function Transaction:__close()
  local dual = self.dual
  self.dual = nil
  dual:close()
end

function Transaction:check()
  if not self.dual then errors.usage("the transaction has ended") end
  if self.refused then error(self.refused, 0) end
end

--- True when only the secondary takes part.
local function alone(self)
  return self.mode == "secondary_only"
end

-- ---- what was touched ----

--- Notes that the row with the key is written; returns the number of the note.
---@param spec dualdb.Spec
---@param key string|nil   packed; nil: rows that are not known
---@return integer
function Transaction:touch(spec, key)
  return self:touch_all(spec, key and { key })
end

local function note_in(list, model, keys)
  local entry = list[model]
  if not entry then
    entry = { keys = {}, whole = false }
    list[model] = entry
  end
  if not keys then
    entry.whole = true
    return
  end
  for _, key in ipairs(keys) do entry.keys[key] = true end
end

--- The same for the rows of one statement, under one number.
---@param keys string[]|nil
---@return integer
function Transaction:touch_all(spec, keys)
  note_in(self.touched, spec.name, keys)
  local number = #self.numbered + 1
  self.numbered[number] = { model = spec.name, keys = keys }
  -- Other rows than meant may have been met, of which nobody knows the keys: never let pass.
  return spec.key_folds and core.DUAL_MUST or number
end

--- What the notes with the numbers are of, in the form of `touched`.
---@param numbers integer[]
function Transaction:touched_by(numbers)
  local result = {}
  for _, number in ipairs(numbers) do
    local note = self.numbered[number]
    note_in(result, note.model, note.keys)
  end
  return result
end

-- ---- statements that the engine does not see ----

--- Runs a function of a connection; a failure makes the whole write fail, whoever catches it: the
--- server may have rolled back more than this statement.
function Transaction:call(side, method, ...)
  local conn = self[side]
  if side == "primary" then self.dual:ready() end
  local results = table.pack(pcall(conn[method], conn, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  self.dual:fail()
  self.failure = self.failure or results[2]
  return error(results[2], 0)
end

--- The stored row with the key on a side that takes part.
---@param lock "update"|nil
function Transaction:stored(side, spec, key, lock)
  local rows = self:call(side, "fetch", spec.statements[side]:select_by_key(lock), spec.key_kinds,
    key, spec.kinds)
  for _, found in ipairs(rows) do
    if core.prefix(found, spec.key_count) == key then return found end
  end
  return nil
end

--- The primary's row that was just written. It is locked, and read as it is now: where a statement
--- has set what was there already, the transaction's own view may be an older one.
function Transaction:written(spec, key)
  return self:stored("primary", spec, key, "update") or row.not_found(spec, key)
end

-- ---- rows on their way to the secondary ----

--- What the secondary holds for a stored row of the primary: the row, or nil when the model's
--- transform leaves it out. A row that it cannot hold ends the dual write, also when fn catches the
--- error: the primary has it already.
---@param crosser function|nil   of fetch, when there are many rows
---@return string|nil
function Transaction:for_secondary(spec, stored, crosser)
  local copy, column, reason = (crosser or fetch.crosser(spec))(stored)
  if not reason then return copy end
  self.refused = errors.make("data",
    ("model %s: column %s: %s, which the secondary cannot hold"):format(spec.name, column, reason),
    {
      model = spec.name, column = column, key = row.key_text(spec, stored), side = "secondary",
      hint = "`policies` of the model say what becomes of such values.",
    })
  return error(self.refused, 0)
end

--- Sends a statement to the secondary, when that takes part.
function Transaction:trail(text, kinds, packed, expected, number)
  if self.secondary then self.dual:secondary(text, kinds, packed, expected, number) end
end

--- The model with both its tables, which a server can roll back.
local function spec_of(self, model)
  self:check()
  local spec = self.db:spec(model)
  local engine = spec.primary_table and spec.primary_table.engine
  if engine and engine ~= "InnoDB" then
    error(errors.make("refused", ("model %s: table %s of the primary is %s, which cannot be rolled "
      .. "back"):format(spec.name, spec.primary_table.name, engine), { model = spec.name }), 0)
  end
  return spec
end

-- ---- insert ----

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

--- Inserts on the primary and returns the row as stored: MariaDB gives it with the insert.
local function insert_on_primary(self, spec, values)
  local indexes, kinds, packed = row.pack_given(spec, values)
  local builder = spec.statements.primary
  local text = builder:insert(builder:names(indexes))
  if self.returning then
    local rows = self:call("primary", "fetch",
      text .. " returning " .. builder:column_list(), kinds, packed, spec.kinds)
    core.crash_point(self.mode .. ".written")
    return rows[1]
  end
  local result = self.dual:primary(text, kinds, packed)
  return certain.row(spec, indexes, packed, result.insert_id)
    or self:written(spec, inserted_key(spec, values, result))
end

--- Inserts a row; returns it as stored, defaults filled in.
---@param model string
---@param values table<string, any>
---@return table<string, any>
function Transaction:insert(model, values)
  local spec = spec_of(self, model)
  if alone(self) then return on_secondary.insert(self, spec, values) end
  local stored = insert_on_primary(self, spec, values)
  local number = self:touch(spec, core.prefix(stored, spec.key_count))
  local copy = self:for_secondary(spec, stored)
  if copy then
    local indexes, names, kinds = row.writable(spec, "secondary")
    self:trail(spec.statements.secondary:insert(names), kinds, row.pick(copy, indexes), 1, number)
  end
  return row.unpack(spec, stored)
end

-- ---- update, delete, upsert ----

--- Gives the secondary's row with `key` all values of the primary's stored row.
function Transaction:overwrite_secondary(spec, key, stored, number)
  local copy = self:for_secondary(spec, stored)
  local builder = spec.statements.secondary
  local indexes, names, kinds = row.writable(spec, "secondary")
  if not fetch.transform(spec) then
    self:trail(builder:update(names), kinds .. spec.key_kinds, row.pick(copy, indexes) .. key, 1,
      number)
    return
  end
  -- The row may have been left out before, or is from now on.
  if not copy or core.prefix(copy, spec.key_count) ~= key then
    self:trail(builder:delete(), spec.key_kinds, key, -1, number)
  end
  if copy then self:trail(builder:upsert(names), kinds, row.pick(copy, indexes), -1, number) end
end

--- Sets the columns given on the row with the key. Returns the row as stored, or nil when there is
--- none.
---@return table<string, any>|nil
function Transaction:update(model, key, values)
  local spec = spec_of(self, model)
  local packed_key = row.pack_key(spec, key)
  local indexes, kinds, packed = row.pack_given(spec, values)
  if #indexes == 0 then errors.usage("model %s: update sets no column", spec.name) end
  if alone(self) then return on_secondary.update(self, spec, packed_key, values) end
  local result = self.dual:primary(
    spec.statements.primary:update(spec.statements.primary:names(indexes)),
    kinds .. spec.key_kinds, packed .. packed_key)
  local number = self:touch(spec, packed_key)
  if result.affected == 0 then
    -- The secondary must not have it either: the same statement has to find nothing there.
    local builder = spec.statements.secondary
    self:trail(builder:update(builder:names(indexes)), kinds .. spec.key_kinds,
      packed .. packed_key, 0, number)
    return nil
  end
  local new_key = {}
  local old = row.unpack_key(spec, packed_key)
  for i, name in ipairs(spec.key_names) do
    new_key[i] = values[name] ~= nil and values[name] or old[name]
  end
  local stored = self:written(spec, row.pack_key(spec, new_key))
  local stored_key = core.prefix(stored, spec.key_count)
  if stored_key ~= packed_key then self:touch(spec, stored_key) end
  self:overwrite_secondary(spec, packed_key, stored, number)
  return row.unpack(spec, stored)
end

--- Deletes the row with the key; true when there was one.
---@return boolean
function Transaction:delete(model, key)
  local spec = spec_of(self, model)
  local packed_key = row.pack_key(spec, key)
  if alone(self) then return on_secondary.delete(self, spec, packed_key) end
  local result = self.dual:primary(spec.statements.primary:delete(), spec.key_kinds, packed_key)
  local number = self:touch(spec, packed_key)
  self:trail(spec.statements.secondary:delete(), spec.key_kinds, packed_key,
    fetch.transform(spec) and -1 or result.affected, number)
  return result.affected > 0
end

--- Inserts the row, or sets the columns given when its key is there already. Returns it as stored.
--- A row that has another key, but one that a server takes for the same, is left alone: an error.
---@return table<string, any>
function Transaction:upsert(model, values)
  local spec = spec_of(self, model)
  local indexes, kinds, packed = row.pack_given(spec, values)
  local key = {}
  for i, name in ipairs(spec.key_names) do key[i] = values[name] end
  local packed_key = row.pack_key(spec, key)
  if alone(self) then return on_secondary.upsert(self, spec, packed_key, values) end
  local builder = spec.statements.primary
  local given = builder:names(indexes)
  if not self:stored("primary", spec, packed_key, "update") then
    self.dual:primary(builder:insert(given), kinds, packed)
  elseif #indexes > spec.key_count then
    local rest = {}
    for i = spec.key_count + 1, #indexes do rest[#rest + 1] = i end
    self.dual:primary(builder:update({ table.unpack(given, rest[1]) }),
      kinds:sub(rest[1]) .. spec.key_kinds, row.pick(packed, rest, packed_key))
  end
  local number = self:touch(spec, packed_key)
  local stored = self:written(spec, packed_key)
  local copy = self:for_secondary(spec, stored)
  if copy then
    local all, names, all_kinds = row.writable(spec, "secondary")
    local other = spec.statements.secondary
    self:trail(other:upsert(names), all_kinds, row.pick(copy, all), other.folding and 1 or -1,
      number)
  end
  return row.unpack(spec, stored)
end

-- ---- many rows ----

--- Inserts many rows, a slice of them with one statement on each side. Returns them as stored, in
--- order; or, with `returning = false`, how many they are, and holds only a slice of them at once.
--- An iterator must be made within the function of the write, which may run again.
---@param model string
---@param list table[]|fun(): table|nil
---@param options { returning: boolean|nil }|nil
---@return table[]|integer
function Transaction:insert_many(model, list, options)
  return batch.insert(self, spec_of(self, model), list, options)
end

--- Updates many rows. Each element of `list` is a row as far as it is given: the columns of the
--- key say which, the others are set. Returns the rows as stored, in order, with `false` for those
--- that do not exist; or, with `returning = false`, how many exist.
---@param model string
---@param list table[]|fun(): table|nil
---@param options { returning: boolean|nil }|nil
---@return (table|false)[]|integer
function Transaction:update_many(model, list, options)
  return batch.update(self, spec_of(self, model), list, options)
end

--- Deletes the rows with the keys; returns how many there were.
---@param model string
---@param keys any[]|fun(): any
---@return integer
function Transaction:delete_many(model, keys)
  return batch.delete(self, spec_of(self, model), keys)
end

-- ---- raw SQL and reads ----

--- Runs SQL on the sides that take part: the same text, or { mysql = ..., postgres = ... }, or
--- { sql = ... }. `touches = { Room = { 7 }, Message = true }` names the keys of what it writes
--- (true: any of the model's), which is needed when a side lacks it later. Returns the primary's
--- result, or the secondary's when that is alone.
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
  touched.by_statement(self, statement, alone(self) and secondary or primary)
  if alone(self) then return self.dual:execute("secondary", secondary, ...) end
  local result = self.dual:execute("primary", primary, ...)
  if self.secondary then self.dual:send(secondary, ...) end
  return result
end

--- Rows of a query inside the transaction, on the primary when that takes part.
function Transaction:query(text, ...)
  self:check()
  if alone(self) then self.dual:settle() end
  return self:call(alone(self) and "secondary" or "primary", "query", text, ...)
end

--- The row of a model with the key, read as in query; nil when absent.
function Transaction:get(model, key)
  self:check()
  local spec = self.db:spec(model)
  local side = alone(self) and "secondary" or "primary"
  if alone(self) then self.dual:settle() end
  local found = self:stored(side, spec, row.pack_key(spec, key))
  return found and row.unpack(spec, found)
end

-- ---- savepoints ----

--- The server has rolled back more than a statement, or may have.
local function undoes_more(err)
  return errors.is(err) and (err.class == "transient" or err.class == "unavailable")
end

--- Waits for what was done since the savepoint, and lets go of it: each costs the servers memory.
local function release(self, name)
  self.dual:settle()
  for _, side in ipairs { "primary", "secondary" } do
    if self[side] then self.dual:execute(side, "release savepoint " .. name) end
  end
end

--- Runs fn(tx, ...) so that its failure undoes no more than what it did; the error is raised on.
--- When a server has rolled back more than that (a deadlock), the whole write fails.
function Transaction:savepoint(fn, ...)
  self:check()
  if type(fn) ~= "function" then errors.usage("savepoint: function expected") end
  self.savepoints = self.savepoints + 1
  local name = ("dualdb_%d"):format(self.savepoints)
  self.dual:savepoint(name)
  local results = table.pack(pcall(fn, self, ...))
  if results[1] then
    local ok, err = pcall(release, self, name)
    if ok then return table.unpack(results, 2, results.n) end
    results = { false, err, n = 2 }
  end
  local err = results[2]
  if undoes_more(err) then self.refused = err end  -- also when fn's caller catches it
  if not undoes_more(self.refused) then
    self.dual:back_to(name)
    self.refused, self.failure = nil, nil
  end
  return error(err, 0)
end

return Transaction
