--- Applies planned repairs: batch by batch, each in a transaction of both sides. The rows are
--- locked, have to be what the difference saw, are written, read again, and put into the undo file
--- before anything is committed.

local bring = require "dualdb.bring"
local cascade = require "dualdb.repair.cascade"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local gid = require "dualdb.gid"
local journal = require "dualdb.journal"
local memory = require "dualdb.memory"
local plan = require "dualdb.repair.plan"
local row = require "dualdb.row"
local setup = require "dualdb.setup"
local Side = require "dualdb.side"
local statement = require "dualdb.statement"
local unique = require "dualdb.repair.unique"

local apply = {}

--- Rows that are repaired in one transaction; memory.BYTES is how many bytes they may have.
apply.BATCH_ROWS = 100
local FAILURES_KEPT = 20

-- ---- what is done for one group ----

--- Calls fn(planned, change) for each change of a group, in order. `stored` are rows of the primary
--- where it stores more than crosses.
---@param group dualdb.Group
---@param get fun(at: integer): dualdb.Planned
---@param stored table<string, string>   by key
function apply.each_change(spec, group, get, stored, fn)
  local parked = {}
  for _, step in ipairs(group) do
    local planned = get(step.at)
    for _, change in ipairs(plan.changes(planned)) do
      local id = change.side .. planned.key
      change.row = planned.wanted  -- which may be another one since the first side was written
      if change.side == "primary" and change.from then
        change.from = stored[planned.key] or change.from
      end
      if parked[id] then change.from, change.guard = parked[id], "written" end
      if not step.park then
        fn(planned, change)
      elseif step.park.side == change.side and change.from then
        local row_parked = unique.parked(spec, step.park, change.from)
        if row_parked ~= change.from then
          parked[id] = row_parked
          fn(planned, { side = change.side, action = "update", from = change.from,
                        row = row_parked, guard = change.guard })
        end
      end
    end
  end
end

-- ---- the transactions ----

--- Runs fn(conns) in a transaction on each side. Of two that are written the primary commits first,
--- with the keys in its journal: whatever happens then, a replay brings the secondary the rows.
local function in_both(db, both_written, fn)
  local conns = {}
  local function primary(inner)
    return db.primary:transaction(function(conn)
      conns.primary = conn
      return inner()
    end, "copy")
  end
  local function secondary(inner)
    return db.secondary:transaction(function(conn)
      conns.secondary = conn
      conn:execute(("set local lock_timeout = %d"):format(Side.LOCK_WAIT * 1000))
      conn:execute "set constraints all deferred"
      return inner()
    end)
  end
  local outer, inner = primary, secondary
  if both_written then outer, inner = secondary, primary end
  return outer(function()
    local result = inner(function()
      local outcomes = fn(conns)
      -- What waits for the end is checked while all can still be rolled back; and a session that
      -- was ended meanwhile holds no locks.
      conns.secondary:execute "set constraints all immediate"
      bring.check_locks(conns.primary)
      return outcomes
    end)
    core.crash_point "repair.committed"
    return result
  end)
end

-- ---- a batch ----

---@class dualdb.RepairRun
---@field db dualdb.Database
---@field undo dualdb.UndoFiles
---@field polite dualdb.Politeness|nil

--- Columns of the secondary's row that the model does not have, for the file that brings it back.
local function more_of(conn, spec, key)
  local names, shown = {}, {}
  for _, name in ipairs(spec.uncovered) do
    if not spec.secondary_table.column[name].generated then
      local n = #names + 1
      names[n] = core.quote("postgres", name)
      shown[n] = ("quote_nullable(%s::text) as v%d"):format(names[n], n)
    end
  end
  if #names == 0 then return nil end
  local builder = spec.statements.secondary
  local found = conn:fetch(("select %s from %s where %s"):format(table.concat(shown, ", "),
    builder.table, builder:key_match()), spec.key_kinds, key, ("t"):rep(#names))[1]
  return found and { names = names, literals = core.texts(("t"):rep(#names), found) }
end

--- Why a planned repair is not applied, or nil.
local function obsolete(planned, primary, secondary)
  if primary == planned.primary and secondary == planned.secondary then return nil end
  return primary == secondary and "equal meanwhile" or "changed meanwhile"
end

--- Rows that were read from the file are the same as those from the servers: one is enough.
local function share(planned, primary, secondary)
  local wanted = planned.wanted
  planned.wanted = wanted == primary and primary or wanted == secondary and secondary or wanted
  planned.primary, planned.secondary = primary, secondary
end

--- Keeps the groups whose rows are what they were; says of the others why not.
local function current_groups(groups, get, crossed, secondary, outcomes)
  local left = {}
  for _, group in ipairs(groups) do
    local why = {}
    for _, step in ipairs(group) do
      local planned = get(step.at)
      local a, b = crossed[planned.key], secondary[planned.key]
      why[step.at] = obsolete(planned, a, b)
      if not why[step.at] then share(planned, a, b) end
    end
    if next(why) == nil then
      left[#left + 1] = group
    else
      for _, step in ipairs(group) do
        outcomes[step.at] = why[step.at] or "a row that it depends on has changed meanwhile"
      end
    end
  end
  return left
end

local function keys_of(groups, get, wanted)
  local keys, seen, rows = {}, {}, {}
  for _, group in ipairs(groups) do
    for _, step in ipairs(group) do
      local planned = get(step.at)
      if not seen[planned.key] and (not wanted or wanted(planned)) then
        seen[planned.key] = true
        keys[#keys + 1], rows[#rows + 1] = planned.key, planned
      end
    end
  end
  return keys, rows
end

--- The rows of a side are read again after they were written.
local function prove(conns, spec, side, groups, get)
  local keys, rows = keys_of(groups, get, function(planned) return plan.writes(planned, side) end)
  local found, last = {}, 0
  for i, planned in ipairs(rows) do
    if i > last then found, last = fetch.some(conns[side], spec, side, keys, i) end
    local proof = found[planned.key]
    if not fetch.same(spec, proof, planned.wanted) then
      local computed = proof and planned.wanted
        and statement.computed(spec, side, proof, planned.wanted)
      if computed then errors.raise("conflict", plan.COMPUTES:format(side, computed)) end
      errors.raise("conflict", "the %s does not keep the row as it was written", side)
    end
  end
end

--- A row that a strategy made has in the columns that the primary computes what that makes of it,
--- and the secondary is given the same.
local function take_computed(conns, spec, planned)
  local own = planned.wanted ~= planned.primary and planned.wanted ~= planned.secondary
  if not own or not planned.wanted then return end
  local computes = false
  for _, column in ipairs(spec.columns) do computes = computes or column.primary.generated end
  if not computes then return end
  local stored = fetch.one(conns.primary, spec, "primary", planned.key)
  local crossed = stored and fetch.crosser(spec)(stored)
  if crossed and statement.computed(spec, "primary", crossed, planned.wanted) then
    planned.wanted = crossed
  end
end

--- Reads planned repairs; those of the batch stay in memory while it lasts, as far as they may.
local function reader(file, groups)
  local held, bytes = {}, 0
  local guard = memory.BYTES
  return function(at)
    if held[at] then return held[at] end
    local planned = file:get(at)
    bytes = bytes + #(planned.primary or "") + #(planned.secondary or "")
    if bytes <= guard or #groups == 1 then held[at] = planned end
    return planned
  end
end

--- Writes the groups in open transactions; returns an outcome for each place: true, or why not.
local function write_groups(run, spec, groups, get, conns, both_written)
  local outcomes, entries = {}, { primary = {}, secondary = {} }
  local keys = keys_of(groups, get)
  local crossed, stored, secondary = plan.rows(conns, spec, keys, "update")
  groups = current_groups(groups, get, crossed, secondary, outcomes)
  core.crash_point "repair.locked"
  for _, group in ipairs(groups) do
    apply.each_change(spec, group, get, stored, function(planned, change)
      memory.sweep()
      if change.action == "delete" then
        change.along = cascade.statements(run.db, conns[change.side], spec, change.side,
          planned.key)
        if change.side == "secondary" then
          change.more = more_of(conns.secondary, spec, planned.key)
        end
      end
      statement.run(conns[change.side], spec, change, planned.key)
      if change.side == "primary" then take_computed(conns, spec, planned) end
      table.insert(entries[change.side], { spec = spec, change = change, key = planned.key })
    end)
    for _, step in ipairs(group) do outcomes[step.at] = true end
  end
  if #groups == 0 then return outcomes end
  for _, side in ipairs { "primary", "secondary" } do prove(conns, spec, side, groups, get) end
  if both_written then
    journal.add_keys(conns.primary, spec, keys_of(groups, get), both_written)
  end
  conns.secondary:execute "set constraints all immediate"
  core.crash_point "repair.written"
  -- A replay of these entries would bring over what was undone.
  run.undo.primary:write(entries.primary, both_written
    and ("delete from dualdb_journal where gid = '%s';"):format(both_written))
  run.undo.secondary:write(entries.secondary)
  core.crash_point "repair.noted"
  return outcomes
end

--- Whether the outcome of a transaction that has failed may be that it was committed.
local MAYBE = { ambiguous = true, unavailable = true, canceled = true, internal = true }

--- The id of the journal's entries when both sides are written; nil otherwise.
local function entries_id(db, groups, get)
  for _, group in ipairs(groups) do
    for _, step in ipairs(group) do
      local planned = get(step.at)
      if plan.writes(planned, "primary") and plan.writes(planned, "secondary") then
        setup.ensure(db, true)
        return "repair_" .. gid.random(20)
      end
    end
  end
end

local function batch(run, spec, file, groups)
  local db, get = run.db, reader(file, groups)
  local entries = entries_id(db, groups, get)
  local ok, outcomes = pcall(bring.persist, db, function()
    return in_both(db, entries ~= nil, function(conns)
      return write_groups(run, spec, groups, get, conns, entries)
    end)
  end)
  if ok or errors.is(outcomes) and MAYBE[outcomes.class] then run.undo:keep() end
  if not ok then error(outcomes, 0) end
  core.crash_point "repair.released"
  if entries then
    db.primary:execute("delete from dualdb_journal where gid = ?", entries)
  end
  return outcomes
end

-- ---- counting ----

---@param result dualdb.RepairResult
---@param reason string
function apply.count_skip(result, reason)
  result.skipped = result.skipped + 1
  result.skips[reason] = (result.skips[reason] or 0) + 1
end

--- The places of a group, each once: a row that is parked is there twice.
local function places_of(group)
  local places = {}
  for _, step in ipairs(group) do
    if not step.park then places[#places + 1] = step.at end
  end
  return places
end

local function count(job, groups, outcomes)
  for _, group in ipairs(groups) do
    for _, at in ipairs(places_of(group)) do
      if outcomes[at] == true then
        job.result.applied = job.result.applied + 1
      else
        apply.count_skip(job.result, outcomes[at])
      end
    end
  end
end

local function fail(job, file, group, err)
  for _, at in ipairs(places_of(group)) do
    job.result.failed = job.result.failed + 1
    if #job.result.failures < FAILURES_KEPT then
      table.insert(job.result.failures, {
        key = row.key_text(job.spec, file:get(at).key), reason = tostring(err), error = err,
      })
    end
  end
end

-- ---- a pass ----

--- Waits until the next batch may start.
local function be_polite(run, job)
  if not run.polite then return end
  while true do
    local seconds = run.polite:pause {
      model = job.result.model, rows = job.result.applied, bytes = job.bytes or 0,
      seconds = core.clock() - run.started,
    }
    if seconds <= 0 then return end
    core.sleep(seconds)
  end
end

--- Applies groups in a batch. When one of them fails each is tried by itself: what another row may
--- end, as a missing parent, waits for the end of the pass.
local function apply_groups(run, job, file, groups)
  local before = core.clock()
  local ok, outcomes = pcall(batch, run, job.spec, file, groups)
  if ok then
    count(job, groups, outcomes)
    if run.polite then run.polite:took(#groups, #groups, core.clock() - before) end
    return
  end
  local err = errors.wrap(outcomes)
  if MAYBE[err.class] or err.class == "config" then error(err, 0) end
  if #groups > 1 then
    for _, group in ipairs(groups) do apply_groups(run, job, file, { group }) end
  elseif err.class == "integrity" then
    table.insert(job.waiting, { file = file, group = groups[1], error = err })
  else
    fail(job, file, groups[1], err)
  end
end

--- Differences that are put in order together.
apply.WINDOW = 10000

--- Calls fn(group) for the groups of a file, in the order in which they are done.
function apply.each_group(spec, file, fn)
  for places in file:windows(apply.WINDOW) do
    for _, group in ipairs(unique.groups(spec, file, places)) do fn(group) end
  end
end

--- Applies all that is in a file.
---@param run dualdb.RepairRun
---@param job table
---@param file dualdb.PlanFile
function apply.file(run, job, file)
  local groups, rows, bytes = {}, 0, 0
  local most = math.min(apply.BATCH_ROWS, run.max_rate or math.maxinteger)
  local function flush()
    if rows == 0 then return end
    be_polite(run, job)
    local ready = groups
    groups, rows, bytes = {}, 0, 0
    apply_groups(run, job, file, ready)
  end
  apply.each_group(job.spec, file, function(group)
    local size, places = 0, places_of(group)
    for _, at in ipairs(places) do
      local planned = file:get(at)
      size = size + #(planned.primary or "") + #(planned.secondary or "")
    end
    if rows > 0 and (rows + #places > most or bytes + size > memory.BYTES) then flush() end
    groups[#groups + 1] = group
    rows, bytes = rows + #places, bytes + size
    job.bytes = (job.bytes or 0) + size
  end)
  flush()
end

--- Tries what waits again, for as long as some of it succeeds.
---@param jobs table[]
---@param final boolean   what is left has failed
function apply.waiting(run, jobs, final)
  local moved
  repeat
    moved = false
    for _, job in ipairs(jobs) do
      local waiting = job.waiting
      job.waiting = {}
      for _, entry in ipairs(waiting) do
        apply_groups(run, job, entry.file, { entry.group })
      end
      if #job.waiting < #waiting then moved = true end
    end
  until not moved
  if not final then return end
  for _, job in ipairs(jobs) do
    for _, entry in ipairs(job.waiting) do fail(job, entry.file, entry.group, entry.error) end
    job.waiting = {}
  end
end

return apply
