--- A real replica of the sandbox's primary: a second server of its kind, in a directory of its own.
--- It follows the primary from when it was made.

local core = require "dualdb.core"
local mysql = require "dualdb.sandbox.mysql"
local sandbox_servers = require "dualdb.sandbox.servers"
local servers = require "spec.support.servers"
local system = require "dualdb.sandbox.system"
local wait = require "spec.support.wait"

local replica = {}

local Replica = {}
Replica.__index = Replica

--- What the server says of itself when it asks the primary for its log; by default where it is.
---@class spec.ReplicaReport
---@field host string|false|nil   false: nothing
---@field port integer|nil

local SERVER_ID = 2

--- Replication in the words of both products.
local WORDS = {
  mariadb = {
    start = "start slave", stop = "stop slave", stop_applying = "stop slave sql_thread",
    start_applying = "start slave sql_thread", position = "show master status",
    list = "show slave hosts",
    change = "change master to master_host = '127.0.0.1', master_port = %d, master_user = '%s', "
      .. "master_password = '%s', master_log_file = '%s', master_log_pos = %d",
    delay = "change master to master_delay = %d",
  },
  mysql = {
    start = "start replica", stop = "stop replica", stop_applying = "stop replica sql_thread",
    start_applying = "start replica sql_thread", position = "show binary log status",
    list = "show replicas",
    change = "change replication source to source_host = '127.0.0.1', source_port = %d, "
      .. "source_user = '%s', source_password = '%s', source_log_file = '%s', "
      .. "source_log_pos = %d, get_source_public_key = 1",
    delay = "change replication source to source_delay = %d",
  },
}

--- What the primary has to say of the replica: MariaDB fills in where it comes from.
local function listed(box, report)
  local nothing = box.flavor == "mariadb" and "127.0.0.1" or ""
  return {
    host = report.host == false and nothing or report.host or "127.0.0.1",
    port = report.port or box.mysql_port,
  }
end

local function configure(box, report)
  report = report or {}
  box.listed = listed(box, report)
  -- It has none of the other tables, whose rows it could not delete.
  box.mysql_more = ("server-id = %d\nskip-%s-start\nreport-port = %d\n"
    .. "replicate-wild-do-table = %%.spec_polite%%\n"):format(SERVER_ID,
    box.flavor == "mariadb" and "slave" or "replica", box.listed.port)
  if report.host ~= false then
    box.mysql_more = ("%sreport-host = %s\n"):format(box.mysql_more, box.listed.host)
  end
end

local function make_directory()
  return system.must("make a directory for the replica",
    'd=$(mktemp -d /tmp/dualdb-replica-XXXXXX) && mkdir "$d/log" "$d/data" && '
      .. 'chmod 755 "$d" "$d/data" && echo "$d"')
end

--- Makes and starts it, with the passwords of the primary.
---@param report spec.ReplicaReport|nil
function replica.start(report)
  local dir = make_directory()
  local box = {
    dir = dir, base = dir .. "/data", run = dir .. "/run", id = system.random(6),
    flavor = os.getenv "DUALDB_SANDBOX_FLAVOR",
    mysql_user = system.is_root() and system.first_user { "mysql", "postgres", "nobody" } or nil,
    mysql_password = servers.settings("mysql").password,
    mysql_superpassword = servers.settings("mysql", "super").password,
  }
  mysql.place(box)
  sandbox_servers.new_port(box, mysql)
  configure(box, report)
  sandbox_servers.make_run(box)
  local self = setmetatable({
    box = box, words = WORDS[box.flavor == "mariadb" and "mariadb" or "mysql"],
  }, Replica)
  local ok, err = pcall(function()
    system.must("make the replica's data", ("%s >>%s 2>&1"):format(
      system.command(mysql.create(box)), system.quote(mysql.log(box))))
    assert(not sandbox_servers.start(box, mysql, {}), "the replica's port was taken")
    box.mysql_ready = "yes"
    mysql.created(box)
    self:follow()
  end)
  if not ok then
    self:remove()
    error(err, 0)
  end
  return self
end

--- The settings of a connection to it, as the superuser.
local function settings_of(box)
  local settings = servers.settings("mysql", "super")
  settings.port = tostring(box.mysql_port)
  return settings
end

--- Its URL, for the user of the pair.
function Replica:url()
  return ("mysql://dualdb:%s@127.0.0.1:%d"):format(self.box.mysql_password, self.box.mysql_port)
end

--- A name for it as messages have it.
function Replica:name() return "127.0.0.1:" .. self.box.mysql_port end

--- Runs a statement there.
function Replica:execute(sql)
  local conn = core.connect {
    driver = "mysql", label = "replica", settings = settings_of(self.box), connect_timeout = 10,
    timeout = 30,
  }
  local ok, result = pcall(conn.query, conn, sql)
  conn:close()
  if not ok then error(result, 0) end
  return result
end

function Replica:follow()
  local at = servers.look("mysql", self.words.position)[1]
  local primary = servers.settings("mysql", "super")
  self:execute(self.words.change:format(primary.port, primary.user, primary.password, at.File,
    at.Position))
  self:execute(self.words.start)
  self:wait_until_followed()
end

--- Waits until the primary knows of it as it is now, and of none that it was.
function Replica:wait_until_followed()
  local expected = self.box.listed
  wait.wait_until("the primary sends its log to the replica", function()
    local found = servers.look("mysql", self.words.list)
    return #found == 1 and found[1].Host == expected.host and found[1].Port == expected.port
  end, 30)
end

--- Applies changes only after so many seconds.
function Replica:delay(seconds)
  self:execute(self.words.stop)
  self:execute(self.words.delay:format(seconds))
  self:execute(self.words.start)
end

function Replica:stop_applying() self:execute(self.words.stop_applying) end
function Replica:start_applying() self:execute(self.words.start_applying) end

--- Starts it again with another report.
---@param report spec.ReplicaReport
function Replica:restart(report)
  sandbox_servers.stop(self.box, mysql)
  configure(self.box, report)
  assert(not sandbox_servers.start(self.box, mysql, {}), "the replica's port was taken")
  self:execute(self.words.start)
  self:wait_until_followed()
end

function Replica:remove()
  sandbox_servers.stop(self.box, mysql, "KILL")
  mysql.remove(self.box)
  system.must("remove the replica", "rm -rf --one-file-system " .. system.quote(self.box.dir))
end

return replica
