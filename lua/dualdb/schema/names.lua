--- Names of the secondary's relations: of limited length, and each once in a schema.

local core = require "dualdb.core"

local names = {}

--- PostgreSQL cuts longer names in silence.
names.LONGEST = 63

local SUFFIX = 9  -- "_" and 8 digits of the digest

--- The name, with a part of its digest for what does not fit.
---@param name string
---@return string
function names.short(name)
  if #name <= names.LONGEST then return name end
  return names.marked(name)
end

--- The name with a part of its digest, which tells it apart from others that begin alike.
function names.marked(name)
  local cut = math.min(#name, names.LONGEST - SUFFIX)
  -- Not within a character.
  while cut > 0 and (name:byte(cut + 1) or 0) & 0xC0 == 0x80 do cut = cut - 1 end
  return ("%s_%s"):format(name:sub(1, cut), core.digest(core.pack("t", { name })):sub(1, 8))
end

--- A name that is not among those taken, and is from now on.
---@param name string
---@param taken table<string, boolean>
---@return string
function names.unique(name, taken)
  local found, wanted = names.short(name), name
  while taken[found] do
    found = names.marked(wanted)
    wanted = wanted .. "_"
  end
  taken[found] = true
  return found
end

return names
