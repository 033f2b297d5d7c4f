-- What happens to a full sync when a table changes under it, a server has no room, takes no writes
-- or lets nobody in: the model's error says so, nothing of a chunk is half done, other models go
-- on, and the next run makes it whole. Trouble is made and judged by the servers' own clients.

local child = require "spec.support.child"
local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"
local sync = require "dualdb.sync"
local wait = require "spec.support.wait"

local COUNT, CHUNK = 4000, 40
local OTHER = "spec_edge_other"

local COLUMNS = "id int primary key, a varchar(40), n int, v int"

--- Two tables of the same rows, the second with a model of its own.
local function open(settings)
  for _, name in ipairs { edge.NAME, OTHER } do
    edge.drop_later(name)
    clients.run("mysql", ("create table %s (%s); insert into %s select n, concat('a', n), n, n "
      .. "from (%s) q where n < %d"):format(name, COLUMNS, name, servers.million("mysql", 1),
      COUNT))
    clients.run("postgres", ("create table %s (%s); alter table %s owner to dualdb"):format(name,
      COLUMNS, name))
  end
  return edge.pair({ T = { table = edge.NAME }, Other = { table = OTHER } }, settings)
end

local function count(name)
  return tonumber(clients.rows("postgres", "select count(*) from " .. name)[1][1])
end

--- Syncs both in chunks; `meddle` is called once some of the first table's rows are over.
local function run(db, meddle, options)
  local done = false
  local all = { chunk_rows = CHUNK, jobs = 2, progress = function(so_far)
    if meddle and not done and so_far.model == "T" and so_far.rows >= 5 * CHUNK then
      done = true
      meddle()
    end
  end }
  for name, value in pairs(options or {}) do all[name] = value end
  local results = sync.all(db, { "T", "Other" }, all)
  assert.same({ "T", "Other" }, { results[1].model, results[2].model })
  assert(not meddle or done, "the run was over too soon")
  return results[1], results[2]
end

--- Whether a session waits for a lock.
local WAITING = {
  mysql = "select 1 as one from information_schema.processlist "
    .. "where state like 'Waiting for table metadata lock'",
  postgres = "select 1 as one from pg_stat_activity where wait_event_type = 'Lock'",
}

--- Has the server's client run the statement, which is done, or stands before the next chunk, when
--- this returns.
local function alter(driver, sql)
  local scratch = os.tmpname()
  local file = assert(io.open(scratch, "w"))
  file:write(sql, ";\n")
  file:close()
  local program = driver == "mysql" and "$DUALDB_SANDBOX_MYSQL " or "$DUALDB_SANDBOX_PSQL -q -d "
  local started = child.command(("sh -c '%s%s <%s >%s.out 2>&1; touch %s.done'"):format(program,
    servers.settings(driver).dbname, scratch, scratch, scratch))
  wait.wait_until("the table is changed, or about to be", function()
    local is_done = io.open(scratch .. ".done")
    if is_done then return is_done:close() end
    return #servers.look(driver, WAITING[driver]) > 0
  end)
  return function()
    started:finish()
    os.execute(("rm -f %s %s.out %s.done"):format(scratch, scratch, scratch))
  end
end

local function agree(name)
  local sql = "select id, a, n, v from %s order by id"
  assert.same(clients.rows("mysql", sql:format(name)), clients.rows("postgres", sql:format(name)))
end

describe("a table that is changed while it is synced", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  --- Runs with the change in the middle.
  local function change(driver, sql)
    local db, finish = open()
    local one, other = run(db, function() finish = alter(driver, sql) end)
    finish()
    assert.is_nil(other.error)
    assert.equal(COUNT, other.rows_written)
    agree(OTHER)
    return one, db
  end

  for _, driver in ipairs { "mysql", "postgres" } do
    local side = servers[driver].label

    it(("is an error of class schema when it is dropped: the %s's"):format(side), function()
      assert.equal("schema", change(driver, "drop table spec_edge").error.class)
    end)

    it(("is an error of class schema when a column is dropped: the %s's"):format(side), function()
      local one, db = change(driver, "alter table spec_edge drop column n")
      assert.equal("schema", one.error.class)
      assert.is_true(count "spec_edge" % CHUNK == 0 and count "spec_edge" < COUNT)
      db:refresh()
      if driver == "mysql" then
        assert.is_nil(run(db).error)
        assert.equal(COUNT, count "spec_edge")
      else
        assert.equal("schema", run(db).error.class)
      end
    end)

    it(("is copied without a column that is new: the %s's"):format(side), function()
      local one = change(driver, "alter table spec_edge add column extra int")
      assert.is_nil(one.error)
      agree "spec_edge"
    end)

    it(("is right or an error when the type of a column changes: the %s's"):format(side), function()
      for _, type_name in ipairs { "bigint", "varchar(20)" } do
        local one, db = change(driver, driver == "mysql"
          and "alter table spec_edge modify column n " .. type_name
          or "alter table spec_edge alter column n type " .. type_name)
        if one.error then
          assert.is_true(one.error.class == "schema" or one.error.class == "data",
            tostring(one.error))
          assert.is_true(count "spec_edge" % CHUNK == 0)
          db:refresh()
          one = run(db)
          assert(one.error and one.error.class == "schema" or not one.error, tostring(one.error))
        end
        if not one.error then agree "spec_edge" end
      end
    end)
  end

  it("of the secondary that takes no row any more has all further rows in quarantine", function()
    local one = change("postgres", "alter table spec_edge add column must int; "
      .. "update spec_edge set must = 0; alter table spec_edge alter must set not null")
    assert.is_nil(one.error)
    assert.is_true(one.quarantined > 0)
    assert.equal(COUNT, one.quarantined + count "spec_edge")
  end)
end)

describe("a server that cannot or will not, in the middle of a sync:", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  it("without room on the secondary it ends with class capacity, and goes on later", function()
    local place = io.popen("mktemp -d /tmp/dualdb-spec-XXXXXX"):read "l"
    if not os.execute(("mount -t tmpfs -o size=2m tmpfs %s 2>/dev/null"):format(place)) then
      os.execute("rmdir " .. place)
      return pending "nothing can be mounted here"
    end
    servers.finally(function()
      assert(os.execute(("umount %s && rmdir %s"):format(place, place)))
    end)
    local data = servers.look("postgres", "show data_directory")[1].data_directory
    assert(os.execute(("chown --reference=%s %s && chmod 700 %s"):format(data, place, place)))
    local db = open()
    clients.run("postgres", ("create tablespace spec_small location '%s'"):format(place))
    servers.finally(function()
      clients.run("postgres", "drop table if exists spec_edge; drop tablespace spec_small")
    end)
    clients.run("postgres", "alter table spec_edge set tablespace spec_small; "
      .. "alter table spec_edge alter a type text")
    clients.run("mysql", "alter table spec_edge modify a text; "
      .. "update spec_edge set a = concat(repeat(sha2(id, 512), 8), id)")
    db:refresh()
    local one, other = run(db)
    assert.same({ "capacity", "secondary" }, { one.error.class, one.error.side })
    assert.is_nil(other.error)
    agree(OTHER)
    local there = count "spec_edge"
    assert.is_true(there > 0 and there < COUNT and there % CHUNK == 0, there)
    assert.equal(5, require("dualdb.errors").exit_code(one.error))
    assert(os.execute("mount -o remount,size=64m " .. place))
    one = run(db)
    assert.is_nil(one.error)
    assert.same({ "load", true }, { one.action, one.resumed })
    assert.equal(COUNT - there, one.rows_written)
    agree "spec_edge"
  end)

  it("a secondary that is made read-only is an error of that class", function()
    local db = open()
    servers.finally(function()
      clients.run("postgres", "alter role dualdb reset default_transaction_read_only")
    end)
    local one, other = run(db, function()
      clients.run("postgres", "alter role dualdb set default_transaction_read_only = on; "
        .. "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'dualdb'")
    end)
    assert.equal("read_only", one.error.class)
    assert.equal("read_only", other.error.class)
    assert.is_true(count "spec_edge" % CHUNK == 0 and count "spec_edge" < COUNT)
    assert.equal("read_only", pair.failure(sync.run, db, "T").class)
    clients.run("postgres", "alter role dualdb reset default_transaction_read_only; "
      .. "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'dualdb'")
    one, other = run(db)
    assert.is_nil(one.error or other.error)
    agree "spec_edge"
    agree(OTHER)
  end)

  for _, driver in ipairs { "mysql", "postgres" } do
    it(("connections to the %s that are killed are made again"):format(servers[driver].label),
      function()
        local db = open()
        local one, other = run(db, function()
          for id in pairs(servers.sessions(driver)) do servers.kill(driver, id) end
        end)
        assert.is_nil(one.error or other.error)
        assert.same({ COUNT, COUNT }, { one.rows_read, one.rows_written })
        agree "spec_edge"
        agree(OTHER)
      end)
  end

  it("privileges that are taken away are an error of class auth: the secondary's", function()
    local db = open()
    local finish
    -- The sandbox's user may write to all tables, as a member of a role of the server's.
    servers.finally(function() clients.run("postgres", "grant pg_write_all_data to dualdb") end)
    local one, other = run(db, function()
      finish = alter("postgres", "begin; alter table spec_edge owner to postgres; "
        .. "revoke pg_write_all_data from dualdb; commit")
    end)
    finish()
    assert.equal("auth", one.error.class)
    assert.is_nil(other.error)
    assert.is_true(count "spec_edge" % CHUNK == 0 and count "spec_edge" < COUNT)
    clients.run("postgres", "alter table spec_edge owner to dualdb")
    assert.is_nil(run(db).error)
    agree "spec_edge"
  end)

  it("a user who is locked out is an error of class auth: the primary's", function()
    local db = open()
    local account = servers.look("mysql", "select concat('''', user, '''@''', host, '''') as name "
      .. "from mysql.user where user = 'dualdb'")[1].name
    servers.finally(function() servers.command("mysql", ("alter user %s account unlock")
      :format(account)) end)
    local one, other = run(db, function()
      servers.command("mysql", ("alter user %s account lock"):format(account))
      for id in pairs(servers.sessions "mysql") do servers.kill("mysql", id) end
    end)
    assert.same({ "auth", "primary" }, { one.error.class, one.error.side })
    assert.equal("auth", other.error.class)
    assert.is_true(count "spec_edge" % CHUNK == 0 and count "spec_edge" < COUNT)
    servers.command("mysql", ("alter user %s account unlock"):format(account))
    one, other = run(db)
    assert.is_nil(one.error or other.error)
    assert.is_true(one.resumed)
    agree "spec_edge"
  end)

  it("a primary that takes no more connections is an error of class capacity", function()
    local db = open()
    local before = servers.look("mysql", "select @@max_connections as n")[1].n
    servers.finally(function()
      servers.command("mysql", ("set global max_connections = %d"):format(before))
    end)
    servers.look("mysql", "select 1 as one")
    db.primary:query "select 1 as one"
    servers.command("mysql", "set global max_connections = 10")
    local held = {}
    servers.finally(function() for _, conn in ipairs(held) do conn:close() end end)
    repeat
      local ok, conn = pcall(servers.connect, "mysql")
      if ok then held[#held + 1] = conn end
    until not ok
    local one, other = run(db)
    assert.same({ "capacity", "primary" }, { one.error.class, one.error.side })
    assert.equal("capacity", other.error.class)
    assert.same({ 0, 0 }, { count "spec_edge", count(OTHER) })
    for _, conn in ipairs(held) do conn:close() end
    held = {}
    wait.wait_until("there is room for a connection", function()
      local ok, conn = pcall(servers.connect, "mysql")
      if ok then conn:close() end
      return ok
    end)
    one, other = run(db)
    assert.is_nil(one.error or other.error)
    agree "spec_edge"
  end)

  it("the command ends with the code of the first in order, and tells of each model", function()
    open()
    clients.run("postgres", "drop table spec_edge")
    local dir = cli.directory()
    servers.finally(function() dir:remove() end)
    dir:write("dualdb.lua", [[return { models = { T = { table = "spec_edge" },
      Other = { table = "spec_edge_other" } } }]])
    local document, done = dir:json { "sync", "T", "Other", "--full" }
    assert.equal(7, done.code, done.err)
    assert.same({ "T", "Other" }, { document.models[1].model, document.models[2].model })
    assert.equal("schema", document.models[1].error.class)
    assert.equal(COUNT, document.models[2].rows_written)
  end)
end)
