-- Edge cases of keys, each by its number in the project's list of 25. The servers' own clients make
-- the rows and judge them.
--
-- 1 to 5, 19 and 20 are here; the order of every kind of key is in key_order_spec.

local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"

local function is_mariadb(db) return db.primary:info().product == "mariadb" end

--- What the server calls its newest collations.
local function named(mariadb, mysql)
  local db <close> = pair.open {}
  return is_mariadb(db) and mariadb or mysql
end

describe("edge case 1: the order of text keys", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local WORDS = { "'Straße'", "'strand'", "'STRASSD'", "'Zoë'", "'zoo'", "'İstanbul'",
    "'istiridye'", "'éclair'", "'eclat'", "'日本'", "'😀'", "'🎈a'", "'Ω'", "'ж'", "''", "'h'",
    "'Öl'", "'ol2'", "'a-b'", "'ab'", "'ｚ'" }
  local TURKISH = { "'ısı'", "'İzmir'", "'izmit'", "'I'", "'i'", "'j'", "'h'" }

  for _, case in ipairs {
    { "utf8mb4_general_ci", "C", WORDS }, { "utf8mb4_unicode_ci", "und-x-icu", WORDS },
    { "utf8mb4_bin", "C.utf8", WORDS }, { "utf8mb4_turkish_ci", "C.utf8", TURKISH },
    { "the server's newest ai_ci", "C.utf8", WORDS },
  } do
    it(("by %s and by %s hides nothing"):format(case[1], case[2]), function()
      local collation = case[1]:find " " and named("uca1400_ai_ci", "utf8mb4_0900_ai_ci")
        or case[1]
      local before = edge.there_and_back {
        mysql = ("k varchar(30) character set utf8mb4 collate %s primary key"):format(collation),
        postgres = ('k varchar(30) collate "%s" primary key'):format(case[2]),
        rows = case[3], shown = edge.all(edge.text, "k"),
      }
      assert.equal(#case[3], #before)
    end)
  end
end)

describe("edge case 2: punctuation in keys, at the borders of batches and in parameters", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local MARKS = { "-", " ", "_", "\\\\", "%", "''", "\\\"", "`", "?", ";", "$1", ":v" }

  local function keys()
    local list = {}
    for n = 1, 100 do
      for _, mark in ipairs(MARKS) do list[#list + 1] = ("'a%s%d'"):format(mark, n) end
    end
    return list
  end

  it("takes 1,200 of them there and back", function()
    edge.there_and_back {
      mysql = "k varchar(30) collate utf8mb4_unicode_ci primary key", rows = keys(),
      shown = edge.all(edge.text, "k"),
    }
  end)

  it("mends every row, whichever row is the last of a batch", function()
    local model = edge.open {
      mysql = "k varchar(30) collate utf8mb4_bin primary key", rows = keys(),
    }
    model:sync()
    clients.run("postgres", "update spec_edge set v = -v")
    assert.equal(1200, edge.verify(model, "different").changed)
    assert.equal(1200, model:sync().rows_written)
    edge.agree(edge.all(edge.text, "k"))
    clients.run("postgres", "update spec_edge set v = -v")
    assert.equal(1200, model:repair().applied)
    edge.agree(edge.all(edge.text, "k"))
  end)

  it("finds, changes and deletes the one row, not those that a pattern would match", function()
    local model, db = edge.open {
      mysql = "k varchar(30) collate utf8mb4_bin primary key", rows = keys(),
    }
    model:sync()
    for _, mark in ipairs { "%", "_", "\\", "?", "'", '"', "$1" } do
      local key = ("a%s7"):format(mark)
      assert.equal(key, model:get(key).k)
      assert.equal(key, model:get_from(db.secondary, key).k)
      assert.equal(1, #model:find { k = key })
      assert.equal(-7, model:update(key, { v = -7 }).v)
      assert.equal(-7, model:get_from(db.secondary, key).v)
      assert.is_true(model:delete(key))
    end
    local count = { { tostring(1200 - 7) } }
    assert.same(count, clients.rows("mysql", "select count(*) from spec_edge"))
    assert.same(count, clients.rows("postgres", "select count(*) from spec_edge where v > 0"))
    edge.verify(model, "equal")
  end)
end)

describe("edge case 3: keys that differ only in case or accent", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local SHOWN = edge.all(edge.text, "k")

  it("that are two rows on both sides stay two", function()
    edge.there_and_back {
      mysql = "k varchar(20) character set utf8mb4 collate utf8mb4_bin primary key",
      rows = { "'Google'", "'google'", "'GOOGLE'", "'resume'", "'résumé'" }, shown = SHOWN,
    }
  end)

  it("that only the secondary can tell apart are named, and none of them is overwritten", function()
    local model = edge.open {
      mysql = "k varchar(20) collate utf8mb4_general_ci primary key",
      rows = { "'Google'", "'résumé'" },
    }
    model:sync()
    clients.run("postgres", "insert into spec_edge values ('google', 7), ('resume', 8)")
    local report = edge.verify(model, "different")
    assert.same({ 0, 2, 0 }, { report.missing, report.extra, report.changed })
    local result = model:repair { strategy = "secondary_wins" }
    assert.same({ 0, 2 }, { result.applied, result.failed })
    assert.equal("integrity", result.failures[1].error.class)
    assert.same({ { "1", "Google" }, { "2", "résumé" } },
      clients.rows("mysql", "select v, k from spec_edge order by v"))
    assert.equal(2, model:repair { allow_delete = true }.applied)
    assert.equal(2, #edge.agree(SHOWN))
  end)

  --- Each way in which the secondary can take for one what is two on the primary.
  local FOLDING = {
    { "citext", "k citext primary key", "k varchar(20) %s primary key" },
    { "a nondeterministic collation", "k varchar(20) collate spec_folded primary key",
      "k varchar(20) %s primary key" },
    { "a key of two columns", "n int, k citext, primary key (n, k)",
      "n int not null default 1, k varchar(20) %s, primary key (n, k)" },
    { "a unique key besides", "k citext unique, id int primary key",
      "k varchar(20) %s unique, id int auto_increment primary key" },
  }

  --- A table in which the primary alone can tell Google from google.
  local function open_folding(case)
    clients.run("postgres", "create extension if not exists citext; create collation if not exists "
      .. "spec_folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    servers.finally(function()
      clients.run("postgres", "drop collation if exists spec_folded cascade")
    end)
    local model, db = edge.open {
      mysql = case[3]:format("character set utf8mb4 collate utf8mb4_bin"), postgres = case[2],
      rows = {},
    }
    return model, db
  end

  local function insert(driver, values)
    clients.run(driver, "insert into spec_edge (k, v) values " .. values)
  end

  local function content(driver)
    return clients.rows(driver, "select k, v from spec_edge order by v")
  end

  for _, case in ipairs(FOLDING) do
    it(("that only the primary can tell apart, for %s, never overwrite each other"):format(case[1]),
      function()
        local model, db = open_folding(case)
        insert("mysql", "('Google', 1), ('google', 2), ('other', 3)")
        local first  -- which of the two it is, nobody promises
        for _ = 1, 2 do  -- into an empty table, and beside the row that is there
          assert.equal(1, model:sync().quarantined)
          first = first or content "postgres"
          assert.same(first, content "postgres")
        end
        local there = first[1][2]
        assert.same({ { there == "1" and "Google" or "google", there }, { "other", "3" } }, first)
        assert.matches(case[2]:find "unique" and "duplicate key value" or "takes for the same",
          db:quarantine():list()[1].reason, 1, true)
        assert.equal(1, db:quarantine():retry()[1].left)
        assert.equal(1, model:repair().failed)
        assert.same(first, content "postgres")

        clients.run("mysql", "delete from spec_edge where v = " .. there)
        assert.equal(0, model:sync().quarantined)
        assert.same(content "mysql", content "postgres")
        edge.verify(model, "equal")
        assert.same({}, db:quarantine():list())
      end)
  end

  it("that only the primary can tell apart stay apart in dual writes", function()
    local model = open_folding(FOLDING[1])
    insert("mysql", "('Google', 1)")
    model:sync()
    insert("mysql", "('google', 2)")
    for _, attempt in ipairs {
      function() return model:upsert { k = "google", v = 9 } end,
      function() return model:upsert { k = "GOOGLE", v = 9 } end,
      function() return model:insert { k = "GOOGLE", v = 9 } end,
      function() return model:update("google", { v = 9 }) end,
      function() return model:delete "google" end,
    } do
      local err = pair.failure(attempt)
      assert.is_true(err.class == "conflict" or err.class == "integrity", err.class)
      assert.same({ { "Google", "1" }, { "google", "2" } }, content "mysql")
      assert.same({ { "Google", "1" } }, content "postgres")
    end
    assert.equal(5, model:upsert({ k = "Google", v = 5 }).v)
    assert.equal(6, model:update("Google", { v = 6 }).v)
    assert.same({ { "Google", "6" } }, content "postgres")
    assert.is_true(model:delete "Google")
    assert.same({}, content "postgres")
  end)

  it("take the row's new spelling along", function()
    local model = open_folding(FOLDING[1])
    insert("mysql", "('Google', 1)")
    model:sync()
    clients.run("mysql", "update spec_edge set k = 'GOOGLE'")
    assert.equal(0, model:sync().quarantined)
    assert.same({ { "GOOGLE", "1" } }, content "postgres")
  end)

  it("that only the secondary can tell apart stay apart in upserts", function()
    local model = edge.open {
      mysql = "k varchar(20) collate utf8mb4_general_ci primary key, u int unique",
      rows = { "'Google', 10" },
    }
    model:sync()
    assert.equal("integrity", pair.failure(model.upsert, model, { k = "google", v = 9 }).class)
    -- Nor one with another key, but with the same value of a unique one.
    assert.equal("integrity",
      pair.failure(model.upsert, model, { k = "new", u = 10, v = 9 }).class)
    for _, driver in ipairs { "mysql", "postgres" } do
      assert.same({ { "Google", "1" } }, content(driver))
    end
  end)
end)

describe("edge case 4: blanks at the end", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  it("of values count, but in char, which has none", function()
    local before = edge.there_and_back {
      mysql = "id int primary key, a varchar(9), b varchar(9) collate utf8mb4_bin, c char(9)",
      postgres = "id int primary key, a varchar(9), b text, c char(9)",
      rows = { "1, 'x', 'x', 'x'", "2, 'x ', 'x ', 'x '", "3, ' ', '  ', ' '", "4, '', '', ''",
        "5, 'x\\t', ' x', ' x'" },
      shown = { edge.text "a", edge.text "b", edge.text "rtrim(c)" },
    }
    assert.same({ "2", "7820", "7820", "78" }, before[2])
  end)

  it("of keys count where the collation does not pad", function()
    edge.there_and_back {
      mysql = ("k varchar(9) character set utf8mb4 collate %s primary key"):format(
        named("utf8mb4_nopad_bin", "utf8mb4_0900_bin")),
      rows = { "'a'", "'a '", "'a  '", "'a\\t'", "' a'", "' '", "''" },
      shown = edge.all(edge.text, "k"),
    }
  end)

  it("of keys that pad, and of char keys, find their rows", function()
    for _, column in ipairs { "varchar(9) collate utf8mb4_general_ci", "char(9)" } do
      edge.there_and_back {
        mysql = ("k %s primary key"):format(column),
        rows = { "'a '", "'b'", "' c'", "'d\\t'", "'e f '" }, shown = edge.all(edge.text, "k"),
      }
    end
  end)

  it("that one side has and the other has not make two keys, of which none is lost", function()
    local model = edge.open {
      mysql = "k varchar(9) collate utf8mb4_general_ci primary key", rows = { "'a '", "'b'" },
    }
    model:sync()
    clients.run("postgres", "update spec_edge set k = 'a' where k = 'a '")
    local report = edge.verify(model, "different")
    assert.same({ 1, 1, 0 }, { report.missing, report.extra, report.changed })
    local result = model:repair { strategy = "secondary_wins" }
    assert.equal(0, result.applied)  -- 'a' is taken by 'a ' there
    assert.same({ { "6120" }, { "62" } },
      clients.rows("mysql", "select hex(k) from spec_edge order by v"))
    assert.equal(2, model:repair { allow_delete = true }.applied)
    assert.same({ "1", "6120" }, edge.agree(edge.all(edge.text, "k"))[1])
  end)
end)

describe("edge case 5: bytes with zeros at the end, and 255s", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  it("as keys of fixed width", function()
    edge.there_and_back {
      mysql = "k binary(16) primary key, b binary(4)",
      rows = { "repeat(x'00', 16), x'00'", "repeat(x'ff', 16), x'ff'",
        "concat(repeat(x'00', 15), x'01'), x'61'", "concat(x'61', repeat(x'00', 15)), null",
        "concat(x'61', repeat(x'20', 15)), x'2020'",
        "concat(x'ff', repeat(x'00', 15)), x'ff00ff00'" },
      shown = edge.all(edge.bytes, "k", "b"),
    }
  end)

  it("as keys and values of any width", function()
    edge.there_and_back {
      mysql = "k varbinary(16) primary key, b varbinary(4)",
      rows = { "x'', x''", "x'00', x'00'", "x'0000', x'0000'", "x'61', x'61'", "x'6100', x'6100'",
        "x'6120', x'6120'", "x'ff', x'ff'", "x'ff00', null", "x'ffff', x'00ff'" },
      shown = edge.all(edge.bytes, "k", "b"),
    }
  end)
end)

describe("edge case 19: keys of several columns", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  for _, case in ipairs {
    { "in another order than the table's", "a int, b varchar(9), c bigint, primary key (c, a, b)" },
    { "of which the middle one is not part", "a int, b varchar(9), c bigint, primary key (c, a)" },
    { "that end with a text of bytes",
      "a int, b varchar(9) character set latin1 collate latin1_bin, c bigint, primary key (a, b)" },
  } do
    it(case[1], function()
      edge.there_and_back {
        mysql = case[2],
        rows = { "1, 'a', 2", "2, 'a', 2", "3, 'b', 1", "4, '', 2", "-1, 'z', -9223372036854775808",
          "0, 'Z', 9223372036854775807" },
        shown = { edge.plain "a", edge.text "b", edge.plain "c" },
      }
    end)
  end

  it("of mixed types, an enum among them", function()
    edge.there_and_back {
      mysql = "b varbinary(5), v1 decimal(5,2), e enum('zebra', 'apple', 'Mango'), d date, "
        .. "primary key (e, d, v1, b)",
      rows = { "'a', 1.5, 'zebra', '2024-01-01'", "'a', 1.5, 'apple', '2024-01-01'",
        "'', -1.5, 'Mango', '0009-01-01'", "x'00', 1.5, 'zebra', '2024-01-01'" },
      shown = { edge.bytes "b", edge.plain "v1", edge.text "e", edge.plain "d" },
    }
  end)

  it("of an enum alone, which the primary orders by index and the secondary by label", function()
    edge.there_and_back {
      mysql = "e enum('zebra', 'apple', 'Mango', 'it''s') primary key",
      rows = { "'zebra'", "'apple'", "'Mango'", "'it''s'" }, shown = edge.all(edge.text, "e"),
    }
  end)

  it("are told apart where only the border between them moved", function()
    edge.there_and_back {
      mysql = "a varchar(9) collate utf8mb4_bin, b varchar(9) collate utf8mb4_bin, "
        .. "primary key (a, b)",
      rows = { "'ab', 'c'", "'a', 'bc'", "'abc', ''", "'', 'abc'", "'a|b', 'c'", "'a', 'b|c'" },
      shown = edge.all(edge.text, "a", "b"),
    }
  end)
end)

describe("edge case 20: gaps, hot spots, and tables without a key", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  it("of 10^15 between keys", function()
    edge.there_and_back {
      mysql = "k bigint primary key",
      rows = { "-3000000000000000", "1", "2", "1000000000000000", "1000000000000001",
        "9000000000000000", "9223372036854775807" },
      shown = edge.all(edge.plain, "k"),
    }
  end)

  it("of 99 in 100 rows within 1 in 100 of the range", function()
    local rows = {}
    for n = 1, 1980 do rows[n] = tostring(500000000000 + n) end
    for n = 1, 20 do rows[#rows + 1] = tostring(n * 100000000000 - 7) end
    edge.there_and_back {
      mysql = "k bigint primary key", rows = rows, shown = edge.all(edge.plain, "k"),
    }
  end)

  it("a table without a key is refused by name, never called equal", function()
    for _, copies in ipairs { 2, 3 } do
      local rows = {}
      for n = 1, copies do rows[n] = "'same'" end
      local model = edge.open {
        mysql = "a varchar(9)", postgres = "a varchar(9)", rows = rows,
      }
      clients.run("mysql", "update spec_edge set v = 1")
      assert.equal("config", pair.failure(model.sync, model).class)
      local report = edge.verify(model, "not_verified")
      assert.equal("config", report.error.class)
      assert.matches("primary key", report.reason, 1, true)
      assert.same({ { "0" } }, clients.rows("postgres", "select count(*) from spec_edge"))
    end
  end)

  it("rows that are the same but for their key are each counted", function()
    local model = edge.open {
      mysql = "k int primary key, a varchar(9)", rows = { "1, 'same'", "2, 'same'", "3, 'same'" },
    }
    clients.run("mysql", "update spec_edge set v = 1")
    model:sync()
    for _, gone in ipairs { 1, 2 } do
      clients.run("postgres", ("delete from spec_edge where k <= %d"):format(gone))
      assert.equal(gone, edge.verify(model, "different").missing)
      model:sync()
      edge.verify(model, "equal")
    end
  end)
end)
