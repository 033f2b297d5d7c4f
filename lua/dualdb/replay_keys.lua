--- Replay of some keys of a model, by state: their rows are locked on both sides, the primary's
--- first as every dual write does it, and the side with the truth gives the other what it has now.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local journal = require "dualdb.journal"
local quarantine = require "dualdb.quarantine"
local decide = require "dualdb.repair.decide"
local statement = require "dualdb.statement"
local bring = require "dualdb.bring"

local replay_keys = {}

--- Seconds that a lock is waited for.
local LOCK_WAIT = 2
--- Seconds that older transactions of the secondary are waited for, at first and at most.
local FIRST_HORIZON, MOST_HORIZON = 0.25, 2

---@class dualdb.ReplayItem      a key with entries
---@field key string              canonical
---@field digest string
---@field ids { primary: integer[], secondary: integer[] }   entries, listed before any lock
---@field outcome "done"|"conflict"|"refused"|"failed"|"later"|nil
---@field reason string|nil
---@field taken boolean|nil       failed: another row has a value of it
---@field tries integer           how often older transactions were in the way

--- A point at which a spec may have the process die.
local function step(name)
  core.crash_point("replay." .. name)
end
replay_keys.step = step

-- ---- the two transactions ----

---@class dualdb.ReplayRun
---@field db dualdb.Database
---@field conns { primary: userdata, secondary: userdata }
local Run = {}
Run.__index = Run

--- Connections of their own: what is set on them is nobody else's.
---@param db dualdb.Database
---@return dualdb.ReplayRun
function replay_keys.open(db)
  return setmetatable({ db = db, conns = {} }, Run)
end

--- Connects where there is no connection that can be used.
function Run:connect()
  for _, name in ipairs { "primary", "secondary" } do
    local conn = self.conns[name]
    if conn and (not conn:reusable() or conn:hung_up()) then
      conn:close()
      self.conns[name], conn = nil, nil
    end
    if not conn then
      conn = self.db[name]:connect()
      self.conns[name] = conn
      if name == "primary" then
        conn:execute(("set session innodb_lock_wait_timeout = %d"):format(LOCK_WAIT))
      end
    end
  end
end

function Run:close()
  for _, conn in pairs(self.conns) do conn:close() end
  self.conns = {}
end
Run.__close = Run.close

function Run:rollback()
  for _, conn in pairs(self.conns) do
    if not conn:reusable() then pcall(conn.execute, conn, "rollback") end
  end
end

--- Runs fn while no other replay has the same model in its hands, if they let go of it in time. Two
--- of them can both hold the gap of a key that the primary does not have, and wait for each other
--- on the secondary: nothing goes wrong then, but no server sees it before a time-out.
---@param model string
function Run:alone(model, fn)
  local conn = self.conns.primary
  local name = "dualdb_replay:" .. core.digest(core.pack("tt",
    { self.db.primary.settings.dbname or "", model }))
  pcall(conn.query, conn, "select get_lock(?, ?) as got", name, LOCK_WAIT)
  local ok, result = pcall(fn)
  if self.conns.primary == conn and conn:reusable() then
    pcall(conn.query, conn, "select release_lock(?) as released", name)
  end
  if not ok then error(result, 0) end
  return result
end

--- Under REPEATABLE READ the gap of an absent key is locked.
local function begin_primary(run)
  run.conns.primary:execute "set transaction isolation level repeatable read"
  run.conns.primary:execute "start transaction"
end

--- Each statement sees what has been committed before it.
local function begin_secondary(run)
  local conn = run.conns.secondary
  conn:execute "begin isolation level read committed"
  conn:execute(("set local lock_timeout = %d"):format(LOCK_WAIT * 1000))
  conn:execute "set constraints all deferred"
end

local function commit(run, side)
  local result = run.conns[side]:execute "commit"
  if result.tag == "ROLLBACK" then
    errors.raise("transient", "the %s rolled back instead of committing", side)
  end
end

local function forget(run, side, ids)
  journal.remove(run.conns[side], run.db[side].driver, ids)
end

--- Ends both transactions: `first` is the side that was written, `second` has the truth. The
--- entries of the truth go only when the other side has committed what they name.
local function finish(run, first, second, ids)
  forget(run, first, ids[first])
  commit(run, first)
  step "first_committed"
  forget(run, second, ids[second])
  step "entries_deleted"
  commit(run, second)
  step "done"
end

local function ids_of(items)
  local ids = { primary = {}, secondary = {} }
  for _, item in ipairs(items) do
    for side, list in pairs(item.ids) do
      table.move(list, 1, #list, #ids[side] + 1, ids[side])
    end
  end
  return ids
end

local function keys_of(items)
  local keys = {}
  for i, item in ipairs(items) do keys[i] = item.key end
  return keys
end

local function digests_of(items)
  local digests = {}
  for i, item in ipairs(items) do digests[i] = item.digest end
  return digests
end

-- ---- rows that the secondary does not have ----

-- A transaction id of its own: a snapshot's xmax can be that of an open transaction, as long as
-- none that began later has ended.
local NOW = "select pg_current_xact_id()::text as v"
local PASSED = "select pg_snapshot_xmin(pg_current_snapshot()) >= ?::text::xid8 as v"

--- Waits until no transaction is open on the secondary that is older than this question. Its row
--- could be one that nobody sees yet, and an absent row cannot be locked. Prepared transactions
--- count. Returns false when `seconds` did not do.
---@param conn userdata   of the secondary, not within a transaction
function replay_keys.wait_for_older(conn, seconds)
  local horizon = conn:query(NOW)[1].v
  local stop, pause = core.clock() + seconds, 0.001
  while not conn:query(PASSED, horizon)[1].v do
    local left = stop - core.clock()
    if left <= 0 then return false end
    core.sleep(math.min(pause, left))
    pause = math.min(2 * pause, 0.05)
  end
  step "horizon"
  return true
end

local OLDER = "a transaction of the secondary that began earlier is still open"
replay_keys.OLDER = OLDER

--- Of the items whose absence on the secondary would be believed, those that are absent there are
--- waited for; when that takes too long they are left for later. Returns the items to go on with,
--- and the digests whose absence can be believed.
local function believe(run, spec, items, matters)
  local asked = {}
  for _, item in ipairs(items) do
    if matters(item) then asked[#asked + 1] = item end
  end
  if #asked == 0 then return items, {} end
  local there = fetch.many(run.conns.secondary, spec, "secondary",
    fetch.crossable_keys(spec, keys_of(asked)))
  local absent, tries = {}, math.huge
  for _, item in ipairs(asked) do
    if not there[item.key] then
      absent[item.digest] = true
      tries = math.min(tries, item.tries or 0)
    end
  end
  if not next(absent) then return items, absent end
  local seconds = math.min(FIRST_HORIZON * 2 ^ tries, MOST_HORIZON)
  if replay_keys.wait_for_older(run.conns.secondary, seconds) then return items, absent end
  local rest = {}
  for _, item in ipairs(items) do
    if absent[item.digest] then
      item.outcome, item.reason, item.tries = "later", OLDER, (item.tries or 0) + 1
    else
      rest[#rest + 1] = item
    end
  end
  return rest, {}
end

-- ---- locking ----

--- What the secondary shall hold of the primary's row: crossed row or nil, and why it cannot.
local function cross(crosser, item, packed)
  item.stored = packed
  if not packed then return end
  local ok, crossed, column, reason = pcall(crosser, packed)
  if not ok then
    local err = errors.wrap(crossed)
    if err.class == "canceled" then error(err, 0) end
    item.reason = "transform failed: " .. err.message
  elseif reason then
    item.column, item.why = column, reason
    item.reason = quarantine.text(column, reason)
  else
    item.crossed = crossed
  end
end

--- Locks the rows of the items on both sides and reads them: item.stored and item.crossed are the
--- primary's, item.other the secondary's. Returns the items that are locked; the others have an
--- outcome, and nothing of theirs is written.
local function lock(run, spec, items, matters)
  table.sort(items, function(a, b) return a.key < b.key end)
  begin_primary(run)
  local rows = fetch.many(run.conns.primary, spec, "primary", keys_of(items), "update")
  step "primary_locked"
  local crosser = fetch.crosser(spec)
  for _, item in ipairs(items) do
    item.outcome, item.reason, item.column, item.why, item.crossed = nil, nil, nil, nil, nil
    cross(crosser, item, rows[item.key])
  end
  local left, absent = believe(run, spec, items, matters)
  begin_secondary(run)
  rows = fetch.many(run.conns.secondary, spec, "secondary",
    fetch.crossable_keys(spec, keys_of(left)), "update")
  step "secondary_locked"
  local locked = {}
  for _, item in ipairs(left) do
    item.other = rows[item.key]
    if not item.other and matters(item) and not absent[item.digest] then
      item.outcome, item.reason = "later", OLDER   -- it went between the two looks
    else
      locked[#locked + 1] = item
    end
  end
  return locked
end

--- The row that the primary gives, for comparison with the secondary's.
local function of_primary(item) return item.reason and item.stored or item.crossed end

local function is_equal(spec, item)
  return not item.reason and fetch.same(spec, of_primary(item), item.other)
end

-- ---- writing ----

--- Gives the secondary the primary's rows, and returns the items that now are as they shall be.
local function write_secondary(run, spec, items)
  local rows, gone, settled = {}, {}, {}
  for _, item in ipairs(items) do
    if item.reason then
      item.outcome = "refused"
    else
      settled[#settled + 1] = item
      if not is_equal(spec, item) then
        if item.crossed then rows[#rows + 1] = item.crossed else gone[#gone + 1] = item.key end
      end
    end
  end
  local conn = run.conns.secondary
  if #gone > 0 then
    conn:put(spec.statements.secondary:delete_keys(#gone), spec.key_kinds:rep(#gone),
      table.concat(gone))
  end
  if #rows > 0 then bring.write_rows(conn, spec, rows) end
  step "written"
  return settled
end

local function write_row(run, spec, side, key, from, wanted)
  local action = not wanted and "delete" or from and "update" or "insert"
  statement.run(run.conns[side], spec,
    { side = side, action = action, row = wanted, from = from }, key)
end

--- Gives the primary the secondary's rows. A column that the model's transform changes keeps what
--- the primary has, unless the secondary has changed it since.
local function write_primary(run, spec, items)
  for _, deleting in ipairs { true, false } do
    for _, item in ipairs(items) do
      if (item.other == nil) == deleting and not is_equal(spec, item) then
        write_row(run, spec, "primary", item.key, of_primary(item) or item.stored, item.other)
      end
    end
  end
  step "written"
  return items
end

--- The items without those that have an entry on the other side too.
local function without_conflicts(run, spec, side, items)
  local dirty = journal.dirty(run.conns[side], spec.name, digests_of(items))
  local rest = {}
  for _, item in ipairs(items) do
    if dirty[item.digest] then item.outcome = "conflict" else rest[#rest + 1] = item end
  end
  return rest
end

local function always() return true end

-- A delete is believed to be one only when no older insert is under way.
local function is_delete(item) return item.crossed == nil and not item.reason end

--- Each returns the items that can be committed, or nil when conflicts came to light after rows had
--- been written.
local DIRECTIONS = {
  primary = function(run, spec, items, before)
    local locked = lock(run, spec, items, is_delete)
    if before then before(run.conns.secondary, locked) end
    local settled = write_secondary(run, spec, locked)
    -- Asked when the rows are locked: who writes the secondary alone commits before or waits.
    if #without_conflicts(run, spec, "secondary", settled) < #settled then return nil end
    return settled
  end,
  secondary = function(run, spec, items, before)
    local locked = lock(run, spec, items, always)
    -- The transaction's first read that locks nothing: it sees everything up to now.
    local rest = without_conflicts(run, spec, "primary", locked)
    if before then before(run.conns.primary, rest) end
    return write_primary(run, spec, rest)
  end,
}

--- Brings items over that have entries on the side `truth` alone, as one: each has an outcome
--- then. What the servers say is raised, and nothing is open or changed in that case.
---@param run dualdb.ReplayRun
---@param spec dualdb.Spec
---@param truth "primary"|"secondary"
---@param items dualdb.ReplayItem[]
---@param before fun(conn: userdata, locked: dualdb.ReplayItem[])|nil   on the side that is written
function replay_keys.move(run, spec, truth, items, before)
  local rest = items
  while #rest > 0 do
    local settled = DIRECTIONS[truth](run, spec, rest, before)
    if settled then
      finish(run, journal.other(truth), truth, ids_of(settled))
      for _, item in ipairs(settled) do item.outcome = "done" end
      return
    end
    run:rollback()
    local again = {}
    for _, item in ipairs(rest) do
      if item.outcome ~= "conflict" and item.outcome ~= "later" then again[#again + 1] = item end
    end
    rest = again
  end
end

-- ---- conflicts ----

local BOTH = "written on both sides"

--- Settles a key with entries on both sides, if the rows are equal or a strategy says which is
--- right.
---@param strategy function|nil
function replay_keys.decide(run, spec, item, strategy)
  if #lock(run, spec, { item }, always) == 0 then return run:rollback() end
  local a, b = of_primary(item), item.other
  local first, second, wanted = "secondary", "primary", a
  if not is_equal(spec, item) then
    if not strategy then
      item.outcome, item.reason = "conflict", BOTH
      return run:rollback()
    end
    local verdict
    verdict, wanted = decide.row(spec, strategy, {
      key = item.key, kind = not a and "extra" or b and "changed" or "missing", primary = a,
      secondary = b, column = item.column, reason = item.why,
    })
    if verdict ~= "row" then
      item.outcome = verdict == "refused" and "refused" or "conflict"
      item.reason = wanted
      return run:rollback()
    end
    if wanted ~= b then write_row(run, spec, "secondary", item.key, b, wanted) end
    if wanted ~= a then write_row(run, spec, "primary", item.key, a or item.stored, wanted) end
    if wanted == b then first, second = second, first end
  end
  step "written"
  local ids, after = ids_of { item }, {}
  if wanted ~= a and wanted ~= b then ids.secondary, after = {}, ids.secondary end
  finish(run, first, second, ids)
  forget(run, "secondary", after)
  item.outcome = "done"
end

return replay_keys
