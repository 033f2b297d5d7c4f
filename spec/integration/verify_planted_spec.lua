-- Equal tables of all types have no difference, and of those planted none is missed, however small:
-- one value of a row, by as little as its type can differ.
--
--   PLANTED=n   so many (default 500)      SEED=n   the same again

local apply = require "dualdb.schema.apply"
local edge = require "spec.support.edge"
local generate = require "spec.property.generate"
local planted = require "spec.support.planted"
local property = require "spec.property.clients"

local PLANTED = math.tointeger(os.getenv "PLANTED") or 500
local SEED = math.tointeger(os.getenv "SEED") or os.time()
local ROWS, PER_TABLE = 150, 120
local NAME = "spec_planted"
--- Ways of comparing, by the options of verify.
local METHODS = {
  { name = "stream", options = { method = "stream" } },
  { name = "pushdown", options = { method = "pushdown" } },
}

describe("a verification", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  --- The table on both sides, with the number of the row as a column more.
  local function make(case)
    local types = {}
    for _, column in ipairs(case.columns) do types[column.name] = column.declared end
    table.insert(case.columns, { name = "n", sql = "int", form = "plain" })
    for i, row in ipairs(case.rows) do row[#row + 1] = tostring(i) end
    local db = edge.pair { [NAME] = { types = types } }
    property.load(generate.sql(case, NAME))
    db:refresh()
    apply.run(db, { NAME })
    local synced = db[NAME]:sync()
    if synced.error then error(synced.error, 0) end
    assert.equal(0, synced.quarantined)
    return db
  end

  local pushed = 0  -- verifications by digests of the servers

  local function verify(db, method)
    local report = db[NAME]:verify(method.options)
    if report.error then error(report.error, 0) end
    -- A table that the servers cannot digest alike is streamed, and the report says why.
    if method.name == "pushdown" and report.method == "pushdown" then
      pushed = pushed + 1
    else
      assert.matches("^stream", report.method)
      assert.is_true(method.name == "stream" or report.method_reason ~= nil)
    end
    return report
  end

  --- By n: what was found, and in which columns.
  local function differences(db, method)
    local report, found = verify(db, method), {}
    for difference in report:differences() do
      local row = difference.primary or difference.secondary
      local list = found[row.n] or { kinds = {}, columns = {} }
      found[row.n] = list
      list.kinds[#list.kinds + 1] = difference.kind
      for _, name in ipairs(difference.columns) do list.columns[name] = true end
    end
    report.spool:close()
    assert.equal("different", report.verdict)
    return found
  end

  it("finds every difference that was planted into tables of all types, and none before", function()
    local product = edge.pair({}).primary:info().product
    local made, tables, equal_rows, seed = 0, 0, {}, SEED
    local counts = {}
    while made < PLANTED do
      for _, case in ipairs(generate.all_types(seed, ROWS, product)) do
        edge.drop_later(NAME)
        local db = make(case)
        for _, method in ipairs(METHODS) do
          local report = verify(db, method)
          report.spool:close()
          assert.equal("equal", report.verdict)
          equal_rows[method.name] = (equal_rows[method.name] or 0) + report.rows_primary
        end
        local tab = db.schema:table("secondary", NAME)
        local wanted, count = planted.run(tab, math.min(PER_TABLE, PLANTED - made))
        for _, method in ipairs(METHODS) do
          local found = differences(db, method)
          for n, column in pairs(wanted) do
            local what = ("SEED=%d, %s: %s of row %d"):format(seed, method.name, column, n)
            local list = assert(found[n], what)
            found[n] = nil
            if column == tab.primary_key[1] then
              table.sort(list.kinds)
              assert.same({ "extra", "missing" }, list.kinds, what)
            else
              assert.same({ { "changed" }, { [column] = true } }, { list.kinds, list.columns },
                what)
            end
            counts[method.name] = (counts[method.name] or 0) + 1
          end
          assert.same({}, found)
        end
        made, tables = made + count, tables + 1
        if made >= PLANTED then break end
      end
      seed = seed + 1
    end
    for _, method in ipairs(METHODS) do
      print(("\nSEED=%d, %s: %d of %d differences found in %d tables; none in %d equal rows")
        :format(SEED, method.name, counts[method.name], made, tables, equal_rows[method.name]))
      assert.equal(made, counts[method.name])
    end
    print(("%d of %d verifications by pushdown were pushed down"):format(pushed, 2 * tables))
    assert.is_true(pushed > 0)
  end)
end)
