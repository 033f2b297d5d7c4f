--- The network fails a dual write at each of its statements, in each protocol: the request is lost,
--- or the answer, or both with nobody told. The caller is told the truth, and nothing stays behind.

local bank = require "spec.support.bank"
local child = require "spec.support.child"
local dualdb = require "dualdb"
local pair = require "spec.support.pair"
local Proxy = require "spec.support.proxy"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

local SIGKILL, SIGCONT = 9, 18

local BREAKER = { failures = 1000 } -- what fails here must not be remembered by the next spec
local SHORT = { deadline = 1.5 } -- where only time ends a write

--- `decides` and `follows` are what the outcome hangs on; `plain` statements are many alike.
local PROTOCOLS = {
  { name = "a1", commit = "a1", statements = {
    { "primary", "insert into dualdb_decision", "the first statement of the side that decides" },
    { "primary", "update spec_account", "a statement on the primary", plain = true },
    { "secondary", "begin", "the beginning on the secondary", plain = true },
    { "secondary", "update spec_account", "a statement on the secondary", plain = true },
    { "secondary", "prepare transaction", "PREPARE TRANSACTION" },
    { "primary", "commit", "the primary's COMMIT, which decides", decides = true },
    { "secondary", "commit prepared", "COMMIT PREPARED, after the decision", follows = true },
  } },
  { name = "a2", commit = "a2", statements = {
    { "secondary", "begin", "the beginning on the secondary", plain = true },
    { "secondary", "insert into dualdb_decision", "the first statement of the side that decides" },
    { "primary", "xa start", "XA START", plain = true },
    { "primary", "update spec_account", "a statement on the primary", plain = true },
    { "secondary", "update spec_account", "a statement on the secondary", plain = true },
    { "primary", "xa end", "XA END" },
    { "primary", "xa prepare", "XA PREPARE" },
    { "secondary", "commit", "the secondary's COMMIT, which decides", decides = true },
    { "primary", "xa commit", "XA COMMIT, after the decision", follows = true },
  } },
  { name = "journaled", commit = "journaled", statements = {
    { "primary", "insert into dualdb_decision", "the first statement of the side that decides" },
    { "secondary", "update spec_account", "a statement on the secondary", plain = true },
    { "primary", "insert into dualdb_journal", "the keys' way into the journal" },
    { "primary", "commit", "the primary's COMMIT, which decides", decides = true },
    { "secondary", "commit", "the secondary's COMMIT, after the decision", follows = true },
  } },
  { name = "primary_only", commit = "a1", defer = true, statements = {
    { "primary", "insert into dualdb_decision", "the first statement of the side that decides" },
    { "primary", "update spec_account", "a statement on the primary", plain = true },
    { "primary", "insert into dualdb_journal", "the keys' way into the journal" },
    { "primary", "commit", "the COMMIT, which decides", decides = true },
  } },
}

--- `silent`: nobody is told, so that only time ends it. `executed`: the server has done it.
local FAULTS = {
  { "is lost", "request", "reset" },
  { "finds the connection closed by the server", "request", "close" },
  { "is on its way when the connection is cut", "sent", "reset", open = true },
  { "is executed and its answer is lost", "answer", "reset", executed = true },
  { "is lost and both ends stay open", "request", "hang", silent = true },
  { "is executed, its answer is lost and both ends stay open", "answer", "hang", executed = true,
    silent = true },
  { "is answered late", "answer", 150, late = true, executed = true },
}

describe("a dual write whose", function()
  local db, proxies, through, stopped

  setup(function()
    proxies = { primary = Proxy.start "primary", secondary = Proxy.start "secondary" }
  end)

  teardown(function()
    for _, proxy in pairs(proxies) do proxy:stop() end
  end)

  --- The network is well again, and the servers know of all connections that have ended.
  local function mend_network()
    for _, proxy in pairs(proxies) do
      proxy:clear()
      proxy:down()
      proxy:up()
    end
  end

  local function open(commit, more)
    local policy = { commit = commit, breaker = BREAKER, retry = { base = 0.01 } }
    for name, value in pairs(more or {}) do policy[name] = value end
    through = bank.open(policy, {
      primary = proxies.primary.url, secondary = proxies.secondary.url,
    })
    -- Connected, probed and prepared, so that a rule meets the write itself.
    through:write(bank.move(bank.id(), 3, 4, 1))
    return through
  end

  before_each(function()
    db = bank.open { breaker = BREAKER }
    bank.make(db)
  end)

  after_each(function()
    mend_network()
    if through then through:close() end
    through = nil
    if stopped and child.state(stopped.pid) == "T" then -- of a spec that has failed
      stopped:signal(SIGKILL)
      stopped:finish()
    end
    stopped = nil
    db:recover()
    pair.drop_all(db)
    db:close()
  end)

  --- The writer ends and takes with it what it leaves for its end; then anybody recovers.
  local function heal()
    mend_network()
    if through then through:close() end
    through = nil
    bank.heal(db)
  end

  --- Makes a move; returns its id, how it went or nil, and the error.
  local function move(options)
    local id = bank.id()
    local moved, how = dualdb.try(through.write, through, bank.move(id, 1, 2, 10), options)
    if moved then return id, how end
    return id, nil, how
  end

  --- Everything is healed, and what was said of the move is true.
  local function check(id, how, err)
    heal()
    local acknowledged = how and { id } or {}
    local refused = err and err.outcome == "not_applied" and { id } or {}
    assert.same({}, bank.violations(db, acknowledged, refused))
  end

  --- What the caller has to be told, beyond the truth: where only time ends it, it may be over.
  local function expect(statement, fault, how, err)
    if err then
      assert.is_true(fault.silent, tostring(err))
      assert.equal("not_applied", err.outcome, tostring(err))
      assert.is_true(not fault.executed or not (statement.decides or statement.follows),
        tostring(err))
      return
    end
    if fault.open then return end
    local once = fault.late or statement.follows or statement.decides and fault.executed
    assert.equal(once and 1 or 2, how.attempts)
  end

  for _, protocol in ipairs(PROTOCOLS) do
    for _, statement in ipairs(protocol.statements) do
      for _, fault in ipairs(FAULTS) do
        if not (fault.silent and statement.plain) then
          it(("protocol is %s: %s (%s) %s"):format(protocol.name, statement[2], statement[3],
              fault[1]), function()
            open(protocol.commit, fault.silent and SHORT)
            local proxy = proxies[statement[1]]
            local rule = proxy:rule { statement[2], when = fault[2], what = fault[3] }
            local id, how, err = move { defer = protocol.defer }
            assert.is_true(proxy:hits(rule) > 0, "the statement was never sent")
            expect(statement, fault, how, err)
            check(id, how, err)
          end)
        end
      end
    end
  end

  -- ---- the side that decides is gone ----

  for _, protocol in ipairs(PROTOCOLS) do
    for _, statement in ipairs(protocol.statements) do
      for _, fault in ipairs(statement.decides and { "request", "answer" } or {}) do
        local executed = fault == "answer"
        it(("deciding side is gone when its COMMIT was %s is unknown until that is back: %s")
            :format(executed and "executed" or "lost", protocol.name), function()
          open(protocol.commit, SHORT)
          local proxy = proxies[statement[1]]
          proxy:rule { statement[2], when = fault, what = "down" }
          local id, how, err = move { defer = protocol.defer }
          assert.is_nil(how)
          assert.equal("ambiguous", err.class, tostring(err))
          assert.equal("unknown", err.outcome)
          assert.is_false(err.retryable)
          assert.is_truthy(err.gid)
          assert.equal("unknown", (through:outcome(err.gid)))
          proxy:up()
          local outcome = through:outcome(err.gid)
          assert.equal(executed and "applied" or "not_applied", outcome)
          heal()
          assert.same({}, bank.violations(db, executed and { id } or {}, executed and {} or { id }))
        end)
      end
    end
  end

  it("both ends lose the COMMIT together with its answer is never applied twice", function()
    open "a1"
    proxies.primary:rule { "commit", when = "answer", what = "reset", nth = 0 }
    local id, how, err = move()
    assert.is_nil(err)
    assert.equal(1, how.attempts)
    check(id, how, err)
  end)

  -- ---- an error, and the connection lives ----

  --- A process that makes a move and stops at a step. The time that it stands still is its own.
  local function stopped_at(commit, step)
    local id = bank.id()
    local writer = child.lua(bank.mover(id, ('{ commit = "%s", deadline = 60, '
      .. 'breaker = { failures = 1000 } }'):format(commit)),
      { DUALDB_CRASH_AT = step, DUALDB_CRASH_MODE = "stop" })
    stopped = writer
    wait.wait_until("the process stops", function()
      return child.state(writer.pid) == "T"
    end, 30)
    return writer, id
  end

  local function told(text, id)
    local done, refused = bank.told(text, id)
    assert.equal(1, #done + #refused, text)
    return done, refused
  end

  for _, protocol in ipairs { { "a1", "a1.prepared" }, { "journaled", "journal.entered" } } do
    it(("COMMIT on the primary is killed (1317) and the session lives: %s"):format(protocol[1]),
        function()
      local writer, id = stopped_at(protocol[1], protocol[2])
      servers.command("mysql", "flush tables with read lock")
      writer:signal(SIGCONT)
      servers.kill_query("mysql", wait.wait_until("the COMMIT is under way", function()
        for session, info in pairs(servers.sessions "mysql") do
          if info:lower():find "^commit" then return session end
        end
      end))
      servers.command("mysql", "unlock tables")
      local text = writer:finish()
      local done, refused = told(text, id)
      heal()
      assert.same({}, bank.violations(db, done, refused))
    end)
  end

  --- The session of PostgreSQL that runs the text and waits for a standby. Until it does, what
  --- stops it undoes its transaction.
  local function session_waiting(text)
    return wait.wait_until("a session waits for the standby with " .. text, function()
      local row = servers.look("postgres", "select pid from pg_stat_activity "
        .. "where wait_event = 'SyncRep' and lower(query) like ?", text .. "%")[1]
      return row and row.pid
    end)
  end

  local function set_standbys(change)
    servers.command("postgres", "alter system " .. change)
    servers.look("postgres", "select pg_reload_conf()")
  end

  --- Returns when commits wait for a standby. The server says that it has read its settings before
  --- the one of its processes has that lets commits wait, so only a commit shows it.
  local function wait_for_waiting()
    local conn <close> = servers.connect "postgres"
    local session, sent, text = conn:info().session, 0, nil
    wait.wait_until("commits wait for the standby", function()
      local now = servers.look("postgres", "select state, query, wait_event from pg_stat_activity "
        .. "where pid = ?", session)[1]
      if now.wait_event == "SyncRep" then return true end
      if text and (now.state ~= "idle" or now.query ~= text) then return false end
      if text then conn:finish() end
      sent = sent + 1
      text = ("select pg_logical_emit_message(true, 'spec', '%d')"):format(sent)
      conn:queue(text)
    end)
    servers.kill_query("postgres", session)
    conn:finish()
  end

  --- While commits of PostgreSQL wait for a standby that there is none.
  local function without_standby(fn)
    set_standbys "set synchronous_standby_names = 'nobody'"
    local ok, err = pcall(function()
      wait_for_waiting()
      fn()
    end)
    set_standbys "reset synchronous_standby_names"
    if not ok then error(err, 0) end
  end

  for _, case in ipairs {
    { "a1", "a1.trailed:3", "prepare transaction", "PREPARE TRANSACTION" },
    { "a1", "a1.decided", "commit prepared", "COMMIT PREPARED" },
    { "a2", "a2.prepared", "commit", "COMMIT that decides" },
    { "journaled", "journaled.decided", "commit", "COMMIT that follows" },
  } do
    it(("%s warns that it did not wait for the standby (%s) is done"):format(case[4], case[1]),
        function()
      local writer, id = stopped_at(case[1], case[2])
      local text
      without_standby(function()
        writer:signal(SIGCONT)
        servers.kill_query("postgres", session_waiting(case[3]))
        set_standbys "reset synchronous_standby_names" -- what comes after waits for it as well
        text = writer:finish()
      end)
      local done, refused = told(text, id)
      assert.same({ id }, done, text)
      heal()
      assert.same({}, bank.violations(db, done, refused))
    end)
  end

  -- ---- transactions that have failed already ----

  it("transaction on the secondary has failed is refused by PREPARE's tag ROLLBACK", function()
    local conn = servers.open "postgres"
    conn:execute "begin"
    pcall(conn.execute, conn, "select 1/0")
    local err = pair.failure(conn.execute, conn, "prepare transaction 'spec_failed'")
    assert.equal("transient", err.class)
    assert.equal("not_applied", err.outcome)
    assert.same({}, servers.look("postgres", "select gid from pg_prepared_xacts"))
    conn:close()
  end)

  for _, commit in ipairs { "a1", "a2", "journaled" } do
    it(("function hides an error of the secondary's statement cannot commit: %s"):format(commit),
        function()
      open(commit)
      local id = bank.id()
      local _, err = dualdb.try(through.write, through, function(tx)
        bank.move(id, 1, 2, 10)(tx)
        pcall(tx.execute, tx, { mysql = "do 1", postgres = "select 1/0", touches = {} })
        pcall(tx.execute, tx, { sql = "update spec_account set moved = moved + 2 where id = 1",
          touches = { spec_account = { 1 } } })
        return true
      end)
      assert.equal("not_applied", err.outcome, tostring(err))
      check(id, nil, err)
    end)

    it(("function hides a lock time-out (1205), which undid one statement only, cannot commit: %s")
        :format(commit), function()
      open(commit, { deadline = 2, lock_timeout = 1 })
      local blocker = servers.open "mysql"
      blocker:execute "begin"
      blocker:execute "update spec_account set moved = moved where id = 4"
      local id, hidden = bank.id(), nil
      local _, err = dualdb.try(through.write, through, function(tx)
        bank.move(id, 1, 2, 10)(tx)
        local _, failure = pcall(tx.execute, tx, {
          sql = "update spec_account set moved = moved + 1 where id = 4",
          touches = { spec_account = { 4 } },
        })
        hidden = hidden or failure -- the last attempt's may be the end of its time
        return true
      end)
      assert.equal(1205, hidden.code)
      assert.equal("not_applied", err.outcome, tostring(err))
      blocker:execute "rollback"
      blocker:close()
      check(id, nil, err)
    end)
  end

  --- Another transaction on a server waits for account 2 with account 4 in its hands; the writer
  --- then closes the circle. Who of the two loses is the server's choice: the other one goes on.
  local function deadlock(driver, commit)
    open(commit, { deadline = 6 })
    local code = ([[
package.path = "./?.lua;" .. package.path
local servers = require "spec.support.servers"
local conn = servers.connect(%q)
conn:execute "begin"
conn:execute "update spec_account set moved = moved where id in (3, 4)"
print "locked"
pcall(conn.execute, conn, "update spec_account set moved = moved where id = 2")
pcall(conn.execute, conn, "rollback")
print "over"
]]):format(driver)
    local id, other, tries = bank.id(), nil, 0
    local moved, how = dualdb.try(through.write, through, function(tx)
      tries = tries + 1
      bank.move(id, 1, 2, 10)(tx)
      if tries == 1 then
        tx.dual:settle()
        other = child.lua(code)
        assert(other:line() == "locked")
        wait.wait_until("the other waits", function()
          return servers.runs(driver, "moved = moved where id = 2")
        end)
      end
      tx:execute({ sql = "update spec_account set moved = moved where id = 4",
        touches = { spec_account = { 4 } } })
      return id
    end)
    other:finish()
    assert.is_truthy(moved, tostring(how))
    check(id, how)
    return tries
  end

  for _, commit in ipairs { "a1", "a2", "journaled" } do
    for driver, code in pairs { mysql = "1213", postgres = "40P01" } do
      it(("statement closes a circle of locks (%s) ends well: %s"):format(code, commit), function()
        assert.is_true(deadlock(driver, commit) <= 2)
      end)
    end
  end

  -- ---- round trips ----

  --- How often the writer waits for each side in one move of three statements, at the least: a
  --- heartbeat rides on one write a second, which waits longer. What the secondary sends is held
  --- back, so that what does not wait for it is seen not to.
  local function round_trips(commit)
    open(commit)
    proxies.secondary:lag(40)
    local least = { primary = math.huge, secondary = math.huge }
    local id, how, err
    for _ = 1, 3 do
      for _, proxy in pairs(proxies) do proxy:turns() end
      id, how, err = move()
      for name, proxy in pairs(proxies) do least[name] = math.min(least[name], proxy:turns()) end
    end
    proxies.secondary:lag(0)
    check(id, how, err)
    return least
  end

  it("protocol is a1 waits for the secondary once for each statement but the last, and twice",
      function()
    -- MariaDB returns the inserted row, by a statement that is prepared for it.
    local primary = db.primary:info().product == "mariadb" and 6 or 5
    assert.same({ primary = primary, secondary = 4 }, round_trips "a1")
  end)
end)
