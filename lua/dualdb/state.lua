--- What a project remembers on this machine, for all processes of the user: small strings by name,
--- and the file of the breakers. A project is its name and where its two databases are, so two that
--- share a name share nothing else.
---
--- It lives in $DUALDB_STATE_DIR, else in $XDG_STATE_HOME/dualdb, else in ~/.local/state/dualdb.
--- When that cannot be written it lives in the directory for temporary files, and when that fails
--- too in this process alone: no read and no write of data fails for want of a place to remember.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"

---@class dualdb.State
local State = {}
State.__index = State

local DEFAULT_PORT = { primary = "3306", secondary = "5432" }
--- What says where a database is; neither the user nor a password is part of it.
local PLACE = { "host", "hostaddr", "port", "socket", "service", "dbname" }

local function digest(config)
  local parts = {}
  for _, side in ipairs { "primary", "secondary" } do
    for _, name in ipairs(PLACE) do
      local value = config[side][name]
      if name == "port" and not config[side].socket then value = value or DEFAULT_PORT[side] end
      parts[#parts + 1] = tostring(value or "")
    end
  end
  return core.digest(core.pack(("t"):rep(#parts), parts)):sub(1, 12)
end

---@param config dualdb.Config
---@param getenv (fun(name: string): string|nil)|nil   default os.getenv
---@return dualdb.State
function State.new(config, getenv)
  return setmetatable({
    project = config.name .. "-" .. digest(config), getenv = getenv or os.getenv, memory = {},
  }, State)
end

--- A directory that the environment names; a relative one would be many places.
local function named_by(self, variable)
  local value = self.getenv(variable)
  return value and value:sub(1, 1) == "/" and value or nil
end

local function wanted(self)
  local own = self.getenv "DUALDB_STATE_DIR"
  if own and own ~= "" then return own end
  local base = named_by(self, "XDG_STATE_HOME")
  if base then return base .. "/dualdb" end
  local home = named_by(self, "HOME")
  return home and home .. "/.local/state/dualdb"
end

--- The directory of the project; nil when nothing can be written on this machine. Made, and
--- complained about, when it is first asked for.
---@return string|nil
function State:directory()
  if self.resolved then return self.path end
  self.resolved = true
  local base, reason = wanted(self), "there is no HOME"
  if base then
    local path = base .. "/" .. self.project
    local ok, err = pcall(core.make_directory, path)
    if ok then
      self.path = path
      return path
    end
    reason = errors.wrap(err).message
  end
  local temporary = ("%s/dualdb-%d"):format(named_by(self, "TMPDIR") or "/tmp", core.user_id())
  local path = temporary .. "/" .. self.project
  -- Anyone may write there: what somebody else has made is not trusted.
  if pcall(core.make_directory, temporary, true) and pcall(core.make_directory, path, true) then
    log.emit("warn", ("%s; what this project remembers is in %s"):format(reason, path))
    self.path = path
  else
    log.emit("warn", reason .. "; what this project remembers ends with this process")
  end
  return self.path
end

local function check_name(name)
  if type(name) ~= "string" or not name:find("^[%w_][%w_-]*$") then
    errors.usage("state: a name is made of letters, digits, _ and -")
  end
end

--- The path of a file of the project, or nil when there is no place for files.
---@param name string
---@return string|nil
function State:file(name)
  check_name(name)
  local directory = self:directory()
  return directory and directory .. "/" .. name
end

--- The string that was set last, by any process; nil when there is none.
---@param name string
---@return string|nil
function State:get(name)
  local path = self:file(name)
  if self.memory[name] ~= nil or not path then return self.memory[name] end
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

--- Remembers a string. A process that stops at any moment leaves the old one or the new one. What
--- cannot be written is remembered by this process, and complained about once.
---@param name string
---@param value string
function State:set(name, value)
  if type(value) ~= "string" then errors.usage("state: a string expected") end
  local path = self:file(name)
  local ok, err
  if path then ok, err = pcall(core.write_file_atomic, path, value) end
  self.memory[name] = not ok and value or nil
  if err and not self.complained then
    self.complained = true
    log.emit("warn", errors.wrap(err).message .. "; this process remembers it alone")
  end
end

return State
