--- The journal: keys of rows that one side has and the other lacks, or has in an older state. An
--- entry is on the side that has the truth, and got there in the transaction that made it true.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"

local journal = {}

--- The digest of an entry that stands for a model as a whole.
journal.WHOLE = "*"

--- Rows of one statement.
local BATCH = 500
--- Bytes of keys of one statement.
local BATCH_BYTES = 1024 * 1024
--- Dual writes whose own entries are removed together.
local SETTLED = 100
--- Writes between two looks at how many entries there are, at most.
local COUNT_EVERY = 1000

local OTHER = { primary = "secondary", secondary = "primary" }

---@param side "primary"|"secondary"
function journal.other(side) return OTHER[side] end

--- What this process remembers of each database.
local memory = setmetatable({}, { __mode = "k" })

local function memory_of(db)
  if not memory[db] then
    memory[db] = { settled = {}, writes = { primary = {}, secondary = {} }, crowded = {} }
  end
  return memory[db]
end

local function marks(count) return ("?, "):rep(count - 1) .. "?" end

-- ---- putting entries in ----

local ENTRY_KINDS = "tttxt"
local INSERT = "insert into dualdb_journal (model, key_digest, kinds, canonical, gid) values "

local function whole_entry(model, gid)
  return core.pack(ENTRY_KINDS, { model, journal.WHOLE, "", core.NULL, gid })
end

local function key_entry(spec, key, gid)
  return core.pack(ENTRY_KINDS,
    { spec.name, core.digest(key), spec.key_kinds, core.bytes(key), gid })
end

local INSERT_ONE = INSERT .. "(?, ?, ?, ?, ?)"

--- Calls put(to, sql, kinds, packed, count) for as many statements as the entries need.
local function put_entries(entries, put, to_whom)
  if #entries == 1 then return put(to_whom, INSERT_ONE, ENTRY_KINDS, entries[1], 1) end
  local from = 1
  while from <= #entries do
    local to, bytes = from, #entries[from]
    while to < #entries and to - from + 1 < BATCH and bytes + #entries[to + 1] <= BATCH_BYTES do
      to = to + 1
      bytes = bytes + #entries[to]
    end
    local count = to - from + 1
    put(to_whom, INSERT .. ("(?, ?, ?, ?, ?), "):rep(count - 1) .. "(?, ?, ?, ?, ?)",
      ENTRY_KINDS:rep(count), table.concat(entries, "", from, to), count)
    from = to + 1
  end
end

--- Counts the entries of a model now and then, so that no write has to.
local function watch(db, side, model)
  local known = memory_of(db)
  local cap = db.policy.journal_cap
  local writes = (known.writes[side][model] or 0) + 1
  known.writes[side][model] = writes
  if writes % math.max(1, math.min(COUNT_EVERY, cap // 10)) == 0 then
    known.crowded[#known.crowded + 1] = { side = side, model = model }
  end
end

local function put_on_primary(tx, sql, kinds, packed) tx.dual:primary(sql, kinds, packed) end

local function put_on_secondary(tx, sql, kinds, packed, count)
  tx.dual:secondary(sql, kinds, packed, count)
  tx.dual:settle()
end

--- Journals what a dual write has touched, on the side that it writes; after its last row lock and
--- before it commits.
---@param tx dualdb.Transaction
---@param side "primary"|"secondary"
function journal.enter(tx, side)
  local entries, names = {}, {}
  for name in pairs(tx.touched) do names[#names + 1] = name end
  if names[2] then table.sort(names) end
  for _, name in ipairs(names) do
    local touched = tx.touched[name]
    local before = #entries
    if touched.whole then
      entries[before + 1] = whole_entry(name, tx.gid)
    else
      local spec = tx.db:spec(name)
      for key in pairs(touched.keys) do entries[#entries + 1] = key_entry(spec, key, tx.gid) end
    end
    if #entries > before then watch(tx.db, side, name) end
  end
  put_entries(entries, side == "primary" and put_on_primary or put_on_secondary, tx)
end

--- Puts entries of keys in, outside of any dual write.
---@param conn userdata   in a transaction
---@param keys string[]
function journal.add_keys(conn, spec, keys, gid)
  local entries = {}
  for i, key in ipairs(keys) do entries[i] = key_entry(spec, key, gid) end
  put_entries(entries, conn.put, conn)
end

-- ---- taking entries out ----

local REMOVE = {
  -- With few rows the optimizer reads, and locks, all of them; unless it is told.
  mysql = "delete j from dualdb_journal j force index (primary) where j.id in (%s)",
  postgres = "delete from dualdb_journal where id in (%s)",
}

--- Removes exactly the entries with the ids.
---@param conn userdata
---@param driver string
---@param ids integer[]
function journal.remove(conn, driver, ids)
  for from = 1, #ids, BATCH do
    local to = math.min(from + BATCH - 1, #ids)
    conn:execute(REMOVE[driver]:format(marks(to - from + 1)), table.unpack(ids, from, to))
  end
end

--- Changes the state of entries after an attempt, with what there is to say about it.
---@param state "open"|"conflict"|"quarantined"
function journal.set_state(conn, ids, state, message)
  for from = 1, #ids, BATCH do
    local to = math.min(from + BATCH - 1, #ids)
    conn:execute(("update dualdb_journal set state = ?, last_error = ?, "
      .. "attempts = attempts + 1 where id in (%s)"):format(marks(to - from + 1)), state,
      message or core.NULL, table.unpack(ids, from, to))
  end
end

--- Writes down why entries are still there; they stay what they are.
function journal.note(conn, ids, message)
  for from = 1, #ids, BATCH do
    local to = math.min(from + BATCH - 1, #ids)
    conn:execute(("update dualdb_journal set last_error = ? where id in (%s)"):format(
      marks(to - from + 1)), message or core.NULL, table.unpack(ids, from, to))
  end
end

local function remove_settled(db, gids)
  db.primary:with(function(conn)
    -- No gaps are locked, in which others put their entries.
    conn:execute("set transaction isolation level read committed")
    conn:execute(("delete from dualdb_journal where gid in (%s)"):format(marks(#gids)),
      table.unpack(gids))
    core.crash_point "journal.removed"
  end)
end

--- Removes the entries of this process's own dual writes that both sides have. When that fails, a
--- replay finds nothing to do for them.
---@param db dualdb.Database
function journal.flush(db)
  local known = memory[db]
  if not known then return end
  local gids = known.settled
  known.settled = {}
  if db.breaker:state("primary") == "open" then return end
  for from = 1, #gids, BATCH do
    local batch = table.move(gids, from, math.min(from + BATCH - 1, #gids), 1, {})
    local ok, err = pcall(remove_settled, db, batch)
    if not ok then
      err = errors.wrap(err)
      if err.class == "canceled" then error(err, 0) end
      log.emit("debug", "journal: own entries stay for the next replay: " .. tostring(err))
      break
    end
  end
  journal.tend(db)
end

--- A dual write that journaled on the primary is on both sides now: its entries can go, some time.
---@param db dualdb.Database
---@param gid string
function journal.settled(db, gid)
  local settled = memory_of(db).settled
  settled[#settled + 1] = gid
  if #settled >= SETTLED then journal.flush(db) end
end

-- ---- the cap ----

--- One entry for the model as a whole takes the place of all that are there when it is over its
--- cap. Entries that come later stay: who replays the mark may have begun before them.
local function make_room(db, side, model)
  local at, cap = db[side], db.policy.journal_cap
  local found = at:query(("select id from dualdb_journal where model = ? and key_digest <> ? "
    .. "limit %d"):format(cap + 1), model, journal.WHOLE)
  if #found <= cap then return false end
  found = at:query("select id from dualdb_journal where model = ?", model)
  local ids = {}
  for i, entry in ipairs(found) do ids[i] = entry.id end
  local first = table.move(ids, 1, math.min(BATCH, #ids), 1, {})
  local mark = whole_entry(model, "cap")
  at:transaction(function(conn)
    put_entries({ mark }, conn.put, conn)
    journal.remove(conn, at.driver, first)
  end)
  for from = #first + 1, #ids, BATCH do
    local batch = table.move(ids, from, math.min(from + BATCH - 1, #ids), 1, {})
    at:with(journal.remove, at.driver, batch)
  end
  log.emit("warn", ("journal: model %s has more than %d entries on the %s and is marked to be "
    .. "compared as a whole"):format(model, cap, side), { model = model, side = side })
  return true
end

--- Has a model that is over its cap marked as a whole, when it is time to look.
---@param db dualdb.Database
function journal.tend(db)
  local known = memory[db]
  if not known or #known.crowded == 0 then return end
  local crowded = known.crowded
  known.crowded = {}
  for _, entry in ipairs(crowded) do
    if db.breaker:state(entry.side) ~= "open" then
      local ok, err = pcall(make_room, db, entry.side, entry.model)
      if not ok and errors.wrap(err).class == "canceled" then error(err, 0) end
    end
  end
end

--- The same for all models given, at once; errors are raised.
function journal.keep_cap(db, names)
  for _, name in ipairs(names) do
    for _, side in ipairs { "primary", "secondary" } do make_room(db, side, name) end
  end
end

-- ---- asking ----

local function is_missing(err)
  return errors.is(err) and (err.code == 1146 or err.sqlstate == "42P01")
end

--- A question that finds nothing where dualdb's tables do not exist.
local function ask(conn, sql, ...)
  local ok, rows = pcall(conn.query, conn, sql, ...)
  if ok then return rows end
  if is_missing(rows) then return {} end
  return error(rows, 0)
end

--- Whether a side has the table.
---@param side dualdb.Side
function journal.is_there(side)
  local ok, err = pcall(side.query, side, "select id from dualdb_journal where 1 = 0")
  if not ok and not is_missing(err) then error(err, 0) end
  return ok
end

--- Whether there is any entry, of whatever state.
---@param conn userdata|dualdb.Side   not within a transaction
---@return boolean
function journal.has_open(conn)
  return #ask(conn, "select id from dualdb_journal limit 1") > 0
end

--- How many entries of a model a side has.
---@param conn userdata|dualdb.Side   not within a transaction
---@param model string
---@return integer
function journal.count_of(conn, model)
  local found = ask(conn, "select count(*) as n from dualdb_journal where model = ?", model)
  return found[1] and found[1].n or 0
end

--- Entries of each side.
---@param db dualdb.Database
---@return { primary: integer, secondary: integer }
function journal.counts(db)
  local counts = {}
  for _, side in ipairs { "primary", "secondary" } do
    local found = ask(db[side], "select count(*) as n from dualdb_journal")
    counts[side] = found[1] and found[1].n or 0
  end
  return counts
end

--- Whether a side has any entry of a model, as it has seldom.
---@param conn userdata
---@param model string
---@return boolean
function journal.has(conn, model)
  return #ask(conn, "select 1 as one from dualdb_journal where model = ? limit 1", model) > 0
end

--- Which of the keys have an entry on a side, of whatever state: a set of digests. An entry for the
--- model as a whole is one for every key.
---@param conn userdata
---@param model string
---@param digests string[]
---@param unless string|nil   a state whose entries do not count
---@return table<string, boolean>
function journal.dirty(conn, model, digests, unless)
  local dirty = {}
  for from = 1, #digests, BATCH do
    local to = math.min(from + BATCH - 1, #digests)
    for _, entry in ipairs(ask(conn, ("select distinct key_digest from dualdb_journal where "
      .. "state <> ? and model = ? and key_digest in (%s)"):format(marks(to - from + 2)),
      unless or "", model, journal.WHOLE, table.unpack(digests, from, to))) do
      dirty[entry.key_digest] = true
    end
  end
  if dirty[journal.WHOLE] then
    for _, digest in ipairs(digests) do dirty[digest] = true end
  end
  return dirty
end

--- Which of the keys a replay will bring, or a person has to decide on. A quarantined entry of the
--- primary's journal is of a row that no replay brings: a repair may, as the primary has the truth.
---@param conn userdata
---@param side "primary"|"secondary"   whose journal it is
---@param model string
---@param digests string[]
---@return table<string, boolean>
function journal.pending(conn, side, model, digests)
  return journal.dirty(conn, model, digests, side == "primary" and "quarantined" or nil)
end

--- The entries of a model with the digests: { id, key_digest, kinds, canonical, state }.
---@return table[]
function journal.entries(conn, model, digests)
  local list = {}
  for from = 1, #digests, BATCH do
    local to = math.min(from + BATCH - 1, #digests)
    local found = conn:query(("select id, key_digest, kinds, canonical, state "
      .. "from dualdb_journal where model = ? and key_digest in (%s) order by id"):format(
        marks(to - from + 1)), model, table.unpack(digests, from, to))
    table.move(found, 1, #found, #list + 1, list)
  end
  return list
end

--- Digests of a model's entries in the states given, the oldest first, and each as often as it is
--- there. Marks of the model as a whole are among them.
---@param states string[]
---@return string[]
function journal.digests(conn, model, states)
  local list = {}
  for i, entry in ipairs(conn:query(("select key_digest from dualdb_journal where model = ? and "
    .. "state in (%s) order by id"):format(marks(#states)), model, table.unpack(states))) do
    list[i] = entry.key_digest
  end
  return list
end

-- ---- the journal of a database, for people ----

---@class dualdb.Journal
local Journal = {}
Journal.__index = Journal

---@param db dualdb.Database
---@return dualdb.Journal
function journal.of(db)
  return setmetatable({ db = db }, Journal)
end

local AGE = {
  mysql = "timestampdiff(microsecond, min(created_at), now(6)) / 1e6",
  postgres = "extract(epoch from clock_timestamp() - min(created_at))::float8",
}

local STATUS = [[
select model, count(case when state = 'open' then 1 end) as open,
       count(case when state = 'conflict' then 1 end) as conflict,
       count(case when state = 'quarantined' then 1 end) as quarantined,
       count(case when canonical is null then 1 end) as whole, %s as oldest_seconds
from dualdb_journal%s group by model order by model]]

local function of_models(names)
  if not names then return "" end
  if #names == 0 then return " where 1 = 0" end
  return (" where model in (%s)"):format(marks(#names))
end

--- Calls fn(side) for both; what one of them raises is in the result by its name, and not raised.
local function on_both(db, fn)
  local failures = {}
  for _, side in ipairs { "primary", "secondary" } do
    local ok, err = pcall(fn, db[side])
    if not ok then
      err = errors.wrap(err)
      if err.class == "canceled" or err.class == "internal" then error(err, 0) end
      failures[side] = err
    end
  end
  return failures
end

--- How many entries there are: { model, side, open, conflict, quarantined, whole, oldest_seconds }
--- for each model and side that has some. `whole` counts those that stand for the model as a whole.
--- Second result: errors of the sides that could not be asked, by side.
---@param names string[]|nil   models; default all
---@return table[], table<string, dualdb.Error>
function Journal:status(names)
  local list = {}
  local failures = on_both(self.db, function(side)
    for _, entry in ipairs(ask(side, STATUS:format(AGE[side.driver], of_models(names)),
      table.unpack(names or {}))) do
      entry.side = side.name
      list[#list + 1] = entry
    end
  end)
  return list, failures
end

--- Turns packed keys into JSON objects. Columns whose names are not known, when the servers cannot
--- be asked either, are called key1, key2 ...
local function key_writer(db, can_ask)
  local specs = {}
  local function names_of(model, count)
    if specs[model] == nil then
      local ok, spec = true, db.specs[model]
      if not spec and can_ask then ok, spec = pcall(db.spec, db, model) end
      specs[model] = ok and spec or false
    end
    if specs[model] and specs[model].key_count == count then return specs[model].key_names end
    local made = {}
    for i = 1, count do made[i] = "key" .. i end
    return made
  end
  return function(entry)
    if entry.canonical == core.NULL then return nil end
    return core.row_json(entry.kinds, entry.canonical, names_of(entry.model, #entry.kinds))
  end
end

--- The entries: { side, model, key, gid, state, attempts, last_error, created_at }, the oldest
--- first; `key` is JSON with exact values, nil for the model as a whole. Second result as in
--- status.
---@param names string[]|nil   models; default all
---@return table[], table<string, dualdb.Error>
function Journal:list(names)
  local list = {}
  local failures = on_both(self.db, function(side)
    for _, entry in ipairs(ask(side, "select model, kinds, canonical, gid, state, attempts, "
      .. "last_error, created_at from dualdb_journal" .. of_models(names) .. " order by model, id",
      table.unpack(names or {}))) do
      entry.side = side.name
      if entry.last_error == core.NULL then entry.last_error = nil end
      list[#list + 1] = entry
    end
  end)
  local key_of = key_writer(self.db, next(failures) == nil)
  for _, entry in ipairs(list) do
    entry.key = key_of(entry)
    entry.kinds, entry.canonical = nil, nil
  end
  return list, failures
end

--- Brings what the journals name to the other side. See dualdb.replay.
---@param options { models: string[]|nil, progress: function|nil, limit: integer|nil,
---   retry_quarantined: boolean|nil, strategy: string|function|nil }|nil
---@return dualdb.ReplayResult[]
function Journal:replay(options)
  local known = {
    models = true, progress = true, limit = true, retry_quarantined = true, strategy = true,
  }
  for name in pairs(options or {}) do
    if not known[name] then errors.usage("replay: unknown option %s", tostring(name)) end
  end
  return require("dualdb.replay").run(self.db, options or {})
end

return journal
