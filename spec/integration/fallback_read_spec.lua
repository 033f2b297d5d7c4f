-- Reads while a server is down: killed, frozen, and back again.

local child = require "spec.support.child"
local core = require "dualdb.core"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"
local setup = require "dualdb.setup"
local wait = require "spec.support.wait"

local NAME = "spec_fallback_read"
local COLUMNS = {
  mysql = "id int not null primary key, content varchar(100)",
  postgres = "id int primary key, content varchar(100)",
}

local serial = 0

describe("a read that falls back", function()
  local db, project

  local function open(policy)
    local all = { breaker = { failures = 2, open = 0.3 }, connect_timeout = 5, deadline = 5 }
    for name, value in pairs(policy or {}) do all[name] = value end
    return pair.open({ Message = { table = NAME } }, { name = project, policy = all })
  end

  local function content(reader)
    return reader:query(("select content from %s order by id"):format(NAME))[1].content
  end

  -- A heartbeat of the project on the secondary, so many seconds ago.
  local function beat(seconds)
    db.secondary:execute("delete from dualdb_heartbeat where project = ?", project)
    db.secondary:execute("insert into dualdb_heartbeat (project, beat, at) values (?, 1, "
      .. "to_timestamp(?::double precision))", project, core.wall_clock() / 1e6 - seconds)
  end

  before_each(function()
    servers.before_each()
    serial = serial + 1
    servers.finally(function() -- the last one: servers run again by then
      local cleaner <close> = open()
      pair.drop_all(cleaner)
      cleaner.secondary:execute("delete from dualdb_heartbeat where project = ?", project)
    end)
    project = ("spec-read-%d-%d"):format(core.pid(), serial)
    db = open()
    setup.run(db)
    pair.make(db, NAME, COLUMNS)
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute(("insert into %s values (1, 'on the %s')"):format(NAME, side.name))
    end
  end)

  after_each(function()
    local directory = db.state:directory()
    db:close()
    servers.after_each() -- starts what a spec has stopped
    os.remove(directory .. "/breaker")
    os.remove(directory)
  end)

  it("is answered by the secondary while the primary is down, and no longer", function()
    local text, from = db:read(content)
    assert.same({ "on the primary", "primary", false, 0 },
      { text, from.side, from.stale, from.staleness })
    servers.destroy "primary"
    for _ = 1, 5 do
      text, from = db:read(content)
      assert.same({ "on the secondary", "secondary", true }, { text, from.side, from.stale })
    end
    assert.not_equal("closed", (db.breaker:state "primary"))
    require("dualdb.sandbox").start "primary"
    wait.wait_until("the primary answers reads", function()
      text, from = db:read(content)
      return from.side == "primary"
    end)
    assert.equal("on the primary", text)
    assert.equal("closed", (db.breaker:state "primary"))
  end)

  it("does not ask the primary while its breaker is open, in no process of the project", function()
    local patient <close> = open { breaker = { failures = 2, open = 60 }, connect_timeout = 0.5 }
    servers.freeze "primary"
    for _ = 1, 2 do assert.equal("secondary", select(2, patient:read(content)).side) end
    -- Who asks it all the same waits for as long as it takes.
    local asks <close> = open { breaker = { failures = 2, open = 60 }, connect_timeout = 5 }
    local begin = core.clock()
    for _ = 1, 10 do assert.equal("secondary", select(2, asks:read(content)).side) end
    assert.is_true(core.clock() - begin < 5)
    local other = child.lua(([[
      local core = require "dualdb.core"
      local db = require("dualdb").open { name = %q, models = {},
        policy = { breaker = { open = 60 }, connect_timeout = 5 } }
      local begin = core.clock()
      local _, from = db:read(function(reader) return reader:query "select 1" end)
      print(from.side, core.clock() - begin < 5)]]):format(project))
    assert.equal("secondary\ttrue", other:line())
    other:finish()
  end)

  it("runs all of fn again when the primary is lost in the middle", function()
    servers.finally(function() require("dualdb.sandbox").start "primary" end)
    local sides, seen = {}, nil
    local rows, from = db:read(function(reader)
      seen = {}
      sides[#sides + 1] = reader.side.name
      for row in reader:rows(("select id, content from %s"):format(NAME)) do
        seen[#seen + 1] = row.content
        if reader.side.name == "primary" then require("dualdb.sandbox").stop("primary", "KILL") end
      end
      return reader:query(("select content from %s"):format(NAME))
    end)
    assert.same({ "primary", "secondary" }, sides)
    assert.same({ "on the secondary" }, seen)
    assert.equal("on the secondary", rows[1].content)
    assert.equal("secondary", from.side)
  end)

  it("serves models and wrapped functions too", function()
    local load = db:reader(function(reader, id) return reader:get("Message", id) end)
    db.Message:get(1) -- knows the tables
    servers.destroy "primary"
    local row, from = load(1)
    assert.equal("on the secondary", row.content)
    assert.equal("secondary", from.side)
    row, from = db.Message:get(1)
    assert.same({ "on the secondary", "secondary" }, { row.content, from.side })
    local fresh <close> = open() -- has never asked the primary for its tables
    row, from = fresh.Message:get(1)
    assert.same({ "on the secondary", "secondary" }, { row.content, from.side })
    local rows
    rows, from = db.Message:find { content = "on the secondary" }
    assert.same({ 1, "secondary" }, { #rows, from.side })
  end)

  it("says how far the secondary can be behind at most, or that nobody knows", function()
    servers.destroy "primary"
    local _, from = db:read(content)
    assert.is_true(from.stale)
    assert.is_nil(from.staleness)
    beat(100)
    _, from = db:read(content)
    assert.is_true(from.staleness >= 100 and from.staleness < 110, from.staleness)
    beat(-50) -- the clock of the machine that wrote was ahead
    assert.equal(0, select(2, db:read(content)).staleness)
  end)

  it("knows of no staleness where dualdb's tables were never made", function()
    db.secondary:execute "drop table dualdb_heartbeat"
    servers.finally(function()
      local cleaner <close> = open()
      setup.run(cleaner)
    end)
    servers.destroy "primary"
    local text, from = db:read(content)
    assert.equal("on the secondary", text)
    assert.is_nil(from.staleness)
  end)

  it("refuses an answer that is too old or of unknown age, before fn has run", function()
    servers.destroy "primary"
    local ran = false
    local function fn(reader)
      ran = reader.side.name == "secondary"
      return content(reader)
    end
    local err = pair.failure(db.read, db, fn, { max_staleness = 30 })
    assert.same({ "unavailable", "primary" }, { err.class, err.side })
    assert.matches("not known how far the secondary is behind", err.message)
    beat(100)
    err = pair.failure(db.read, db, fn, { max_staleness = 30 })
    assert.matches("the secondary can be 10%d%.%d s behind, and at most 30 s", err.message)
    assert.is_false(ran)
    assert.equal("on the secondary", (db:read(fn, { max_staleness = 3600 })))
    beat(1)
    assert.equal("secondary", select(2, db:read(fn, { max_staleness = 30 })).side)
    local strict <close> = open { max_staleness = 0 }
    assert.matches("at most 0 s", pair.failure(strict.read, strict, fn).message)
    assert.equal("on the secondary", (strict:read(fn, { max_staleness = 3600 })))
    err = pair.failure(strict:reader(fn))
    assert.equal("unavailable", err.class)
  end)

  it("takes no age limit for an answer of the primary", function()
    assert.equal("on the primary", (db:read(content, { max_staleness = 0 })))
  end)

  it("names both sides when neither answers", function()
    servers.destroy "primary"
    servers.destroy "secondary"
    for _ = 1, 4 do -- asked in the beginning, not asked any more in the end
      local err = pair.failure(db.read, db, content)
      assert.same({ "unavailable", "primary" }, { err.class, err.side })
      assert.matches("nor is the secondary", err.message)
      assert.matches("primary: .*secondary: ", err.detail)
    end
    assert.not_equal("closed", (db.breaker:state "secondary"))
  end)

  it("neither falls back nor counts for what is no outage", function()
    for _ = 1, 5 do
      local err = pair.failure(db.read, db, function(reader)
        return reader:query "select * from spec_no_such_table"
      end)
      assert.equal("schema", err.class)
      err = pair.failure(db.read, db, function() error "a mistake of fn" end)
      assert.equal("internal", err.class)
    end
    assert.equal("closed", (db.breaker:state "primary"))
  end)

  it("says what is wrong on the secondary when that is no outage", function()
    servers.destroy "primary"
    local err = pair.failure(db.read, db, function(reader)
      return reader:query "select * from spec_no_such_table"
    end)
    assert.same({ "schema", "secondary" }, { err.class, err.side })
  end)

  it("knows its options", function()
    for _, options in ipairs { { age = 1 }, { max_staleness = -1 }, { max_staleness = "1" },
      { max_staleness = 0 / 0 } } do
      assert.equal("usage", pair.failure(db.read, db, content, options).class)
      assert.equal("usage", pair.failure(db.reader, db, content, options).class)
    end
  end)

  it("shows in health what the breakers and the heartbeat know", function()
    beat(5)
    servers.destroy "primary"
    for _ = 1, 2 do db:read(content) end
    local health = db:health()
    assert.is_false(health.ok)
    assert.not_equal("closed", health.breaker.primary.state)
    assert.equal("closed", health.breaker.secondary.state)
    assert.is_number(health.breaker.secondary.answered_ago)
    assert.is_true(health.staleness >= 5 and health.staleness < 60)
  end)
end)
