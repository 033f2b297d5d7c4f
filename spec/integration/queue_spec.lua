-- Several statements under way on one connection: order, errors in the middle, loss, limits.

local child = require "spec.support.child"
local core = require "dualdb.core"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

local failure = servers.failure

local function sees_one(conn) return conn:query("select 1 as one")[1].one == 1 end

local function count(conn, name)
  return conn:query(("select count(*) as n from %s"):format(name))[1].n
end

--- The error of the oldest statement under way.
local function failed(conn) return failure(conn.finish, conn) end

for _, side in ipairs(servers.SIDES) do
  local driver = side.driver

  describe("statements queued on " .. driver, function()
    before_each(servers.before_each)
    after_each(servers.after_each)

    it("give their results in the order in which they were queued", function()
      local conn = servers.open(driver)
      local name = servers.table(conn, "id int primary key, v int")
      for i = 1, 4 do
        conn:queue(("insert into %s select n + ?, 0 from (select 0 as n union select 1 union "
          .. "select 2 union select 3) as t where n < ?"):format(name), 10 * i, i)
        assert.equal(i, conn:info().queued)
        assert.equal("sent", conn:info().state)
      end
      conn:queue(("update %s set v = 1"):format(name))
      for i = 1, 4 do assert.equal(i, conn:finish().affected) end
      assert.equal("sent", conn:info().state)
      assert.equal(10, conn:finish().affected)
      assert.equal("idle", conn:info().state)
      assert.equal(0, conn:info().queued)
      assert.is_true(sees_one(conn))
    end)

    it("are eight at most, and refuse everything else meanwhile", function()
      local conn = servers.open(driver)
      local name = servers.table(conn, "id int primary key")
      for i = 1, 8 do conn:queue(("insert into %s values (?)"):format(name), i) end
      for _, call in ipairs {
        function() conn:queue("select 1") end,
        function() conn:execute("select 1") end,
        function() conn:send("select 1") end,
        function() conn:query("select 1") end,
        function() conn:rows("select 1") end,
      } do
        assert.equal("usage", failure(call).class)
      end
      assert.is_false(conn:reusable())
      for _ = 1, 8 do assert.equal(1, conn:finish().affected) end
      assert.equal("usage", failed(conn).class)
      assert.equal(8, count(conn, name))
      assert.is_true(conn:reusable())
    end)

    it("are refused while a statement was sent alone, or a stream is open", function()
      local conn = servers.open(driver)
      conn:send("select 1")
      assert.equal("usage", failure(conn.queue, conn, "select 1").class)
      conn:finish()
      for _ in conn:rows("select 1 as one") do
        assert.equal("usage", failure(conn.queue, conn, "select 1").class)
      end
      conn:queue("select 1")
      conn:finish()
    end)

    it("with the wrong number of values, or one that cannot be bound, are not queued", function()
      local conn = servers.open(driver)
      conn:queue("select 1")
      assert.equal("usage", failure(conn.queue, conn, "select ?").class)
      assert.equal("usage", failure(conn.queue, conn, "select ?", {}).class)
      assert.equal(1, conn:info().queued)
      conn:finish()
      assert.is_true(sees_one(conn))
    end)

    -- The second is more than the buffers between the two ends hold.
    for _, case in ipairs { { "100 kB", 10000, 8, 20 }, { "12 MB", 1200000, 3, 1 } } do
      local size, tens, width, rounds = table.unpack(case)
      it("carry " .. size .. " each way without waiting for each other", function()
        local conn = servers.open(driver)
        local text = ("0123456789"):rep(tens)
        local name = servers.table(conn, driver == "mysql" and "id int primary key, t longtext"
          or "id int primary key, t text")
        local returning = driver == "postgres" and " returning t, t || t" or ""
        for _ = 1, rounds do
          for i = 1, width do
            conn:queue(("insert into %s values (?, ?)%s"):format(name, returning), i, text)
          end
          for _ = 1, width do assert.equal(1, conn:finish().affected) end
          local deleted = conn:execute(("delete from %s where t = ?"):format(name), text)
          assert.equal(width, deleted.affected)
        end
      end)
    end
  end)
end

describe("a failure among statements queued on mysql", function()
  before_each(servers.before_each)
  after_each(servers.after_each)

  it("is told when it is queued, and leaves the results of the others", function()
    local conn = servers.open("mysql")
    local name = servers.table(conn, "id int primary key")
    local insert = ("insert into %s values (?)"):format(name)
    conn:queue(insert, 1)
    assert.equal("integrity", failure(conn.queue, conn, insert, 1).class)
    conn:queue(insert, 2)
    assert.equal(2, conn:info().queued)
    conn:finish()
    conn:finish()
    assert.equal(2, count(conn, name))
  end)

  it("that is the end of the connection leaves the results of what was done before", function()
    local conn = servers.open("mysql")
    conn:queue(("update %s set id = 2"):format(servers.table(conn, "id int primary key")))
    servers.kill("mysql", conn:info().session)
    local err = failure(function() -- the server takes a moment to close it
      wait.wait_until("the connection is lost", function() conn:queue("do 1") conn:finish() end)
    end)
    assert.equal("unavailable", err.class)
    assert.equal("broken", conn:info().state)
    while conn:info().queued > 0 do conn:finish() end
    assert.equal("unavailable", failed(conn).class)
  end)
end)

describe("a failure among statements queued on postgres", function()
  before_each(servers.before_each)
  after_each(servers.after_each)

  local conn, name, insert

  local function open(more)
    conn = servers.open("postgres", more)
    name = servers.table(conn, "id int primary key, t text")
    insert = ("insert into %s values (?, ?)"):format(name)
  end

  it("does not keep the next from being run outside of a transaction", function()
    open()
    conn:queue(insert, 1, "a")
    conn:queue(insert, 1, "b")
    conn:queue(insert, 2, "c")
    assert.equal(1, conn:finish().affected)
    local err = failed(conn)
    assert.same({ "integrity", "not_applied", "secondary" }, { err.class, err.outcome, err.side })
    assert.equal(1, conn:finish().affected)
    assert.equal(2, count(conn, name))
  end)

  it("at the end of a statement is that statement's", function()
    open()
    conn:execute(("alter table %s add ref int references %s deferrable initially deferred")
      :format(name, name))
    conn:queue(("insert into %s values (1, 'a', 77)"):format(name))
    conn:queue(insert, 2, "b")
    assert.equal("23503", failed(conn).sqlstate)
    assert.equal(1, conn:finish().affected)
    assert.equal(1, count(conn, name))
  end)

  it("makes PREPARE TRANSACTION a rollback, which is transient and not applied", function()
    open()
    conn:execute "begin"
    conn:queue(insert, 1, "a")
    conn:queue(insert, 1, "b")
    conn:queue(insert, 2, "c")
    conn:queue "prepare transaction 'queue_spec'"
    conn:finish()
    assert.equal("integrity", failed(conn).class)
    local refused = failed(conn)
    assert.same({ "transient", "25P02" }, { refused.class, refused.sqlstate })
    local prepared = failed(conn)
    assert.same({ "transient", "not_applied" }, { prepared.class, prepared.outcome })
    assert.is_false(conn:info().in_transaction)
    assert.equal(0, count(conn, name))
  end)

  it("is the same when BEGIN was queued too, for PREPARE, COMMIT and ROLLBACK", function()
    open()
    for _, ending in ipairs { "prepare transaction 'queue_spec'", "commit", "rollback" } do
      conn:queue "begin"
      conn:queue(insert, 1, "a")
      conn:queue(insert, 1, "b")
      conn:queue(insert, 2, "c")
      conn:queue(ending)
      assert.is_true(conn:info().in_transaction)
      conn:finish()
      conn:finish()
      assert.equal("integrity", failed(conn).class)
      local refused = failed(conn)
      assert.same({ "transient", "25P02" }, { refused.class, refused.sqlstate })
      if ending == "rollback" then
        assert.equal("ROLLBACK", conn:finish().tag)
      else
        local ended = failed(conn)
        assert.same({ "transient", "not_applied" }, { ended.class, ended.outcome })
      end
      assert.is_false(conn:info().in_transaction)
      assert.equal(0, count(conn, name))
    end
  end)

  it("of BEGIN keeps what stands behind it from committing by itself", function()
    open()
    for _, ending in ipairs { "prepare transaction 'queue_spec'", "commit" } do
      conn:queue "begin isolation level none"
      conn:queue "set local lock_timeout = '1s'"
      conn:queue(insert, 1, "a")
      conn:queue(insert, 2, "b")
      conn:queue(ending)
      assert.equal("usage", failed(conn).class)
      for _ = 1, 4 do
        local err = failed(conn)
        assert.same({ "transient", "not_applied" }, { err.class, err.outcome })
      end
      assert.equal(0, count(conn, name))
    end
    conn:queue "begin isolation level none"
    conn:queue(insert, 1, "a")
    assert.equal("usage", failed(conn).class)
    assert.equal("transient", failed(conn).class)
    assert.equal(0, count(conn, name))
  end)

  it("is undone by ROLLBACK TO, and the transaction goes on", function()
    open()
    conn:queue "begin"
    conn:queue "savepoint s"
    conn:queue(insert, 1, "a")
    conn:queue(insert, 1, "b")
    conn:queue "rollback to savepoint s"
    conn:queue(insert, 3, "c")
    conn:queue "commit"
    for _ = 1, 3 do conn:finish() end
    assert.equal("integrity", failed(conn).class)
    for _ = 1, 3 do conn:finish() end
    assert.equal(3, conn:query("select id from " .. name)[1].id)
  end)

  it("is a warning of that statement alone", function()
    open()
    conn:queue "select 1"
    conn:queue "rollback"
    conn:queue "select 1"
    assert.is_nil(conn:finish().warned)
    assert.is_true(conn:finish().warned)
    assert.is_nil(conn:finish().warned)
  end)

  it("is that COPY takes what stands behind it for its data, so it is refused", function()
    open()
    conn:queue(insert, 1, "a")
    local err = failure(conn.queue, conn, ("/* x */ copy %s from stdin"):format(name))
    assert.equal("usage", err.class)
    assert.equal(1, conn:finish().affected)
    assert.is_true(sees_one(conn))
  end)

  -- ---- limits, interrupts, losses ----

  it("by the limit of time is that of each statement, and the connection goes on", function()
    open { timeout = 0.3 }
    conn:queue "select pg_sleep(30)"
    conn:queue(insert, 1, "a")
    conn:queue "select pg_sleep(30)"
    conn:queue(insert, 2, "b")
    local started = core.clock()
    for _ = 1, 2 do
      local err = failed(conn)
      assert.same({ "transient", "not_applied", "57014" }, { err.class, err.outcome, err.sqlstate })
      assert.equal(1, conn:finish().affected)
    end
    assert.is_true(core.clock() - started < 5)
    assert.equal(2, count(conn, name))
  end)

  it("by the limit of time in a transaction leaves nothing of it", function()
    open { timeout = 0.3 }
    conn:queue "begin"
    conn:queue(insert, 1, "a")
    conn:queue "select pg_sleep(30)"
    conn:queue(insert, 2, "b")
    conn:queue "commit"
    conn:finish()
    conn:finish()
    assert.equal("57014", failed(conn).sqlstate)
    assert.equal("25P02", failed(conn).sqlstate)
    local err = failed(conn)
    assert.same({ "transient", "not_applied" }, { err.class, err.outcome })
    assert.equal(0, count(conn, name))
  end)

  it("by a cancel is that of the statement that runs", function()
    open()
    conn:queue "select pg_sleep(30)"
    conn:queue(insert, 1, "a")
    wait.wait_until("it sleeps", function() return servers.runs("postgres", "pg_sleep(30)") end)
    conn:cancel()
    assert.equal("57014", failed(conn).sqlstate)
    assert.equal(1, conn:finish().affected)
  end)

  it("by an interrupt is class canceled, for as long as it stands", function()
    open()
    conn:queue "select pg_sleep(30)"
    conn:queue "select pg_sleep(30)"
    conn:queue(insert, 1, "a")
    core.interrupt()
    assert.equal("canceled", failed(conn).class)
    assert.equal("canceled", failed(conn).class)
    core.interrupt_clear()
    assert.equal(1, conn:finish().affected)
    assert.is_true(sees_one(conn))
  end)

  it("by the end of the session has for each statement the outcome that can be known", function()
    open()
    conn:execute "begin"
    conn:queue(insert, 1, "a")
    conn:queue "select pg_sleep(30)"
    conn:queue(insert, 2, "b")
    wait.wait_until("it sleeps", function() return servers.runs("postgres", "pg_sleep(30)") end)
    servers.kill("postgres", conn:info().session)
    assert.equal(1, conn:finish().affected) -- it was done, and the server had said so
    for _ = 1, 2 do
      local err = failed(conn)
      assert.same({ "unavailable", "not_applied" }, { err.class, err.outcome })
      assert.matches("terminating connection", err.message, 1, true)
    end
    assert.equal("broken", conn:info().state)
    assert.equal("unavailable", failure(conn.queue, conn, "select 1").class)
  end)

  it("by the end of the session is ambiguous for a COMMIT, and unknown for what it commits",
    function()
      open()
      conn:queue "begin"
      conn:queue "select pg_sleep(30)"
      conn:queue(insert, 1, "a")
      conn:queue "commit"
      conn:queue(insert, 2, "b")
      conn:queue "commit prepared 'queue_spec'"
      conn:queue "rollback prepared 'queue_spec'"
      wait.wait_until("it sleeps", function() return servers.runs("postgres", "pg_sleep(30)") end)
      servers.kill("postgres", conn:info().session)
      conn:finish()
      for _, class in ipairs { "unavailable", "unavailable", "ambiguous", "unavailable",
        "ambiguous", "unavailable" } do
        local err = failed(conn)
        assert.same({ class, "unknown", "secondary" }, { err.class, err.outcome, err.side })
      end
      assert.equal("unavailable", failed(conn).class)
      assert.equal(0, conn:info().queued)
    end)

  it("by a server that answers nothing costs the patience once, not for each statement", function()
    if not servers.sandboxed() then return pending "needs a server of its own" end
    open { timeout = 0.3 }
    local session = conn:info().session
    servers.freeze("secondary", session)
    conn:queue "begin"
    conn:queue(insert, 1, "a")
    conn:queue "commit"
    conn:queue(insert, 2, "b")
    local started = core.clock()
    for _, class in ipairs { "unavailable", "unavailable", "ambiguous", "unavailable" } do
      local err = failed(conn)
      assert.same({ class, "unknown" }, { err.class, err.outcome })
    end
    assert.is_true(core.clock() - started < 10)
    assert.equal("broken", conn:info().state)
  end)

  it("leaves rows that nobody wants out of memory, and later statements whole", function()
    open()
    conn:queue(servers.million("postgres", 100))
    conn:queue(insert, 1, "a")
    local before = collectgarbage "count"
    assert.equal(1000000, conn:finish().affected)
    assert.equal(1, conn:finish().affected)
    assert.is_true(collectgarbage "count" - before < 1000)
  end)

  it("or success leaves nothing in memory after 10,000 rounds", function()
    local script = child.lua [[
      local servers = require "spec.support.servers"
      local conn = servers.connect "postgres"
      conn:execute "create temporary table t (id int primary key)"
      local function resident()
        for line in io.lines "/proc/self/status" do
          local size = line:match "^VmRSS:%s+(%d+)"
          if size then return tonumber(size) end
        end
      end
      local function round(i)
        conn:queue "begin"
        conn:queue("insert into t values (?)", i)
        if i % 10 == 0 then conn:queue("insert into t values (?)", i) end
        conn:queue "rollback"
        while conn:info().queued > 0 do pcall(conn.finish, conn) end
      end
      for i = 1, 2000 do round(i) end
      collectgarbage()
      local before = resident()
      for i = 1, 10000 do round(i) end
      collectgarbage()
      print(resident() - before)
      conn:close()
    ]]
    local text, status = script:finish()
    assert.equal(0, status, text)
    -- A sanitizer keeps what was freed for a while, and ends with a status of its own after a leak.
    assert.is_true(child.sanitized() or tonumber(text) < 500, text)
  end)
end)
