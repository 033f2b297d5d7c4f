--- Global ids of dual writes: ddb1_<project>_<node>_<session>_<ulid>, at most 64 bytes, as XA takes
--- them and PostgreSQL's prepared transactions too. The node is the pair's id and the host's name.

local core = require "dualdb.core"

local gid = {}

gid.LIMIT = 64

local ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

--- Letters and digits that nobody can guess to be the same twice.
---@param count integer
---@return string
function gid.random(count)
  local text = ""
  while #text < count do text = text .. core.ulid():sub(-16) end
  return text:sub(1, count)
end

local function short(text, limit)
  return (text:gsub("[^%w-]", "-"):sub(1, limit))
end

--- The beginning of all gids of a pair. `pair` is its id, which the tables of both sides hold: two
--- projects may have the same name, and XA RECOVER shows the transactions of all databases.
---@param project string
---@param pair string
---@return string
function gid.prefix(project, pair)
  return ("ddb1_%s_%s-"):format(short(project, 8), pair)
end

--- What comes before the ulid: of all writes of a session.
---@param prefix string     of gid.prefix
---@param session integer   of the side that decides
---@return string
function gid.head(prefix, session)
  local head = prefix .. short(core.hostname(), 8) .. "_" .. session
  return head:sub(1, gid.LIMIT - 27) .. "_"
end

---@param head string       of gid.head
---@return string
function gid.new(head) return head .. core.ulid() end

--- When it was made, in seconds since 1970 by its maker's clock; nil when it is no gid.
---@param text string
---@return number|nil
function gid.time(text)
  local time = text:match("^ddb1_.*_([0-9a-z]+)$")
  if not time or #time ~= 26 then return nil end
  local number = 0
  for i = 1, 10 do
    local at = ALPHABET:find(time:sub(i, i), 1, true)
    if not at then return nil end
    number = number * 32 + at - 1
  end
  return number / 1000
end

--- The owner's session on the side that decides, as it knew it; nil when it is no gid.
---@param text string
---@return integer|nil
function gid.session(text)
  return math.tointeger(text:match("^ddb1_.*_(%d+)_[0-9a-z]+$"))
end

return gid
