--- Pushdown where the servers do not order the key alike: the rows are parted by the first digits
--- of their keys' digests, which both compute, so that no collation has a say in it. One statement
--- takes the sums of all parts, and one more lists the rows of those that differ.

local both = require "dualdb.verify.pushdown.both"
local digest = require "dualdb.verify.pushdown.digest"

local parts = {}

--- Rows that a part has at most, as far as there are digits.
parts.PART_ROWS = 512
local MOST_DIGITS = 4
--- Parts that are listed by name; where more differ, all of the table is listed.
local MOST_LISTED = 2048

--- Rows of a table whose parts are summed in one statement at most: it has to end in time.
parts.MOST_ROWS = 20000000

--- The parts that differ; and the rows of each side.
local function look(job, digits)
  local answers = both.fetch(job.conns, both.queries(function(side)
    return digest.parts(job.spec, side, job.filter[side], digits)
  end))
  local primary = digest.read_parts(answers.primary)
  local secondary = digest.read_parts(answers.secondary)
  local result, differing = { rows_primary = 0, rows_secondary = 0, chunks = 0 }, {}
  for part, sum in pairs(primary) do
    result.rows_primary, result.chunks = result.rows_primary + sum.rows, result.chunks + 1
    if not secondary[part] or not digest.same(sum, secondary[part]) then
      differing[#differing + 1] = part
    end
  end
  for part, sum in pairs(secondary) do
    result.rows_secondary = result.rows_secondary + sum.rows
    if not primary[part] then
      differing[#differing + 1], result.chunks = part, result.chunks + 1
    end
  end
  return result, differing
end

---@param job dualdb.VerifyJob
---@return { rows_primary: integer, rows_secondary: integer, chunks: integer }
function parts.compare(job)
  local digits = 1
  while digits < MOST_DIGITS and 16 ^ digits * parts.PART_ROWS < job.spec.estimated_rows do
    digits = digits + 1
  end
  local result, differing = look(job, digits)
  local suspects = 0
  if #differing > 0 then
    local all = #differing > MOST_LISTED or 2 * #differing > result.chunks
    suspects = both.list(job, both.queries(function(side)
      return digest.list_parts(job.spec, side, job.filter[side], digits, not all and differing)
    end), false)
  end
  job.chunk { rows_primary = result.rows_primary, rows_secondary = result.rows_secondary }
  if job.progress then job.progress { rows_primary = 0, differences = suspects } end
  return result
end

return parts
