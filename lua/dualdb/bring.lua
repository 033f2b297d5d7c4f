--- Bringing rows of the primary over by their keys, in transactions of both sides: what the
--- secondary refuses is found row by row, and the others go on.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local row = require "dualdb.row"
local Side = require "dualdb.side"
local unreadable = require "dualdb.unreadable"

local bring = {}

--- Parameters that one statement may have.
local MOST_PARAMETERS = 60000
--- How often a transaction is tried again for what may pass, and the seconds in between at most.
local MOST_TRIES, MOST_WAIT = 12, 2

---@class dualdb.Refused
---@field key string             canonical
---@field packed string|nil      the primary's row; nil when only the key is known, and when the
---                               secondary refuses to delete its own
---@field column string|nil
---@field reason string
---@field state string|nil       the server's SQLSTATE; nil when the row did not get there

---@class dualdb.Brought
---@field written integer
---@field deleted integer
---@field gone integer           keys that the primary does not have, or leaves out
---@field refused dualdb.Refused[]
---@field policies table<string, integer>   values that each policy has changed

-- ---- whether it is the row's fault ----

local ROW_CLASSES = { data = true, integrity = true }

--- Whether an error of the secondary is about a row rather than about the table, the server or the
--- moment: another row may go.
---@param err any
---@return boolean
function bring.is_of_row(err)
  return errors.is(err) and err.side ~= "primary" and ROW_CLASSES[err.class] or false
end

local DUPLICATE = "23505"

--- Refusals that another row, or its absence, may end: foreign and unique keys, exclusions.
local WAITING = { ["23503"] = true, [DUPLICATE] = true, ["23P01"] = true }

---@param refused dualdb.Refused
---@return boolean
function bring.may_wait(refused)
  return WAITING[refused.state] or false
end

-- ---- writing ----

--- Writes rows, as the secondary shall hold them, over those with the same keys.
---@param rows string[]
function bring.write_rows(secondary, spec, rows)
  local indexes, names, kinds = row.writable(spec, "secondary")
  local at_once = math.max(1, MOST_PARAMETERS // #indexes)
  for from = 1, #rows, at_once do
    local to = math.min(from + at_once - 1, #rows)
    local picked = {}
    for i = from, to do picked[#picked + 1] = row.pick(rows[i], indexes) end
    local builder = spec.statements.secondary
    local result = secondary:put(builder:upsert(names, #picked), kinds:rep(#picked),
      table.concat(picked))
    if builder.folding and result.affected < #picked then
      error(errors.make("integrity",
        "the secondary has another row, whose key it takes for the same as this one's",
        { side = "secondary", sqlstate = DUPLICATE }), 0)
    end
  end
end

---@param items table[]   { key, packed, crossed }
local function write_items(secondary, spec, items)
  local rows = {}
  for i, item in ipairs(items) do rows[i] = item.crossed end
  bring.write_rows(secondary, spec, rows)
  return #rows
end

local function delete_items(secondary, spec, items)
  local keys = {}
  for i, item in ipairs(items) do keys[i] = item.key end
  if #keys == 0 then return 0 end
  return secondary:put(spec.statements.secondary:delete_keys(#keys), spec.key_kinds:rep(#keys),
    table.concat(keys)).affected
end

local function reason_of(err)
  return err.detail and ("%s (%s)"):format(err.message, err.detail) or err.message
end

--- All items, or none: what waits for the end of the transaction is checked too.
local function try(secondary, spec, items, apply)
  secondary:execute("savepoint dualdb_rows")
  local ok, result = pcall(function()
    local affected = apply(secondary, spec, items)
    secondary:execute("set constraints all immediate")
    return affected
  end)
  if ok then
    secondary:execute("set constraints all deferred")
    secondary:execute("release savepoint dualdb_rows")
    return result
  end
  if not bring.is_of_row(result) then error(result, 0) end
  secondary:execute("rollback to savepoint dualdb_rows")
  return nil, result
end

--- The items that can go; those that cannot are found by halving.
local function apart(secondary, spec, items, apply, refused)
  if #items == 0 then return 0 end
  local affected, err = try(secondary, spec, items, apply)
  if affected then return affected end
  if #items == 1 then
    local item = items[1]
    refused[#refused + 1] = {
      key = item.key, packed = item.packed, reason = reason_of(err), state = err.sqlstate,
    }
    return 0
  end
  local half = #items // 2
  return apart(secondary, spec, table.move(items, 1, half, 1, {}), apply, refused)
    + apart(secondary, spec, table.move(items, half + 1, #items, 1, {}), apply, refused)
end

--- As apart, when nothing is refused so far.
local function at_once(secondary, spec, items, apply)
  return apply(secondary, spec, items)
end

-- ---- a batch ----

--- The primary's rows with the keys from keys[from] on, as many as may be held at once, locked; the
--- keys that were asked for, and the index of the last one that is done with. Keys that cannot be
--- asked for are added to `refused`.
local function current_rows(primary, spec, keys, from, refused)
  local asked, at, unread = {}, {}, {}
  for i = from, #keys do
    local column, reason = unreadable.key(spec, keys[i])
    if reason then
      unread[#unread + 1] = { at = i, key = keys[i], column = column, reason = reason }
    else
      asked[#asked + 1], at[#at + 1] = keys[i], i
    end
  end
  local current, count = fetch.some(primary, spec, "primary", asked, 1, "share")
  local last = count < #asked and at[count] or #keys
  for _, entry in ipairs(unread) do
    if entry.at <= last then
      refused[#refused + 1] = { key = entry.key, column = entry.column, reason = entry.reason }
    end
  end
  return current, table.move(asked, 1, count, 1, {}), last
end

--- Brings rows over within transactions of both sides: those with the keys from keys[from] on, as
--- many as may be held at once.
---@param keys string[]
---@param from integer
---@param options { deletes: boolean|nil, apart: boolean|nil, settled: function|nil }
---@return dualdb.Brought
function bring.within(primary, secondary, spec, keys, from, options)
  local brought = { written = 0, deleted = 0, gone = 0, refused = {} }
  local refused = brought.refused
  local current, asked
  current, asked, brought.last = current_rows(primary, spec, keys, from, refused)
  local cross, before = fetch.crosser(spec), fetch.crossing(spec):counts()
  local items, absent = {}, {}
  for _, key in ipairs(asked) do
    local packed = current[key]
    local crossed, column, reason
    if packed then crossed, column, reason = cross(packed) end
    if reason then
      refused[#refused + 1] = { key = key, packed = packed, column = column, reason = reason }
    elseif crossed then
      items[#items + 1] = { key = key, packed = packed, crossed = crossed }
    else
      absent[#absent + 1] = key
    end
  end
  brought.gone, brought.policies = #absent, {}
  for policy, after in pairs(fetch.crossing(spec):counts()) do
    brought.policies[policy] = after - (before[policy] or 0)
  end
  local deleting = {}
  if options.deletes then
    for i, key in ipairs(fetch.crossable_keys(spec, absent)) do deleting[i] = { key = key } end
  end
  local put = options.apart and apart or at_once
  brought.deleted = put(secondary, spec, deleting, delete_items, refused)
  brought.written = put(secondary, spec, items, write_items, refused)
  if options.settled then
    local left, settled = {}, {}
    for _, entry in ipairs(refused) do left[entry.key] = true end
    for i = from, brought.last do
      if not left[keys[i]] then settled[#settled + 1] = keys[i] end
    end
    options.settled(secondary, settled)
  end
  return brought
end

--- Raises unless the transaction that locked rows of the primary is open still. To be asked when
--- the secondary has been written and has not committed: from then on the secondary's locks keep
--- others from the rows until it has, and before that the primary's did. A session that was ended
--- in between has let go of its locks, and what was read under them may be old.
---@param primary userdata
function bring.check_locks(primary)
  primary:execute "do 0"
  if not primary:info().in_transaction then
    errors.raise("transient", "the primary has rolled back the transaction that held the rows")
  end
end

local function transaction(db, fn)
  return db.primary:transaction(function(primary)
    return db.secondary:transaction(function(secondary)
      secondary:execute(("set local lock_timeout = %d"):format(Side.LOCK_WAIT * 1000))
      secondary:execute("set constraints all deferred")
      local result = fn(primary, secondary)
      bring.check_locks(primary)
      return result
    end)
  end, "copy")
end

--- Runs attempt(), and again when it fails by what may pass, as a deadlock with a writer.
---@param db dualdb.Database
---@param attempt function
function bring.persist(db, attempt)
  local tries = 0
  while true do
    local ok, result = pcall(attempt)
    if ok then return result end
    tries = tries + 1
    if not errors.is(result) or result.class ~= "transient" or tries > MOST_TRIES then
      error(result, 0)
    end
    -- A prepared transaction of a writer that has died holds its locks until it is ended.
    if tries % 4 == 1 then pcall(db.recover, db) end
    core.sleep(math.random() * math.min(MOST_WAIT, 0.05 * 2 ^ tries))
  end
end

--- Runs fn(primary, secondary) in a transaction of each. Foreign keys are checked at the end, where
--- they can be: the order of rows within does not matter. What may pass runs fn again.
function bring.transaction(db, fn)
  return bring.persist(db, function() return transaction(db, fn) end)
end

--- Brings the rows with the keys from keys[from] on over, as many as may be held at once: they are
--- locked on the primary until the secondary has committed, so that an older state is never written
--- over a newer one. A row that the secondary
--- refuses is in `refused`, and the others have gone. settled(secondary, keys) is called within the
--- transaction, with the keys that are not in `refused`.
---@param db dualdb.Database
---@param spec dualdb.Spec
---@param keys string[]
---@param from integer
---@param options { deletes: boolean|nil, settled: function|nil }
---@return dualdb.Brought
function bring.over(db, spec, keys, from, options)
  local function attempt(one_by_one)
    return bring.transaction(db, function(primary, secondary)
      return bring.within(primary, secondary, spec, keys, from, {
        deletes = options.deletes, settled = options.settled, apart = one_by_one,
      })
    end)
  end
  local ok, brought = pcall(attempt, false)
  if ok then return brought end
  if not bring.is_of_row(brought) then error(brought, 0) end
  return attempt(true)
end

--- The entry of the quarantine for a refused row: what bin:add takes.
---@param refused dualdb.Refused
function bring.entry(spec, refused)
  if refused.packed then return refused.packed, refused.column, refused.reason end
  local indexes = {}
  for i = 1, spec.key_count do indexes[i] = i end
  local reason = refused.reason
  if not refused.column then reason = "delete refused: " .. reason end
  return core.prefix(refused.key, spec.key_count), refused.column, reason, indexes
end

return bring
