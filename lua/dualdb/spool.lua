--- Differences on their way from a comparison to a report or a repair: kept in an unlinked file, so
--- that memory does not grow with their number.

local Spool = {}
Spool.__index = Spool

local FORMAT = "<s1 s4 s4 s4 s4 s4 B"
local ABSENT = ""  -- no canonical row is empty: every model has a key column

---@class dualdb.Found
---@field kind "missing"|"extra"|"changed"
---@field key string              canonical
---@field primary string|nil      canonical row as last seen
---@field secondary string|nil
---@field column string|nil       why the secondary cannot hold the primary's row
---@field reason string|nil
---@field pending boolean|nil     the key has an entry in the journal

function Spool.new()
  return setmetatable({ file = assert(io.tmpfile()), count = 0 }, Spool)
end

---@param found dualdb.Found
function Spool:add(found)
  local record = FORMAT:pack(found.kind, found.key, found.primary or ABSENT,
    found.secondary or ABSENT, found.column or ABSENT, found.reason or ABSENT,
    found.pending and 1 or 0)
  assert(self.file:write(("<I4"):pack(#record), record))
  self.count = self.count + 1
end

local function present(text)
  if text == ABSENT then return nil end
  return text
end

--- Iterates over what was added, in order. Nothing may be added meanwhile.
---@return fun(): dualdb.Found|nil
function Spool:each()
  local at = 0
  return function()
    self.file:seek("set", at)
    local head = self.file:read(4)
    if not head then
      self.file:seek("end")
      return nil
    end
    local length = ("<I4"):unpack(head)
    local record = self.file:read(length)
    at = at + 4 + length
    local kind, key, primary, secondary, column, reason, pending = FORMAT:unpack(record)
    return {
      kind = kind, key = key, primary = present(primary), secondary = present(secondary),
      column = present(column), reason = present(reason), pending = pending == 1 or nil,
    }
  end
end

function Spool:close()
  if self.file then self.file:close() end
  self.file = nil
end

Spool.__close = Spool.close
Spool.__gc = Spool.close

return Spool
