--- What only test builds know must not be in others: how to break a protocol (core/pair/steps.h).

local child = require "spec.support.child"

describe("a normal build", function()
  local NAMES = { "no_prepare", "early_commit", "no_fence" }

  it("ignores the environment's order to break a protocol", function()
    for _, name in ipairs(NAMES) do
      local text = child.lua(("print(require 'dualdb.core'.broken %q)"):format(name),
        { DUALDB_BREAK = name }):finish()
      assert.equal("false\n", text)
    end
  end)

  it("does not even look for it", function()
    local file <close> = assert(io.open(os.getenv "DUALDB_BIN", "rb"))
    assert.is_nil(file:read("a"):find("DUALDB_BREAK", 1, true))
  end)
end)
