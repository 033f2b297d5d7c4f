--- The method that reads both sides whole, on the engine's threads: in key order where both servers
--- keep the same one, else in partitions by the digest of the key.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"
local key_range = require "dualdb.sync.key_range"
local policies = require "dualdb.policies"

local stream = {}

--- Rows and bytes of a side with which a chunk ends: so much is read again after a death.
stream.CHUNK_ROWS = 64 * 1024
stream.CHUNK_BYTES = 16 * 1024 * 1024
--- Chunks that a smaller table is cut into, but for those of fewer rows: a map of it shows where.
--- Each takes 0.1 ms.
local PARTS, LEAST_ROWS = 200, 256
--- Of a statement's time-out, what it may be open for: a server's snapshot lasts no longer.
stream.OF_TIMEOUT = 0.5

--- What of `now` is more than in `before`.
local function beyond(now, before)
  local more = {}
  for name, count in pairs(now) do more[name] = count - (before[name] or 0) end
  return more
end

--- The queries of both sides on a range, and the parameters of the primary's. The secondary reads
--- faster without any: its bounds are settings of the transaction, which is begun for them.
local function queries(job, spec)
  local range = job.range or {}
  local primary, secondary = spec.statements.primary, spec.statements.secondary
  local condition, kinds, values = key_range.condition(primary, spec.key_kinds, range.reached,
    range.through)
  local other, set, texts = key_range.settings(spec, range.reached, range.through)
  if set then
    job.conns.secondary:execute "begin isolation level read committed"
    job.conns.secondary:execute(set, table.unpack(texts))
  end
  return {
    primary_query = primary:scan(key_range.both(job.filter.primary, condition), spec.ordered),
    secondary_query = secondary:scan(key_range.both(job.filter.secondary, other), spec.ordered),
    primary_param_kinds = condition and kinds, primary_params = condition and values,
  }
end

--- Compares on a thread of its own, while other lanes go on.
local function on_thread(job, call)
  local running <close> = core.start_compare(call)
  local done
  repeat
    done = running:is_done()  -- before what it has told is taken, so that nothing is left behind
    for _, told in ipairs(running:told()) do
      if told.kind then
        job.suspect(told.kind, told.key, told.primary, told.secondary)
      else
        call.chunk(told.through, told.rows_primary, told.rows_secondary, told.counts)
      end
    end
    if call.progress then call.progress(running:progress()) end
    if not done then job.wait(running) end
  until done
  return running:finish()
end

---@param job dualdb.VerifyJob
---@return { rows_primary: integer, rows_secondary: integer, chunks: integer }
function stream.compare(job)
  local spec, conns = job.spec, job.conns
  local crossing, counted, given = policies.crossing(spec), {}, 0
  local call = queries(job, spec)
  call.primary, call.secondary = conns.primary, conns.secondary
  call.kinds, call.key_columns, call.ordered = spec.kinds, spec.key_count, spec.ordered
  call.expected_rows, call.digests = spec.estimated_rows, true
  call.transform, call.crossing = fetch.transform(spec), crossing
  call.difference = job.suspect
  call.chunk_rows = math.min(stream.CHUNK_ROWS, math.max(LEAST_ROWS, spec.estimated_rows // PARTS))
  call.chunk_bytes = stream.CHUNK_BYTES
  call.most_seconds = job.db.policy.statement_timeout * stream.OF_TIMEOUT
  call.progress = job.progress and function(so_far)
    job.progress { rows_primary = so_far.rows_primary - given, differences = so_far.differences }
  end
  function call.chunk(through, rows_primary, rows_secondary, counts)
    counts = counts or crossing:counts()
    given = given + rows_primary
    job.chunk {
      through = through, rows_primary = rows_primary, rows_secondary = rows_secondary,
      policies = beyond(counts, counted),
    }
    counted = counts
  end
  local result = job.wait and on_thread(job, call) or core.compare(call)
  if not conns.secondary:reusable() then conns.secondary:execute "commit" end
  return result
end

return stream
