--- Dual writes: one attempt after the other, until the write is on both sides, on neither, or (when
--- the policy allows) on one with its keys in the journal.

local commit = require "dualdb.commit"
local core = require "dualdb.core"
local current = require "dualdb.current"
local errors = require "dualdb.errors"
local gids = require "dualdb.gid"
local log = require "dualdb.log"
local participants = require "dualdb.participants"
local protocol = require "dualdb.protocol"
local recovery = require "dualdb.recovery"
local setup = require "dualdb.setup"
local Transaction = require "dualdb.transaction"

local write = {}

-- ---- beginning ----

--- A gid has letters, digits, _ and - alone. Sent as text, for that the primary does not have to be
--- waited for.
local DECISION = "insert into dualdb_decision (gid, outcome, session) values ('%s', 'C', %s)"
local SESSION = { primary = "connection_id()", secondary = "pg_backend_pid()" }

--- Settings of the secondary's transaction, in one statement. The name is for those who look for
--- the session of a gid; what a pooler would keep for the next client is not touched.
local function opening(db, gid, mode, left)
  local milliseconds = math.max(1, math.floor(math.min(left, db.policy.lock_timeout) * 1000))
  local text = ("select set_config('lock_timeout', '%d', true), "
    .. "set_config('statement_timeout', '%d', true), "
    .. "set_config('idle_in_transaction_session_timeout', '%d', true), "
    .. "set_config('application_name', '%s', true)")
    :format(milliseconds, math.max(1, math.floor(left * 1000)), math.ceil(left + 10) * 1000, gid)
  if protocol.decider(mode) == "secondary" then
    text = text .. ", set_config('synchronous_commit', case when "
      .. "current_setting('synchronous_commit') = 'off' then 'on' else "
      .. "current_setting('synchronous_commit') end, true)"
  end
  return text
end

--- A gid of the session that decides.
local function new_gid(db, session)
  local known = db.gid_head
  if known.session ~= session then
    known.text, known.session = gids.head(setup.gid_prefix(db), session), session
  end
  return gids.new(known.text)
end

local function begin(db, parts, deadline)
  local primary, secondary, mode = parts.primary, parts.secondary, parts.mode
  local decider = protocol.decider(mode)
  local session = parts[decider]:session()
  local gid = new_gid(db, session)
  local left, began_at = math.max(deadline - core.clock(), 0.05), core.wall_clock()
  if primary then primary:set_timeout(left) end
  if secondary then secondary:set_timeout(left) end
  local dual = core.dual {
    protocol = mode, gid = gid, primary = primary, secondary = secondary,
    decision = DECISION:format(gid, SESSION[decider]),
    opening = secondary and opening(db, gid, mode, left),
    lenient = db.policy.preset ~= "strict",
  }
  return Transaction.new {
    db = db, dual = dual, gid = gid, mode = mode, session = session, began_at = began_at,
    primary = primary, secondary = secondary,
    returning = primary ~= nil and primary:product() == "mariadb",
  }
end

-- ---- one attempt ----

local function attempt(db, fn, call, deadline)
  local parts <close> = participants.none(db)
  participants.gather(parts, call, deadline)
  local tx <close> = begin(db, parts, deadline)
  local dual = tx.dual
  current.set(db, tx)
  local results = table.pack(pcall(db.without, db, participants.missing(parts), fn, tx))
  current.set(db, nil)
  -- fn may have caught what makes the write fail all the same.
  local caught = tx.refused or (dual:state() == "failed" and tx.failure)
  if results[1] and caught then results = { false, caught, n = 2 } end
  local ok, how = results[1], results[2]
  if ok then ok, how = pcall(commit.prepare, tx) end
  if ok then ok, how = pcall(commit.run, db, tx, call, deadline) end
  if not ok then
    if dual:state() ~= "in_doubt" then commit.give_up(db, tx) end
    error(how, 0)
  end
  return how, results
end

-- ---- the loop ----

local function retry_wait(policy, attempts)
  local most = math.min(policy.retry.cap, policy.retry.base * 2 ^ (attempts - 1))
  return math.random() * most
end

--- Whether rows that the secondary seems to lack may be there in a moment: those of a write that
--- the primary has committed, and that is still prepared on the secondary. What its owner has left
--- so is finished here.
local function may_follow(db, call, err)
  if err.class ~= "conflict" or not db.protocol or db.protocol.name ~= "a1" then return false end
  local ok, list = pcall(recovery.run, db, { polite = true })
  local first = not call.conflicted  -- it may have followed just now
  call.conflicted = true
  return first or ok and #list > 0
end

--- A row that waits for its replay is replayed here, once.
local function may_replay(db, call, err)
  if not err.awaits_replay or call.replayed then return false end
  call.replayed = true
  local ok, results = pcall(function() return db:journal():replay { models = { err.model } } end)
  if not ok then log.emit("debug", "journal: " .. tostring(results)) end
  return ok
end

local OPTIONS = { defer = "boolean" }

local NO_OPTIONS = {}

local function check_options(options)
  for name, value in pairs(options) do
    if type(value) ~= OPTIONS[name] then
      errors.usage("write: unknown option %s, or not a %s", tostring(name),
        OPTIONS[name] or "known one")
    end
  end
  return options
end

--- Runs fn(tx) as a dual write: both sides or neither. Errors of retryable classes run the whole
--- function again, with full jitter, until the policy's deadline; so fn must be safe to run again.
--- Returns what fn returned, then how it went: { gid, sides, journaled, attempts, pending }.
---@param db dualdb.Database
---@param fn fun(tx: dualdb.Transaction): any
---@param options { defer: boolean|nil }|nil   defer: the primary now, the secondary by replay
function write.run(db, fn, options)
  local outer = current.of(db)
  if outer then return fn(outer) end  -- a nested write joins it
  options = options and check_options(options) or NO_OPTIONS
  local call <close> = participants.call(db, options.defer)
  local policy = db.policy
  local deadline = core.clock() + policy.deadline
  local attempts = 0
  while true do
    attempts = attempts + 1
    local ok, how, results = pcall(attempt, db, fn, call, deadline)
    if ok then
      how.attempts = attempts
      results.n = math.max(results.n, 2) + 1  -- how comes second even when fn returned nothing
      results[results.n] = how
      return table.unpack(results, 2, results.n)
    end
    local err = how
    participants.blame(call, err)
    local again = errors.is(err) and err.outcome == "not_applied"
      and (err.retryable or may_replay(db, call, err)
        or not err.awaits_replay and may_follow(db, call, err))
    local wait = retry_wait(policy, attempts)
    if not again or core.clock() + wait >= deadline then error(err, 0) end
    core.sleep(wait)
  end
end

return write
