--- Differences on their way from a comparison to a report or a repair: kept in an unlinked file, so
--- that memory does not grow with their number.

local core = require "dualdb.core"
local memory = require "dualdb.memory"

local Spool = {}
Spool.__index = Spool

--- What core.write_record writes: the lengths of a record's fields, the count, 0 for none, and then
--- the fields one by one, since a row is not copied to be put there. What is absent is empty, which
--- no canonical row is: every model has a key column.
local HEAD = "=I4 I4 I4 I4 I4 I4 I4"
local HEAD_BYTES = HEAD:packsize()

---@class dualdb.Found
---@field kind "missing"|"extra"|"changed"
---@field key string              canonical
---@field primary string|nil      canonical row as last seen
---@field secondary string|nil
---@field column string|nil       why the secondary cannot hold the primary's row
---@field pending boolean|nil     the key has an entry in a journal
---@field reason string|nil
---@field count integer|nil       of a table without a key: how many such rows are missing or extra

function Spool.new()
  return setmetatable({ file = assert(io.tmpfile()), count = 0 }, Spool)
end

---@param found dualdb.Found
function Spool:add(found)
  core.write_record(self.file, found.count or 0, found.kind, found.key, found.primary,
    found.secondary, found.column, found.reason)
  self.count = self.count + 1
end

--- Iterates over what was added, in order. Nothing may be added meanwhile. A difference loses its
--- rows when the next one is asked for: two would be in memory.
---@return fun(): dualdb.Found|nil
function Spool:each()
  local at, last = 0, {}
  return function()
    last.primary, last.secondary = nil, nil
    memory.sweep()
    self.file:seek("set", at)
    local head = self.file:read(HEAD_BYTES)
    if not head then
      self.file:seek("end")
      return nil
    end
    local fields, lengths = {}, { HEAD:unpack(head) }
    at = at + HEAD_BYTES
    for i = 1, 6 do
      if lengths[i] > 0 then fields[i] = self.file:read(lengths[i]) end  -- else it is absent
      at = at + lengths[i]
    end
    memory.note(lengths[3] + lengths[4])
    last = {
      kind = fields[1], key = fields[2], primary = fields[3], secondary = fields[4],
      column = fields[5], reason = fields[6], count = lengths[7] > 0 and lengths[7] or nil,
    }
    return last
  end
end

function Spool:close()
  if self.file then self.file:close() end
  self.file = nil
end

Spool.__close = Spool.close
Spool.__gc = Spool.close

return Spool
