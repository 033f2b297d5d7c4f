-- The list of edge cases has 25 numbers, and each is the name of a spec that proves it.

local COUNT = 25

--- Every number n for which a spec is named "edge case n: ...", and the files that have it.
local function numbers()
  local found = {}
  local pipe <close> = assert(io.popen "ls spec/integration/*_spec.lua spec/cli/*_spec.lua")
  for path in pipe:lines() do
    for line in io.lines(path) do
      local number = line:match '^%s*describe%("edge case (%d+): %S'
      if number then
        number = math.tointeger(number)
        found[number] = found[number] or {}
        table.insert(found[number], path)
      end
    end
  end
  return found
end

describe("the edge cases", function()
  it("all have a spec of their number, and none has two", function()
    local found = numbers()
    for number = 1, COUNT do
      assert(found[number], ("no spec is named edge case %d"):format(number))
      assert(#found[number] == 1, ("edge case %d is in %s"):format(number,
        table.concat(found[number], " and ")))
    end
  end)

  it("have no other numbers", function()
    for number in pairs(numbers()) do
      assert(number >= 1 and number <= COUNT, ("there is no edge case %d"):format(number))
    end
  end)
end)
