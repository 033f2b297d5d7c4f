-- What goes into a column through either driver comes out of it again, at the ends of every type's
-- range; what a type of a server cannot be for dualdb is refused by name.

local core = require "dualdb.core"
local servers = require "spec.support.servers"

local failure = servers.failure
local SIXTEEN_MIB = 16 * 1024 * 1024

-- ---- the types: { of the column, value that is bound, value that is read unless it is the same }

local DECIMAL_65_30 = "-" .. ("9"):rep(35) .. "." .. ("9"):rep(30)
local NUL_BYTES = core.bytes("\0a\0\255\0")
local TEXT = "quote ' double \" back \\ tick ` line\n\r\n tab\t percent % question ? dollar $1 \\0"
  .. " end\\"
local FOUR_BYTES = "na\u{ef}ve \u{4e2d}\u{6587} \u{1f600}\u{1f469}\u{200d}\u{1f4bb}\u{10ffff}"

local BOTH = {
  { "smallint", -32768 }, { "smallint", 32767 },
  { "int", -2147483648 }, { "int", 2147483647 }, { "int", 0 }, { "int", -1 },
  { "bigint", math.mininteger }, { "bigint", math.maxinteger }, { "bigint", 0 }, { "bigint", -1 },
  { "decimal(65,30)", DECIMAL_65_30 }, { "decimal(65,30)", "0" }, { "decimal(65,30)", "-0", "0" },
  { "decimal(65,30)", "0." .. ("0"):rep(29) .. "1" }, { "decimal(20,5)", "100.50000", "100.5" },
  { "decimal(20,0)", "18446744073709551615" }, { "decimal(10,2)", 7, "7" },
  { "decimal(10,2)", 0.25, "0.25" },
  { "double precision", 5e-324 }, { "double precision", -5e-324 },
  { "double precision", 2.2250738585072014e-308 }, { "double precision", 1.7976931348623157e308 },
  { "double precision", -1.7976931348623157e308 }, { "double precision", 0.1 },
  { "double precision", 0.0 }, { "double precision", 1e23 }, { "double precision", 3, 3.0 },
  { "varchar(10)", "" }, { "varchar(10)", "a  " }, { "varchar(200)", TEXT },
  { "varchar(200)", FOUR_BYTES }, { "text", TEXT }, { "text", FOUR_BYTES },
  { "char(10)", "abc" }, { "char(36)", "123e4567-e89b-12d3-a456-426614174000" },
  { "text", core.NULL }, { "int", core.NULL }, { "date", core.NULL },
  { "date", "0001-01-01" }, { "date", "9999-12-31" }, { "date", "2024-02-29" },
  { "time(6)", "00:00:00" }, { "time(6)", "23:59:59.999999" }, { "time(6)", "00:00:00.000001" },
  { "json", '{"b": [1, 2.50, 1e2], "a": "\\u00e9\\n"}', '{"a":"\u{e9}\\n","b":[1,2.5,100]}' },
  { "json", "null" }, { "json", '"text"' },
}

local MYSQL = {
  { "tinyint", -128 }, { "tinyint", 127 }, { "tinyint unsigned", 255 },
  { "smallint unsigned", 65535 }, { "mediumint", -8388608 }, { "mediumint unsigned", 16777215 },
  { "int unsigned", 4294967295 }, { "bigint unsigned", 0 },
  { "bigint unsigned", math.maxinteger }, { "bigint unsigned", "9223372036854775808" },
  { "bigint unsigned", "18446744073709551615" },
  { "int(5) zerofill", 42 }, { "bigint", "-9223372036854775808", math.mininteger },
  { "float", 1.401298464324817e-45 }, { "float", 3.4028234663852886e38 }, { "float", -0.5 },
  { "tinyint(1)", true }, { "tinyint(1)", false }, { "boolean", 1, true },
  { "longtext", FOUR_BYTES }, { "binary(4)", core.bytes("\0\1"), "\0\1\0\0" },
  { "varbinary(10)", NUL_BYTES }, { "blob", NUL_BYTES }, { "blob", core.bytes("") },
  { "longblob", NUL_BYTES }, { "text", "a\0b" },
  { "time(6)", "-838:59:59" }, { "time(6)", "838:59:59" }, { "time(6)", "-00:00:00.000001" },
  { "datetime(6)", "0001-01-01 00:00:00" }, { "datetime(6)", "9999-12-31 23:59:59.999999" },
  { "datetime(6)", "2024-02-29T12:00:00.5", "2024-02-29 12:00:00.500000" },
  { "timestamp(6) null", "1970-01-01 00:00:01.000001" },
  { "timestamp(6) null", "2038-01-19 03:14:07.999999" },
  { "enum('a', 'it''s', '')", "it's" }, { "enum('a', 'it''s', '')", "" },
}

local POSTGRES = {
  { "numeric", "NaN" }, { "numeric", "1" .. ("0"):rep(1000) .. "." .. ("0"):rep(999) .. "1" },
  { "real", 1.401298464324817e-45 }, { "real", 3.4028234663852886e38 }, { "real", -0.5 },
  { "double precision", -0.0 }, { "double precision", math.huge },
  { "double precision", -math.huge },
  { "boolean", true }, { "boolean", false },
  { "bytea", NUL_BYTES }, { "bytea", core.bytes("") },
  { "date", "infinity" }, { "date", "-infinity" }, { "date", "4713-01-01 BC", "-4712-01-01" },
  { "date", "0001-12-31 BC", "0000-12-31" }, { "date", "5874897-12-31" },
  { "timestamp(6)", "0001-01-01 00:00:00" }, { "timestamp(6)", "9999-12-31 23:59:59.999999" },
  { "timestamp", "infinity" }, { "timestamp", "-infinity" },
  { "timestamp", "4713-01-01 00:00:00 BC", "-4712-01-01 00:00:00" },
  { "timestamptz", "2024-02-29 12:00:00.500000" },
  { "timestamptz", "2024-02-29T12:00:00+05:30", "2024-02-29 06:30:00" },
  { "time(6)", "24:00:00" },
  { "jsonb", '{"b": [1, 2.50], "a": "\\u00e9"}', '{"a":"\u{e9}","b":[1,2.5]}' },
  { "uuid", "123E4567-E89B-12D3-A456-426614174000", "123e4567-e89b-12d3-a456-426614174000" },
  { "name", "a_name" }, { "oid", 4294967295 },
}

local function plain(value)
  return type(value) == "userdata" and value ~= core.NULL and tostring(value) or value
end

-- -0.0 == 0.0 and NaN ~= NaN: numbers are compared by their bits.
local function same(a, b)
  if math.type(a) ~= math.type(b) then return false end
  if math.type(a) == "float" then return ("<d"):pack(a) == ("<d"):pack(b) end
  return a == b
end

local function shown(value)
  local text = value == core.NULL and "NULL" or tostring(plain(value)):gsub("[%c\128-\255]", "?")
  return #text > 40 and text:sub(1, 37) .. "..." or text
end

local UNSUPPORTED = {
  mysql = {},  -- MariaDB's all have a kind; MySQL 9 has vectors
  postgres = {
    { "int[]", "integer[]" }, { "text[]", "text[]" }, { "inet", "inet" },
    { "point", "point" }, { "money", "money" }, { "xml", "xml" }, { "tsvector", "tsvector" },
    { "int4range", "int4range" },
    { "macaddr", "macaddr" },
  },
}

for _, side in ipairs(servers.SIDES) do
  local driver = side.driver

  describe("a value in " .. driver, function()
    before_each(servers.before_each)
    after_each(servers.after_each)

    it("comes back as it was, at the ends of every type's range", function()
      local conn = servers.open(driver)
      for _, list in ipairs { BOTH, driver == "mysql" and MYSQL or POSTGRES } do
        local columns, marks, given = {}, {}, {}
        for i, case in ipairs(list) do
          columns[i], marks[i], given[i] = ("c%d %s"):format(i, case[1]), "?", case[2]
        end
        local name = servers.table(conn, table.concat(columns, ", "))
        conn:execute(("insert into %s values (%s)"):format(name, table.concat(marks, ", ")),
          table.unpack(given))
        local row = conn:query("select * from " .. name)[1]
        for i, case in ipairs(list) do
          local expected, got = case[3], row["c" .. i]
          if expected == nil then expected = plain(case[2]) end
          assert(same(expected, got), ("c%d %s: bound %s, read %s"):format(i, case[1],
            shown(case[2]), shown(got)))
        end
      end
    end)

    it("is found again by a parameter of the same value", function()
      local conn = servers.open(driver)
      for _, case in ipairs {
        { "bigint", math.mininteger }, { "decimal(30,10)", "12345678901234567890.0000000001" },
        { "varchar(100)", TEXT }, { "varchar(100)", FOUR_BYTES }, { "date", "9999-12-31" },
        { driver == "mysql" and "varbinary(10)" or "bytea", NUL_BYTES },
        { "double precision", 5e-324 }, { "boolean", true },
        { driver == "mysql" and "datetime(6)" or "timestamp", "2024-02-29 12:00:00.000001" },
      } do
        local name = servers.table(conn, "v " .. case[1])
        conn:execute(("insert into %s values (?)"):format(name), case[2])
        local found = conn:query(("select count(*) as n from %s where v = ?"):format(name), case[2])
        assert.equal(1, found[1].n, case[1])
      end
    end)

    it("may have 16 MiB, of bytes and of text", function()
      local conn = servers.open(driver)
      local name = servers.table(conn, driver == "mysql" and "b longblob, t longtext"
        or "b bytea, t text")
      local block = {}
      for i = 0, 255 do block[#block + 1] = string.char(i) end
      local bytes = table.concat(block):rep(SIXTEEN_MIB // 256)
      local text = ("\u{1f600}"):rep(SIXTEEN_MIB // 4)
      conn:execute(("insert into %s values (?, ?)"):format(name), core.bytes(bytes), text)
      local row = conn:query("select * from " .. name)[1]
      assert.is_true(row.b == bytes, "the bytes differ")
      assert.is_true(row.t == text, "the text differs")
    end)

    it("of an unsupported type is refused by the column's name and the type's, as a schema error",
      function()
        local conn, cases = servers.open(driver), UNSUPPORTED[driver]
        local info = conn:info()
        if info.product == "mysql" and tonumber(info.version:match "^%d+") >= 9 then
          cases = { { "vector(3)", "vector" } }
        end
        for _, case in ipairs(cases) do
          local name = servers.table(conn, "id int, odd " .. case[1])
          local err = failure(conn.query, conn, "select id, odd from " .. name)
          assert.equal("schema", err.class, case[1])
          assert.equal(side.label, err.side)
          assert.matches("odd", err.message, 1, true)
          assert.matches(case[2], err.message, 1, true)
          assert.equal(0, #conn:query("select id from " .. name), "the connection is of use still")
        end
      end)

    it("of a type that does not fit the wanted kind is refused by the column's name", function()
      local conn = servers.open(driver)
      local err = failure(conn.fetch, conn, "select 1 as one, cast('x' as char(1)) as word", nil,
        nil, "iD")
      assert.equal("schema", err.class)
      assert.matches("word", err.message, 1, true)
      assert.equal("1", conn:query("select '1' as v")[1].v)
    end)

    it("as text that is not UTF-8, or a NUL byte where text has none, is refused", function()
      local conn = servers.open(driver)
      local name = servers.table(conn, "v varchar(20)")
      local sql = ("insert into %s values (?)"):format(name)
      assert.equal("data", failure(conn.execute, conn, sql, "\xff\xfe").class)
      if driver == "postgres" then
        assert.equal("data", failure(conn.execute, conn, sql, "a\0b").class)
      end
      assert.equal(0, conn:query("select count(*) as n from " .. name)[1].n)
    end)
  end)
end

describe("a value that MySQL alone can have", function()
  before_each(servers.before_each)
  after_each(servers.after_each)

  for _, case in ipairs {
    { "date", "0000-00-00" }, { "datetime", "0000-00-00 00:00:00" }, { "date", "2024-00-10" },
    { "datetime(3)", "2024-02-00 10:00:00" },
  } do
    it(("%s in a %s is read as its text, and refused by the other server"):format(case[2], case[1]),
      function()
      local conn = servers.open("mysql")
      local name = servers.table(conn, "id int, odd_day " .. case[1])
      conn:execute("set sql_mode = ''")
      conn:execute(("insert into %s values (1, ?)"):format(name), case[2])
      assert.same({ id = 1, odd_day = case[2] }, conn:query("select * from " .. name)[1])
      local kind = case[1] == "date" and "D" or "S"
      local row = conn:fetch("select odd_day from " .. name, nil, nil, kind)[1]
      assert.same({ case[2] }, core.texts(kind, row))
      assert.equal(('{"d":"%s"}'):format(case[2]), core.row_json(kind, row, { "d" }))
      local found = conn:fetch(("select id from %s where odd_day = ?"):format(name), kind, row, "i")
      assert.equal(1, #found)
      local other = servers.open("postgres")
      local err = failure(other.put, other, "select ?::" .. (kind == "D" and "date" or "timestamp"),
        kind, row)
      assert.equal("data", err.class)
      assert.matches(case[2]:sub(1, 10), err.message, 1, true)
    end)
  end

  it("a kept statement takes text of any script after its table was made anew for it", function()
    local conn = servers.open("mysql")
    local name = servers.table(conn, "id int primary key, v tinytext character set latin1")
    local insert = ("insert into %s (id, v) values (?, ?)"):format(name)
    conn:execute(insert, 1, "é")
    conn:execute("drop table " .. name)
    conn:execute(("create table %s (id int primary key, v tinytext character set utf8mb4)")
      :format(name))
    assert.equal(1, conn:execute(insert, 1, FOUR_BYTES).affected)
    assert.equal(FOUR_BYTES, conn:query("select v from " .. name)[1].v)
  end)

  it("2 in a tinyint(1) is refused by a query, and kept where a boolean is asked for", function()
    local conn = servers.open("mysql")
    local name = servers.table(conn, "flag tinyint(1)")
    conn:execute(("insert into %s values (2)"):format(name))
    local err = failure(conn.query, conn, "select * from " .. name)
    assert.equal("data", err.class)
    assert.matches("flag", err.message, 1, true)
    assert.matches("2", err.message, 1, true)
    local row = conn:fetch("select flag from " .. name, nil, nil, "i")[1]
    assert.equal(2, core.unpack("i", row)[1])
    row = conn:fetch("select flag from " .. name, nil, nil, "b")[1]
    assert.equal(2, core.unpack("b", row)[1])
    assert.equal('{"flag":2}', core.row_json("b", row, { "flag" }))
    assert.equal(1, #conn:fetch(("select flag from %s where flag = ?"):format(name), "b", row, "b"))
    local other = servers.open("postgres")
    assert.equal("data", failure(other.put, other, "select ?::boolean", "b", row).class)
  end)

  it("a zero date is not written by dualdb's own sessions", function()
    local conn = servers.open("mysql")
    local name = servers.table(conn, "v date")
    local err = failure(conn.execute, conn, ("insert into %s values ('0000-00-00')"):format(name))
    assert.equal("data", err.class)
  end)
end)

describe("an enum of PostgreSQL", function()
  before_each(servers.before_each)
  after_each(servers.after_each)

  local function make_mood(conn)
    local mood = servers.scratch_name() .. "_mood"
    conn:execute(("create type %s as enum ('happy', 'it''s')"):format(mood))
    servers.finally(function()
      servers.command("postgres", ("drop type if exists %s cascade"):format(mood))
    end)
    return mood
  end

  it("is written as text, and read as text, by a table's model and by any query", function()
    local conn = servers.open("postgres")
    local mood = make_mood(conn)
    local name = servers.table(conn, ("v %s"):format(mood))
    conn:execute(("insert into %s values (?)"):format(name), "it's")
    local row = conn:fetch("select v from " .. name, nil, nil, "t")[1]
    assert.equal("it's", core.unpack("t", row)[1])
    assert.equal("it's", conn:query("select v from " .. name)[1].v)
    assert.equal("it's", conn:query(("select v from %s where v = ?"):format(name), "it's")[1].v)
    for found in conn:rows("select v from " .. name) do assert.equal("it's", found.v) end
    local made = conn:query(("insert into %s values (?) returning v"):format(name), "happy")[1]
    assert.equal("happy", made.v)
    local err = failure(conn.execute, conn, ("insert into %s values (?)"):format(name), "sad")
    assert.equal("data", err.class)
  end)

  it("in a domain, or null, is read as text too", function()
    local conn = servers.open("postgres")
    local mood = make_mood(conn)
    conn:execute(("create domain %s_domain as %s"):format(mood, mood))
    servers.finally(function()
      servers.command("postgres", ("drop domain if exists %s_domain"):format(mood))
    end)
    assert.same({ d = "happy", n = core.NULL },
      conn:query(("select 'happy'::%s_domain as d, null::%s as n"):format(mood, mood))[1])
  end)

  it("that was made while the connection was open is known after one refusal", function()
    local conn = servers.open("postgres")
    assert.equal(1, conn:query("select 1 as one")[1].one)
    local sql = ("select 'happy'::%s as v"):format(make_mood(conn))
    local err = failure(conn.query, conn, sql)
    assert.equal("schema", err.class)
    assert.equal("happy", conn:query(sql)[1].v)
  end)

  it("does not stand for other types of a user's, which are refused by name", function()
    local conn = servers.open("postgres")
    local pair = servers.scratch_name() .. "_pair"
    conn:execute(("create type %s as (a int, b int)"):format(pair))
    servers.finally(function() conn:execute("drop type " .. pair) end)
    local err = failure(conn.query, conn, ("select row(1, 2)::%s as odd"):format(pair))
    assert.equal("schema", err.class)
    assert.matches("odd", err.message, 1, true)
    assert.matches(pair, err.message, 1, true)
  end)

  it("does not keep a transaction from setting its isolation level", function()
    local conn = servers.open("postgres")
    conn:execute "begin"
    conn:query "set transaction isolation level serializable"
    assert.equal("serializable",
      conn:query("show transaction isolation level")[1].transaction_isolation)
    assert.equal(1, conn:query("select 1 as one")[1].one)
    conn:execute "rollback"
  end)
end)
