--- What differs between a model's check constraints and computed columns on the two sides. The
--- secondary writes both in its own words first: what was translated, and what it has.

local errors = require "dualdb.errors"
local expression = require "dualdb.schema.expression"

local diff_expressions = {}

-- ---- in the server's own words ----

local SCRATCH = "pg_temp.dualdb_compared"

local WORDS = [[
select k.conname::text as name, pg_get_expr(k.conbin, k.conrelid) as words
from pg_constraint k where k.conrelid = 'pg_temp.dualdb_compared'::regclass and k.contype = 'c'
union all
select a.attname::text, pg_get_expr(d.adbin, d.adrelid)
from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
where d.adrelid = 'pg_temp.dualdb_compared'::regclass]]

--- Runs fn(conn) in a transaction of which nothing is left.
local function in_vain(side, fn)
  local done, result = {}, nil
  local ok, err = pcall(side.transaction, side, function(conn)
    result = fn(conn)
    error(done, 0)
  end)
  if not ok and err ~= done then error(err, 0) end
  return result
end

--- Gives each of the list `words`, as the secondary would keep it, on a table without rows that is
--- gone again. What it would refuse gets none.
---@param list { sql: string, type: string|nil, words: string|nil }[]   a type: of a computed column
local function normalize(context, list)
  local side = context.db.secondary
  local by_name = in_vain(side, function(conn)
    conn:execute(("create temporary table dualdb_compared (like %s)"):format(
      side:quote(context.other.name)))
    for i, entry in ipairs(list) do
      local format = entry.type
        and ("add column dualdb_%d %s generated always as (%s) stored"):format(i, entry.type,
          entry.sql)
        or ("add constraint dualdb_%d check (%s)"):format(i, entry.sql)
      conn:execute("savepoint dualdb_one")
      local ok, err = pcall(conn.execute, conn, ("alter table %s %s"):format(SCRATCH, format))
      if not ok then
        if not errors.is(err) or err.class == "unavailable" then error(err, 0) end
        conn:execute("rollback to savepoint dualdb_one")
      end
    end
    local found = {}
    for _, row in ipairs(conn:query(WORDS)) do found[row.name] = row.words end
    return found
  end)
  for i, entry in ipairs(list) do entry.words = by_name["dualdb_" .. i] end
end

-- ---- checks ----

local function find_check(context, entry)
  for _, has in ipairs(context.other.checks) do
    if entry.words == has.clause then return has end
  end
  return nil
end

local function compare_check(context, check, entry)
  local same = find_check(context, entry)
  if same then
    same.compared = true
    return
  end
  local named
  for _, has in ipairs(context.other.checks) do
    if has.name == check.name then named = has end
  end
  if named then named.compared = true end
  local secondary = context.db.secondary
  context.add("check", {
    name = check.name, primary = check.clause, secondary = named and named.clause or "missing",
    message = named
      and ("check constraint %s is %s on the primary and %s on the secondary"):format(check.name,
        check.clause, named.clause)
      or ("check constraint %s is on the primary alone: %s"):format(check.name, check.clause),
    hint = ("`alter table %s add constraint %s check (%s)` on the secondary."):format(
      secondary:quote(context.other.name), secondary:quote(check.name), entry.sql),
  })
end

-- ---- computed columns ----

local function compare_computed(context, column, entry)
  local name, has = column.name, column.other.default
  if not column.other.generated then
    context.add("generated", {
      name = name, primary = "computed", secondary = "a plain column",
      message = ("column %s is computed on the primary and a plain column on the secondary, which "
        .. "could compute it too"):format(name),
      hint = ("`dualdb schema ddl` makes it %s generated always as (%s) stored."):format(
        column.other.column_type, entry.sql),
    })
  elseif entry.words ~= has then
    context.add("generated", {
      name = name, primary = column.primary.expression, secondary = has,
      message = ("column %s is computed from %s on the primary and from %s on the secondary")
        :format(name, column.primary.expression, has),
    })
  end
end

--- A column that only one side computes, or whose expression is not translated.
local function note_computed(context, column, why)
  if column.other.generated then
    context.note(("what column %s is computed from is not compared: %s"):format(column.name, why))
  else
    context.note(("column %s is computed on the primary and a plain column on the secondary, where "
      .. "it has the value that is copied: %s"):format(column.name, why))
  end
end

-- ---- all of it ----

local function expression_table(context)
  local tab = {
    model = context.model, columns = context.by_name, types = {}, product = context.product,
    foreign_keys = context.tab.foreign_keys,
  }
  for _, column in ipairs(context.columns) do tab.types[column.name] = column.other end
  return tab
end

--- What has to be compared, and by what; the rest is noted.
local function collect(context)
  local tab, list = expression_table(context), {}
  for _, check in ipairs(context.tab.checks) do
    local sql, why = expression.check(tab, check)
    if sql then
      list[#list + 1] = {
        sql = sql, compare = function(entry) compare_check(context, check, entry) end,
      }
    else
      context.note(("check constraint %s of the primary is not carried: %s: %s"):format(check.name,
        why, check.clause))
    end
  end
  for _, column in ipairs(context.columns) do
    if column.other and column.primary.generated then
      local sql, why = expression.computed(tab, column)
      if sql then
        list[#list + 1] = {
          sql = sql, type = column.other.column_type,
          compare = function(entry) compare_computed(context, column, entry) end,
        }
      else
        note_computed(context, column, why)
      end
    elseif column.other and column.other.generated then
      context.add("generated", {
        name = column.name, primary = "a plain column", secondary = "computed",
        message = ("column %s is a plain column on the primary and computed on the secondary")
          :format(column.name),
      })
    end
  end
  return list
end

--- Compares check constraints and computed columns, after the columns.
---@param context table   of schema/diff.lua
function diff_expressions.run(context)
  local list = collect(context)
  if #list > 0 then
    local ok, err = pcall(normalize, context, list)
    if not ok then
      if not errors.is(err) or err.class == "unavailable" then error(err, 0) end
      context.note(("check constraints and computed columns are not compared: %s"):format(
        err.message))
      return
    end
  end
  for _, entry in ipairs(list) do entry:compare() end
  for _, check in ipairs(context.other.checks) do
    if not check.compared then
      context.note(("check constraint %s is on the secondary, and not compared: %s"):format(
        check.name, check.clause))
    end
  end
end

return diff_expressions
