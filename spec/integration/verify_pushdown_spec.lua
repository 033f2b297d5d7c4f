-- Pushdown: the servers digest their rows by plain SQL. What it reports is what a stream reports,
-- on every type that both servers write alike; the others are streamed, and the report says so.

local apply = require "dualdb.schema.apply"
local clients = require "spec.property.clients"
local generate = require "spec.property.generate"
local methods = require "spec.support.methods"
local oracle = require "spec.support.clients"
local pair = require "spec.support.pair"
local render = require "dualdb.verify.pushdown.render"

local TABLE = "spec_pushdown"

local db

local function open(model)
  if db then db:close() end
  db = pair.open { [TABLE] = model or {} }
end

--- What both methods say.
local function by_both(options) return methods.both(db[TABLE], options) end

describe("pushdown", function()
  before_each(function() open() end)

  after_each(function()
    pair.drop(db, TABLE)
    pair.drop_all(db)
    db:close()
    db = nil
  end)

  describe("over the matrix of types", function()
    --- Makes the generated table and its copy; returns the names of the columns that both write
    --- alike, without the key's.
    local function make(seed)
      local case = generate.table(seed, 60, db.primary:info().product)
      local types = {}
      for _, column in ipairs(case.columns) do types[column.name] = column.declared end
      open { types = types }
      pair.drop(db, TABLE)
      clients.load(generate.sql(case, TABLE))
      db:refresh()
      apply.run(db, { TABLE })
      local synced = db[TABLE]:sync()
      assert.is_nil(synced.error)
      local names, spec = {}, db:spec(TABLE)
      for i, column in ipairs(spec.columns) do
        if i > spec.key_count and render.alike(column) then names[#names + 1] = column.name end
      end
      return names, spec
    end

    --- Gives one row of the secondary another one's value in the column; true when it had none like
    --- it.
    local function plant(spec, name, at)
      local column = spec.columns[spec.index[name]]
      if column.other.generated then return false end
      local quoted = db.secondary:quote(column.secondary)
      local key = spec.statements.secondary:key_list()
      local row = ("(select ctid from %s order by %s offset %d limit 1)"):format(TABLE, key, at)
      local done = db.secondary:execute(([[
        update %s set %s = other.v from (
          select b.%s as v from %s a, %s b
          where a.ctid = %s and a.%s is distinct from b.%s limit 1) other
        where ctid = %s]]):format(TABLE, quoted, quoted, TABLE, TABLE, row, quoted, quoted, row))
      return done.affected == 1
    end

    it("says what a stream says, of equal rows and of differences in every column", function()
      for seed = 1, 8 do
        local names, spec = make(seed)
        local options = { columns = #names > 0 and names or { spec.names[1] } }
        assert.equal("equal", by_both(options).verdict)
        local planted = 0
        for i, name in ipairs(names) do
          if plant(spec, name, i * 3) then planted = planted + 1 end
        end
        db.primary:execute(("delete from %s order by %s limit 1"):format(TABLE,
          spec.statements.primary:key_list()))
        local found = by_both(options)
        assert.equal(planted, found.changed)
        assert.equal(1, found.extra)
      end
    end)
  end)

  describe("on values that servers write in ways of their own", function()
    --- { the primary's type, the secondary's, literals that are equal, literals that are not },
    --- each literal a pair, or one for both.
    local BOTH = {
      { "tinyint(1)", "boolean", { { "0", "false" }, { "1", "true" }, "null" },
        { { "0", "true" }, { "2", "true" }, { "null", "false" }, { "1", "null" } } },
      { "bit(1)", "boolean", { { "b'0'", "false" }, { "b'1'", "true" }, "null" },
        { { "b'0'", "true" }, { "null", "false" } } },
      { "tinyint(1)", "smallint", { "0", "1", "100" }, { { "1", "2" } } },
      { "smallint", "smallint", { "-32768", "0", "null" }, { { "0", "null" }, { "5", "-5" } } },
      { "mediumint", "integer", { "-8388608" }, { { "1", "10" } } },
      { "int(6) zerofill", "bigint", { "42", "0", "4294967295" }, { { "42", "420" } } },
      { "bigint", "bigint", { "-9223372036854775808", "9223372036854775807" },
        { { "9223372036854775807", "9223372036854775806" } } },
      { "bigint unsigned", "numeric(20,0)", { "18446744073709551615", "0" },
        { { "18446744073709551615", "18446744073709551614" }, { "0", "'NaN'" } } },
      { "bigint unsigned", "numeric", { "7", { "7", "7.00" } }, { { "7", "7.01" } } },
      { "year", "smallint", { "0", "1901", "2155", "null" }, { { "0", "2000" } } },
      { "decimal(10,2)", "numeric(10,2)", { "1.5", "0", "-0.01", { "-0", "0" }, "null" },
        { { "1.5", "1.51" }, { "0", "'NaN'" }, { "null", "0" } } },
      { "decimal(10,2)", "numeric", { { "1.50", "1.5" }, { "1.5", "1.5000" }, { "100", "100" },
        { "0", "0.0000" }, { "-20.10", "-20.1" } }, { { "1.5", "1.505" }, { "100", "1" } } },
      { "decimal(10,2)", "numeric(14,4)", { "1.5", "100", "0" }, { { "1.5", "1.5001" } } },
      { "decimal(8,0)", "integer", { "1200", "0", "-7" }, { { "1200", "12" } } },
      { "decimal(8,0)", "numeric(12,3)", { "1200", "0" }, { { "1200", "1200.001" } } },
      { "decimal(6,2) zerofill", "numeric(6,2)", { "1.5", "0" }, { { "1.5", "1.55" } } },
      { "decimal(65,30)", "numeric(65,30)", { "0.000000000000000000000000000001" },
        { { "0.000000000000000000000000000001", "0" } } },
      { "bit(9)", "bit(9)", { { "b'1'", "b'000000001'" }, "b'111111111'" },
        { { "b'1'", "b'000000011'" } } },
      { "bit(64)", "bit(64)", { "b'" .. ("1"):rep(64) .. "'", "b'1" .. ("0"):rep(63) .. "'" },
        { { "b'" .. ("1"):rep(64) .. "'", "b'0" .. ("1"):rep(63) .. "'" } } },
      { "char(5)", "varchar(5)", { "'ab'", "''", "'\tb'", { "'ab  '", "'ab'" } },
        { { "'ab'", "'ab '" }, { "''", "null" }, { "'a'", "'A'" } } },
      { "char(5)", "char(5)", { "'ab'", "''" }, { { "'ab'", "'abc'" } } },
      { "varchar(40)", "text", { "'N'", "''", "' '", "'a '", "',3,'", "'🎉 é'", "'null'", "null" },
        { { "'a '", "'a'" }, { "'N'", "null" }, { "''", "null" }, { "'é'", "'e'" },
          { "'é'", "U&'e\\0301'" }, { "'ß'", "'ss'" } } },
      { "varchar(40) collate utf8mb4_bin", "varchar(40)", { "'x'" }, { { "'x'", "'X'" } } },
      { "varchar(40) character set latin1", "varchar(40)", { "'é¿'", "''", "null" },
        { { "'é'", "'Ã©'" }, { "'é'", "'e'" } } },
      { "varchar(40) character set cp1251", "text", { "'жук'" }, { { "'жук'", "'Жук'" } } },
      { "varchar(40) character set utf16", "text", { "'ж🎉'" }, { { "'ж'", "'z'" } } },
      { "text character set utf8mb3", "text", { "'日本'" }, { { "'日本'", "'日 本'" } } },
      { "longtext", "text", { "repeat('é', 70000)" },
        { { "repeat('é', 70000)", "repeat('é', 70001)" } } },
      { "enum('a','it''s','é') character set latin1", "text", { "'a'", "'it''s'", "'é'" },
        { { "'a'", "'é'" } } },
      { "set('a','b','c')", "text", { "''", "'a'", { "'c,a'", "'a,c'" } },
        { { "'a,b'", "'b,a'" } } },
      { "binary(3)", "bytea", { { "x'00'", "'\\x000000'" }, { "'N'", "'\\x4e0000'" } },
        { { "x'00'", "'\\x00'" } } },
      { "varbinary(40)", "bytea", { { "''", "''" }, { "x'00ff5c'", "'\\x00ff5c'" }, "null" },
        { { "''", "null" }, { "x'00'", "''" }, { "x'e9'", "'\\xc3a9'" } } },
      { "longblob", "bytea", { { "repeat(x'00', 70000)", "decode(repeat('00', 70000), 'hex')" } },
        { { "repeat(x'00', 70000)", "decode(repeat('00', 70001), 'hex')" } } },
      { "point", "bytea", { { "st_geomfromtext('point(1 2)')",
          "'\\x000000000101000000000000000000f03f0000000000000040'" } },
        { { "st_geomfromtext('point(1 3)')",
            "'\\x000000000101000000000000000000f03f0000000000000040'" } } },
      { "date", "date", { "'2024-02-29'", "'9999-12-31'", "'0001-01-01'", "null" },
        { { "'0000-00-00'", "null" }, { "'0000-00-00'", "'0001-01-01 BC'" },
          { "'9999-12-31'", "'infinity'" }, { "'0044-03-15'", "'0044-03-15 BC'" },
          { "'2020-02-00'", "'2020-02-01'" } } },
      { "time", "time(0)", { "'00:00:00'", "'23:59:59'", "'24:00:00'" },
        { { "'-01:00:00'", "'01:00:00'" }, { "'100:00:00'", "'10:00:00'" } } },
      { "time(3)", "time(6)", { "'10:00:00'", "'10:00:00.5'", "'10:00:10.010'" },
        { { "'10:00:00.5'", "'10:00:00.05'" }, { "'10:00:00'", "'10:00:00.000001'" } } },
      { "datetime", "timestamp(0)", { "'2024-03-31 02:30:00'", "'1000-01-01 00:00:00'" },
        { { "'0000-00-00 00:00:00'", "null" }, { "'9999-12-31 00:00:00'", "'infinity'" } } },
      { "datetime(6)", "timestamp(6)", { "'2024-03-31 02:30:00'", "'2024-03-31 02:30:00.000001'",
        "'2024-03-31 02:30:10.100000'" },
        { { "'2024-03-31 02:30:00.1'", "'2024-03-31 02:30:00.01'" },
          { "'2024-03-31 02:30:00'", "'2024-03-31 02:30:00.000001'" } } },
      { "datetime(3)", "timestamptz(3)", { { "'2024-03-31 02:30:00.5'",
        "'2024-03-31 04:30:00.5+02'" } },
        { { "'2024-03-31 02:30:00'", "'2024-03-31 02:30:00+02'" } } },
      { "timestamp(6) null", "timestamptz(6)", { { "'2024-10-27 01:30:00.25'",
        "'2024-10-27 01:30:00.25+00'" }, "null" }, { { "'2024-10-27 01:30:00'",
        "'2024-10-27 00:30:00+00'" } } },
      { "char(36)", "uuid", { "'0b9a3f34-6d1e-4c1f-8a53-0123456789ab'",
        "'0B9A3F34-6D1E-4C1F-8A53-0123456789AB'", "'0b9a3f346d1e4c1f8a530123456789ab'", "null" },
        { { "'0b9a3f34-6d1e-4c1f-8a53-0123456789ab'", "'0b9a3f34-6d1e-4c1f-8a53-0123456789ac'" },
          { "'0b9a-3f346d1e4c1f8a530123456789ab'", "'0b9a3f346d1e4c1f8a530123456789ab'" },
          { "'x'", "'0b9a3f346d1e4c1f8a530123456789ab'" } } },
      { "binary(16)", "uuid", { { "x'0b9a3f346d1e4c1f8a530123456789ab'",
        "'0b9a3f34-6d1e-4c1f-8a53-0123456789ab'" } },
        { { "x'0b9a3f346d1e4c1f8a530123456789ab'", "'0b9a3f34-6d1e-4c1f-8a53-0123456789ac'" } } },
    }
    local MARIADB = {
      { "uuid", "uuid", { "'0B9A3F34-6D1E-4C1F-8A53-0123456789AB'" },
        { { "'0b9a3f34-6d1e-4c1f-8a53-0123456789ab'",
            "'0b9a3f34-6d1e-4c1f-8a53-0123456789ac'" } } },
      { "inet6", "text", { "'::1'", "'2001:db8::ff00:42:8329'" }, { { "'::1'", "'::2'" } } },
      { "inet4", "text", { "'10.0.0.1'" }, { { "'10.0.0.1'", "'10.0.0.10'" } } },
    }

    local function rows_of(cases)
      local rows = { mysql = {}, postgres = {} }
      local id, different = 0, {}
      for at, case in ipairs(cases) do
        for list = 3, 4 do
          for _, literal in ipairs(case[list]) do
            id = id + 1
            if list == 4 then different[#different + 1] = id end
            for which, driver in ipairs { "mysql", "postgres" } do
              table.insert(rows[driver], ("insert into %s (id, c%d) values (%d, %s)"):format(TABLE,
                at, id, type(literal) == "table" and literal[which] or literal))
            end
          end
        end
      end
      return rows, different
    end

    it("finds them equal and different as a stream does", function()
      local cases = table.move(BOTH, 1, #BOTH, 1, {})
      if db.primary:info().product == "mariadb" then
        table.move(MARIADB, 1, #MARIADB, #cases + 1, cases)
      end
      local columns = { mysql = { "id int primary key" }, postgres = { "id int primary key" } }
      for i, case in ipairs(cases) do
        columns.mysql[i + 1] = ("c%d %s"):format(i, case[1])
        columns.postgres[i + 1] = ("c%d %s"):format(i, case[2])
      end
      open { integers = { "c3" } }
      pair.make(db, TABLE, { mysql = table.concat(columns.mysql, ", "),
                             postgres = table.concat(columns.postgres, ", ") })
      local rows, different = rows_of(cases)
      oracle.run("mysql", "set sql_mode = ''; " .. table.concat(rows.mysql, ";\n"))
      oracle.run("postgres", table.concat(rows.postgres, ";\n"))
      local found = by_both()
      local ids = {}
      for _, line in ipairs(found.differences) do
        ids[#ids + 1] = math.tointeger(line:match '"key":{"id":(%d+)}')
      end
      table.sort(ids)
      assert.same(different, ids)
    end)
  end)
end)
