--- Tables without a key are compared as multisets.

local cli = require "spec.support.cli"
local core = require "dualdb.core"
local dkjson = require "dkjson"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"

local NAME = "spec_unkeyed"
local NULL = require("dualdb").NULL

describe("a table without a key", function()
  local db, dir, compare

  before_each(function()
    servers.before_each()
    dir, compare = cli.directory(), core.compare
    db = pair.open()
    pair.make(db, NAME, {
      mysql = "n int, t varchar(40), b varbinary(20)", postgres = "n int, t varchar(40), b bytea",
    })
  end)

  after_each(function()
    core.compare = compare
    pair.drop_all(db)
    db:close()
    dir:remove()
    servers.after_each()
  end)

  local function insert(side, ...)
    for _, values in ipairs { ... } do
      db[side]:execute(("insert into %s values (%s)"):format(NAME, values))
    end
  end

  local function verify(options)
    local verification <close> = db:verification({ NAME }, options)
    return verification:verify(NAME)
  end

  local function found(report)
    local list = {}
    for difference in report:differences() do
      list[#list + 1] = { difference.kind, difference.count, difference.key.n, difference.key.t }
    end
    table.sort(list, function(a, b) return tostring(a[3]) < tostring(b[3]) end)
    return list
  end

  it("is equal when both sides have each row as often, in whatever order", function()
    insert("primary", "1, 'a', null", "1, 'a', null", "2, null, null", "null, 'A', 'x'")
    insert("secondary", "2, null, null", "1, 'a', null", "null, 'A', 'x'", "1, 'a', null")
    local report = verify()
    assert.same({ "equal", 4, 4, "stream-multiset" },
      { report.verdict, report.rows_primary, report.rows_secondary, report.method })
  end)

  it("differs where a side has a row more often, by so many", function()
    insert("primary", "1, 'a', null", "1, 'a', null", "1, 'a', null", "2, null, null")
    insert("primary", "3, 'c', 'x'")
    insert("secondary", "1, 'a', null", "2, null, null", "2, null, null", "3, 'C', 'x'")
    local report = verify()
    assert.same({ "different", 3, 2, 0 },
      { report.verdict, report.missing, report.extra, report.changed })
    assert.same({ { "missing", 2, 1, "a" }, { "extra", 1, 2, NULL } },
      { table.unpack(found(report), 1, 2) })
    local rows = {}
    for difference in report:differences() do
      rows[difference.kind] = rows[difference.kind] or difference
    end
    assert.is_nil(rows.missing.secondary)
    assert.same(rows.missing.key, rows.missing.primary)
    assert.same(rows.extra.key, rows.extra.secondary)
  end)

  it("is verified by its name and by --all, and said of with how often", function()
    insert("primary", "1, 'a', null", "1, 'a', null", "2, 'b', null")
    insert("secondary", "2, 'b', null")
    local run = dir:run { "verify", NAME, "--report", "r.jsonl" }
    assert.equal(1, run.code, run.err)
    assert.matches("missing  n=1 t=a b=NULL  2 times", run.out, 1, true)
    assert.is_nil(run.out:find("more", 1, true))
    local line = dkjson.decode(dir:read "r.jsonl")
    assert.same({ "missing", 2, 1 }, { line.kind, line.count, line.key.n })
    run = dir:run { "verify", "--all", "--json" }
    local document = dkjson.decode(run.out)
    local entry
    for _, model in ipairs(document.models) do
      if model.model == NAME then entry = model end
    end
    assert.same({ "different", 2, "stream-multiset" },
      { entry.verdict, entry.missing, entry.method })
  end)

  it("counts only what two scans in turn see the same", function()
    insert("primary", "1, 'a', null", "2, 'b', null")
    insert("secondary", "1, 'a', null")
    local scans = 0
    function core.compare(call)
      scans = scans + 1
      if scans == 2 then insert("secondary", "2, 'b', null") end
      return compare(call)
    end
    local report = verify()
    assert.same({ "equal", 3 }, { report.verdict, scans })
  end)

  it("is not verified as long as it changes at every scan", function()
    insert("primary", "1, 'a', null")
    function core.compare(call)
      insert("secondary", "7, 'x', null")
      return compare(call)
    end
    local report = verify()
    assert.equal("not_verified", report.verdict)
    assert.equal(1, report.missing)  -- which did not change
    assert.is_true(report.not_verified > 0)
  end)

  it("can be narrowed by a condition, and goes by no keys", function()
    insert("primary", "1, 'a', null", "5, 'b', null")
    insert("secondary", "1, 'a', null")
    assert.equal("equal", verify({ where = "n < 5" }).verdict)
    for _, options in ipairs { { sample = 10 }, { columns = { "n" } } } do
      local report = verify(options)
      assert.equal("not_verified", report.verdict)
      assert.matches("has no key, and %a+ goes by keys", report.reason)
    end
  end)

  it("is still not copied and not repaired", function()
    for _, command in ipairs { "sync", "repair" } do
      local run = dir:run { command, NAME, "--yes" }
      assert.is_true(run.code == 2 or run.code == 3, run.err)
    end
  end)
end)
