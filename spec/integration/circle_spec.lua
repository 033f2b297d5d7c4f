-- Tables whose rows refer to each other in a circle, with more tables that refer to them: the
-- circle is closed as soon as both are there, so that the others are loaded and need not wait.

local clients = require "spec.support.clients"
local cli = require "spec.support.cli"
local pair = require "spec.support.pair"

local STAFF, STORE, SALE = "spec_c_staff", "spec_c_store", "spec_c_sale"
local ROWS = 3000

describe("rows that refer to each other in a circle", function()
  local db, dir

  before_each(function()
    dir = cli.directory()
    db = pair.open {}
    db.primary:execute(("create table %s (id int primary key, store_id int not null)")
      :format(STAFF))
    db.primary:execute(("create table %s (id int primary key, staff_id int not null, "
      .. "foreign key %s_f (staff_id) references %s (id))"):format(STORE, STORE, STAFF))
    db.primary:execute(("create table %s (id int primary key, store_id int not null, "
      .. "foreign key %s_f (store_id) references %s (id))"):format(SALE, SALE, STORE))
    local values = {}
    for id = 1, ROWS do values[id] = ("(%d, %d)"):format(id, id % 2 + 1) end
    clients.run("mysql", ("set foreign_key_checks = 0; insert into %s values (1, 1), (2, 2); "
      .. "insert into %s values (1, 2), (2, 1); insert into %s values %s; "
      .. "alter table %s add foreign key %s_f (store_id) references %s (id)"):format(STAFF, STORE,
      SALE, table.concat(values, ", "), STAFF, STAFF, STORE))
  end)

  after_each(function()
    clients.run("mysql", ("set foreign_key_checks = 0; drop table if exists %s, %s, %s")
      :format(STAFF, STORE, SALE))
    clients.run("postgres", ("drop table if exists %s, %s, %s cascade"):format(STAFF, STORE, SALE))
    db:close()
    dir:remove()
  end)

  it("go before the tables that refer to them, which are loaded then", function()
    assert.equal(0, dir:run({ "schema", "apply", STAFF, STORE, SALE }).code)
    local result = dir:run { "sync", "--full", SALE, STORE, STAFF }
    assert.equal(0, result.code, result.err)
    assert.is_truthy(result.err:find(": the secondary refused a row", 1, true))
    assert.is_nil(result.err:find(SALE .. ": the secondary refused a row", 1, true))
    assert.same({ { "2", "2", tostring(ROWS) } }, clients.rows("postgres", ("select "
      .. "(select count(*) from %s), (select count(*) from %s), (select count(*) from %s)")
      :format(STAFF, STORE, SALE)))
    assert.equal(0, dir:run({ "verify", STAFF, STORE, SALE }).code)
  end)
end)
