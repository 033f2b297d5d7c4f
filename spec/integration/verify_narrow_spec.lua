--- A verification of some of the rows and columns: it says what it is about, and what is outside is
--- no difference.

local cli = require "spec.support.cli"
local core = require "dualdb.core"
local edge = require "spec.support.edge"
local pair = require "spec.support.pair"

local NAME = "spec_narrow"
local COLUMNS = {
  mysql = "id int not null primary key, status varchar(10) character set utf8mb4 collate "
    .. "utf8mb4_general_ci not null, content varchar(40) not null, score decimal(9,2), "
    .. "at datetime(6), zoned timestamp null, day date",
  postgres = 'id int not null primary key, status varchar(10) not null, body varchar(40) not null, '
    .. "score numeric(9,2), at timestamp(6), zoned timestamptz, day date",
}

describe("a narrowed verification", function()
  local db, T

  before_each(function()
    edge.before_each()
    edge.drop_later(NAME)
    db = edge.pair {
      T = { table = NAME, columns = { content = "body" }, watermark = "at" },
      Zoned = { table = NAME, columns = { content = "body" }, watermark = "zoned" },
      Day = { table = NAME, columns = { content = "body" }, watermark = "day" },
      None = { table = NAME, columns = { content = "body" } },
      Score = { table = NAME, columns = { content = "body" }, watermark = "score" },
      Gone = { table = NAME, columns = { content = "body" }, watermark = "gone" },
      Changed = { table = NAME, columns = { content = "body" },
                  sync = { transform = function(row) return row end } },
    }
    pair.make(db, NAME, COLUMNS)
    for _, entry in ipairs { { db.primary, "content" }, { db.secondary, "body" } } do
      entry[1]:execute(("insert into %s (id, status, %s, score, at, zoned, day) values "
        .. "(1, 'open', 'a', 1, '2026-01-01 10:00:00', '2026-01-01 10:00:00', '2026-01-01'), "
        .. "(2, 'open', 'b', 2, '2026-02-01 10:00:00', '2026-02-01 10:00:00', '2026-02-01'), "
        .. "(3, 'closed', 'c', 3, '2026-03-01 10:00:00', '2026-03-01 10:00:00', '2026-03-01'), "
        .. "(4, 'closed', 'd', null, null, null, null)"):format(NAME, entry[2]))
    end
    T = db.T
  end)

  after_each(edge.after_each)

  local function both(sql)
    db.primary:execute(sql)
    db.secondary:execute(sql)
  end

  --- Verifies; returns the report and its differences as texts: kind, key, columns.
  local function verify(options, model)
    local report = (model or T):verify(options)
    if report.error then error(report.error, 0) end
    local list = {}
    for difference in report:differences() do
      list[#list + 1] = ("%s %d %s"):format(difference.kind, difference.key.id,
        table.concat(difference.columns, ","))
    end
    report.spool:close()
    return report, list
  end

  describe("by a condition", function()
    it("is about the rows for which it holds, and says so", function()
      db.secondary:execute("update " .. NAME .. " set body = 'x' where id in (2, 3)")
      db.secondary:execute("delete from " .. NAME .. " where id = 4")
      local report, found = verify { where = "status = 'open'" }
      assert.same({ "changed 2 content" }, found)
      assert.same({ "where status = 'open'" }, report.narrowed)
      assert.equal("different", report.verdict)
      assert.same({ 2, 2 }, { report.coverage.rows_primary, report.coverage.rows_secondary })
      report, found = verify { where = "status = 'open' and id < 2" }
      assert.equal("equal", report.verdict)
      assert.same({}, found)
    end)

    it("may have a form for each side, by the side or by its database", function()
      db.secondary:execute("update " .. NAME .. " set body = 'x' where id in (2, 3)")
      for _, where in ipairs {
        { mysql = "content = 'b'", postgres = "body = 'x' and id = 2" },
        { primary = "content = 'b'", secondary = "body = 'x' and id = 2" },
      } do
        local report, found = verify { where = where }
        assert.same({ "changed 2 content" }, found)
        assert.same({ "where content = 'b' (primary), body = 'x' and id = 2 (secondary)" },
          report.narrowed)
      end
    end)

    it("calls a row changed that satisfies it on one side only, not missing or extra", function()
      db.primary:execute("update " .. NAME .. " set status = 'closed' where id = 1")
      db.secondary:execute("update " .. NAME .. " set status = 'closed' where id = 2")
      local report, found = verify { where = "status = 'open'" }
      assert.same({ "changed 1 status", "changed 2 status" }, found)
      assert.same({ 0, 0, 2 }, { report.missing, report.extra, report.changed })
    end)

    it("calls it so too when only columns are compared that are equal", function()
      db.secondary:execute("update " .. NAME .. " set status = 'closed' where id = 2")
      local report, found = verify { where = "status = 'open'", columns = { "content" } }
      assert.same({ "changed 2 " }, found)
      assert.equal("different", report.verdict)
      report = verify { columns = { "content" } }
      assert.equal("equal", report.verdict)
    end)

    it("still tells rows that are missing and extra", function()
      db.secondary:execute("delete from " .. NAME .. " where id = 1")
      db.primary:execute("delete from " .. NAME .. " where id = 2")
      local _, found = verify { where = "status = 'open'" }
      assert.same({ "missing 1 ", "extra 2 " }, found)
    end)

    it("does not tell what had left it on both sides when it was looked at again", function()
      db.primary:execute("update " .. NAME .. " set content = 'x' where id = 1")
      local sleep = core.sleep
      core.sleep = function(seconds)  -- between the comparison and the look
        both("update " .. NAME .. " set status = 'closed' where id = 1")
        return sleep(seconds)
      end
      local ok, report, found = pcall(verify, { where = "status = 'open'" })
      core.sleep = sleep
      assert.is_true(ok, report)
      assert.same({}, found)
      assert.equal("equal", report.verdict)
    end)

    it("holds where the model's own filter holds too", function()
      db:model("Filtered", { table = NAME, columns = { content = "body" },
                             sync = { filter = "id <> 2" } })
      db.secondary:execute("update " .. NAME .. " set body = 'x'")
      local _, found = verify({ where = "status = 'open' or id = 2" }, db.Filtered)
      assert.same({ "changed 1 content" }, found)
    end)

    it("is not verified when a server does not understand it", function()
      local report = T:verify { where = "no_such_column = 1" }
      assert.equal("not_verified", report.verdict)
      assert.equal("schema", report.error.class)
    end)

    it("is refused when it is no text, is empty or is missing for a side", function()
      for _, where in ipairs { "", "  ", 7, {}, { mysql = "id = 1" }, { secondary = "id = 1" },
                               { primary = "", secondary = "id = 1" } } do
        local err = pair.failure(T.verify, T, { where = where })
        assert.equal("usage", err.class)
        assert.matches("^model T: where: SQL expected, got ", err.message)
      end
      local err = pair.failure(T.verify, T, { where = { third = "id = 1" } })
      assert.matches("unknown side third", err.message)
    end)
  end)

  describe("by columns", function()
    it("compares these and the key, and says so", function()
      db.secondary:execute("update " .. NAME .. " set body = 'x' where id = 2")
      db.secondary:execute("update " .. NAME .. " set score = 9 where id = 3")
      local report, found = verify { columns = { "score" } }
      assert.same({ "changed 3 score" }, found)
      assert.same({ "columns id, score" }, report.narrowed)
      assert.same({ "id", "score" }, report.columns)
      assert.same({ 2, 7 }, { report.coverage.columns, report.coverage.of_columns })
      report, found = verify { columns = { "id", "content", "content" } }
      assert.same({ "changed 2 content" }, found)
      assert.same({ "columns id, content" }, report.narrowed)
    end)

    it("still tells rows that are missing and extra", function()
      db.secondary:execute("delete from " .. NAME .. " where id = 1")
      db.primary:execute("delete from " .. NAME .. " where id = 2")
      local _, found = verify { columns = { "id" } }
      assert.same({ "missing 1 ", "extra 2 " }, found)
    end)

    it("confirms by these alone: what others have does not hide a difference that holds", function()
      db.secondary:execute("update " .. NAME .. " set score = 9 where id = 3")
      local sleep, looks = core.sleep, 0
      core.sleep = function(seconds)  -- another column never holds still
        looks = looks + 1
        both(("update %s set status = 's%d' where id = 3"):format(NAME, looks))
        return sleep(seconds)
      end
      local ok, report, found = pcall(verify, { columns = { "score" } })
      core.sleep = sleep
      assert.is_true(ok, report)
      assert.same({ "changed 3 score" }, found)
    end)

    it("leaves the model as it was", function()
      verify { columns = { "score" } }
      db.secondary:execute("update " .. NAME .. " set body = 'x' where id = 2")
      local report, found = verify()
      assert.same({ "changed 2 content" }, found)
      assert.same({ 7, 7 }, { report.coverage.columns, report.coverage.of_columns })
      assert.same({}, report.narrowed)
    end)

    it("is refused for a column that there is not, with the nearest name", function()
      local err = pair.failure(T.verify, T, { columns = { "score", "contnet" } })
      assert.equal("usage", err.class)
      assert.equal("model T: no column contnet", err.message)
      assert.equal("Did you mean content?", err.hint)
      for _, columns in ipairs { {}, "score" } do
        assert.equal("usage", pair.failure(T.verify, T, { columns = columns }).class)
      end
    end)

    it("is refused for a model whose transform takes whole rows", function()
      local err = pair.failure(T.verify, db.Changed, { columns = { "score" } })
      assert.equal("usage", err.class)
      assert.matches("has a transform, which takes whole rows", err.message)
    end)
  end)

  describe("by a time", function()
    for _, name in ipairs { "T", "Zoned", "Day" } do
      it("is about the rows whose watermark is of then or later: " .. name, function()
        db.secondary:execute("update " .. NAME .. " set body = 'x'")
        for _, since in ipairs { "2026-02-01T10:00:00Z", "2026-02-01 10:00",
                                 "2026-02-01T12:00:00+02:00" } do
          local report, found = verify({ since = since }, db[name])
          assert.same({ "changed 2 content", "changed 3 content" }, found)
          assert.same({ ("since 2026-02-01 10:00:00 UTC by %s"):format(
            db:model_definition(name).watermark) }, report.narrowed)
        end
      end)
    end

    it("may be so long ago", function()
      local ago = pair.value(db.primary, "select now() - interval 90 minute as v")
      both(("update %s set at = '%s' where id = 3"):format(NAME, ago))
      db.secondary:execute("update " .. NAME .. " set body = 'x'")
      for since, expected in pairs {
        ["2h"] = { "changed 3 content" }, ["1.6h"] = { "changed 3 content" }, ["60m"] = {},
        ["100s"] = {}, ["1d"] = { "changed 3 content" }, ["1w"] = { "changed 3 content" },
      } do
        local report, found = verify { since = since }
        assert.same(expected, found, since)
        assert.matches("^since %d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d UTC by at$", report.narrowed[1])
      end
    end)

    it("calls a row changed whose watermark is of then on one side only", function()
      db.primary:execute("update " .. NAME .. " set at = '2026-06-01' where id = 1")
      local report, found = verify { since = "2026-05-01" }
      assert.same({ "changed 1 at" }, found)
      assert.same({ 0, 0 }, { report.missing, report.extra })
    end)

    it("goes together with the others", function()
      db.secondary:execute("update " .. NAME .. " set body = 'x', score = 9")
      local report, found = verify { where = "id < 3", columns = { "score" }, since = "2026-01-15" }
      assert.same({ "changed 2 score" }, found)
      assert.same({ "where id < 3", "columns id, score", "since 2026-01-15 00:00:00 UTC by at" },
        report.narrowed)
    end)

    it("is refused for what is no time", function()
      for _, since in ipairs { "", "yesterday", "2026-02-31", "2x", "h", "-2h", "infinity", 7,
                               "2026-01-01'; drop table x", "99999999999999999999w" } do
        local err = pair.failure(T.verify, T, { since = since })
        assert.equal("usage", err.class, tostring(since))
        assert.matches("is not a time$", err.message)
      end
    end)

    it("is an error of the configuration when the model's watermark is not one", function()
      for name, message in pairs {
        None = "model None: since: the model has no watermark",
        Score = "model Score: since: the watermark score is decimal(9,2), which is no time",
        Gone = "model Gone: watermark: column gone does not exist in table spec_narrow",
      } do
        local report = db[name]:verify { since = "2h" }
        assert.same({ "not_verified", "config", message },
          { report.verdict, report.error.class, report.error.message })
      end
    end)
  end)

  describe("on the command line", function()
    local dir

    before_each(function()
      dir = cli.directory()
      dir:write("dualdb.lua", ([[return { policy = { recheck = 0.02 }, models = {
        T = { table = %q, columns = { content = "body" }, watermark = "at" },
        None = { table = %q, columns = { content = "body" } } } }]]):format(NAME, NAME))
    end)

    after_each(function() dir:remove() end)

    it("says beside the verdict what it is about", function()
      db.secondary:execute("update " .. NAME .. " set body = 'x' where id = 4")
      local args = { "verify", "T", "--where", "id < 4", "--columns", "content, score", "--since",
                     "2026-01-01" }
      local run = dir:run(args)
      assert.equal(0, run.code, run.err)
      assert.matches("T +equal %(narrowed%)", run.out)
      assert.matches("\nT: compared where id < 4; columns id, content, score; since "
        .. "2026%-01%-01 00:00:00 UTC by at\n", run.out)
      local entry = dir:json(args).models[1]
      assert.equal("equal", entry.verdict)
      assert.same({ "where id < 4", "columns id, content, score",
                    "since 2026-01-01 00:00:00 UTC by at" }, entry.narrowed)
      assert.same({ 3, 3, 3, 7 }, { entry.coverage.rows_primary, entry.coverage.rows_secondary,
                                    entry.coverage.columns, entry.coverage.of_columns })
    end)

    it("says that a condition holds on one side only, where the columns are equal", function()
      db.secondary:execute("update " .. NAME .. " set status = 'x' where id = 1")
      local run = dir:run { "verify", "T", "--where", "status = 'open'", "--columns", "score" }
      assert.equal(1, run.code, run.err)
      assert.matches("changed +id=1  the condition holds on one side only", run.out)
    end)

    it("ends with 2 for what a person got wrong, with 3 for a model without a watermark", function()
      for _, words in ipairs { { "--columns", "contnet" }, { "--columns", "a,,b" },
                               { "--since", "soon" }, { "--where", "" } } do
        local run = dir:run { "verify", "T", table.unpack(words) }
        assert.equal(2, run.code, run.err)
      end
      local run = dir:run { "verify", "None", "--since", "2h" }
      assert.equal(3, run.code)
      assert.matches("the model has no watermark", run.err)
      assert.matches('models.None.watermark = "updated_at"', run.err)
    end)
  end)
end)
