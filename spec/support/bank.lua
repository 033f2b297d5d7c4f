--- Two tables for specs of dual writes: accounts between which money is moved, and a log to which
--- each move appends. Whatever happens, the total stays, each move that was acknowledged is in the
--- log, and both sides are equal.

local core = require "dualdb.core"
local pair = require "spec.support.pair"
local wait = require "spec.support.wait"

local bank = {}

bank.TOTAL = 400
local ACCOUNTS = 4

local COLUMNS = {
  spec_account = {
    mysql = "id int not null primary key, balance int not null, moved int not null default 0",
    postgres = "id int not null primary key, balance int not null, moved int not null default 0",
  },
  spec_move = {
    mysql = "id varchar(40) character set ascii collate ascii_bin not null primary key, "
      .. "giver int not null, taker int not null, amount int not null",
    postgres = "id varchar(40) not null primary key, giver int not null, taker int not null, "
      .. "amount int not null",
  },
}

bank.MODELS = { spec_account = {}, spec_move = {} }

for name, model in pairs(bank.MODELS) do model.table = name end

--- Opens the bank's pair.
---@param policy table|string|nil
function bank.open(policy, more)
  local settings = { policy = policy }
  for name, value in pairs(more or {}) do settings[name] = value end
  return pair.open(bank.MODELS, settings)
end

--- Makes and fills the tables, beside an empty journal.
---@param db dualdb.Database
function bank.make(db)
  require("dualdb.setup").run(db)
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute("delete from dualdb_journal")
  end
  for name, columns in pairs(COLUMNS) do pair.make(db, name, columns) end
  db:write(function(tx)
    for id = 1, ACCOUNTS do
      tx:insert("spec_account", { id = id, balance = bank.TOTAL // ACCOUNTS })
    end
  end)
end

--- One move, as a function for db:write. The accounts are locked in the order of their ids.
---@param id string   of the move, never used before
function bank.move(id, giver, taker, amount)
  return function(tx)
    local first, second = math.min(giver, taker), math.max(giver, taker)
    local change = { [giver] = -amount, [taker] = amount }
    for _, account in ipairs { first, second } do
      tx:execute({
        sql = "update spec_account set balance = balance + ?, moved = moved + 1 where id = ?",
        touches = { spec_account = { account } },
      }, change[account], account)
    end
    tx:insert("spec_move", { id = id, giver = giver, taker = taker, amount = amount })
    return id
  end
end

--- What is wrong with a side by itself, as text; nil when nothing is.
local function wrong_with(side)
  local total = math.tointeger(pair.value(side, "select sum(balance) as v from spec_account"))
    or tonumber(pair.value(side, "select sum(balance) as v from spec_account"))
  if total ~= bank.TOTAL then
    return ("the %s has %s in all accounts, not %d"):format(side.name, total, bank.TOTAL)
  end
  local moves = pair.value(side, "select count(*) as v from spec_move")
  local moved = tonumber(pair.value(side, "select sum(moved) as v from spec_account"))
  if moved ~= 2 * moves then
    return ("the %s has %d moves and %d changes of accounts"):format(side.name, moves, moved)
  end
  return nil
end

local function ids(side)
  local set, count = {}, 0
  for row in side:rows("select id from spec_move") do
    set[row.id], count = true, count + 1
  end
  return set, count
end

--- All that is wrong, after everything was recovered and replayed.
---@param db dualdb.Database
---@param acknowledged string[]   moves that were said to be done
---@param refused string[]        moves that were said not to be done
---@return string[]
function bank.violations(db, acknowledged, refused)
  local found = {}
  local function note(text) if text then found[#found + 1] = text end end
  for _, side in ipairs { db.primary, db.secondary } do
    note(wrong_with(side))
    local there = ids(side)
    for _, id in ipairs(acknowledged) do
      if not there[id] then
        note(("%s was acknowledged and is not on the %s"):format(id, side.name))
      end
    end
    for _, id in ipairs(refused) do
      if there[id] then note(("%s was refused and is on the %s"):format(id, side.name)) end
    end
  end
  for name in pairs(bank.MODELS) do
    local report = db[name]:verify()
    if report.verdict ~= "equal" then
      note(("%s is %s: %d missing, %d extra, %d changed"):format(name, report.verdict,
        report.missing, report.extra, report.changed))
    end
  end
  for _, row in ipairs(db.secondary:query("select gid::text as gid from pg_prepared_xacts")) do
    note("prepared on the secondary: " .. row.gid)
  end
  for _, row in ipairs(db.primary:query("xa recover")) do
    note("prepared on the primary: " .. tostring(row.data))
  end
  for _, side in ipairs { db.primary, db.secondary } do
    local open = pair.value(side, "select count(*) as v from dualdb_journal")
    if open > 0 then note(("%d entries are in the journal of the %s"):format(open, side.name)) end
  end
  return found
end

--- Recovers and replays as anybody would, until nothing is left to do.
---@param db dualdb.Database
function bank.heal(db)
  wait.wait_until("nothing is in doubt any more", function()
    local list = db:recover()
    for _, item in ipairs(list) do
      if item.error then error(item.error) end
    end
    return #list == 0
  end, 20)
  db:journal():replay()
end

--- Reads what a mover has said: the moves that were said to be done, and not to be; nothing when it
--- died, or does not know.
---@param text string
---@param id string
---@return string[], string[]
function bank.told(text, id)
  if text:find("done\t" .. id, 1, true) then return { id }, {} end
  local outcome = text:match("failed\t" .. id:gsub("%-", "%%-") .. "\t(%S+)")
  if outcome == "not_applied" then return {}, { id } end
  return {}, {}
end

--- Lua code for a process of its own: opens the bank and makes one move. It prints `done ID` or
--- `failed ID OUTCOME MESSAGE`.
---@param id string
---@param policy string   Lua source of the policy
---@param defer boolean|nil
function bank.mover(id, policy, defer)
  return ([[
package.path = "./?.lua;" .. package.path
local bank = require "spec.support.bank"
local dualdb = require "dualdb"
local db <close> = bank.open(%s)
local moved, how = dualdb.try(db.write, db, bank.move(%q, 1, 2, 10), { defer = %s })
if moved then print("done", moved) else print("failed", %q, how.outcome, tostring(how)) end
]]):format(policy, id, tostring(defer or false), id)
end

--- A new id for a move.
local serial = 0
function bank.id()
  serial = serial + 1
  return ("%d-%d-%d"):format(core.pid(), serial, core.wall_clock())
end

return bank
