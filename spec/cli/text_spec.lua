local dualdb = require "dualdb"
local json = require "dualdb.json"
local progress = require "dualdb.progress"
local show = require "dualdb.repl.show"
local text = require "dualdb.cli.text"

describe("a JSON document", function()
  it("is the same text for the same table, with its first and last keys in place", function()
    assert.equal('{"command":"c","ok":true,"a":1,"b":2,"models":[],"seconds":0.123456,"error":{}}',
      json.encode { b = 2, error = {}, a = 1, seconds = 0.1234567, ok = true, command = "c",
                    models = json.array() })
  end)

  it("loses no digits: integers beyond 2^53 are strings", function()
    assert.equal('[9007199254740992,"9007199254740993","-9007199254740993",0.1,1,null]',
      json.encode { 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, 0.1, 1.0, 0 / 0 })
  end)

  it("has null for NULL, keeps lists lists, and survives what is no UTF-8", function()
    assert.equal('{"key":null,"a":[],"b":{},"c":["\239\191\189\\n\\u0001\\""]}',
      json.encode { key = dualdb.NULL, a = json.array(), b = {}, c = { "\255\n\1\"" } })
  end)

  it("ends where a table contains itself", function()
    local value = {}
    value.a = value
    assert.equal('{"a":null}', json.encode(value))
  end)
end)

describe("text for a terminal", function()
  it("makes control characters and broken UTF-8 visible", function()
    assert.equal("a\\nb\\x1b[31m\\xff é\\u0085", text.visible "a\nb\27[31m\255 é\u{85}")
  end)

  it("lines up characters of every width", function()
    assert.equal(4, text.width "日本")
    assert.equal(1, text.width "e\u{301}")
    assert.equal("k    v\n日   1\nab  22\n",
      text.table({ "k", "v" }, { { "日", 1 }, { "ab", 22 } }, { right = { [2] = true } }))
  end)

  it("has commas in numbers and colons in durations", function()
    assert.equal("1,234,567", progress.count(1234567))
    assert.equal("123", progress.count(123))
    assert.equal("0:07", progress.duration(6.2))
    assert.equal("1:02:03", progress.duration(3723))
    assert.same({ "0 B", "1023 B", "1.0 KiB", "12 MiB", "5000 TiB" }, {
      progress.size(0), progress.size(1023), progress.size(1024), progress.size(12.4 * 2 ^ 20),
      progress.size(5000 * 2 ^ 40),
    })
  end)
end)

describe("a result at the prompt", function()
  local function results(...) return show.results(table.pack(...), 80) end

  it("is a table for rows, in the order of the columns, with NULL", function()
    assert.equal("b     a\n1  NULL\n(1 row)\n",
      results({ { a = dualdb.NULL, b = 1 } }, { "b", "a" }))
    assert.equal("a\n(0 rows)\n", results({}, { "a" }))
  end)

  it("is readable for everything else", function()
    assert.equal("", results())
    assert.equal("nil\nx\n{ 1, { a = \"y\" }, f = NULL }\n{}\n",
      results(nil, "x", { 1, { a = "y" }, f = dualdb.NULL }, {}))
  end)
end)
