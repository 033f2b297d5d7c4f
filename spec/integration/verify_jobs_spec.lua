--- A verification that compares several ranges of a table at once finds what one finds that
--- compares one after the other, whatever becomes of one of them.

local choose = require "dualdb.verify.choose"
local cli = require "spec.support.cli"
local core = require "dualdb.core"
local lanes = require "dualdb.verify.lanes"
local pair = require "spec.support.pair"
local Proxy = require "spec.support.proxy"
local servers = require "spec.support.servers"
local stream = require "dualdb.verify.stream"
local verified = require "spec.support.verified"

local NAME, SMALL, TEXT = "spec_jobs", "spec_jobs_small", "spec_jobs_text"
local ROWS = 120000
--- So that the table is cut whatever a server takes its rows for.
local LEAST_ROWS = 50000
local SIGKILL = 9

--- Rows with ids from 1, made by the servers themselves.
local FILL = "insert into %s (id, n, t) select n + 1, n %% 7, concat('row ', n) from (%s) m "
  .. "where n < %d"

local function make(db, name, rows, key)
  local columns = ("id %s primary key, n int, t varchar(40)"):format(key or "int")
  pair.make(db, name, { mysql = columns, postgres = columns })
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute(FILL:format(name, servers.million(side.driver, 1), rows))
  end
  db.primary:query("analyze table " .. name)
  db.secondary:execute("analyze " .. name)
  db:refresh()
end

--- What of a report does not depend on when it was made, nor on where chunks end.
local function facts(report)
  local found = { map = { missing = 0, extra = 0, changed = 0, pending = 0, not_verified = 0 } }
  for _, name in ipairs {
    "verdict", "reason", "rows_primary", "rows_secondary", "missing", "extra", "changed",
    "not_verified", "pending", "changed_columns", "policies", "method",
  } do
    found[name] = report[name]
  end
  for name in pairs(found.map) do
    for _, entry in ipairs(report.map) do found.map[name] = found.map[name] + entry[name] end
  end
  found.covered = { report.coverage.rows_primary, report.coverage.rows_secondary,
                    report.coverage.chunks_not_verified }
  return found
end

--- The differences, in the order of their keys.
local function differences(report)
  local list = {}
  for found in report:differences() do
    list[#list + 1] = ("%08d %s %s"):format(found.key.id, found.kind,
      table.concat(found.columns, ","))
  end
  table.sort(list)
  return list
end

--- The map has all keys once, in their order.
local function check_map(report)
  local last
  for i, entry in ipairs(report.map) do
    assert.same(last, entry.first, "part " .. i)
    assert.is_true(i == #report.map or entry.last ~= nil)
    if last and entry.last then assert.is_true(last.id < entry.last.id) end
    last = entry.last
  end
  assert.is_nil(last)
end

describe("a verification of several ranges at once", function()
  local db, whole, found
  local other, proxy  -- of one test
  local start_compare, least, compare, timeout = core.start_compare, lanes.LEAST_ROWS,
    stream.compare, stream.OF_TIMEOUT
  local processors, faster, small = core.processors, choose.faster, choose.SMALL
  local ranges = lanes.ranges

  --- The keys that the ranges of 4 jobs end with, those of 2 jobs among them.
  local function borders()
    local list = {}
    for _, range in ipairs(lanes.ranges(db, db:spec(NAME), 4)) do
      if range.through then list[#list + 1] = core.unpack("i", range.through)[1] end
    end
    return list
  end

  setup(function()
    servers.before_each()
    db = pair.open()
    lanes.LEAST_ROWS = LEAST_ROWS
    make(db, NAME, ROWS)
    local keys = borders()
    assert.equal(15, #keys)
    for i, key in ipairs(keys) do
      -- The last of a range and the first of the next, each kind in turn.
      for j, id in ipairs { key, key + 1 } do
        local kind = (i + j) % 3
        local delete = ("delete from %s where id = %d"):format(NAME, id)
        if kind == 0 then db.primary:execute(delete)
        elseif kind == 1 then db.secondary:execute(delete)
        else db.secondary:execute(("update %s set n = 99 where id = %d"):format(NAME, id)) end
      end
    end
    -- Beyond the keys that the primary has, on both ends.
    db.secondary:execute(("insert into %s values (-5, 0, 'below'), (%d, 0, 'beyond')"):format(NAME,
      ROWS + 5))
    local report = db[NAME]:verify { method = "stream", jobs = 1 }
    whole, found = facts(report), differences(report)
    check_map(report)
  end)

  teardown(function()
    pair.drop_all(db)
    db:close()
    lanes.LEAST_ROWS = least
    servers.after_each()
  end)

  after_each(function()
    if other then other:close() end
    if proxy then proxy:stop() end
    other, proxy = nil, nil
    core.start_compare, stream.compare, stream.OF_TIMEOUT = start_compare, compare, timeout
    core.processors, choose.faster, choose.SMALL = processors, faster, small
    lanes.ranges = ranges
    lanes.LEAST_ROWS = LEAST_ROWS
    core.interrupt_clear()
  end)

  --- Counts the comparisons on threads, and how many there are at once.
  local function watched()
    local seen = { all = 0, most = 0, running = {}, jobs = {} }
    function core.start_compare(call)
      local job = start_compare(call)
      seen.all = seen.all + 1
      local running = 1
      for one in pairs(seen.running) do
        if one:is_done() then seen.running[one] = nil else running = running + 1 end
      end
      seen.running[job], seen.most = true, math.max(seen.most, running)
      seen.jobs[job] = true
      if seen.started then seen.started() end
      return job
    end
    return seen
  end

  it("finds differences of every kind at the borders of ranges, as one range does", function()
    assert.equal("different", whole.verdict)
    assert.same({ 10, 12, 10 }, { whole.missing, whole.extra, whole.changed })
    for _, jobs in ipairs { 1, 2, 4 } do
      local seen = watched()
      local report = db[NAME]:verify { method = "stream", jobs = jobs }
      assert.same(whole, facts(report))
      assert.same(found, differences(report))
      check_map(report)
      assert.same(jobs == 1 and { 0, 0 } or { 4 * jobs, jobs }, { seen.all, seen.most })
    end
  end)

  it("counts a difference in the part of the map that its key is in", function()
    local report = db[NAME]:verify { method = "stream", jobs = 4 }
    local counts = {}
    for difference in report:differences() do
      local id = difference.key.id
      for i, entry in ipairs(report.map) do
        if (not entry.first or entry.first.id < id) and (not entry.last or id <= entry.last.id) then
          counts[i] = counts[i] or { missing = 0, extra = 0, changed = 0 }
          counts[i][difference.kind] = counts[i][difference.kind] + 1
        end
      end
    end
    for i, entry in ipairs(report.map) do
      assert.same(counts[i] or { missing = 0, extra = 0, changed = 0 },
        { missing = entry.missing, extra = entry.extra, changed = entry.changed })
    end
  end)

  it("tells the progress of all of them together", function()
    local last, times = 0, 0
    db[NAME]:verify { method = "stream", jobs = 4, progress = function(so_far)
      assert.is_true(so_far.rows >= last and so_far.rows <= ROWS)
      last, times = so_far.rows, times + 1
    end }
    assert.is_true(times > 0 and last > ROWS // 2)
  end)

  it("compares in one range what cannot be cut", function()
    make(db, SMALL, 500)
    make(db, TEXT, 500, "varchar(20)")
    local function ranges_of(database, name, options)
      local seen = watched()
      options.method = options.method or "stream"
      if options.method == "none" then options.method = nil end
      assert.is_not.equal("not_verified", database[name]:verify(options).verdict)
      return seen.all
    end
    assert.equal(0, ranges_of(db, SMALL, { jobs = 4 }))
    lanes.LEAST_ROWS = 100
    assert.equal(0, ranges_of(db, TEXT, { jobs = 4 }))
    assert.equal(0, ranges_of(db, SMALL, { jobs = 4, method = "pushdown" }))
    assert.equal(0, ranges_of(db, SMALL, { jobs = 4, method = "none", sample = 10 }))
    assert.equal(16, ranges_of(db, SMALL, { jobs = 4 }))
    other = pair.open { [SMALL] = { sync = { transform = function(row) return row end } } }
    assert.equal(0, ranges_of(other, SMALL, { jobs = 4 }))
  end)

  it("counts what policies changed once, whatever the number of ranges", function()
    make(db, SMALL, 500)
    db.primary:execute(("update %s set t = concat(t, char(0)) where id %% 5 = 0"):format(SMALL))
    lanes.LEAST_ROWS = 100
    other = pair.open { [SMALL] = { policies = { nul = "strip" } } }
    for _, jobs in ipairs { 1, 4 } do
      local seen = watched()
      local report = other[SMALL]:verify { method = "stream", jobs = jobs }
      assert.same({ "equal", { nul = 100 } }, { report.verdict, report.policies })
      assert.equal(jobs == 1 and 0 or 16, seen.all)
    end
  end)

  it("decides on the method before it cuts the keys", function()
    local count
    function lanes.ranges(...)
      count = select(3, ...)
      return ranges(...)
    end
    for method, expected in pairs { stream = 4, pushdown = 1 } do
      function choose.faster() return method, "said by the spec" end
      choose.SMALL = 0
      local report = db[NAME]:verify { jobs = 4 }
      assert.same({ method, expected }, { report.method, count })
      assert.same(found, differences(report))
    end
  end)

  it("is of half as many ranges at once as there are processors, unless one says so", function()
    for count, expected in pairs { [1] = 1, [2] = 1, [4] = 2, [6] = 3, [64] = 4 } do
      function core.processors() return count end
      assert.equal(expected, lanes.default(db))
    end
  end)

  it("leaves half of the connections that a server has to spare", function()
    function core.processors() return 64 end
    for free, expected in pairs { [0] = 1, [3] = 1, [4] = 2, [7] = 3, [100] = 4 } do
      local function side(name, n)
        return { name = name, query = function() return { { n = n } } end }
      end
      assert.equal(expected, lanes.default { primary = side("primary", 100),
                                             secondary = side("secondary", free) })
    end
  end)

  it("refuses what is no number of ranges", function()
    for _, jobs in ipairs { 0, -1, 1.5, "4" } do
      local err = pair.failure(db[NAME].verify, db[NAME], { jobs = jobs })
      assert.equal("usage", err.class)
      assert.matches("jobs: a whole number above 0 expected", err.message, 1, true)
    end
  end)

  -- ---- trouble ----

  --- Runs fn(job) before each statement that goes on in the middle of a range.
  local function between_chunks(fn)
    stream.OF_TIMEOUT = 1e-9  -- each chunk is a statement of its own
    function stream.compare(job)
      if job.range.reached and job.range.through then fn(job) end
      return compare(job)
    end
  end

  for _, side in ipairs { "primary", "secondary" } do
    it(("goes on with ranges whose connection to the %s is killed in the middle"):format(side),
      function()
        local statements, killed = 0, 0
        between_chunks(function(job)
          statements = statements + 1
          if statements % 50 ~= 20 then return end
          killed = killed + 1
          local conn = job.conns[side]
          servers.kill(db[side].driver, conn:info().session)
        end)
        local report = db[NAME]:verify { method = "stream", jobs = 4 }
        assert.is_true(killed >= 2)
        assert.same(whole, facts(report))
        assert.same(found, differences(report))
      end)
  end

  it("keeps what was compared when a server is gone, and goes on with another number", function()
    proxy = Proxy.start "secondary"
    other = pair.open(nil, { secondary = proxy.url, policy = { deadline = 0.3 } })
    local statements = 0
    between_chunks(function()
      statements = statements + 1
      if statements == 30 then proxy:down() end
    end)
    local report = other[NAME]:verify { method = "stream", jobs = 4 }
    assert.equal("not_verified", report.verdict)
    assert.matches("^secondary: ", report.reason)
    assert.is_true(report.rows_primary > 0 and report.rows_primary < ROWS)
    -- Those that were begun, and all that were not.
    assert.equal(16, report.coverage.chunks_not_verified)
    check_map(report)
    proxy:up()
    stream.compare = compare
    local again = other[NAME]:verify { resume = report.run, jobs = 2 }
    assert.same(whole, facts(again))
    assert.same(found, differences(again))
  end)

  it("ends at an interrupt with all of them, and can go on", function()
    local seen = watched()
    function seen.started()
      if seen.all == 6 then core.interrupt() end
    end
    local err = pair.failure(db[NAME].verify, db[NAME], { method = "stream", jobs = 4 })
    assert.equal("canceled", err.class)
    core.interrupt_clear()
    for job in pairs(seen.jobs) do assert.is_true(job:is_done()) end
    servers.wait_until_gone("mysql", "from `" .. NAME)
    servers.wait_until_gone("postgres", NAME)
    seen.started = nil
    local again = db[NAME]:verify { resume = db:runs(1)[1].run, jobs = 2 }
    assert.same(whole, facts(again))
    assert.same(found, differences(again))
  end)

  describe("as a process", function()
    local dir, env

    before_each(function()
      dir = cli.directory()
      env = { DUALDB_STATE_DIR = dir.path .. "/state" }
    end)
    after_each(function() dir:remove() end)

    local function run(words, more)
      local all = {}
      for _, variables in ipairs { env, more or {} } do
        for name, value in pairs(variables) do all[name] = value end
      end
      return verified.start(words, {
        env = all, chunk_rows = 2000,
        before = ("require('dualdb.verify.lanes').LEAST_ROWS = %d"):format(LEAST_ROWS),
      })
    end

    local function lines_of(name)
      local lines = {}
      for line in dir:read(name):gmatch "[^\n]+" do lines[#lines + 1] = line end
      table.sort(lines)
      return lines
    end

    it("goes on with any number after a death at any step", function()
      local path = dir.path .. "/whole.jsonl"
      local code, document, text = verified.finish(run { "verify", NAME, "--method", "stream",
                                                         "--jobs", "1", "--report", path })
      assert.equal(1, code, text)
      assert.same(whole, facts(document.models[1]))
      local lines = lines_of "whole.jsonl"
      assert.equal(#found, #lines)
      for i, step in ipairs {
        "verify.begun", "verify.seen", "verify.noted:9", "verify.seen:40", "verify.compared",
      } do
        code, document, text = verified.finish(run(
          { "verify", NAME, "--method", "stream", "--jobs", i % 2 == 0 and "2" or "4" },
          { DUALDB_CRASH_AT = step }))
        assert.is_nil(document)
        assert.equal(128 + SIGKILL, code, text)
        path = dir.path .. "/resumed.jsonl"
        local jobs = tostring(2 ^ (i % 3) // 1 | 0)
        code, document, text = verified.finish(run { "verify", "--resume", tostring(i + 1),
                                                     "--jobs", jobs, "--report", path })
        assert.equal(1, code, text)
        assert.same(whole, facts(document.models[1]))
        assert.same(lines, lines_of "resumed.jsonl")
      end
    end)

    it("refuses what is no number of ranges", function()
      local code, _, text = verified.finish(run { "verify", NAME, "--jobs", "0" })
      assert.equal(2, code)
      assert.matches("option '--jobs': '0' is not a whole number above 0", text, 1, true)
    end)
  end)
end)

describe("a comparison on a thread", function()
  local primary, secondary

  setup(function()
    servers.before_each()
    primary, secondary = servers.connect "mysql", servers.connect "postgres"
  end)
  teardown(function()
    primary:close()
    secondary:close()
    servers.after_each()
  end)

  --- Of rows that all differ.
  local function start(more)
    local call = {
      primary = primary, secondary = secondary, kinds = "it", key_columns = 1,
      primary_query = "select * from (" .. servers.million("mysql", 8) .. ") m where n < 100000",
      secondary_query = "select * from (" .. servers.million("postgres", 9)
        .. ") m where n < 100000",
    }
    for name, value in pairs(more or {}) do call[name] = value end
    return core.start_compare(call)
  end

  it("waits until what it has told is taken, which is no more than a megabyte", function()
    local job <close> = start()
    local all, most, chunks, done = 0, 0, 0, false
    while not done do
      core.wait({ job }, 10)
      done = job:is_done()
      local told = job:told()
      for _, entry in ipairs(told) do
        if entry.kind then all = all + 1 else chunks = chunks + 1 end
      end
      most = math.max(most, #told)
    end
    assert.same({ 100000, 1 }, { all, chunks })
    assert.is_true(most > 1000 and most < 20000, most)
    local result = job:finish()
    assert.same({ 100000, 100000, 100000 },
      { result.rows_primary, result.rows_secondary, result.differences })
  end)

  it("can be closed while it waits, and leaves both connections of use", function()
    local job = start()
    assert.is_true(core.wait({ job }, 60))
    assert.is_false(job:is_done())
    job:close()
    assert.is_true(job:is_done())
    assert.equal(1, primary:query("select 1 as one")[1].one)
    assert.equal(1, secondary:query("select 1 as one")[1].one)
    assert.equal("canceled", pair.failure(job.finish, job).class)
  end)

  it("tells what it saw before its error", function()
    local rows = "select 1 as n, '%s' as t union all select 2, 'b' union all select 1, 'c'"
    local job <close> = start {
      ordered = true, primary_query = rows:format "a", secondary_query = rows:format "x",
    }
    while not job:is_done() do core.wait({ job }, 10) end
    local told = job:told()
    assert.equal(1, #told)
    assert.same({ "changed", core.pack("i", { 1 }), core.digest(core.pack("it", { 1, "a" })),
                  core.digest(core.pack("it", { 1, "x" })) },
      { told[1].kind, told[1].key, told[1].primary, told[1].secondary })
    assert.matches("did not arrive in key order", pair.failure(job.finish, job).message, 1, true)
  end)
end)
