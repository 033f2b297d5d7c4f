-- The engine's comparison and copy: both ways find the same, which is what is so.

local child = require "spec.support.child"
local core = require "dualdb.core"
local servers = require "spec.support.servers"

local failure = servers.failure

local primary, secondary

local function start()
  servers.before_each()
  primary, secondary = servers.open "mysql", servers.open "postgres"
end

--- Compares two queries; returns kind -> sorted texts of keys, the result, and the differences.
local function compare(spec)
  local found, all = { missing = {}, extra = {}, changed = {} }, {}
  local key_kinds = spec.kinds:sub(1, spec.key_columns or 1)
  local call = {
    primary = primary, secondary = secondary, key_columns = 1,
    primary_query = spec.query, secondary_query = spec.query,
    difference = function(kind, key, left, right)
      table.insert(found[kind], table.concat(core.texts(key_kinds, key), "\1"))
      all[#all + 1] = { kind = kind, key = key, primary = left, secondary = right }
    end,
  }
  for name, value in pairs(spec) do call[name] = value end
  call.query = nil
  local result = core.compare(call)
  for _, keys in pairs(found) do table.sort(keys) end
  return found, result, all
end

local function both_ways(spec)
  spec.ordered = true
  local ordered, result, all = compare(spec)
  spec.ordered = false
  local partitioned, other = compare(spec)
  assert.same(ordered, partitioned)
  assert.same({ result.rows_primary, result.rows_secondary, result.differences },
    { other.rows_primary, other.rows_secondary, other.differences })
  return ordered, result, all
end

--- A generator of its own, so that a failure can be repeated on any Lua.
local function random_numbers(seed)
  local state = seed
  return function(low, high)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return low + (state >> 33) % (high - low + 1)
  end
end

-- ---- keys ----

local ALPHABET = { "a", "b", "A", "B", "\u{e9}", "\u{df}", "\u{4e2d}", "\u{1f600}", " ", "'", "_",
  "\\", "%", "\t", "0" }

local function random_text(random)
  local characters = {}
  for i = 1, random(0, 6) do characters[i] = ALPHABET[random(1, #ALPHABET)] end
  return table.concat(characters) .. "x"
end

local KEYS = {
  { "text", "t", { "k varchar(40) collate utf8mb4_bin", "k varchar(40)" }, function(random)
    return { random_text(random) }
  end, { "cast(k as binary)", "convert_to(k, 'UTF8')" } },
  { "integer", "i", { "k bigint", "k bigint" }, function(random)
    return { random(-2000000000, 2000000000) * random(1, 4000000000) }
  end },
  { "unsigned integer beyond 2^63", "i", { "k bigint unsigned", "k numeric(20)" }, function(random)
    return { ("%d%09d%09d"):format(random(0, 17), random(0, 999999999), random(0, 999999999)) }
  end },
  { "decimal", "d", { "k decimal(30,10)", "k numeric(30,10)" }, function(random)
    return { ("%d.%010d"):format(random(-99999, 99999), random(0, 999) * 10 ^ random(0, 7) // 1) }
  end },
  { "date", "D", { "k date", "k date" }, function(random)
    return { ("%04d-%02d-%02d"):format(random(1, 9999), random(1, 12), random(1, 28)) }
  end },
  { "timestamp", "S", { "k datetime(6)", "k timestamp(6)" }, function(random)
    return { ("%04d-%02d-%02d %02d:00:00.%06d"):format(random(1, 9999), random(1, 12),
      random(1, 28), random(0, 23), random(0, 999999)) }
  end },
  { "binary", "x", { "k varbinary(40)", "k bytea" }, function(random)
    local bytes = {}
    for i = 1, random(0, 5) do bytes[i] = string.char(random(0, 255)) end
    return { table.concat(bytes) .. "\0" }
  end },
  { "composite", "iDx", { "k int, l date, m varbinary(10)", "k int, l date, m bytea" },
    function(random)
      return { random(-3, 3), ("2024-01-%02d"):format(random(1, 28)), string.char(random(0, 255)) }
    end },
}

local NAMES = { "k", "l", "m" }

describe("a comparison of two servers", function()
  before_each(start)
  after_each(servers.after_each)

  for number, case in ipairs(KEYS) do
    local what, key_kinds, columns, random_key, order = table.unpack(case)

    it(("with a key of %s finds exactly what differs, merged and partitioned alike"):format(what),
      function()
        local random = random_numbers(20240229 + number)
        local name = servers.scratch_name()
        local keys = table.concat(NAMES, ", ", 1, #key_kinds)
        primary:execute(("create table %s (%s, v varchar(20), primary key (%s))")
          :format(name, columns[1], keys))
        secondary:execute(("create table %s (%s, v varchar(20), primary key (%s))")
          :format(name, columns[2], keys))
        local kinds = key_kinds .. "t"
        local insert = ("insert into %s values (%s)"):format(name, ("?, "):rep(#kinds - 1) .. "?")
        local expected = { missing = {}, extra = {}, changed = {} }
        local seen = {}
        primary:execute "begin"
        secondary:execute "begin"
        for _ = 1, 400 do
          local values = random_key(random)
          local key = core.pack(key_kinds, values)
          if not seen[key] then
            seen[key] = true
            local fate = random(1, 10)
            local text = table.concat(core.texts(key_kinds, key), "\1")
            values[#kinds] = "same"
            local row = core.pack(kinds, values)
            if fate ~= 1 then primary:put(insert, kinds, row) end
            if fate == 3 then
              values[#kinds] = random(0, 1) == 1 and "other" or core.NULL
              row = core.pack(kinds, values)
            end
            if fate ~= 2 then secondary:put(insert, kinds, row) end
            local kind = ({ "extra", "missing", "changed" })[fate]
            if kind then table.insert(expected[kind], text) end
          end
        end
        primary:execute "commit"
        secondary:execute "commit"
        for _, list in pairs(expected) do
          table.sort(list)
          assert.is_true(#list > 10, "the table has differences of every kind")
        end
        local select = ("select %s, v from %s order by %%s"):format(keys, name)
        local found, result = both_ways {
          kinds = kinds, key_columns = #key_kinds,
          primary_query = select:format(order and order[1] or keys),
          secondary_query = select:format(order and order[2] or keys),
        }
        assert.same(expected, found)
        assert.equal(#expected.missing + #expected.extra + #expected.changed, result.differences)
      end)
  end

  it("finds nothing in empty tables, and everything when one of them is", function()
    local none, two = "select 1 as k, 2 as v where 1 = 0",
      "select 1 as k, 2 as v union all select 2, 3 order by k"
    local found, result = both_ways { kinds = "ii", query = none }
    assert.same({ missing = {}, extra = {}, changed = {} }, found)
    assert.same({ 0, 0 }, { result.rows_primary, result.rows_secondary })
    found = both_ways { kinds = "ii", primary_query = two, secondary_query = none }
    assert.same({ missing = { "1", "2" }, extra = {}, changed = {} }, found)
    found = both_ways { kinds = "ii", primary_query = none, secondary_query = two }
    assert.same({ missing = {}, extra = { "1", "2" }, changed = {} }, found)
  end)

  it("finds differences in the first row, in the last and in every row", function()
    local function query(first, last)
      local parts = {}
      for k = first, last do parts[#parts + 1] = ("select %d as k, %%d * %d as v"):format(k, k) end
      return table.concat(parts, " union all ") .. " order by k"
    end
    local function fill(text, factor) return (text:gsub("%%d", tostring(factor))) end
    local found = both_ways { kinds = "ii", primary_query = fill(query(1, 9), 1),
      secondary_query = fill(query(2, 10), 1) }
    assert.same({ missing = { "1" }, extra = { "10" }, changed = {} }, found)
    found = both_ways { kinds = "ii", primary_query = fill(query(1, 9), 1),
      secondary_query = fill(query(1, 9), 2) }
    assert.equal(9, #found.changed)
    found = both_ways { kinds = "ii", primary_query = fill(query(1, 9), 1),
      secondary_query = fill(query(11, 19), 1) }
    assert.same({ 9, 9, 0 }, { #found.missing, #found.extra, #found.changed })
  end)

  it("gives the rows of a difference where it knows them", function()
    local _, _, all = both_ways { kinds = "it", primary_query = "select 1 as k, 'a' as v",
      secondary_query = "select 1 as k, 'b' as v" }
    assert.same({ { kind = "changed", key = core.pack("i", { 1 }),
      primary = core.pack("it", { 1, "a" }), secondary = core.pack("it", { 1, "b" }) } }, all)
  end)

  it("refuses rows that are not in order, and keys that are there twice, on either side", function()
    local good = "select 1 as k union all select 2 order by k"
    for _, bad in ipairs { "select 1 as k union all select 2 order by k desc",
      "select 1 as k union all select 1" } do
      for _, pair in ipairs { { bad, good }, { good, bad } } do
        local err = failure(compare, { kinds = "i", primary_query = pair[1],
          secondary_query = pair[2], ordered = true })
        assert.equal("schema", err.class)
        assert.matches(pair[1] == bad and "primary" or "secondary", err.message, 1, true)
      end
    end
    local twice = "select 1 as k, 2 as v union all select 1, 3"
    local err = failure(compare, { kinds = "ii", query = twice, ordered = false })
    assert.equal("schema", err.class)
    assert.is_true(primary:reusable() and secondary:reusable())
  end)

  it("raises what its callback raises, and both connections are of use afterwards", function()
    local mine = { "mine" }
    for _, ordered in ipairs { true, false } do
      local ok, err = pcall(core.compare, { primary = primary, secondary = secondary, kinds = "i",
        key_columns = 1, primary_query = "select 1 as k", secondary_query = "select 2 as k",
        ordered = ordered, difference = function() error(mine) end })
      assert.is_false(ok)
      assert.equal(mine, err)
      assert.is_true(primary:reusable() and secondary:reusable())
    end
  end)

  it("keeps its connections to itself while it runs", function()
    local tried = 0
    compare { kinds = "i", primary_query = "select 1 as k", secondary_query = "select 2 as k",
      ordered = true, difference = function()
        for _, conn in ipairs { primary, secondary } do
          for _, call in ipairs { { conn.query, "select 1 as one" }, { conn.execute, "select 1" },
            { conn.close } } do
            assert.equal("usage", failure(call[1], conn, call[2]).class)
            tried = tried + 1
          end
        end
      end }
    assert.equal(12, tried)
  end)

  it("applies a transform to the primary's rows, which may leave rows out", function()
    local found = both_ways { kinds = "ii",
      primary_query = "select 1 as k, 5 as v union all select 2, 6 union all select 3, 7 "
        .. "order by k",
      secondary_query = "select 1 as k, 50 as v union all select 3, 7 order by k",
      transform = function(row)
        local values = core.unpack("ii", row)
        if values[1] == 2 then return nil end
        return core.pack("ii", { values[1], values[2] * 10 })
      end }
    assert.same({ missing = {}, extra = {}, changed = { "3" } }, found)
  end)

  it("refuses a transform's result that is no row of the columns, as a usage error", function()
    for _, junk in ipairs { "", "x", "\255\255\0\0", core.pack("i", { 1 }), core.pack("iii",
      { 1, 2, 3 }), core.pack("tt", { "a", "b" }) } do
      for _, ordered in ipairs { true, false } do
        local err = failure(compare, { kinds = "ii", query = "select 1 as k, 5 as v",
          ordered = ordered, transform = function() return junk end })
        assert.equal("usage", err.class)
      end
      local name = servers.table(secondary, "k int, v int")
      local err = failure(core.copy, { source = primary, target = secondary, kinds = "ii",
        query = "select 1 as k, 5 as v", table = name, columns = "k, v",
        transform = function() return junk end })
      assert.equal("usage", err.class)
      assert.is_true(secondary:reusable())
    end
  end)

  it("stops at an interrupt, class canceled, and both connections are of use afterwards", function()
    for _, ordered in ipairs { true, false } do
      core.interrupt()
      local err = failure(compare, { kinds = "i", query = "select 1 as k", ordered = ordered })
      assert.equal("canceled", err.class)
      core.interrupt_clear()
      assert.equal(1, primary:query("select 1 as one")[1].one)
      assert.equal(1, secondary:query("select 1 as one")[1].one)
    end
  end)

  it("refuses arguments that make no sense, as usage errors", function()
    for _, wrong in ipairs { { key_columns = 0 }, { key_columns = 3 }, { difference = 7 },
      { primary_query = false }, { transform = "x" } } do
      wrong.kinds, wrong.query = wrong.kinds or "ii", "select 1 as k, 2 as v"
      assert.equal("usage", failure(compare, wrong).class)
    end
    local err = failure(compare, { kinds = "i", query = "select 1 as k", ordered = false,
      spill_directory = "/nonexistent" })
    assert.equal("config", err.class)
    assert.is_true(primary:reusable() and secondary:reusable())
  end)
end)

describe("a copy between two servers", function()
  before_each(start)
  after_each(servers.after_each)

  local NUMBERS = "select t1.d + 10 * t2.d + 100 * t3.d + 1000 * t4.d as n, "
    .. "concat('row ', t1.d) as v from %s t1 cross join %s t2 cross join %s t3 cross join %s t4"

  it("goes both ways, in as many rows as there are", function()
    local name = servers.table(primary, "n int primary key, v varchar(20)")
    secondary:execute(("create table %s (n int primary key, v varchar(20))"):format(name))
    local digits = servers.table(primary, "d int")
    for d = 0, 9 do primary:execute(("insert into %s values (?)"):format(digits), d) end
    local copied = core.copy { source = primary, target = secondary, kinds = "it",
      query = NUMBERS:gsub("%%s", digits), table = name, columns = "n, v" }
    assert.same({ 10000, 10000 }, { copied.rows_read, copied.rows_written })
    copied = core.copy { source = secondary, target = primary, kinds = "it",
      query = "select n, v from " .. name, table = name, columns = "n, v" }
    assert.same({ 10000, 10000 }, { copied.rows_read, copied.rows_written })
    local _, result = both_ways { kinds = "it",
      query = ("select n, v from %s order by n"):format(name) }
    assert.same({ 10000, 10000, 0 }, { result.rows_primary, result.rows_secondary,
      result.differences })
  end)

  it("that fails leaves nothing in the target, and both connections are of use", function()
    for _, pair in ipairs { { primary, secondary }, { secondary, primary } } do
      local source, target = table.unpack(pair)
      local name = servers.table(target, "n int primary key")
      local twice = "select 1 as n union all select 2 union all select 2"
      local err = failure(core.copy, { source = source, target = target, kinds = "i",
        query = twice, table = name, columns = "n" })
      assert.equal("integrity", err.class)
      assert.equal(target:info().label, err.side)
      assert.is_true(primary:reusable() and secondary:reusable())
      assert.equal(0, target:query("select count(*) as c from " .. name)[1].c)
    end
  end)

  it("refuses a value that the target cannot hold, naming the column, and keeps nothing", function()
    local name = servers.table(secondary, "id int, odd text")
    local err = failure(core.copy, { source = primary, target = secondary, kinds = "it",
      query = "select 1 as id, 'fine' as odd union all "
        .. "select 2, concat('a', char(0 using utf8mb4), 'b')",
      table = name, columns = "id, odd" })
    assert.equal("data", err.class)
    assert.matches("odd", err.message, 1, true)
    assert.equal(0, secondary:query("select count(*) as c from " .. name)[1].c)
  end)

  it("runs in the target's transaction, which can still be rolled back", function()
    for _, pair in ipairs { { primary, secondary }, { secondary, primary } } do
      local source, target = table.unpack(pair)
      local name = servers.table(target, "n int primary key")
      target:execute "begin"
      target:execute(("insert into %s values (7)"):format(name))
      core.copy { source = source, target = target, kinds = "i", query = "select 1 as n",
        table = name, columns = "n" }
      assert.equal(2, target:query("select count(*) as c from " .. name)[1].c)
      target:execute "rollback"
      assert.equal(0, target:query("select count(*) as c from " .. name)[1].c)
    end
  end)

  it("refuses one connection as both ends, and tables that are not there", function()
    local err = failure(core.copy, { source = primary, target = primary, kinds = "i",
      query = "select 1 as n", table = "t", columns = "n" })
    assert.equal("usage", err.class)
    for _, pair in ipairs { { primary, secondary }, { secondary, primary } } do
      err = failure(core.copy, { source = pair[1], target = pair[2], kinds = "i",
        query = "select 1 as n", table = "spec_nowhere", columns = "n" })
      assert.equal("schema", err.class)
      assert.is_true(primary:reusable() and secondary:reusable())
    end
  end)

  it("whose source or target is killed in the middle raises, naming the side, and keeps nothing",
    function()
      for _, case in ipairs { { 1, 1 }, { 1, 2 }, { 2, 1 }, { 2, 2 } } do
        local ends = { servers.open(servers.SIDES[case[1]].driver),
          servers.open(servers.SIDES[3 - case[1]].driver) }
        local victim = ends[case[2]]:info()
        local name = servers.table(ends[2], "n int, filler varchar(500)")
        local rows = 0
        local err = failure(core.copy, { source = ends[1], target = ends[2], kinds = "it",
          query = servers.million(ends[1]:info().driver, 500), table = name,
          columns = "n, filler", transform = function(row)
            rows = rows + 1
            if rows == 5000 then servers.kill(victim.driver, victim.session) end
            return row
          end })
        assert.equal("unavailable", err.class, tostring(err))
        assert.equal(victim.label, err.side)
        assert.is_true(rows < 1000000)
        assert.equal("broken", ends[case[2]]:info().state)
        local other = ends[3 - case[2]]
        assert.equal(1, other:query("select 1 as one")[1].one)
        local look = servers.look(ends[2]:info().driver, "select count(*) as c from " .. name)
        assert.equal(0, look[1].c)
      end
    end)
end)

describe("a long comparison", function()
  before_each(start)
  after_each(servers.after_each)

  local function of_millions(more)
    local spec = { kinds = "it", ordered = false, primary_query = servers.million("mysql", 300),
      secondary_query = servers.million("postgres", 300), expected_rows = 1000000 }
    for name, value in pairs(more) do spec[name] = value end
    return compare(spec)
  end

  it("raises when either session is killed in the middle, naming its side", function()
    for _, label in ipairs { "primary", "secondary" } do
      primary, secondary = servers.open "mysql", servers.open "postgres"
      local victim = (label == "primary" and primary or secondary):info()
      local rows = 0
      local err = failure(of_millions, { transform = function(row)
        rows = rows + 1
        if rows == 5000 then servers.kill(victim.driver, victim.session) end
        return row
      end })
      assert.equal("unavailable", err.class, tostring(err))
      assert.equal(label, err.side)
    end
  end)

  it("is stopped by an interrupt in the middle, and leaves no query on either server", function()
    local rows = 0
    local err = failure(of_millions, { transform = function(row)
      rows = rows + 1
      if rows == 5000 then core.interrupt() end
      return row
    end })
    assert.equal("canceled", err.class)
    core.interrupt_clear()
    servers.wait_until_gone("mysql", "repeat('x', 300)")
    servers.wait_until_gone("postgres", "repeat('x', 300)")
    assert.equal(1, primary:query("select 1 as one")[1].one)
    assert.equal(1, secondary:query("select 1 as one")[1].one)
  end)

  it("of a million rows needs less than 64 MiB, however many differ", function()
    local process = child.lua [[
      local core = require "dualdb.core"
      local servers = require "spec.support.servers"
      local primary <close> = servers.connect "mysql"
      local secondary <close> = servers.connect "postgres"
      local seen = 0
      local result = core.compare { primary = primary, secondary = secondary, kinds = "it",
        key_columns = 1, ordered = false, expected_rows = 1000000,
        primary_query = servers.million("mysql", 300),
        secondary_query = servers.million("postgres", 301),
        difference = function() seen = seen + 1 end }
      for line in io.lines "/proc/self/status" do
        local peak = line:match "^VmHWM:%s*(%d+) kB"
        if peak then print(result.rows_primary, result.differences, seen, peak) end
      end
    ]]
    local text, status = process:finish()
    assert.equal(0, status, text)
    local rows, differences, seen, peak = text:match "^(%d+)%s+(%d+)%s+(%d+)%s+(%d+)\n$"
    assert.same({ "1000000", "1000000", "1000000" }, { rows, differences, seen }, text)
    local limit = child.sanitized() and 640 or 64
    assert(tonumber(peak) < limit * 1024, ("the peak was %s kB"):format(peak))
  end)
end)
