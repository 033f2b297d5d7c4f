--- Who is right, by the strategies that come with dualdb: the newer row, a row made of both, a
--- person.

local ask = require "dualdb.repair.ask"
local clients = require "spec.support.clients"
local dualdb = require "dualdb"
local edge = require "spec.support.edge"

describe("the repair strategy", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local function open(watermark)
    local model = edge.open {
      mysql = "id int primary key, a varchar(20), n int, at datetime(6) null", rows = {},
      model = { watermark = watermark },
    }
    clients.run("mysql", [[insert into spec_edge values
      (1, 'a', 5, '2026-01-01 10:00:00.5', 0), (2, 'b', 5, '2026-01-01 10:00:00', 0),
      (3, 'c', null, '2026-01-01', 0), (4, 'd', 5, null, 0), (5, 'e', 5, '2026-01-01', 0),
      (6, 'f', 5, null, 0), (7, 'g', 5, '2026-01-01', 0)]])
    model:sync()
    clients.run("postgres", [[
      update spec_edge set a = 'A', n = 9, at = '2026-01-01 10:00:00' where id = 1;
      update spec_edge set a = 'B', n = 1, at = '2026-01-01 10:00:00.000001' where id = 2;
      update spec_edge set a = 'C', n = 9 where id = 3;
      update spec_edge set a = 'D', n = null, at = '1999-01-01' where id = 4;
      update spec_edge set a = 'E', at = null where id = 5;
      update spec_edge set a = 'F' where id = 6;
      delete from spec_edge where id = 7;
      insert into spec_edge values (8, 'h', 1, '1999-01-01', 0)]])
    return model
  end

  local function rows(driver, columns)
    return clients.rows(driver, ("select id, %s from spec_edge order by id"):format(columns))
  end

  describe("newest_wins", function()
    it("takes the row with the larger watermark, and never deletes one", function()
      local model = open "at"
      local result = model:repair { strategy = "newest_wins", allow_delete = true }
      assert.same({ 6, 2, 0 }, { result.applied, result.skipped, result.failed })
      assert.equal(2, result.skips["strategy: the watermark at is the same on both sides"])
      for driver, left in pairs { mysql = { "c", "f" }, postgres = { "C", "F" } } do
        assert.same({ { "1", "a" }, { "2", "B" }, { "3", left[1] }, { "4", "D" }, { "5", "e" },
          { "6", left[2] }, { "7", "g" }, { "8", "h" } }, rows(driver, "a"))
      end
    end)

    it("needs a watermark of the model, of a kind that grows", function()
      local model = open(nil)
      local err = select(2, dualdb.try(model.repair, model, { strategy = "newest_wins" }))
      assert.equal("config", err.class)
      assert.equal("model T: strategy newest_wins needs a watermark, and the model has none",
        err.message)
      model = open "a"
      err = select(2, dualdb.try(model.repair, model, { strategy = "newest_wins" }))
      assert.matches("the watermark a is a column of kind text", err.message)
      model = open "nope"
      err = select(2, dualdb.try(model.repair, model, { strategy = "newest_wins" }))
      assert.matches("the watermark nope is no column", err.message)
    end)
  end)

  describe("of dualdb.merge", function()
    it("takes each column from where its rule says", function()
      local model = open "at"
      local result = model:repair {
        strategy = dualdb.merge({ n = "max", a = function(p, s, whole) -- luacheck: ignore 212
          return p .. s .. whole.id
        end }, "newest"),
      }
      assert.same({ 8, 0, 0 }, { result.applied, result.skipped, result.failed })
      for _, driver in ipairs { "mysql", "postgres" } do
        local found = rows(driver, "a, n, extract(year from at)")
        assert.same({ "1", "aA1", "9", "2026" }, found[1])
        assert.same({ "2", "bB2", "5", "2026" }, found[2])
        assert.same({ "3", "cC3", "9", "2026" }, found[3])
        assert.same({ "4", "dD4", "5", "1999" }, found[4])
        assert.same({ "7", "g", "5", "2026" }, found[7])
        assert.same({ "8", "h", "1", "1999" }, found[8])
      end
      edge.verify(model, "equal")
    end)

    it("has smallest values too, which NULL is not", function()
      local model = open()
      local result = model:repair { strategy = dualdb.merge({ n = "min", at = "min", a = "min" }) }
      assert.equal(8, result.applied)
      assert.same({ { "1", "A", "5" }, { "2", "B", "1" }, { "3", "C", "9" }, { "4", "D", "5" } },
        table.move(rows("mysql", "a, n"), 1, 4, 1, {}))
      edge.verify(model, "equal")
    end)

    it("is checked against the model before anything is done", function()
      local model = open()
      local err = select(2, dualdb.try(model.repair, model, {
        strategy = dualdb.merge { nope = "max" },
      }))
      assert.equal("config", err.class)
      assert.matches("no column nope to merge", err.message)
      err = select(2, dualdb.try(model.repair, model, { strategy = dualdb.merge({}, "newest") }))
      assert.matches("needs a watermark", err.message)
      assert.has_error(function() dualdb.merge { a = "largest" } end)
      assert.has_error(function() dualdb.merge({}, "largest") end)
      assert.has_error(function() dualdb.merge "a" end)
    end)
  end)

  describe("ask", function()
    --- A person who gives these answers; returns the strategy, and what was shown.
    local function person(...)
      local answers, at, shown = { ... }, 0, {}
      return ask.strategy(function()
        at = at + 1
        return answers[at]
      end, function(text) shown[#shown + 1] = text end), function() return table.concat(shown) end
    end

    it("shows both rows, and does what a person says", function()
      local model = open()
      local strategy, shown = person("p", "s", "n", "what?", "s", "S")
      local result = model:repair { strategy = strategy, allow_delete = true }
      assert.same({ 7, { ["strategy: left by a person"] = 1 } }, { result.applied, result.skips })
      assert.truthy(shown():find("T, id = 1: changed\n", 1, true))
      assert.matches("\n +primary +secondary\n +a +a +A *\n", shown())
      assert.matches("s  the secondary's row is right", shown())
      assert.falsy(shown():find "id = 6")  -- it was answered for all that follow
      assert.same({ { "1", "a" }, { "2", "B" }, { "3", "c" }, { "4", "D" }, { "5", "E" },
        { "6", "F" }, { "8", "h" } }, rows("mysql", "a"))
    end)

    it("leaves the rest to a person who quits, and does nothing when nobody answers", function()
      local model = open()
      local result = model:repair { strategy = (person("p", "q")) }
      assert.same({ 1, 7 }, { result.applied, result.skipped })
      local err = select(2, dualdb.try(model.repair, model, { strategy = (person "p") }))
      assert.equal("canceled", err.class)
      assert.same({ { "1", "a" }, { "2", "B" } }, { rows("postgres", "a")[1],
        rows("postgres", "a")[2] })
    end)

    it("needs a terminal", function()
      local model = open()
      local err = select(2, dualdb.try(model.repair, model, { strategy = "ask" }))
      assert.equal("refused", err.class)
    end)
  end)

  it("of one's own is told what differs and of which model, and may say why it skips", function()
    local model, told = open "at", {}
    local result = model:repair { strategy = function(_, _, difference, its)
      told[difference.key.id] = { difference.kind, table.concat(difference.columns, ","),
        difference.newest, its.name, table.concat(its.key), its.watermark,
        difference.compare "n" }
      if difference.key.id == 5 then error "no idea" end
      return "skip", difference.kind == "changed" and "too hard" or nil
    end }
    assert.same({ "changed", "a,n,at", "primary", "T", "id", "at", -1 }, told[1])
    assert.same({ "changed", "a,n,at", "secondary", "T", "id", "at", 1 }, told[4])
    assert.same({ "missing", "", "primary", "T", "id", "at" }, told[7])
    assert.same({ "extra", "", "secondary", "T", "id", "at" }, told[8])
    local failed = 0
    for reason, count in pairs(result.skips) do
      if reason:find "strategy failed: .*no idea" then failed = count end
    end
    assert.same({ 0, 8, 5, 2, 1 }, { result.applied, result.skipped,
      result.skips["strategy: too hard"], result.skips["strategy said so"], failed })
  end)

  it("is throttled as a sync is, and held to its rate", function()
    local model = open()
    local asked = {}
    local result = model:repair { max_rate = 2, throttle = function(so_far)
      asked[#asked + 1] = so_far.rows
      return 0
    end }
    assert.equal(7, result.applied)
    assert.same({ 0, 2, 4, 6 }, asked)
    assert.is_true(result.seconds > 2)  -- seven rows at two a second; never less
    local err = select(2, dualdb.try(model.repair, model, {
      strategy = "secondary_wins", throttle = function() return false end,
    }))
    assert.equal("refused", err.class)
  end)

  it("leaves a record of what it did, with the digest of the undo file", function()
    local model = open()
    local result = model:repair { strategy = "primary_wins" }
    local record = require("dualdb.runs").get(model.db, result.run)
    assert.equal("repair", record.command)
    assert.same({ "T" }, record.models)
    assert.equal("primary_wins", record.options.strategy)
    assert.same({ 7, 7, 1, 0 }, { record.counts.T.planned, record.counts.T.applied,
      record.counts.T.skipped, record.counts.T.failed })
    assert.equal(1, record.exit)
    assert.equal("undo secondary", record.files[1].kind)
    assert.equal(result.undo.secondary, record.files[1].path)
    assert.matches("^%x+$", record.files[1].digest)
  end)
end)
