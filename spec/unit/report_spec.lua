local core = require "dualdb.core"
local dkjson = require "dkjson"
local escape = require "dualdb.report.escape"
local html = require "dualdb.report.html"
local places = require "dualdb.report.places"
local values = require "dualdb.report.values"

-- What the parts of a value say together.
local function read(json)
  local value = dkjson.decode(json, 1, dkjson.null)
  return value
end

describe("report.escape", function()
  local HOSTILE = "</script><!-- \u{2028}\u{2029} ]]> & \" ' \0\27\127 \u{202E}"

  it("keeps text that stands in a script element from ending it, and every character", function()
    local json = escape.text(HOSTILE)
    assert.is_nil(json:find("[<>&%z\1-\31\127]"))
    assert.is_nil(json:find("\u{2028}", 1, true) or json:find("\u{2029}", 1, true))
    assert.equal(HOSTILE, read(json))
  end)

  it("leaves nothing in an element or an attribute that is markup or no character", function()
    assert.equal("&lt;b a=&quot;&#39;&quot;&gt; &amp;amp; \u{FFFD}\u{FFFD} ü\u{FFFD}",
      escape.html("<b a=\"'\"> &amp; \0\27 ü\xFF"))
  end)
end)

describe("report.values", function()
  it("tells NULL, the text NULL and an empty text apart", function()
    assert.equal("null", values.one("t", core.NULL, 100))
    assert.equal('"NULL"', values.one("t", "NULL", 100))
    assert.equal('""', values.one("t", "", 100))
  end)

  it("shows each byte that is no UTF-8 as what it is", function()
    assert.same({ "a", { "ff" }, { "c3" }, "b" }, read(values.one("t", "a\xFF\xC3b", 100)))
    assert.equal("61ff00", read(values.one("x", "a\xFF\0", 100)))
  end)

  it("leaves out the middle of a long value, counted in characters, and cuts none of them",
  function()
    local text = ("äöü"):rep(1000)
    local parts = read(values.one("t", text, 256))
    assert.equal(3, #parts)
    assert.truthy(utf8.len(parts[1]) and utf8.len(parts[3]))
    assert.equal(3000, utf8.len(parts[1]) + parts[2] + utf8.len(parts[3]))
    assert.True(#parts[1] + #parts[3] <= 256)
    assert.equal(text:sub(1, #parts[1]), parts[1])
    assert.equal(text:sub(-#parts[3]), parts[3])
  end)

  it("keeps what has changed in a long value, and the same cuts on both sides", function()
    local before, behind = ("日本"):rep(90000), ("ö"):rep(70000)
    local a, b = values.pair("t", before .. "old" .. behind, before .. "new!" .. behind)
    assert.True(#a < 8000 and #b < 8000)
    a, b = read(a), read(b)
    assert.equal(#a, #b)
    for _, parts in ipairs { a, b } do
      local characters = 0
      for _, part in ipairs(parts) do
        characters = characters + (type(part) == "number" and part or utf8.len(part))
      end
      assert.equal(parts == a and 250003 or 250004, characters)
    end
    assert.equal("old", table.concat(a, "|"):match("本|?(old)|?ö"))
    assert.equal("new!", table.concat(b, "|"):match("本|?(new!)|?ö"))
  end)

  it("never cuts a character of which only some bytes have changed", function()
    -- ö and ü have their first byte in common, ö and ζ (CE B6) their last.
    for _, pair in ipairs { { "aöb", "aüb" }, { "aöb", "aζb" }, { "ö", "öö" }, { "öö", "ö" } } do
      local a, b = values.pair("t", pair[1], pair[2])
      assert.equal(pair[1], table.concat(type(read(a)) == "table" and read(a) or { read(a) }))
      assert.equal(pair[2], table.concat(type(read(b)) == "table" and read(b) or { read(b) }))
    end
  end)
end)

describe("report.html", function()
  it("shares what is shown among all parts, and gives none more than it has", function()
    assert.same({ 3, 0, 1 }, html.shares({ 3, 0, 1 }, 10))
    assert.same({ 5, 1, 4 }, html.shares({ 100000, 1, 7 }, 10))
    local shares, total = html.shares({ 2000, 2000, 2000 }, 1000), 0
    for _, share in ipairs(shares) do total = total + share end
    assert.equal(1000, total)
  end)
end)

describe("report.places", function()
  local function place(kinds, bounds, key)
    local spec = { ordered = true, key_kinds = kinds, key_count = #kinds, key_names = { "a", "b" } }
    local map = {}
    for i, bound in ipairs(bounds) do map[i] = { last = bound } end
    map[#map + 1] = {}
    return places.of(spec, map)(core.pack(kinds, key))
  end

  it("finds the part of a key by its last one, whatever kind orders it", function()
    local bounds = { { a = -5 }, { a = 10 }, { a = 300 } }
    for key, part in pairs { [-6] = 1, [-5] = 1, [-4] = 2, [10] = 2, [11] = 3, [301] = 4 } do
      assert.equal(part, place("i", bounds, { key }))
    end
    bounds = { { a = "-10.5" }, { a = "9" }, { a = "10.25" } }
    for key, part in pairs { ["-11"] = 1, ["-10.5"] = 1, ["-10.25"] = 2, ["9"] = 2, ["9.1"] = 3,
                             ["10.2"] = 3, ["10.25"] = 3, ["10.3"] = 4, ["100"] = 4 } do
      assert.equal(part, place("d", bounds, { key }), key)
    end
    assert.equal(2, place("ix", { { a = 1, b = "m" } }, { 1, "n" }))
    assert.equal(1, place("ix", { { a = 1, b = "m" } }, { 1, "m" }))
  end)

  it("finds it for one key after the other, whichever way they go", function()
    local spec = { ordered = true, key_kinds = "i", key_count = 1, key_names = { "a" } }
    local map = {}
    for i = 1, 9 do map[i] = { last = { a = 3 * i } } end
    map[10] = {}
    local find = places.of(spec, map)
    local function check(key)
      assert.equal(math.min((key + 2) // 3, 10), find(core.pack("i", { key })), key)
    end
    for key = 1, 40 do check(key) end
    for key = 40, 1, -1 do check(key) end
    for key = 1, 40 do check(key * 17 % 41) end
  end)

  it("finds it also where a part that could not be read stands behind all others", function()
    local spec = { ordered = true, key_kinds = "i", key_count = 1, key_names = { "a" } }
    local find = places.of(spec, { { last = { a = 10 } }, {}, { last = { a = 20 } } })
    assert.equal(1, find(core.pack("i", { 10 })))
    assert.equal(3, find(core.pack("i", { 11 })))
    assert.equal(2, find(core.pack("i", { 21 })))
  end)

  it("does not guess where parts are no ranges of the key", function()
    local spec = { ordered = false, key_kinds = "t", key_count = 1, key_names = { "a" } }
    assert.is_nil(places.of(spec, { {}, {} })(core.pack("t", { "x" })))
    spec.ordered = true
    assert.is_nil(places.of(spec, { {}, {} })(core.pack("t", { "x" })))
    assert.is_nil(places.of(spec, {})(core.pack("t", { "x" })))
    assert.equal(1, places.of(spec, { {} })(core.pack("t", { "x" })))
  end)
end)
