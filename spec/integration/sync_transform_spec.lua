-- A transform of the project file runs on the engine's threads, each of which has loaded the file
-- again. What it makes of the rows is what a function of the running program makes of them.

local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local servers = require "spec.support.servers"

local COUNT = 3000

local PROJECT = [[
local suffix = "!"
return { name = "spec", models = { T = { table = "spec_edge", sync = { transform = function(row)
  %s
end } } } }
]]

--- Syncs in chunks and says how it went, with a transform of the file's own or of the script's.
local SCRIPT = [[
local dualdb = require "dualdb"
local db <close> = dualdb.open { policy = { recheck = 0.02 }, models = %s }
local result = require("dualdb.sync").all(db, { "T" }, { chunk_rows = 70, jobs = 3 })[1]
if result.error then print("error", result.error.class, tostring(result.error)) end
if result.error and not result.chunks then return end
print("done", result.action, result.rows_read, result.rows_written, result.rows_deleted,
  result.chunks > 10 and "chunks" or "one")
]]

describe("a transform", function()
  local dir

  before_each(function()
    edge.before_each()
    dir = cli.directory()
    edge.open {
      mysql = "id int primary key, a varchar(30), b longblob, n int",
      postgres = "id int primary key, a varchar(30), b bytea, n int", rows = {},
    }
    clients.run("mysql", ("insert into spec_edge select n, concat('a', n), "
      .. "if(n %% 3 = 0, null, x'00ff'), n, n from (%s) q where n < %d"):format(
      servers.million("mysql", 1), COUNT))
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  --- Runs the script with this body of the transform; what it printed.
  local function run(body, models)
    dir:write("dualdb.lua", PROJECT:format(body))
    dir:write("script.lua", SCRIPT:format(models or "nil"))
    local done = dir:run { "run", "script.lua" }
    assert.equal(0, done.code, done.err)
    return (done.out:gsub("\n$", ""))
  end

  local CHANGE = "if row.id % 5 == 0 then return nil end row.a = row.a .. '!' "
    .. "row.n = row.id % 7 == 0 and require('dualdb').NULL or row.n * 2 return row"

  local function there()
    return clients.rows("postgres", "select id, a, encode(b, 'hex'), n from spec_edge order by id")
  end

  it("gives on several lanes what a function in code gives on one", function()
    local left = COUNT - COUNT // 5
    assert.equal(("done\tload\t%d\t%d\t0\tchunks"):format(COUNT, left), run(CHANGE))
    local by_lanes = there()
    assert.equal(left, #by_lanes)
    clients.run("postgres", "delete from spec_edge")
    local own = ("{ T = { table = 'spec_edge', sync = { transform = function(row) %s end } } }")
      :format(CHANGE)
    local out = run("error 'not this one'", own)
    assert.matches(("^done\tload\t%d\t%d\t0"):format(COUNT, left), out)
    assert.same(by_lanes, there())
    -- What differs is found and mended in both ways.
    for _, models in ipairs { false, own } do
      clients.run("postgres", "update spec_edge set a = 'x' where id % 100 = 1; "
        .. "delete from spec_edge where id % 100 = 2; "
        .. "insert into spec_edge values (5, 'own', '', 0, 0)")
      out = run(CHANGE, models or nil)
      assert.matches(("^done\trefresh\t%d\t60\t1"):format(COUNT), out)
      assert.same(by_lanes, there())
    end
  end)

  it("that raises is the model's error, with the chunks before it written whole", function()
    local out = run "if row.id == 1000 then error('no good') end return row"
    assert.matches("^error\tinternal\t", out)
    assert.matches("no good", out, 1, true)
    local rows = there()
    assert.is_true(#rows < COUNT)
    for _, row in ipairs(rows) do assert.is_true(row[1] ~= "1000") end
    assert.matches("^done\tload\t%d+\t%d+\t0", (run "return row"))
    assert.equal(COUNT, #there())
    edge.agree { edge.plain "id", edge.text "a", edge.plain "n" }
    -- The same while it compares.
    out = run "if row.id == 1000 then error('no good') end return row"
    assert.matches("^error\tinternal\t", out)
    assert.equal(COUNT, #there())
  end)

  it("must not change the key, and must return rows", function()
    for body, message in pairs {
      ["if row.id == 1500 then row.id = 7 end return row"] = "transform changed the key",
      ["return row.id == 1500 and 7 or row"] = "transform returned a number",
      ["if row.id == 1500 then row.n = 'many' end return row"] = "n",
    } do
      clients.run("postgres", "delete from spec_edge; delete from dualdb_sync_range; "
        .. "delete from dualdb_sync")
      local out = run(body)
      assert.matches("^error\t%a+\t", out)
      assert.matches(message, out, 1, true)
      assert.is_true(#there() < COUNT)
    end
  end)

  it("of the file ends the command with the code of its class", function()
    dir:write("dualdb.lua", PROJECT:format "row.id = -row.id - 1 return row")
    local document, done = dir:json { "sync", "T", "--full" }
    assert.equal(2, done.code, done.err)
    assert.equal("usage", document.models[1].error.class)
    assert.equal(0, #there())
  end)

  it("that leaves rows out has them deleted where they were", function()
    run "return row"
    assert.equal(COUNT, #there())
    assert.equal(("done\trefresh\t%d\t0\t%d\tchunks"):format(COUNT, COUNT // 2),
      run "return row.id % 2 == 0 and row or nil")
    assert.equal(COUNT // 2, #there())
  end)

  it("does not come into quarantine, which has the row as the primary has it", function()
    clients.run("postgres", "alter table spec_edge add check (n <> 1500)")
    for _ = 1, 2 do
      local out = run "row.a = 'changed' return row"
      assert.matches(("\t%d\t"):format(COUNT), out)
      assert.equal(COUNT - 1, #there())
      assert.same({ { "a1500" } },
        clients.rows("postgres", [[select "row"->>'a' from dualdb_quarantine]]))
    end
  end)
end)
