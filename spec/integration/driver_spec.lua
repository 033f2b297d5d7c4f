-- Statements, parameters, streams and lifetimes of a connection, on both servers alike.

local child = require "spec.support.child"
local core = require "dualdb.core"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

local failure, million = servers.failure, servers.million

local SLEEP = {
  mysql = "select sleep(%d) as slept",
  postgres = "select pg_sleep(%d)::text as slept",
}
local function sleeping(driver, seconds) return SLEEP[driver]:format(seconds) end

local function sees_one(conn) return conn:query("select 1 as one")[1].one == 1 end

for _, side in ipairs(servers.SIDES) do
  local driver = side.driver

  describe("a statement on " .. driver, function()
    before_each(servers.before_each)
    after_each(servers.after_each)

    it("binds a parameter of every kind", function()
      local conn = servers.open(driver)
      local name = servers.table(conn, driver == "mysql"
        and "b boolean, i bigint, f double, t text, x blob, n int"
        or "b boolean, i bigint, f double precision, t text, x bytea, n int")
      local result = conn:execute(("insert into %s values (?, ?, ?, ?, ?, ?)"):format(name), true,
        math.mininteger, 0.1, "it's", core.bytes("\0\1"), core.NULL)
      assert.equal(1, result.affected)
      conn:execute(("insert into %s values (?, ?, ?, ?, ?, ?)"):format(name), false, 0, -1e300, "",
        core.bytes(""), nil)
      local rows, columns = conn:query(("select * from %s order by i"):format(name))
      assert.same({ "b", "i", "f", "t", "x", "n" }, columns)
      assert.same({ b = true, i = math.mininteger, f = 0.1, t = "it's", x = "\0\1", n = core.NULL },
        rows[1])
      assert.same({ b = false, i = 0, f = -1e300, t = "", x = "", n = core.NULL }, rows[2])
    end)

    it("takes ?? for a question mark and leaves those in literals, names and comments alone",
      function()
        local conn = servers.open(driver)
        local quote = driver == "mysql" and "`" or '"'
        local sql = ("select '?' as a, ? as %sb?%s /* ? */, '??' as c -- ?\n"):format(quote, quote)
        local row = conn:query(driver == "mysql" and sql or sql:gsub("%? as", "?::text as", 1), "v")
        assert.same({ a = "?", ["b?"] = "v", c = "??" }, row[1])
        if driver == "postgres" then
          local found = conn:query([[select '{"k": 1}'::jsonb ?? 'k' as has, ?::int as n]], 7)
          assert.same({ has = true, n = 7 }, found[1])
        end
      end)

    it("with another number of parameters than values is refused before it is sent", function()
      local conn = servers.open(driver)
      for _, call in ipairs { { "select ? as a" }, { "select 1 as a", 5 },
        { "select ? as a, ? as b", 5 } } do
        local err = failure(conn.query, conn, table.unpack(call))
        assert.equal("usage", err.class)
        assert.equal(side.label, err.side)
      end
      assert.equal("usage", failure(conn.query, conn, "select 'open").class)
      assert.is_true(sees_one(conn))
    end)

    it("refuses a value that is none, by its number", function()
      local conn = servers.open(driver)
      for _, value in ipairs { {}, print, io.stdout, coroutine.create(print) } do
        local err = failure(conn.query, conn, "select ? as a, ? as b", 1, value)
        assert.equal("usage", err.class)
        assert.matches("parameter 2", err.message, 1, true)
      end
    end)

    it("says how many rows it matched, changed or not", function()
      local conn = servers.open(driver)
      local name = servers.table(conn, "id int primary key, v int")
      assert.equal(2, conn:execute(("insert into %s values (1, 1), (2, 1)"):format(name)).affected)
      assert.equal(2, conn:execute(("update %s set v = ?"):format(name), 1).affected)
      assert.equal(0, conn:execute(("delete from %s where id = 9"):format(name)).affected)
      assert.equal(1, conn:execute(("delete from %s where id = ?"):format(name), 1).affected)
    end)

    it("runs in UTC, in utf8mb4 or UTF8, and strictly", function()
      local conn = servers.open(driver)
      if driver == "mysql" then
        local row = conn:query("select @@time_zone as zone, @@character_set_client as client, "
          .. "@@character_set_results as results, @@sql_mode as mode")[1]
        assert.same({ "+00:00", "utf8mb4", "utf8mb4" }, { row.zone, row.client, row.results })
        assert.matches("STRICT_ALL_TABLES", row.mode, 1, true)
      else
        assert.equal("UTC", conn:query("show timezone")[1].TimeZone)
        assert.equal("UTF8", conn:query("show client_encoding")[1].client_encoding)
      end
    end)

    it("that only the text protocol takes is a query too", function()
      local conn = servers.open(driver)
      local rows = conn:query(driver == "mysql" and "show variables like 'version'"
        or "show server_version")
      assert.equal(1, #rows)
      assert.is_true(sees_one(conn))
    end)

    it("that returns no rows, given as a query, is done and gives none", function()
      local conn = servers.open(driver)
      local name = servers.scratch_name()
      assert.same({ {}, {} }, { conn:query(("create table %s (a int)"):format(name)) })
      assert.same({}, (conn:query(("insert into %s values (?)"):format(name), 7)))
      assert.equal(7, conn:query("select a from " .. name)[1].a)
    end)

    it("that returns nothing returns no rows, with the columns' names", function()
      local conn = servers.open(driver)
      local rows, columns = conn:query("select 1 as a, 'x' as b where 1 = 0")
      assert.same({}, rows)
      assert.same({ "a", "b" }, columns)
      for _ in conn:rows("select 1 as a where 1 = 0") do error("there is a row") end
      assert.is_true(sees_one(conn))
    end)

    it("puts and fetches canonical rows as they are", function()
      local conn = servers.open(driver)
      local name = servers.table(conn, driver == "mysql"
        and "i bigint unsigned, d decimal(65,30), t text, x blob, day date"
        or "i numeric(20), d numeric(65,30), t text, x bytea, day date")
      local row = core.pack("idtxD", { "18446744073709551615", "-0.5", "a\u{1f600}", "\0\255",
        "9999-12-31" })
      local sql = ("insert into %s values (?, ?, ?, ?, ?)"):format(name)
      conn:put(sql, "idtxD", row)
      conn:send(sql, "idtxD", row)
      assert.equal(1, conn:finish().affected)
      local back = conn:fetch(("select * from %s where day = ?"):format(name), "D",
        core.pack("D", { "9999-12-31" }), "idtxD")
      assert.same({ row, row }, back)
    end)
  end)

  describe("a stream of rows from " .. driver, function()
    before_each(servers.before_each)
    after_each(servers.after_each)

    it("of a million rows needs less than 64 MiB of memory", function()
      local process = child.lua(([[
        local servers = require "spec.support.servers"
        local conn <close> = servers.connect(%q)
        local count, sum = 0, 0
        for row in conn:rows(%q) do count, sum = count + 1, sum + row.n end
        for line in io.lines "/proc/self/status" do
          local peak = line:match "^VmHWM:%%s*(%%d+) kB"
          if peak then print(count, sum, peak) end
        end
      ]]):format(driver, million(driver, 200)))
      local text, status = process:finish()
      assert.equal(0, status, text)
      local count, sum, peak = text:match "^(%d+)%s+(%d+)%s+(%d+)\n$"
      assert.equal("1000000", count, text)
      assert.equal("499999500000", sum)
      local limit = child.sanitized() and 640 or 64
      assert(tonumber(peak) < limit * 1024, ("the peak was %s kB"):format(peak))
    end)

    it("is closed by break, and the connection is of use at once", function()
      local conn = servers.open(driver)
      for _ = 1, 3 do
        for row in conn:rows(million(driver, 1000)) do
          if #row.filler == 1000 then break end
        end
        assert.equal("idle", conn:info().state)
        assert.is_true(sees_one(conn))
      end
    end)

    it("is closed by an error in the loop, and the connection is of use at once", function()
      local conn = servers.open(driver)
      local ok, err = pcall(function()
        for _ in conn:rows(million(driver, 1000)) do error("mine", 0) end
      end)
      assert.is_false(ok)
      assert.equal("mine", err)
      assert.is_true(conn:reusable())
      assert.is_true(sees_one(conn))
    end)

    it("is closed by close, at any time and more than once, and then is at its end", function()
      local conn = servers.open(driver)
      local rows = conn:rows(million(driver, 10))
      rows()
      assert.same({ "n", "filler" }, rows.columns)
      rows:close()
      rows:close()
      assert.is_nil(rows())
      assert.equal("rows (closed)", tostring(rows))
      assert.is_true(sees_one(conn))
    end)

    it("leaves no query running on the server after break", function()
      local conn = servers.open(driver)
      for row in conn:rows(million(driver, 1001)) do
        if row.filler then break end
      end
      servers.wait_until_gone(driver, "1001")
    end)

    it("makes every other use of its connection a usage error while it is open", function()
      local conn = servers.open(driver)
      local rows <close> = conn:rows(million(driver, 10))
      rows()
      for _, call in ipairs {
        function() conn:query("select 1 as one") end,
        function() conn:execute("select 1") end,
        function() conn:rows("select 1 as one") end,
        function() conn:fetch("select 1 as one", nil, nil, "i") end,
        function() conn:send("select 1") end,
        function() conn:finish() end,
        function() core.copy { source = conn, target = conn, query = "select 1", kinds = "i",
          table = "t", columns = "c" } end,
      } do
        local err = failure(call)
        assert.equal("usage", err.class, err.message)
      end
      assert.is_false(conn:reusable())
      assert.equal("stream", conn:info().state)
      assert.equal(10, #rows().filler, "the stream goes on as if nothing had been")
    end)

    it("gives its reader time: the limit is for the server alone", function()
      local conn = servers.open(driver)
      local rows <close> = conn:rows(million(driver, 1000))
      conn:set_timeout(0.2)
      rows()
      core.sleep(0.5) -- the passing of time is what this is about
      for _ = 1, 5000 do assert(rows()) end
    end)

    it("is ended by closing its connection, and says so", function()
      local conn = servers.open(driver)
      local rows = conn:rows(million(driver, 1000))
      rows()
      conn:close()
      local err = failure(rows)
      assert.equal("usage", err.class)
      assert.matches("closed", err.message, 1, true)
      rows:close()
    end)

    it("keeps its connection alive when nothing else does", function()
      local rows = servers.connect(driver):rows(million(driver, 10))
      for _ = 1, 5 do collectgarbage() end
      assert.equal(10, #rows().filler)
      rows = nil -- luacheck: ignore
      collectgarbage()
    end)

    it("raises when its session is killed in the middle, and never just ends", function()
      local conn = servers.open(driver)
      local rows = conn:rows(million(driver, 1000))
      local count = 0
      for _ = 1, 10 do
        rows()
        count = count + 1
      end
      servers.kill(driver, conn:info().session)
      local err = failure(function()
        while rows() do count = count + 1 end
      end)
      assert.equal("unavailable", err.class, tostring(err))
      assert.equal(side.label, err.side)
      assert.is_true(err.retryable)
      assert.is_true(count < 1000000)
      assert.equal("broken", conn:info().state)
      assert.is_false(conn:reusable())
      assert.equal("unavailable", failure(conn.query, conn, "select 1 as one").class)
    end)

    it("raises when its query is killed in the middle, and the connection lives on", function()
      local conn = servers.open(driver)
      local rows = conn:rows(million(driver, 1000))
      rows()
      servers.kill_query(driver, conn:info().session)
      local err = failure(function() while rows() do end end)
      assert.equal("transient", err.class, tostring(err))
      assert.is_true(sees_one(conn))
    end)

    it("raises the server's error when the query fails after its first rows", function()
      local conn = servers.open(driver)
      -- The last row has a value that the query cannot have.
      local sql = driver == "mysql"
        and ("select n, case when n = 999999 then exp(n) else n end as v from (%s) as m")
          :format(million("mysql", 1))
        or "select n, 1 / (1000000 - n) as v from generate_series(1, 1000000) as n"
      local count = 0
      local err = failure(function()
        for _ in conn:rows(sql) do count = count + 1 end
      end)
      assert.equal("data", err.class, tostring(err))
      assert.is_true(count > 0)
      assert.is_true(sees_one(conn))
    end)
  end)

  describe("an object of " .. driver .. " that nobody closed", function()
    local pause, multiplier

    before_each(function()
      servers.before_each()
      pause = collectgarbage("setpause", 0)
      multiplier = collectgarbage("setstepmul", 10000)
    end)
    after_each(function()
      collectgarbage("setpause", pause)
      collectgarbage("setstepmul", multiplier)
      servers.after_each()
    end)

    it("is closed by the collector, connections with their streams too", function()
      local before = 0
      for _ in pairs(servers.sessions(driver)) do before = before + 1 end
      for i = 1, 6 do
        local conn = servers.connect(driver)
        if i % 3 == 0 then conn:execute("begin") end
        if i % 2 == 0 then conn:rows(million(driver, 1000))() end
      end
      collectgarbage()
      collectgarbage()
      wait.wait_until("the sessions are gone", function()
        local now = 0
        for _ in pairs(servers.sessions(driver)) do now = now + 1 end
        return now <= before
      end)
    end)

    it("frees its connection for the next statement when it is a stream", function()
      local conn = servers.open(driver)
      for _ = 1, 4 do
        conn:rows(million(driver, 100))()
        collectgarbage()
        collectgarbage()
        assert.is_true(sees_one(conn))
      end
    end)

    it("does no harm to values that are being read meanwhile", function()
      local conn = servers.open(driver)
      local count = 0
      for row in conn:rows(million(driver, 20)) do
        assert(#row.filler == 20 and { row.n })
        count = count + 1
        if count == 2000 then break end
      end
      assert.equal(2000, count)
    end)
  end)

  describe("a connection to " .. driver, function()
    before_each(servers.before_each)
    after_each(servers.after_each)

    it("refuses every use after close, and may be closed again", function()
      local conn = servers.connect(driver)
      conn:close()
      conn:close()
      for _, call in ipairs {
        function() conn:query("select 1 as one") end,
        function() conn:execute("select 1") end,
        function() conn:rows("select 1 as one") end,
        function() conn:fetch("select 1 as one", nil, nil, "i") end,
        function() conn:put("select ?", "i", core.pack("i", { 1 })) end,
        function() conn:send("select 1") end,
        function() conn:finish() end,
        function() conn:set_timeout(1) end,
        function() conn:cancel() end,
        function() conn:info() end,
      } do
        local err = failure(call)
        assert.equal("usage", err.class)
        assert.matches("closed", err.message, 1, true)
      end
      assert.is_false(conn:reusable())
      assert.equal("connection (closed)", tostring(conn))
    end)

    it("is closed at the end of its block, also by an error", function()
      local outer
      pcall(function()
        local conn <close> = servers.connect(driver)
        outer = conn
        error("mine")
      end)
      assert.equal("connection (closed)", tostring(outer))
    end)

    it("knows whether it is in a transaction, and is no pool's while it is", function()
      local conn = servers.open(driver)
      assert.is_false(conn:info().in_transaction)
      conn:execute("begin")
      assert.is_true(conn:info().in_transaction)
      assert.is_false(conn:reusable())
      failure(conn.query, conn, "select nonsense from nowhere")
      assert.is_true(conn:info().in_transaction)
      conn:execute("rollback")
      assert.is_true(conn:reusable())
    end)

    it("says what it is connected to", function()
      local info = servers.open(driver):info()
      assert.equal(driver, info.driver)
      assert.equal(side.label, info.label)
      assert.matches("^%d+%.%d+", info.version)
      assert.equal("idle", info.state)
      if driver == "postgres" then assert.equal("postgresql", info.product) end
      assert.is_not_nil(servers.sessions(driver)[info.session])
    end)
  end)

  describe("a statement on " .. driver .. " that takes too long", function()
    before_each(servers.before_each)
    after_each(servers.after_each)

    it("ends at its limit, is gone from the server, and the connection lives on", function()
      local conn = servers.open(driver)
      conn:set_timeout(0.3)
      for _, method in ipairs { "query", "execute" } do
        local sql, started = sleeping(driver, 61), core.clock()
        local err = failure(conn[method], conn, sql)
        local seconds = core.clock() - started
        assert.equal("transient", err.class, tostring(err))
        assert.is_true(err.retryable)
        assert.equal("not_applied", err.outcome)
        assert.equal(side.label, err.side)
        assert(seconds >= 0.3 and seconds < 3, ("it took %.2f s"):format(seconds))
        servers.wait_until_gone(driver, sql)
        assert.is_true(sees_one(conn))
      end
    end)

    it("is cancelled by an interrupt, class canceled, and the next runs once that is cleared",
      function()
        local conn = servers.open(driver)
        core.interrupt()
        local started = core.clock()
        local err = failure(conn.query, conn, sleeping(driver, 62))
        assert.equal("canceled", err.class)
        assert.is_false(err.retryable)
        assert.is_true(core.clock() - started < 5)
        assert.is_true(core.interrupted())
        core.interrupt_clear()
        servers.wait_until_gone(driver, sleeping(driver, 62))
        assert.is_true(sees_one(conn))
      end)

    it("can be ended by a signal to the process that waits, with status 130, and is gone",
      function()
        local program = os.getenv("DUALDB_BIN") or "build/dualdb"
        local sql = sleeping(driver, 63)
        local process = child.command(("%s -e %s"):format(program, ("'%s'"):format(
          ("require(\"dualdb\").open().%s:query(\"%s\")"):format(side.label, sql))))
        wait.wait_until("the query runs", function() return servers.runs(driver, sql) end)
        process:signal(2)
        local text, status = process:finish()
        assert.equal(130, status, text)
        servers.wait_until_gone(driver, sql)
      end)

    it("rolls its transaction back when the program ends it", function()
      local conn = servers.open(driver)
      local name = servers.table(conn, "id int primary key")
      conn:execute("begin")
      conn:execute(("insert into %s values (1)"):format(name))
      conn:set_timeout(0.2)
      failure(conn.query, conn, sleeping(driver, 64))
      conn:set_timeout(10)
      assert.is_true(conn:info().in_transaction)
      conn:execute("rollback")
      assert.equal(0, conn:query(("select count(*) as n from %s"):format(name))[1].n)
    end)

    it("still lets a rollback through after an interrupt", function()
      local conn = servers.open(driver)
      conn:execute("begin")
      core.interrupt()
      assert.equal("canceled", failure(conn.query, conn, sleeping(driver, 65)).class)
      conn:execute("rollback")
      core.interrupt_clear()
      assert.is_true(conn:reusable())
    end)
  end)
end
