-- Loads into MySQL: both ways, LOAD DATA and INSERT, take the same rows, refuse the same with the
-- same class, and leave nothing of a load that failed; and no server gets a file of this machine.

local core = require "dualdb.core"
local loading = require "spec.support.loading"
local servers = require "spec.support.servers"

local failure = servers.failure
local primary, secondary

local function start()
  servers.before_each()
  primary, secondary = servers.open "mysql", servers.open "postgres"
end

--- Copies the rows of a query on PostgreSQL into a table on MySQL.
local function copy(query, kinds, name, columns, key_columns)
  return core.copy { source = secondary, target = primary, query = query, kinds = kinds,
    table = name, columns = columns, key_columns = key_columns }
end

--- The rows of a table as text, by id.
local function rows(name, expression)
  local list = {}
  for i, row in ipairs(primary:query(("select concat_ws('|', %s) as v from %s order by id")
    :format(expression, name))) do list[i] = row.v end
  return list
end

describe("a load into MySQL", function()
  before_each(start)
  after_each(servers.after_each)

  if not servers.sandboxed() then return pending("needs a sandbox") end

  -- ---- what is refused ----

  -- Columns besides id, the values of a good row and of a bad one on PostgreSQL, their kinds.
  local REFUSED = {
    { "a key that is there twice", "integrity", "n int", "5", "5", "i", id = 1 },
    { "a unique value that is there twice", "integrity", "n int unique", "5", "5", "i" },
    { "NULL where there is none", "integrity", "n int not null", "5", "null::int", "i" },
    { "NULL where there is none, of bytes", "integrity", "n blob not null", "''::bytea",
      "null::bytea", "x" },
    { "what a check refuses", "integrity", "n int, check (n < 10)", "5", "10", "i" },
    { "a number out of range", "data", "n tinyint", "5", "128", "i" },
    { "a number below zero", "data", "n int unsigned", "5", "-1", "i" },
    { "a decimal out of range", "data", "n decimal(4,2)", "1.5", "100.0", "d" },
    { "a decimal with too many digits", "data", "n decimal(4,2)", "1.5", "1.239", "d" },
    { "text that is too long", "data", "n varchar(3)", "'abc'", "'abcd'", "t" },
    { "blanks that are too many", "data", "n varchar(3)", "'abc'", "'abc '", "t" },
    { "bytes that are too long", "data", "n varbinary(3)", "'abc'::bytea", "'abcd'::bytea", "x" },
    { "bits that are too many", "data", "n bit(3)", "b'101'", "b'1010'", "B" },
    { "text that the character set lacks", "data", "n varchar(9) character set latin1", "'é'",
      "'ł'", "t" },
    { "no label of the enum", "data", "n enum('a', 'b')", "'a'", "'c'", "t" },
    { "a year that there is not", "data", "n year", "2000", "1900", "i" },
    { "a fraction of an integer", "data", "n bigint", "2.0", "1.5", "d" },
    { "a double that is no float", "data", "n float", "0.5::float8", "0.1::float8", "g" },
    { "a fraction of a second that the type has not", "data", "n datetime(3)",
      "timestamp '2020-01-01 00:00:00.123'", "timestamp '2020-01-01 00:00:00.1234'", "S" },
    { "a time in more detail than the type has", "data", "n time", "time '10:00:00'",
      "time '10:00:00.5'", "T" },
    { "a year that would be another", "data", "n year", "2005", "5", "i" },
    { "bytes that are no geometry", "data", "n geometry", "null::bytea", "'abc'::bytea", "x" },
  }

  for _, case in ipairs(REFUSED) do
    it(("refuses %s as class %s by both ways, and keeps nothing"):format(case[1], case[2]),
      function()
        local name = servers.table(primary, "id int primary key, " .. case[3])
        local query = ("select 1 as id, %s as n union all select %d, %s"):format(case[4],
          case.id or 2, case[5])
        loading.both_ways(function(way)
          for _, key_columns in ipairs { false, 1 } do
            local err = failure(copy, query, "i" .. case[6], name, "id, n", key_columns or nil)
            assert.equal(case[2], err.class, way .. ": " .. tostring(err))
            assert.equal("primary", err.side)
            assert.equal(0, primary:query("select count(*) as n from " .. name)[1].n)
            assert.is_true(primary:reusable() and secondary:reusable())
            copy(("select 1 as id, %s as n"):format(case[4]), "i" .. case[6], name, "id, n",
              key_columns or nil)
            assert.equal(1, primary:execute("delete from " .. name).affected)
          end
        end)
      end)
  end

  it("refuses what has no parent, as class integrity by both ways", function()
    local parent = servers.table(primary, "id int primary key")
    local name = servers.table(primary, ("id int primary key, n int, foreign key (n) "
      .. "references %s (id)"):format(parent))
    servers.finally(function() primary:execute("drop table " .. name) end)
    loading.both_ways(function()
      local err = failure(copy, "select 1 as id, 5 as n", "ii", name, "id, n")
      assert.equal("integrity", err.class)
      assert.equal(1452, err.code)
    end)
  end)

  it("that fails in a transaction leaves what was before it", function()
    local name = servers.table(primary, "id int primary key, n int unique")
    loading.both_ways(function()
      for _, key_columns in ipairs { false, 1 } do
        primary:execute "begin"
        primary:execute(("insert into %s values (1, 1)"):format(name))
        failure(copy, "select 2 as id, 2 as n union all select 3, 1", "ii", name, "id, n",
          key_columns or nil)
        assert.same({ "1|1" }, rows(name, "id, n"))
        copy("select 4 as id, 4 as n", "ii", name, "id, n", key_columns or nil)
        assert.same({ "1|1", "4|4" }, rows(name, "id, n"))
        primary:execute "rollback"
        assert.same({}, rows(name, "id, n"))
      end
    end)
  end)

  -- ---- what arrives ----

  it("keeps each byte of text and of byte strings", function()
    local name = servers.table(primary,
      "id int primary key, b longblob, s longtext character set utf8mb4")
    local bytes, text = {}, {}
    for byte = 0, 255 do bytes[byte + 1] = ("%02x"):format(byte) end
    for byte = 1, 127 do text[byte] = ("chr(%d)"):format(byte) end
    local all = table.concat(bytes)
    local query = ("select 1 as id, '\\x%s'::bytea as b, %s || 'é😀\\N' as s "
      .. "union all select 2, ''::bytea, '' union all select 3, null, null "
      .. "union all select 4, '\\x5c4e'::bytea, '\\N' union all select 5, '\\x4e554c4c', 'NULL'")
      :format(all, table.concat(text, " || "))
    local expected = secondary:query(("select id || '|' || coalesce(encode(b, 'hex'), '-') || '|' "
      .. "|| coalesce(encode(convert_to(s, 'UTF8'), 'hex'), '-') as v from (%s) q order by id")
      :format(query))
    loading.both_ways(function()
      primary:execute("delete from " .. name)
      assert.equal(5, copy(query, "ixt", name, "id, b, s").rows_written)
      local found = rows(name, "id, coalesce(lower(hex(b)), '-'), coalesce(lower(hex(s)), '-')")
      for i, row in ipairs(expected) do assert.equal(row.v, found[i]) end
    end)
  end)

  it("keeps times of all lengths, with and without a fraction", function()
    local name = servers.table(primary, "id int primary key, n time(6)")
    -- 2999 apart: all days, hours, minutes and seconds come up.
    local query = "select row_number() over () as id, make_interval(secs => s + f) as n "
      .. "from generate_series(-3020398, 3020398, 2999) s, "
      .. "unnest(array[0, 0.5, 0.000001]) f"
    local count = secondary:query(("select count(*) as n from (%s) q"):format(query))[1].n
    loading.both_ways(function()
      primary:execute("delete from " .. name)
      assert.equal(count, copy(query, "iT", name, "id, n").rows_written)
      local differing = 0
      core.compare { primary = primary, secondary = secondary, kinds = "iT", key_columns = 1,
        ordered = true, primary_query = ("select id, n from %s order by id"):format(name),
        secondary_query = query .. " order by 1",
        difference = function() differing = differing + 1 end }
      assert.equal(0, differing)
    end)
  end)

  it("takes rows that are wide and rows that are not in their order", function()
    local name = servers.scratch_name()
    primary:execute(("create table %s (id int primary key, parent int, body longtext, "
      .. "foreign key (parent) references %s (id))"):format(name, name))
    -- Each row has the one before it for a parent, and every third is wide.
    local query = "select n as id, nullif(n - 1, 0) as parent, "
      .. "repeat('x', case when n % 3 = 0 then 600000 else 10 end) as body "
      .. "from generate_series(1, 12) n order by n"
    loading.both_ways(function()
      primary:execute "set foreign_key_checks = 0"
      primary:execute("delete from " .. name)
      primary:execute "set foreign_key_checks = 1"
      assert.equal(12, copy(query, "iit", name, "id, parent, body").rows_written)
      assert.same({ ("12|%d"):format(4 * 600000 + 8 * 10) }, rows(("(select count(*) as id, "
        .. "sum(length(body)) as n from %s) q"):format(name), "id, n"))
    end)
  end)

  it("takes a boolean where the column is a bit, and a year 0 for the year 0", function()
    local name = servers.table(primary, "id int primary key, b bit(1), y year")
    loading.both_ways(function()
      primary:execute("delete from " .. name)
      copy("select 1 as id, true as b, 0 as y union all select 2, false, 2155", "ibi", name,
        "id, b, y")
      assert.same({ "1|1|0", "2|0|2155" }, rows(name, "id, b + 0, y + 0"))
    end)
  end)

  it("goes by INSERT where the text of a value would not be the value", function()
    local name = servers.table(primary, "id int primary key, n varchar(20)")
    loading.both_ways(function()
      primary:execute("delete from " .. name)
      copy("select 1 as id, 12 as n", "ii", name, "id, n")
      assert.same({ "1|12" }, rows(name, "id, n"))
      return false
    end)
  end)

  -- ---- rows that replace others ----

  it("replaces the rows that have its keys and adds the others, and no row twice", function()
    local name = servers.table(primary, "a int, id int, n varchar(20), more int default 7, "
      .. "primary key (a, id)")
    loading.both_ways(function()
      primary:execute("delete from " .. name)
      primary:execute(("insert into %s values (1, 1, 'old', 1), (1, 2, 'old', 2), (2, 3, 'old', 3)")
        :format(name))
      local copied = copy("select 1 as a, 2 as id, 'new' as n union all select 2, 4, 'added' "
        .. "union all select 2, 3, null", "iit", name, "a, id, n", 2)
      assert.equal(3, copied.rows_written)
      assert.same({ "1|1|old|1", "1|2|new|2", "2|3|-|3", "2|4|added|7" },
        rows(name, "a, id, coalesce(n, '-'), more"))
      local err = failure(copy, "select 9 as a, 9 as id union all select 9, 9", "ii", name, "a, id",
        2)
      assert.equal("integrity", err.class)
      err = failure(copy, "select 1 as a, 1 as id union all select 1, 1", "ii", name, "a, id", 2)
      assert.equal("integrity", err.class)
      assert.equal(2, copy("select 1 as a, 1 as id union all select 5, 5", "ii", name, "a, id",
        2).rows_written)
      assert.equal(5, #rows(name, "a"))
    end)
  end)

  it("never replaces a row by another unique key, nor by a key that only looks the same", function()
    local name = servers.table(primary,
      "id varchar(20) character set utf8mb4 collate utf8mb4_general_ci primary key, u int unique")
    loading.both_ways(function()
      primary:execute("delete from " .. name)
      primary:execute(("insert into %s values ('Google', 1), ('other', 2)"):format(name))
      for _, row in ipairs { "'google', 3", "'third', 2", "'other', 1" } do
        local err = failure(copy, "select " .. row, "ti", name, "id, u", 1)
        assert.equal("integrity", err.class)
        assert.same({ "Google|1", "other|2" }, rows(name, "id, u"))
      end
      assert.equal(1, copy("select 'Google', 5", "ti", name, "id, u", 1).rows_written)
      assert.same({ "Google|5", "other|2" }, rows(name, "id, u"))
    end)
  end)

  it("fires the triggers of an update and no cascade", function()
    local name = servers.table(primary, "id int primary key, n int")
    local child = servers.table(primary, ("id int primary key, foreign key (id) references %s (id) "
      .. "on delete cascade"):format(name))
    servers.finally(function() primary:execute("drop table " .. child) end)
    loading.both_ways(function()
      primary:execute("delete from " .. name)
      primary:execute(("insert into %s values (1, 1)"):format(name))
      primary:execute(("insert into %s values (1)"):format(child))
      copy("select 1 as id, 2 as n", "ii", name, "id, n", 1)
      assert.same({ "1|2" }, rows(name, "id, n"))
      assert.same({ "1" }, rows(child, "id"))
    end)
  end)

  it("replaces rows of tables that are partitioned, compute columns and must have moments",
    function()
      local name = servers.table(primary, "id int auto_increment primary key, "
        .. "at timestamp(3) not null, then_at datetime not null, d date not null, "
        .. "n int as (day(d)) stored, `a ``b` json not null")
      primary:execute(("alter table %s partition by hash (id)"):format(name))
      local query = "select %d as id, timestamp '2020-01-02 03:04:05.678' as at, "
        .. "timestamp '2021-01-01' as then_at, date '2020-02-29' as d, '{}'::jsonb as j"
      loading.both_ways(function()
        primary:execute("delete from " .. name)
        for _ = 1, 2 do
          copy(query:format(5) .. " union all " .. query:format(7), "iSSDj", name,
            "id, at, then_at, d, `a ``b`", 1)
          assert.same({ "5|2020-01-02 03:04:05.678|29|{}", "7|2020-01-02 03:04:05.678|29|{}" },
            rows(name, "id, at, n, `a ``b`"))
        end
      end)
    end)

  it("replaces many rows, more than wait at once", function()
    local name = servers.table(primary, "id int primary key, n varchar(1000)")
    local query = "select g as id, repeat(%s, 1000) as n from generate_series(%d, %d) g"
    loading.both_ways(function()
      primary:execute("delete from " .. name)
      copy(query:format("'a'", 1, 10000), "it", name, "id, n", 1)
      assert.equal(20000, copy(query:format("'b'", 5001, 25000), "it", name, "id, n", 1)
        .rows_written)
      assert.same({ "5000|20000" }, rows(("(select 1 as id, sum(n = repeat('a', 1000)) as a, "
        .. "sum(n = repeat('b', 1000)) as b from %s) q"):format(name), "a, b"))
    end)
  end)

  it("replaces no rows of PostgreSQL", function()
    local name = servers.table(secondary, "id int primary key")
    local err = failure(core.copy, { source = primary, target = secondary, kinds = "i",
      query = "select 1 as id", table = name, columns = "id", key_columns = 1 })
    assert.equal("usage", err.class)
    assert.is_true(primary:reusable() and secondary:reusable())
  end)

  -- ---- files of this machine ----

  it("is the only one who has LOAD DATA LOCAL: a file of this machine goes to no server", function()
    local name = servers.table(primary, "id varchar(200)")
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write "secret\n"
    file:close()
    servers.finally(function() os.remove(path) end)
    local sql = ("load data local infile '%s' into table %s"):format(path, name)
    for _, allowed in ipairs { true, false } do
      loading.allow(allowed)
      for _, method in ipairs { "execute", "query" } do
        local err = failure(primary[method], primary, sql)
        assert.equal("refused", err.class, method .. ": " .. tostring(err))
        assert.equal("primary", err.side)
        if allowed then assert.matches("file of this machine", err.message, 1, true) end
        assert.is_true(primary:reusable())
        assert.same({}, primary:query("select * from " .. name))
      end
      -- A load right before makes no difference.
      copy("select 'x' as id", "t", name, "id")
      assert.equal("refused", failure(primary.execute, primary, sql).class)
      assert.same({ { id = "x" } }, primary:query("select * from " .. name))
      primary:execute("delete from " .. name)
    end
  end)
end)
