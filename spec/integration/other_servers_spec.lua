-- A secondary that is set up otherwise than dualdb would like it.

local apply = require "dualdb.schema.apply"
local clients = require "spec.support.clients"
local collations = require "dualdb.schema.collations"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"

describe("a secondary without citext", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  it("is told so by name before anything is made, and is not advised to use it", function()
    local role = servers.settings("postgres").user
    -- What hides the catalog's own view; nothing else of the server knows of extensions.
    clients.run("postgres", "create view public.pg_available_extensions as "
      .. "select * from pg_catalog.pg_available_extensions where name <> 'citext'; "
      .. "grant select on public.pg_available_extensions to public; "
      .. ("alter role %s set search_path = public, pg_catalog"):format(role))
    servers.finally(function()
      clients.run("postgres", ("alter role %s reset search_path; "
        .. "drop view if exists public.pg_available_extensions"):format(role))
    end)
    edge.drop_later(edge.NAME)
    clients.run("mysql", "create table spec_edge (id int primary key, "
      .. "k varchar(20) collate utf8mb4_general_ci unique)")
    local db = edge.pair { T = { table = edge.NAME, unique = "citext" } }
    local err = pair.failure(apply.run, db, { "T" })
    assert.equal("schema", err.class)
    assert.matches("model T: unique is \"citext\"", err.message, 1, true)
    assert.same({ { "0" } }, clients.rows("postgres",
      "select count(*) from pg_class where relname = 'spec_edge'"))
    assert.is_nil(collations.ways_out(db, "k"):find("citext", 1, true))
  end)
end)

describe("a secondary in SQL_ASCII, which takes any bytes for text", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local DATABASE = "spec_ascii"

  --- Runs SQL in that database, as the superuser of the sandbox.
  local function in_ascii(sql)
    return clients.rows("postgres", ("\\connect %s\n%s"):format(DATABASE, sql))
  end

  it("is not verified where it has what is no UTF-8, and nothing of that is carried", function()
    clients.run("postgres", "drop database if exists " .. DATABASE)
    clients.run("postgres", ("create database %s encoding 'SQL_ASCII' template template0 "
      .. "lc_collate 'C' lc_ctype 'C' owner dualdb"):format(DATABASE))
    local model
    servers.finally(function()
      if model then model.db:close() end
      clients.run("postgres", "drop database " .. DATABASE)
    end)
    edge.drop_later(edge.NAME)
    clients.run("mysql", "create table spec_edge (id int primary key, t varchar(20)) "
      .. "character set utf8mb4; insert into spec_edge values (1, 'Zoë'), (2, '😀'), (3, 'x')")
    local url = os.getenv("DUALDB_SECONDARY_URL"):gsub("(@[^/]*/)[^?]*", "%1" .. DATABASE)
    model = edge.pair({ T = { table = edge.NAME } }, { secondary = url }).T
    apply.run(model.db, { "T" })
    assert.equal(3, model:sync().rows_written)
    edge.verify(model, "equal")
    local hex = "select id, encode(convert_to(t, 'SQL_ASCII'), 'hex') from spec_edge order by id"
    local right = { { "1", "5a6fc3ab" }, { "2", "f09f9880" }, { "3", "78" } }
    assert.same(right, in_ascii(hex))

    in_ascii "update spec_edge set t = E'Zo\\xeb' where id = 1"
    -- PostgreSQL itself does not send it to a client that reads UTF-8.
    assert.matches("invalid byte sequence", edge.verify(model, "not_verified").reason, 1, true)
    assert.equal("data", pair.failure(model.sync, model).class)
    local result = model:repair { strategy = "secondary_wins" }
    assert.same({ "not_verified", 0 }, { result.verdict, result.applied })
    assert.same({ { "5A6FC3AB" } },
      clients.rows("mysql", "select hex(t) from spec_edge where id = 1"))
    in_ascii "delete from spec_edge where id = 1"
    assert.equal(1, model:sync().rows_written)
    assert.same(right, in_ascii(hex))
    edge.verify(model, "equal")
  end)
end)
