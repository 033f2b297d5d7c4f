--- The map of a verification: what it makes of stretches of keys.

local core = require "dualdb.core"
local map = require "dualdb.verify.map"

local SPEC = { key_kinds = "i", key_names = { "id" } }

local function key(id) return id and core.pack("i", { id }) end

--- The map of stretches { behind this key, through this one, rows }.
local function of(stretches)
  local at = 0
  return map.of(SPEC, function()
    at = at + 1
    local stretch = stretches[at]
    if not stretch then return nil end
    return { reached = key(stretch[1]), through = key(stretch[2]), rows = stretch[3] }
  end)
end

--- First, last and rows of each part.
local function parts(entries)
  local list = {}
  for i, entry in ipairs(entries) do
    list[i] = ("%s-%s: %d"):format(entry.first and entry.first.id or "",
      entry.last and entry.last.id or "", entry.rows)
  end
  return list
end

describe("a map", function()
  it("has a part for each stretch of keys", function()
    assert.same({ "-5: 5", "5-9: 4", "9-: 7" }, parts(of { { nil, 5, 5 }, { 5, 9, 4 },
                                                          { 9, nil, 7 } }))
  end)

  it("has no part where no key can be, behind the last row of a range", function()
    assert.same({ "-5: 5", "5-9: 4", "9-: 0" }, parts(of {
      { nil, 5, 5 }, { 5, 5, 0 }, { 5, 9, 4 }, { 9, 9, 0 }, { 9, nil, 0 },
    }))
  end)

  it("puts neighbours together, so that its size is bounded", function()
    local stretches = { { nil, 1, 1 } }
    for i = 2, 5000 do stretches[i] = { i - 1, i, 1 } end
    local entries = of(stretches)
    assert.is_true(#entries <= map.MOST and #entries > map.MOST // 2)
    local rows, last = 0, nil
    for _, entry in ipairs(entries) do
      assert.same(last, entry.first)
      rows, last = rows + entry.rows, entry.last
    end
    assert.same({ 5000, { id = 5000 } }, { rows, last })
  end)
end)
