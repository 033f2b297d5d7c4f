--- A model that is being synced: how its rows go over, how far they are, and what came of it.

local bring = require "dualdb.bring"
local checkpoint = require "dualdb.sync.checkpoint"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local journal = require "dualdb.journal"
local key_range = require "dualdb.sync.key_range"
local pace = require "dualdb.sync.pace"
local plan = require "dualdb.sync.plan"
local quarantine = require "dualdb.quarantine"
local row = require "dualdb.row"
local set_aside = require "dualdb.sync.set_aside"
local settle = require "dualdb.settle"
local transforms = require "dualdb.sync.transforms"

---@class dualdb.ChunkCounts
---@field read integer
---@field written integer
---@field deleted integer
---@field refused integer   rows that it left behind
---@field bytes integer
---@field rows integer      that took the time
---@field full boolean      more rows follow
---@field refused integer

---@class dualdb.SyncTask
---@field db dualdb.Database
---@field name string
---@field spec dualdb.Spec
---@field mode "load"|"refresh"
---@field by_keys boolean       rows go by their keys, in one pass over the whole table, for they
---                             cannot go by ranges
---@field whole boolean         the keys cannot be entered at a bound: the table is one chunk
---@field ranges dualdb.KeyRange[]
---@field written { indexes: integer[], names: string[], kinds: string }   columns that are written
---@field meets_writers boolean  rows may be there before they are loaded
---@field noted boolean          the checkpoint is there
---@field outdated boolean       one is there that is not gone on with
---@field snapshot boolean
---@field phase "rows"|"indexes"|"done"
---@field error dualdb.Error|nil
local Task = {}
Task.__index = Task

local task = {}

--- A table that has more rows gets its indexes after the load.
local LARGE = 20000
--- Ranges are made for each lane where a table has more rows.
local WORTH_SPLITTING = 100000

--- Rows that were written on the side that is written alone would be lost under a sync.
local function refuse_journaled(name, side, other, count)
  local message = ("model %s: the %s has %d rows that the %s lacks"):format(name, side, count,
    other)
  error(errors.make("refused", message, {
    model = name, side = side, hint = "`dualdb journal replay` brings them over first.",
  }), 0)
end

local function new_result(name)
  return {
    model = name, mode = "full", action = "load", resumed = false, rows_read = 0, rows_written = 0,
    rows_deleted = 0, quarantined = 0, policies = {}, chunks = 0, bytes = 0, seconds = 0,
  }
end

--- Whether the key's columns are the first that are written, so that a row says where it stands.
local function leads(spec, indexes)
  for i = 1, spec.key_count do
    if indexes[i] ~= i then return false end
  end
  return true
end

--- An enum is compared as its text and ordered by its number, a set likewise: where one chunk ends
--- the next could not begin.
local function is_enterable(spec)
  for i = 1, spec.key_count do
    local type_name = spec.columns[i].primary.type
    if type_name == "enum" or type_name == "set" then return false end
  end
  return true
end

--- What tells a table from another one of its name.
local function identity_of(side, spec)
  if side.driver == "postgres" then
    return side:query("select coalesce(to_regclass(?)::oid::text, '') as id",
      spec.statements.secondary.table)[1].id
  end
  return side:query("select cast(create_time as char) as id from information_schema.tables "
    .. "where table_schema = database() and table_name = ?", spec.table.primary)[1].id
end

--- By the clock of the side that is written.
local NOW = {
  postgres = "select clock_timestamp()::text as now",
  mysql = "select cast(current_timestamp(6) as char) as now",
}

--- What the secondary holds is not what the primary would.
local function refuse_transform(name)
  error(errors.make("refused", ("model %s: rows that were transformed on their way to the "
    .. "secondary cannot go back"):format(name), { model = name, side = "primary" }), 0)
end

--- Rows of which a checkpoint says that they are over are not there: the table was emptied since,
--- or made anew within the second by which the primary tells its tables apart.
local function is_emptied(self, before)
  local read = 0
  for _, range in ipairs(before.ranges) do read = read + range.rows_read end
  return read > 0 and plan.is_empty(self.db, self.spec, self.target.name)
end

local function first_ranges() return { { id = 1, done = false } } end

--- Looks at both sides and decides how the model's rows go over. Writes nothing.
---@param db dualdb.Database
---@param name string
---@param options dualdb.SyncOptions
---@return dualdb.SyncTask
function task.open(db, name, options)
  local forwards = options.direction ~= "to_primary"
  local source, target = db.primary, db.secondary
  if not forwards then source, target = target, source end
  local count = journal.count_of(target, name)
  if count > 0 then refuse_journaled(name, target.name, source.name, count) end
  local spec = db:spec(name)
  local self = setmetatable({
    db = db, name = name, spec = spec, result = new_result(name), started = core.clock(),
    forwards = forwards, source = source, target = target, builder = spec.statements[target.name],
    options = options, snapshot = options.snapshot or false, meets_writers = false, noted = false,
    by_keys = false, phase = "rows", active = 0, statements = {},
    deletes = (spec.model.sync or {}).deletes ~= false,
  }, Task)
  local indexes, names, kinds = row.writable(spec, target.name)
  self.written = { indexes = indexes, names = names, kinds = kinds }
  self.whole = forwards and not is_enterable(spec)
  self.pace = pace.new { wide = spec.wide, most = options.chunk_rows }
  self.transform = transforms.of(db, spec)
  if not forwards and self.transform then refuse_transform(name) end
  self.fingerprint = checkpoint.fingerprint(spec, forwards and "to_secondary" or "to_primary",
    identity_of(target, spec))
  local before, is_noted = checkpoint.read(target, name, self.fingerprint)
  if options.restart or self.snapshot or before and is_emptied(self, before) then before = nil end
  self.outdated = is_noted and not before
  if before then
    self.mode, self.ranges, self.noted = before.mode, before.ranges, true
    self.result.resumed, self.started_at = true, before.started_at
  else
    self.mode, self.ranges = plan.action(db, spec, forwards), first_ranges()
    self.started_at = target:query(NOW[target.driver])[1].now
  end
  self.bin = quarantine.bin(db, spec, forwards and self.started_at or nil)
  self.job = settle.job(db, spec, self.bin)
  self:choose_way()
  self.result.action = self.mode
  return self
end

--- Forgets what earlier runs have noted, when this one does not go on with it: the next one must
--- not either, whatever becomes of this one.
function Task:drop_outdated()
  if not self.outdated then return end
  self.target:transaction(function(conn) checkpoint.forget(conn, self.name) end)
end

--- Rows go by ranges where the key can be entered, by their keys where that is not so.
function Task:choose_way()
  local spec = self.spec
  local all = #self.written.indexes == #spec.columns
  if self.transform and (not self.transform.worker or not all) then
    self.by_keys = true
  elseif self.mode == "load" then
    self.by_keys = not leads(spec, self.written.indexes)
  else
    self.by_keys = not spec.ordered or spec.key_folds or not leads(spec, self.written.indexes)
  end
  -- With one chunk there is nothing to go on from.
  if self.by_keys then self.ranges = first_ranges() end
end

--- Whether the table's indexes are better made after the load.
function Task:is_large()
  return self.spec.primary_table.estimated_rows >= LARGE
end

--- Gives each lane a range of its own, where the table is large and its key has a middle.
---@param conn any           a connection of the side that is read
---@param lanes integer
function Task:spread(conn, lanes)
  if self.noted or self.by_keys or self.whole or lanes < 2
     or self.spec.estimated_rows < WORTH_SPLITTING or not key_range.splits(self.spec.key_kinds) then
    return
  end
  local low, high = key_range.ends(conn, self.spec, self.source.name, self.ranges[1])
  if not low then return end
  local function cut(range, from, to, parts)
    local upper = parts > 1 and key_range.split(range, from, to, #self.ranges + 1)
    if not upper then return end
    self.ranges[#self.ranges + 1] = upper
    local middle = upper.reached
    cut(range, from, middle, parts // 2)
    cut(upper, middle, to, parts - parts // 2)
  end
  cut(self.ranges[1], low, high, lanes)
end

--- A range that no lane is at; nil when there is none now.
function Task:free_range(now)
  if self.error or self.phase ~= "rows" then return nil end
  for _, range in ipairs(self.ranges) do
    if not range.done and not range.taken and (range.not_before or 0) <= now then return range end
  end
  return nil
end

--- Nothing is left to be done on the lanes.
function Task:finish()
  self.phase, self.ended = "done", core.clock()
end

--- Whether all rows are over.
function Task:has_all_rows()
  for _, range in ipairs(self.ranges) do
    if not range.done then return false end
  end
  return true
end

--- Cuts the range in two at the point where a lane has ended a chunk of it. Returns whether it did.
---@param conn any           a connection of the side that is read
---@param range dualdb.KeyRange
function Task:split(conn, range)
  if self.whole or self.by_keys or range.done or not key_range.splits(self.spec.key_kinds) then
    return false
  end
  local low, high = key_range.ends(conn, self.spec, self.source.name, range)
  if not low then return false end
  local through = range.through
  local upper = key_range.split(range, low, high, #self.ranges + 1)
  if not upper then return false end
  if self.noted then
    local ok, err = pcall(checkpoint.split, self.target, self.name, range, upper)
    if not ok then
      range.through = through
      error(err, 0)
    end
    core.crash_point "sync.split"
  end
  self.ranges[#self.ranges + 1] = upper
  return true
end

--- Notes a chunk in its transaction. One that is the table's only one needs no note. While rows of
--- a range wait for others the note stands still where they are: only this run knows of them.
function Task:note(conn, after, counts)
  if self.snapshot or self.by_keys then return end
  if not self.noted and after.done and #self.ranges == 1 then return end
  if not self.noted then
    -- In a transaction of its own: the other lanes' notes must find it.
    self.target:transaction(function(other)
      checkpoint.begin(other, self.name, self.mode, self.fingerprint, self.ranges,
        self.started_at)
    end)
    core.crash_point "sync.noted"
    self.noted = true
  end
  if self.ranges[after.id].waits and not settle.is_done(self.job) then return end
  checkpoint.advance(conn, self.name, after, counts)
end

--- The side that is written may have been written alone meanwhile, by somebody who could not reach
--- the other.
function Task:check_journal(conn)
  local found = conn:query("select count(*) as n from dualdb_journal where model = ?", self.name)
  if found[1].n > 0 then
    refuse_journaled(self.name, self.target.name, self.source.name, found[1].n)
  end
end

--- The lane's own transform, nil when the model has none.
function Task:worker(lane)
  if not self.transform then return nil end
  lane.workers = lane.workers or {}
  lane.workers[self.name] = lane.workers[self.name] or self.transform.worker()
  return lane.workers[self.name]
end

--- Puts the rows that a chunk leaves behind into quarantine, in its transaction. Returns how many.
---@param lane dualdb.Lane
---@param conn userdata   of the secondary
---@return integer
function Task:leave(lane, conn)
  lane:take_refusals()
  if not lane.refused then return 0 end
  return self.bin:within(conn, function()
    return lane:each_refusal(function(packed, column, reason)
      self:refuse(packed, column, reason)
    end)
  end)
end

--- Adds up what a chunk has done.
---@param lane dualdb.Lane
---@param counts dualdb.ChunkCounts
function Task:took(lane, counts)
  local result, work = self.result, lane.work
  result.chunks = result.chunks + 1
  result.rows_read = result.rows_read + counts.read
  result.bytes = result.bytes + counts.bytes
  self.copied = (self.copied or 0) + counts.written
  self.removed = (self.removed or 0) + counts.deleted
  self.refused = (self.refused or 0) + counts.refused
  for policy, count in pairs(work.crossing:counts()) do
    result.policies[policy] = (result.policies[policy] or 0) + count
  end
  self.pace:took(counts.rows, core.clock() - work.started, counts.full)
end

--- Puts a row into quarantine. A load has the columns that are written, a refresh has all.
function Task:refuse(packed, column, reason)
  local indexes = self.mode == "load" and self.written.indexes or nil
  local name = column and self.spec.names[indexes and indexes[column] or column]
  self.bin:add(packed, name, reason, indexes)
end

--- What came of it so far.
function Task:sum()
  local result, job = self.result, self.job
  result.rows_written = (self.copied or 0) + job.written
  result.rows_deleted = (self.removed or 0) + job.deleted
  result.quarantined = (self.refused or 0) + job.quarantined
  result.seconds = (self.ended or core.clock()) - self.started
  return result
end

--- Whether an error is about a row, so that the others may go.
Task.is_of_row = bring.is_of_row

--- Whether indexes or keys of the model wait to be made again.
function Task:pending()
  return set_aside.pending(self.db, { self.name })
end

return task
