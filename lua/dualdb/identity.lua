--- Is a side still the server it was? One that was restored from a backup, or took over from
--- another, may lack decisions that were made: then recovery must not read their absence as "never
--- committed".

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local heartbeat = require "dualdb.heartbeat"
local setup = require "dualdb.setup"

local identity = {}

--- What tells one server, and one life of it, from another.
local function of_primary(conn)
  if conn:info().product ~= "mariadb" then
    return conn:query("select @@server_uuid as id")[1].id
  end
  -- MariaDB has no id of its own.
  return conn:query("select concat(@@hostname, ':', @@datadir) as id")[1].id
end

--- The timeline changes when a standby is promoted, and when a backup is recovered to a moment.
local function of_secondary(conn)
  return conn:query([[
select (select system_identifier::text from pg_control_system()) || '/'
    || (select timeline_id::text from pg_control_checkpoint()) || '/'
    || (select oid::text from pg_database where datname = current_database()) as id]])[1].id
end

--- nil when the account may not know.
---@param side dualdb.Side
---@return string|nil
function identity.of(side)
  return side:with(function(conn)
    local ok, id = pcall(side.name == "primary" and of_primary or of_secondary, conn)
    if ok then return #id <= 200 and id or core.digest(id) end
    id = errors.wrap(id)
    if id.class ~= "auth" then error(id, 0) end
    return nil
  end)
end

local OTHER = { primary = "secondary", secondary = "primary" }

--- Each side keeps what the other was: a restored side would remember itself as it was then.
local function remember(db, name, id)
  local keeper = db[OTHER[name]]
  setup.put(keeper, keeper.driver, "identity:" .. name, id)
end

local function remembered(db, name)
  local row = db[OTHER[name]]:query("select value from dualdb_meta where name = ?",
    "identity:" .. name)[1]
  return row and row.value
end

--- Notes who the sides are, where nobody has yet.
---@param db dualdb.Database
function identity.note(db)
  for _, name in ipairs { "primary", "secondary" } do
    if not remembered(db, name) then
      local id = identity.of(db[name])
      if id then remember(db, name, id) end
    end
  end
end

--- A person says that the sides are the right ones.
---@param db dualdb.Database
function identity.accept(db)
  for _, name in ipairs { "primary", "secondary" } do
    local id = identity.of(db[name])
    if id then remember(db, name, id) end
  end
  rawset(db, "identity_accepted", true)
end

--- What is remembered of a side that was seen to be restored, until a person accepts it.
local RESTORED = "restored"

local function refuse(name, gid, reason)
  error(errors.make("refused",
    ("%s is not decided: the %s, which decides it, %s"):format(gid, name, reason), {
      side = name,
      hint = "It may lack decisions that were made. When it is known to have them all: `dualdb "
        .. "recover --accept-identity`. Else make the sides equal first (`dualdb verify`).",
    }), 0)
end

--- Whether a side's heartbeats are fewer than the other's. Those are read first, and a beat on its
--- way from one side to the other is given a moment.
local function is_behind(db, name)
  local at = name == "primary" and 1 or 2
  for attempt = 1, 4 do
    local there = select(3 - at, heartbeat.numbers(db, name)) or 0
    local here = select(at, heartbeat.numbers(db, name)) or 0
    if here >= there then return false end
    if attempt < 4 then core.sleep(0.1) end
  end
  return true
end

--- Fails with class `refused` when the side that decides a gid is not the one it was, or is behind
--- the other, which it never is while both live.
---@param db dualdb.Database
---@param name "primary"|"secondary"   the side that decides
---@param gid string
function identity.check(db, name, gid)
  if rawget(db, "identity_accepted") then return end
  local before, now = remembered(db, name), identity.of(db[name])
  if before == RESTORED or before and now and before ~= now then
    refuse(name, gid, "is another server than it was, or was restored")
  end
  if is_behind(db, name) then
    -- The next heartbeat makes the numbers equal; that it was behind must not be forgotten.
    remember(db, name, RESTORED)
    refuse(name, gid, "is behind the other side: it was restored from a backup")
  end
end

return identity
