-- A sync of one moment of the primary: without locks, whatever is written there meanwhile. Judged
-- by the servers' own clients.

local clients = require "spec.support.clients"
local pair = require "spec.support.pair"
local sync = require "dualdb.sync"

local ROWS = 2000
local DIGITS = "select 0 as d union select 1 union select 2 union select 3 union select 4 union "
  .. "select 5 union select 6 union select 7 union select 8 union select 9"

describe("a sync of one moment", function()
  local db

  local function make(name, key)
    pair.make(db, name, {
      mysql = key .. " primary key, v int not null",
      postgres = key .. " primary key, v int not null",
    })
    clients.run("mysql", ("insert into %s select n, 1 from (select a.d * 1000 + b.d * 100 + "
      .. "c.d * 10 + e.d as n from (%s) a, (%s) b, (%s) c, (%s) e) q where n < %d"):format(name,
      DIGITS, DIGITS, DIGITS, DIGITS, ROWS))
  end

  before_each(function()
    db = pair.open { A = { table = "spec_moment_a" }, B = { table = "spec_moment_b" } }
    make("spec_moment_a", "id int")
    make("spec_moment_b", "id int")
    require("dualdb.setup").run(db)
    db.secondary:execute("delete from dualdb_meta where name like 'snapshot%'")
    db:refresh()
  end)

  after_each(function()
    pair.drop_all(db)
    db:close()
  end)

  --- A throttle that runs fn before the second chunk.
  local function meanwhile(fn)
    local asked, done = 0, false
    return function()
      asked = asked + 1
      if asked > 1 and not done then
        done = true
        fn()
      end
    end
  end

  local function run(fn)
    return sync.all(db, { "A", "B" }, { snapshot = true, jobs = 2, chunk_rows = 300,
      throttle = meanwhile(fn) })
  end

  local function sums(driver)
    return clients.rows(driver, "select (select sum(v) from spec_moment_a), "
      .. "(select count(*) from spec_moment_a), (select sum(v) from spec_moment_b), "
      .. "(select count(*) from spec_moment_b)")[1]
  end

  it("has nothing of what was written after it, in any table", function()
    local before = sums "mysql"
    local results = run(function()
      clients.run("mysql", "update spec_moment_a set v = 2; delete from spec_moment_b; "
        .. "insert into spec_moment_a values (-1, 1), (1000000, 1)")
    end)
    for _, result in ipairs(results) do assert.is_nil(result.error) end
    assert.same(before, sums "postgres")
    assert.not_same(before, sums "mysql")
  end)

  it("says where the binary log was at it, and notes that on the secondary", function()
    local status = clients.rows("mysql", db.primary:info().product == "mariadb"
      and "show master status" or "show binary log status")[1]
    local taken = run(function() end)[1].snapshot
    assert.equal(status[1], taken.file)
    assert.equal(tonumber(status[2]), taken.position)
    assert.same({ { status[1] .. ":" .. status[2] } }, clients.rows("postgres",
      ("select value from dualdb_meta where name = 'snapshot:%s'"):format(db.name)))
  end)

  it("is refused its verdict when dual writes ran beside it", function()
    local results = run(function()
      db.A:insert { id = 5000, v = 1 }
      db.primary:execute "update dualdb_heartbeat set beat = beat + 1"
    end)
    assert.equal("conflict", results[1].error.class)
    assert.equal("conflict", results[2].error.class)
    assert.same({ { "0" } }, clients.rows("postgres", ("select count(*) from dualdb_meta "
      .. "where name = 'snapshot:%s'"):format(db.name)))
  end)

  it("names the privilege that it lacks, and copies nothing", function()
    clients.run("mysql", "create user spec_moment@'%' identified by 'x'; grant select, insert, "
      .. "update, delete on *.* to spec_moment@'%'")
    local settings = {}
    for name, value in pairs(db.primary.settings) do settings[name] = value end
    settings.user, settings.password = "spec_moment", "x"
    local poor = pair.open({ A = { table = "spec_moment_a" } }, { primary = settings })
    local err = pair.failure(sync.all, poor, { "A" }, { snapshot = true })
    poor:close()
    clients.run("mysql", "drop user spec_moment@'%'")
    assert.equal("auth", err.class)
    assert.matches("RELOAD", err.hint)
    assert.same({ { "0" } }, clients.rows("postgres", "select count(*) from spec_moment_a"))
  end)
end)
