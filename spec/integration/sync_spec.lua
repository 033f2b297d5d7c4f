-- A full sync goes through a table in chunks of its key's order, whatever the key is: no row is
-- left out or taken twice where one chunk ends and the next begins. The servers' own clients judge.

local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local sync = require "dualdb.sync"

--- The number of rows of each chunk: few, so that every table here has many ends of chunks.
local FEW = 2

--- A load in chunks, then differences of each kind on both sides of many ends of chunks, then a
--- refresh in chunks.
---@param case spec.Edge   with rows whose v is their number
---@param shown table[]
local function load_and_refresh(case, shown)
  local _, db = edge.open(case)
  local count = #case.rows
  local result = sync.run(db, "T", { chunk_rows = FEW, jobs = 2 })
  assert.same({ "load", count, count, 0 },
    { result.action, result.rows_read, result.rows_written, result.quarantined })
  if not case.one_chunk then assert.is_true(result.chunks > count // (2 * FEW), result.chunks) end
  edge.agree(shown)
  -- The first row, every third after it and the last are wrong, each in its own way.
  clients.run("postgres", "delete from spec_edge where v % 3 = 1; "
    .. "update spec_edge set v = v + 10000 where v % 3 = 2")
  clients.run("mysql", "delete from spec_edge where v % 3 = 0")
  result = sync.run(db, "T", { chunk_rows = FEW, jobs = 2 })
  assert.same({ "refresh", count - count // 3, count // 3 },
    { result.action, result.rows_written, result.rows_deleted })
  assert.equal(count - count // 3, result.rows_read)
  edge.agree(shown)
  assert.equal(0, sync.run(db, "T", { chunk_rows = FEW }).rows_written)
end

local function quoted(texts)
  local list = {}
  for i, text in ipairs(texts) do list[i] = ("'%s'"):format(text) end
  return list
end

describe("a sync in chunks", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  -- ---- texts ----

  local WORDS = { "", "a", "A b", "ab", "Äpfel", "apfel2", "Zoë", "zoo", "ß", "sst", "été",
    "ete2", "😀", "😀😀", "日本", "~", " x", "z\t", "Œuf", "oeuf2", "-", "100", "99" }

  for _, collation in ipairs { "utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_german2_ci",
                               "utf8mb4_bin" } do
    it(("goes through texts in the order of %s"):format(collation), function()
      load_and_refresh({
        mysql = ("k varchar(20) character set utf8mb4 collate %s primary key"):format(collation),
        rows = quoted(WORDS),
      }, { edge.text "k" })
    end)
  end

  it("goes through texts of a column in latin1", function()
    load_and_refresh({
      mysql = "k varchar(20) character set latin1 primary key",
      rows = quoted { "a", "B", "é", "f", "E2", "ü", "Ü2", "zz", "ÿ", "¿" },
    }, { edge.text "k" })
  end)

  it("tells keys apart that differ in case and blanks, where the primary does", function()
    local _, db = edge.open {
      mysql = "k varbinary(20) primary key", postgres = "k bytea primary key",
      rows = quoted { "a", "A", "a ", "a  ", "A ", "", " ", "a\\0", "a\\0b", "ä", "Ä" },
    }
    assert.equal(11, sync.run(db, "T", { chunk_rows = 1 }).rows_written)
    edge.agree { edge.bytes "k" }
  end)

  it("goes through keys that the secondary folds", function()
    clients.run("postgres", "create extension if not exists citext")
    load_and_refresh({
      mysql = "k varchar(20) collate utf8mb4_general_ci primary key",
      postgres = "k citext primary key",
      rows = quoted { "a", "B", "c", "D", "eE", "ff", "G", "h" },
    }, { edge.text "k" })
  end)

  it("goes through enums and sets, whose order is that of their definition", function()
    for _, type_name in ipairs { "enum", "set" } do
      load_and_refresh({
        mysql = ("k %s('z', 'y', 'm', 'b', 'a', 'x')"):format(type_name) .. ", n int, "
          .. "primary key (k, n)",
        postgres = "k text, n int, primary key (k, n)", one_chunk = true,
        rows = { "'z', 1", "'y', 1", "'y', 2", "'m', 3", "'b', 1", "'b', 9", "'a', 0", "'x', 5" },
      }, { edge.text "k", edge.plain "n" })
    end
  end)

  -- ---- numbers and moments ----

  local NUMBERS = {
    { "bigint", "bigint", { "-9223372036854775808", "-9223372036854775807", "-1", "0", "1", "2",
      "9223372036854775806", "9223372036854775807" } },
    { "bigint unsigned", "numeric(20)", { "0", "1", "9223372036854775807", "9223372036854775808",
      "9223372036854775809", "18446744073709551614", "18446744073709551615" } },
    { "smallint", "smallint", { "-32768", "-2", "-1", "0", "7", "32767" } },
    { "decimal(30,10)", "numeric(30,10)", { "-12345678901234567890.0000000001", "-1", "-0.5", "0",
      "0.0000000001", "0.5", "10", "9", "100", "12345678901234567890.0000000001" } },
    { "bigint", "bigint", { "1", "1000000000000000", "2000000000000000", "2000000000000001",
      "9000000000000000", "9000000000000001" } },
  }

  for i, case in ipairs(NUMBERS) do
    it(("goes through keys of %s (%d)"):format(case[1], i), function()
      load_and_refresh({
        mysql = ("k %s primary key"):format(case[1]),
        postgres = ("k %s primary key"):format(case[2]), rows = case[3],
      }, { edge.plain "k" })
    end)
  end

  it("goes through times, years and floats", function()
    for _, case in ipairs {
      { "time(3)", "interval", { "'-838:59:59'", "'-00:00:00.001'", "'00:00:00'", "'23:59:59.999'",
        "'24:00:00'", "'838:59:59'" } },
      { "year", "smallint", { "1901", "1970", "2024", "2155", "0" } },
      { "double", "double precision", { "-1e308", "-0.1", "0", "1e-300", "0.1", "1e16", "1e308" } },
    } do
      load_and_refresh({
        mysql = ("k %s primary key"):format(case[1]),
        postgres = ("k %s primary key"):format(case[2]), rows = case[3],
      }, { edge.plain "1" })
    end
  end)

  it("goes through keys of bits", function()
    load_and_refresh({
      mysql = "k bit(12) primary key",
      rows = { "b'0'", "b'1'", "b'10'", "b'111'", "b'100000000000'", "b'111111111111'" },
    }, { { "lpad(bin(k), 12, '0')", "k" } })
  end)

  it("goes through dates and moments to the microsecond", function()
    load_and_refresh({
      mysql = "k date primary key", postgres = "k date primary key",
      rows = quoted { "1000-01-01", "1969-12-31", "1970-01-01", "2024-02-29", "2024-03-01",
                      "9999-12-31" },
    }, { edge.plain "k" })
    for _, types in ipairs {
      { "datetime(6)", "timestamp(6)" }, { "timestamp(6)", "timestamptz(6)" },
    } do
      load_and_refresh({
        mysql = ("k %s primary key"):format(types[1]),
        postgres = ("k %s primary key"):format(types[2]),
        rows = quoted { "1970-01-02 00:00:00.000001", "1970-01-02 00:00:00.000002",
          "1999-12-31 23:59:59.999999", "2000-01-01 00:00:00", "2024-03-31 01:30:00",
          "2024-03-31 03:30:00.5", "2037-12-31 23:59:59" },
      }, { edge.moment "k" })
    end
  end)

  it("goes through binary keys", function()
    load_and_refresh({
      mysql = "k binary(16) primary key", postgres = "k bytea primary key",
      rows = { "repeat(x'00', 16)", "repeat(x'ff', 16)", "concat(x'5c', repeat(x'00', 15))",
        "concat(x'27', repeat(x'5c', 15))", "concat(x'7f', repeat(x'ff', 15))",
        "concat(x'80', repeat(x'00', 15))", "concat(x'80', repeat(x'00', 14), x'01')" },
    }, { edge.bytes "k" })
  end)

  it("refuses keys that the secondary cannot hold, and goes on behind them", function()
    local _, db = edge.open {
      mysql = "k date primary key", postgres = "k date primary key", mode = "ALLOW_INVALID_DATES",
      rows = quoted { "0000-00-00", "1970-01-01", "2023-02-31", "2023-03-01", "2024-00-00",
                      "2024-01-01" },
    }
    for _ = 1, 2 do
      local result = sync.run(db, "T", { chunk_rows = 1 })
      assert.same({ 6, 3 }, { result.rows_read, result.quarantined })
      assert.same({ { "1970-01-01" }, { "2023-03-01" }, { "2024-01-01" } },
        clients.rows("postgres", "select k from spec_edge order by k"))
    end
  end)

  -- ---- keys of more than one column ----

  it("goes through a key whose columns stand in another order in the table", function()
    local rows = {}
    for a = 1, 3 do
      for b = 1, 5 do rows[#rows + 1] = ("'t%d', %d, %d"):format(b, 10 * b, a) end
    end
    load_and_refresh({
      mysql = "t varchar(9), b int, a int, primary key (a, b)",
      postgres = "t varchar(9), b int, a int, primary key (a, b)", rows = rows,
    }, { edge.text "t", edge.plain "a", edge.plain "b" })
  end)

  it("goes through a key of three columns, one of them a text", function()
    local rows = {}
    for _, word in ipairs { "a", "B", "é" } do
      for n = -1, 1 do
        for day = 1, 3 do rows[#rows + 1] = ("%d, '%s', '2024-01-0%d'"):format(n, word, day) end
      end
    end
    load_and_refresh({
      mysql = "n int, w varchar(9) collate utf8mb4_general_ci, d date, primary key (n, w, d)",
      postgres = "n int, w varchar(9), d date, primary key (n, w, d)", rows = rows,
    }, { edge.plain "n", edge.text "w", edge.plain "d" })
  end)

  -- ---- how many rows ----

  it("of no rows, of one, and of just as many as a chunk has", function()
    for _, count in ipairs { 0, 1, 3, 4, 6 } do
      local rows = {}
      for i = 1, count do rows[i] = tostring(i) end
      local _, db = edge.open { mysql = "id int primary key", rows = rows }
      assert.equal(count, sync.run(db, "T", { chunk_rows = 3 }).rows_written)
      assert.equal(count, #edge.agree { edge.plain "id" })
      local again = sync.run(db, "T", { chunk_rows = 3 })
      assert.same({ count, 0, 0 }, { again.rows_read, again.rows_written, again.rows_deleted })
      clients.run("mysql", "delete from spec_edge")
      assert.equal(count, sync.run(db, "T", { chunk_rows = 3 }).rows_deleted)
      edge.agree { edge.plain "id" }
    end
  end)
end)
