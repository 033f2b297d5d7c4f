-- When the next chunk of a sync may start: a real replica behind the primary, real waits on the
-- secondary.

local core = require "dualdb.core"
local log = require "dualdb.log"
local pair = require "spec.support.pair"
local politeness = require "dualdb.sync.politeness"
local replica = require "spec.support.replica"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

local NAME = "spec_polite"

--- What is logged while fn runs, a line for each message.
local function logged(fn)
  local real, lines = log.emit, {}
  log.emit = function(level, text) lines[#lines + 1] = level .. ": " .. text end
  local ok, err = pcall(fn)
  log.emit = real
  if not ok then error(err, 0) end
  return lines
end

describe("politeness", function()
  local db, polite, now

  local function open(models, settings)
    db = pair.open(models or { T = { table = NAME } }, settings)
    return db
  end

  --- One with a clock that stands still until the spec moves it.
  local function with_clock(options)
    now = 1000
    options.clock = function() return now end
    polite = politeness.new(db, options)
    return polite
  end

  local function asked()
    return polite:pause { model = "T", rows = 10, bytes = 1000, seconds = 2 }
  end

  before_each(function()
    servers.before_each()
    open()
  end)
  after_each(function()
    if polite then polite:close() end
    polite = nil
    pair.drop_all(db)
    db:close()
    servers.after_each()
  end)

  local function paused(kind)
    return wait.wait_until("the sync is paused for " .. kind, function()
      local seconds, reason = asked()
      return seconds > 0 and reason.kind == kind and reason
    end, 60)
  end

  local function goes_on()
    wait.wait_until("the sync goes on", function() return asked() == 0 end, 60)
  end

  local function make_table()
    local columns = "id int primary key, v int"
    pair.make(db, NAME, { mysql = columns, postgres = columns })
  end

  describe("with a rate", function()
    it("waits until what was read is paid for, and saves up a second's worth at most", function()
      with_clock { max_rate = 1000 }
      assert.equal(0, (asked()))
      polite:took(3000, 30, 0.5)
      local seconds, reason = asked()
      assert.equal(3, seconds)
      assert.equal("held to 1000 B/s", politeness.describe(reason))
      now = now + 1
      assert.equal(2, (asked()))
      now = now + 2
      assert.equal(0, (asked()))
      now = now + 3600
      polite:took(1000, 10, 0.5)
      assert.equal(0, (asked()))
      polite:took(500, 10, 0.5)
      assert.equal(0.5, (asked()))
    end)

    it("is one for all lanes", function()
      with_clock { max_rate = 1000 }
      assert.equal(0, (asked()))
      assert.equal(0, (asked()))
      polite:took(1000, 10, 0.5)
      polite:took(1000, 10, 0.5)
      assert.equal(2, (asked()))
    end)
  end)

  describe("with a throttle", function()
    local given, said

    local function throttle(progress)
      given = progress
      return said
    end

    it("tells it how far the model is", function()
      with_clock { throttle = throttle }
      polite:took(500, 5, 0.25)
      assert.equal(0, (asked()))
      assert.same({ model = "T", rows = 10, bytes = 1000, seconds = 2, rows_per_second = 5,
        bytes_per_second = 500, chunk_seconds = 0.25 }, given)
    end)

    it("goes on for nil, true and 0", function()
      with_clock { throttle = throttle }
      for _, answer in ipairs { "nil", true, 0 } do
        said = answer ~= "nil" and answer or nil
        assert.equal(0, (asked()))
      end
    end)

    it("waits as long as it says, once for each chunk", function()
      with_clock { throttle = throttle }
      said = 5
      local seconds, reason = asked()
      assert.equal(5, seconds)
      assert.equal("paused: by the throttle of T", politeness.describe(reason))
      given, now = nil, now + 4
      assert.equal(1, (asked()))
      now = now + 1
      assert.equal(0, (asked()))
      assert.is_nil(given)      -- not asked again for the same chunk
      assert.equal(5, (asked()))
    end)

    it("stops the sync for false, with class refused", function()
      with_clock { throttle = throttle }
      said = false
      local err = pair.failure(asked)
      assert.same({ "refused", "model T: sync.throttle stopped the sync" },
        { err.class, err.message })
    end)

    it("is the model's own, and does not hold up another model", function()
      db:close()
      open { T = { table = NAME, sync = { throttle = function() return 7 end } },
             U = { table = NAME } }
      with_clock {}
      assert.equal(7, (asked()))
      assert.equal(0, (polite:pause { model = "U", rows = 0, bytes = 0, seconds = 0 }))
    end)

    it("ends the sync with its own error, and with class usage for nonsense", function()
      with_clock { throttle = function() error("out of tea") end }
      local ok, err = pcall(asked)
      assert.is_false(ok)
      assert.matches("out of tea", tostring(err))
      for _, nonsense in ipairs { "soon", -1, 0 / 0, math.huge } do
        with_clock { throttle = function() return nonsense end }
        assert.equal("usage", pair.failure(asked).class)
      end
    end)
  end)

  describe("with a replica of the primary", function()
    local copy

    setup(function() copy = replica.start() end)
    teardown(function() copy:remove() end)

    before_each(function()
      make_table()
      polite = politeness.new(db, { max_lag = 1 })
    end)

    it("waits while it is behind, and goes on when it has followed", function()
      goes_on()
      copy:delay(3600)
      db.primary:execute("insert into spec_polite values (1, 1)")
      local reason = paused "lag"
      assert.is_true(reason.seconds > 1)
      assert.matches("^paused: replica 127%.0%.0%.1:" .. copy.box.mysql_port .. " is %d+ s behind$",
        politeness.describe(reason))
      copy:delay(0)
      goes_on()
    end)

    it("waits for one that has stopped to apply what it gets", function()
      goes_on()
      copy:stop_applying()
      local reason = paused "lag"
      copy:start_applying()
      assert.is_true(reason.stopped)
      assert.matches("has not applied anything for %d+ s$", politeness.describe(reason))
      goes_on()
    end)

    it("asks the servers no more than once a second", function()
      with_clock { max_lag = 1 }
      copy:stop_applying()
      servers.finally(function() copy:start_applying() end)
      assert.equal(0, (asked()))
      local looked = polite.looked_at
      now = now + 0.9
      asked()
      assert.equal(looked, polite.looked_at)
      now = now + 0.1
      asked()
      assert.equal(now, polite.looked_at)
    end)

    it("asks those that the policy names, also when the primary knows of none", function()
      db:close()
      open(nil, { policy = { replicas = { copy:url() } } })
      servers.finally(function()
        copy:restart {}
      end)
      copy:execute(copy.words.stop)
      polite = politeness.new(db, { max_lag = 1 })
      local reason = paused "lag"
      assert.equal(copy:name(), reason.replica)
      assert.is_true(reason.stopped)
    end)

    it("says once that it cannot ask one, and does not wait for it", function()
      copy:execute("rename user dualdb@'%' to other@'%'")
      servers.finally(function() copy:execute("rename user other@'%' to dualdb@'%'") end)
      copy:stop_applying()
      servers.finally(function() copy:start_applying() end)
      local said = logged(function()
        with_clock { max_lag = 1 }
        for _ = 1, 3 do
          assert.equal(0, (asked()))
          now = now + 100
        end
      end)
      assert.equal(1, #said)
      assert.matches("^warn: replica 127%.0%.0%.1:%d+ cannot be asked .* is not waited for: ",
        said[1])
    end)

    it("does not take another server for it", function()
      copy:restart { port = tonumber(servers.settings("mysql").port) }
      servers.finally(function() copy:restart {} end)
      local said = logged(function() assert.equal(0, (asked())) end)
      assert.equal(1, #said)
      assert.matches("^warn: replica .* cannot be asked .*: another server answers there$",
        said[1])
    end)

    it("finds one that does not say where it is by where it comes from", function()
      copy:restart { host = false }
      servers.finally(function() copy:restart {} end)
      copy:stop_applying()
      assert.equal(copy:name(), paused("lag").replica)
    end)

    it("says once that it may not ask which there are, and waits for none", function()
      local user = servers.scratch_name()
      servers.command("mysql", ("create user %s@'%%' identified by 'x'"):format(user))
      servers.command("mysql", ("grant select on *.* to %s@'%%'"):format(user))
      servers.finally(function() servers.command("mysql", ("drop user %s@'%%'"):format(user)) end)
      copy:stop_applying()
      servers.finally(function() copy:start_applying() end)
      local settings = servers.settings("mysql")
      settings.user, settings.password = user, "x"
      db.primary:close()
      local said = logged(function()
        local limited = pair.open({ T = { table = NAME } }, { primary = settings })
        polite = politeness.new(limited, { max_lag = 1 })
        for _ = 1, 3 do
          assert.equal(0, (polite:pause { model = "T" }))
          polite.looked_at, polite.replicas.due = nil, 0
        end
        limited:close()
      end)
      assert.equal(1, #said)
      assert.matches("^info: the primary does not say which replicas it has", said[1])
      db:close()
      open()
    end)
  end)

  describe("with sessions that wait on the secondary", function()
    before_each(function()
      make_table()
      db.secondary:execute("insert into spec_polite values (1, 1)")
      polite = politeness.new(db, { max_wait = 0.01 })
    end)

    --- Updates the row in a session of its own, which waits for whoever has it locked.
    local function start_waiting()
      os.execute([["$DUALDB_SANDBOX_PSQL" -q -d chatdb -c "update spec_polite set v = 2" ]]
        .. ">/dev/null 2>&1 &")
      wait.wait_until("a session waits for a lock", function()
        return servers.look("postgres", "select count(*) as n from pg_stat_activity "
          .. "where wait_event_type = 'Lock' "
          .. "and query_start < clock_timestamp() - interval '50 milliseconds'")[1].n > 0
      end)
    end

    it("waits as long as a sync's own session holds them up", function()
      local conn = servers.open("postgres")
      conn:execute("begin")
      conn:execute("update spec_polite set v = 3")
      start_waiting()
      assert.equal(1, paused("locks").sessions)
      assert.equal("paused: 1 session waits on the secondary for our locks, 7 s by now",
        politeness.describe { kind = "locks", sessions = 1, seconds = 7.2 })
      conn:execute("commit")
      goes_on()
      servers.wait_until_gone("postgres", "update spec_polite set v = 2")
    end)

    it("does not wait for those whom somebody else holds up", function()
      local conn = servers.open("postgres", { settings = { application_name = "somebody" } })
      conn:execute("begin")
      conn:execute("update spec_polite set v = 3")
      start_waiting()
      assert.equal(0, (asked()))
      conn:execute("commit")
      servers.wait_until_gone("postgres", "update spec_polite set v = 2")
    end)
  end)

  it("waits for a standby of the secondary that does not write what it is sent", function()
    make_table()
    local settings = servers.settings("postgres", "super")
    local dir = assert(io.popen("mktemp -d /tmp/dualdb-spec-XXXXXX")):read "l"
    local program = assert(io.popen(
      "ls /usr/lib/postgresql/*/bin/pg_receivewal | sort -V | tail -n 1")):read "l"
    local started = assert(io.popen(("PGPASSWORD=%s PGAPPNAME=spec-standby exec %s -h 127.0.0.1 "
      .. "-p %s -U %s -w -n -s 1 -D %s >/dev/null 2>&1 & echo $!"):format(settings.password,
      program, settings.port, settings.user, dir)))
    local pid = math.tointeger(started:read "n")
    started:close()
    servers.finally(function()
      core.kill(pid, 9)
      os.execute("rm -rf " .. dir)
    end)
    wait.wait_until("the standby is there", function()
      return servers.look("postgres", "select count(*) as n from pg_stat_replication "
        .. "where state = 'streaming'")[1].n == 1
    end)
    polite = politeness.new(db, { max_lag = 1 })
    local SIGSTOP, SIGCONT = 19, 18
    core.kill(pid, SIGSTOP)
    local reason = wait.wait_until("the sync is paused", function()
      db.secondary:execute("insert into spec_polite select n, 1 from generate_series(1, 100) n "
        .. "on conflict (id) do update set v = 2")
      local seconds, reason = asked()
      return seconds > 0 and reason
    end, 60)
    assert.equal("standby", reason.kind)
    assert.matches("^paused: standby spec%-standby is %d+ s behind$", politeness.describe(reason))
    core.kill(pid, SIGCONT)
    goes_on()
  end)
end)
