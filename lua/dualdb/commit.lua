--- How a dual write ends: what has to be in it besides, the decision, and what follows from it.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local heartbeat = require "dualdb.heartbeat"
local journal = require "dualdb.journal"
local log = require "dualdb.log"
local participants = require "dualdb.participants"
local protocol = require "dualdb.protocol"
local recovery = require "dualdb.recovery"
local touched = require "dualdb.touched"

local commit = {}

-- ---- decision rows ----

--- Decision rows of known outcome that are removed at once.
local REMOVED_TOGETHER = 100

--- The owner knows what became of the write, and so does the other side: nobody will ask for its
--- decision row.
---@param db dualdb.Database
---@param side_name string
---@param gid string
function commit.decided(db, side_name, gid)
  local list = db.decided[side_name]
  list[#list + 1] = gid
  if #list >= REMOVED_TOGETHER then commit.flush_side(db, side_name) end
end

--- Removes them now. A failure is harmless: recovery removes what is old.
function commit.flush_side(db, side_name)
  local list = db.decided[side_name]
  if #list == 0 or db.breaker:state(side_name) == "open" then return end
  db.decided[side_name] = {}
  local ok, err = pcall(recovery.remove, db[side_name], list)
  if not ok then log.emit("debug", "decision rows are left: " .. tostring(err)) end
end

--- At the end of a process: nothing of its own is left on the servers.
function commit.flush(db)
  for _, name in ipairs { "primary", "secondary" } do commit.flush_side(db, name) end
  journal.flush(db)
end

-- ---- the end of a write ----

local JOURNALS = { journaled = "primary", primary_only = "primary", secondary_only = "secondary" }

local function enter(tx, side)
  if not next(tx.touched) then return end
  journal.enter(tx, side)
  core.crash_point "journal.entered"
  tx.journaled = true
end

local ANY_ENTRY = "select 1 from dualdb_journal limit 1"

--- The model of a row that this write gives the secondary while the secondary's own journal names
--- it: somebody has written it there alone, and this write would go over that. nil when there is
--- none.
local function written_elsewhere(tx)
  touched.name_all(tx)
  for name, entry in pairs(tx.touched) do
    local digests = {}
    for key in pairs(entry.keys) do digests[#digests + 1] = core.digest(key) end
    if entry.whole and journal.count_of(tx.db.secondary, name) > 0
       or next(journal.dirty(tx.db.secondary, name, digests)) then
      return name
    end
  end
  return nil
end

--- Asked under the locks of the secondary's rows, so that nobody can write them there meanwhile.
local function check_other_journal(tx)
  local name = written_elsewhere(tx)
  if not name then return end
  error(errors.make("conflict", ("model %s: the row was written on the secondary alone, and has "
    .. "not been brought to the primary yet"):format(name), {
      model = name, side = "secondary", outcome = "not_applied", awaits_replay = true,
      hint = "`dualdb journal replay` brings it over; a row that was written on both sides needs a "
        .. "strategy, or a person.",
    }), 0)
end

--- All that belongs to the write and is not fn's: the heartbeat and the journal. Ends before the
--- decision. What the secondary was sent last is still under way here, and PREPARE goes behind it.
---@param tx dualdb.Transaction
function commit.prepare(tx)
  heartbeat.ride(tx)
  local side = JOURNALS[tx.mode]
  -- The secondary answers while the primary takes the entries.
  if tx.primary and tx.secondary then tx.dual:guard(ANY_ENTRY) end
  if side then enter(tx, side) end
  tx.dual:prepare()
  local mismatched, guarded, beat_missed = tx.dual:mismatches()
  if beat_missed then heartbeat.take_back(tx) end
  if guarded then check_other_journal(tx) end
  if #mismatched == 0 then return end
  tx.diverged = tx:touched_by(mismatched)
  if side then return end  -- they are entered
  tx.touched = tx.diverged
  enter(tx, "primary")
end

--- The answer of the decision was lost: asks for it. Returns when the write is committed, and the
--- other side has yet to follow.
local function resolve(db, tx, err, deadline)
  local outcome, why = recovery.resolve(db, { gid = tx.gid, mode = tx.mode, session = tx.session },
    math.max(deadline, core.clock() + 1))
  if outcome then tx.dual:resolve(outcome == "C") end
  if outcome == "C" then return end
  err = errors.wrap(err)
  err.gid = tx.gid
  if outcome == "A" then
    commit.give_up(db, tx)
    core.crash_point "resolve.finished"
    error(errors.make("transient", "the write was not committed: " .. err.message, {
      side = err.side, code = err.code, sqlstate = err.sqlstate, outcome = "not_applied",
      gid = tx.gid,
    }), 0)
  end
  err.class, err.retryable, err.outcome = "ambiguous", false, "unknown"
  err.detail = why and tostring(why) or err.detail
  err.hint = "The side that decides cannot be asked now. Later `db:outcome(gid)` tells what became "
    .. "of " .. tx.gid .. "."
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
local function decide(db, tx, call, deadline)
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
      error(errors.make("ambiguous", ("the decision of %s is not durable"):format(tx.gid),
        { outcome = "unknown", gid = tx.gid }), 0)
    end
    how.doubtful = true
  end
  how.complete = tx.mode ~= "primary_only" and tx.mode ~= "secondary_only"
    and not (resolved and tx.mode == "journaled")  -- what was not prepared is rolled back by now
  if how.complete then
    local err = tx.dual:finish()
    if err then
      participants.blame(call, err)
      how.complete = follow_later(db, tx, err, deadline)
    end
  end
  if resolved then core.crash_point "resolve.finished" end
  return how
end

--- The write is committed: what it leaves behind on the servers, and how it went.
local function settle(db, tx, how, call)
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
  if not how.pending and not how.doubtful then commit.decided(db, decider, tx.gid) end
  for _, name in ipairs(how.sides) do call.verdicts[name] = true end
  if how.journaled then journal.tend(db) end
end

--- Decides a write that is prepared, and settles what follows. Returns how it went: { gid, sides,
--- journaled, pending }; fails when it is not committed, or not known to be.
---@param db dualdb.Database
---@param tx dualdb.Transaction
---@param call dualdb.Call
---@param deadline number
function commit.run(db, tx, call, deadline)
  local how = decide(db, tx, call, deadline)
  settle(db, tx, how, call)
  return how
end

--- Rolls back; a side that is left prepared is put in order now if it can be, else by recovery.
---@param db dualdb.Database
---@param tx dualdb.Transaction
function commit.give_up(db, tx)
  local prepared = tx.dual:rollback()
  if not prepared then return end
  local decider = protocol.decider(tx.mode)
  local other = db[decider == "primary" and "secondary" or "primary"]
  pcall(function()
    local outcome = recovery.fence(db[decider], tx.gid)
    if outcome == "A" then recovery.finish(other, tx.gid, "A", core.clock() + 1) end
  end)
end

return commit
