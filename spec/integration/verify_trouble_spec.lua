--- What a verification says when a server is lost in the middle of it: what was compared stands,
--- what was not is not verified, and why.

local confirm = require "dualdb.verify.confirm"
local pair = require "spec.support.pair"
local Proxy = require "spec.support.proxy"
local servers = require "spec.support.servers"
local stream = require "dualdb.verify.stream"
local verified = require "spec.support.verified"

local NAME = "spec_troubled"

describe("a verification in trouble", function()
  local db, whole
  local other, proxy  -- of one test
  local rows, timeout, compare, all = stream.CHUNK_ROWS, stream.OF_TIMEOUT, stream.compare,
    confirm.all

  --- What of a report does not depend on when it was made.
  local function facts(report)
    local found = {}
    for _, name in ipairs {
      "verdict", "reason", "rows_primary", "rows_secondary", "missing", "extra", "changed",
      "not_verified", "pending", "chunks", "coverage", "changed_columns", "map", "policies",
    } do
      found[name] = report[name]
    end
    return found
  end

  setup(function()
    servers.before_each()
    db = pair.open()
    verified.make(pair, db, NAME)
    stream.CHUNK_ROWS = verified.CHUNK_ROWS
    whole = facts(db[NAME]:verify())
  end)

  teardown(function()
    pair.drop_all(db)
    db:close()
    servers.after_each()
    stream.CHUNK_ROWS = rows
  end)

  after_each(function()
    if other then other:close() end
    if proxy then proxy:stop() end
    other, proxy = nil, nil
    stream.OF_TIMEOUT, stream.compare, confirm.all = timeout, compare, all
  end)

  --- A pair that reaches a side through a proxy; each chunk is a statement of its own.
  local function through(side, deadline)
    stream.OF_TIMEOUT = 1e-9
    proxy = Proxy.start(side)
    other = pair.open(nil, { [side] = proxy.url, policy = { deadline = deadline or 10 } })
  end

  --- Runs fn before the statement with the number.
  local function before_statement(number, fn)
    local count = 0
    function stream.compare(job)
      count = count + 1
      if count == number then fn() end
      return compare(job)
    end
    return function() return count end
  end

  it("is the same when no statement is open for longer than a chunk", function()
    stream.OF_TIMEOUT = 1e-9
    local count = before_statement(0)
    assert.same(whole, facts(db[NAME]:verify()))
    assert.equal(whole.chunks, count())
  end)

  for _, side in ipairs { "primary", "secondary" } do
    it(("connects to the %s again and goes on"):format(side), function()
      through(side)
      before_statement(5, function()
        proxy:down()
        proxy:up()
      end)
      local report = facts(other[NAME]:verify())
      assert.same(whole, report)
    end)

    it(("keeps what was compared when the %s is gone, and can go on later"):format(side),
      function()
        through(side, 0.3)
        before_statement(5, function() proxy:down() end)
        local verification = other:verification { NAME }
        local report = verification:verify(NAME)
        assert.same({ "not_verified", side == "primary" and 4 or 5 }, { verification:conclude() })
        verification:finish()
        assert.matches("^" .. side .. ": ", report.reason)
        assert.same({ "unavailable", side }, { report.error.class, report.error.side })
        assert.same({ 5, 1 }, { report.coverage.chunks, report.coverage.chunks_not_verified })
        assert.equal(5, #report.map)
        for i = 1, 4 do assert.is_nil(report.map[i].reason) end
        assert.equal(report.reason, report.map[5].reason)
        assert.same(report.map[4].last, report.map[5].first)
        assert.is_nil(report.map[5].last)
        assert.is_true(report.rows_primary >= 900 and report.rows_primary <= 1000)
        -- Nobody could look again at the differences that were seen.
        assert.equal(0, report.missing + report.extra + report.changed)
        local seen = 0
        for i = 1, 4 do
          local entry = whole.map[i]
          seen = seen + entry.missing + entry.extra + entry.changed
        end
        assert.equal(seen, report.not_verified)

        proxy:up()
        stream.compare = compare
        local again = other:verification(nil, { resume = report.run })
        assert.same(whole, facts(again:verify(NAME)))
        again:finish()
      end)
  end

  it("does not count as differences what nobody could look at again", function()
    through("primary", 0.3)
    function confirm.all(...)
      proxy:down()
      return all(...)
    end
    local report = other[NAME]:verify()
    assert.equal("not_verified", report.verdict)
    assert.matches("^60 rows could not be looked at again: primary: ", report.reason)
    assert.same({ 60, 0 }, { report.not_verified, report.missing + report.extra + report.changed })
    assert.equal(0, report.coverage.chunks_not_verified)
    local sum = 0
    for _, entry in ipairs(report.map) do sum = sum + entry.not_verified end
    assert.equal(60, sum)
  end)

  it("waits for no side that was not there at its beginning", function()
    through("secondary", 3600)
    other:spec(NAME)
    proxy:down()
    local report = other[NAME]:verify()
    assert.equal("not_verified", report.verdict)
    assert.same({ "unavailable", "secondary" }, { report.error.class, report.error.side })
  end)
end)
