--- A client of the soak: writes until the time is up, and notes each operation before it starts and
--- what it was told afterwards, line by line:
---
---     begin ID KIND
---     done ID NOTE | refused ID CLASS | unknown ID GID
---     because ID CLASS MESSAGE    the error, for people
---     wrong TEXT                  something that must not be
---
--- and the time (clock) at the end of each line.
---
--- arguments: way, seed, number of the client, number of its life, log file, when to end (clock)

local core = require "dualdb.core"
local Random = require "spec.soak.random"
local tables = require "spec.soak.tables"

local way, seed, client, life = arg[1], math.tointeger(arg[2]), arg[3], arg[4]
local ends_at = tonumber(arg[6])
local random = Random.new(seed, 1000 * client + life)
local rules = tables.WAYS[way]
local journal = assert(io.open(arg[5], "a"))

-- One write for each line: it is there or not, however the process dies.
local function note(...)
  journal:write(table.concat({ ... }, "\t"):gsub("\n", " ") .. ("\t%.3f\n"):format(core.clock()))
  journal:flush()
end

-- ---- operations: make(id) -> fn(tx), which returns what the operation leaves in `own` ----

local own = {}   -- notes of this life: ids that no other client writes
local CHANGED_MIND = "changed its mind"

local function mark(tx, id, kind, detail)
  tx:insert("soak_op", { id = id, kind = kind, detail = tostring(detail) })
end

local function change(tx, account, amount)
  tx:execute({
    sql = "update soak_account set balance = balance + ? where id = ?",
    touches = { soak_account = { account } },
  }, amount, account)
end

local function append(tx, list, id)
  tx:execute({
    sql = "update soak_list set length = length + 1 where id = ?",
    touches = { soak_list = { list } },
  }, list)
  local length = tx:query("select length from soak_list where id = ?", list)[1].length
  tx:insert("soak_item", { list = list, position = length, op = id })
end

local function draw_transfer()
  local giver = random:integer(1, tables.ACCOUNTS)
  local taker = (giver + random:integer(0, tables.ACCOUNTS - 2)) % tables.ACCOUNTS + 1
  return giver, taker, random:integer(1, 20)
end

local operations = {}

-- The accounts are not locked in any order: deadlocks are wanted.
function operations.transfer(id)
  local giver, taker, amount = draw_transfer()
  local mark_first = random:chance(0.5)
  local detail = ("%d>%d:%d"):format(giver, taker, amount)
  return function(tx)
    if mark_first then mark(tx, id, "transfer", detail) end
    change(tx, giver, -amount)
    change(tx, taker, amount)
    if not mark_first then mark(tx, id, "transfer", detail) end
  end
end

function operations.append(id)
  local list = random:integer(1, tables.LISTS)
  return function(tx)
    append(tx, list, id)
    mark(tx, id, "append", list)
  end
end

function operations.mixed(id)
  local giver, taker, amount = draw_transfer()
  local lists = { random:integer(1, tables.LISTS), random:integer(1, tables.LISTS) }
  local slot = random:integer(1, tables.SLOTS)
  return function(tx)
    mark(tx, id, "transfer", ("%d>%d:%d"):format(giver, taker, amount))
    change(tx, giver, -amount)
    for _, list in ipairs(lists) do append(tx, list, id) end
    tx:upsert("soak_slot", { id = slot, op = id })
    change(tx, taker, amount)
  end
end

function operations.insert(id)
  return function(tx)
    local row = tx:insert("soak_note", { op = id })
    mark(tx, id, "insert", row.id)
    return row.id
  end, function(row) own[#own + 1] = row end
end

local function take_own()
  return #own > 0 and table.remove(own, random:integer(1, #own)) or nil
end

--- The client was told that it has the row, and nobody else writes it.
local function must_find(found, row, id)
  if found or not rules.isolated then return end
  note("wrong", ("%s does not find note %d"):format(id, row))
end

function operations.update(id)
  local row = take_own()
  if not row then return operations.insert(id) end
  return function(tx)
    must_find(tx:update("soak_note", row, { op = id }), row, id)
    mark(tx, id, "update", row)
  end, function() own[#own + 1] = row end
end

function operations.delete(id)
  local row = take_own()
  if not row then return operations.insert(id) end
  return function(tx)
    must_find(tx:delete("soak_note", row), row, id)
    mark(tx, id, "delete", row)
  end
end

-- Rows that all clients write, and that come and go.
function operations.slot(id)
  local slot, verb = random:integer(1, tables.SLOTS), random:one_of { "upsert", "update", "delete" }
  local mark_first = random:chance(0.5)
  return function(tx)
    if mark_first then mark(tx, id, verb .. " slot", slot) end
    if verb == "upsert" then tx:upsert("soak_slot", { id = slot, op = id }) end
    if verb == "update" then tx:update("soak_slot", slot, { op = id }) end
    if verb == "delete" then tx:delete("soak_slot", slot) end
    if not mark_first then mark(tx, id, verb .. " slot", slot) end
  end
end

function operations.later(id)
  return function(tx) mark(tx, id, "later", 0) end
end

function operations.regret(id)
  local write = operations.mixed(id)
  return function(tx)
    write(tx)
    error(CHANGED_MIND, 0)
  end
end

local WEIGHTS = {
  { "transfer", 36 }, { "append", 16 }, { "mixed", 8 }, { "insert", 12 }, { "update", 8 },
  { "delete", 5 }, { "slot", 10 }, { "later", 4 }, { "regret", 3 },
}

-- ---- what it is told ----

local REFUSED, NO_PRIMARY = CHANGED_MIND, "the primary takes no part"

local function told(id, err)
  if err == REFUSED or err == NO_PRIMARY then return note("refused", id, "own") end
  if not core.is_error(err) then
    note("wrong", id .. ": " .. tostring(err))
    return note("unknown", id, "-")
  end
  if err.outcome == "applied" then return note("done", id, "-") end
  if err.outcome == "not_applied" then
    note("refused", id, err.class)
  else
    note("unknown", id, err.gid or "-")
  end
  local expected = err.class == "transient" or err.class == "unavailable"
    or err.class == "ambiguous" or err.class == "capacity"
    or not rules.isolated and (err.class == "conflict" or err.class == "integrity")
  if not expected then note("wrong", ("%s: %s: %s"):format(id, err.class, tostring(err))) end
  note("because", id, err.class, tostring(err))
end

local function run()
  local db <close> = tables.open(way)
  local count = 0
  while core.clock() < ends_at do
    count = count + 1
    local id = ("c%s-%s-%d"):format(client, life, count)
    local kind = random:weighted(WEIGHTS)
    local write, afterwards = operations[kind](id)
    local function fn(tx)
      if rules.needs_primary and tx.mode == "secondary_only" then error(NO_PRIMARY, 0) end
      return write(tx)
    end
    note("begin", id, kind)
    local ok, result = pcall(db.write, db, fn, { defer = kind == "later" })
    if ok then
      note("done", id, type(result) == "table" and "-" or tostring(result))
      if afterwards then afterwards(result) end
    else
      told(id, result)
    end
    core.sleep(random:real(0, 0.01))
  end
end

local ok, err = xpcall(run, debug.traceback)
if not ok then note("wrong", tostring(err)) end
