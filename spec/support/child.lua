--- A second process that runs Lua code with dualdb, for what one process cannot do alone: hold a
--- lock that another waits for, be interrupted, be measured.

local core = require "dualdb.core"

local child = {}

local Child = {}
Child.__index = Child

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

--- The words that start the interpreter that runs this spec: lua5.4, or dualdb run.
local function interpreter()
  local pipe = assert(io.popen("readlink /proc/" .. core.pid() .. "/exe"))
  local path = pipe:read "l"
  pipe:close()
  return quote(path) .. (path:match("/dualdb$") and " run" or "")
end

--- The letter of a process's state, "T" when it is stopped; nil when there is no such process.
---@param pid integer
function child.state(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text and text:match("^.*%) (%a)")
end

--- True when this build has a sanitizer in it, which needs memory of its own.
function child.sanitized()
  local maps = assert(io.open("/proc/self/maps"))
  local text = maps:read "a"
  maps:close()
  return text:find("lib[at]san") ~= nil
end

--- Starts `words`, a shell command; what it writes is read from the returned object.
---@param words string
function child.command(words)
  local pipe = assert(io.popen("echo $$; exec " .. words .. " 2>&1", "r"))
  return setmetatable({ pipe = pipe, pid = math.tointeger(pipe:read "n"), rest = pipe:read "l" },
    Child)
end

--- Starts Lua code in a process of its own. It finds the modules that this one finds.
---@param code string
---@param environment table<string, string>|nil   added to this process's
function child.lua(code, environment)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write("io.stdout:setvbuf 'line'\nos.remove(", ("%q"):format(path), ")\n", code)
  file:close()
  local added = {}
  for name, value in pairs(environment or {}) do added[#added + 1] = name .. "=" .. quote(value) end
  local started = child.command(("env LUA_PATH=%s LUA_CPATH=%s %s %s %s"):format(
    quote(package.path), quote(package.cpath), table.concat(added, " "), interpreter(),
    quote(path)))
  started.path = path
  return started
end

--- The next line that it writes, or nil at its end.
function Child:line() return self.pipe:read "l" end

function Child:signal(number) core.kill(self.pid, number) end

--- Reads the rest and waits for the end; returns the text and the exit status (128 + a signal's
--- number when that ended it).
---@return string, integer
function Child:finish()
  local text = self.pipe:read "a"
  local _, how, status = self.pipe:close()
  if self.path then os.remove(self.path) end -- the code did it, unless it could not be loaded
  return text, how == "signal" and 128 + status or status
end

return child
