--- Numbers from a seed, the same in every process and every version of Lua: the interpreter's own
--- generator makes the gids and must not be seeded.

---@class spec.soak.Random
local Random = {}
Random.__index = Random

---@param seed integer
---@param stream integer   one of many sequences that have nothing to do with each other
---@return spec.soak.Random
function Random.new(seed, stream)
  local self = setmetatable({ state = seed * 0x2545F4914F6CDD1D + stream }, Random)
  self.state = self:bits() ~ (stream << 17)
  return self
end

--- 64 bits (splitmix64).
function Random:bits()
  self.state = self.state + 0x9E3779B97F4A7C15
  local z = self.state
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return z ~ (z >> 31)
end

function Random:integer(from, to) return from + (self:bits() >> 1) % (to - from + 1) end
function Random:real(from, to) return from + (self:bits() >> 11) / 2.0 ^ 53 * (to - from) end
function Random:chance(share) return self:real(0, 1) < share end
function Random:one_of(list) return list[self:integer(1, #list)] end

--- One name of a table of name = weight.
---@param weights { [1]: any, [2]: number }[]
function Random:weighted(weights)
  local total = 0
  for _, entry in ipairs(weights) do total = total + entry[2] end
  local at = self:real(0, total)
  for _, entry in ipairs(weights) do
    at = at - entry[2]
    if at < 0 then return entry[1] end
  end
  return weights[#weights][1]
end

return Random
