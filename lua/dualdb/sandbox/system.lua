-- What the sandbox needs from the operating system (Linux): the shell with strict quoting,
-- processes found by their command line in /proc, free ports, random names, and a lock.

local errors = require "dualdb.errors"

local system = {}

---A word of a shell command that is exactly `text`, whatever it contains.
---@param text string|number
---@return string
function system.quote(text)
  text = tostring(text)
  if text:find("\0", 1, true) then
    errors.raise("usage", "a path or argument contains a NUL byte")
  end
  if text:find("^[%w_@%%+=:,./-]+$") then return text end
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

---Words quoted and joined to one shell command.
---@param words (string|number)[]
---@return string
function system.command(words)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = system.quote(word) end
  return table.concat(quoted, " ")
end

---Several lists of words as one.
---@param ... string[]
---@return string[]
function system.join(...)
  local all = {}
  for _, list in ipairs { ... } do table.move(list, 1, #list, #all + 1, all) end
  return all
end

---Runs a shell command. Its output goes where the caller's goes unless redirected.
---@param command string
---@return boolean ok
---@return integer code
function system.run(command)
  local ok, _, code = os.execute(command)
  return ok == true, code
end

---Runs a shell command and returns what it prints on stdout, without the last line end.
---@param command string
---@return string output
---@return boolean ok
---@return integer code
function system.capture(command)
  local pipe = assert(io.popen(command, "r"))
  local output = pipe:read("a") or ""
  local ok, _, code = pipe:close()
  return (output:gsub("\n$", "")), ok == true, code
end

---Runs a shell command that must succeed; what it says on stderr is in the error.
---@param what string what it was for, as the message says it
---@param command string
---@return string output
function system.must(what, command)
  local output, ok = system.capture("{ " .. command .. "\n} 2>&1")
  if not ok then
    local last = output:match("([^\n]+)%s*$") or "no output"
    errors.raise("config", "sandbox: cannot %s: %s", what, last)
  end
  return output
end

---@param path string
---@return string? content nil when it cannot be read
function system.read_file(path)
  local file <close> = io.open(path, "rb")
  return file and file:read("a")
end

---Writes a file that only this user can read, at once: a reader sees the old content or the new.
---@param path string
---@param content string
---@param mode? string octal, default 600
function system.write_file(path, content, mode)
  local scratch = path .. ".new"
  local q = system.quote(scratch)
  system.must("write " .. path,
    "rm -f " .. q .. " && (umask 077 && : > " .. q .. ")")
  local file <close> = assert(io.open(scratch, "wb"))
  assert(file:write(content))
  assert(file:close())
  if mode then system.must("write " .. path, "chmod " .. mode .. " " .. q) end
  assert(os.rename(scratch, path))
end

function system.sleep(seconds)
  system.run(string.format("sleep %.2f", seconds))
end

---@param path string
---@param kind? string the letter of test(1): "d" (default), "e", "x", "f"
function system.exists(path, kind)
  return (system.run("test -" .. (kind or "d") .. " " .. system.quote(path)))
end

---@param bytes integer
---@return string hexadecimal digits, two for a byte
function system.random(bytes)
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return (file:read(bytes):gsub(".", function(c) return string.format("%02x", c:byte()) end))
end

---The first of several programs that is installed, in PATH or where servers live.
---@param names string[] names or absolute paths
---@return string? path
function system.find(names)
  for _, name in ipairs(names) do
    local path, ok = system.capture("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/libexec "
      .. "command -v " .. system.quote(name) .. " 2>/dev/null")
    if ok and path ~= "" then return path end
  end
end

function system.is_root()
  return system.capture("id -u") == "0"
end

---The words that run a command as another user; nothing when `user` is nil.
---@param user? string
---@return string[]
function system.as_user(user)
  if not user then return {} end
  return { "setpriv", "--reuid=" .. user, "--regid=" .. system.capture("id -g "
    .. system.quote(user)), "--clear-groups", "--" }
end

---The first of several users that exists.
function system.first_user(names)
  for _, name in ipairs(names) do
    if system.run("id -u " .. system.quote(name) .. " >/dev/null 2>&1") then return name end
  end
end

-- ---- processes ----

---The arguments of a process; nil when it is gone, or a zombie.
local function arguments_of(pid)
  local text = system.read_file("/proc/" .. pid .. "/cmdline")
  if not text or text == "" then return nil end
  local list = {}
  for word in text:gmatch("([^\0]*)\0") do list[#list + 1] = word end
  return list
end

---@return string? state the letter in /proc/PID/stat
---@return integer? parent
---@return string? started in ticks since boot: with the pid it names a process for ever
function system.process(pid)
  local text = system.read_file("/proc/" .. pid .. "/stat")
  -- The name in parentheses can itself contain parentheses and spaces.
  local rest = text and text:match("^.*%) (.*)$")
  if not rest then return nil end
  local fields = {}
  for field in rest:gmatch("%S+") do fields[#fields + 1] = field end
  return fields[1], math.tointeger(tonumber(fields[2])), fields[20]
end

---@return boolean
function system.alive(pid)
  local state = system.process(pid)
  return state ~= nil and state ~= "Z" and state ~= "X"
end

local function all_pids()
  local pids = {}
  for pid in system.capture("cd /proc && echo [0-9]*"):gmatch("%d+") do
    pids[#pids + 1] = math.tointeger(tonumber(pid))
  end
  return pids
end

---The process that runs the program `name` and has exactly `argument` among its arguments.
---Pids are not remembered in a file: a server is found even if whoever started it was killed
---before it could write anything down, and a reused pid is never taken for a server.
---@param name string Lua pattern for the end of argv[0]
---@param argument string
---@return integer? pid
function system.find_process(name, argument)
  local found = {}
  for _, pid in ipairs(all_pids()) do
    local list = arguments_of(pid)
    if list and list[1] and list[1]:find(name .. "$") then
      for i = 2, #list do
        if list[i] == argument then found[pid] = true end
      end
    end
  end
  for pid in pairs(found) do -- a child between fork and its own title looks like its parent
    local _, parent = system.process(pid)
    if not found[parent] then return pid end
  end
end

---@return integer[] pids of the direct children
function system.children(pid)
  local children = {}
  for _, other in ipairs(all_pids()) do
    local _, parent = system.process(other)
    if parent == pid then children[#children + 1] = other end
  end
  return children
end

---Starts a command that outlives this process: a session of its own, no terminal, none of our
---files (0 to 9, what a POSIX shell can name), a clean environment.
---@param words string[] the command, which must end up as the program by exec only
---@param log string file its output is appended to
---@param dir string working directory
---@return integer pid
function system.spawn(words, log, dir)
  local zone = os.getenv("TZ")
  local line = system.join({ "setsid", "env", "-i", "LC_ALL=C.UTF-8",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    { zone and "TZ=" .. zone }, words)
  local close = {}
  for fd = 3, 9 do close[#close + 1] = fd .. ">&-" end
  local output = system.must("start " .. words[1], string.format("cd %s && { %s >>%s 2>&1 "
    .. "</dev/null %s & echo $!; }", system.quote(dir), system.command(line), system.quote(log),
    table.concat(close, " ")))
  return math.tointeger(tonumber(output:match("(%d+)%s*$"))) or errors.raise("internal",
    "sandbox: no process id for %s", words[1])
end

---Waits until `condition` is true.
---@param seconds number
---@param condition fun(): any
---@return any value what condition returned, or false when the time is up
function system.wait(seconds, condition)
  local limit, pause, waited = os.time() + math.ceil(seconds), 0.02, 0
  while true do
    local value = condition()
    if value then return value end
    if os.time() > limit or waited > seconds then return false end
    system.sleep(pause)
    waited = waited + pause
    pause = math.min(pause * 1.5, 0.25)
  end
end

-- ---- ports ----

---A port of 127.0.0.1 that nobody listens on, below the range from which the kernel takes ports
---for outgoing connections. It can be taken before it is used: the caller tries again.
---@param taken table<integer, boolean> ports not to return
---@return integer
function system.free_port(taken)
  local used = {}
  for _, name in ipairs { "/proc/net/tcp", "/proc/net/tcp6" } do
    for port in (system.read_file(name) or ""):gmatch("\n%s*%d+: %x+:(%x+)") do
      used[tonumber(port, 16)] = true
    end
  end
  for _ = 1, 1000 do
    local port = 20000 + tonumber(system.random(3), 16) % 12000
    if not used[port] and not taken[port] then return port end
  end
  errors.raise("unavailable", "sandbox: no free port between 20000 and 31999")
end

-- ---- lock ----

-- $1 the lock file, $2 our pid, $3 when we started. The flock around it is held for this moment
-- only; a lock whose owner is gone is taken over.
local LOCK = [[
if read -r pid start <"$1"; then
  now=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)
  [ "$now" = "$start" ] && echo "$pid" && exit 9
fi 2>/dev/null
echo "$2 $3" >"$1"]]

---Runs a function while no other process works on the same sandbox.
---@param dir string absolute
---@param fn fun(): any
---@return any
function system.with_lock(dir, fn)
  local path, parent = dir .. ".lock", dir:match("^(.*)/[^/]+$")
  local self = system.read_file("/proc/self/stat") or errors.raise("config",
    "sandbox: needs /proc, which is not here")
  local pid = self:match("^%d+")
  local _, _, started = system.process(pid)
  local command = system.command { "flock", "-w", "60", parent == "" and "/" or parent, "sh", "-c",
    LOCK, "sh", path, pid, started } .. " 2>&1"
  local output
  local got = system.wait(180, function()
    local ok, code
    output, ok, code = system.capture(command)
    if not ok and code ~= 9 then
      errors.raise("config", "sandbox: cannot lock %s: %s", path, output)
    end
    return ok
  end)
  if not got then
    errors.raise("unavailable", "sandbox: process %s is working on %s for more than 180 s", output,
      dir)
  end
  local results = table.pack(pcall(fn))
  os.remove(path)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

return system
