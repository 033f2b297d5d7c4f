--- Rows that the secondary refuses for the sake of other rows (foreign keys, unique keys): they are
--- tried again once the others are through, and count only when that does not help either.

local bring = require "dualdb.bring"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local Spool = require "dualdb.spool"

local settle = {}

--- Rows that are brought over in one transaction at most; fewer when they are large.
local BATCH_ROWS = fetch.BATCH
--- Rows that are written in one transaction because they may refer to each other in a circle: the
--- keys of those that cannot go are in memory, and all are locked on the primary meanwhile.
local MOST_TOGETHER = 100000

---@class dualdb.Job      a model whose rows are brought over
---@field db dualdb.Database
---@field spec dualdb.Spec
---@field bin dualdb.Bin
---@field deletes boolean
---@field settled function|nil   as in bring.over
---@field waiting dualdb.Spool   keys and reasons of rows that may go later
---@field written integer
---@field deleted integer
---@field gone integer
---@field quarantined integer
---@field policies table<string, integer>   values that were changed, once for each try

---@param db dualdb.Database
---@param spec dualdb.Spec
---@param bin dualdb.Bin
---@param settled function|nil
---@return dualdb.Job
function settle.job(db, spec, bin, settled)
  return {
    db = db, spec = spec, bin = bin, deletes = (spec.model.sync or {}).deletes ~= false,
    settled = settled, waiting = Spool.new(), written = 0, deleted = 0, gone = 0, quarantined = 0,
    policies = {},
  }
end

local function count(job, brought)
  job.written = job.written + brought.written
  job.deleted = job.deleted + brought.deleted
  job.gone = job.gone + brought.gone
  for policy, changed in pairs(brought.policies) do
    job.policies[policy] = (job.policies[policy] or 0) + changed
  end
end

local function set_aside(job, refused)
  job.bin:add(bring.entry(job.spec, refused))
  job.quarantined = job.quarantined + 1
end

--- Has a key wait. Its row is read again when its turn comes.
local function wait(job, refused)
  job.waiting:add {
    kind = refused.packed and "changed" or "extra", key = refused.key, reason = refused.reason,
    column = refused.state,
  }
end

--- Brings the rows with the given keys over. Returns the number of transactions.
local function bring_keys(job, keys)
  local last, transactions = 0, 0
  while last < #keys do
    local brought = bring.over(job.db, job.spec, keys, last + 1, job)
    last, transactions = brought.last, transactions + 1
    count(job, brought)
    for _, refused in ipairs(brought.refused) do
      (bring.may_wait(refused) and wait or set_aside)(job, refused)
    end
  end
  job.bin:flush()  -- the others have gone: a run that ends here has said why these have not
  return transactions
end

--- The items of a spool in lists.
local function batches(spool, wanted)
  local next_item = spool:each()
  return function()
    local list = {}
    for item in next_item do
      if wanted(item) then list[#list + 1] = item end
      if #list == BATCH_ROWS then break end
    end
    return #list > 0 and list or nil
  end
end

local function all() return true end

local function keys_of(items)
  local keys = {}
  for i, item in ipairs(items) do keys[i] = item.key end
  return keys
end

--- Brings the rows with the keys of a spool over; those that are refused wait, or go to quarantine.
---@param job dualdb.Job
---@param spool dualdb.Spool
---@return integer transactions
function settle.bring_all(job, spool)
  local transactions = 0
  for items in batches(spool, all) do
    transactions = transactions + bring_keys(job, keys_of(items))
  end
  return transactions
end

--- One more attempt for all that wait. Returns whether any of them does so no more.
local function once_more(job)
  local before = job.waiting
  if before.count == 0 then return false end
  job.waiting = Spool.new()
  settle.bring_all(job, before)
  local helped = job.waiting.count < before.count
  before:close()
  return helped
end

-- ---- circles ----

--- The foreign keys of a table of the secondary, as the condition that a row `c` breaks. Texts are
--- compared as the parent's column compares them.
local BROKEN = [[
select format('(%s) and not exists (select from %s p where %s)%s',
    string_agg(format('c.%I is not null', a.attname), ' and '), k.confrelid::regclass,
    string_agg(format('p.%I = c.%I%s', b.attname, a.attname, l.collation), ' and '),
    case when k.confmatchtype = 'f' then format(' or num_nulls(%s) between 1 and %s',
      string_agg(format('c.%I', a.attname), ', '), count(*) - 1) end) as broken
from pg_constraint k
cross join lateral unnest(k.conkey, k.confkey) as u (own, other)
join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.own
join pg_attribute b on b.attrelid = k.confrelid and b.attnum = u.other
left join lateral (
  select format(' collate %I.%I', n.nspname, l.collname) as collation
  from pg_collation l join pg_namespace n on n.oid = l.collnamespace
  where l.oid = b.attcollation and b.attcollation <> a.attcollation) l on true
where k.contype = 'f' and k.conrelid = ?::regclass and (?::text is null or k.conname = ?)
group by k.oid, k.confrelid]]

--- The condition that a row `c` of the model's table breaks a foreign key, nil when it has none.
---@param secondary any
---@param spec dualdb.Spec
---@param name string|nil   of the one foreign key that is asked for; default all
---@return string|nil
function settle.broken(secondary, spec, name)
  local list = {}
  name = name or core.NULL
  for i, entry in ipairs(secondary:query(BROKEN, spec.statements.secondary.table, name, name)) do
    list[i] = "(" .. entry.broken .. ")"
  end
  return #list > 0 and table.concat(list, " or ") or nil
end

--- Adds the keys of rows whose foreign keys lead nowhere to `left_out`; returns how many are new.
local function leave_broken_out(secondary, job, left_out)
  local broken = settle.broken(secondary, job.spec)
  if not broken then return 0 end
  local builder = job.spec.statements.secondary
  local found = secondary:fetch(("select %s from %s c where %s"):format(builder:key_list(),
    builder.table, broken), nil, nil, job.spec.key_kinds)
  local new = 0
  for _, key in ipairs(found) do
    if not left_out[key] then new = new + 1 end
    left_out[key] = true
  end
  return new
end

--- Writes all rows that wait for others in one transaction, but those left out. Returns false when
--- there were more to leave out, and nothing was written.
local function write_together(jobs, left_out)
  local db, written = jobs[1].db, {}
  local ok, err = pcall(bring.transaction, db, function(primary, secondary)
    for i, job in ipairs(jobs) do
      written[i] = {}
      local function wanted(item)
        return item.kind == "changed" and item.column == "23503" and not left_out[i][item.key]
      end
      for items in batches(job.waiting, wanted) do
        local keys, last = keys_of(items), 0
        while last < #keys do
          local brought = bring.within(primary, secondary, job.spec, keys, last + 1, {
            settled = job.settled,
          })
          last = brought.last
          for _, refused in ipairs(brought.refused) do left_out[i][refused.key] = true end
          brought.refused = nil  -- they have rows
          table.insert(written[i], brought)
        end
      end
    end
    local new = 0
    for i, job in ipairs(jobs) do new = new + leave_broken_out(secondary, job, left_out[i]) end
    if new > 0 then errors.raise("conflict", "%d rows refer to no row", new) end
  end)
  if not ok then return false, err end
  for i, job in ipairs(jobs) do
    for _, brought in ipairs(written[i]) do count(job, brought) end
  end
  return true
end

local function drop_written(job, left_out)
  local before = job.waiting
  job.waiting = Spool.new()
  for item in before:each() do
    if item.kind ~= "changed" or item.column ~= "23503" or left_out[item.key] then
      job.waiting:add(item)
    end
  end
  before:close()
end

--- Rows that refer to each other go together or not at all.
local function together(jobs)
  local some, total, left_out = {}, 0, {}
  for _, job in ipairs(jobs) do
    if job.waiting.count > 0 then
      some[#some + 1] = job
      left_out[#some] = {}
      total = total + job.waiting.count
    end
  end
  if total < 1 or total > MOST_TOGETHER then return end
  while true do
    local done, err = write_together(some, left_out)
    if done then break end
    if bring.is_of_row(err) then return end  -- one that was not refused before: the next run's
    if not (errors.is(err) and err.class == "conflict") then error(err, 0) end
  end
  for i, job in ipairs(some) do drop_written(job, left_out[i]) end
end

--- What still waits goes to quarantine, as the primary has it now.
local function give_up(job)
  local waiting = job.waiting
  job.waiting = Spool.new()
  for items in batches(waiting, all) do
    local keys, last = keys_of(items), 0
    while last < #keys do
      local from = last + 1
      local current, to = job.db.primary:with(fetch.some, job.spec, "primary", keys, from)
      last = to
      for i = from, to do
        local item, packed = items[i], current[keys[i]]
        if packed or item.kind == "extra" then
          set_aside(job, { key = item.key, packed = packed, reason = item.reason })
        end
      end
    end
  end
  waiting:close()
end

--- More rows than these are not tried before all are through.
local MOST_EARLY = 10000

--- Writes the rows that wait for each other now, so that the tables that refer to them can be
--- loaded and do not have to wait row by row. Those that cannot go yet wait on.
---@param jobs dualdb.Job[]
function settle.early(jobs)
  local total = 0
  for _, job in ipairs(jobs) do total = total + job.waiting.count end
  if total <= MOST_EARLY then together(jobs) end
end

--- Tries all rows that wait again, as long as that helps; what is left goes to quarantine.
---@param jobs dualdb.Job[]
function settle.run(jobs)
  local helped
  repeat
    helped = false
    for _, job in ipairs(jobs) do helped = once_more(job) or helped end
  until not helped
  together(jobs)
  for _, job in ipairs(jobs) do give_up(job) end
end

--- Whether anything waits.
function settle.is_done(job) return job.waiting.count == 0 end

return settle
