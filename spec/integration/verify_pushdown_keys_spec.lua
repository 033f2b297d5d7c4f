-- Pushdown goes down from sums to keys, whatever the keys are; it takes the right to read and
-- nothing else; and what the servers cannot digest is streamed or read.

local clients = require "spec.support.clients"
local core = require "dualdb.core"
local digest = require "dualdb.verify.pushdown.digest"
local methods = require "spec.support.methods"
local ordered = require "dualdb.verify.pushdown.ordered"
local pair = require "spec.support.pair"
local parts = require "dualdb.verify.pushdown.parts"
local render = require "dualdb.verify.pushdown.render"
local servers = require "spec.support.servers"

local TABLE = "spec_pushdown_keys"
local ROWS = 2000

--- { name, the key's columns on each side, the key of row n on each side, their names }.
local KEYS = {
  { "integers close together", "id int", "id int", "n * 2 - 3000" },
  { "integers far apart", "id bigint", "id bigint", "n * 1000000007",
    "n * 1000000007::bigint" },
  { "unsigned integers", "id bigint unsigned", "id numeric(20,0)",
    "cast(9223372036854775000 as unsigned) + n", "9223372036854775000::numeric + n" },
  { "dates", "id date", "id date", "date '2001-01-01' + interval n day",
    "date '2001-01-01' + n::int" },
  { "moments", "id datetime(3)", "id timestamp(3)",
    "timestamp '2001-01-01 00:00:00' + interval n * 37 second",
    "timestamp '2001-01-01' + n * interval '37 s'" },
  { "decimals", "id decimal(12,2)", "id numeric(12,2)", "n / 4", "n / 4.0" },
  { "bytes", "id varbinary(40)", "id bytea", "unhex(sha2(n, 256))",
    "sha256(convert_to(n::text, 'UTF8'))" },
  { "several columns", "a int, b int", "a int, b int", "n % 5, n", nil, "a, b" },
  { "texts, of no common order", "id varchar(40)", "id varchar(40)",
    "concat(if(n % 2, 'K', 'k'), n)", "case when n % 2 = 1 then 'K' else 'k' end || n" },
  { "uuids, of no common order", "id char(36)", "id uuid",
    "insert(insert(insert(insert(left(sha2(n, 256), 32), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), "
      .. "24, 0, '-')", "left(encode(sha256(convert_to(n::text, 'UTF8')), 'hex'), 32)::uuid" },
}

describe("pushdown", function()
  local db, kept_sizes, kept_rows

  before_each(function()
    servers.before_each()
    db = pair.open { [TABLE] = {} }
    kept_sizes, kept_rows = ordered.SIZES, parts.PART_ROWS
    -- Small ones, so that few rows are many chunks of many parts.
    ordered.SIZES = { chunk_rows = 300, chunk_bytes = 1 << 20, together = 4, parts = 4,
                      parts_together = 6, listed_rows = 20 }
    parts.PART_ROWS = 20
  end)

  after_each(function()
    ordered.SIZES, parts.PART_ROWS = kept_sizes, kept_rows
    pair.drop_all(db)
    db:close()
    servers.after_each()
  end)

  local function make(key)
    local _, mysql, postgres, value, other, columns = table.unpack(key, 1, 6)
    columns = columns or "id"
    pair.make(db, TABLE, {
      mysql = ("%s, v int, primary key (%s)"):format(mysql, columns),
      postgres = ("%s, v int, primary key (%s)"):format(postgres, columns),
    })
    clients.run("mysql", ("insert into %s select %s, n from (%s) q where n between 1 and %d; "
      .. "analyze table %s"):format(TABLE, value, servers.million("mysql", 1), ROWS, TABLE))
    clients.run("postgres", ("insert into %s select %s, n from generate_series(1, %d) n; "
      .. "analyze %s"):format(TABLE, other or value, ROWS, TABLE))
    db:refresh()
  end

  for _, key in ipairs(KEYS) do
    it("finds one row and many among keys that are " .. key[1], function()
      make(key)
      local found = methods.both(db[TABLE])
      assert.equal("equal", found.verdict)
      assert.equal(ROWS, found.rows_primary)

      db.secondary:execute(("update %s set v = -v where v in (1, 1777, ?)"):format(TABLE), ROWS)
      db.secondary:execute(("delete from %s where v = 800"):format(TABLE))
      db.primary:execute(("delete from %s where v = 801"):format(TABLE))
      found = methods.both(db[TABLE])
      assert.same({ 3, 1, 1 }, { found.changed, found.missing, found.extra })

      db.secondary:execute(("update %s set v = v + 10000 where v > 1000"):format(TABLE))
      assert.equal(ROWS - 1000 + 1, methods.both(db[TABLE]).changed)
      db.secondary:execute(("delete from %s where v > 11500"):format(TABLE))
      methods.both(db[TABLE])
      db.secondary:execute("delete from " .. TABLE)
      assert.equal(ROWS - 1, methods.both(db[TABLE]).missing)
      db.primary:execute("delete from " .. TABLE)
      assert.equal("equal", methods.both(db[TABLE]).verdict)
    end)
  end

  it("takes columns of any name for what they are", function()
    local columns = { "id varchar(40) primary key", "%s varchar(9)", "%s int", "%s int", "%s int" }
    local names = { "part", "a%sb?", "count", "dualdb_position" }
    local mysql, postgres = table.move(columns, 1, 5, 1, {}), table.move(columns, 1, 5, 1, {})
    for i, name in ipairs(names) do
      mysql[i + 1] = mysql[i + 1]:format("`" .. name .. "`")
      postgres[i + 1] = postgres[i + 1]:format('"' .. name .. '"')
    end
    pair.make(db, TABLE, { mysql = table.concat(mysql, ", "),
                           postgres = table.concat(postgres, ", ") })
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute(("insert into %s values ('a', 'x', 1, 2, 3), ('b', 'x', 1, 2, 3)"):format(TABLE))
    end
    assert.equal("equal", methods.both(db[TABLE]).verdict)
    db.secondary:execute(("update %s set \"a%%sb?\" = 5 where id = 'b'"):format(TABLE))
    assert.same({ ["a%sb?"] = 1 }, methods.both(db[TABLE]).changed_columns)
  end)

  it("narrows as a stream does", function()
    make(KEYS[1])
    db.secondary:execute(("update %s set v = -v where v in (10, 2000)"):format(TABLE))
    assert.equal(1, methods.both(db[TABLE], { where = "id > 0" }).changed)
    assert.equal(0, methods.both(db[TABLE], { columns = { "id" } }).changed)
  end)

  it("tells rows apart whose values run into each other, or are none", function()
    pair.make(db, TABLE, {
      mysql = "id int primary key, a varchar(20), b varchar(20), c varbinary(20), d varbinary(20), "
        .. "n int",
      postgres = "id int primary key, a varchar(20), b varchar(20), c bytea, d bytea, n int",
    })
    local rows = {
      { { "'a'", "'bc'", "'x'", "'y'", "1" }, { "'ab'", "'c'", "'x'", "'y'", "1" } },
      { { "'a'", "'b'", "'xy'", "''", "1" }, { "'a'", "'b'", "'x'", "'y'", "1" } },
      { { "'a,'", "'b'", "''", "''", "1" }, { "'a'", "',b'", "''", "''", "1" } },
      { { "null", "'a'", "''", "''", "1" }, { "'a'", "null", "''", "''", "1" } },
      { { "''", "null", "''", "''", "1" }, { "null", "''", "''", "''", "1" } },
      { { "'1'", "''", "null", "''", "1" }, { "'1'", "''", "''", "null", "1" } },
      { { "'N'", "''", "''", "''", "null" }, { "null", "'N'", "''", "''", "null" } },
      { { "''", "''", "','", "''", "12" }, { "''", "','", "''", "''", "12" } },
    }
    for id, row in ipairs(rows) do
      for i, side in ipairs { db.primary, db.secondary } do
        side:execute(("insert into %s values (%d, %s)"):format(TABLE, id,
          table.concat(row[i], ", ")))
      end
    end
    assert.equal(#rows, methods.both(db[TABLE]).changed)
  end)

  it("compares tables of more columns than a function has arguments", function()
    local mysql, postgres, values = { "id int primary key" }, { "id int primary key" }, { "1" }
    for i = 1, 220 do
      mysql[i + 1] = ("c%d %s"):format(i, i % 3 == 0 and "varchar(5)" or "int")
      postgres[i + 1], values[i + 1] = mysql[i + 1], tostring(i)
    end
    pair.make(db, TABLE, { mysql = table.concat(mysql, ", "),
                           postgres = table.concat(postgres, ", ") })
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute(("insert into %s values (%s)"):format(TABLE, table.concat(values, ", ")))
    end
    assert.equal("equal", methods.both(db[TABLE]).verdict)
    db.secondary:execute(("update %s set c219 = '220'"):format(TABLE))
    assert.same({ c219 = 1 }, methods.both(db[TABLE]).changed_columns)
  end)

  it("reads the rows whose digest a server could not compute", function()
    make(KEYS[1])
    db.secondary:execute(("update %s set v = -v where v = 77"):format(TABLE))
    local row = render.row
    finally(function() render.row = row end)
    render.row = function(spec, side, count)
      local text = row(spec, side, count)
      return side == "primary" and ("if(v in (77, 78, 1500), null, %s)"):format(text) or text
    end
    local query = digest.sums(db:spec(TABLE), "primary", nil, { {} })
    local conn <close> = servers.connect "mysql"
    local sum = digest.read_sums(conn:fetch(query.text, "", "", query.kinds), 1)[1]
    assert.is_true(sum.unknown)
    assert.is_false(digest.same(sum, sum))
    local found = methods.both(db[TABLE])
    assert.same({ 1, 0 }, { found.changed, found.not_verified })
  end)

  it("needs the right to read, and nothing else", function()
    make(KEYS[1])
    local name, password = "spec_reader", "reads-only"
    servers.command("mysql", ("create user '%s'@'%%' identified by '%s'"):format(name, password))
    servers.finally(function() servers.command("mysql", ("drop user '%s'@'%%'"):format(name)) end)
    local database = servers.settings("mysql").dbname
    servers.command("mysql", ("grant select on %s.* to '%s'@'%%'"):format(database, name))
    servers.command("postgres", ("create role %s login password '%s'"):format(name, password))
    servers.finally(function()
      servers.command("postgres", "drop owned by " .. name)
      servers.command("postgres", "drop role " .. name)
    end)
    servers.command("postgres", ("grant select on all tables in schema public to %s"):format(name))
    local function as_reader(variable)
      return (os.getenv(variable):gsub("//[^@]+@", ("//%s:%s@"):format(name, password)))
    end
    local reader <close> = pair.open({ [TABLE] = {} }, {
      primary = as_reader "DUALDB_PRIMARY_URL", secondary = as_reader "DUALDB_SECONDARY_URL",
    })
    local _, err = require("dualdb").try(reader.secondary.execute, reader.secondary,
      ("delete from %s"):format(TABLE))
    assert.is_truthy(err)
    assert.equal("equal", methods.both(reader[TABLE]).verdict)
    db.secondary:execute(("update %s set v = -v where v = 9"):format(TABLE))
    assert.equal(1, methods.both(reader[TABLE]).changed)
  end)

  describe("is not taken, and the report says why,", function()
    --- The reason for which a table of a column v is streamed.
    local function reason(mysql, postgres, model)
      db:close()
      db = pair.open { [TABLE] = model or {} }
      pair.make(db, TABLE, { mysql = "id int primary key, v " .. mysql,
                             postgres = "id int primary key, v " .. postgres })
      local report = db[TABLE]:verify { method = "pushdown" }
      assert.equal("equal", report.verdict)
      assert.equal("stream", report.method)
      report.spool:close()
      return report.method_reason
    end

    for _, case in ipairs {
      { "double", "double precision" }, { "float", "real" }, { "json", "jsonb" },
      { "text", "jsonb" }, { "time(3)", "interval" }, { "time(3)", "timetz(3)" },
    } do
      it(("for %s and %s"):format(case[1], case[2]), function()
        local said = reason(case[1], case[2])
        assert.matches("^no pushdown: column v: .* are not written alike in SQL$", said)
      end)
    end

    it("for a transform", function()
      assert.equal("no pushdown: the model has a transform, which runs here",
        reason("int", "int", { sync = { transform = function(row) return row end } }))
    end)

    it("for a policy that changes values, and not for one that refuses them", function()
      assert.equal("no pushdown: column v: a policy of the model changes values",
        reason("date", "date", { policies = { zero_dates = "null" } }))
      db:close()
      db = pair.open { [TABLE] = { policies = { zero_dates = "refuse" } } }
      assert.equal("equal", methods.both(db[TABLE]).verdict)
    end)
  end)

  it("sums ranges of any number, and the secondary never counts on one for each key", function()
    make(KEYS[1])
    local spec = db:spec(TABLE)
    local function bound(i, count)
      return i > 0 and i < count and core.pack("i", { i * 100 }) or nil
    end
    for count = 2, 9 do
      local ranges = {}
      for i = 1, count do
        ranges[i] = { reached = bound(i - 1, count), through = bound(i, count) }
      end
      local sums = {}
      for _, side in ipairs { "primary", "secondary" } do
        local query = digest.sums(spec, side, nil, ranges)
        local function ask(text, kinds)
          return db[side]:with(function(conn)
            return (conn:fetch(text, query.param_kinds, query.params, kinds))
          end)
        end
        sums[side] = digest.read_sums(ask(query.text, query.kinds), count)
        if side == "secondary" then
          local plan = core.unpack("t", ask("explain " .. query.text, "t")[1])[1]
          assert.is_true(tonumber(plan:match "rows=(%d+)") <= 16, plan)
        end
      end
      local rows = 0
      for i = 1, count do
        assert.is_true(digest.same(sums.primary[i], sums.secondary[i]), "range " .. i)
        rows = rows + sums.primary[i].rows
      end
      assert.equal(ROWS, rows)
    end
  end)

  it("is no name of another method", function()
    make(KEYS[1])
    local err = pair.failure(db[TABLE].verify, db[TABLE], { method = "guess" })
    assert.equal("usage", err.class)
  end)
end)
