-- What a verification sends over the link to each server, and the method that `auto` takes by what
-- it measured. spec/bench/verify_link.lua has the times.

local choose = require "dualdb.verify.choose"
local clients = require "spec.support.clients"
local Link = require "spec.support.link"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"

local TABLE = "spec_link"
local ROWS = 20000

describe("over a link", function()
  local db, links, measure, small

  before_each(function()
    servers.before_each()
    measure, small = choose.measure, choose.SMALL
    links = { primary = Link.start "primary", secondary = Link.start "secondary" }
    db = pair.open({ [TABLE] = {} }, { primary = links.primary.url,
                                       secondary = links.secondary.url })
    local columns = "id int primary key, filler varchar(200)"
    pair.make(db, TABLE, { mysql = columns, postgres = columns })
    clients.run("mysql", ("insert into %s select n, repeat('x', 100 + n %% 100) from (%s) q "
      .. "where n < %d; analyze table %s"):format(TABLE, servers.million("mysql", 1), ROWS, TABLE))
    clients.run("postgres", ("insert into %s select n, repeat('x', 100 + n %% 100) "
      .. "from generate_series(0, %d) n; analyze %s"):format(TABLE, ROWS - 1, TABLE))
    db:refresh()
    db:spec(TABLE)
  end)

  after_each(function()
    choose.measure, choose.SMALL = measure, small
    pair.drop_all(db)
    db:close()
    for _, link in pairs(links) do link:stop() end
    servers.after_each()
  end)

  --- A verification, and the bytes that it took over both links.
  local function verify(method)
    for _, link in pairs(links) do link:bytes() end
    local report = db[TABLE]:verify { method = method }
    report.spool:close()
    assert.is_nil(report.error)
    return report, links.primary:bytes() + links.secondary:bytes()
  end

  it("pushdown sends sums of equal rows, and little more for a few that differ", function()
    local report, bytes = verify "stream"
    assert.equal("stream", report.method)
    assert.is_true(bytes > 2 * 150 * ROWS)

    report, bytes = verify "pushdown"
    assert.same({ "equal", "pushdown", ROWS },
      { report.verdict, report.method, report.rows_primary })
    assert.is_true(bytes < 20000, bytes)

    db.secondary:execute(("update %s set filler = 'y' where id in (7, 15000)"):format(TABLE))
    report, bytes = verify "pushdown"
    assert.equal(2, report.changed)
    assert.is_true(bytes < 200000, bytes)
  end)

  it("auto takes the method that took less time a row, and says what it measured", function()
    choose.SMALL = 0
    for _, case in ipairs { { 24.04, 5.5, "pushdown" }, { 0.6, 3.0, "stream" },
                            { 2.0, 2.0, "stream" } } do
      choose.measure = function() return { stream = case[1], pushdown = case[2] } end
      local report = verify()
      assert.same({ "equal", case[3] }, { report.verdict, report.method })
      assert.equal(("measured: stream %.1f us a row, pushdown %.1f us"):format(case[1], case[2]),
        report.method_reason)
    end
  end)

  it("auto measures both methods on the first rows", function()
    choose.SMALL = 0
    local report = verify "auto"
    assert.equal("equal", report.verdict)
    assert.matches("^measured: stream [%d.]+ us a row, pushdown [%d.]+ us$", report.method_reason)
  end)

  it("auto measures nothing where it is known before", function()
    choose.measure = function() error "measured" end
    local report = verify "auto"
    assert.equal("stream", report.method)
    assert.equal("not measured: a table of fewer than 100000 rows", report.method_reason)
    choose.SMALL = 0
    db.primary:execute(("alter table %s add d double"):format(TABLE))
    db.secondary:execute(("alter table %s add d double precision"):format(TABLE))
    db:refresh()
    report = verify "auto"
    assert.equal("stream", report.method)
    assert.matches("^no pushdown: column d: double", report.method_reason)
    report = verify "stream"
    assert.is_nil(report.method_reason)
  end)
end)
