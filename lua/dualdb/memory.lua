--- Memory for rows: how much of them is held at once, and when what they needed is given back.

local memory = {}

--- Bytes of rows that are held at once; beyond them goes a single row only.
memory.BYTES = 4 * 1024 * 1024

local garbage = 0

--- Takes note of rows that were read, and will be garbage soon.
---@param bytes integer
function memory.note(bytes)
  garbage = garbage + bytes
end

--- To be called before more rows are read. The collector by itself lets garbage grow to the size of
--- what is in use, which is too much when that is a row of many megabytes.
function memory.sweep()
  if garbage < memory.BYTES then return end
  garbage = 0
  collectgarbage()
end

return memory
