local quantity = require "dualdb.cli.quantity"

describe("a quantity on the command line", function()
  it("is bytes, with units of 1024", function()
    local size = quantity.size "--x"
    for word, bytes in pairs {
      ["1"] = 1, ["500k"] = 512000, ["500K"] = 512000, ["10M"] = 10485760, ["1G"] = 1073741824,
      ["1.5m"] = 1572864,
    } do
      assert.equal(bytes, size(word))
      assert.equal("integer", math.type(size(word)))
    end
  end)

  it("is refused with the option's name where it is no number above 0", function()
    for _, case in ipairs {
      { "size", { "", "0", "0.1", "-1", "k", "10 M", "10MB", "1.", ".5", "1e3", "0x10", "inf",
                  ("9"):rep(400) } },
      { "seconds", { "", "0", "0.0", "-1", "1s", "nan", "inf", "1e3", ("9"):rep(400) } },
      { "count", { "", "0", "-1", "1.0", "1e3", "0x1", ("9"):rep(40) } },
    } do
      for _, word in ipairs(case[2]) do
        local number, message = quantity[case[1]]("--x")(word)
        assert.is_nil(number, word)
        assert.truthy(message:find(("option '--x': '%s' is not a"):format(word), 1, true))
      end
    end
  end)
end)
