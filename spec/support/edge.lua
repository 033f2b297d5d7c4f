--- An edge case on the real servers: a table that the servers' own client makes and fills, that
--- dualdb takes to the other side and back, and that both clients judge.
---
---     before_each(edge.before_each)
---     after_each(edge.after_each)

local apply = require "dualdb.schema.apply"
local assert = require "luassert"
local clients = require "spec.support.clients"
local pair = require "spec.support.pair"
local servers = require "spec.support.servers"

local edge = {}

local db
local made = {}

local function drop_all()
  if db then db:close() end
  db = nil
  for i = #made, 1, -1 do
    clients.run("mysql", ("set lock_wait_timeout = 10; drop table if exists `%s`"):format(made[i]))
    clients.run("postgres", ('set lock_timeout = 10000; drop table if exists "%s" cascade'):format(
      made[i]))
    made[i] = nil
  end
  clients.run("postgres", "drop table if exists dualdb_quarantine")
end

--- What the spec undoes itself, as the end of a server, is undone before its tables are dropped.
function edge.before_each()
  servers.before_each()
  servers.finally(drop_all)
end

edge.after_each = servers.after_each

--- Takes note of a table, which is gone on both sides now and after the spec.
---@param name string
function edge.drop_later(name)
  made[#made + 1] = name
  clients.run("mysql", ("drop table if exists `%s`"):format(name))
  clients.run("postgres", ('drop table if exists "%s" cascade'):format(name))
end

--- Opens the pair with these models; it is closed after the spec.
---@param models table<string, table>
---@param settings table|nil
---@return dualdb.Database
function edge.pair(models, settings)
  if db then db:close() end
  db = pair.open(models, settings)
  return db
end

---@class spec.Edge
---@field mysql string          the columns of the table
---@field postgres string|nil   those of the secondary's; default: schema apply makes it
---@field rows string[]         literals of the primary
---@field model table|nil       more of the model: types, policies, ...
---@field shown table[]|nil     per column: what each client is asked for; default: the text's bytes
---@field mode string|nil       sql_mode of the client that inserts the rows

edge.NAME = "spec_edge"

--- A table `spec_edge` with a column v more, the number of the row, made by the clients.
---@param case spec.Edge
---@return dualdb.Model, dualdb.Database
function edge.open(case)
  edge.drop_later(edge.NAME)
  local rows = {}
  for i, literals in ipairs(case.rows) do rows[i] = ("(%s, %d)"):format(literals, i) end
  clients.run("mysql", ("create table %s (%s, v int not null) character set utf8mb4")
    :format(edge.NAME, case.mysql))
  if case.postgres then
    clients.run("postgres", ("create table %s (%s, v int not null); "
      .. "alter table %s owner to dualdb"):format(edge.NAME, case.postgres, edge.NAME))
  end
  for from = 1, #rows, 1000 do
    clients.run("mysql", ("set sql_mode = '%s';\ninsert into %s values %s"):format(
      case.mode or "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION", edge.NAME,
      table.concat(rows, ", ", from, math.min(from + 999, #rows))))
  end
  local model = { table = edge.NAME }
  for name, value in pairs(case.model or {}) do model[name] = value end
  edge.pair { T = model }
  if not case.postgres then apply.run(db, { "T" }) end
  return db.T, db
end

-- ---- what the clients say ----

--- The bytes of a text, on both sides.
function edge.text(name)
  return { ("hex(convert(%s using utf8mb4))"):format(name),
           ("upper(encode(convert_to(%s::text, 'UTF8'), 'hex'))"):format(name) }
end

function edge.bytes(name)
  return { ("hex(%s)"):format(name), ("upper(encode(%s, 'hex'))"):format(name) }
end

function edge.plain(name) return { name, name } end

function edge.moment(name)
  return { ("date_format(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')"):format(name),
           ("to_char(%s, 'YYYY-MM-DD HH24:MI:SS.US')"):format(name) }
end

--- A list in which each column is shown in the same way.
function edge.all(form, ...)
  local list = {}
  for i, name in ipairs { ... } do list[i] = form(name) end
  return list
end

--- What a client shows of spec_edge, in the order of v.
---@param driver "mysql"|"postgres"
---@param shown table[]
---@return string[][]
function edge.rows(driver, shown)
  local list = {}
  for i, forms in ipairs(shown) do list[i] = forms[driver == "mysql" and 1 or 2] end
  return clients.rows(driver, ("select v, %s from %s order by v"):format(table.concat(list, ", "),
    edge.NAME))
end

--- Both clients show the same; returns that.
---@return string[][]
function edge.agree(shown)
  local here, there = edge.rows("mysql", shown), edge.rows("postgres", shown)
  if #here ~= #there then error(("%d rows and %d"):format(#here, #there), 2) end
  for i, row in ipairs(here) do
    for j, text in ipairs(row) do
      if text ~= there[i][j] then
        error(("row %d, column %d: mysql shows %s, postgres %s"):format(i, j - 1, text:sub(1, 200),
          tostring(there[i][j]):sub(1, 200)), 2)
      end
    end
  end
  return here
end

local function require_equal(what, a, b)
  if a ~= b then error(("%s: %s, not %s"):format(what, tostring(a), tostring(b)), 3) end
end

--- Verifies, and fails unless the verdict is this.
---@return dualdb.Report
function edge.verify(model, verdict)
  local report = model:verify()
  if report.spool then report.spool:close() end
  require_equal(("verdict (%s)"):format(report.reason or "no reason"), report.verdict, verdict)
  return report
end

--- The whole way: the rows arrive, are equal, are the same again after the way back, and what is
--- planted into the first and the last row is found and mended. Returns what the clients show.
---@param case spec.Edge
---@return string[][]
function edge.there_and_back(case)
  local model = edge.open(case)
  local count, shown = #case.rows, case.shown
  local synced = model:sync()
  require_equal("rows written", synced.rows_written, count)
  require_equal("rows in quarantine", synced.quarantined, 0)
  local before = edge.agree(shown)
  require_equal("rows on the secondary", #before, count)
  edge.verify(model, "equal")
  require_equal("rows written again", model:sync().rows_written, 0)

  clients.run("mysql", "delete from " .. edge.NAME)
  require_equal("rows brought back", model:repair { strategy = "secondary_wins" }.applied, count)
  assert.same(before, edge.agree(shown))
  edge.verify(model, "equal")

  clients.run("postgres", ("update %s set v = v + 100000 where v = 1; delete from %s where v = %d")
    :format(edge.NAME, edge.NAME, count))
  local report = edge.verify(model, "different")
  local last_alone = count > 1 and 1 or 0
  require_equal("changed", report.changed, 1)
  require_equal("missing", report.missing, last_alone)
  require_equal("repaired", model:repair().applied, 1 + last_alone)
  assert.same(before, edge.agree(shown))
  edge.verify(model, "equal")
  return before
end

return edge
