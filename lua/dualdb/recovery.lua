--- Recovery: what became of a dual write, and prepared transactions that somebody left behind.
---
--- A dual write is committed if and only if its decision row is there. Who has to know inserts the
--- same gid with outcome A. That waits while the owner's row is uncommitted, finds the owner's when
--- it is committed, and otherwise keeps it out for good: so nobody ever decides by waiting.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local gids = require "dualdb.gid"
local identity = require "dualdb.identity"
local protocol = require "dualdb.protocol"
local setup = require "dualdb.setup"

local recovery = {}

--- Seconds for which rows of decisions are kept whose owner is gone: as long is outcome() answered.
recovery.RETENTION = 86400

local OTHER = { primary = "secondary", secondary = "primary" }

-- ---- the fence ----

local FENCE = {
  mysql = {
    "insert into dualdb_decision (gid, outcome, session) values (?, 'A', connection_id()) "
      .. "on duplicate key update gid = gid",
    "select outcome from dualdb_decision where gid = ?",
  },
  postgres = {
    "insert into dualdb_decision (gid, outcome, session) values (?, 'A', pg_backend_pid()) "
      .. "on conflict (gid) do nothing",
    "select outcome from dualdb_decision where gid = ?",
  },
}

local LOCAL_SETTINGS = "select set_config('lock_timeout', '1000', true), "
  .. "set_config('synchronous_commit', 'on', true)"

--- Waiting for a lock took too long: the owner of the row is still there.
local function is_lock_timeout(err)
  return errors.is(err) and (err.code == 1205 or err.code == 3572 or err.sqlstate == "55P03")
end

local function put_fence(conn, driver, gid)
  if driver == "mysql" then
    conn:execute(FENCE.mysql[1], gid)
    return
  end
  conn:execute("begin")
  local ok, err = pcall(function()
    conn:execute(LOCAL_SETTINGS)
    conn:execute(FENCE.postgres[1], gid)
  end)
  if not ok then
    pcall(conn.execute, conn, "rollback")
    error(err, 0)
  end
  conn:execute("commit")
end

--- Decides the gid on the side that decides it, unless it is decided: "C" or "A"; nil while its
--- owner still may commit it.
---@param side dualdb.Side
---@param gid string
---@return "C"|"A"|nil
function recovery.fence(side, gid)
  return side:with_purpose("recovery", function(conn)
    local ok, err = pcall(put_fence, conn, side.driver, gid)
    if not ok then
      if is_lock_timeout(err) then return nil end
      error(err, 0)
    end
    local row = conn:query(FENCE[side.driver][2], gid)[1]
    -- Whoever removes rows removes only those that nobody asks for; then the next look tells.
    return row and row.outcome
  end)
end

-- ---- the prepared side ----

local LIST = {
  postgres = "select gid::text as gid from pg_prepared_xacts where database = current_database() "
    .. "order by gid",
  mysql = "xa recover",
}

--- The gids of this pair that are prepared on a side.
---@param side dualdb.Side
---@param prefix string
---@return string[]
function recovery.prepared(side, prefix)
  local list = {}
  for _, row in ipairs(side:query(LIST[side.driver])) do
    local gid = row.gid or row.data
    if type(gid) == "string" and gid:sub(1, #prefix) == prefix then list[#list + 1] = gid end
  end
  return list
end

local function is_listed(side, gid)
  for _, listed in ipairs(recovery.prepared(side, gid)) do
    if listed == gid then return true end
  end
  return false
end

local FINISH = {
  postgres = { C = "commit prepared '%s'", A = "rollback prepared '%s'" },
  mysql = { C = "xa commit '%s'", A = "xa rollback '%s'" },
}

--- The server does not know it (42704, 1397), or it was read-only or has rolled back (1402):
--- neither proves anything by itself, so the list has the last word.
local MAY_BE_GONE = { ["42704"] = true, [1397] = true, [1402] = true }

--- Commits or rolls back what is prepared, until it is not listed or the deadline has come.
---@param side dualdb.Side
---@param gid string
---@param outcome "C"|"A"
---@param deadline number
---@return boolean           false: another session holds it, which is alive
---@return boolean|nil gone  true: somebody else has finished it
function recovery.finish(side, gid, outcome, deadline)
  assert(not gid:find("[^%w_-]"))
  local pause = 0.02
  while true do
    local ok, err = pcall(side.with_purpose, side, "recovery", function(conn)
      conn:execute(FINISH[side.driver][outcome]:format(gid))
    end)
    if ok then return true end
    err = errors.wrap(err)
    if not (MAY_BE_GONE[err.sqlstate] or MAY_BE_GONE[err.code]) then error(err, 0) end
    if not is_listed(side, gid) then return true, true end
    if core.clock() + pause >= deadline then return false end
    core.sleep(pause)
    pause = math.min(pause * 2, 0.5)
  end
end

-- ---- the owner that lost an answer ----

--- The owner's own session, which it has lost, still holds the decision row: it has to end. (The
--- secondary's sessions are known by the gid that they bear as their name: a pooler may be
--- between.)
local function end_session(side, gid, session)
  if side.driver == "mysql" then
    pcall(side.with_purpose, side, "recovery", function(conn)
      conn:execute(("kill %d"):format(session))
    end)
    return
  end
  pcall(side.query, side, "select pg_terminate_backend(pid) as ended from pg_stat_activity "
    .. "where application_name = ? and usename = current_user and pid <> pg_backend_pid()",
    gid:sub(1, 63))
end

--- Seconds that the deciding side is asked on after the deadline, when it answers: an owner's
--- session that it was told to end is about to.
local INSISTENCE = 5

--- Whether the decision row of a gid may have been removed for its age, so that its absence says
--- nothing: an owner can have been stopped for any length of time.
local function is_too_old(gid)
  return core.wall_clock() / 1e6 - gids.time(gid) > recovery.RETENTION / 2
end

--- What became of a dual write whose decision got no answer: "C", "A", or nil when the deciding
--- side could not be asked until the deadline. The prepared side is its owner's to finish.
---@param db dualdb.Database
---@param write { gid: string, mode: string, session: integer }
---@param deadline number
---@return "C"|"A"|nil, dualdb.Error|nil
function recovery.resolve(db, write, deadline)
  local decider = protocol.decider(write.mode)
  local side, pause, last, outcome = db[decider], 0.02, nil, nil
  local insist_until = math.max(deadline, core.clock() + INSISTENCE)
  repeat
    local ok, found = pcall(recovery.fence, side, write.gid)
    if ok then
      outcome = found
      if not outcome then end_session(side, write.gid, write.session) end
    else
      last = errors.wrap(found)
      if last.class == "canceled" then error(last, 0) end
    end
    if not outcome then
      if core.clock() + pause >= (ok and insist_until or deadline) then return nil, last end
      core.sleep(pause)
      pause = math.min(pause * 2, 1)
    end
  until outcome
  core.crash_point "resolve.fenced"
  if outcome == "A" and is_too_old(write.gid) then return nil, last end
  return outcome
end

-- ---- recovery by anybody ----

---@class dualdb.Recovered
---@field gid string
---@field side "primary"|"secondary"    where it is, or was, prepared
---@field outcome "committed"|"rolled_back"|"owner_alive"|"undecided"
---@field error dualdb.Error|nil

local OUTCOMES = { C = "committed", A = "rolled_back" }

local SESSION = {
  mysql = "select 1 as found from information_schema.processlist where id = ?",
  postgres = "select 1 as found from pg_stat_activity where pid = ?",
}

--- Whether the owner most likely is at work: its session is there, and its time is not over. Only
--- politeness asks: who takes the last step from a living owner does no harm, and costs it one.
local function is_at_work(db, decider, gid)
  local session, made = gids.session(gid), gids.time(gid)
  if not session or core.wall_clock() / 1e6 - made > 2 * db.policy.deadline then return false end
  return decider:query(SESSION[decider.driver], session)[1] ~= nil
end

--- One prepared transaction.
local function recover_one(db, side_name, gid, polite)
  local result = { gid = gid, side = side_name, outcome = "undecided" }
  local decider = db[OTHER[side_name]]
  local ok, err = pcall(function()
    if polite and is_at_work(db, decider, gid) then
      result.outcome = "owner_alive"
      return
    end
    identity.check(db, decider.name, gid)
    local outcome = core.broken "no_fence" and "A" or recovery.fence(decider, gid)
    if not outcome then
      result.outcome = "owner_alive"
      return
    end
    core.crash_point "recovery.fenced"
    local finished, gone = recovery.finish(db[side_name], gid, outcome, core.clock() + 2)
    -- What its owner has finished in the meantime, and whose decision row it has removed, may have
    -- been committed.
    if gone and outcome == "A" then finished = false end
    result.outcome = finished and OUTCOMES[outcome] or "owner_alive"
    core.crash_point "recovery.finished"
  end)
  if not ok then
    result.error = errors.wrap(err)
    if result.error.class == "canceled" then error(result.error, 0) end
    result.error.gid = gid
  end
  return result
end

--- Rows of decisions that nobody will ask for any more: their owner's session is over, they are
--- old, and nothing of theirs is prepared on the other side.
local function remove_old(db, side_name, prefix)
  local side = db[side_name]
  local age = side.driver == "mysql"
      and "created_at < current_timestamp(6) - interval ? second"
    or "created_at < clock_timestamp() - ?::double precision * interval '1 second'"
  local alive = side.driver == "mysql"
      and "session not in (select id from information_schema.processlist)"
    or "session not in (select pid from pg_stat_activity)"
  local old = side:query(("select gid from dualdb_decision where %s and %s limit 1000")
    :format(age, alive), recovery.RETENTION)
  local prepared = {}
  if #old == 0 then return 0 end
  for _, gid in ipairs(recovery.prepared(db[OTHER[side_name]], prefix)) do prepared[gid] = true end
  local list = {}
  for _, row in ipairs(old) do
    if row.gid:sub(1, #prefix) == prefix and not prepared[row.gid] then
      list[#list + 1] = row.gid
    end
  end
  recovery.remove(side, list)
  return #list
end

--- Removes decision rows whose owners know what they say.
---@param side dualdb.Side
---@param list string[]
function recovery.remove(side, list)
  for from = 1, #list, 500 do
    local to = math.min(from + 499, #list)
    side:execute(("delete from dualdb_decision where gid in (%s)"):format(
      string.rep("?", to - from + 1, ", ")), table.unpack(list, from, to))
  end
end

--- Finishes prepared transactions of this pair that were left behind, on both sides. Safe when
--- several do so at once, and beside living owners. What a side that is down keeps undecided is in
--- the list, and in its errors.
---@param db dualdb.Database
---@param options { accept_identity: boolean|nil, polite: boolean|nil }|nil
---@return dualdb.Recovered[], dualdb.Error[]   the second: sides that could not be asked
function recovery.run(db, options)
  options = options or {}
  local list, failures = {}, {}
  if options.accept_identity then identity.accept(db) end
  for _, side_name in ipairs { "secondary", "primary" } do
    local ok, err = pcall(function()
      if not setup.has_tables(db[side_name]) then return end
      local prefix = setup.gid_prefix(db)
      local gid_list = recovery.prepared(db[side_name], prefix)
      core.crash_point "recovery.listed"
      for _, gid in ipairs(gid_list) do
        list[#list + 1] = recover_one(db, side_name, gid, options.polite)
      end
    end)
    if not ok then
      err = errors.wrap(err)
      if err.class == "canceled" then error(err, 0) end
      failures[#failures + 1] = err
    end
  end
  if #failures == 0 and setup.is_done(db) then
    local prefix = setup.gid_prefix(db)
    local removed = remove_old(db, "primary", prefix) + remove_old(db, "secondary", prefix)
    if removed > 0 then core.crash_point "recovery.removed" end
  end
  return list, failures
end

-- ---- asking for one ----

--- What became of a dual write, by the gid that an error carried: "applied" or "not_applied"; or
--- "unknown" and why: it is too old, or still under way, or a side that has to be asked is down.
--- What was not decided is decided by asking: against it.
---@param db dualdb.Database
---@param gid string
---@return "applied"|"not_applied"|"unknown", string|nil
function recovery.outcome(db, gid)
  if not gids.time(gid) then errors.usage("%s is no gid", tostring(gid)) end
  local down, waiting
  for _, name in ipairs { "primary", "secondary" } do
    local ok, outcome = pcall(recovery.fence, db[name], gid)
    if not ok then
      down = errors.wrap(outcome)
      if down.class == "canceled" then error(down, 0) end
    elseif outcome == "C" then
      pcall(recovery.finish, db[OTHER[name]], gid, "C", core.clock() + 2)
      return "applied"
    elseif not outcome then
      waiting = true
    end
  end
  if down then return "unknown", tostring(down) end
  if waiting then return "unknown", "its owner is still at work" end
  if is_too_old(gid) then
    return "unknown", ("it is older than the %d hours for which decisions are kept")
      :format(recovery.RETENTION // 7200)
  end
  for _, name in ipairs { "primary", "secondary" } do
    pcall(recovery.finish, db[name], gid, "A", core.clock() + 2)
  end
  return "not_applied"
end

return recovery
