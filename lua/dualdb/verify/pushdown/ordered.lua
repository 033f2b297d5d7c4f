--- Pushdown where both servers order the key alike: chunks are ranges of it. Many have their sums
--- taken in one statement, those that differ are cut into parts again, and of the parts that are
--- small the keys and digests are fetched.

local both = require "dualdb.verify.pushdown.both"
local cut = require "dualdb.verify.pushdown.cut"
local digest = require "dualdb.verify.pushdown.digest"

local ordered = {}

ordered.SIZES = {
  chunk_rows = 65536, chunk_bytes = 16 << 20,
  together = 32,          -- chunks of a statement
  parts = 16,             -- that a chunk which differs is cut into
  parts_together = 64,    -- parts of a statement
  listed_rows = 512,      -- a range of so many rows is listed
}

---@class dualdb.Summed      a range that was looked at
---@field range dualdb.KeyRange
---@field primary dualdb.Sum
---@field secondary dualdb.Sum
---@field same boolean

---@return dualdb.Summed[]
local function sums_of(job, ranges)
  local answers = both.fetch(job.conns, both.queries(function(side)
    return digest.sums(job.spec, side, job.filter[side], ranges)
  end))
  local primary = digest.read_sums(answers.primary, #ranges)
  local secondary = digest.read_sums(answers.secondary, #ranges)
  local list = {}
  for i, range in ipairs(ranges) do
    list[i] = { range = range, primary = primary[i], secondary = secondary[i],
                same = digest.same(primary[i], secondary[i]) }
  end
  return list
end

local function is_small(summed)
  return math.max(summed.primary.rows, summed.secondary.rows) <= ordered.SIZES.listed_rows
end

--- The parts of the ranges that differ, with their sums: { the parts of the first, ... }.
local function look_closer(job, cutter, differing)
  local parts, owners, result, together = {}, {}, {}, ordered.SIZES.parts_together
  for i, summed in ipairs(differing) do
    result[i] = {}
    for _, part in ipairs(cutter:parts(summed.range, summed.primary.rows,
                                      ordered.SIZES.parts)) do
      parts[#parts + 1], owners[#parts + 1] = part, i
    end
  end
  for from = 1, #parts, together do
    local some = table.move(parts, from, math.min(from + together - 1, #parts), 1, {})
    for i, summed in ipairs(sums_of(job, some)) do
      table.insert(result[owners[from + i - 1]], summed)
    end
  end
  return result
end

local function list_ranges(job, ranges)
  local together, suspects = ordered.SIZES.parts_together, 0
  for from = 1, #ranges, together do
    local some = table.move(ranges, from, math.min(from + together - 1, #ranges), 1, {})
    suspects = suspects + both.list(job, both.queries(function(side)
      return digest.list(job.spec, side, job.filter[side], some)
    end), true)
  end
  return suspects
end

--- Finds the keys that differ in the ranges that do; returns how many.
---@param differing dualdb.Summed[]
---@return integer
local function find_keys(job, cutter, differing)
  local suspects = 0
  while #differing > 0 do
    local listed, larger = {}, {}
    for _, summed in ipairs(differing) do
      if is_small(summed) then listed[#listed + 1] = summed.range
      else larger[#larger + 1] = summed end
    end
    differing = {}
    for i, parts in ipairs(look_closer(job, cutter, larger)) do
      local found = {}
      for _, part in ipairs(parts) do
        if not part.same then found[#found + 1] = part end
      end
      -- Where most of it differs, or nothing was there to cut, a list costs less than more looks.
      if 2 * #found > #parts then listed[#listed + 1] = larger[i].range
      else table.move(found, 1, #found, #differing + 1, differing) end
    end
    suspects = suspects + list_ranges(job, listed)
  end
  return suspects
end

--- Rows of a chunk, fewer where they are wide.
local function rows_of_a_chunk(spec)
  local sizes = ordered.SIZES
  local bytes = math.max(spec.primary_table.estimated_bytes, spec.secondary_table.estimated_bytes)
  if bytes == 0 or spec.estimated_rows == 0 then return sizes.chunk_rows end
  local fitting = math.floor(sizes.chunk_bytes / math.max(bytes / spec.estimated_rows, 1))
  return math.min(sizes.chunk_rows, math.max(sizes.listed_rows, fitting))
end

---@param job dualdb.VerifyJob
---@return { rows_primary: integer, rows_secondary: integer, chunks: integer }
function ordered.compare(job)
  local range = job.range or {}
  local cutter = cut.new(job, range)
  local result = { rows_primary = 0, rows_secondary = 0, chunks = 0 }
  local suspects = 0
  for chunks in cutter:chunks(range, rows_of_a_chunk(job.spec), ordered.SIZES.together) do
    for _, summed in ipairs(sums_of(job, chunks)) do
      if not summed.same then suspects = suspects + find_keys(job, cutter, { summed }) end
      local through, rows, others = summed.range.through, summed.primary.rows, summed.secondary.rows
      job.chunk { through = through ~= range.through and through or nil, rows_primary = rows,
                  rows_secondary = others }
      result.rows_primary = result.rows_primary + rows
      result.rows_secondary = result.rows_secondary + others
      result.chunks = result.chunks + 1
    end
    -- The rows of chunks that are through are known already.
    if job.progress then job.progress { rows_primary = 0, differences = suspects } end
  end
  return result
end

return ordered
