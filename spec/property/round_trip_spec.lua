-- Whatever rows a table of any of the supported types has: they arrive as they are, there and back,
-- and both servers' own clients say so.
--
--   SEED=n   the same tables again        ROWS=n   so many rows (default 3000)

local apply = require "dualdb.schema.apply"
local clients = require "spec.property.clients"
local generate = require "spec.property.generate"
local pair = require "spec.support.pair"
local shrink = require "spec.property.shrink"

local TABLE = "property_round_trip"
local SEED = math.tointeger(os.getenv "SEED") or os.time()
local ROWS = math.tointeger(os.getenv "ROWS") or 3000
--- Small tables, so that there are many; larger ones in the nightly form.
local ROWS_OF_A_TABLE = math.max(150, ROWS // 500)

local db, product

--- Opens the pair anew, for a table whose model says what types the secondary has.
local function open(case)
  if db then db:close() end
  local types = {}
  for _, column in ipairs(case and case.columns or {}) do types[column.name] = column.declared end
  db = pair.open { [TABLE] = { types = types } }
end

local function drop()
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute("drop table if exists " .. TABLE)
  end
end

local function same_lines(here, there, what)
  if #here ~= #there then error(("%s: %d rows and %d"):format(what, #here, #there), 0) end
  for i, line in ipairs(here) do
    if line ~= there[i] then error(("%s:\n  %s\n  %s"):format(what, line, there[i]), 0) end
  end
end

local function require_equal(model, what)
  local report = model:verify()
  local verdict, reason = report.verdict, report.reason
  report.spool:close()
  if verdict ~= "equal" then error(("%s: %s %s"):format(what, verdict, reason or ""), 0) end
end

--- There and back; raises what is wrong. Returns the number of rows.
local function round_trip(case)
  open(case)
  drop()
  clients.load(generate.sql(case, TABLE))
  db:refresh()
  apply.run(db, { TABLE })
  local model = db[TABLE]
  local synced = model:sync()
  if synced.error then error(tostring(synced.error), 0) end
  require_equal(model, "after the sync")
  local before = clients.primary(case, TABLE)
  same_lines(before, clients.secondary(case, TABLE), "the secondary's client says otherwise")

  clients.load(("delete from %s;"):format(TABLE))
  local repaired = model:repair { strategy = "secondary_wins" }
  if repaired.error then error(tostring(repaired.error), 0) end
  require_equal(model, "after the way back")
  same_lines(before, clients.primary(case, TABLE), "the primary's client says otherwise")
  return #before
end

local function why_it_fails(case)
  local ok, err = pcall(round_trip, case)
  return not ok and tostring(err) or nil
end

describe("tables of all types", function()
  setup(function()
    open()
    product = db.primary:info().product
  end)

  teardown(function()
    drop()
    db:close()
  end)

  it("hold the same rows on both sides, and after the way back", function()
    local rows, made, tables, began = 0, 0, 0, os.time()
    while made < ROWS do
      local seed = SEED + made
      local case = generate.table(seed, math.min(ROWS_OF_A_TABLE, ROWS - made), product)
      local ok, result = pcall(round_trip, case)
      if not ok then
        local smallest, why = shrink.run(case, why_it_fails)
        error(("SEED=%d ROWS=%d: %s\nthe smallest table that fails so:\n%s\n%s"):format(seed,
          #case.rows, tostring(result), generate.sql(smallest, TABLE), why), 0)
      end
      rows, made, tables = rows + result, made + #case.rows, tables + 1
    end
    assert(rows > ROWS * 0.5, ("only %d rows had keys of their own"):format(rows))
    print(("\nSEED=%d: %d rows of %d tables there and back, in %d s"):format(SEED, rows, tables,
      os.time() - began))
  end)

  it("are the same again for the same seed", function()
    local function made(seed) return generate.sql(generate.table(seed, 50, product), "t") end
    assert.equal(made(7), made(7))
    assert.not_equal(made(7), made(8))
  end)

  it("are shrunk to the one row and column that fail", function()
    local case = generate.table(11, 60, product)
    local last = #case.columns
    while case.columns[last].expression do last = last - 1 end
    local guilty = case.columns[last].name
    case.rows[37][last] = "guilty"
    local function fails(table_of)
      for at, column in ipairs(table_of.columns) do
        for _, row in ipairs(table_of.rows) do
          if column.name == guilty and row[at] == "guilty" then return "found" end
        end
      end
      return nil
    end
    local smallest, why = shrink.run(case, fails)
    assert.equal("found", why)
    assert.equal(1, #smallest.rows)
    assert.is_true(#smallest.columns <= 2)
  end)
end)
