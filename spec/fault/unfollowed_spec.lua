--- A write whose row is prepared on the secondary, and committed on the primary: the next write of
--- that row finds it on one side only, and the sides do not differ all the same.

local bank = require "spec.support.bank"
local child = require "spec.support.child"

describe("a row whose insert is still prepared on the secondary", function()
  local db

  before_each(function()
    db = bank.open('strict')
    bank.make(db)
  end)

  after_each(function()
    db:recover()
    require("spec.support.pair").drop_all(db)
    db:close()
  end)

  it("is written all the same when its owner has died, in strict writes too", function()
    for _, verb in ipairs { "update", "delete" } do
      local id = bank.id()
      child.lua(bank.mover(id, '{ commit = "a1" }'), { DUALDB_CRASH_AT = "a1.decided" }):finish()
      local _, how = db:write(function(tx)
        if verb == "delete" then return tx:delete("spec_move", id) end
        return tx:update("spec_move", id, { amount = 10 })
      end)
      assert.is_true(how.attempts > 1)
      assert.equal("equal", db.spec_move:verify().verdict)
    end
  end)

  it("is a conflict when the secondary does lack it", function()
    db.primary:execute("insert into spec_move (id, giver, taker, amount) values ('x', 1, 2, 3)")
    local err = require("spec.support.pair").failure(db.write, db, function(tx)
      tx:update("spec_move", "x", { amount = 4 })
    end)
    assert.equal("conflict", err.class)
  end)
end)
