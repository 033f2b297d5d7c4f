-- The sandbox's MySQL-family server: MariaDB or MySQL of the installed packages, or MySQL 9 in a
-- directory to chroot into (scripts/mysql9.sh makes it).

local errors = require "dualdb.errors"
local system = require "dualdb.sandbox.system"

local mysql = { process_names = { "mariadbd", "mysqld" } }

---The server's name for people.
function mysql.title(box)
  return box.flavor == "mariadb" and "MariaDB" or "MySQL"
end

---@return string
local function mysql9_root()
  local cache = os.getenv("XDG_CACHE_HOME")
  if not cache or cache == "" then cache = (os.getenv("HOME") or "/root") .. "/.cache" end
  return cache .. "/dualdb/mysql9/server"
end

local function is_mariadb(program)
  return system.capture(system.quote(program) .. " --version 2>&1"):find("MariaDB", 1, true) ~= nil
end

---The flavor used when none is asked for.
---@return string
function mysql.default_flavor()
  if os.getenv("SERVERS") == "mysql9" then return "mysql9" end
  if system.find { "mariadbd" } then return "mariadb" end
  local mysqld = system.find { "mysqld" }
  return mysqld and not is_mariadb(mysqld) and "mysql" or "mariadb"
end

---Finds the programs of a flavor, or raises what to install.
---@param flavor string
---@return table programs { server, client, install, root }
function mysql.programs(flavor)
  if flavor == "mysql9" then
    local root = mysql9_root()
    if not system.exists(root .. "/dualdb-stamp", "e") then
      errors.raise("config", "sandbox: MySQL 9 is not in %s: run scripts/mysql9.sh first", root)
    end
    return { server = "/usr/sbin/mysqld", client = "/usr/bin/mysql", root = root }
  end
  local server, client
  if flavor == "mariadb" then
    server, client = system.find { "mariadbd" }, system.find { "mariadb", "mysql" }
    local install = system.find { "mariadb-install-db", "mysql_install_db" }
    if server and client and install then
      return { server = server, client = client, install = install }
    end
    errors.raise("config", "sandbox: MariaDB is not installed (%s is missing): "
      .. "apt-get install mariadb-server-core mariadb-client-core",
      not server and "mariadbd" or not client and "mariadb" or "mariadb-install-db")
  end
  server, client = system.find { "mysqld" }, system.find { "mysql" }
  if not server or not client or is_mariadb(server) then
    errors.raise("config", "sandbox: no mysqld of MySQL is installed")
  end
  return { server = server, client = client }
end

---The words that lead into the chroot, as `user` there; nothing for the other flavors.
local function enter(programs, user)
  if not programs.root then return system.as_user(user) end
  local words = system.is_root() and { "chroot" } or { "sudo", "-n", "chroot" }
  local uid = user and system.capture("id -u " .. user) or system.capture("id -u")
  local gid = user and system.capture("id -g " .. user) or system.capture("id -g")
  words[#words + 1] = "--userspec=" .. uid .. ":" .. gid
  words[#words + 1] = "--groups=" .. gid
  words[#words + 1] = programs.root
  return words
end

---Decides the paths of a new sandbox. `box.mysql_home` is what the server sees; with a chroot it
---is `box.mysql_root .. box.mysql_home` from outside.
---@param box table the sandbox's state
function mysql.place(box)
  local programs = mysql.programs(box.flavor)
  if programs.root then
    box.mysql_root = programs.root
    box.mysql_home = "/srv/dualdb-sandbox-" .. box.id
  else
    box.mysql_home = box.base .. "/mysql"
  end
end

---The directory of the server's files as this process sees it.
function mysql.home(box)
  return (box.mysql_root or "") .. box.mysql_home
end

---The server's socket, of a length that fits into a socket's address. With a chroot it is a link
---to where the server makes it.
function mysql.socket(box)
  return box.run .. "/mysql/mysql.sock"
end

function mysql.log(box)
  return box.dir .. "/log/mysql.log"
end

local function sudo(box)
  return box.mysql_root and not system.is_root() and "sudo -n " or ""
end

-- The same as the server sees it.
local function inner_socket(box)
  return box.mysql_root and box.mysql_home .. "/mysql.sock" or mysql.socket(box)
end

-- Writes a file into the server's home, which in a chroot may need sudo.
local function install_file(box, name, content, user, mode)
  local scratch, path = box.dir .. "/scratch", mysql.home(box) .. "/" .. name
  system.write_file(scratch, content)
  local words = { "install", "-m", mode }
  if user then words = system.join(words, { "-o", user }) end
  system.must("write " .. path, sudo(box)
    .. system.command(system.join(words, { scratch, path })))
  os.remove(scratch)
end

local CONFIG = [[
[mysqld]
datadir = %(home)s/data
socket = %(socket)s
pid-file = %(home)s/mysqld.pid
tmpdir = %(home)s
bind-address = 127.0.0.1
port = %(port)s
skip-name-resolve
server-id = 1
log-bin = %(home)s/data/binlog
sync_binlog = 1
max_binlog_size = 64M
innodb_flush_log_at_trx_commit = 1
innodb_buffer_pool_size = 128M
character-set-server = utf8mb4
max_connections = 100
max_allowed_packet = 64M
]]

local CONFIG_MARIADB = [[
collation-server = utf8mb4_general_ci
innodb_log_file_size = 64M
expire_logs_days = 1
]]

local CONFIG_MYSQL = [[
innodb_redo_log_capacity = 64M
binlog_expire_logs_seconds = 86400
secure-file-priv =
mysqlx = OFF
]]

-- `box.mysql_more`: what a spec's own server is to have besides, or otherwise.
local function write_config(box)
  local text = CONFIG .. (box.flavor == "mariadb" and CONFIG_MARIADB or CONFIG_MYSQL)
    .. (box.mysql_more or "")
  text = text:gsub("%%%((%w+)%)s", {
    home = box.mysql_home, socket = inner_socket(box), port = tostring(box.mysql_port) })
  -- Beside the data and not in box.dir, which the server's user may be unable to enter.
  install_file(box, "mysql.cnf", text, system.is_root() and "root" or nil, "644")
end

local function config_path(box)
  return box.mysql_home .. "/mysql.cnf"
end

local function owner(box)
  return box.mysql_user or system.capture("id -un")
end

---Makes the directories of a new sandbox and returns the command that fills the data directory.
---@param box table
---@return string[] words
function mysql.create(box)
  local programs = mysql.programs(box.flavor)
  local home = system.quote(mysql.home(box))
  system.must("make " .. mysql.home(box), sudo(box) .. "mkdir -p " .. home .. " && " .. sudo(box)
    .. "chown " .. owner(box) .. " " .. home .. " && " .. sudo(box) .. "chmod 755 " .. home)
  write_config(box)
  local enter_words = enter(programs, box.mysql_user)
  if programs.install then
    -- A server that starts deletes all temporary tables where it makes its own: where others make
    -- theirs it would delete those.
    return system.join(enter_words, { "env", "TMPDIR=" .. box.mysql_home, programs.install,
      "--no-defaults", "--rpm",
      "--datadir=" .. box.mysql_home .. "/data", "--auth-root-authentication-method=normal",
      "--skip-test-db", "--skip-name-resolve" })
  end
  return system.join(enter_words, { programs.server, "--defaults-file=" .. config_path(box),
    "--initialize-insecure", "--log-error-verbosity=1" })
end

-- Passwords are made of hexadecimal digits, so they need no quoting in SQL. One statement a line:
-- the server reads its init file so. It runs before the server listens: nobody ever finds root
-- without a password.
local function init_sql(box)
  local lines = { "SET sql_log_bin = 0;" }
  local function add(...) lines[#lines + 1] = string.format(...) end
  if box.flavor == "mariadb" then
    add("DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');")
    add("FLUSH PRIVILEGES;")
  end
  add("ALTER USER root@localhost IDENTIFIED BY '%s';", box.mysql_superpassword)
  add("CREATE USER IF NOT EXISTS root@'127.0.0.1' IDENTIFIED BY '%s';", box.mysql_superpassword)
  add("GRANT ALL PRIVILEGES ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;")
  add("CREATE USER IF NOT EXISTS dualdb@'%%' IDENTIFIED BY '%s';", box.mysql_password)
  add("GRANT ALL PRIVILEGES ON *.* TO dualdb@'%%' WITH GRANT OPTION;")
  add("CREATE DATABASE IF NOT EXISTS chatdb CHARACTER SET utf8mb4;")
  return table.concat(lines, "\n") .. "\n"
end

---Starts the server, which does not run. `box.mysql_ready`: users and database are made.
---@param box table
---@return integer pid
function mysql.start(box)
  local programs = mysql.programs(box.flavor)
  write_config(box)
  -- A killed MySQL leaves its pid behind, and the next one refuses while that pid exists, even as a
  -- zombie that its parent has not waited for yet, or as another program that got the number.
  local lock = (box.mysql_root and mysql.home(box) .. "/mysql.sock" or mysql.socket(box)) .. ".lock"
  system.must("remove " .. lock, sudo(box) .. "rm -f " .. system.quote(lock))
  if box.mysql_root then
    system.must("make " .. mysql.socket(box), "ln -sfn "
      .. system.command { mysql.home(box) .. "/mysql.sock", mysql.socket(box) })
  end
  local words = system.join(enter(programs, box.mysql_user),
    { programs.server, "--defaults-file=" .. config_path(box) })
  if not box.mysql_ready then
    install_file(box, "init.sql", init_sql(box), owner(box), "600")
    words[#words + 1] = "--init-file=" .. box.mysql_home .. "/init.sql"
  end
  return system.spawn(words, mysql.log(box), "/")
end

---Writes the client's script: DIR/mysql talks to the server as root, whatever the flavor.
function mysql.write_client(box)
  local programs = mysql.programs(box.flavor)
  local config = string.format(
    "[client]\nuser = root\npassword = %s\nsocket = %s\ndefault-character-set = utf8mb4\n",
    box.mysql_superpassword, inner_socket(box))
  local words, path = { "exec" }, box.dir .. "/mysql-client.cnf"
  system.write_file(path, config)
  if programs.root then
    install_file(box, "client.cnf", config, nil, "600")
    path = box.mysql_home .. "/client.cnf"
    words = system.join(words, system.is_root() and {} or { "sudo", "-n" },
      { "chroot", programs.root })
  end
  words = system.join(words, { programs.client, "--defaults-file=" .. path })
  system.write_file(box.dir .. "/mysql", "#!/bin/sh\n# The sandbox's MySQL client, as root.\n"
    .. system.command(words) .. ' "$@"\n', "700")
end

---@return boolean
function mysql.answers(box)
  return (system.run(system.quote(box.dir .. "/mysql")
    .. " --connect-timeout=2 -e 'select 1' >/dev/null 2>&1 </dev/null"))
end

---The server answers for the first time: what only the first start needs goes away.
function mysql.created(box)
  system.run(sudo(box) .. "rm -f " .. system.quote(mysql.home(box) .. "/init.sql"))
end

---@return integer? pid
function mysql.pid(box)
  local argument = "--defaults-file=" .. config_path(box)
  for _, name in ipairs(mysql.process_names) do
    local pid = system.find_process(name, argument)
    if pid then return pid end
  end
end

mysql.stop_signal = "TERM"

---Removes what create() made outside of the sandbox's own directory.
function mysql.remove(box)
  if box.mysql_root and box.mysql_home:find("^/srv/dualdb%-sandbox%-%x+$") then
    system.must("remove " .. mysql.home(box), sudo(box) .. "rm -rf --one-file-system "
      .. system.quote(mysql.home(box)))
  end
end

return mysql
