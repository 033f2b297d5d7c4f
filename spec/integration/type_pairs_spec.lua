-- Pairs of types: what two types cannot both hold is refused before a row moves.

local apply = require "dualdb.schema.apply"
local clients = require "spec.support.clients"
local dualdb = require "dualdb"
local pair = require "spec.support.pair"

local db
local made = {}

local function drop_all()
  for _, name in ipairs(made) do pair.drop(db, name) end
  made = {}
end

--- Opens the pair with one model of the name; its tables are dropped afterwards.
local function open(name, definition)
  if db then db:close() end
  db = pair.open { [name] = definition or { table = name } }
  made[#made + 1] = name
  pair.drop(db, name)
  db:refresh()
  return db[name]
end

local function after()
  if not db then return end
  drop_all()
  db:close()
  db = nil
end

-- ---- pairs that do not fit ----

local MISFITS = {
  { "bigint", "integer" }, { "int", "smallint" }, { "int unsigned", "integer" },
  { "bigint unsigned", "bigint" }, { "mediumint", "smallint" }, { "smallint unsigned", "smallint" },
  { "int", "boolean" }, { "tinyint(4)", "boolean" }, { "bigint", "numeric(18)" },
  { "bigint unsigned", "numeric(19)" }, { "int", "numeric(12,3)" }, { "year", "boolean" },
  { "decimal(10,2)", "numeric(10,1)" }, { "decimal(10,2)", "numeric(9,2)" },
  { "decimal(10,2)", "numeric(10,3)" }, { "decimal(10,2)", "bigint" },
  { "decimal(19,0)", "bigint" },
  { "decimal(10,0)", "integer" }, { "double", "real" }, { "varchar(20)", "varchar(19)" },
  { "varchar(20)", "char(20)" }, { "text", "varchar(1000)" }, { "char(5)", "varchar(4)" },
  { "enum('a', 'long')", "varchar(3)" }, { "set('a', 'b')", "varchar(2)" },
  { "json", "varchar(100)" }, { "varchar(100)", "uuid" }, { "binary(15)", "uuid" },
  { "varbinary(16)", "uuid" }, { "bit(5)", "bit(6)" }, { "bit(5)", "varbit(5)" },
  { "bit(2)", "boolean" }, { "time(6)", "time(5)" }, { "time(3)", "interval(2)" },
  { "datetime(6)", "timestamp(3)" }, { "timestamp(1) null", "timestamptz(0)" },
  { "point", "uuid" }, { "point", "text" },
  { "date", "timestamp" }, { "int", "text" }, { "varchar(5)", "bytea" }, { "float", "numeric" },
}
local FITS = {
  { "tinyint(1)", "smallint" }, { "tinyint", "bigint" }, { "int unsigned", "numeric(10)" },
  { "bigint unsigned", "numeric" }, { "int", "numeric(12,2)" }, { "decimal(18,0)", "bigint" },
  { "decimal(10,2)", "numeric(11,3)" }, { "decimal(10,2)", "numeric" },
  { "float", "double precision" },
  { "varchar(20)", "varchar(21)" }, { "varchar(20)", "text" }, { "char(5)", "char(5)" },
  { "char(5)", "varchar" }, { "tinytext", "varchar(255)" }, { "set('a', 'b')", "varchar(3)" },
  { "time(3)", "interval" }, { "time", "timetz" }, { "datetime(3)", "timestamptz" },
  { "longtext", "jsonb" }, { "year", "integer" }, { "date", "date" }, { "bit(7)", "bit(7)" },
  { "polygon", "bytea" },
}

describe("a pair of types", function()
  after_each(after)

  local function try(case)
    local model = open "spec_pair"
    pair.make(db, "spec_pair", { mysql = ("id int primary key, odd %s"):format(case[1]),
                                 postgres = "id int primary key, odd " .. case[2] })
    return model
  end

  it("that cannot hold the same values is a schema error before any row moves", function()
    for _, case in ipairs(MISFITS) do
      local model = try(case)
      clients.run("mysql", "insert into spec_pair (id) values (1)")
      local _, err = dualdb.try(model.sync, model)
      assert(err, ("%s and %s were taken"):format(case[1], case[2]))
      assert.equal("schema", err.class)
      assert.is_truthy(err.message:find("odd", 1, true))
      assert.same({ { "0" } }, clients.rows("postgres", "select count(*) from spec_pair"))
    end
  end)

  it("that holds more on the secondary is taken", function()
    for _, case in ipairs(FITS) do
      local model = try(case)
      local _, err = dualdb.try(model.sync, model)
      assert(not err, ("%s and %s: %s"):format(case[1], case[2], tostring(err)))
    end
  end)

  it("that the model declares is checked before the table is made", function()
    for _, case in ipairs { { "bigint", "integer" }, { "varchar(20)", "varchar(10)" },
      { "int", "uuid" }, { "decimal(10,2)", "numeric(10,1)" } } do
      open("spec_pair", { table = "spec_pair", types = { odd = case[2] } })
      db.primary:execute(("create table spec_pair (id int primary key, odd %s)"):format(case[1]))
      db:refresh()
      local err = pair.failure(apply.run, db, { "spec_pair" })
      assert.equal("schema", err.class)
      assert.is_truthy(err.message:find("odd", 1, true))
    end
    open("spec_pair", { table = "spec_pair", types = { nope = "text" } })
    db.primary:execute("create table spec_pair (id int primary key)")
    db:refresh()
    assert.equal("config", pair.failure(apply.run, db, { "spec_pair" }).class)
  end)
end)

describe("a type of the primary", function()
  after_each(after)

  it("that dualdb cannot represent is refused by its column's name, on either side", function()
    local cases = { { "varbinary(90)", "int4range" }, { "varchar(90)", "text[]" } }
    local model = open "spec_shape"
    local info = db.primary:info()
    if info.product == "mysql" and tonumber(info.version:match "^%d+") >= 9 then
      cases[3] = { "vector(3)", "bytea", says = "vector(3)" }
    end
    for _, case in ipairs(cases) do
      pair.make(db, "spec_shape", { mysql = "id int primary key, odd " .. case[1],
                                    postgres = "id int primary key, odd " .. case[2] })
      local err = pair.failure(model.sync, model)
      assert.equal("schema", err.class)
      assert.is_truthy(err.message:find "column odd ", err.message)
      if case.says then
        assert.is_truthy(err.message:find("has type " .. case.says, 1, true), err.message)
      end
    end
  end)

  it("has the default of the primary on the secondary", function()
    open "spec_defaults"
    db.primary:execute([[create table spec_defaults (id int primary key, b1 bit(1) default b'1',
      b9 bit(9) default b'101', y year default 2026, s set('a', 'b') default 'a,b')]])
    db:refresh()
    apply.run(db, { "spec_defaults" })
    clients.run("mysql", "insert into spec_defaults (id) values (1)")
    clients.run("postgres", "insert into spec_defaults (id) values (1)")
    assert.same({ { "1", "t", "000000101", "2026", "a,b" } },
      clients.rows("postgres", "select * from spec_defaults"))
    assert.equal("equal", db.spec_defaults:verify().verdict)
  end)
end)
