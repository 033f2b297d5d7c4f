--- The method that reads both sides whole, on the engine's threads: in key order where both servers
--- keep the same one, else in partitions by the digest of the key.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"
local policies = require "dualdb.policies"

local stream = {}

---@param job dualdb.VerifyJob
---@return { rows_primary: integer, rows_secondary: integer, chunks: integer,
---   policies: table<string, integer> }
function stream.compare(job)
  local spec, conns = job.spec, job.conns
  local crossing = policies.crossing(spec)
  local result = core.compare {
    primary = conns.primary, secondary = conns.secondary,
    primary_query = spec.statements.primary:scan(job.filter.primary, spec.ordered),
    secondary_query = spec.statements.secondary:scan(job.filter.secondary, spec.ordered),
    kinds = spec.kinds, key_columns = spec.key_count, ordered = spec.ordered,
    expected_rows = spec.estimated_rows, transform = fetch.transform(spec), crossing = crossing,
    digests = true, difference = job.suspect, progress = job.progress,
  }
  job.chunk { rows_primary = result.rows_primary, rows_secondary = result.rows_secondary }
  return {
    rows_primary = result.rows_primary, rows_secondary = result.rows_secondary,
    chunks = result.chunks, policies = crossing:counts(),
  }
end

return stream
