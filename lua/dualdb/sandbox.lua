-- Private servers for the demo and the tests: a MySQL-family primary and a PostgreSQL secondary
-- from the installed packages, in a directory of their own, on sockets and free loopback ports, as
-- root (dropping to an unprivileged user) or as any user.
--
-- DIR/state           what the sandbox is; also the mark without which `down` touches nothing
-- DIR/log/            the servers' logs
-- DIR/mysql DIR/psql  the servers' own clients, as superuser
-- DIR/remembered      what dualdb remembers of projects that use the sandbox (see dualdb.state)
-- DIR/data            the servers' files (elsewhere, as the state says, when the servers' user
--                     cannot come into DIR, and always for MySQL 9: in its chroot directory)

local errors = require "dualdb.errors"
local system = require "dualdb.sandbox.system"
local mysql = require "dualdb.sandbox.mysql"
local postgres = require "dualdb.sandbox.postgres"
local servers = require "dualdb.sandbox.servers"

local sandbox = {}

local MARK = "dualdb sandbox 1\n"
local FLAVORS = { mariadb = true, mysql = true, mysql9 = true }
local SIDES = { primary = mysql, secondary = postgres }

-- sun_path holds 108 bytes with the final NUL; the longest name below it is .s.PGSQL.NNNNN.lock.
local SOCKET_DIRECTORY_LIMIT = 107 - #"/postgres/.s.PGSQL.65535.lock"

---@class dualdb.SandboxOptions
---@field dir? string default: $DUALDB_SANDBOX, or .sandbox
---@field flavor? "mariadb"|"mysql"|"mysql9" of a new sandbox; default: $SERVERS, or what is there
---@field log? fun(text: string)

---The sandbox's directory, absolute and without symbolic links.
local function directory(opts)
  local dir = opts.dir or os.getenv("DUALDB_SANDBOX")
  if not dir or dir == "" then dir = ".sandbox" end
  dir = #dir > 1 and dir:gsub("/+$", "") or dir
  local parent, name = dir:match("^(.*)/([^/]+)$")
  parent, name = parent or ".", name or dir
  if name == "" or name == "." or name == ".." or name == "/" then
    errors.raise("usage", "sandbox: '%s' cannot be a sandbox's directory", dir)
  end
  local real, ok = system.capture("cd " .. system.quote(parent == "" and "/" or parent)
    .. " 2>/dev/null && pwd -P")
  if not ok then errors.raise("usage", "sandbox: there is no directory %s", parent) end
  dir = (real == "/" and "" or real) .. "/" .. name
  if dir:find("[%c]") then errors.raise("usage", "sandbox: control character in the path") end
  return dir
end

local NUMBERS = { mysql_port = true, postgres_port = true }

local function save(box)
  local lines = {}
  for key, value in pairs(box) do
    if key ~= "dir" then lines[#lines + 1] = key .. "=" .. tostring(value) end
  end
  table.sort(lines)
  system.write_file(box.dir .. "/state", MARK .. table.concat(lines, "\n") .. "\n")
end

---@return table? box nil when there is no sandbox in the directory
local function load(dir)
  local text = system.read_file(dir .. "/state")
  if not text or text:sub(1, #MARK) ~= MARK then return nil end
  local box = { dir = dir }
  for key, value in text:sub(#MARK + 1):gmatch("([%w_]+)=([^\n]*)\n") do
    box[key] = NUMBERS[key] and math.tointeger(tonumber(value)) or value
  end
  return box
end

-- ---- making and removing ----

---Everything a sandbox consists of, by name: whatever else is in its directory is not ours.
local PARTS = { "mysql", "psql", "mysql-client.cnf", "scratch", "pgpass", "log", "data",
  "run", "remembered" }

local function remove_all(box)
  for _, server in servers.each() do servers.stop(box, server) end
  for _, server in servers.each() do server.remove(box) end
  -- Directories outside, as their names show, were made by mktemp in create().
  for _, path in ipairs { box.run, box.base } do
    if path:find("/dualdb%-[%w]+$") and not path:find(box.dir, 1, true) then
      system.must("remove " .. path, "rm -rf --one-file-system " .. system.quote(path))
    end
  end
  local words = { "rm", "-rf", "--one-file-system", "--" }
  for _, part in ipairs(PARTS) do
    words[#words + 1] = box.dir .. "/" .. part
    words[#words + 1] = box.dir .. "/" .. part .. ".new"
  end
  system.must("remove " .. box.dir, system.command(words))
  os.remove(box.dir .. "/state")
  os.remove(box.dir .. "/state.new")
  if box.made_dir == "yes" then
    system.run("rmdir " .. system.quote(box.dir) .. " 2>/dev/null") -- stays if not empty
  end
end

local function temporary_directory()
  return system.must("make a directory in /tmp",
    "d=$(mktemp -d /tmp/dualdb-XXXXXXXX) && chmod 755 \"$d\" && echo \"$d\"")
end

---Decides where everything is, and writes it down before anything is made there.
local function plan(dir, opts)
  local flavor = opts.flavor or mysql.default_flavor()
  if not FLAVORS[flavor] then
    errors.raise("usage", "sandbox: unknown flavor '%s' (mariadb, mysql, mysql9)", flavor)
  end
  mysql.programs(flavor)
  postgres.programs()
  local box = { dir = dir, id = system.random(6), flavor = flavor, made_dir = "no" }
  if not system.exists(dir, "e") then
    system.must("make " .. dir, "mkdir " .. system.quote(dir))
    box.made_dir = "yes"
  elseif system.capture("ls -A " .. system.quote(dir)) ~= "" then
    errors.raise("refused", "sandbox: %s is not empty and not a sandbox", dir)
  end
  system.must("make " .. dir, "chmod 711 " .. system.quote(dir))
  box.base, box.run = dir .. "/data", dir .. "/run"
  save(box)
  if system.is_root() then
    box.mysql_user = system.first_user { "mysql", "postgres", "nobody" }
    box.postgres_user = system.first_user { "postgres", "nobody" }
    for _, user in ipairs { box.mysql_user, box.postgres_user } do
      local enter = system.join(system.as_user(user), { "test", "-x", dir })
      if not system.run(system.command(enter)) then box.base = nil end
    end
    if not box.base then
      box.base = temporary_directory()
      box.run = box.base .. "/run"
      save(box)
    end
  end
  if #box.run > SOCKET_DIRECTORY_LIMIT then
    box.run = temporary_directory()
  end
  for _, key in ipairs { "mysql", "postgres" } do
    box[key .. "_password"] = system.random(12)
    box[key .. "_superpassword"] = system.random(12)
  end
  mysql.place(box)
  postgres.place(box)
  servers.new_port(box, mysql)
  servers.new_port(box, postgres)
  save(box)
  return box
end

---Fills both data directories, at the same time.
local function initialize(box)
  local base = system.quote(box.base)
  system.must("make directories", "mkdir -p " .. base .. " " .. system.quote(box.dir .. "/log")
    .. " && chmod 755 " .. base)
  servers.make_run(box)
  local script = { "cd /" }
  for i, server in servers.each() do
    script[#script + 1] = string.format("%s >>%s 2>&1 </dev/null & p%d=$!",
      system.command(server.create(box)), system.quote(server.log(box)), i)
  end
  script[#script + 1] = "wait $p1; r1=$?; wait $p2; r2=$?"
  script[#script + 1] = "[ $r1 = 0 ] || exit 31; [ $r2 = 0 ] || exit 32"
  local ok, code = system.run(table.concat(script, "\n"))
  if not ok then
    local server = code == 31 and mysql or postgres
    local last = servers.complaint(server.log(box), 0)
    errors.raise("config", "sandbox: cannot make a data directory of %s: %s (log: %s)",
      server.title(box), last, server.log(box))
  end
end

local function create(dir, opts)
  local box = plan(dir, opts)
  servers.say(opts, "making data directories (%s and PostgreSQL) in %s", box.flavor, box.base)
  local ok, err = pcall(function()
    initialize(box)
    for _, server in servers.each() do servers.ensure_running(box, server, opts, save) end
    for _, server in servers.each() do server.created(box) end
    box.complete, box.mysql_ready = "yes", "yes"
    save(box)
  end)
  if not ok then
    -- The logs stay, for whoever reads the error; the next `up` or `down` clears them away.
    for _, server in servers.each() do pcall(servers.stop, box, server, "KILL") end
    error(err, 0)
  end
  return box
end

-- ---- public ----

---Makes the sandbox and starts its servers; starts those that do not run if it is there already.
---@param opts? dualdb.SandboxOptions
---@return table status as from sandbox.status
function sandbox.up(opts)
  opts = opts or {}
  local dir = directory(opts)
  system.with_lock(dir, function()
    local box = load(dir)
    if box and box.complete and opts.flavor and opts.flavor ~= box.flavor then
      errors.raise("refused", "sandbox: %s is a sandbox with %s; take it down first", dir,
        box.flavor)
    end
    if box and not box.complete then
      servers.say(opts, "clearing what an unfinished start left in %s", dir)
      remove_all(box)
      box = nil
    end
    if not box then
      create(dir, opts)
      return
    end
    local ran = {}
    for i, server in servers.each() do ran[i] = server.pid(box) end
    local ok, err = pcall(function()
      for _, server in servers.each() do servers.ensure_running(box, server, opts, save) end
    end)
    if not ok then
      for i, server in servers.each() do
        if not ran[i] then pcall(servers.stop, box, server) end
      end
      error(err, 0)
    end
  end)
  return sandbox.status { dir = dir }
end

---Stops the servers and removes what `up` made, and nothing else. Harmless if there is no sandbox.
---@param opts? dualdb.SandboxOptions
---@return boolean removed
function sandbox.down(opts)
  opts = opts or {}
  local dir = directory(opts)
  if not system.exists(dir, "e") then return false end
  return system.with_lock(dir, function()
    local box = load(dir)
    if not box then
      if system.capture("ls -A " .. system.quote(dir)) == "" then return false end
      errors.raise("refused", "sandbox: %s is not a sandbox", dir)
    end
    servers.say(opts, "stopping the servers in %s", dir)
    remove_all(box)
    return true
  end)
end

local function existing(opts)
  local dir = directory(opts)
  local box = load(dir)
  if not box or not box.complete then
    errors.raise("config", "sandbox: there is no sandbox in %s: run dualdb sandbox up", dir)
  end
  return box
end

---What the sandbox is and whether its servers answer.
---@param opts? dualdb.SandboxOptions
---@return table status { dir, exists, flavor?, primary?, secondary? }; a side has title, running,
---  answers, pid?, port, socket, user, superuser, log, client
function sandbox.status(opts)
  opts = opts or {}
  local dir = directory(opts)
  local box = load(dir)
  if not box or not box.complete then return { dir = dir, exists = false } end
  local function side(server, rest)
    rest.title, rest.pid, rest.log = server.title(box), server.pid(box), server.log(box)
    rest.running = rest.pid ~= nil
    rest.answers = rest.running and server.answers(box)
    rest.user, rest.database = "dualdb", "chatdb"
    return rest
  end
  return {
    dir = dir, exists = true, flavor = box.flavor,
    primary = side(mysql, { port = box.mysql_port, socket = mysql.socket(box), superuser = "root",
      client = dir .. "/mysql" }),
    secondary = side(postgres, { port = box.postgres_port,
      socket = postgres.socket_directory(box), superuser = "postgres", client = dir .. "/psql" }),
  }
end

---The environment in which dualdb, and the specs, find the sandbox.
---@param opts? dualdb.SandboxOptions
---@return { [1]: string, [2]: string }[] pairs name and value, in a fixed order
function sandbox.env(opts)
  local box = existing(opts or {})
  local function url(scheme, user, password, port, database)
    return string.format("%s://%s:%s@127.0.0.1:%d/%s", scheme, user, password, port, database)
  end
  local prefix = "DUALDB_SANDBOX"
  return {
    { "DUALDB_PRIMARY_URL", url("mysql", "dualdb", box.mysql_password, box.mysql_port, "chatdb") },
    { "DUALDB_SECONDARY_URL",
      url("postgresql", "dualdb", box.postgres_password, box.postgres_port, "chatdb") },
    { "DUALDB_STATE_DIR", box.dir .. "/remembered" },
    { prefix, box.dir },
    { prefix .. "_FLAVOR", box.flavor },
    { prefix .. "_MYSQL", box.dir .. "/mysql" },
    { prefix .. "_MYSQL_SOCKET", mysql.socket(box) },
    { prefix .. "_MYSQL_PORT", tostring(box.mysql_port) },
    { prefix .. "_MYSQL_SUPERUSER", "root" },
    { prefix .. "_MYSQL_SUPERUSER_PASSWORD", box.mysql_superpassword },
    { prefix .. "_MYSQL_SUPERUSER_URL",
      url("mysql", "root", box.mysql_superpassword, box.mysql_port, "chatdb") },
    { prefix .. "_PSQL", box.dir .. "/psql" },
    { prefix .. "_PG_SOCKETDIR", postgres.socket_directory(box) },
    { prefix .. "_PG_PORT", tostring(box.postgres_port) },
    { prefix .. "_PG_SUPERUSER", "postgres" },
    { prefix .. "_PG_SUPERUSER_PASSWORD", box.postgres_superpassword },
    { prefix .. "_PG_SUPERUSER_URL",
      url("postgresql", "postgres", box.postgres_superpassword, box.postgres_port, "chatdb") },
  }
end

local function server_of(side)
  return SIDES[side] or errors.raise("usage", "sandbox: unknown side '%s' (primary, secondary)",
    tostring(side))
end

---For fault tests: sends a signal to one server. TERM and the like stop it gracefully, KILL at
---once, and the call returns when its processes are gone. STOP freezes it, CONT lets it go on.
---@param side "primary"|"secondary"
---@param signal? string name without SIG; default: the server's graceful stop
---@param opts? dualdb.SandboxOptions
function sandbox.stop(side, signal, opts)
  local server, box = server_of(side), existing(opts or {})
  if signal and not signal:find("^%u[%u%d]*$") then
    errors.raise("usage", "sandbox: malformed signal '%s'", signal)
  end
  if signal == "STOP" or signal == "CONT" then
    servers.signal(box, server, signal)
    return
  end
  system.with_lock(box.dir, function() servers.stop(box, server, signal) end)
end

---For fault tests: starts a server again on its old port and waits until it answers.
---@param side "primary"|"secondary"
---@param opts? dualdb.SandboxOptions
function sandbox.start(side, opts)
  opts = opts or {}
  local server, box = server_of(side), existing(opts)
  system.with_lock(box.dir, function()
    servers.restart(box, server, opts)
  end)
end

return sandbox
