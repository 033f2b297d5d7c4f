local core = require "dualdb.core"

local function path_of_new()
  local path = os.tmpname()
  os.remove(path)
  return path
end

describe("a local database", function()
  local path, db

  before_each(function()
    path = path_of_new()
    db = core.sqlite(path, 0.05)
  end)

  after_each(function()
    db:close()
    os.remove(path)
  end)

  local function class_of(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err.class, err.message
  end

  it("gives back every value as it was bound, whatever its bytes", function()
    db:exec "create table v (i integer, d real, t text, b blob)"
    local statement <close> = db:prepare("insert into v values (?, ?, ?, ?)", "idtb")
    local bytes = "a\0b\255' or 1"
    assert.equal(1, statement:run(math.mininteger, 0.1, "é'", bytes))
    assert.equal(1, statement:run(nil, nil, nil, nil))
    assert.equal(1, statement:run(0, 2, "", ""))
    local rows = {}
    for row in db:rows "select * from v order by rowid" do rows[#rows + 1] = row end
    assert.same({ { i = math.mininteger, d = 0.1, t = "é'", b = bytes }, {},
                  { i = 0, d = 2.0, t = "", b = "" } }, rows)
    assert.same({ n = 1 }, db:first("select count(*) n from v where b = ? and t = ?", "bt", bytes,
      "é'"))
    assert.is_nil(db:first "select 1 from v where i = 7")
  end)

  it("keeps the values of rows that are still being read", function()
    db:exec "create table v (t text)"
    local statement <close> = db:prepare("insert into v values (?)", "t")
    for i = 1, 50 do statement:run("v" .. i) end
    local count = 0
    for row in db:rows("select t from v where t <> ? || ?", "tt", ("x"):rep(100), "y" .. count) do
      collectgarbage()
      assert.truthy(row.t)
      count = count + 1
    end
    assert.equal(50, count)
  end)

  it("is for its owner alone", function()
    local pipe = assert(io.popen("stat -c %a '" .. path .. "'"))
    assert.equal("600", pipe:read "l")
    pipe:close()
  end)

  it("undoes a transaction that is rolled back", function()
    db:exec "create table v (i integer); begin; insert into v values (1)"
    assert.is_true(db:in_transaction())
    db:exec "rollback"
    assert.is_false(db:in_transaction())
    assert.equal(0, db:first("select count(*) n from v").n)
  end)

  it("closes rows that are left in the middle", function()
    db:exec "create table v (i integer); insert into v values (1), (2)"
    for row in db:rows "select i from v" do
      if row.i == 1 then break end
    end
    db:exec "drop table v"
  end)

  it("raises what was done wrong, in so many words", function()
    db:exec "create table v (i integer primary key)"
    assert.equal("internal", class_of(db.exec, db, "no sql"))
    assert.same({ "usage", "the statement does not have 1 parameters" },
      { class_of(db.prepare, db, "select ?, ?", "i") })
    assert.equal("usage", (class_of(db.prepare, db, "select ?", "q")))
    assert.equal("usage", (class_of(db.prepare, db, "", "")))
    local statement <close> = db:prepare("insert into v values (?)", "i")
    statement:run(1)
    assert.has_error(function() statement:run "one" end)
    assert.equal("internal", (class_of(statement.run, statement, 1)))
    assert.equal(1, statement:run(2))
    local query <close> = db:prepare "select 1"
    assert.equal("usage", (class_of(query.run, query)))
  end)

  it("says of what outlived it that it is closed", function()
    db:exec "create table v (i integer); insert into v values (1)"
    local statement, rows = db:prepare("insert into v values (?)", "i"), db:rows "select i from v"
    db:close()
    db:close()
    assert.same({ "usage", "the local database is closed" },
      { class_of(statement.run, statement, 1) })
    assert.same({ "usage", "the local database is closed" }, { class_of(rows) })
    assert.same({ "usage", "the local database is closed" }, { class_of(db.exec, db, "select 1") })
    statement:close()
    statement:close()
    assert.same({ "usage", "the statement is closed" }, { class_of(statement.run, statement, 1) })
  end)

  it("waits for another writer, and then says that it may be tried again", function()
    db:exec "create table v (i integer)"
    local other <close> = core.sqlite(path, 0.05)
    other:exec "begin immediate"
    assert.equal("transient", (class_of(db.exec, db, "begin immediate")))
    other:exec "commit"
    db:exec "begin immediate; commit"
  end)

  it("keeps its locks when the process opens the file again, and closes that", function()
    db:exec "create table v (i integer)"
    db:exec "begin immediate"
    core.sqlite(path, 0):close()
    local child = assert(io.popen(("dualdb -e %q"):format(([[
      local core = require "dualdb.core"
      local other = core.sqlite(%q, 0)
      local ok, err = pcall(other.exec, other, "begin immediate")
      print(ok, ok or err.class)]]):format(path))))
    assert.equal("false\ttransient\n", child:read "a")
    child:close()
  end)

  it("refuses a name that leads elsewhere", function()
    local link = path .. "-link"
    assert(os.execute(("ln -s %q %q"):format(path, link)))
    assert.equal("config", (class_of(core.sqlite, link, 0)))
    os.remove(link)
  end)

  it("refuses a file that is none of its own, and a place that is not there", function()
    local file = assert(io.open(path, "wb"))
    file:write(("no database "):rep(100))
    file:close()
    local other <close> = core.sqlite(path, 0)
    assert.equal("config", (class_of(other.exec, other, "create table v (i integer)")))
    assert.equal("config", (class_of(core.sqlite, path .. "/x", 0)))
  end)
end)
