-- What the servers' own failures are called, provoked on the servers, and the table that says so.

local child = require "spec.support.child"
local core = require "dualdb.core"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

local failure = servers.failure

-- Checks an error against a table of fields; `codes` gives what is right for each driver.
local function check(err, side, expected, codes)
  for name, value in pairs(expected) do
    assert.equal(value, err[name], ("%s of: %s"):format(name, tostring(err)))
  end
  assert.equal(core.classes[err.class].retryable, err.retryable)
  assert.equal(side.label, err.side)
  assert.is_nil(tostring(err):find("\n", 1, true))
  assert.is_nil(err.message:find("^%u%l"), err.message)
  assert.is_nil(err.message:find("%.$"), err.message)
  if not codes then return end
  local code = codes[side.driver]
  if side.driver == "mysql" then
    assert.is_true(code == err.code or (type(code) == "table" and code[err.code] == true),
      "the code is " .. tostring(err.code))
  else
    assert.equal(code, err.sqlstate)
  end
end

-- A user with nothing but rights on the tables; gone after the spec.
local function limited_user(driver, options)
  local name = servers.scratch_name()
  if driver == "mysql" then
    servers.command(driver, ("create user %s@'%%' identified by 'spec' %s"):format(name,
      options or ""))
    servers.command(driver, ("grant select, insert, update, delete on %s.* to %s@'%%'")
      :format(servers.settings(driver).dbname, name))
    servers.finally(function() servers.command(driver, ("drop user %s@'%%'"):format(name)) end)
  else
    servers.command(driver, ("create role %s login password 'spec' %s"):format(name, options or ""))
    servers.finally(function() servers.command(driver, "drop role " .. name) end)
  end
  return { user = name, password = "spec" }
end

for _, side in ipairs(servers.SIDES) do
  local driver = side.driver

  describe("an error of " .. driver, function()
    before_each(servers.before_each)
    after_each(servers.after_each)

    local function made(columns)
      local conn = servers.open(driver)
      return conn, servers.table(conn, columns)
    end

    -- ---- the row or the statement is at fault ----

    for _, case in ipairs {
      { "a duplicate key", "integrity", "insert into %s values (1, 'again', null)",
        { mysql = 1062, postgres = "23505" } },
      { "a reference to a row that is not there", "integrity",
        "insert into %s values (2, 'x', 99)", { mysql = 1452, postgres = "23503" } },
      { "a row that others refer to", "integrity", "delete from %s where id = 1",
        { mysql = 1451, postgres = "23503" } },
      { "NULL where there must be a value", "integrity", "insert into %s values (3, null, null)",
        { mysql = 1048, postgres = "23502" } },
      { "a check that fails", "integrity", "insert into %s values (-1, 'x', null)",
        { mysql = { [4025] = true, [3819] = true }, postgres = "23514" } },
      { "a value that is too long", "data", "insert into %s values (4, '123456', null)",
        { mysql = 1406, postgres = "22001" } },
      { "a number out of range", "data", "insert into %s values (99999999999, 'x', null)",
        { mysql = 1264, postgres = "22003" } },
      { "a division by zero", "data", "insert into %s values (1 / 0, 'x', null)",
        { mysql = 1365, postgres = "22012" } },
      { "a table that is not there", "schema", "select * from %s_not", {
        mysql = 1146, postgres = "42P01" } },
      { "a column that is not there", "schema", "select nothing from %s",
        { mysql = 1054, postgres = "42703" } },
      { "a function that is not there", "schema", "select spec_nothing(1)",
        { mysql = 1305, postgres = "42883" } },
      { "bad syntax", "usage", "selct * from %s", { mysql = 1064, postgres = "42601" } },
    } do
      it(("about %s is of class %s, in a transaction and out of it"):format(case[1], case[2]),
        function()
          local conn, name = made("id int primary key, v varchar(5) not null, parent int, "
            .. "constraint positive check (id > 0)")
          conn:execute(("alter table %s add foreign key (parent) references %s (id)")
            :format(name, name))
          conn:execute(("insert into %s values (1, 'a', null), (7, 'b', 1)"):format(name))
          for _, begin in ipairs { "select 1", "begin" } do
            conn:execute(begin)
            local err = failure(conn.execute, conn, case[3]:format(name))
            check(err, side, { class = case[2], retryable = false, outcome = "not_applied" },
              case[4])
          end
          conn:execute("rollback")
          assert.is_true(conn:reusable())
          assert.equal(2, conn:query("select count(*) as n from " .. name)[1].n)
        end)
    end

    it("that a user raises from SQL is of class integrity", function()
      local conn = servers.open(driver)
      local err = failure(conn.execute, conn, driver == "mysql"
        and "signal sqlstate '45000' set message_text = 'not today'"
        or "do $$ begin raise exception 'not today'; end $$")
      check(err, side, { class = "integrity", message = "not today" },
        { mysql = 1644, postgres = "P0001" })
    end)

    it("about a missing privilege is of class auth", function()
      local _, name = made "id int"
      local other = servers.open(driver, { settings = limited_user(driver) })
      local err = failure(other.execute, other, "drop table " .. name)
      check(err, side, { class = "auth", retryable = false },
        { mysql = 1142, postgres = "42501" })
    end)

    -- ---- other transactions ----

    it("about a deadlock is transient, and hits one of the two", function()
      local conn, name = made "id int primary key, v int"
      conn:execute(("insert into %s values (1, 0), (2, 0)"):format(name))
      local update = ("update %s set v = v + 1 where id = %%d"):format(name)
      conn:execute("begin")
      conn:execute(update:format(1))
      local process = child.lua(([[
        local servers = require "spec.support.servers"
        local conn <close> = servers.connect(%q)
        conn:execute("begin")
        conn:execute(%q)
        print "locked"
        local ok, err = pcall(conn.execute, conn, %q)
        print(ok and "done" or err.class)
        conn:execute(ok and "commit" or "rollback")
      ]]):format(driver, update:format(2), update:format(1)))
      assert.equal("locked", process:line())
      wait.wait_until("the other waits", function()
        return servers.runs(driver, update:format(1))
      end)
      local ok, err = pcall(conn.execute, conn, update:format(2))
      conn:execute(ok and "commit" or "rollback")
      local other = process:finish():match "%w+"
      if not ok then
        check(err, side, { class = "transient", retryable = true, outcome = "not_applied" },
          { mysql = 1213, postgres = "40P01" })
      end
      assert.equal(ok and "transient" or "done", other)
    end)

    it("about a lock that does not come in time is transient", function()
      local conn, name = made "id int primary key"
      conn:execute(("insert into %s values (1)"):format(name))
      local other = servers.open(driver)
      other:execute(driver == "mysql" and "set innodb_lock_wait_timeout = 1"
        or "set lock_timeout = '200ms'")
      conn:execute("begin")
      conn:query(("select * from %s where id = 1 for update"):format(name))
      other:execute("begin")
      local err = failure(other.execute, other, ("delete from %s where id = 1"):format(name))
      check(err, side, { class = "transient", retryable = true, outcome = "not_applied" },
        { mysql = 1205, postgres = "55P03" })
      other:execute("rollback")
      err = failure(other.query, other, ("select * from %s for update nowait"):format(name))
      check(err, side, { class = "transient", retryable = true, outcome = "not_applied" },
        { mysql = { [1205] = true, [3572] = true }, postgres = "55P03" })
      conn:execute("rollback")
    end)

    it("about the server's own time limit is transient", function()
      local conn = servers.open(driver)
      local product = conn:info().product
      local sql = "select pg_sleep(60)::text as s"
      if product == "mariadb" then
        conn:execute("set max_statement_time = 0.2")
        sql = "select count(*) as n from information_schema.columns a, "
          .. "information_schema.columns b, information_schema.columns c"
      elseif product == "mysql" then
        conn:execute("set max_execution_time = 200")
        sql = "select count(*) as n from information_schema.columns a, "
          .. "information_schema.columns b, information_schema.columns c"
      else
        conn:execute("set statement_timeout = '200ms'")
      end
      check(failure(conn.query, conn, sql), side, { class = "transient", retryable = true },
        { mysql = { [1969] = true, [3024] = true, [1028] = true }, postgres = "57014" })
      assert.equal(1, conn:query("select 1 as one")[1].one)
    end)

    -- ---- the server as a whole ----

    it("about a server that takes no writes is of class read_only", function()
      local settings = limited_user(driver)
      local conn, name = made "id int"
      if driver == "mysql" then
        servers.command(driver, "set global read_only = 1")
        servers.finally(function() servers.command(driver, "set global read_only = 0") end)
        conn = servers.open(driver, { settings = settings })
      else
        conn:execute("set default_transaction_read_only = on")
      end
      local err = failure(conn.execute, conn, ("insert into %s values (1)"):format(name))
      check(err, side, { class = "read_only", retryable = false, outcome = "not_applied" },
        { mysql = 1290, postgres = "25006" })
      assert.is_string(err.hint)
    end)

    it("about a user's last connection is of class capacity", function()
      local settings = limited_user(driver, driver == "mysql" and "with max_user_connections 1"
        or "connection limit 1")
      local first = servers.open(driver, { settings = settings })
      local err = failure(servers.connect, driver, { settings = settings })
      check(err, side, { class = "capacity", retryable = true, outcome = "not_applied" },
        { mysql = 1226, postgres = "53300" })
      assert.equal(1, first:query("select 1 as one")[1].one)
    end)

    it("about a server that is killed is unavailable, for running statements and new connections",
      function()
        if not servers.sandboxed() then return pending("needs a sandbox") end
        local conn = servers.open(driver)
        servers.destroy(side.label)
        local err = failure(conn.query, conn, "select 1 as one")
        check(err, side, { class = "unavailable", retryable = true, outcome = "not_applied" })
        assert.equal("broken", conn:info().state)
        err = failure(servers.connect, driver)
        check(err, side, { class = "unavailable", retryable = true, outcome = "not_applied" })
      end)

    it("about a server that is killed under a write leaves open whether that was applied",
      function()
        if not servers.sandboxed() then return pending("needs a sandbox") end
        local _, name = made "id int primary key"
        local insert = ("insert into %s select %%s"):format(name)
        insert = insert:format(driver == "mysql" and "1 + sleep(60)"
          or "1 from (select pg_sleep(60)) as s")
        local process = child.lua(([[
          local servers = require "spec.support.servers"
          local conn = servers.connect(%q)
          print "connected"
          local ok, err = pcall(conn.execute, conn, %q)
          print(ok, err.class, err.outcome, err.side)
        ]]):format(driver, insert))
        assert.equal("connected", process:line())
        wait.wait_until("the insert runs", function() return servers.runs(driver, insert) end)
        servers.destroy(side.label)
        assert.equal(("false\tunavailable\tunknown\t%s\n"):format(side.label), (process:finish()))
      end)

    it("about a server that freezes is unavailable soon after the statement's limit", function()
      if not servers.sandboxed() then return pending("needs a sandbox") end
      local conn = servers.open(driver)
      conn:set_timeout(0.5)
      servers.freeze(side.label, driver == "postgres" and conn:info().session or nil)
      local started = core.clock()
      local err = failure(conn.query, conn, "select 2 as two")
      check(err, side, { class = "unavailable", retryable = true })
      assert(core.clock() - started < 8, "it took too long")
      assert.equal("broken", conn:info().state)
      started = core.clock()
      conn:close()
      assert(core.clock() - started < 2, "closing took too long")
    end)
  end)
end

describe("an error of mysql", function()
  before_each(servers.before_each)
  after_each(servers.after_each)

  it("about the server's last connection is of class capacity", function()
    local settings = limited_user "mysql"
    local limit = servers.look("mysql", "select @@global.max_connections as n")[1].n
    servers.finally(function()
      servers.command("mysql", ("set global max_connections = %d"):format(limit))
    end)
    servers.command("mysql", "set global max_connections = 10")
    local ok, err = true, nil
    for _ = 1, 12 do
      if ok then ok, err = pcall(servers.open, "mysql", { settings = settings }) end
    end
    assert.is_false(ok)
    check(err, servers.primary, { class = "capacity", retryable = true }, { mysql = 1040 })
  end)

  it("about a COMMIT that its time limit ends is ambiguous", function()
    local conn, blocker = servers.open "mysql", servers.open "mysql"
    local name = servers.table(conn, "id int primary key")
    conn:execute("begin")
    conn:execute(("insert into %s values (1)"):format(name))
    blocker:execute("flush tables with read lock")
    conn:set_timeout(0.5)
    local err = failure(conn.execute, conn, "commit")
    blocker:execute("unlock tables")
    check(err, servers.primary, { class = "ambiguous", retryable = false, outcome = "unknown" })
  end)
end)

describe("an error of postgres", function()
  before_each(servers.before_each)
  after_each(servers.after_each)

  -- A connection inside a transaction whose COMMIT waits for a standby that is not there.
  local function waiting_commit()
    local conn = servers.open "postgres"
    local insert = ("insert into %s values (1)"):format(servers.table(conn, "id int"))
    servers.command("postgres", "alter system set synchronous_standby_names = 'nobody'")
    servers.command("postgres", "select pg_reload_conf()")
    servers.finally(function()
      servers.command("postgres", "alter system reset synchronous_standby_names")
      servers.command("postgres", "select pg_reload_conf()")
    end)
    conn:set_timeout(0.1)
    wait.wait_until("the server waits for the standby", function()
      return conn:execute(insert).warned
    end)
    conn:set_timeout(10)
    conn:execute("begin")
    conn:execute(insert)
    return conn
  end

  it("about a COMMIT whose answer is lost is ambiguous", function()
    if not servers.sandboxed() then return pending("needs a sandbox") end
    local conn = waiting_commit()
    local session = conn:info().session
    conn:send("commit")
    wait.wait_until("COMMIT waits", function()
      return #servers.look("postgres", "select 1 as one from pg_stat_activity "
        .. "where pid = ? and wait_event = 'SyncRep'", session) == 1
    end)
    servers.kill("postgres", session)
    local err = failure(conn.finish, conn)
    check(err, servers.secondary, { class = "ambiguous", retryable = false, outcome = "unknown" })
    assert.equal("broken", conn:info().state)
  end)

  it("is none when its time limit ends a COMMIT that was done, but the result warns", function()
    if not servers.sandboxed() then return pending("needs a sandbox") end
    local conn = waiting_commit()
    conn:set_timeout(0.5)
    local result = conn:execute("commit")
    assert.equal("COMMIT", result.tag)
    assert.is_true(result.warned)
  end)

  it("about a serialization that fails is transient", function()
    local conn, other = servers.open "postgres", servers.open "postgres"
    local name = servers.table(conn, "id int primary key, v int")
    conn:execute(("insert into %s values (1, 0)"):format(name))
    conn:execute("begin isolation level repeatable read")
    conn:query("select * from " .. name)
    other:execute(("update %s set v = 1"):format(name))
    check(failure(conn.execute, conn, ("update %s set v = 2"):format(name)), servers.secondary,
      { class = "transient", retryable = true }, { postgres = "40001" })
    conn:execute("rollback")
  end)

  it("is raised by the COMMIT of a transaction that has failed, which it calls a success",
    function()
      local conn = servers.open "postgres"
      conn:execute("begin")
      failure(conn.query, conn, "select * from spec_nowhere")
      local err = failure(conn.query, conn, "select 1 as one")
      check(err, servers.secondary, { class = "transient" }, { postgres = "25P02" })
      err = failure(conn.execute, conn, "commit")
      check(err, servers.secondary, { class = "transient", outcome = "not_applied" })
      assert.is_true(conn:reusable())
    end)
end)

-- ---- the table ----

describe("the table of classifications", function()
  local rows = core.classifications()

  it("covers both servers, and names a class for every code and both phases", function()
    local count = { mysql = 0, postgres = 0 }
    for _, row in ipairs(rows) do
      count[row.driver] = count[row.driver] + 1
      assert.is_table(core.classes[row.class])
      assert.is_table(core.classes[row.at_commit])
    end
    assert.is_true(count.mysql > 100, count.mysql)
    assert.is_true(count.postgres > 80, count.postgres)
  end)

  local seen = {}
  for _, row in ipairs(rows) do
    local what = ("%s %s"):format(row.driver, row.code ~= 0 and row.code
      or row.sqlstate ~= "" and row.sqlstate or "without a code")
    if row.text ~= "" then what = ("%s saying %q"):format(what, row.text) end
    local name = ("calls %s %s, and %s at COMMIT"):format(what, row.class, row.at_commit)
    if not seen[name] then
      seen[name] = true
      it(name, function()
        local text = row.text ~= "" and ("Server says: " .. row.text:gsub("%*", " in between "))
          or "anything at all"
        for phase, class in pairs { statement = row.class, commit = row.at_commit,
          connect = row.class } do
          local err = core.classify { driver = row.driver, code = row.code,
            sqlstate = row.sqlstate, text = text:upper(), phase = phase }
          assert.equal(class, err.class, phase)
          assert.equal(class == "ambiguous" and "unknown" or "not_applied", err.outcome)
          assert.equal(core.classes[class].retryable, err.retryable)
        end
      end)
    end
  end

  it("leaves the outcome open for every lost connection at COMMIT, and for none before", function()
    for _, case in ipairs {
      { driver = "mysql", code = 2006 }, { driver = "mysql", code = 2013 },
      { driver = "mysql", code = 1317 }, { driver = "mysql", code = 1053 },
      { driver = "mysql", code = 64999 }, { driver = "postgres" },
      { driver = "postgres", sqlstate = "57P01" }, { driver = "postgres", sqlstate = "08006" },
      { driver = "postgres", sqlstate = "08P01" }, { driver = "postgres", sqlstate = "XX000" },
    } do
      case.text, case.phase = "something", "commit"
      local err = core.classify(case)
      assert.equal("ambiguous", err.class)
      assert.equal("unknown", err.outcome)
      case.phase = "statement"
      assert.equal("not_applied", core.classify(case).outcome)
    end
  end)
end)
