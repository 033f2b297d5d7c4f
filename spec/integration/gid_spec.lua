--- Global ids: what is read out of them later, by whoever finds one.

local core = require "dualdb.core"
local gid = require "dualdb.gid"

describe("a gid", function()
  local head = gid.head(gid.prefix("a project's name", "0abcde"), 4711)

  it("tells when it was made, and by which session", function()
    local before = core.wall_clock() // 1000 / 1000
    local made = gid.new(head)
    local time = gid.time(made)
    assert.is_true(before <= time and time <= core.wall_clock() / 1000000 + 0.001)
    assert.equal(4711, gid.session(made))
  end)

  it("has letters, digits, _ and - alone, and fits where servers take one", function()
    local made = gid.new(gid.head(gid.prefix(("é"):rep(40), "0abcde"), math.maxinteger))
    assert.truthy(made:find "^[%w_-]+$")
    assert.is_true(#made <= 64)
    assert.truthy(gid.time(made))
  end)

  it("is not made twice, and later ones sort behind earlier ones", function()
    local seen, last = {}, ""
    for _ = 1, 20000 do
      local ulid = core.ulid()
      assert.truthy(#ulid == 26 and ulid:find "^[0-9a-hjkmnp-tv-z]+$")
      assert.is_nil(seen[ulid])
      assert.is_true(last <= ulid:sub(1, 10))
      seen[ulid], last = true, ulid:sub(1, 10)
    end
  end)

  it("is as random as its digits can be", function()
    -- Each of the 80 bits is set in about half of 4,000: that one is not happens once in 10^9 runs.
    local digits, count = "0123456789abcdefghjkmnpqrstvwxyz", 4000
    local set = {}
    for _ = 1, count do
      local text = core.ulid():sub(11)
      for i = 1, 16 do
        local value = digits:find(text:sub(i, i), 1, true) - 1
        for bit = 0, 4 do
          local at = (i - 1) * 5 + bit
          set[at] = (set[at] or 0) + (value >> bit & 1)
        end
      end
    end
    for at = 0, 79 do assert.is_true(math.abs(set[at] - count / 2) < 230, "bit " .. at) end
  end)
end)
