--- A slow link between dualdb and one server (link.c), which counts what passes.
---
---     local link = Link.start("primary", { milliseconds = 40, megabits = 100 })
---     local db = pair.open(models, { primary = link.url })
---     ... link:bytes() ... link:stop()

local child = require "spec.support.child"
local pair = require "spec.support.pair"

local PROGRAM = (os.getenv "DUALDB_BIN" or "build/dualdb"):gsub("[^/]+$", "spec/link")

local URLS = { primary = "DUALDB_PRIMARY_URL", secondary = "DUALDB_SECONDARY_URL" }

---@class spec.Link
---@field url string    of the side, by way of the link
local Link = {}
Link.__index = Link

---@param side "primary"|"secondary"
---@param limits { milliseconds: number|nil, megabits: number|nil }|nil   each way; none: no limit
---@return spec.Link
function Link.start(side, limits)
  limits = limits or {}
  local url = os.getenv(URLS[side])
  local host, port = url:match "@([^:/]+):(%d+)"
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo " .. path))
  local self = setmetatable({
    path = path,
    process = child.command(("%s %s %s %g %g %s"):format(PROGRAM, host, port,
      limits.milliseconds or 0, limits.megabits or 0, path)),
    pipe = assert(io.open(path, "w")),
  }, Link)
  self.pipe:setvbuf "line"
  self.url = pair.with_port(url, self:ask "port")
  return self
end

---@param command string
---@return string
function Link:ask(command)
  assert(self.pipe:write(command, "\n"))
  return assert(self.process:line())
end

--- Bytes that passed both ways since this was asked last.
---@return integer
function Link:bytes()
  local up, down = self:ask("bytes"):match "^(%d+) (%d+)$"
  return math.tointeger(up) + math.tointeger(down)
end

--- Ends the link, with all its connections.
function Link:stop()
  self.process:signal(9)
  self.process:finish()
  self.pipe:close()
  os.remove(self.path)
end

return Link
