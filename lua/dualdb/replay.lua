--- Replay: brings what the journals name to the other side, until nothing is left that can go.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local exchange = require "dualdb.replay_exchange"
local fallback_ids = require "dualdb.fallback_ids"
local journal = require "dualdb.journal"
local keys = require "dualdb.replay_keys"
local order = require "dualdb.order"
local strategies = require "dualdb.strategies"
local verify = require "dualdb.verify"

local replay = {}

--- Keys that are brought over in one pair of transactions; fewer when rows may have megabytes.
local BATCH = 200
local WIDE_BATCH = 4
--- Seconds that transactions older than a comparison of a whole model are waited for.
local OLDER_WAIT = 2

local SIDES = { "primary", "secondary" }

---@class dualdb.ReplayResult
---@field model string
---@field replayed integer      keys that are settled
---@field conflicts integer     entries left that are for a person to decide
---@field quarantined integer   entries left that the other side does not take
---@field left integer          entries left that the next replay tries again
---@field whole integer         of all left: those for the model as a whole
---@field seconds number
---@field error dualdb.Error|nil

--- The rows' own fault, or their tables'; others may go.
local ROW_CLASSES = { data = true, integrity = true, schema = true, conflict = true, usage = true }
--- Gone when it is tried again, perhaps on new connections.
local PASSING = { transient = true, ambiguous = true, unavailable = true }

local function message_of(err)
  return err.detail and ("%s (%s)"):format(err.message, err.detail) or err.message
end

-- ---- what there is to do ----

--- Models with entries, in the states given or any.
local function models_in(run)
  local names, seen = {}, {}
  for _, side in ipairs(SIDES) do
    for _, entry in ipairs(run.conns[side]:query(
      "select distinct model from dualdb_journal order by model")) do
      if not seen[entry.model] then names[#names + 1] = entry.model end
      seen[entry.model] = true
    end
  end
  return names
end

local function has_tables(db)
  for _, side in ipairs(SIDES) do
    if not journal.is_there(db[side]) then return false end
  end
  return true
end

--- A key's packed form as the model has it now; nil when its columns cannot hold it any more.
local function key_of(spec, entry)
  if entry.kinds == spec.key_kinds then return entry.canonical end
  if #entry.kinds ~= spec.key_count then return nil end
  local ok, packed = pcall(function()
    return core.pack(spec.key_kinds, core.unpack(entry.kinds, entry.canonical), spec.key_names)
  end)
  return ok and packed or nil
end

local GONE_KEY = "the model's key has other columns now"

--- Lists the entries of the keys with the digests, before any of their rows is locked. The items
--- come by digest; those whose keys mean nothing any more are refused.
local function list_items(run, spec, digests)
  local items, list = {}, {}
  for _, side in ipairs(SIDES) do
    for _, entry in ipairs(journal.entries(run.conns[side], spec.name, digests)) do
      local item = items[entry.key_digest]
      if not item then
        item = { digest = entry.key_digest, ids = { primary = {}, secondary = {} } }
        item.key = key_of(spec, entry)
        if not item.key then item.outcome, item.reason = "refused", GONE_KEY end
        items[entry.key_digest] = item
        list[#list + 1] = item
      end
      table.insert(item.ids[side], entry.id)
    end
  end
  keys.step "listed"
  return list
end

-- ---- a batch ----

---@class dualdb.ReplayJob     a model whose entries are replayed
---@field spec dualdb.Spec
---@field waiting string[]     digests
---@field tries table<string, integer>
---@field last table<string, dualdb.ReplayItem>   items that did not go, by digest
---@field surprises table<string, boolean>        conflicts that came to light on the way
---@field size integer         of the next batch
---@field result dualdb.ReplayResult

--- Runs fn on the items; what fails as a row does is found by halving, and what fails for the
--- moment is left for later.
local function guarded(run, job, items, fn)
  local ok, err = pcall(fn, items)
  if ok then return end
  err = errors.wrap(err)
  run:rollback()
  if ROW_CLASSES[err.class] then
    if #items > 1 then
      local half = #items // 2
      guarded(run, job, table.move(items, 1, half, 1, {}), fn)
      guarded(run, job, table.move(items, half + 1, #items, 1, {}), fn)
    else
      items[1].outcome, items[1].reason = "failed", message_of(err)
      items[1].taken = exchange.is_taken(err)
    end
    return
  end
  if not PASSING[err.class] then error(err, 0) end
  for _, item in ipairs(items) do item.outcome, item.reason = "later", message_of(err) end
  job.shrunk = job.shrunk or #items > 1
  job.size = math.max(1, math.min(job.size, #items) // 2)
  job.contended = err.class == "transient"
  run:connect()   -- raises when the side has gone
end

local function sort_by_truth(items)
  local sorted = { primary = {}, secondary = {}, both = {} }
  for _, item in ipairs(items) do
    local a, b = #item.ids.primary > 0, #item.ids.secondary > 0
    if not item.outcome then
      table.insert(sorted[a and b and "both" or a and "primary" or "secondary"], item)
    end
  end
  return sorted
end

local function decide_all(run, job, items)
  for _, item in ipairs(items) do
    guarded(run, job, { item }, function()
      return keys.decide(run, job.spec, item, job.strategy)
    end)
  end
end

local function replay_batch(run, job, digests)
  local spec = job.spec
  local items = list_items(run, spec, digests)
  for _, item in ipairs(items) do item.tries = job.tries[item.digest] end
  local sorted = sort_by_truth(items)
  for _, side in ipairs(SIDES) do
    if #sorted[side] > 0 then
      guarded(run, job, sorted[side], function(some)
        return keys.move(run, spec, side, some)
      end)
    end
  end
  decide_all(run, job, sorted.both)
  return items
end

-- ---- passes ----

--- Whether an item without another outcome may go when others have gone, or later.
local AGAIN = { failed = true, later = true }

--- A conflict that came to light on the way: its entries on the other side are listed next time,
--- unless they are marks of the model as a whole.
local function found_conflict(job, item)
  local one_sided = #item.ids.primary == 0 or #item.ids.secondary == 0
  if item.outcome ~= "conflict" or not one_sided or job.surprises[item.digest] then return false end
  job.surprises[item.digest] = true
  return true
end

--- One attempt for all that wait. Returns whether anything was settled.
local function pass(run, job, report)
  local waiting, moved = job.waiting, false
  job.waiting = {}
  local from = 1
  while from <= #waiting do
    local to = math.min(from + job.size - 1, #waiting)
    local digests = table.move(waiting, from, to, 1, {})
    local items = run:alone(job.spec.name, function() return replay_batch(run, job, digests) end)
    from = to + 1
    for _, item in ipairs(items) do
      job.last[item.digest], job.tries[item.digest] = item, item.tries
      if item.outcome == "done" then
        job.result.replayed = job.result.replayed + 1
        job.last[item.digest], moved = nil, true
      elseif AGAIN[item.outcome] or found_conflict(job, item) then
        table.insert(job.waiting, item.digest)
      end
    end
    if not job.contended then job.size = math.min(2 * job.size, job.most) end
    job.contended = false
    report(job)
  end
  return moved
end

--- Items that have failed because their values are taken, with entries on the side alone.
local function taken_of(job, side)
  local list = {}
  for _, item in pairs(job.last) do
    if item.outcome == "failed" and item.taken and #item.ids[journal.other(side)] == 0 then
      list[#list + 1] = item
    end
  end
  table.sort(list, function(a, b) return a.key < b.key end)
  return list
end

local function forget_waiting(job)
  local waiting = {}
  for _, digest in ipairs(job.waiting) do
    if job.last[digest] then waiting[#waiting + 1] = digest end
  end
  job.waiting = waiting
end

--- Rows that take each other's values go together, or none of them. Returns whether any went.
local function exchange_values(run, job)
  local moved = false
  for _, side in ipairs(SIDES) do
    for _, group in ipairs(exchange.groups(run.db, job.spec, side, taken_of(job, side))) do
      local ok, err = pcall(run.alone, run, job.spec.name, function()
        return keys.move(run, job.spec, side, group, function(conn, locked)
          return exchange.park(conn, job.spec, side, locked)
        end)
      end)
      if not ok then
        err = errors.wrap(err)
        run:rollback()
        if not ROW_CLASSES[err.class] and not PASSING[err.class] then error(err, 0) end
        local passing = PASSING[err.class]
        for _, item in ipairs(group) do
          item.outcome, item.reason = passing and "later" or "failed", message_of(err)
        end
        if passing then run:connect() end
      end
      for _, item in ipairs(group) do
        if item.outcome == "done" then
          job.result.replayed = job.result.replayed + 1
          job.last[item.digest], moved = nil, true
        end
      end
    end
  end
  if moved then forget_waiting(job) end
  return moved
end

local function any_later(jobs)
  for _, job in ipairs(jobs) do
    for _, digest in ipairs(job.waiting) do
      local item = job.last[digest]
      if item and item.outcome ~= "failed" then return true end
    end
  end
  return false
end

--- Passes over all models as long as that helps, and while what is in the way may go by itself,
--- until the policy's deadline after the last success.
local function run_passes(run, jobs, report)
  local policy = run.db.policy
  local deadline, waits = core.clock() + policy.deadline, 0
  while true do
    local moved = false
    for _, job in ipairs(jobs) do
      job.shrunk = false
      if #job.waiting > 0 then
        moved = pass(run, job, report) or moved
        moved = exchange_values(run, job) or moved
      end
      moved = moved or job.shrunk   -- smaller batches have a better chance
    end
    if moved then
      deadline, waits = core.clock() + policy.deadline, 0
    elseif not any_later(jobs) or core.clock() >= deadline then
      return
    else
      waits = waits + 1
      core.sleep(math.random() * math.min(policy.retry.cap, policy.retry.base * 2 ^ waits))
    end
  end
end

-- ---- afterwards ----

local STATES = { conflict = "conflict", failed = "quarantined", refused = "quarantined" }

--- Writes down what became of the keys that did not go.
local function record(run, job)
  for _, item in pairs(job.last) do
    local state = STATES[item.outcome]
    for _, side in ipairs(SIDES) do
      local conn, ids = run.conns[side], item.ids[side]
      if #ids > 0 and state then
        journal.set_state(conn, ids, state, item.reason)
      elseif #ids > 0 and item.outcome == "later" then
        journal.note(conn, ids, item.reason)
      end
    end
  end
end

local function count_left(run, job)
  local result = job.result
  for _, entry in ipairs(journal.of(run.db):status { result.model }) do
    result.left = result.left + entry.open
    result.conflicts = result.conflicts + entry.conflict
    result.quarantined = result.quarantined + entry.quarantined
    result.whole = result.whole + entry.whole
  end
end

--- Writes to the secondary alone are refused while it lacks some of the primary's. Asked again when
--- the note is gone: a writer that has just journaled sees that it has to make it.
local function note_current(db)
  local function lacks() return journal.has_open(db.primary) end
  if db.state:get("secondary_lacks") ~= "1" or lacks() then return end
  db.state:set("secondary_lacks", "0")
  if lacks() then db.state:set("secondary_lacks", "1") end
end

-- ---- models as a whole ----

--- Puts an entry for each key that differs in the place of the marks of a side.
local function expand(run, job, side)
  local spec, conn = job.spec, run.conns[side]
  local marks = {}
  for i, entry in ipairs(journal.entries(conn, spec.name, { journal.WHOLE })) do
    marks[i] = entry.id
  end
  if #marks == 0 then return end
  if not keys.wait_for_older(run.conns.secondary, OLDER_WAIT) then
    return journal.note(conn, marks, keys.OLDER)
  end
  local report = verify.run(run.db, spec.name, {
    ignore_journal = true, progress = job.progress, run = false,
  })
  local guard <close> = report.spool
  if report.verdict == "not_verified" then
    journal.note(conn, marks, report.reason)
    if report.error then error(report.error, 0) end
    return
  end
  run:connect()
  conn = run.conns[side]
  local differing = {}
  local function flush()
    local list = differing
    differing = {}
    run.db[side]:transaction(function(own) journal.add_keys(own, spec, list, "whole") end)
  end
  for found in report.spool:each() do
    differing[#differing + 1] = found.key
    if #differing == BATCH then flush() end
  end
  flush()
  keys.step "expanded"
  journal.remove(conn, run.db[side].driver, marks)
  keys.step "marks_deleted"
end

-- ---- running ----

local function new_result(name)
  return {
    model = name, replayed = 0, conflicts = 0, quarantined = 0, left = 0, whole = 0, seconds = 0,
  }
end

--- Who decides about keys that were written on both sides; nil when nobody does.
local function strategy_of(db, spec, options)
  local wanted = options.strategy or (spec.model.sync or {}).on_conflict or spec.model.strategy
  return wanted and (strategies.find(db, wanted)) or nil
end

local function list_waiting(run, job, options)
  local states = { "open", "conflict" }
  if options.retry_quarantined then states[3] = "quarantined" end
  local seen = { [journal.WHOLE] = true }
  for _, side in ipairs(SIDES) do
    for _, digest in ipairs(journal.digests(run.conns[side], job.spec.name, states)) do
      if options.limit and #job.waiting >= options.limit then break end
      if not seen[digest] then job.waiting[#job.waiting + 1] = digest end
      seen[digest] = true
    end
  end
  job.of = #job.waiting
end

local function start(run, name, options)
  local job = {
    waiting = {}, of = 0, tries = {}, last = {}, surprises = {}, result = new_result(name),
    started = core.clock(), progress = options.progress,
  }
  local ok, err = pcall(function()
    job.spec = run.db:spec(name)
    job.strategy = strategy_of(run.db, job.spec, options)
    job.most = job.spec.wide and WIDE_BATCH or BATCH
    job.size = job.most
    for _, side in ipairs(SIDES) do expand(run, job, side) end
    list_waiting(run, job, options)
  end)
  if not ok then
    err = errors.wrap(err)
    if err.class == "canceled" or err.class == "unavailable" then error(err, 0) end
    job.result.error, job.waiting = err, {}
  end
  return job
end

local function finish(run, job)
  if job.spec then
    record(run, job)
    fallback_ids.finished(run.db, job.spec)
  end
end

--- Models in an order in which rows find what they refer to; unknown ones last.
local function in_order(db, names)
  local known, unknown = {}, {}
  for _, name in ipairs(names) do
    local ok = pcall(db.model_definition, db, name)
    table.insert(ok and known or unknown, name)
  end
  local sorted = order.parents_first(db, known)
  table.move(unknown, 1, #unknown, #sorted + 1, sorted)
  return sorted
end

local function wanted_of(names, wanted)
  if not wanted then return names end
  local is_wanted, list = {}, {}
  for _, name in ipairs(wanted) do is_wanted[name] = true end
  for _, name in ipairs(names) do
    if is_wanted[name] then list[#list + 1] = name end
  end
  return list
end

--- Replays the journals of both sides. Safe beside dual writes and beside other replays, and to be
--- ended at any point. What the databases do wrong is in the results.
---@param db dualdb.Database
---@param options { models: string[]|nil, progress: function|nil, limit: integer|nil,
---   retry_quarantined: boolean|nil, strategy: string|function|nil }
---@return dualdb.ReplayResult[]
function replay.run(db, options)
  journal.flush(db)
  if not has_tables(db) then return {} end
  local run <close> = keys.open(db)
  run:connect()
  local names = in_order(db, wanted_of(models_in(run), options.models))
  journal.keep_cap(db, names)
  local jobs = {}
  local function report(job)
    if not options.progress then return end
    options.progress { model = job.result.model, rows = job.result.replayed, of = job.of }
  end
  local ok, err = pcall(function()
    for i, name in ipairs(names) do jobs[i] = start(run, name, options) end
    run_passes(run, jobs, report)
    for _, job in ipairs(jobs) do finish(run, job) end
    note_current(db)
  end)
  if not ok then
    err = errors.wrap(err)
    if err.class == "canceled" then error(err, 0) end
  end
  local results = {}
  for i, name in ipairs(names) do
    local job = jobs[i] or { result = new_result(name), started = core.clock() }
    results[i] = job.result
    if not ok then job.result.error = job.result.error or err end
    pcall(count_left, run, job)
    job.result.seconds = core.clock() - job.started
  end
  return results
end

return replay
