--- Dual writes: one attempt after the other, until the write is on both sides, on neither, or (when
--- the policy allows) on one with its keys in the journal.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local gids = require "dualdb.gid"
local heartbeat = require "dualdb.heartbeat"
local journal = require "dualdb.journal"
local log = require "dualdb.log"
local protocol = require "dualdb.protocol"
local recovery = require "dualdb.recovery"
local setup = require "dualdb.setup"
local Transaction = require "dualdb.transaction"

local write = {}

-- ---- who takes part ----

--- A side that is known to be down is not asked again before the breaker lets one of us try.
local function connect(db, name, deadline)
  if not db.breaker:allows(name) then
    error(errors.make("unavailable", ("the %s was unavailable a moment ago"):format(name),
      { side = name }), 0)
  end
  local ok, conn = pcall(db[name].acquire, db[name], "write", math.max(deadline - core.clock(), 0.05))
  if ok then return conn end
  db.breaker:failed(name, conn)
  return error(conn, 0)
end

local function is_down(err, side)
  return errors.is(err) and err.class == "unavailable" and (not side or err.side == side)
end

--- Seconds that the other side may take before a write goes on without it: a server that was suspended
--- wakes up in a few.
local function patience(db, deadline)
  return core.clock() + (deadline - core.clock()) * 0.6
end

---@class dualdb.Parts
---@field primary any|nil
---@field secondary any|nil
---@field mode string

--- The secondary first: one that has to wake up must not do so under locks of the primary.
local function connect_both(db, parts, options, deadline)
  local available = db.policy.preset == "available"
  local down = {}
  if not options.defer then
    local ok, conn = pcall(connect, db, "secondary", available and patience(db, deadline) or deadline)
    if ok then parts.secondary = conn else down.secondary = conn end
  end
  local ok, conn = pcall(connect, db, "primary",
    available and parts.secondary and patience(db, deadline) or deadline)
  if ok then parts.primary = conn else down.primary = conn end
  for name, err in pairs(down) do
    if not is_down(err, name) then error(err, 0) end
  end
  if down.primary and (down.secondary or options.defer or not available) then
    error(down.primary, 0)
  end
  if down.secondary and not available then error(down.secondary, 0) end
end

--- The secondary must not take writes alone when it lacks some of the primary's.
local function check_current(db)
  if db.state:get("secondary_lacks") == "1" then
    error(errors.make("unavailable", "the primary is down, and the secondary lacks writes that are in "
      .. "the primary's journal", { side = "primary" }), 0)
  end
end

local function choose_mode(db, parts)
  setup.ensure(db, parts.primary ~= nil and parts.secondary ~= nil)
  if not parts.primary then
    check_current(db)
    return "secondary_only"
  end
  local name = protocol.of(db, parts.primary, parts.secondary).name
  return parts.secondary and name or "primary_only"
end

local function release(db, parts)
  for _, name in ipairs { "primary", "secondary" } do
    if parts[name] then db[name]:release(parts[name], "write") end
  end
end

-- ---- beginning ----

local DECISION = {
  primary = "insert into dualdb_decision (gid, outcome, session) values (?, 'C', connection_id())",
  secondary = "insert into dualdb_decision (gid, outcome, session) values (?, 'C', pg_backend_pid())",
}

--- Settings of the secondary's transaction, in one statement. The name is for those who look for the
--- session of a gid; what a pooler would keep for the next client is not touched.
local function opening(db, gid, mode, left)
  local milliseconds = math.max(1, math.floor(math.min(left, db.policy.lock_timeout) * 1000))
  local text = ("select set_config('lock_timeout', '%d', true), "
    .. "set_config('statement_timeout', '%d', true), set_config('application_name', '%s', true)")
    :format(milliseconds, math.max(1, math.floor(left * 1000)), gid)
  if protocol.decider(mode) == "secondary" then
    text = text .. ", set_config('synchronous_commit', case when "
      .. "current_setting('synchronous_commit') = 'off' then 'on' else "
      .. "current_setting('synchronous_commit') end, true)"
  end
  return text
end

local function returns_rows(conn)
  local info = conn:info()
  return info.product == "mariadb"
end

local function begin(db, parts, deadline)
  local decider = protocol.decider(parts.mode)
  local session = parts[decider]:info().session
  local gid = gids.new(setup.gid_prefix(db), session)
  local left, began_at = math.max(deadline - core.clock(), 0.05), core.wall_clock()
  for _, name in ipairs { "primary", "secondary" } do
    if parts[name] then parts[name]:set_timeout(left) end
  end
  local dual = core.dual {
    protocol = parts.mode, gid = gid, primary = parts.primary, secondary = parts.secondary,
    decision = DECISION[decider], opening = parts.secondary and opening(db, gid, parts.mode, left),
    lenient = db.policy.preset ~= "strict",
  }
  return Transaction.new {
    db = db, dual = dual, gid = gid, mode = parts.mode, session = session, began_at = began_at,
    primary = parts.primary, secondary = parts.secondary,
    returning = parts.primary and returns_rows(parts.primary) or false,
  }
end

-- ---- ending ----

local JOURNALS = { journaled = "primary", primary_only = "primary", secondary_only = "secondary" }

local function enter(tx, side)
  if not next(tx.touched) then return end
  journal.enter(tx, side)
  core.crash_point "journal.entered"
  tx.journaled = true
end

--- All that belongs to the write and is not fn's: the heartbeat and the journal. Ends before the
--- decision. What the secondary was sent last is still under way here, and PREPARE goes behind it.
local function complete(tx)
  heartbeat.ride(tx)
  local side = JOURNALS[tx.mode]
  if side then enter(tx, side) end
  tx.dual:prepare()
  local mismatched = tx.dual:mismatches()
  if #mismatched == 0 then return end
  tx.diverged = tx:touched_by(mismatched)
  if side then return end  -- they are entered
  tx.touched = tx.diverged
  enter(tx, "primary")
end

--- The answer of the decision was lost: asks for it. Returns when the write is committed.
local function resolve(db, tx, err, deadline)
  local outcome, why = recovery.resolve(db, { gid = tx.gid, mode = tx.mode, session = tx.session },
    math.max(deadline, core.clock() + 1))
  if outcome == "C" then return end
  err = errors.wrap(err)
  err.gid = tx.gid
  if outcome == "A" then
    error(errors.make("transient", "the write was not committed: " .. err.message, {
      side = err.side, code = err.code, sqlstate = err.sqlstate, outcome = "not_applied",
      gid = tx.gid,
    }), 0)
  end
  err.class, err.retryable, err.outcome = "ambiguous", false, "unknown"
  err.detail = why and tostring(why) or err.detail
  err.hint = "The side that decides cannot be asked now. Later `db:outcome(gid)` tells what became of "
    .. tx.gid .. "."
  error(err, 0)
end

--- A committed write whose second side did not follow: it will.
local function follow_later(db, tx, err, deadline)
  log.emit("warn", ("%s is committed; the other side follows later: %s"):format(tx.gid,
    tostring(err)))
  if tx.mode == "journaled" then return false end
  local side = protocol.decider(tx.mode) == "primary" and db.secondary or db.primary
  local ok, done = pcall(recovery.finish, side, tx.gid, "C", deadline)
  return ok and done
end

--- Decides and lets the other side follow. Returns how it went.
local function commit(db, tx, deadline)
  local how = { gid = tx.gid, sides = { "primary", "secondary" }, journaled = false }
  local ok, doubtful = pcall(tx.dual.decide, tx.dual)
  local resolved = false
  if not ok then
    if tx.dual:state() ~= "in_doubt" then error(doubtful, 0) end
    tx.dual:rollback()
    resolve(db, tx, doubtful, deadline)
    resolved = true
  elseif doubtful then
    -- The server could not wait for its standby: see on a session of its own that the row is there.
    if recovery.fence(db[protocol.decider(tx.mode)], tx.gid) ~= "C" then
      errors.raise("ambiguous", "the decision of %s is not durable", tx.gid)
    end
    how.doubtful = true
  end
  how.complete = tx.mode ~= "primary_only" and tx.mode ~= "secondary_only"
  if how.complete then
    if resolved then
      how.complete = tx.mode ~= "journaled"
    else
      local err = tx.dual:finish()
      if err then
        if err.side then db.breaker:failed(err.side, err) end
        how.complete = follow_later(db, tx, err, deadline)
      end
    end
  end
  return how
end

--- The write is committed: what it leaves behind on the servers, and how it went.
local function settle(db, tx, how)
  local decider = protocol.decider(tx.mode)
  if not how.complete then
    how.sides = { decider }
    how.pending = (tx.mode == "a1" or tx.mode == "a2") and tx.gid or nil
  end
  how.journaled = (tx.journaled and (not how.complete or tx.diverged ~= nil)) or false
  if how.journaled and decider == "primary" and db.state:get("secondary_lacks") ~= "1" then
    db.state:set("secondary_lacks", "1")
  end
  if tx.mode == "journaled" and how.complete and not tx.diverged and tx.journaled then
    journal.settled(db, tx.gid)
  end
  if (how.complete or not how.pending) and not how.doubtful then write.decided(db, decider, tx.gid) end
  for _, name in ipairs(how.sides) do db.breaker:succeeded(name) end
end

-- ---- decision rows ----

--- Decision rows of known outcome that are removed at once.
local REMOVED_TOGETHER = 100

--- The owner knows what became of the write, and so does the other side: nobody will ask for its
--- decision row.
---@param db dualdb.Database
---@param side_name string
---@param gid string
function write.decided(db, side_name, gid)
  local list = db.decided[side_name]
  list[#list + 1] = gid
  if #list >= REMOVED_TOGETHER then write.flush_side(db, side_name) end
end

--- Removes them now. A failure is harmless: recovery removes what is old.
function write.flush_side(db, side_name)
  local list = db.decided[side_name]
  if #list == 0 or db.breaker:state(side_name) == "open" then return end
  db.decided[side_name] = {}
  local ok, err = pcall(recovery.remove, db[side_name], list)
  if not ok then log.emit("debug", "decision rows are left: " .. tostring(err)) end
end

--- At the end of a process: nothing of its own is left on the servers.
function write.flush(db)
  for _, name in ipairs { "primary", "secondary" } do write.flush_side(db, name) end
  journal.flush(db)
end

-- ---- one attempt ----

--- Rolls back; a side that is left prepared is put in order now if it can be, else by recovery.
local function give_up(db, tx)
  local prepared = tx.dual:rollback()
  if not prepared then return end
  local decider = protocol.decider(tx.mode)
  local other = db[decider == "primary" and "secondary" or "primary"]
  pcall(function()
    local outcome = recovery.fence(db[decider], tx.gid)
    if outcome == "A" then recovery.finish(other, tx.gid, "A", core.clock() + 1) end
  end)
end

--- The side that takes no part, if there is one.
local function missing(parts)
  if not parts.primary then return "primary" end
  return not parts.secondary and "secondary" or nil
end

local function attempt(db, fn, options, deadline)
  local parts = {}
  local guard <close> = setmetatable({}, { __close = function() release(db, parts) end })
  connect_both(db, parts, options, deadline)
  parts.mode = choose_mode(db, parts)
  local tx = begin(db, parts, deadline)
  local dual <close> = tx.dual
  db.current = tx
  local results = table.pack(pcall(db.without, db, missing(parts), fn, tx))
  db.current = false
  if results[1] and tx.refused then results = { false, tx.refused, n = 2 } end
  if results[1] then
    local ok, err = pcall(complete, tx)
    if not ok then results = { false, err, n = 2 } end
  end
  if not results[1] then
    tx.dual = nil
    local err = results[2]
    if errors.is(err) and err.side then db.breaker:failed(err.side, err) end
    tx.dual = dual
    give_up(db, tx)
    tx.dual = nil
    error(err, 0)
  end
  local ok, how = pcall(commit, db, tx, deadline)
  if not ok then
    if dual:state() ~= "in_doubt" then give_up(db, tx) end
    tx.dual = nil
    if errors.is(how) and how.side then db.breaker:failed(how.side, how) end
    error(how, 0)
  end
  tx.dual = nil
  settle(db, tx, how)
  return how, results
end

-- ---- the loop ----

local function retry_wait(policy, attempts)
  local most = math.min(policy.retry.cap, policy.retry.base * 2 ^ (attempts - 1))
  return math.random() * most
end

local OPTIONS = { defer = "boolean" }

local function check_options(options)
  for name, value in pairs(options or {}) do
    if type(value) ~= OPTIONS[name] then
      errors.usage("write: unknown option %s, or not a %s", tostring(name),
        OPTIONS[name] or "known one")
    end
  end
  return options or {}
end

--- Prepared transactions that a process left behind hold locks: the first write of a pair looks for
--- them. What cannot be decided now is no reason not to write.
local function recover_once(db)
  if rawget(db, "recovered") then return end
  rawset(db, "recovered", true)
  local ok, list, failures = pcall(recovery.run, db)
  if not ok then
    log.emit("warn", "recovery failed: " .. tostring(list))
    return
  end
  for _, item in ipairs(list) do
    log.emit("info", ("recovered %s on the %s: %s%s"):format(item.gid, item.side,
      item.outcome:gsub("_", " "), item.error and ": " .. tostring(item.error) or ""))
  end
  for _, err in ipairs(failures) do log.emit("debug", "recovery: " .. tostring(err)) end
end

--- Runs fn(tx) as a dual write: both sides or neither. Errors of retryable classes run the whole
--- function again, with full jitter, until the policy's deadline; so fn must be safe to run again.
--- Returns what fn returned, then how it went: { gid, sides, journaled, attempts, pending }.
---@param db dualdb.Database
---@param fn fun(tx: dualdb.Transaction): any
---@param options { defer: boolean|nil }|nil   defer: the primary now, the secondary by replay
function write.run(db, fn, options)
  if db.current then return fn(db.current) end  -- a nested write joins the outer one
  options = check_options(options)
  local policy = db.policy
  local deadline = core.clock() + policy.deadline
  local attempts = 0
  while true do
    attempts = attempts + 1
    local ok, how, results = pcall(attempt, db, fn, options, deadline)
    if ok then
      how.attempts = attempts
      recover_once(db)
      results.n = math.max(results.n, 2) + 1  -- how comes second even when fn returned nothing
      results[results.n] = how
      return table.unpack(results, 2, results.n)
    end
    local err = how
    local again = errors.is(err) and err.retryable and err.outcome == "not_applied"
    local wait = retry_wait(policy, attempts)
    if not again or core.clock() + wait >= deadline then error(err, 0) end
    core.sleep(wait)
  end
end

return write
