--- What differs between a model's columns on the two sides.

local defaults = require "dualdb.schema.defaults"
local errors = require "dualdb.errors"
local pairing = require "dualdb.schema.pairing"
local types = require "dualdb.schema.types"

local diff_columns = {}

-- ---- types ----

local function check_type(context, column, other)
  local ok, err = pcall(pairing.fit, context.model, column, other, context.other.name)
  if ok then return true end
  if not (errors.is(err) and err.class == "schema") then error(err, 0) end
  context.add("type", {
    name = column.name, primary = column.primary.column_type, secondary = other.column_type,
    message = err.message:gsub("^model .-: ", ""),
    hint = ("`dualdb schema ddl` makes column %s %s."):format(column.name,
      column.type or types.of(column.primary, column.kind)),
  })
  return false
end

-- ---- defaults ----

--- In a column's own type, and in the same session, these are the same.
local NOW = {
  now = "now", transaction_timestamp = "now", current_timestamp = "now", localtimestamp = "now",
  current_date = "today", current_time = "clock", localtime = "clock",
}

--- Which present moment the expression gives, without what only casts it; nil when it gives none.
local function moment(expression)
  local text = expression:lower()
  while true do
    local inner = text:match("^%(?(.-)%)?::[%a][%w ]*%(?%d*%)?[%w ]*$")
    if not inner then break end
    text = inner
  end
  return NOW[text:match("^([%a_]+)%(?%d*%)?$")]
end

--- Whether the expression is a literal, which can be evaluated without doing anything.
local function is_literal(expression)
  local text = expression
  while true do
    local inner = text:match("^(.+)::[%a\"][%w_ \".]*%(?[%d,]*%)?[%w ]*$")
    if not inner then break end
    text = inner:match("^%((.*)%)$") or inner
  end
  text = text:match("^%((.*)%)$") or text
  if text:find("^%-?[%d.]+[eE]?[-+]?%d*$") or text == "true" or text == "false" then return true end
  local body = text:match("^E?'(.*)'$")
  if not body then return false end
  if text:sub(1, 1) == "E" then body = body:gsub("\\.", "") end
  return not body:gsub("''", ""):find("'", 1, true)
end

local function same_default(context, wanted, has, column)
  if not (is_literal(wanted) and is_literal(has)) then
    local name = moment(wanted)
    return name ~= nil and name == moment(has)
  end
  -- By the server's own words for the values: 1.5 is 1.50, and '1' is 1.
  local compared = column.kind == "j" and "jsonb" or column.other.column_type
  local ok, rows = pcall(context.db.secondary.query, context.db.secondary,
    ("select (%s)::%s::text is not distinct from (%s)::%s::text as same"):format(wanted, compared,
      has, compared))
  if not ok and errors.is(rows) and rows.class == "unavailable" then error(rows, 0) end
  return ok and rows[1].same
end

local function check_default(context, column, other)
  local here = column.primary
  if here.auto_increment or here.generated or other.generated or other.identity or other.sequence
  then
    return
  end
  if here.on_update then
    context.note(("column %s is set by each update on the primary, not on the secondary")
      :format(column.name))
  end
  local has = other.default
  if has and has:find("^NULL") then has = nil end
  local wanted, why = defaults.translate(here, column.kind, context.product)
  if why then
    context.note(("the default %s of column %s is not compared: %s"):format(here.default,
      column.name, why))
  elseif (wanted or has) and not (wanted and has and same_default(context, wanted, has, column))
  then
    context.add("default", {
      name = column.name, primary = wanted or "none", secondary = has or "none",
      message = ("column %s has the default %s on the primary and %s on the secondary"):format(
        column.name, wanted or "none", has or "none"),
    })
  end
end

-- ---- labels of enums ----

--- The labels of a check that allows these and nothing else: c = ANY (ARRAY['a'::text, ...]).
local function labels_of(clause)
  local list = clause:match("= ANY %(.-ARRAY%[(.*)%]") or clause:match("%) = (.*)%)$")
    or clause:match(" = (.*)%)$")
  if not list or clause:find(" <> ", 1, true) and not clause:find("= ANY", 1, true) then
    return nil
  end
  local labels, at = {}, 1
  while true do
    local start = list:find("'", at, true)
    if not start then break end
    local escaped = list:sub(start - 1, start - 1) == "E"
    local parts, from = {}, start + 1
    while true do
      local stop = list:find("'", from, true)
      if not stop then return nil end
      parts[#parts + 1] = list:sub(from, stop - 1)
      from = stop + 1
      if list:sub(from, from) ~= "'" then break end
      parts[#parts + 1], from = "'", from + 1
    end
    local label = table.concat(parts)
    labels[#labels + 1] = escaped and label:gsub("\\(.)", "%1") or label
    at = from
  end
  return labels
end

--- As one text. The empty one counts for nothing: it is what a value of no label reads as.
local function as_set(list)
  local sorted = {}
  for _, label in ipairs(list) do
    if label ~= "" then sorted[#sorted + 1] = label end
  end
  table.sort(sorted)
  return table.concat(sorted, ", ")
end

local function check_labels(context, column, other)
  if not column.primary.labels then return end
  for _, label in ipairs(column.primary.labels) do
    if defaults.is_uncertain(label) then
      context.note(("the labels of column %s are not compared: %s"):format(column.name,
        defaults.UNCERTAIN))
      return
    end
  end
  local labels = other.labels
  for _, check in ipairs(context.other.checks) do
    if not labels and check.column == other.name then
      labels = labels_of(check.clause)
      check.compared = labels ~= nil
    end
  end
  local wanted = as_set(column.primary.labels)
  if labels and as_set(labels) == wanted then return end
  context.add("labels", {
    name = column.name, primary = wanted, secondary = labels and as_set(labels) or "any",
    message = ("column %s has the labels %s on the primary and %s on the secondary"):format(
      column.name, wanted, labels and as_set(labels) or "any"),
  })
end

--- What schema/ddl.lua gives a year, because the primary would take 5 for 2005.
local function check_year(context, column, other)
  if column.primary.type ~= "year" then return end
  for _, check in ipairs(context.other.checks) do
    if check.column == other.name and check.clause:find("1901", 1, true) then
      check.compared = true
    end
  end
end

-- ---- one column ----

--- Without the same one the next key cannot come from the secondary.
local function check_counting(context, column, other)
  local here, there = column.primary.auto_increment, other.identity ~= nil or other.sequence ~= nil
  if here == there then return end
  context.add("identity", {
    name = column.name, primary = here and "auto_increment" or "none",
    secondary = there and "a sequence" or "none",
    message = ("column %s counts up on the %s alone"):format(column.name,
      here and "primary" or "secondary"),
    hint = here and not there and ("Give it `generated by default as identity`, or the default of "
      .. "a sequence that it owns.") or nil,
  })
end

local function check_null(context, column, other)
  if column.primary.nullable == other.nullable then return end
  local function word(nullable) return nullable and "null" or "not null" end
  context.add("not null", {
    name = column.name, primary = word(column.primary.nullable),
    secondary = word(other.nullable),
    message = ("column %s is %s on the primary and %s on the secondary"):format(column.name,
      word(column.primary.nullable), word(other.nullable)),
  })
end

local function check_comment(context, what, here, there)
  if (here or "") ~= (there or "") then
    context.note(("the comment of %s is not the same"):format(what))
  end
end

--- Compares the columns. Those that have a counterpart get it as `other`.
---@param context table   of schema/diff.lua
function diff_columns.run(context)
  local covered = {}
  for _, column in ipairs(context.columns) do
    local other = context.other.column[column.secondary]
    covered[column.secondary] = true
    if not other then
      context.add("column", {
        name = column.name, primary = column.primary.column_type, secondary = "missing",
        message = ("column %s has no counterpart %s on the secondary"):format(column.name,
          column.secondary),
      })
    elseif check_type(context, column, other) then
      check_null(context, column, other)
      check_counting(context, column, other)
      check_default(context, column, other)
      check_labels(context, column, other)
      check_year(context, column, other)
      check_comment(context, "column " .. column.name, column.primary.comment, other.comment)
    end
  end
  for _, other in ipairs(context.other.columns) do
    if not covered[other.name] then
      context.add("column", {
        name = other.name, primary = "missing", secondary = other.column_type,
        message = ("column %s is on the secondary alone"):format(other.name),
      })
    end
  end
  check_comment(context, "the table", context.tab.comment, context.other.comment)
end

return diff_columns
