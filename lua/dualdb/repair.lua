--- Repair: mends confirmed differences, one by one, each only if the rows still are what the
--- comparison saw, and proves each afterwards.

local bring = require "dualdb.bring"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local memory = require "dualdb.memory"
local order = require "dualdb.order"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local statement = require "dualdb.statement"
local strategies = require "dualdb.strategies"
local verify = require "dualdb.verify"

local repair = {}

repair.DEFAULT_MAX_ROWS = 10000

---@class dualdb.RepairResult
---@field model string
---@field strategy string
---@field planned integer
---@field applied integer
---@field skipped integer
---@field failed integer
---@field quarantined integer   of those skipped: rows that the secondary cannot hold
---@field failures table[]      { key, reason } of the first ones
---@field skips table<string, integer>   reason -> count
---@field seconds number
---@field verdict string         of the verification it started from
---@field error dualdb.Error|nil

local FAILURES_KEPT = 20

-- ---- deciding ----

--- What a strategy is given: the two rows, and the difference.
local function arguments(spec, found)
  local a = found.primary and row.unpack(spec, found.primary)
  local b = found.secondary and row.unpack(spec, found.secondary)
  return a, b, {
    model = spec.name, kind = found.kind, key = row.unpack_key(spec, found.key),
    columns = a and b and row.changed_columns(spec, found.primary, found.secondary) or {},
  }
end

--- What a strategy said, as "row" and the canonical row that both sides shall have (nil: no row),
--- or "skip", reason; "refused", reason when the primary's row cannot cross.
---@param found dualdb.Found
function repair.decide(spec, strategy, found)
  local ok, said = true, strategies.always(strategy)
  if not said then ok, said = pcall(strategy, arguments(spec, found)) end
  if not ok then return "skip", "strategy failed: " .. tostring(said) end
  if said == "primary" then
    if found.reason then return "refused", quarantine.text(found.column, found.reason) end
    return "row", found.primary
  end
  if said == "secondary" then return "row", found.secondary end
  if said == "skip" then return "skip", "strategy said so" end
  if type(said) == "table" then
    local packed
    ok, packed = pcall(row.pack, spec, said)
    if not ok then return "skip", "strategy's row: " .. tostring(packed) end
    if core.prefix(packed, spec.key_count) ~= found.key then
      return "skip", "strategy changed the key"
    end
    local crossed, column, reason = fetch.crossing(spec):apply(packed)
    if not crossed then
      return "skip", "strategy's row: " .. quarantine.text(spec.names[column], reason)
    end
    return "row", crossed
  end
  return "skip", ("strategy returned %s"):format(tostring(said))
end

--- The changes, side by side, that give both sides the wanted row.
---@return table[] changes  { side, action = "insert"|"update"|"delete", row, from }
local function changes_for(found, wanted)
  local changes = {}
  for _, side in ipairs { "primary", "secondary" } do
    local has = found[side]
    if has ~= wanted then
      local action = not wanted and "delete" or has and "update" or "insert"
      changes[#changes + 1] = { side = side, action = action, row = wanted, from = has }
    end
  end
  return changes
end

local COMPUTES = "the %s computes column %s by itself"

local function plan_one(spec, strategy, found, options)
  -- The side with the entry has the truth, which no strategy here knows of.
  if found.pending then return nil, "pending in the journal" end
  local verdict, wanted = repair.decide(spec, strategy, found)
  if verdict ~= "row" then return nil, wanted, verdict == "refused" end
  local changes = changes_for(found, wanted)
  for _, change in ipairs(changes) do
    if change.action == "delete" and not options.allow_delete then
      return nil, "deletes are not allowed"
    end
    local computed = change.action == "update"
      and statement.computed(spec, change.side, change.from, change.row)
    if computed then return nil, COMPUTES:format(change.side, computed) end
  end
  return { key = found.key, primary = found.primary, secondary = found.secondary,
           changes = changes, wanted = wanted }
end

-- ---- applying ----

local function read_locked(conns, spec, key)
  local stored = fetch.one(conns.primary, spec, "primary", key, "update")
  local now = {}
  if fetch.crossable_keys(spec, { key })[1] then
    now.secondary = fetch.one(conns.secondary, spec, "secondary", key, "update")
  end
  if stored then
    local crossed, _, reason = fetch.crosser(spec)(stored)
    now.primary = reason and stored or crossed
  end
  return now
end

--- Why a planned repair is not applied, or nil. Locks the rows.
local function obsolete(conns, spec, planned)
  local now = read_locked(conns, spec, planned.key)
  if now.primary == planned.primary and now.secondary == planned.secondary then return nil end
  return now.primary == now.secondary and "equal meanwhile" or "changed meanwhile"
end

--- Applies one planned repair inside open transactions. Returns "applied", or "skipped", reason.
local function apply_one(conns, spec, planned)
  local reason = obsolete(conns, spec, planned)
  if reason then return "skipped", reason end
  for _, change in ipairs(planned.changes) do
    memory.sweep()
    statement.run(conns[change.side], spec, change, planned.key)
    local proof = fetch.one(conns[change.side], spec, change.side, planned.key)
    if not fetch.same(spec, proof, planned.wanted) then
      local computed = proof and planned.wanted
        and statement.computed(spec, change.side, proof, planned.wanted)
      if computed then errors.raise("conflict", COMPUTES:format(change.side, computed)) end
      errors.raise("conflict", "the %s does not keep the row as it was written", change.side)
    end
  end
  return "applied"
end

--- Runs fn(conns) in a transaction on each side, the primary's locks first.
local function in_both(db, fn)
  return db.primary:transaction(function(primary)
    return db.secondary:transaction(function(secondary)
      return fn { primary = primary, secondary = secondary }
    end)
  end)
end

--- Rows that are repaired in one transaction, and their bytes.
local BATCH_ROWS = 100

local function count_skip(result, reason)
  result.skipped = result.skipped + 1
  result.skips[reason] = (result.skips[reason] or 0) + 1
end

local function apply_batch(db, spec, batch)
  local outcomes = {}
  in_both(db, function(conns)
    for i, planned in ipairs(batch) do
      outcomes[i] = table.pack(apply_one(conns, spec, planned))
    end
  end)
  return outcomes
end

--- A batch in one transaction; when a row of it fails, each row in a transaction of its own.
local function apply(db, spec, batch, result)
  local ok, outcomes = pcall(apply_batch, db, spec, batch)
  if not ok then
    local err = errors.wrap(outcomes)
    if err.class == "canceled" or err.class == "unavailable" or err.class == "internal" then
      error(err, 0)
    end
    if #batch > 1 then
      for _, planned in ipairs(batch) do apply(db, spec, { planned }, result) end
      return
    end
    result.failed = result.failed + 1
    if #result.failures < FAILURES_KEPT then
      result.failures[#result.failures + 1] = {
        key = row.key_text(spec, batch[1].key), reason = tostring(err), error = err,
      }
    end
    return
  end
  for _, outcome in ipairs(outcomes) do
    if outcome[1] == "applied" then
      result.applied = result.applied + 1
    else
      count_skip(result, outcome[2])
    end
  end
end

local function deletes_only(planned)
  for _, change in ipairs(planned.changes) do
    if change.action ~= "delete" then return false end
  end
  return true
end

--- A row that cannot be repaired because the secondary cannot hold it.
local function set_aside(db, job, found, options)
  job.result.quarantined = job.result.quarantined + 1
  if options.dry_run then return end
  job.bin = job.bin or quarantine.bin(db, job.spec)
  job.bin:add(bring.entry(job.spec, {
    key = found.key, packed = found.primary, column = found.column, reason = found.reason,
  }))
end

--- One pass over a model's differences: those that delete, or the others.
local function pass(db, job, options, deleting)
  local batch, bytes = {}, 0
  local function flush()
    if #batch == 0 then return end
    local ready = batch
    batch, bytes = {}, 0
    apply(db, job.spec, ready, job.result)
  end
  for found in job.report:each() do
    local planned, reason, refused = plan_one(job.spec, job.strategy, found, options)
    if not planned then
      if not deleting then
        count_skip(job.result, reason)
        if refused then set_aside(db, job, found, options) end
      end
    elseif deletes_only(planned) == deleting then
      job.result.planned = job.result.planned + 1
      if options.dry_run then
        for _, change in ipairs(planned.changes) do
          options.show(statement.render(db, job.spec, change, found), job.spec, found,
            change.side)
        end
      else
        batch[#batch + 1] = planned
        bytes = bytes + #(found.primary or "") + #(found.secondary or "")
        if #batch >= BATCH_ROWS or bytes >= memory.BYTES then flush() end
      end
    end
  end
  flush()
  if job.bin then job.bin:flush() end
end

-- ---- running ----

local function new_result(name, strategy_name)
  return {
    model = name, strategy = strategy_name, planned = 0, applied = 0, skipped = 0, failed = 0,
    quarantined = 0, failures = {}, skips = {}, seconds = 0,
  }
end

local function start(db, name, options)
  local wanted = options.strategy
  if not wanted then wanted = db:model_definition(name).strategy end
  local strategy, strategy_name = strategies.find(db, wanted)
  local job = { strategy = strategy, result = new_result(name, strategy_name) }
  job.report = verify.run(db, name, { progress = options.progress })
  job.spec = job.report.spec
  job.result.verdict = job.report.verdict
  job.result.error = job.report.error
  job.total = job.report.missing + job.report.extra + job.report.changed
  return job
end

local function check_limit(jobs, options)
  local total, most = 0, options.max_rows or repair.DEFAULT_MAX_ROWS
  for _, job in ipairs(jobs) do total = total + job.total end
  if total > most then
    error(errors.make("refused",
      ("%d rows differ, more than the %d that may be repaired"):format(total, most),
      { hint = "Raise --max-rows if that many are expected, or run a full sync." }))
  end
  return total
end

--- Verifies the models and repairs what differs. Parents come before the rows that refer to them,
--- and deletes last, in the other order.
---@param db dualdb.Database
---@param names string[]
---@param options { strategy: string|function|nil, dry_run: boolean|nil, allow_delete: boolean|nil,
---   max_rows: integer|nil, show: function|nil, progress: function|nil, confirm: function|nil }|nil
---@return dualdb.RepairResult[]
function repair.run(db, names, options)
  options = options or {}
  options.show = options.show or function() end
  local started = core.clock()
  local jobs, results = {}, {}
  for i, name in ipairs(order.parents_first(db, names)) do
    jobs[i] = start(db, name, options)
  end
  local total = check_limit(jobs, options)
  if total > 0 and not options.dry_run and options.confirm then options.confirm(total) end
  for _, job in ipairs(jobs) do
    if job.total > 0 then pass(db, job, options, false) end
  end
  for i = #jobs, 1, -1 do
    if jobs[i].total > 0 then pass(db, jobs[i], options, true) end
  end
  for i, job in ipairs(jobs) do
    job.report.spool:close()
    job.result.seconds = core.clock() - started
    results[i] = job.result
  end
  return results
end

return repair
