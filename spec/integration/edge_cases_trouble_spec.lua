-- Edge case 25 of the project's list: whatever happens in the middle of a run, it does not look
-- like the end of the data. Each trouble is made by the servers' own clients or by signals, and
-- judged by the exit code and by what the clients then see.

local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"
local sandbox = require "dualdb.sandbox"
local servers = require "spec.support.servers"
local wait = require "spec.support.wait"

--- So many that no server has sent them all before the first has been looked at.
local COUNT = 120000

local PROJECT = [[
local done = false
return {
  name = "spec",
  policy = { statement_timeout = %s },
  models = { T = { table = "spec_edge", sync = { transform = function(row)
    if not done and row.id >= 100 then
      done = true
      os.execute %q
    end
    return row
  end } } },
}
]]

local KILL_SESSIONS = {
  primary = [["$DUALDB_SANDBOX_MYSQL" -N -B -e "select concat('kill ', id, ';') from ]]
    .. [[information_schema.processlist where user = 'dualdb'" | "$DUALDB_SANDBOX_MYSQL" --force]],
  secondary = [["$DUALDB_SANDBOX_PSQL" -q -d postgres -c "select pg_terminate_backend(pid) ]]
    .. [[from pg_stat_activity where usename = 'dualdb'"]],
}

local CODES = { primary = 4, secondary = 5 }
local NOT_VERIFIED = 8

describe("edge case 25: trouble in the middle of a run", function()
  local dir

  before_each(function()
    edge.before_each()
    dir = cli.directory()
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  --- Many rows on the primary; with `synced`, on both sides.
  local function open(synced)
    local model, db = edge.open {
      mysql = "id int primary key, filler varchar(200)",
      postgres = "id int primary key, filler varchar(200)", rows = {},
    }
    local rows = ("select n, filler, n as v from (%s) q where n < %d")
    clients.run("mysql", "insert into spec_edge " .. rows:format(servers.million("mysql", 200),
      COUNT))
    if synced then
      clients.run("postgres", "insert into spec_edge " .. rows:format(
        servers.million("postgres", 200), COUNT))
    end
    return model, db
  end

  local function run(command, meddle, timeout)
    dir:write("dualdb.lua", PROJECT:format(timeout or 60, meddle))
    return dir:run { table.unpack(command) }
  end

  local function count(driver)
    return clients.rows(driver, "select count(*) from spec_edge")[1][1]
  end

  for _, side in ipairs { "primary", "secondary" } do
    it(("a copy whose sessions of the %s are killed goes on, and is whole"):format(side), function()
      open()
      local done = run({ "sync", "T", "--full" }, KILL_SESSIONS[side])
      assert.equal(0, done.code, done.err)
      assert.equal(tostring(COUNT), count "postgres")
      assert.equal(0, run({ "verify", "T" }, "true").code)
    end)

    it(("a comparison whose sessions of the %s are killed goes on, and is whole"):format(side),
      function()
        open(true)
        local done = run({ "verify", "T", "--json" }, KILL_SESSIONS[side])
        assert.equal(0, done.code, done.err)
        assert.matches(('"rows_primary":%%s*%d,"rows_secondary":%%s*%d,'):format(COUNT, COUNT),
          done.out)
        assert.matches('"chunks_not_verified":%s*0', done.out)
      end)

    it(("a server that is killed is an error, and no end of the rows: the %s"):format(side),
      function()
        open(true)
        local pid = sandbox.status()[side].pid
        servers.finally(function() sandbox.start(side) end)
        local done = run({ "verify", "T", "--json" }, ("kill -9 %d"):format(pid))
        assert.equal(CODES[side], done.code, done.err)
        assert.matches('"verdict":%s*"not_verified"', done.out)
        done = run({ "sync", "T", "--full" }, "true")
        assert.equal(CODES[side], done.code, done.err)
        sandbox.start(side)
        assert.equal(0, run({ "verify", "T" }, "true").code)
      end)

    it(("a column that was dropped since the tables were looked at: the %s's"):format(side),
      function()
        local model, db = edge.open {
          mysql = "id int primary key, a varchar(9), b varchar(9)", rows = { "1, 'a', 'b'" },
        }
        model:sync()
        edge.verify(model, "equal")
        clients.run(db[side].driver, "alter table spec_edge drop column a")
        local report = edge.verify(model, "not_verified")
        assert.equal("schema", report.error.class)
        assert.equal("schema", pair.failure(model.sync, model).class)
        db:refresh()
        if side == "secondary" then
          assert.equal("schema", edge.verify(model, "not_verified").error.class)
        else
          edge.verify(model, "equal")  -- of what there is on the primary
        end
      end)

    it(("a table of the %s that is locked for too long is not verified"):format(side), function()
      edge.open { mysql = "id int primary key", rows = { "200", "201" } }:sync()
      local driver = servers[side].driver
      local holder = servers.connect(driver)
      servers.finally(function() holder:close() end)
      if driver == "mysql" then
        holder:execute "lock tables spec_edge write"
      else
        holder:execute "begin"
        holder:execute "lock table spec_edge in access exclusive mode"
      end
      local done = run({ "verify", "T", "--json" }, "true", 1)
      assert.equal(CODES[side], done.code, done.err)
      assert.matches('"verdict":%s*"not_verified"', done.out)
      done = run({ "sync", "T", "--full" }, "true", 1)
      assert.equal(CODES[side], done.code, done.err)
      holder:execute(driver == "mysql" and "unlock tables" or "rollback")
      assert.equal(0, run({ "verify", "T" }, "true", 1).code)
    end)

    it(("a statement that an administrator stops is run again: on the %s"):format(side), function()
      open(true)
      local stop = side == "primary"
        and KILL_SESSIONS.primary:gsub("'kill '", "'kill query '")
        or KILL_SESSIONS.secondary:gsub("pg_terminate_backend", "pg_cancel_backend")
      local done = run({ "verify", "T", "--json" }, stop)
      assert.equal(0, done.code, done.err)
      assert.matches(('"rows_primary":%%s*%d,"rows_secondary":%%s*%d,'):format(COUNT, COUNT),
        done.out)
    end)
  end

  it("a change of the table that comes between the looks at its rows is not verified", function()
    open(true)
    clients.run("postgres", "update spec_edge set filler = 'other' where id = 7")
    local done = run({ "verify", "T" }, [["$DUALDB_SANDBOX_PSQL" -q -d chatdb -c ]]
      .. [["alter table spec_edge drop column filler" </dev/null >/dev/null 2>&1 &]])
    assert.equal(NOT_VERIFIED, done.code, done.err)
  end)

  it("a deadlock that a sync loses is an error or is tried again, and never half a row", function()
    local model = edge.open { mysql = "id int primary key, a varchar(9)",
      rows = { "1, 'a'", "2, 'b'" } }
    model:sync()
    clients.run("postgres", "update spec_edge set a = 'old'")
    local other = servers.connect "postgres"
    servers.finally(function() other:close() end)
    other:execute "begin"
    other:execute "update spec_edge set a = 'held' where id = 2"
    dir:write("dualdb.lua", PROJECT:format(60, "true"))
    local finish = dir:start { "sync", "T", "--full" }
    wait.wait_until("the sync waits for the row", function()
      return #servers.look("postgres", "select 1 as one from pg_stat_activity "
        .. "where usename = 'dualdb' and wait_event_type = 'Lock'") > 0
    end)
    local ok = pcall(other.execute, other, "update spec_edge set a = 'held' where id = 1")
    if ok then other:execute "rollback" else pcall(other.execute, other, "rollback") end
    local done = finish()
    -- One of the two was the victim.
    local rows = clients.rows("postgres", "select id, a from spec_edge order by id")
    if done.code == 0 then
      assert.same({ { "1", "a" }, { "2", "b" } }, rows)
      edge.verify(model, "equal")
    else
      assert.equal(CODES.secondary, done.code, done.err)
      assert.same({ { "1", "old" }, { "2", "old" } }, rows)
      edge.verify(model, "different")
    end
  end)

  it("a primary that goes away before anything was read is not an empty table", function()
    local model = open(true)
    servers.destroy "primary"
    local report = model:verify()
    report.spool:close()
    assert.equal("not_verified", report.verdict)
    assert.is_false((pcall(model.sync, model)))
    assert.equal(tostring(COUNT), count "postgres")
    assert.is_false((pcall(model.repair, model, { allow_delete = true }))
      and model:repair({ allow_delete = true }).applied > 0)
    assert.equal(tostring(COUNT), count "postgres")
  end)
end)
