--- What a verification is narrowed to: rows that a condition chooses, columns, rows since a time.
--- It makes the model's spec one of these rows and columns alone, and the texts that say so.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local key_range = require "dualdb.sync.key_range"
local naming = require "dualdb.naming"

local narrow = {}

---@class dualdb.Narrowing
---@field where string|table|nil   SQL for both sides, or one for each: { mysql, postgres } or
---                                { primary, secondary }
---@field columns string[]|nil     by the primary's names; those of the key are always compared
---@field since string|nil         a time in ISO text (UTC unless it says otherwise), or how long
---                                ago as 90s, 30m, 2h, 7d or 4w; by the model's watermark

local SIDES = { "primary", "secondary" }

local function fail(class, spec, message, hint)
  error(errors.make(class, ("model %s: %s"):format(spec.name, message),
    { model = spec.name, hint = hint }), 0)
end

-- ---- where ----

local function check_condition(spec, text)
  if type(text) == "string" and text:find "%S" then return text end
  return fail("usage", spec, "where: SQL expected, got " .. (type(text) == "string"
    and "an empty text" or type(text) == "nil" and "none for one of the sides"
    or "a " .. type(text)))
end

local FORMS = { mysql = "primary", postgres = "secondary", primary = "primary",
                secondary = "secondary" }

--- The person's condition on each side, and what is said of it.
local function conditions(spec, where)
  if type(where) ~= "table" then
    check_condition(spec, where)
    return { primary = where, secondary = where }, "where " .. where
  end
  local found = {}
  for name, text in pairs(where) do
    if not FORMS[name] then
      fail("usage", spec, ("where: unknown side %s"):format(tostring(name)),
        "The sides are primary and secondary, or mysql and postgres.")
    end
    found[FORMS[name]] = text
  end
  for _, side in ipairs(SIDES) do check_condition(spec, found[side]) end
  return found, ("where %s (primary), %s (secondary)"):format(found.primary, found.secondary)
end

-- ---- since ----

local UNITS = { s = 1, m = 60, h = 3600, d = 86400, w = 7 * 86400 }

--- A time as canonical text in UTC, or nil.
local function moment(text)
  local number, unit = text:match "^(%d+%.?%d*)(%a)$"
  if number then
    local now = core.wall_clock() // 1000000
    local seconds = UNITS[unit] and tonumber(number) * UNITS[unit]
    if not seconds or seconds > now then return nil end
    return (os.date("!%Y-%m-%d %H:%M:%S", now - math.tointeger(seconds // 1)))
  end
  local ok, packed = pcall(core.pack, "S", { text })
  local time = ok and core.texts("S", packed)[1]
  return time and time:match "^%d%d%d%d%-%d%d%-%d%d [%d:.]+$"
end

--- A time that does not depend on when it is asked for; what is no time stays as it is.
function narrow.absolute(since)
  return type(since) == "string" and moment(since) or since
end

--- The literal of a time for a column of a side.
local function literal(kind, column, time)
  if kind == "D" then return ("date '%s'"):format(time:sub(1, 10)) end
  if column.type == "timestamptz" then return ("timestamptz '%s+00'"):format(time) end
  return ("timestamp '%s'"):format(time)
end

local function since_conditions(spec, since)
  local name = spec.model.watermark
  if not name then
    fail("config", spec, "since: the model has no watermark",
      ("Say which column tells when a row was changed: models.%s.watermark = \"updated_at\".")
        :format(spec.name))
  end
  local index = spec.index[name]
  if not index then
    fail("config", spec, ("watermark: column %s does not exist in table %s"):format(name,
      spec.table.primary))
  end
  local column = spec.columns[index]
  if column.kind ~= "S" and column.kind ~= "D" then
    fail("config", spec, ("since: the watermark %s is %s, which is no time"):format(name,
      column.primary.column_type))
  end
  local time = type(since) == "string" and moment(since)
  if not time then
    fail("usage", spec, ("since: %s is not a time"):format(tostring(since)),
      "A time is ISO text such as 2026-01-31T12:00:00Z, or how long ago: 90s, 30m, 2h, 7d, 4w.")
  end
  local found = {}
  for _, side in ipairs(SIDES) do
    local at = side == "primary" and column.primary or column.other
    found[side] = ("%s >= %s"):format(spec.statements[side].columns[index],
      literal(column.kind, at, time))
  end
  return found, ("since %s UTC by %s"):format(time, name)
end

-- ---- columns ----

--- The indexes of the columns named and of the key's, in the model's order.
local function indexes_of(spec, columns)
  if type(columns) ~= "table" or #columns == 0 then
    fail("usage", spec, "columns: a list of column names expected")
  end
  if (spec.model.sync or {}).transform then
    fail("usage", spec, "columns: the model has a transform, which takes whole rows",
      "Compare all of its columns.")
  end
  local wanted = {}
  for _, name in ipairs(columns) do
    if not spec.index[name] then
      local near = type(name) == "string" and naming.nearest(name, spec.names)
      fail("usage", spec, ("no column %s"):format(tostring(name)),
        near and ("Did you mean %s?"):format(near))
    end
    wanted[name] = true
  end
  local indexes = {}
  for i, name in ipairs(spec.names) do
    if i <= spec.key_count or wanted[name] then indexes[#indexes + 1] = i end
  end
  return indexes
end

local function take_columns(narrowed, spec, columns)
  local indexes, kinds = indexes_of(spec, columns), {}
  narrowed.columns, narrowed.names, narrowed.index = {}, {}, {}
  for i, index in ipairs(indexes) do
    narrowed.columns[i], narrowed.names[i] = spec.columns[index], spec.names[index]
    narrowed.index[spec.names[index]], kinds[i] = i, spec.columns[index].kind
  end
  narrowed.kinds = table.concat(kinds)
  narrowed.statements = {}
  for _, side in ipairs(SIDES) do
    narrowed.statements[side] = spec.statements[side]:only(spec.statements[side]:names(indexes))
  end
  return ("columns %s"):format(table.concat(narrowed.names, ", "))
end

-- ---- together ----

--- What an earlier use of a spec has left there for its own columns.
local REMEMBERED = { "slices", "crossing", "key_crossing", "watched" }

--- A copy of a spec whose columns are to be others.
---@param spec dualdb.Spec
---@return dualdb.Spec
function narrow.copy(spec)
  local copied = {}
  for field, value in pairs(spec) do copied[field] = value end
  for _, field in ipairs(REMEMBERED) do copied[field] = nil end
  return copied
end

--- The spec whose rows end in a column that says whether the condition holds for them: 1 or 0. A
--- row and its condition have to be of one moment.
local function tested(spec)
  local result = narrow.copy(spec)
  result.kinds, result.statements = spec.kinds .. "i", {}
  for _, side in ipairs(SIDES) do
    local builder = spec.statements[side]
    local columns = table.move(builder.columns, 1, #builder.columns, 1, {})
    columns[#columns + 1] = ("case when (%s) then 1 else 0 end"):format(spec.condition[side])
    result.statements[side] = builder:only(columns)
  end
  return result
end

--- The spec of the rows and columns that are compared, and the texts that say what they are. Of it,
--- `whole` is the model's, and `condition` what chooses the rows, by side.
---@param spec dualdb.Spec
---@param options dualdb.Narrowing
---@return dualdb.Spec, string[]
function narrow.spec(spec, options)
  local texts, condition = {}, nil
  local function choose(found, text)
    texts[#texts + 1] = text
    condition = condition or {}
    for _, side in ipairs(SIDES) do
      condition[side] = key_range.both(condition[side], found[side])
    end
  end
  local narrowed = narrow.copy(spec)
  if options.where ~= nil then choose(conditions(spec, options.where)) end
  if options.columns ~= nil then
    texts[#texts + 1] = take_columns(narrowed, spec, options.columns)
  end
  if options.since ~= nil then choose(since_conditions(spec, options.since)) end
  if #texts == 0 then return spec, texts end
  narrowed.whole = spec
  if condition then
    narrowed.condition, narrowed.filter = condition, {}
    for _, side in ipairs(SIDES) do
      narrowed.filter[side] = key_range.both(spec.filter[side], condition[side])
    end
    narrowed.tested = tested(narrowed)
  end
  return narrowed, texts
end

--- Takes a row of `tested` apart: the row, and whether the condition holds for it.
---@param spec dualdb.Spec
---@param packed string|nil
---@return string|nil, boolean
function narrow.test(spec, packed)
  if not packed then return nil, false end
  return core.prefix(packed, #spec.kinds), packed:byte(-1) == 1
end

return narrow
