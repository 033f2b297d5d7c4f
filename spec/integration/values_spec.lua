-- Canonical rows in Lua, and rows that are copied from one server to the other and compared.

local core = require "dualdb.core"
local servers = require "spec.support.servers"

local failure = servers.failure
local NULL = core.NULL

-- ---- rows in Lua ----

describe("a canonical row", function()
  local KINDS = "bidfgtxDTSju"
  local NAMES = { "b", "i", "d", "f", "g", "t", "x", "D", "T", "S", "j", "u" }
  local VALUES = { true, -1, "0.5", 0.5, 5e-324, "it's \u{1f600}\0", "\0\255", "9999-12-31",
    "-838:59:59.000001", "0001-01-01 00:00:00", '{"a":1}', "123e4567-e89b-12d3-a456-426614174000" }

  it("gives back the values that it was made of, of every kind", function()
    assert.same(VALUES, core.unpack(KINDS, core.pack(KINDS, VALUES)))
  end)

  it("holds NULL in a column of any kind, given as NULL or as nil", function()
    local all, none = {}, {}
    for i = 1, #KINDS do all[i] = NULL end
    assert.same(all, core.unpack(KINDS, core.pack(KINDS, all)))
    assert.equal(core.pack(KINDS, all), core.pack(KINDS, none))
  end)

  it("is the same for values that are the same, however they are written", function()
    for _, case in ipairs {
      { "b", true, 1, "true", "t", "1" }, { "b", false, 0, "false", "F", "0" },
      { "i", 7, 7.0, "7", "+7", "007", "7.0", "7e0", "70e-1" },
      { "i", math.mininteger, "-9223372036854775808" },
      { "d", 0, "0", "-0", "0.000", "-0.0e5", "00" },
      { "d", "100", 100, "1e2", "+100.00", "1.00E+2" }, { "d", 0.1, "0.1", "0.10", "1e-1" },
      { "d", "NaN", "nan" }, { "d", "-Infinity", "-infinity" },
      { "f", 0.5, "0.5", "5e-1" }, { "g", 0.1, "0.1", "1e-1" }, { "g", 3, 3.0, "3" },
      { "x", "a", core.bytes "a" },
      { "D", "2024-02-29", "2024-02-29" },
      { "T", "01:00:00", "1:00", "01:00:00.000000", "+1:00:00" },
      { "S", "2024-02-29 12:00:00", "2024-02-29T12:00:00Z", "2024-02-29 13:30:00+01:30",
        "2024-02-29 12:00:00.000000" },
      { "j", '{"a":[1,2],"b":null}', ' {"b": null, "a": [1.0, 2e0]} ',
        '{"\\u0061":[1,2],"b":null}', '{"b":1,"b":null,"a":[1,2]}' },
      { "u", "123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000",
        "123e4567e89b12d3a456426614174000" },
    } do
      local first = core.pack(case[1], { case[2] })
      for i = 3, #case do
        local other = core.pack(case[1], { case[i] })
        assert(first == other, ("%s: %s is not %s"):format(case[1], tostring(case[i]),
          tostring(case[2])))
      end
    end
  end)

  it("refuses a value that its kind cannot hold, naming the column", function()
    for _, case in ipairs {
      { "b", 2 }, { "b", "yes" }, { "b", 0.5 }, { "i", 1.5 }, { "i", "1.5" }, { "i", "x" },
      { "i", "" }, { "i", "18446744073709551616" }, { "i", "-9223372036854775809" }, { "i", true },
      { "i", 1e300 }, { "i", 0 / 0 }, { "d", "1,5" }, { "d", "" }, { "d", "0x10" }, { "d", {} },
      { "f", 0.1 }, { "f", 1e300 }, { "f", "1e-50" }, { "f", "x" }, { "g", "1e400" },
      { "g", "0x1" },
      { "g", true }, { "t", "\xff" }, { "t", "\xed\xa0\x80" }, { "t", 1 }, { "t", core.bytes "a" },
      { "x", 1 }, { "x", true }, { "D", "2024-02-30" }, { "D", "0000-00-00" }, { "D", "24-01-01" },
      { "D", 20240101 }, { "T", "1:60:00" }, { "T", "noon" }, { "T", "00:00:00.0000001" },
      { "S", "2024-02-29 24:00:00" }, { "S", "2024-02-30 00:00:00" }, { "S", "now" },
      { "j", "{" }, { "j", "{'a':1}" }, { "j", '"\\ud800"' }, { "j", "nan" }, { "j", "" },
      { "j", {} }, { "u", "123e4567" }, { "u", ("g"):rep(32) }, { "u", 1 },
    } do
      local err = failure(core.pack, "i" .. case[1], { 1, case[2] }, { "id", "odd" })
      assert.equal("data", err.class, case[1] .. " " .. tostring(case[2]))
      assert.matches("column odd", err.message, 1, true)
      assert.matches("value 2", failure(core.pack, "i" .. case[1], { 1, case[2] }).message, 1, true)
    end
  end)

  it("refuses kinds that there are not, and bytes that are no row of the kinds", function()
    for _, call in ipairs { { core.pack, "z", { 1 } }, { core.unpack, "i!", "" },
      { core.kind_name, "zz" } } do
      assert.is_false((pcall(table.unpack(call))))
    end
    local row = core.pack("it", { 1, "text" })
    for _, bytes in ipairs { "", row:sub(1, -2), row .. "x", row .. row, row:sub(2),
      ("\xfe"):rep(8) } do
      assert.equal("internal", failure(core.unpack, "it", bytes).class)
      assert.equal("internal", failure(core.texts, "it", bytes).class)
    end
    assert.is_false((pcall(core.fields, row:sub(1, -2))))
    assert.is_false((pcall(core.prefix, row, 3)))
  end)

  it("gives its values as text, for people", function()
    assert.same({ "true", "-1", "0.5", "0.5", "5e-324", "it's \u{1f600}\0", "\0\255", "9999-12-31",
      "-838:59:59.000001", "0001-01-01 00:00:00", '{"a":1}',
      "123e4567-e89b-12d3-a456-426614174000" }, core.texts(KINDS, core.pack(KINDS, VALUES)))
    assert.same({ NULL, "18446744073709551615" },
      core.texts("ii", core.pack("ii", { NULL, "18446744073709551615" })))
    assert.same({ "0.1", "0.1", "1e+23" },
      core.texts("fgg", core.pack("fgg", { "0.1", 0.1, 1e23 })))
  end)

  it("gives itself as a JSON object that keeps large integers and bytes whole", function()
    local cjson = require "cjson"
    local text = core.row_json(KINDS, core.pack(KINDS, VALUES), NAMES)
    local object = cjson.decode(text)
    assert.is_true(object.b)
    assert.equal("it's \u{1f600}\0", object.t)
    assert.equal("9999-12-31", object.D)
    local large = core.row_json("iii", core.pack("iii", { math.maxinteger, "18446744073709551615",
      math.mininteger }), { "a", "b", 'c"\n' })
    object = cjson.decode(large)
    assert.equal("9223372036854775807", tostring(object.a))
    assert.equal("18446744073709551615", tostring(object.b))
    assert.equal("-9223372036854775808", tostring(object['c"\n']))
    assert.equal('{"n":null}', core.row_json("i", core.pack("i", { NULL }), { "n" }))
    assert.equal('"a\\"\\\\\\n\u{e9}"', core.json_string 'a"\\\n\u{e9}')
  end)

  it("is cut into its leading fields and into single ones", function()
    local row = core.pack("itx", { 7, NULL, "\0\1" })
    assert.equal(core.pack("i", { 7 }), core.prefix(row, 1))
    assert.equal(core.pack("it", { 7, NULL }), core.prefix(row, 2))
    assert.equal("", core.prefix(row, 0))
    assert.equal(row, core.prefix(row, 3))
    local fields = core.fields(row)
    assert.same({ core.pack("i", { 7 }), core.pack("t", { NULL }), core.pack("x", { "\0\1" }) },
      fields)
    assert.equal(row, table.concat(fields))
    assert.same({}, core.fields "")
  end)

  it("has a digest that differs for rows that differ, and for NULL, empty and moved borders",
    function()
      local seen = {}
      for _, values in ipairs { { "a", "b" }, { "ab", "" }, { "", "ab" }, { "ab", NULL },
        { NULL, "ab" }, { NULL, NULL }, { "", "" }, { "b", "a" } } do
        local row = core.pack("tt", values)
        local digest = core.digest(row)
        assert.matches("^%x+$", digest)
        assert.equal(32, #digest)
        assert.equal(digest, core.digest(row .. ""))
        assert.is_nil(seen[digest])
        seen[digest] = true
      end
    end)

  it("has a digest beside that of another one, or of none", function()
    local a, b = core.pack("t", { "a" }), core.pack("t", { "b" })
    assert.equal(core.digest(a) .. " " .. core.digest(b), core.digests(a, b))
    assert.equal("none " .. core.digest(b), core.digests(nil, b))
    assert.equal(core.digest(a) .. " none", core.digests(a, nil))
  end)

  it("is counted by the columns in which it differs from another one", function()
    local counts, names = { n = 3 }, { "id", "text", "n" }
    core.count_differing(core.pack("iti", { 1, "a", NULL }), core.pack("iti", { 1, "ab", 0 }),
      names, counts)
    assert.same({ text = 1, n = 4 }, counts)
    core.count_differing(core.pack("iti", { 1, "a", 7 }), core.pack("iti", { 1, "a", 7 }), names,
      counts)
    assert.same({ text = 1, n = 4 }, counts)
    assert.is_false(pcall(core.count_differing, core.pack("i", { 1 }), core.pack("it", { 1, "" }),
      names, counts))
  end)

  it("has kinds that are ordered alike on both servers, text never", function()
    for kinds, ordered in pairs { i = true, d = true, D = true, S = true, x = true, ix = true,
      t = false, it = false, j = false } do
      assert.equal(ordered, core.kinds_ordered(kinds), kinds)
    end
    assert.equal("decimal", core.kind_name "d")
  end)
end)

-- ---- from server to server ----

local function text_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  assert(pipe:close(), command)
  return text
end

local function client(driver, sql)
  local program = os.getenv(driver == "mysql" and "DUALDB_SANDBOX_MYSQL" or "DUALDB_SANDBOX_PSQL")
  local database = servers.settings(driver).dbname
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(sql)
  file:close()
  local text = text_of(driver == "mysql"
    and ("%s --default-character-set=utf8mb4 -N -B -r %s <%s"):format(program, database, path)
    or ("PGDATABASE=%s %s -qAt -P null=NULL -F '\t' <%s"):format(database, program, path))
  os.remove(path)
  return text
end

describe("copying from mysql to postgres", function()
  local primary, secondary

  before_each(function()
    servers.before_each()
    primary, secondary = servers.open "mysql", servers.open "postgres"
  end)
  after_each(servers.after_each)

  -- Name, type on MySQL, type on PostgreSQL, kind, values as MySQL's literals, and what the clients
  -- are asked for where their notations of the same value differ.
  local COLUMNS = {
    { "b", "tinyint(1)", "boolean", "b", { "0", "1", "null" }, "b", "b::int" },
    { "ti", "tinyint", "smallint", "i", { "-128", "127", "0" } },
    { "tu", "tinyint unsigned", "smallint", "i", { "0", "255", "null" } },
    { "si", "smallint", "smallint", "i", { "-32768", "32767", "1" } },
    { "mu", "mediumint unsigned", "int", "i", { "0", "16777215", "1" } },
    { "i", "int", "int", "i", { "-2147483648", "2147483647", "-1" } },
    { "iu", "int unsigned", "bigint", "i", { "0", "4294967295", "1" } },
    { "bi", "bigint", "bigint", "i", { "-9223372036854775808", "9223372036854775807", "0" } },
    { "bu", "bigint unsigned", "numeric(20)", "i", { "0", "18446744073709551615",
      "9223372036854775808" } },
    { "de", "decimal(65,30)", "numeric(65,30)", "d", { "-" .. ("9"):rep(35) .. "." .. ("9"):rep(30),
      "0.000000000000000000000000000001", "-0.5" } },
    { "fl", "float", "real", "f", { "1.5", "-3.4028234e38", "1.17549435e-38" },
      "cast(fl as double)", "fl::float8" },
    { "do", "double", "double precision", "g", { "0.1", "-1.7976931348623157e308",
      "2.2250738585072014e-308" } },
    { "ch", "char(10)", "char(10)", "t", { "'abc'", "''", "'\u{e9}\u{1f600}'" },
      "hex(ch)", "upper(encode(convert_to(ch::text, 'UTF8'), 'hex'))" },
    { "vc", "varchar(100)", "varchar(100)", "t", { "'it''s \"q\" \\\\ \\n\\t'", "'trailing  '",
      "'\u{4e2d}\u{6587}\u{1f469}\u{200d}\u{1f4bb}'" },
      "hex(vc)", "upper(encode(convert_to(vc, 'UTF8'), 'hex'))" },
    { "tx", "longtext", "text", "t", { "''", "repeat('\u{e9}', 10000)", "null" },
      "hex(tx)", "upper(encode(convert_to(tx, 'UTF8'), 'hex'))" },
    { "bn", "binary(4)", "bytea", "x", { "x'00010203'", "x'ff'", "x'00000000'" },
      "hex(bn)", "upper(encode(bn, 'hex'))" },
    { "bl", "longblob", "bytea", "x", { "x'00ff27225c0a0d'", "x''", "repeat(x'00ff', 20000)" },
      "hex(bl)", "upper(encode(bl, 'hex'))" },
    { "da", "date", "date", "D", { "'0001-01-01'", "'9999-12-31'", "'2024-02-29'" } },
    { "tm", "time(6)", "time(6)", "T", { "'00:00:00'", "'23:59:59.999999'", "'12:00:00.5'" },
      "time_format(tm, '%H:%i:%s.%f')", "to_char(tm, 'HH24:MI:SS.US')" },
    { "dt", "datetime(6)", "timestamp(6)", "S", { "'0001-01-01 00:00:00'",
      "'9999-12-31 23:59:59.999999'", "'2024-02-29 12:00:00.000001'" },
      "date_format(dt, '%Y-%m-%d %H:%i:%s.%f')", "to_char(dt, 'YYYY-MM-DD HH24:MI:SS.US')" },
    { "ts", "timestamp(6) null", "timestamptz(6)", "S", { "'1970-01-01 00:00:01'",
      "'2038-01-19 03:14:07.999999'", "null" },
      "date_format(ts, '%Y-%m-%d %H:%i:%s.%f')",
      "to_char(ts at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')" },
    { "js", "json", "jsonb", "j",
      { "'{\"b\": [1, 2.50], \"a\": \"\\\\u00e9\"}'", "'null'", "'[]'" },
      "json_unquote(json_extract(js, '$.a'))", "js ->> 'a'" },
    { "en", "enum('small', 'it''s')", "text", "t", { "'small'", "'it''s'", "null" } },
    { "uu", "char(36)", "uuid", "u", { "'123e4567-e89b-12d3-a456-426614174000'",
      "'00000000-0000-0000-0000-000000000000'", "null" } },
  }

  local function quoted(driver, name) return core.quote(driver, name) end

  local function lists()
    local list = { mysql = {}, postgres = {}, select_mysql = {}, select_postgres = {}, kinds = "i",
      shown_mysql = {}, shown_postgres = {} }
    for i, c in ipairs(COLUMNS) do
      for _, driver in ipairs { "mysql", "postgres" } do
        local name = quoted(driver, c[1])
        list[driver][i] = name .. " " .. c[driver == "mysql" and 2 or 3]
        list["select_" .. driver][i] = name
        list["shown_" .. driver][i] = c[driver == "mysql" and 6 or 7] or name
      end
      list.kinds = list.kinds .. c[4]
    end
    for name, part in pairs(list) do
      if type(part) == "table" then list[name] = table.concat(part, ", ") end
    end
    return list
  end

  it("brings every supported type over so that both servers' own clients show the same", function()
    if not servers.sandboxed() then return pending("needs a sandbox") end
    local list = lists()
    local name = servers.scratch_name()
    primary:execute(("create table %s (id int primary key, %s)"):format(name, list.mysql))
    secondary:execute(("create table %s (id int primary key, %s)"):format(name, list.postgres))
    for row = 1, 3 do
      local values = {}
      for i, c in ipairs(COLUMNS) do values[i] = c[5][row] end
      primary:execute(("insert into %s values (%d, %s)"):format(name, row,
        table.concat(values, ", "):gsub("%?", "??")))
    end
    local query = "select id, %s from %s order by id"
    local copied = core.copy {
      source = primary, target = secondary, query = query:format(list.select_mysql, name),
      kinds = list.kinds, table = name, columns = "id, " .. list.select_postgres,
    }
    assert.equal(3, copied.rows_read)
    assert.equal(3, copied.rows_written)
    for _, ordered in ipairs { true, false } do
      local result = core.compare {
        primary = primary, secondary = secondary, kinds = list.kinds, key_columns = 1,
        primary_query = query:format(list.select_mysql, name), ordered = ordered,
        secondary_query = query:format(list.select_postgres, name),
        difference = function(kind) error("a difference: " .. kind) end,
      }
      assert.same({ 3, 3, 0 }, { result.rows_primary, result.rows_secondary, result.differences })
    end
    local shown = {}
    for _, side in ipairs(servers.SIDES) do
      local driver, lines = side.driver, {}
      local sql = query:format(list["shown_" .. driver], name) .. ";\n"
      if driver == "mysql" then sql = "set time_zone = '+00:00';\n" .. sql end
      for line in client(driver, sql):gmatch "[^\n]+" do
        local fields = {}
        for field in (line .. "\t"):gmatch "([^\t]*)\t" do fields[#fields + 1] = field end
        lines[#lines + 1] = fields
      end
      shown[driver] = lines
    end
    assert.equal(3, #shown.mysql)
    for row = 1, 3 do
      assert.equal(1 + #COLUMNS, #shown.mysql[row])
      for i, c in ipairs(COLUMNS) do
        local left, right = shown.mysql[row][i + 1], shown.postgres[row][i + 1]
        -- 1e308 of one is 1e+308 of the other.
        if c[4] == "f" or c[4] == "g" then left, right = tonumber(left), tonumber(right) end
        assert(left == right, ("%s of row %d: mysql shows %s, postgres %s"):format(c[1], row,
          tostring(left):sub(1, 100), tostring(right):sub(1, 100)))
      end
    end
  end)
end)
