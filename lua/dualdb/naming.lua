--- Names: from one database's habit to the other's, and the nearest of those that exist.

local naming = {}

--- The name as PostgreSQL's habit has it: "AlbumId" -> "album_id", "HTTPServer2" -> "http_server2".
--- What is snake_case already stays as it is.
---@param name string
---@return string
function naming.snake_case(name)
  local spaced = name:gsub("(%l)(%u)", "%1_%2")
    :gsub("(%d)(%u%l)", "%1_%2")
    :gsub("(%u)(%u%l)", "%1_%2")
  return (spaced:lower())
end

--- How many insertions, deletions, replacements and swaps of neighbours lead from a to b.
local function distance(a, b)
  local before, last, row = {}, {}, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last, row = last, row, before
  end
  return last[#b]
end

--- The candidate that `name` is most likely a misspelling of; nil when none is near.
---@param name string
---@param candidates string[]
---@return string|nil
function naming.nearest(name, candidates)
  local best, best_distance
  local wanted = name:lower():gsub("_", "-")
  for _, candidate in ipairs(candidates) do
    local d = distance(wanted, (candidate:lower():gsub("_", "-")))
    local near = d <= math.max(1, math.max(#name, #candidate) // 3)
    if near and (not best or d < best_distance) then
      best, best_distance = candidate, d
    end
  end
  return best
end

return naming
