--- What a dry run prints is what a run executes, by the servers' own account of it; and a file of
--- it leaves rows that have changed since.

local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local repair = require "dualdb.repair"
local servers = require "spec.support.servers"

describe("the statements of a repair", function()
  local dir

  before_each(function()
    edge.before_each()
    dir = cli.directory()
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  local function is_write(text)
    local word = text:match "^%s*(%a+)"
    return (word == "update" or word == "insert" or word == "delete")
      and text:find "[`\"]spec_edge[`\"]" and not text:find "dualdb_"
  end

  -- ---- what MySQL has executed ----

  --- The statements of all sessions while fn ran, with their parameters in them, as the server has
  --- them in its log.
  local function logged_by_mysql(fn)
    local before = servers.look("mysql", "select @@global.log_output as o, "
      .. "@@global.general_log as g")[1]
    servers.command("mysql", "set global log_output = 'TABLE'")
    servers.command("mysql", "truncate mysql.general_log")
    servers.command("mysql", "set global general_log = 1")
    local ok, err = pcall(fn)
    servers.command("mysql", "set global general_log = 0")
    local found = {}
    for _, entry in ipairs(servers.look("mysql", "select convert(argument using utf8mb4) as text "
      .. "from mysql.general_log where command_type = 'Execute' order by event_time, thread_id")) do
      -- The server's log has its own NULL.
      if is_write(entry.text) then found[#found + 1] = entry.text:gsub("NULL", "null") .. ";" end
    end
    servers.command("mysql", ("set global log_output = '%s'"):format(before.o))
    servers.command("mysql", ("set global general_log = %d"):format(before.g))
    if not ok then error(err, 0) end
    return found
  end

  -- ---- what PostgreSQL has executed ----

  --- A table of what each statement of the repair met: triggers see the statement that fired them.
  local WATCH = [[
    create table spec_edge_log (n int generated always as identity, text text);
    grant all on spec_edge_log to public;
    create function spec_edge_log() returns trigger language plpgsql security definer as $$
      begin
        insert into spec_edge_log (text) values (current_query());
        return null;
      end $$;
    create trigger spec_edge_log after insert or update or delete on spec_edge
      for each statement execute function spec_edge_log()]]

  --- The parameters as PostgreSQL's log has them, put where they belong.
  local function logged_by_postgres(fn)
    clients.run("postgres", WATCH)
    servers.finally(function()
      clients.run("postgres", "drop table if exists spec_edge cascade; "
        .. "drop table if exists spec_edge_log; drop function if exists spec_edge_log()")
    end)
    fn()
    local found = {}
    for i, entry in ipairs(clients.rows("postgres", "select text from spec_edge_log order by n")) do
      found[i] = entry[1] .. ";"
    end
    return found
  end

  --- Statements with their literals replaced by $1, $2, ...
  local function with_placeholders(shown)
    local list = {}
    for i, text in ipairs(shown) do
      local parts, at, n = {}, 1, 0
      text = text:gsub("([=,(] ?)null", "%1''")  -- a parameter too, where it is not a condition
      while true do
        local from, to = text:find("'[^']*'", at)
        local digits, last = text:find("%f[%w]%d+%f[%W]", at)
        if digits and (not from or digits < from) then from, to = digits, last end
        if not from then break end
        n = n + 1
        parts[#parts + 1] = text:sub(at, from - 1) .. "$" .. n
        at = to + 1
      end
      list[i] = table.concat(parts) .. text:sub(at)
    end
    return list
  end

  local function open()
    local model = edge.open {
      mysql = "id varchar(20) primary key, a varchar(20), u varchar(9) unique, n varchar(20)",
      rows = { "'1', 'a', 'u1', 'n'", "'2', 'b', 'u2', null", "'3', 'c', 'u3', 'n'",
        "'4', 'd', 'u4', 'n'" },
    }
    model:sync()
    clients.run("postgres", [[
      update spec_edge set u = 'x' where id = '1'; update spec_edge set u = 'u1' where id = '2';
      update spec_edge set u = 'u2' where id = '1'; update spec_edge set a = 'B' where id = '2';
      delete from spec_edge where id = '3'; update spec_edge set n = null, v = v where id = '4';
      insert into spec_edge values ('5', 'e', 'u5', 'n', 5), ('6', 'f', 'u6', null, 6);
      update spec_edge set v = 0]])
    clients.run("mysql", "update spec_edge set v = 0")
    return model, model.db
  end

  local function shown_by(model, options)
    local list = {}
    options.dry_run, options.show = true, function(text) list[#list + 1] = text end
    local result = model:repair(options)
    options.dry_run, options.show = nil, nil
    assert.equal(0, result.applied)
    return list
  end

  it("of a dry run are those that the primary's server executes, to the letter", function()
    local model = open()
    local options = { strategy = "secondary_wins", allow_delete = true }
    local shown = shown_by(model, options)
    assert.equal(7, #shown)  -- five rows and one that makes way
    local executed = logged_by_mysql(function()
      assert.equal(6, model:repair(options).applied)
    end)
    assert.same(shown, executed)
    edge.verify(model, "equal")
  end)

  it("of a dry run are those that the secondary's server executes, but for the parameters",
    function()
      local model = open()
      local shown = shown_by(model, { allow_delete = true })
      assert.equal(7, #shown)
      local executed = logged_by_postgres(function()
        assert.equal(6, model:repair({ allow_delete = true }).applied)
      end)
      assert.same(with_placeholders(shown), executed)
      edge.verify(model, "equal")
    end)

  for side, driver in pairs { primary = "mysql", secondary = "postgres" } do
    it(("in a file repair the %s, and leave rows that have changed since"):format(side), function()
      local model, db = open()
      local options = {
        strategy = side == "primary" and "secondary_wins" or "primary_wins", allow_delete = true,
      }
      local shown, report, parts = shown_by(model, options), model:verify(), {}
      repair.write_sql(db, report, options, function(text) parts[#parts + 1] = text end)
      report.spool:close()
      local text = table.concat(parts)
      for _, statement in ipairs(shown) do assert.truthy(text:find(statement, 1, true)) end
      dir:write("repair.sql", text)
      clients.run(driver, "update spec_edge set n = 'later' where id = '4'")
      assert.equal("", clients.file(driver, dir.path .. "/repair.sql"))
      assert.same({ { "4", "later" } }, clients.rows(driver,
        "select id, n from spec_edge where id = '4'"))
      assert.equal(1, edge.verify(model, "different").changed)
      assert.equal(1, model:repair(options).applied)
      edge.verify(model, "equal")
    end)
  end

  it("in a file say what they leave as it is, and are of one side", function()
    local model, db = open()
    local report, parts = model:verify(), {}
    repair.write_sql(db, report, {}, function(text) parts[#parts + 1] = text end)
    local text = table.concat(parts)
    assert.truthy(text:find("-- model T: 2 left as they are: deletes are not allowed\n", 1, true))
    assert.falsy(text:find "delete from")
    local ok, err = pcall(repair.write_sql, db, report, {
      strategy = require("dualdb").merge { a = "secondary", u = "secondary" },
    }, function() end)
    report.spool:close()
    assert.is_false(ok)
    assert.equal("refused", err.class)
    assert.matches("writes both sides", err.message)
  end)
end)
