--- What a dual write waits for on the secondary, counted by a proxy: with a distant secondary each
--- of these is the time of one journey there and back.

local bank = require "spec.support.bank"
local pair = require "spec.support.pair"
local Proxy = require "spec.support.proxy"

--- Turns of a write of one statement, once connections and statements are there.
local TURNS = {
  -- Begin, settings, statement and PREPARE go together; then COMMIT PREPARED.
  a1 = 2,
  -- Begin, settings and decision are answered before the primary has locks; the statement; COMMIT.
  a2 = 3,
  -- Begin, settings and statement; COMMIT.
  journaled = 2,
}

describe("a dual write", function()
  local proxy, direct

  before_each(function()
    direct = bank.open()
    bank.make(direct)
    proxy = Proxy.start "secondary"
  end)

  after_each(function()
    proxy:stop()
    pair.drop_all(direct)
    direct:close()
  end)

  for protocol, turns in pairs(TURNS) do
    it(("waits %d times for the secondary, by %s"):format(turns, protocol), function()
      local db <close> = bank.open({ commit = protocol }, {
        secondary = proxy.url .. "?sslmode=disable",
      })
      local function write()
        db:write(function(tx)
          tx:execute({
            sql = "update spec_account set moved = moved + 1 where id = ?",
            touches = { spec_account = { 1 } },
          }, 1)
        end)
      end
      -- The heartbeat rides on one write a second, which waits longer.
      for _ = 1, 3 do write() end
      local least = math.huge
      for _ = 1, 5 do
        proxy:turns()
        write()
        least = math.min(least, proxy:turns())
      end
      assert.equal(turns, least)
    end)
  end
end)
