--- How far the primary's replicas are behind it. Only a replica knows: so the primary is asked
--- which there are, and each is asked on a connection of its own, with the primary's credentials.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"
local url = require "dualdb.url"

---@class dualdb.Replicas
local Replicas = {}
Replicas.__index = Replicas

--- Seconds: for one answer; between two looks at which replicas there are, and between two attempts
--- at one that could not be asked.
local SHORT, AGAIN = 2, 60

local DEFAULT_PORT = 3306
local SYNTAX_ERROR = 1064

--- By product, the newer spelling first. Of MariaDB's only this one has all of a replica's sources.
local LIST = { mariadb = { "show slave hosts" }, mysql = { "show replicas", "show slave hosts" } }
local STATUS = {
  mariadb = { "show all slaves status" }, mysql = { "show replica status", "show slave status" },
}
local SERVER_ID = "select @@global.server_id as id"
--- Where those come from that read the primary's log: MySQL does not fill in the address of one
--- without report_host, as MariaDB does.
local DUMPS = "select host as host from information_schema.processlist "
  .. "where command in ('Binlog Dump', 'Binlog Dump GTID')"

--- The rows, with the names of their columns in lower case: the spellings differ in that too.
local function ask(conn, statements)
  local spellings = statements[conn:info().product]
  for i, statement in ipairs(spellings) do
    local ok, rows = pcall(conn.query, conn, statement)
    if ok then
      for n, row in ipairs(rows) do
        rows[n] = {}
        for name, value in pairs(row) do
          if value ~= core.NULL then rows[n][name:lower()] = value end
        end
      end
      return rows
    end
    if errors.wrap(rows).code ~= SYNTAX_ERROR or i == #spellings then error(rows, 0) end
  end
end

local function name_of(host, port)
  return port == DEFAULT_PORT and host or ("%s:%d"):format(host, port)
end

---@param db dualdb.Database
---@param urls string[]|nil   the replicas; nil: those that the primary knows of
---@return dualdb.Replicas
function Replicas.new(db, urls)
  local self = setmetatable({ db = db, known = {}, said = {}, discovers = not urls, due = 0 },
    Replicas)
  for _, text in ipairs(urls or {}) do
    local settings = url.mysql(text, { where = "policy: replicas" })
    if not url.is_local(settings) then settings["ssl-mode"] = settings["ssl-mode"] or "required" end
    local name = settings.socket or name_of(settings.host or "127.0.0.1",
      tonumber(settings.port) or DEFAULT_PORT)
    self.known[#self.known + 1] = { name = name, settings = { settings }, due = 0 }
  end
  return self
end

local function say_once(self, level, message, fields)
  if self.said[message] then return end
  self.said[message] = true
  log.emit(level, message, fields)
end

--- What is only to be polite stops nothing, but for the interrupt of a person.
local function check_interrupt(err)
  if errors.wrap(err).class == "canceled" then error(err, 0) end
end

--- The primary's settings with another address. A password that goes no further than this machine
--- may lack TLS; to another one it has it.
local function settings_at(primary, host, port)
  local settings = {}
  for name, value in pairs(primary) do settings[name] = value end
  settings.socket, settings.dbname = nil, nil
  settings.host, settings.port = host, tostring(port)
  local mode = settings["ssl-mode"]
  if url.is_local(primary) and not url.is_local(settings) and not (mode or ""):match("^verify") then
    settings["ssl-mode"] = "required"
  end
  return settings
end

--- The hosts from which the log is read, each once.
local function readers_of_log(conn)
  local hosts, seen = {}, {}
  for _, row in ipairs(conn:query(DUMPS)) do
    local host = row.host:match("^%[?(.-)%]?:%d+$") or "127.0.0.1"  -- by the socket
    if not seen[host] then hosts[#hosts + 1] = host end
    seen[host] = true
  end
  return hosts
end

--- The replicas that the primary knows of, each with where it may be.
local function list(self, conn)
  local found, readers = {}, nil
  for i, row in ipairs(ask(conn, LIST)) do
    local id, port = tonumber(row.server_id), tonumber(row.port)
    local hosts = { row.host }
    if (row.host or "") == "" then
      readers = readers or readers_of_log(conn)
      hosts = readers
    end
    local settings = {}
    for n, host in ipairs(hosts) do
      settings[n] = settings_at(self.db.primary.settings, host, port)
    end
    found[i] = {
      id = id, due = 0, settings = settings,
      name = #hosts == 1 and name_of(hosts[1], port) or ("with server id %d"):format(id),
    }
  end
  return found
end

local function forget(replica)
  if replica.conn then replica.conn:close() end
  replica.conn = nil
end

--- Keeps what is known of a replica that is still there.
local function take_over(self, found)
  local old = {}
  for _, replica in ipairs(self.known) do old[replica.id] = replica end
  for i, replica in ipairs(found) do
    local before = old[replica.id]
    if before and before.name == replica.name then
      found[i], old[replica.id] = before, nil
    end
  end
  for _, replica in pairs(old) do forget(replica) end
  self.known = found
end

local function discover(self)
  self.due = core.clock() + AGAIN
  local primary = self.db.primary
  local conn = primary:acquire("any", SHORT)
  conn:set_timeout(SHORT)
  local ok, found = pcall(list, self, conn)
  primary:release(conn)
  if not ok then error(found, 0) end
  take_over(self, found)
end

--- A connection to the replica; only a server that has its id is it.
local function connect(replica)
  local failure = errors.make("config", "it does not say where it is")
  for _, settings in ipairs(replica.settings) do
    local conn
    local ok, err = pcall(function()
      conn = core.connect {
        driver = "mysql", label = "replica", settings = settings, connect_timeout = SHORT,
        timeout = SHORT,
      }
      if replica.id and conn:query(SERVER_ID)[1].id ~= replica.id then
        errors.raise("config", "another server answers there")
      end
    end)
    if ok then return conn end
    if conn then conn:close() end
    check_interrupt(err)
    failure = err
  end
  return error(failure, 0)
end

--- Seconds that the replica is behind, of all its sources the most; nil when it is none any more.
--- One that does not apply anything says nothing: it is behind by what has passed since then at
--- least, and the second result is true.
local function lag(replica)
  replica.conn = replica.conn or connect(replica)
  local most, stopped
  for _, row in ipairs(ask(replica.conn, STATUS)) do
    local seconds = row.seconds_behind_source or row.seconds_behind_master
    if not seconds then
      stopped = true
      replica.stopped_at = replica.stopped_at or core.clock()
      seconds = core.clock() - replica.stopped_at
    end
    most = math.max(most or 0, tonumber(seconds))
  end
  if not stopped then replica.stopped_at = nil end
  return most, stopped or false
end

local function warn(self, replica, err)
  replica.due = core.clock() + AGAIN
  forget(replica)
  local message = errors.wrap(err).message:gsub("^replica: ", "")
  say_once(self, "warn",
    ("replica %s cannot be asked how far behind it is, and is not waited for: %s"):format(
      replica.name, message), { replica = replica.name, class = errors.wrap(err).class })
end

local function tell_of_primary(self, err)
  err = errors.wrap(err)
  local is_forbidden = err.class == "auth"
  say_once(self, is_forbidden and "info" or "warn",
    ("the primary does not say which replicas it has, and none is waited for: %s"):format(
      err.message), { class = err.class })
end

--- The replica that is furthest behind, by its name and in seconds. Takes two seconds at most where
--- servers do not answer, and a little longer for the last of them.
---@return { replica: string, seconds: number, stopped: boolean }|nil
function Replicas:worst()
  local began, worst = core.clock(), nil
  if self.discovers and began >= self.due then
    local ok, err = pcall(discover, self)
    if not ok then
      check_interrupt(err)
      tell_of_primary(self, err)
    end
  end
  for _, replica in ipairs(self.known) do
    local now = core.clock()
    if now >= replica.due and now - began < SHORT then
      local ok, seconds, stopped = pcall(lag, replica)
      if not ok then
        check_interrupt(seconds)
        warn(self, replica, seconds)
      elseif seconds and (not worst or seconds > worst.seconds) then
        worst = { replica = replica.name, seconds = seconds, stopped = stopped }
      end
    end
  end
  return worst
end

function Replicas:close()
  for _, replica in ipairs(self.known) do forget(replica) end
end

return Replicas
