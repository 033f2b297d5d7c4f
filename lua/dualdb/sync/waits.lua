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

--- The standby that is furthest behind in writing what it is sent. What it last said is all that is
--- known of one that says nothing: it is behind since then, if it was sent more. Readers of the
--- logical log are none.
local STANDBYS = [[
select coalesce(nullif(r.application_name, ''), host(r.client_addr), 'standby') as name,
       extract(epoch from greatest(r.write_lag,
         case when r.sent_lsn > r.write_lsn then clock_timestamp() - r.reply_time end))::float8
         as seconds
from pg_stat_replication r
where r.state in ('streaming', 'catchup') and not exists (
  select 1 from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical')
order by seconds desc nulls last limit 1]]

---@param db dualdb.Database
---@param longer number   seconds that others may wait
---@return { sessions: integer, seconds: number }|nil locks
---@return { replica: string, seconds: number }|nil standby   the one that is furthest behind
function waits.look(db, longer)
  local conn = db.secondary:acquire("any", SHORT)
  local guard <close> = setmetatable({}, {
    __close = function() db.secondary:release(conn) end,
  })
  conn:set_timeout(SHORT)
  local locks = conn:query(LOCKS, longer)[1]
  local standby = conn:query(STANDBYS)[1]
  local behind = standby and standby.seconds ~= core.NULL
  return locks.sessions > 0 and { sessions = locks.sessions, seconds = locks.seconds } or nil,
    behind and { replica = standby.name, seconds = standby.seconds } or nil
end

return waits
