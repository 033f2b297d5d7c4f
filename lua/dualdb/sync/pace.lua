--- How many rows a chunk has: as many as take the time that a chunk is to take.

local pace = {}

---@class dualdb.Pace
---@field seconds number    that a chunk is to take
---@field most integer      rows that a chunk has at most
---@field count number      rows of the next one
local Pace = {}
Pace.__index = Pace

local SECONDS = 0.5
local FIRST, FIRST_WIDE = 50000, 100
local MOST = 1000000
--- From one chunk to the next their size changes by no more than this.
local GROWTH, SHRINKAGE = 3, 0.2

---@param options { wide: boolean|nil, seconds: number|nil, most: integer|nil }
---@return dualdb.Pace
function pace.new(options)
  local most = options.most or MOST
  return setmetatable({
    seconds = options.seconds or SECONDS, most = most,
    count = math.min(most, options.wide and FIRST_WIDE or FIRST),
  }, Pace)
end

--- Rows that the next chunk may have.
---@return integer
function Pace:rows()
  return math.max(1, self.count // 1 | 0)
end

--- A chunk of so many rows took so long. One that had fewer rows than it might have says nothing.
---@param rows integer
---@param seconds number
---@param full boolean      there were more
function Pace:took(rows, seconds, full)
  if not full or rows == 0 then return end
  local factor = self.seconds / math.max(seconds, 0.001)
  factor = math.max(SHRINKAGE, math.min(GROWTH, factor))
  self.count = math.max(1, math.min(self.most, rows * factor))
end

--- A chunk was in somebody's way: the next ones are smaller.
function Pace:yield()
  self.count = math.max(1, self.count / 4)
end

return pace
