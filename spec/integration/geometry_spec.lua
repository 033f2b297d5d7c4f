-- Geometries: the primary's own form of them, the SRID in four bytes and WKB, as bytea. What they
-- are is said by both servers' own clients.

local apply = require "dualdb.schema.apply"
local clients = require "spec.support.clients"
local ddl = require "dualdb.schema.ddl"
local dualdb = require "dualdb"
local pair = require "spec.support.pair"

local NAME = "spec_geometry"
local SORTS = {
  { "geometry", "POINT(1 2)" }, { "point", "POINT(-0.5 1e300)" },
  { "linestring", "LINESTRING(0 0,1 1,2 0)" },
  { "polygon", "POLYGON((0 0,9 0,9 9,0 9,0 0),(1 1,2 1,2 2,1 1))" },
  { "multipoint", "MULTIPOINT(0 0,1 1)" },
  { "multilinestring", "MULTILINESTRING((0 0,1 1),(2 2,3 3))" },
  { "multipolygon", "MULTIPOLYGON(((0 0,9 0,9 9,0 0)),((20 20,29 20,29 29,20 20)))" },
  { "geometrycollection", "GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))" },
}

local db

--- Makes the table on the primary; sorts of geometry are columns g1, g2 ... besides `more`.
local function make(more)
  db = pair.open { [NAME] = {} }
  pair.drop(db, NAME)
  local columns = { "id int primary key" }
  for i, sort in ipairs(more or SORTS) do columns[i + 1] = ("g%d %s"):format(i, sort[1]) end
  clients.run("mysql", ("create table %s (%s)"):format(NAME, table.concat(columns, ", ")))
  db:refresh()
  return db[NAME]
end

local function fill()
  local values = { "1" }
  for i, sort in ipairs(SORTS) do values[i + 1] = ("st_geomfromtext('%s')"):format(sort[2]) end
  clients.run("mysql", ("insert into %s values (%s)"):format(NAME, table.concat(values, ", ")))
  clients.run("mysql", ("insert into %s (id, g1) values "
    .. "(2, st_geomfromtext('POINT(10 20)', 4326)), (3, null)"):format(NAME))
end

local function hex_rows(driver)
  local list = { "id" }
  for i in ipairs(SORTS) do
    list[i + 1] = (driver == "mysql" and "hex(g%d)" or "upper(encode(g%d, 'hex'))"):format(i)
  end
  local sql = ("select %s from %s order by id"):format(table.concat(list, ", "), NAME)
  return clients.rows(driver, sql)
end

describe("geometries", function()
  after_each(function()
    if not db then return end
    pair.drop(db, NAME)
    db:close()
    db = nil
  end)

  it("of every sort go to a bytea and back, to the byte", function()
    local model = make()
    fill()
    apply.run(db, { NAME })
    assert.equal(3, model:sync().rows_written)
    local before = hex_rows("mysql")
    assert.same(before, hex_rows("postgres"))
    assert.equal("equal", model:verify().verdict)

    clients.run("mysql", "delete from " .. NAME)
    assert.equal(3, model:repair { strategy = "secondary_wins" }.applied)
    assert.same(before, hex_rows("mysql"))
    clients.run("mysql", ("update %s set g2 = null, g3 = st_geomfromtext('LINESTRING(5 5,6 6)')")
      :format(NAME))
    assert.equal("different", model:verify().verdict)
    assert.equal(3, model:repair { strategy = "secondary_wins" }.applied)
    assert.same(before, hex_rows("mysql"))
  end)

  it("are the SRID in four bytes, the lowest first, and then WKB with x before y", function()
    local model = make { { "geometry" } }
    clients.run("mysql", ("insert into %s values (1, st_geomfromtext('POINT(10 20)', 4326))")
      :format(NAME))
    apply.run(db, { NAME })
    model:sync()
    -- MySQL's 4326 has the latitude first in its text, and WKB as it stores it has x first.
    local x, y = 10.0, 20.0
    if db.primary:info().product == "mysql" then x, y = y, x end
    local wkb = ("<BI4dd"):pack(1, 1, x, y):gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end)
    assert.same({ { "e6100000", wkb } }, clients.rows("postgres",
      "select encode(substring(g1 from 1 for 4), 'hex'), encode(substring(g1 from 5), 'hex') from "
      .. NAME))
  end)

  it("are written to both sides by a dual write", function()
    make()
    fill()
    apply.run(db, { NAME })
    local model = db[NAME]
    model:sync()
    local row = model:get(1)
    row.id = 7
    db:write(function(tx) tx:insert(NAME, row) end)
    db:write(function(tx) tx:update(NAME, 3, { g1 = row.g2, g2 = dualdb.bytes(row.g2) }) end)
    assert.same(hex_rows("mysql"), hex_rows("postgres"))
    local rows = hex_rows("mysql")
    assert.same({ "7", table.unpack(rows[1], 2) }, rows[4])
    assert.same({ rows[1][3], rows[1][3] }, { rows[3][2], rows[3][3] })
    assert.equal("equal", model:verify().verdict)
  end)

  it("keep the SRID of a column that says one, and no other is written back", function()
    local is_mysql
    do
      local probe <close> = pair.open {}
      is_mysql = probe.primary:info().product == "mysql"
    end
    local attribute = is_mysql and "not null srid 4326" or "ref_system_id = 4326"
    local model = make { { "point " .. attribute } }
    clients.run("mysql", ("insert into %s values (1, st_geomfromtext('POINT(10 20)', 4326))")
      :format(NAME))
    apply.run(db, { NAME })
    model:sync()
    clients.run("mysql", "delete from " .. NAME)
    assert.equal(1, model:repair { strategy = "secondary_wins" }.applied)
    assert.same({ { "4326" } }, clients.rows("mysql", "select st_srid(g1) from " .. NAME))
    assert.equal("equal", model:verify().verdict)

    clients.run("postgres", ("update %s set g1 = '\\x00000000' || substring(g1 from 5)")
      :format(NAME))
    local result = model:repair { strategy = "secondary_wins" }
    -- MariaDB does not hold the column's values to its SRID.
    if not is_mysql then return assert.equal(1, result.applied) end
    assert.equal(1, result.failed)
  end)

  it("that are none are refused by the primary, as an error of the data", function()
    local model = make { { "point" } }
    clients.run("mysql", ("insert into %s values (1, st_geomfromtext('POINT(1 2)'))"):format(NAME))
    apply.run(db, { NAME })
    model:sync()
    local insert = ("insert into %s values (2, ?)"):format(NAME)
    for _, bytes in ipairs { "", "junk", ("\0"):rep(40) } do
      local err = pair.failure(db.primary.execute, db.primary, insert, dualdb.bytes(bytes))
      assert.equal("data", err.class, err.message)
    end
    assert.same({ { "1" } }, clients.rows("mysql", "select count(*) from " .. NAME))
  end)

  it("have their spatial indexes named, and no uuid takes them", function()
    make { { "point not null, spatial index spec_place (g1)" } }
    local statements, warnings = ddl.statements(db, { NAME })
    assert.is_truthy(statements[1].sql:find('"g1" bytea not null', 1, true), statements[1].sql)
    assert.same({ "spatial index spec_place is left out" }, { warnings[1].message })
    apply.run(db, { NAME })
    clients.run("postgres", ("alter table %s drop g1, add g1 uuid"):format(NAME))
    db:refresh()
    local err = pair.failure(db[NAME].sync, db[NAME])
    assert.equal("schema", err.class)
    assert.is_truthy(err.message:find("g1", 1, true))
  end)
end)
