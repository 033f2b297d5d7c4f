-- Edge cases of moments, JSON, NULL and size, each by its number in the project's list of 25. Both
-- servers' own clients make the rows and judge them.
--
-- 14 to 18 are here.

local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"

describe("edge case 14: timestamps", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local CASE = {
    mysql = "id int primary key, d datetime(6), s timestamp(6) null, d3 datetime(3), d0 datetime",
    rows = {
      "1, '2024-03-31 02:30:00.000001', '2024-03-31 02:30:00.000001', '2024-03-31 02:30:00.001', "
        .. "'2024-03-31 02:30:00'",  -- a gap of Berlin's
      "2, '2024-10-27 02:30:00.999999', '2024-10-27 00:30:00.999999', '2024-10-27 02:30:00.999', "
        .. "'2024-10-27 02:30:00'",  -- an hour that it has twice
      "3, '2024-10-27 02:30:00.999999', '2024-10-27 01:30:00.999999', null, null",
      "4, '1969-12-31 23:59:59.999999', '1970-01-01 00:00:01', '1969-12-31 23:59:59.999', null",
      "5, '2024-03-10 02:30:00.5', '2038-01-19 03:14:07.999999', null, '9999-12-31 23:59:59'",
      "6, null, null, null, null",
    },
  }
  CASE.shown = { edge.moment "d", { edge.moment("s")[1], edge.moment("s at time zone 'UTC'")[2] },
    edge.moment "d3", edge.moment "d0" }

  --- The clients insert in UTC: see clients.run.
  it("keep every microsecond, in gaps and in hours that come twice", function()
    local before = edge.there_and_back(CASE)
    assert.equal("2024-10-27 00:30:00.999999", before[2][3])
    assert.equal("2024-10-27 01:30:00.999999", before[3][3])
  end)

  it("are the same whatever zones the servers and their users have", function()
    local zone = servers.look("mysql", "select @@global.time_zone as zone")[1].zone
    servers.command("mysql", "set global time_zone = '-05:00'")
    servers.command("postgres", "alter role dualdb set timezone = 'America/New_York'")
    servers.command("postgres", "alter database chatdb set timezone = 'Asia/Kathmandu'")
    servers.finally(function()
      servers.command("mysql", "set global time_zone = ?", zone)
      servers.command("postgres", "alter role dualdb reset timezone")
      servers.command("postgres", "alter database chatdb reset timezone")
    end)
    local before = edge.there_and_back(CASE)
    assert.equal("2024-03-31 02:30:00.000001", before[1][2])
    assert.equal("2024-03-31 02:30:00.000001", before[1][3])
  end)

  it("that are all shifted by the same amount are all different, be they even or odd", function()
    for _, count in ipairs { 6, 5 } do
      local rows = table.move(CASE.rows, 1, count, 1, {})
      rows[count] = "6, '2000-01-01', '2000-01-01', '2000-01-01', '2000-01-01'"
      local model = edge.open { mysql = CASE.mysql, rows = rows }
      model:sync()
      clients.run("postgres", "update spec_edge set d = d + interval '1 hour'")
      local report = edge.verify(model, "different")
      assert.equal(count, report.changed)
      model:sync()
      clients.run("postgres", "update spec_edge set s = s - interval '1 microsecond'")
      assert.equal(count, edge.verify(model, "different").changed)
      model:sync()
      edge.agree(CASE.shown)
    end
  end)

  it("are refused before they would be rounded", function()
    for _, case in ipairs { { "datetime(6)", "timestamp(3)" }, { "timestamp(3) null",
      "timestamptz(0)" }, { "time(6)", "time(0)" } } do
      local model = edge.open {
        mysql = "id int primary key, t " .. case[1], postgres = "id int primary key, t " .. case[2],
        rows = { "1, '2024-01-01 10:00:00.5'" }, mode = "",
      }
      local err = pair.failure(model.sync, model)
      assert.equal("schema", err.class)
      assert.matches("column t", err.message, 1, true)
    end
  end)

  it("of the secondary's alone, infinite or before Christ, never arrive as others", function()
    local model = edge.open { mysql = "id int primary key, d datetime(6), e date",
      rows = { "1, '2000-01-01', '2000-01-01'", "2, '2000-01-01', '2000-01-01'",
        "3, '2000-01-01', '2000-01-01'" } }
    model:sync()
    clients.run("postgres", "update spec_edge set d = 'infinity' where id = 1; "
      .. "update spec_edge set e = '0044-03-15 BC' where id = 2; "
      .. "update spec_edge set d = '-infinity', e = '12000-01-01' where id = 3")
    assert.equal(3, edge.verify(model, "different").changed)
    assert.equal(3, model:repair { strategy = "secondary_wins" }.failed)
    assert.same({ { "3" } }, clients.rows("mysql",
      "select count(*) from spec_edge where d = '2000-01-01' and e = '2000-01-01'"))
    assert.equal(3, model:repair().applied)
    edge.verify(model, "equal")
  end)
end)

describe("edge case 15: times beyond a day, and years", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local ROWS = { "1, '-838:59:59'", "2, '838:59:59'", "3, '-00:00:00.000001'", "4, '24:00:00.5'",
    "5, '23:59:59.999999'", "6, '00:00:00'", "7, null" }

  it("arrive in an interval", function()
    local function seconds(name)
      return { ("coalesce(truncate(time_to_sec(%s), 0), 'NULL')"):format(name),
        ("coalesce(trunc(extract(epoch from %s))::text, 'NULL')"):format(name) }
    end
    local before = edge.there_and_back {
      mysql = "id int primary key, t time(6)", rows = ROWS, model = { types = { t = "interval" } },
      shown = { seconds "t", { "microsecond(t)",
        "abs((extract(microseconds from t))::bigint % 1000000)" } },
    }
    assert.same({ "1", "-3020399", "0" }, before[1])
    assert.same({ "2", "3020399", "0" }, before[2])
    assert.equal("1", before[3][3])
  end)

  it("are refused by name where the secondary has a time of day", function()
    local model, db = edge.open { mysql = "id int primary key, t time(6)", rows = ROWS }
    local result = model:sync()
    assert.same({ 3, 4 }, { result.rows_written, result.quarantined })
    for _, entry in ipairs(db:quarantine():list()) do
      assert.equal("t", entry.column)
      assert.matches("is not within a day", entry.reason, 1, true)
    end
    assert.same({ { "5" }, { "6" }, { "7" } },
      clients.rows("postgres", "select id from spec_edge order by id"))
    assert.equal(4, edge.verify(model, "different").quarantined)
  end)

  it("of 0 and of 1901 to 2155 arrive as numbers", function()
    local before = edge.there_and_back {
      mysql = "id int primary key, y year",
      rows = { "1, 0", "2, 1901", "3, 2155", "4, 1970", "5, null" },
      shown = { { "y + 0", "y" } },
    }
    assert.same({ "1", "0" }, before[1])
    assert.same({ "3", "2155" }, before[3])
  end)
end)

describe("edge case 16: JSON", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  --- A member by its path, as text.
  local function member(path)
    return { ("json_unquote(json_extract(j, '$.%s'))"):format(path), ("j ->> '%s'"):format(path) }
  end

  it("is equal whatever the order of members, the blanks, and how numbers are written", function()
    local model = edge.open {
      mysql = "id int primary key, j json",
      rows = { [[1, '{"b": 1, "aa": [1.0, 2e0], "c": {"y": null, "x": true}}']],
        [[2, '{"n": 1}']], [[3, '{"e": "\\u00e9\\/\\ud83d\\ude00\\n"}']], [[4, '"1"']],
        [[5, 'null']], "6, null", [[7, '[]']], [[8, '{"": "", " ": " "}']] },
    }
    model:sync()
    edge.verify(model, "equal")
    clients.run("postgres", [[
      update spec_edge set j = '{"c":{"x":true,"y":null},"aa":[1,2.000],"b":1e0}' where id = 1;
      update spec_edge set j = '{ "n" : 1.00 }' where id = 2;
      update spec_edge set j = '{"e": "é/😀\n"}' where id = 3]])
    edge.verify(model, "equal")
    assert.equal(0, model:sync().rows_written)
  end)

  it("is different where its content is", function()
    local model = edge.open {
      mysql = "id int primary key, j json",
      rows = { [[1, '[1, 2]']], [[2, '1']], [[3, '{"a": null}']], [[4, 'null']],
        [[5, '{"a": 1}']], [[6, '"é"']] },
    }
    model:sync()
    clients.run("postgres", [[
      update spec_edge set j = '[2, 1]' where id = 1;
      update spec_edge set j = '"1"' where id = 2;
      update spec_edge set j = '{}' where id = 3;
      update spec_edge set j = null where id = 4;
      update spec_edge set j = '{"A": 1}' where id = 5;
      update spec_edge set j = '"]] .. "e\u{301}" .. [["' where id = 6]])
    assert.equal(6, edge.verify(model, "different").changed)
    assert.equal(6, model:repair().applied)
    edge.verify(model, "equal")
    assert.same({ { "[1, 2]" }, { "1" }, { '{"a": null}' }, { "null" }, { '{"a": 1}' }, { '"é"' } },
      clients.rows("postgres", "select j from spec_edge order by id"))
  end)

  it("keeps large integers and escapes, there and back", function()
    local before = edge.there_and_back {
      mysql = "id int primary key, j json",
      rows = { [[1, '{"n": 18446744073709551615, "s": "a\\"b\\\\c"}']],
        [[2, '{"n": 9007199254740993, "s": "😀"}']],
        [[3, '{"n": -9223372036854775808, "s": "\\t"}']], [[4, '{"n": 0, "s": ""}']] },
      shown = { member "n", { "hex(json_unquote(json_extract(j, '$.s')))",
        "upper(encode(convert_to(j ->> 's', 'UTF8'), 'hex'))" } },
    }
    assert.same({ "1", "18446744073709551615", "6122625C63" }, before[1])
    assert.equal("9007199254740993", before[2][2])
  end)

  it("with the same member twice has the last one, on both sides", function()
    local model = edge.open {
      mysql = "id int primary key, j json", rows = { [[1, '{"a": 1, "b": 5, "a": 2}']] },
    }
    model:sync()
    assert.same({ { "2" } }, clients.rows("postgres", "select j ->> 'a' from spec_edge"))
    edge.verify(model, "equal")
  end)

  it("in a text column of the secondary's is compared by content, too", function()
    local model = edge.open {
      mysql = "id int primary key, j json", postgres = "id int primary key, j text",
      rows = { [[1, '{"b": 1, "a": [1.50]}']], [[2, '"text"']] },
    }
    model:sync()
    edge.verify(model, "equal")
    clients.run("postgres", [[update spec_edge set j = ' {"a" : [15e-1],"b":1.0}' where id = 1]])
    edge.verify(model, "equal")
    clients.run("postgres", [[update spec_edge set j = 'text' where id = 2]])
    -- What is no JSON has no content, so it is equal to nothing.
    assert.equal(1, edge.verify(model, "different").changed)
    assert.equal(1, model:repair().applied)
    edge.verify(model, "equal")
  end)

  it("finds and changes its row: no comparison of JSON with text decides that", function()
    local model = edge.open { mysql = "id int primary key, j json",
                              rows = { [[1, '{"a": 1}']], [[2, '{"a": 2}']] } }
    model:sync()
    model:update(1, { j = '{"a": 3}' })
    assert.is_true(model:delete(2))
    for _, driver in ipairs { "mysql", "postgres" } do
      assert.same({ { "1", '{"a":3}' } }, clients.rows(driver,
        ("select id, replace(cast(j as %s), ' ', '') from spec_edge"):format(
          driver == "mysql" and "char" or "text")))
    end
  end)
end)

describe("edge case 17: NULL, '', 'NULL' and texts with separators", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local ROWS = { "1, null, ''", "2, '', null", "3, 'NULL', 'null'", "4, 'ab', 'c'", "5, 'a', 'bc'",
    "6, null, 'ab'", "7, 'ab', null", "8, null, null", "9, '', ''", "10, '\\\\N', '<null>'",
    "11, 'a|b', 'c'", "12, 'a', 'b|c'", "13, 'a,b', '\\t'", "14, '\u{1}\u{1f}', '0'" }

  it("arrive as what they are", function()
    local before = edge.there_and_back {
      mysql = "id int primary key, a varchar(9), b varchar(9)", rows = ROWS,
      shown = edge.all(edge.text, "a", "b"),
    }
    assert.same({ "1", "NULL", "" }, before[1])
    assert.same({ "2", "", "NULL" }, before[2])
    assert.same({ "3", "4E554C4C", "6E756C6C" }, before[3])
  end)

  it("are different where they moved to the column beside", function()
    local model = edge.open { mysql = "id int primary key, a varchar(9), b varchar(9)",
                              rows = ROWS }
    model:sync()
    clients.run("postgres", [[
      update spec_edge set a = b, b = a where id in (1, 2, 6, 7);
      update spec_edge set a = null where id = 3;
      update spec_edge set a = 'a', b = 'bc' where id = 4;
      update spec_edge set a = 'a', b = 'b|c' where id = 11;
      update spec_edge set a = '', b = '' where id = 8]])
    local report = edge.verify(model, "different")
    assert.equal(8, report.changed)
    assert.equal(8, model:sync().rows_written)
    edge.agree(edge.all(edge.text, "a", "b"))
  end)

  it("are refused where the secondary takes no null, and '' is never put there instead", function()
    local case = {
      mysql = "id int primary key, a varchar(9)",
      postgres = "id int primary key, a varchar(9) not null", rows = { "1, 'x'", "2, null" },
    }
    local model = edge.open(case)
    local ok, result = pcall(model.sync, model)
    if ok then assert.equal(1, result.quarantined)
    else assert.equal("integrity", result.class) end
    edge.verify(model, "different")
    assert.same({ { "0" } }, clients.rows("postgres",
      "select count(*) from spec_edge where id = 2"))
  end)
end)

describe("edge case 18: rows of many megabytes", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local MIB = 1024 * 1024

  --- New sessions of MySQL take packets of so many bytes.
  local function limit_packets(bytes)
    local before = servers.look("mysql", "select @@global.max_allowed_packet as n")[1].n
    servers.command("mysql", ("set global max_allowed_packet = %d"):format(bytes))
    servers.finally(function()
      servers.command("mysql", ("set global max_allowed_packet = %d"):format(before))
    end)
  end

  local SHOWN = { { "length(b)", "length(b)" }, { "sha2(b, 256)", "encode(sha256(b), 'hex')" },
    { "sha2(c, 256)", "encode(sha256(c), 'hex')" } }

  it("arrive, eight of ten megabytes each, and back", function()
    local rows = {}
    for i = 1, 8 do
      rows[i] = ("%d, repeat(x'0%d00ff', 3500000), null"):format(i, i)
    end
    local before = edge.there_and_back {
      mysql = "id int primary key, b longblob, c longblob", rows = rows, shown = SHOWN,
    }
    assert.equal("10500000", before[8][2])
  end)

  it("arrive with a value of exactly the largest packet, and rows that are larger", function()
    limit_packets(MIB)
    local case = {
      mysql = "id int primary key, b longblob, c longblob",
      rows = { ("1, repeat('x', %d), null"):format(MIB),
        ("2, repeat('x', %d), repeat('y', %d)"):format(MIB - 1, MIB), "3, '', 'small'" },
      shown = SHOWN,
    }
    local model = edge.open(case)
    assert.equal(3, model:sync().rows_written)
    local before = edge.agree(SHOWN)
    assert.same({ tostring(MIB), tostring(MIB - 1), "0" },
      { before[1][2], before[2][2], before[3][2] })
    edge.verify(model, "equal")
    clients.run("postgres", "update spec_edge set c = 'other' where id = 2")
    assert.equal(1, edge.verify(model, "different").changed)
    assert.equal(1, model:sync().rows_written)
    edge.verify(model, "equal")
  end)

  it("that the primary takes no packet of are an error on the way back, never a success", function()
    local case = {
      mysql = "id int primary key, b longblob, c longblob",
      rows = { ("1, repeat('x', %d), repeat('y', %d)"):format(MIB, MIB), "2, 'a', 'b'" },
    }
    local model, db = edge.open(case)
    model:sync()
    clients.run("mysql", "delete from spec_edge where id = 1")
    limit_packets(MIB)
    local other <close> = pair.open { T = { table = edge.NAME } }
    local ok, result = pcall(other.T.repair, other.T, { strategy = "secondary_wins" })
    assert.is_true(not ok or result.failed == 1 and result.applied == 0, tostring(result))
    assert.same({ { "2" } }, clients.rows("mysql", "select id from spec_edge"))
    edge.verify(model, "different")
    assert.equal(1, #db.secondary:query "select id from spec_edge where id = 1")
    limit_packets(64 * MIB)
    local again <close> = pair.open { T = { table = edge.NAME } }
    assert.equal(1, again.T:repair { strategy = "secondary_wins" }.applied)
    edge.agree(SHOWN)
  end)
end)
