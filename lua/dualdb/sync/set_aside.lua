--- Indexes and foreign keys that are dropped while the secondary's empty table is loaded, and made
--- again afterwards. A note in dualdb_set_aside comes and goes in the transaction that drops or
--- makes the thing itself, so that whoever comes later can make what is missing.

local core = require "dualdb.core"
local definitions = require "dualdb.sync.definitions"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local orphans = require "dualdb.sync.orphans"
local patience = require "dualdb.sync.patience"
local quarantine = require "dualdb.quarantine"

local set_aside = {}

---@class dualdb.SetAside
---@field model string
---@field table string            the secondary's
---@field name string
---@field kind "index"|"unique"|"foreign_key"   unique is a constraint; an index may be unique too
---@field definition string
---@field comment string|nil

local function quote(name) return core.quote("postgres", name) end

-- ---- setting aside ----

--- A foreign key that another run has begun to make again is not valid yet, but shall be.
local NOTE = [[
insert into dualdb_set_aside as n (tab, kind, name, model, definition, comment)
values (?, ?, ?, ?, ?, ?)
on conflict (tab, kind, name) do update
set model = excluded.model, comment = excluded.comment,
  definition = case when excluded.definition = n.definition || ' NOT VALID' then n.definition
                    else excluded.definition end
returning definition]]

local function is_empty(conn, quoted)
  return #conn:query(("select 1 as one from %s limit 1"):format(quoted)) == 0
end

local function drop(conn, of, entry)
  if entry.kind == "index" then
    conn:execute(("drop index %s.%s"):format(quote(of.schema), quote(entry.name)))
  else
    conn:execute(("alter table %s drop constraint %s"):format(of.quoted, quote(entry.name)))
  end
end

--- The table, if it is empty and there is something to drop.
local function worth_it(conn, spec)
  local of = definitions.table(conn, spec.table.secondary)
  if of and of.changeable and is_empty(conn, of.quoted)
    and #definitions.movable(conn, spec, of.quoted) > 0 then
    return of
  end
end

--- Drops the indexes and foreign keys of the model's table that can be spared while it is loaded,
--- if it is empty, and notes them. Raises class `transient`, with nothing dropped, when others keep
--- the table locked.
---@param db dualdb.Database
---@param spec dualdb.Spec
---@param options { lock_timeout: number|nil, attempts: integer|nil }|nil   lock_timeout in seconds
---@return dualdb.SetAside[]
function set_aside.take(db, spec, options)
  -- Before others are kept out.
  if not db.secondary:transaction(function(conn) return worth_it(conn, spec) end) then return {} end
  return patience.transaction(db, options, function(conn)
    local name, taken = spec.table.secondary, {}
    conn:execute(("lock table %s in access exclusive mode"):format(quote(name)))
    local of = worth_it(conn, spec)
    if not of then return taken end
    for i, entry in ipairs(definitions.movable(conn, spec, of.quoted)) do
      local noted = conn:query(NOTE, name, entry.kind, entry.name, spec.name, entry.definition,
        entry.comment or core.NULL)[1]
      drop(conn, of, entry)
      taken[i] = {
        model = spec.name, table = name, name = entry.name, kind = entry.kind,
        definition = noted.definition, comment = entry.comment,
      }
    end
    return taken
  end)
end

-- ---- what is to be made again ----

local PENDING = [[
select model, tab as table, name, kind, definition, comment from dualdb_set_aside
order by kind = 'foreign_key', tab collate "C", name collate "C"]]

--- What is set aside and not made again yet: indexes first, since the foreign keys of other tables
--- may need them. Never writes.
---@param db dualdb.Database
---@param model_names string[]|nil   default all
---@return dualdb.SetAside[]
function set_aside.pending(db, model_names)
  local wanted = {}
  for _, name in ipairs(model_names or {}) do wanted[name] = true end
  return db.secondary:with(function(conn)
    local list = {}
    if not conn:query("select to_regclass('dualdb_set_aside') is not null as there")[1].there then
      return list
    end
    for _, entry in ipairs(conn:query(PENDING)) do
      if entry.comment == core.NULL then entry.comment = nil end
      if not model_names or wanted[entry.model] then list[#list + 1] = entry end
    end
    return list
  end)
end

--- Locks the note; false when somebody else has made it good.
local function hold_note(conn, entry)
  return #conn:query("select 1 as one from dualdb_set_aside where tab = ? and kind = ? "
    .. "and name = ? for update", entry.table, entry.kind, entry.name) > 0
end

local function delete_note(conn, entry)
  conn:execute("delete from dualdb_set_aside where tab = ? and kind = ? and name = ?", entry.table,
    entry.kind, entry.name)
end

local KINDS = { index = "index", unique = "unique constraint", foreign_key = "foreign key" }

local function add_constraint(of, entry, more)
  return ("alter table %s add constraint %s %s%s"):format(of.quoted, quote(entry.name),
    entry.definition, more or "")
end

local function without_state(definition)
  return (definition:gsub(" NOT VALID$", ""))
end

--- Whether it is there, as it was. Raises class `schema` when something else has its name.
local function is_there(conn, of, entry)
  for _, found in ipairs(definitions.all(conn, of.quoted)) do
    local same_space = (found.kind == "foreign_key") == (entry.kind == "foreign_key")
    if found.name == entry.name and same_space then
      if found.kind == entry.kind
        and without_state(found.definition) == without_state(entry.definition) then
        return true, found
      end
      error(errors.make("schema", ("table %s has another %s %s than the one that was set aside")
        :format(entry.table, KINDS[found.kind], entry.name), {
          model = entry.model, side = "secondary", detail = "set aside: " .. entry.definition,
          hint = ("Rename or drop it; or, if it replaces that one, delete the row of %s from "
            .. "dualdb_set_aside."):format(entry.name),
        }), 0)
    end
  end
  return false
end

local function put_comment(conn, of, entry)
  if not entry.comment then return end
  local text = entry.kind == "index"
    and conn:query("select format('comment on index %I.%I is %L', ?::text, ?::text, ?::text) as v",
      of.schema, entry.name, entry.comment)[1].v
    or conn:query("select format('comment on constraint %I on %s is %L', ?::text, ?::text, "
      .. "?::text) as v", entry.name, of.quoted, entry.comment)[1].v
  conn:execute(text)
end

-- ---- indexes ----

--- The server's own bound, in kB.
local MOST_MEMORY = 2147483647

---@param options { memory: integer|nil, workers: integer|nil, lock_timeout: number|nil }
local function prepare(conn, options)
  patience.unlimited(conn)
  conn:query("select set_config('default_tablespace', '', true)")
  if options.memory then
    local wanted = math.min(options.memory // 1024, MOST_MEMORY)
    conn:query("select set_config(name, ?::bigint || 'kB', true) from pg_settings "
      .. "where name = 'maintenance_work_mem' and setting::bigint < ?", wanted, wanted)
  end
  if options.workers then
    conn:query("select set_config('max_parallel_maintenance_workers', ?::bigint::text, true)",
      options.workers)
  end
  if options.lock_timeout then
    conn:execute(("set local lock_timeout = %d"):format(math.ceil(options.lock_timeout * 1000)))
  end
end

--- Opens the transaction that makes an index or a unique constraint again, and returns the slow
--- statement; nil when there is nothing left to run: it is there, or its table is gone.
--- set_aside.finish follows in either case, and `rollback` after an error.
---@param conn any          of the secondary
---@param entry dualdb.SetAside
---@param options { memory: integer|nil, workers: integer|nil, lock_timeout: number|nil }|nil
---   bytes of maintenance_work_mem, if it has fewer; max_parallel_maintenance_workers; seconds
---@return string|nil
function set_aside.begin(conn, entry, options)
  conn:execute("begin")
  prepare(conn, options or {})
  if not hold_note(conn, entry) then return nil end
  local of = definitions.table(conn, entry.table)
  if not of or is_there(conn, of, entry) then return nil end
  return entry.kind == "index" and entry.definition or add_constraint(of, entry)
end

--- After the statement of set_aside.begin: deletes the note and commits.
---@param conn any
---@param entry dualdb.SetAside
function set_aside.finish(conn, entry)
  if hold_note(conn, entry) then
    local of = definitions.table(conn, entry.table)
    if of then put_comment(conn, of, entry) end
    delete_note(conn, entry)
  end
  conn:execute("commit")
end

--- Makes an index, a unique constraint or a foreign key again.
---@param db dualdb.Database
---@param entry dualdb.SetAside
---@param options table|nil   of set_aside.begin, or of set_aside.restore_foreign_key
function set_aside.restore(db, entry, options)
  if entry.kind == "foreign_key" then
    return set_aside.restore_foreign_key(db, entry, nil, options)
  end
  return db.secondary:with(function(conn)
    local ok, err = pcall(function()
      local statement = set_aside.begin(conn, entry, options)
      if statement then conn:execute(statement) end
      set_aside.finish(conn, entry)
    end)
    if ok then return end
    pcall(conn.execute, conn, "rollback")  -- a connection that is broken is closed by its release
    error(err, 0)
  end)
end

-- ---- foreign keys ----

--- Adds the key so that it holds for rows that are written from now on. Returns whether the rows
--- that are there have to be looked at.
local function add_unvalidated(db, entry, options)
  return patience.transaction(db, options, function(conn)
    if not hold_note(conn, entry) then return false end
    local of = definitions.table(conn, entry.table)
    if not of then
      delete_note(conn, entry)
      return false
    end
    local was_valid = without_state(entry.definition) == entry.definition
    if not is_there(conn, of, entry) then
      conn:execute(add_constraint(of, entry, was_valid and " NOT VALID" or ""))
      put_comment(conn, of, entry)
    end
    if not was_valid then delete_note(conn, entry) end
    return was_valid
  end)
end

--- Hands rows without their parents over until there are none.
local function clear_orphans(db, spec, entry, on_orphan)
  local before
  while true do
    local keys = orphans.find(db, spec, entry.name)
    if #keys == 0 then return end
    local found = table.concat(keys)
    if found == before then
      errors.raise("integrity", "model %s: rows that have no parent by foreign key %s stay",
        spec.name, entry.name)
    end
    before = found
    for from = 1, #keys, fetch.BATCH do
      on_orphan(table.move(keys, from, math.min(from + fetch.BATCH - 1, #keys), 1, {}))
    end
  end
end

local function validate(db, entry, options)
  patience.transaction(db, options, function(conn)
    patience.unlimited(conn)
    if not hold_note(conn, entry) then return end
    local of = definitions.table(conn, entry.table)
    conn:execute(("alter table %s validate constraint %s"):format(of.quoted, quote(entry.name)))
    delete_note(conn, entry)
  end)
end

--- Makes a foreign key again: first for new rows, then for those that are there. on_orphan(keys) is
--- given rows whose parent is absent and has to take them away; set_aside.quarantine_orphans is the
--- default. The indexes of all tables come before. What was begun and not ended goes on.
---@param db dualdb.Database
---@param entry dualdb.SetAside
---@param on_orphan (fun(keys: string[]))|nil
---@param options { lock_timeout: number|nil, attempts: integer|nil }|nil
function set_aside.restore_foreign_key(db, entry, on_orphan, options)
  local spec = db:spec(entry.model)
  if not add_unvalidated(db, entry, options) then return end
  clear_orphans(db, spec, entry,
    on_orphan or set_aside.quarantine_orphans(db, spec, quarantine.bin(db, spec)))
  validate(db, entry, options)
end

--- What restore_foreign_key takes to put rows without their parents into quarantine.
---@param db dualdb.Database
---@param spec dualdb.Spec
---@param bin dualdb.Bin
---@return fun(keys: string[])
function set_aside.quarantine_orphans(db, spec, bin)
  return orphans.quarantine(db, spec, bin)
end

return set_aside
