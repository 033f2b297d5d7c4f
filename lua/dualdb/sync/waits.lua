--- What a sync does to others on the secondary: sessions that wait for its locks, and standbys that
--- do not follow. A role that may not see the sessions of others sees fewer of both.

local core = require "dualdb.core"

local waits = {}

local SHORT = 2   -- seconds for an answer

--- Sessions that have waited for longer than ? seconds behind one of a sync. Those have the name of
--- this connection; dual writes give themselves another one. Before PostgreSQL 14 it is not known
--- when a wait began, but when its statement did.
local LOCKS = [[
with waiting as materialized (
  select a.pid, extract(epoch from clock_timestamp() - coalesce(
           (select min((to_jsonb(l) ->> 'waitstart')::timestamptz)
            from pg_locks l where l.pid = a.pid and not l.granted), a.query_start))::float8
           as seconds
  from pg_stat_activity a
  where a.wait_event_type = 'Lock' and a.datname = current_database()
    and (a.application_name <> current_setting('application_name') or a.usename <> current_user)
)
select count(*) as sessions, coalesce(max(w.seconds), 0) as seconds
from waiting w
where w.seconds > ?::float8 and exists (
  select 1 from pg_stat_activity b
  where b.pid = any(pg_blocking_pids(w.pid)) and b.usename = current_user
    and b.application_name = current_setting('application_name'))]]

--- The standbys, and what each has written of what it was sent. Readers of the logical log are not
--- among them.
local STANDBYS = [[
select r.pid as pid, coalesce(nullif(r.application_name, ''), host(r.client_addr), 'standby')
         as name,
       coalesce(extract(epoch from r.write_lag), 0)::float8 as seconds,
       r.write_lsn::text as written, r.sent_lsn > r.write_lsn as is_behind
from pg_stat_replication r
where r.state in ('streaming', 'catchup') and not exists (
  select 1 from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical')]]

--- The one that is furthest behind. The server knows it of what a standby has written; one that
--- writes nothing is behind since that was first seen.
local function furthest(rows, seen, now)
  local worst
  for _, row in ipairs(rows) do
    local before = seen[row.pid]
    local stands_still = row.is_behind == true and before and before.written == row.written
    seen[row.pid] = { written = row.written, since = stands_still and before.since or now }
    local seconds = math.max(row.seconds, now - seen[row.pid].since)
    if not worst or seconds > worst.seconds then
      worst = { replica = row.name, seconds = seconds }
    end
  end
  return worst
end

---@param db dualdb.Database
---@param longer number   seconds that others may wait
---@param seen table      what this function keeps between two looks
---@return { sessions: integer, seconds: number }|nil locks
---@return { replica: string, seconds: number }|nil standby   the one that is furthest behind
function waits.look(db, longer, seen)
  local conn = db.secondary:acquire("any", SHORT)
  local guard <close> = setmetatable({}, {
    __close = function() db.secondary:release(conn) end,
  })
  conn:set_timeout(SHORT)
  local locks = conn:query(LOCKS, longer)[1]
  local standby = furthest(conn:query(STANDBYS), seen, core.clock())
  return locks.sessions > 0 and { sessions = locks.sessions, seconds = locks.seconds } or nil,
    standby
end

return waits
