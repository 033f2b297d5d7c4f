-- The film rental "Sakila", as MySQL publishes it: enums, sets, years, geometries, latin accents,
-- unsigned keys, tables that refer to each other in a circle, triggers, views and routines. Nobody
-- writes DDL for it here: dualdb makes the secondary's tables, copies, verifies and says what it
-- does not carry. What both sides hold is asked of the servers' own clients.
--
--   SAKILA=DIR   where sakila-schema.sql and sakila-data.sql are (default ../shared/data/sakila)

local cli = require "spec.support.cli"

local DATA = (os.getenv "SAKILA" or "../shared/data/sakila") .. "/"
local MYSQL, PSQL = os.getenv "DUALDB_SANDBOX_MYSQL", os.getenv "DUALDB_SANDBOX_PSQL"
local DATABASE = "sakila"

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

--- What a client prints when it is given the text.
local function client(command, text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  local pipe = assert(io.popen(("%s <%s 2>&1"):format(command, path)))
  local output = pipe:read "a"
  local ok = pipe:close()
  os.remove(path)
  assert(ok, output:sub(1, 2000))
  return output
end

local function mysql(sql)
  return client(MYSQL .. " --default-character-set=utf8mb4 -N -B", sql)
end

local function psql(sql, database)
  return client(("PGDATABASE=%s PGCLIENTENCODING=UTF8 %s -qAt -P null=NULL -F '\t' "
    .. "-v ON_ERROR_STOP=1"):format(database or DATABASE, PSQL), sql)
end

--- The lines of a client's answer, sorted.
local function lines(output)
  local list = {}
  for line in output:gmatch "[^\n]+" do list[#list + 1] = line end
  table.sort(list)
  return list
end

local function fields(output)
  local rows = {}
  for _, line in ipairs(lines(output)) do
    local row = {}
    for field in (line .. "\t"):gmatch "([^\t]*)\t" do row[#row + 1] = field end
    rows[#rows + 1] = row
  end
  return rows
end

--- MariaDB reads comments for MySQL 5.7 as comments; with them it has the geometries as well.
local function script(name)
  return (assert(read(DATA .. name)):gsub("/%*!50705 (.-)%*/", "%1"))
end

-- ---- both clients' words for the same values ----

local BYTES = { "hex(%s)", "upper(encode(%s, 'hex'))" }
local SHOWN = {
  blob = BYTES, geometry = BYTES, tinyint = { "%s", "%s::int" },
  timestamp = { "%s", "to_char(%s at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')" },
}
local PLAIN = { "%s", "%s" }

--- The base tables: name -> { name, type } of each column.
local function tables()
  local found, count = {}, 0
  for _, row in ipairs(fields(mysql(([[
    select t.table_name, c.ordinal_position, c.column_name, c.data_type
    from information_schema.tables t join information_schema.columns c
      on c.table_schema = t.table_schema and c.table_name = t.table_name
    where t.table_schema = '%s' and t.table_type = 'BASE TABLE'
      and t.table_name not like 'dualdb%%']]):format(DATABASE)))) do
    if not found[row[1]] then
      found[row[1]] = {}
      count = count + 1
    end
    table.insert(found[row[1]], { row[3], row[4] })
  end
  return found, count
end

local function selection(columns, which)
  local list = {}
  for i, column in ipairs(columns) do
    list[i] = (SHOWN[column[2]] or PLAIN)[which]:format(column[1])
  end
  return table.concat(list, ", ")
end

local function rows_of(name, columns)
  local session = ("use %s; set time_zone = '+00:00';\n"):format(DATABASE)
  return lines(mysql(("%sselect %s from %s;"):format(session, selection(columns, 1), name))),
    lines(psql(("select %s from %s"):format(selection(columns, 2), name)))
end

local function assert_the_same_rows()
  local found = tables()
  local total = 0
  for name, columns in pairs(found) do
    local here, there = rows_of(name, columns)
    assert(#here > 0, name .. " has no rows")
    assert.equal(#here, #there, name)
    for i, line in ipairs(here) do assert.equal(line, there[i]) end
    total = total + #here
  end
  return total
end

local function other(name)
  return (os.getenv(name):gsub("/[^/]*$", "/" .. DATABASE))
end

describe("the published Sakila database", function()
  if not read(DATA .. "sakila-schema.sql") then
    pending(("is not here: %s has no sakila-schema.sql, so this spec is skipped"):format(DATA))
    return
  end
  if not MYSQL or not PSQL then
    pending("needs the sandbox's own clients (dualdb sandbox env), so this spec is skipped")
    return
  end

  local directory

  setup(function()
    directory = cli.directory()
    mysql(script "sakila-schema.sql" .. "\n" .. script "sakila-data.sql")
    psql("drop database if exists " .. DATABASE, "postgres")
    psql("create database " .. DATABASE, "postgres")
    directory:write("dualdb.lua", ("return { name = %q, primary = %q, secondary = %q }"):format(
      DATABASE, other "DUALDB_SANDBOX_MYSQL_SUPERUSER_URL",
      other "DUALDB_SANDBOX_PG_SUPERUSER_URL"))
  end)

  teardown(function()
    mysql("drop database if exists " .. DATABASE)
    psql(("drop database if exists %s with (force)"):format(DATABASE), "postgres")
    directory:remove()
  end)

  -- The project file alone says where the databases are.
  local function run(...)
    return directory:run({ ... }, { unset = { "DUALDB_PRIMARY_URL", "DUALDB_SECONDARY_URL" } })
  end

  it("is made, copied and verified with no DDL of a person's", function()
    local made = run("schema", "apply")
    assert.equal(0, made.code, made.err)
    assert.is_truthy(made.err:find("address: spatial index idx_location is left out", 1, true))
    assert.is_truthy(made.err:find("film_text: fulltext index idx_title_description is left out", 1,
      true))
    local synced = run("sync", "--all", "--full")
    assert.equal(0, synced.code, synced.err)
    local verified = run("verify", "--all")
    assert.equal(0, verified.code, verified.out .. verified.err)
    assert.is_true(assert_the_same_rows() > 47000)
    assert.same({ { "0" } }, fields(mysql(([[
      select count(*) from %s.address where st_astext(location) not like 'POINT(%%']])
      :format(DATABASE))))
  end)

  it("has on the secondary the foreign keys and indexes of the primary, and counts on", function()
    assert.same(lines(mysql(([[select concat(table_name, '.', constraint_name)
      from information_schema.referential_constraints where constraint_schema = '%s']])
      :format(DATABASE))), lines(psql([[select conrelid::regclass || '.' || conname
      from pg_constraint where contype = 'f']])))
    assert.same(lines(mysql(([[select distinct concat(table_name, '_', if(index_name = 'PRIMARY',
      'pkey', index_name)) from information_schema.statistics where table_schema = '%s'
      and index_type = 'BTREE' and table_name not like 'dualdb%%']]):format(DATABASE))),
      lines(psql("select indexname from pg_indexes where schemaname = 'public' "
        .. "and tablename not like 'dualdb%'")))
    local last = mysql(("select max(actor_id) from %s.actor"):format(DATABASE))
    assert.equal(tonumber(last) + 1, tonumber(psql [[begin;
      insert into actor (first_name, last_name) values ('ANA', 'NIÑO') returning actor_id;
      rollback]]))
  end)

  it("has no differences, and its views, triggers and routines are named as not carried", function()
    local result = run("schema", "diff")
    assert.equal(0, result.code, result.out .. result.err)
    local objects = fields(mysql(([[
      select 'view', table_name from information_schema.views where table_schema = '%s'
      union all select 'trigger', trigger_name from information_schema.triggers
      where trigger_schema = '%s'
      union all select lower(routine_type), routine_name from information_schema.routines
      where routine_schema = '%s']]):gsub("%%s", DATABASE)))
    assert.equal(19, #objects)
    for _, object in ipairs(objects) do
      local note = ("%s %s of the primary is not carried"):format(object[1], object[2])
      assert.is_truthy((result.out .. result.err):find(note, 1, true), note)
    end
  end)

  it("is mended where its rows were changed, and then equal again by both clients", function()
    psql [[update film set special_features = 'Trailers', release_year = 1999 where film_id = 7;
      update address set location = '\x00' where address_id = 5;
      delete from film_text where film_id = 9]]
    local document, result = directory:json({ "verify", "--all" },
      { unset = { "DUALDB_PRIMARY_URL", "DUALDB_SECONDARY_URL" } })
    assert.equal(1, result.code, result.err)
    local found = {}
    for _, model in ipairs(document.models) do
      if model.changed + model.missing + model.extra > 0 then
        found[model.model] = { model.changed, model.missing, model.extra }
      end
    end
    assert.same({ film = { 1, 0, 0 }, address = { 1, 0, 0 }, film_text = { 0, 1, 0 } }, found)
    assert.equal(0, run("repair", "--all", "--yes").code)
    assert_the_same_rows()
    assert.equal(0, run("verify", "--all").code)
  end)
end)
