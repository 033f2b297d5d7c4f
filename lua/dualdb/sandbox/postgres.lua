-- The sandbox's PostgreSQL server, of the installed packages.

local errors = require "dualdb.errors"
local system = require "dualdb.sandbox.system"

local postgres = {}

---The server's name for people.
function postgres.title()
  return "PostgreSQL"
end

---The newest installed version's programs. Debian keeps them out of PATH, one directory a version.
---@return table programs { server, initdb, psql }
function postgres.programs()
  local best, best_version
  for dir in system.capture("ls -d /usr/lib/postgresql/*/bin 2>/dev/null"):gmatch("[^\n]+") do
    local version = tonumber(dir:match("postgresql/([%d.]+)/bin"))
    if version and system.exists(dir .. "/initdb", "x") and (not best or version > best_version)
    then
      best, best_version = dir .. "/", version
    end
  end
  local programs = {}
  for key, name in pairs { server = "postgres", initdb = "initdb", psql = "psql" } do
    programs[key] = best and system.exists(best .. name, "x") and best .. name
      or system.find { name }
    if not programs[key] then
      errors.raise("config", "sandbox: PostgreSQL is not installed (%s is missing): "
        .. "apt-get install postgresql", name)
    end
  end
  return programs
end

---@param box table the sandbox's state
function postgres.place(box)
  box.postgres_home = box.base .. "/postgres"
end

function postgres.log(box)
  return box.dir .. "/log/postgres.log"
end

local function data(box)
  return box.postgres_home .. "/data"
end

function postgres.socket_directory(box)
  return box.run .. "/postgres"
end

local CONFIG = [[
# by the dualdb sandbox
unix_socket_directories = '%(socket)s'
listen_addresses = '127.0.0.1'
max_connections = 100
max_prepared_transactions = 20
password_encryption = 'scram-sha-256'
shared_buffers = 64MB
min_wal_size = 32MB
max_wal_size = 256MB
logging_collector = off
log_line_prefix = '%m [%p] '
]]

---Makes the directories of a new sandbox and returns the command that fills the data directory.
---@param box table
---@return string[] words
function postgres.create(box)
  local programs = postgres.programs()
  local home = system.quote(box.postgres_home)
  system.must("make " .. box.postgres_home, "mkdir -p " .. home .. " && chmod 755 " .. home
    .. (box.postgres_user and " && chown " .. box.postgres_user .. " " .. home or ""))
  -- initdb reads the password as the server's user: a file of its own, removed by created().
  local path = box.postgres_home .. "/password"
  system.write_file(path, box.postgres_superpassword .. "\n")
  if box.postgres_user then
    system.must("write " .. path, "chown " .. box.postgres_user .. " " .. system.quote(path))
  end
  return system.join(system.as_user(box.postgres_user), { programs.initdb, "-D", data(box),
    "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256",
    "--pwfile=" .. path, "--no-instructions" })
end

-- A killed postmaster leaves its pid behind, and the next one refuses while that pid exists, even
-- as a zombie that its parent has not waited for yet, or as another program that got the number.
local function clear_stale_pid(box)
  local path = system.quote(data(box) .. "/postmaster.pid")
  local pid = system.capture("head -n 1 " .. path .. " 2>/dev/null"):match("^%d+$")
  if pid and not system.wait(10, function() return system.process(pid) == nil end) then
    system.run("rm -f " .. path)
  end
end

---@param box table
---@return integer pid
function postgres.start(box)
  local programs = postgres.programs()
  clear_stale_pid(box)
  local config = CONFIG:gsub("%%%((%w+)%)s", { socket = postgres.socket_directory(box) })
  local words = system.as_user(box.postgres_user)
  system.must("configure PostgreSQL", "printf %s " .. system.quote(config) .. " | "
    .. system.command(words) .. " tee " .. system.quote(data(box) .. "/dualdb.conf")
    .. " >/dev/null && f=" .. system.quote(data(box) .. "/postgresql.conf")
    .. [[ && { grep -q "^include 'dualdb.conf'" "$f" || echo "include 'dualdb.conf'" >>"$f"; }]])
  return system.spawn(system.join(words, { programs.server, "-D", data(box), "-c",
    "port=" .. box.postgres_port }), postgres.log(box), box.postgres_home)
end

---Writes the client's script: DIR/psql talks to the server as its superuser.
function postgres.write_client(box)
  system.write_file(box.dir .. "/pgpass", "*:*:*:postgres:" .. box.postgres_superpassword .. "\n")
  system.write_file(box.dir .. "/psql", "#!/bin/sh\n# The sandbox's psql, as the superuser.\n"
    .. "unset PGSERVICE PGHOSTADDR PGSSLMODE PGOPTIONS PGTZ PGCLIENTENCODING PGPASSWORD\n"
    .. system.command { "export", "PGPASSFILE=" .. box.dir .. "/pgpass" } .. "\n"
    .. system.command { "export", "PGHOST=" .. postgres.socket_directory(box) } .. "\n"
    .. "export PGPORT=" .. box.postgres_port .. " PGUSER=postgres\n"
    .. "[ -n \"${PGDATABASE:-}\" ] || export PGDATABASE=postgres\n"
    .. system.command { "exec", postgres.programs().psql, "-X" } .. ' "$@"\n', "700")
end

local function psql(box, arguments)
  return "PGCONNECT_TIMEOUT=2 PGDATABASE=postgres " .. system.quote(box.dir .. "/psql") .. " "
    .. arguments
end

---@return boolean
function postgres.answers(box)
  return (system.run(psql(box, "-Atc 'select 1' >/dev/null 2>&1 </dev/null")))
end

---The server answers for the first time: makes the user and the database.
function postgres.created(box)
  -- Passwords are made of hexadecimal digits, so they need no quoting in SQL. Everything short of
  -- superuser: what tests need (other sessions' state and end), not what hides a missing grant.
  local sql = string.format([[
create role dualdb login createdb createrole password '%s';
select format('grant %%I to dualdb', rolname) from pg_roles where rolname in
  ('pg_read_all_data', 'pg_write_all_data', 'pg_monitor', 'pg_signal_backend') \gexec
create database chatdb owner dualdb;
]], box.postgres_password)
  system.must("set up PostgreSQL", psql(box, "-q -v ON_ERROR_STOP=1 <<'END'\n" .. sql .. "END"))
  os.remove(box.postgres_home .. "/password")
end

---@return integer? pid
function postgres.pid(box)
  return system.find_process("postgres", data(box))
end

-- SIGINT is PostgreSQL's "fast" shutdown: sessions are ended, the data is closed properly.
postgres.stop_signal = "INT"

function postgres.remove() end

return postgres
