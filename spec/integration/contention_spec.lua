--- Writers in each other's way: every lock is taken on the primary first, so there they queue, and
--- no deadlock spans the two servers that only a time-out would end.

local bank = require "spec.support.bank"
local child = require "spec.support.child"
local pair = require "spec.support.pair"

local CLIENTS, WRITES, HOT = 8, 25, 4

--- A client that writes in a loop and prints, for each write, how many attempts it took; or why it
--- failed.
local WRITER = [[
package.path = "./?.lua;" .. package.path
local bank = require "spec.support.bank"
local dualdb = require "dualdb"
local db <close> = bank.open(%s)
local client, clients, hot = %d, %d, %d
for i = 1, %d do
  local done, how = dualdb.try(db.write, db, function(tx)
    local keys = %s
    for _, key in ipairs(keys) do
      tx:update("spec_account", key, { balance = 100 })
      tx:execute({ sql = "update spec_account set moved = moved + 1 where id = ?",
        touches = { spec_account = { key } } }, key)
    end
    return true
  end)
  if done then print("attempts", how.attempts) else print("failed", tostring(how)) end
end
]]

describe("writers of the same rows", function()
  local db

  before_each(function()
    db = bank.open()
    bank.make(db)
  end)

  after_each(function()
    db:recover()
    pair.drop_all(db)
    db:close()
  end)

  --- Runs the clients at once; returns the most attempts of any write, and the failures.
  local function run(policy, keys)
    local clients, most, failures, writes = {}, 0, {}, 0
    for i = 1, CLIENTS do
      clients[i] = child.lua(WRITER:format(policy, i, CLIENTS, HOT, WRITES, keys))
    end
    for _, client in ipairs(clients) do
      for line in client:finish():gmatch "[^\n]+" do
        local attempts = line:match "^attempts\t(%d+)"
        if attempts then
          most, writes = math.max(most, tonumber(attempts)), writes + 1
        else
          failures[#failures + 1] = line
        end
      end
    end
    return most, failures, writes
  end

  local function counted()
    local sums = {}
    for i, side in ipairs { db.primary, db.secondary } do
      sums[i] = tonumber(pair.value(side, "select sum(moved) as v from spec_account"))
    end
    assert.equal(sums[1], sums[2])
    return sums[1]
  end

  for _, protocol in ipairs { "a1", "a2", "journaled" } do
    it(("queue on the primary, each of them once, by %s"):format(protocol), function()
      local most, failures, writes = run(('{ commit = "%s", deadline = 60 }'):format(protocol),
        "{ (client + i) % hot + 1 }")
      assert.same({}, failures)
      assert.equal(1, most)
      assert.equal(CLIENTS * WRITES, writes)
      assert.equal(CLIENTS * WRITES, counted())
    end)

    it(("retry when they take rows in opposite order, by %s"):format(protocol), function()
      -- Only the primary can see such a deadlock, and it does: no lock is waited for until a
      -- time-out.
      local _, failures, writes = run(
        ('{ commit = "%s", deadline = 60, lock_timeout = 50 }'):format(protocol),
        "client % 2 == 0 and { 1, 2 } or { 2, 1 }")
      assert.same({}, failures)
      assert.equal(CLIENTS * WRITES, writes)
      assert.equal(2 * CLIENTS * WRITES, counted())
    end)
  end
end)
