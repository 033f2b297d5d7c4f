--- A proxy between dualdb and one server (proxy.c): it sees statements and answers, and loses,
--- holds back and cuts what a spec says.
---
---     local proxy = Proxy.start "primary"
---     local db = bank.open(nil, { primary = proxy.url })
---     local rule = proxy:rule { "commit", when = "answer", what = "reset" }
---     ... proxy:hits(rule) ... proxy:down() ... proxy:up() ... proxy:stop()

local child = require "spec.support.child"
local pair = require "spec.support.pair"

local PROGRAM = (os.getenv "DUALDB_BIN" or "build/dualdb"):gsub("[^/]+$", "spec/proxy")

local SIDES = {
  primary = { kind = "mysql", url = "DUALDB_PRIMARY_URL" },
  secondary = { kind = "postgres", url = "DUALDB_SECONDARY_URL" },
}

---@class spec.Proxy
---@field url string    of the side, by way of the proxy
local Proxy = {}
Proxy.__index = Proxy

---@param side "primary"|"secondary"
---@return spec.Proxy
function Proxy.start(side)
  local url = os.getenv(SIDES[side].url)
  local host, port = url:match "@([^:/]+):(%d+)"
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo " .. path))
  local self = setmetatable({
    path = path,
    process = child.command(("%s %s %s %s %s"):format(PROGRAM, SIDES[side].kind, host, port, path)),
    pipe = assert(io.open(path, "w")),
  }, Proxy)
  self.pipe:setvbuf "line"
  self.url = pair.with_port(url, self:ask "port")
  return self
end

--- Gives a command, and returns its answer.
---@param command string
---@return string
function Proxy:ask(command)
  assert(self.pipe:write(command, "\n"))
  local answer = self.process:line()
  assert(answer and answer ~= "error", ("the proxy refuses: %s"):format(command))
  return answer
end

--- What is to happen to a statement that begins with the text; see proxy.c. `nth` 0: to each.
---@param rule { [1]: string, when: string|nil, what: string|integer, nth: integer|nil }
---@return integer
function Proxy:rule(rule)
  return tonumber(self:ask(("rule %d %s %s %s"):format(rule.nth or 1, rule.when or "request",
    rule.what, rule[1])))
end

--- How often the statement of a rule was seen.
---@return integer
function Proxy:hits(rule) return tonumber(self:ask("hits " .. rule)) end

--- How often a client sent something and waited, since this was asked last.
---@return integer
function Proxy:turns() return tonumber(self:ask "turns") end

function Proxy:clear() self:ask "clear" end
function Proxy:down() self:ask "down" end
function Proxy:up() self:ask "up" end

--- Holds back all that the server sends.
---@param milliseconds integer
function Proxy:lag(milliseconds) self:ask("lag " .. milliseconds) end

--- Ends the proxy, with all its connections.
function Proxy:stop()
  self.process:signal(9)
  self.process:finish()
  self.pipe:close()
  os.remove(self.path)
end

return Proxy
