--- How far behind the secondary can be at most. A row of each project on both sides says: all that
--- was committed on the primary before `at` is on the secondary too. It rides on dual writes, at
--- most once a second, and is never written by itself, so an idle pair (and a suspended server)
--- stays idle.
---
--- Both rows move in one dual write or neither does: one that reaches a single side has nothing to
--- say of the other. So the numbers of the beats are equal, but for writes whose second commit is
--- still to come; a deciding side whose number is the lower one was restored from an older copy.
--- That holds for writes that the same side decides, so there is a row for either.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local protocol = require "dualdb.protocol"

local heartbeat = {}

local ON_BOTH = { a1 = true, a2 = true, journaled = true }
local SHORT = 1   -- seconds for what nobody may wait for

local FIRST = {
  primary = "insert ignore into dualdb_heartbeat (project, beat, at) "
    .. "values (?, 0, '1970-01-01 00:00:01')",
  secondary = "insert into dualdb_heartbeat (project, beat, at) "
    .. "values (?, 0, 'epoch') on conflict do nothing",
}
local THERE = "select beat from dualdb_heartbeat where project = ?"

--- The name of the row for writes that a side decides.
local function row_name(db, decider)
  return decider == "secondary" and db.name .. " a2" or db.name
end

--- Makes the project's rows, by themselves: a first row inside a dual write would make others wait
--- for its commit. The next beat finds them. Returns whether one was missing.
local function make_rows(db, project)
  local absent = false
  for name, insert in pairs(FIRST) do
    db[name]:with(function(conn)
      conn:set_timeout(SHORT)
      if conn:query(THERE, project)[1] then return end
      absent = true
      conn:execute(insert, project)
    end)
  end
  return absent
end

--- Age of the oldest change that waits in the primary's journal for the secondary, in microseconds
--- of the primary's own clock. Ids are given in the order of time, and a commit comes later than
--- its id: what has a higher one was committed after this entry was made. Quarantined keys wait for
--- a person, who finds them with `dualdb journal`; they do not hold up what is said of all others.
local WAITING = "select timestampdiff(microsecond, created_at, current_timestamp(6)) as age "
  .. "from dualdb_journal where state <> 'quarantined' and gid <> ? order by id limit 1"

--- Whoever has the row locked is beating, or is in doubt: nobody waits for that.
local TAKE = THERE .. " for update skip locked"

local EPOCH = { primary = "timestamp '1970-01-01 00:00:00'", secondary = "timestamptz 'epoch'" }

local BEAT = {
  primary = "update dualdb_heartbeat set beat = ?, at = " .. EPOCH.primary
    .. " + interval ? microsecond where project = ?",
  -- What is prepared here may be committed on the primary already: all that is older than the
  -- oldest such transaction is here.
  secondary = "update dualdb_heartbeat set beat = ?, at = " .. EPOCH.secondary
    .. " + least(?::bigint, ?::bigint - coalesce((select "
    .. "(extract(epoch from max(clock_timestamp() - prepared)) * 1000000)::bigint "
    .. "from pg_prepared_xacts where database = current_database() "
    .. "and starts_with(gid, 'ddb1_') and gid <> ?), 0)) * interval '1 microsecond' "
    .. "where project = ? and ctid = any(array("
    .. "select ctid from dualdb_heartbeat where project = ? for update skip locked))",
}

--- MariaDB can refuse (and by default does, from 11.6) to lock a row that was changed since the
--- transaction's snapshot; the write would have to begin again for a mere heartbeat.
local function without_strict_snapshots(tx, sql)
  local db = tx.db
  if rawget(db, "strict_snapshots") == nil then
    local found = tx:query("show variables like 'innodb_snapshot_isolation'")[1]
    local _, value = next(found or {})
    rawset(db, "strict_snapshots", value ~= nil)
  end
  if not rawget(db, "strict_snapshots") then return sql end
  return "set statement innodb_snapshot_isolation = off for " .. sql
end

local function beat(tx)
  local db = tx.db
  local project = row_name(db, protocol.decider(tx.mode))
  local made = rawget(db, "heartbeats")  -- rows that are known to be there, on both sides
  if not made[project] then
    made[project] = true
    if make_rows(db, project) then return end
  end
  local waiting = tx:query(WAITING, tx.gid)[1]
  local mine = tx:query(without_strict_snapshots(tx, TAKE), project)[1]
  if not mine then return end
  local now, number = core.wall_clock(), mine.beat + 1
  local bound = tx.began_at
  if waiting then bound = math.min(bound, now - waiting.age) end
  tx.dual:execute("primary", without_strict_snapshots(tx, BEAT.primary), number, tx.began_at,
    project)
  tx.dual:secondary(BEAT.secondary, "iiittt",
    core.pack("iiittt", { number, bound, now, tx.gid, project, project }), 1, core.DUAL_NOTED)
end

--- Takes the primary's beat back, when the secondary's row was locked by somebody else: of sides
--- with unequal numbers one would be taken for restored. The primary can still be written.
---@param tx dualdb.Transaction
function heartbeat.take_back(tx)
  tx.dual:execute("primary", "update dualdb_heartbeat set beat = beat - 1 where project = ?",
    row_name(tx.db, protocol.decider(tx.mode)))
end

--- Puts a beat into the dual write, when one is due. Called as the last of its statements, before
--- the commit. It waits for no lock. `tx.began_at` is
--- core.wall_clock() from before the transaction began on the primary: what is committed there by
--- then, the transaction sees.
---@param tx dualdb.Transaction
function heartbeat.ride(tx)
  if not ON_BOTH[tx.mode] or not tx.db.breaker:beat_due() then return end
  beat(tx)
end

local AT = "select beat, (extract(epoch from at) * 1000000)::bigint as at "
  .. "from dualdb_heartbeat where project in (?, ?) and beat > 0 order by at desc limit 1"

--- The moment, in microseconds of core.wall_clock(), before which the secondary lacks nothing; nil
--- when it is not known. Asks the secondary.
---@param db dualdb.Database
---@return integer|nil
function heartbeat.complete_until(db)
  local ok, rows = pcall(db.secondary.query, db.secondary, AT, row_name(db, "primary"),
    row_name(db, "secondary"))
  if not ok then
    -- There is no such table yet, or it is not for this user.
    if errors.is(rows) and (rows.class == "schema" or rows.class == "auth") then return nil end
    error(rows, 0)
  end
  return rows[1] and rows[1].at or nil
end

--- The seconds that the secondary can be behind at most, by this machine's clock and that of the
--- machine that wrote; nil when that is not known.
---@param db dualdb.Database
---@return number|nil
function heartbeat.staleness(db)
  local moment = heartbeat.complete_until(db)
  return moment and heartbeat.seconds_since(moment)
end

---@param moment integer   of complete_until
---@return number
function heartbeat.seconds_since(moment)
  return math.max(0, core.wall_clock() - moment) / 1000000
end

--- The numbers of the last beat on the two sides, of writes that one of them decides (default the
--- primary); nil for a side that has none.
---@param db dualdb.Database
---@param decider "primary"|"secondary"|nil
---@return integer|nil, integer|nil
function heartbeat.numbers(db, decider)
  local found = {}
  for i, side in ipairs { db.primary, db.secondary } do
    local row = side:query(THERE, row_name(db, decider))[1]
    found[i] = row and row.beat
  end
  return found[1], found[2]
end

return heartbeat
