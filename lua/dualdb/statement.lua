--- The statement of one repair: run with bound parameters, or written with its values for a person
--- or for a file.

local core = require "dualdb.core"
local guard = require "dualdb.repair.guard"
local literal = require "dualdb.repair.literal"
local row = require "dualdb.row"

local statement = {}

---@class dualdb.Change
---@field along string[]|nil    of a delete: statements that bring back what it takes along
---@field side "primary"|"secondary"
---@field action "insert"|"update"|"delete"|"restore"   restore inserts, unless the key is there
---@field row string|nil        canonical row that shall be there
---@field from string|nil       canonical row that is there
---@field guard "seen"|"written"|nil   the row changes only while it is `from`: as it was read,
---                                    or as dualdb wrote it
---@field more { names: string[], literals: string[] }|nil   of a delete or a restore: columns that
---                                                          the model does not have

--- An update sets only what differs, and what the primary would otherwise set by itself.
local function indexes_of(spec, change)
  local writable = row.writable(spec, change.side)
  if change.action ~= "update" then return writable end
  local differs, indexes = {}, {}
  for _, i in ipairs(core.differing(change.from, change.row)) do differs[i] = true end
  for _, i in ipairs(writable) do
    local sets_itself = change.side == "primary" and spec.columns[i].primary.on_update
    if differs[i] or sets_itself then indexes[#indexes + 1] = i end
  end
  return indexes
end

--- The columns in which two rows differ, when a side computes all of them by itself, so that no
--- statement gives it other values.
---@param side "primary"|"secondary"
---@param a string
---@param b string
---@return string|nil   names, with commas between
function statement.computed(spec, side, a, b)
  local writable, names = {}, {}
  for _, i in ipairs(row.writable(spec, side)) do writable[i] = true end
  for _, i in ipairs(core.differing(a, b)) do
    if writable[i] then return nil end
    names[#names + 1] = spec.names[i]
  end
  return #names > 0 and table.concat(names, ", ") or nil
end

--- Of an update: the columns that it changes. A delete takes the whole row, which has to be it.
local function guarded(change, indexes)
  if change.action == "delete" then return indexes end
  local differs, list = {}, {}
  for _, i in ipairs(core.differing(change.from, change.row)) do differs[i] = true end
  for _, i in ipairs(indexes) do
    if differs[i] then list[#list + 1] = i end
  end
  return list
end

--- Text, kinds and parameters of the conditions, of which the key's own is there already.
local function conditions(spec, change, indexes)
  if not change.guard or not change.from then return "", "", "" end
  local fields = core.fields(change.from)
  local texts, kinds, params = {}, {}, {}
  for _, i in ipairs(guarded(change, indexes)) do
    if i > spec.key_count then
      local text, kind, param = guard.condition(spec, change.side, i, fields[i],
        change.guard == "written")
      texts[#texts + 1] = text and " and " .. text
      if kind then kinds[#kinds + 1], params[#params + 1] = kind, param end
    end
  end
  return table.concat(texts), table.concat(kinds), table.concat(params)
end

--- SQL with placeholders, kinds and packed parameters of a change, and the number of the first
--- parameter that is compared with a column.
---@param change dualdb.Change
---@param key string   canonical
---@return string, string, string, integer
function statement.build(spec, change, key)
  local builder = spec.statements[change.side]
  local names, kinds = {}, {}
  local indexes = indexes_of(spec, change)
  local more, more_kinds, more_params = conditions(spec, change, indexes)
  if change.action == "delete" then
    return builder:delete() .. more, spec.key_kinds .. more_kinds, key .. more_params, 1
  end
  for i, index in ipairs(indexes) do
    names[i], kinds[i] = builder.columns[index], spec.columns[index].kind
  end
  if change.action == "insert" then
    return builder:insert(names), table.concat(kinds), row.pick(change.row, indexes), #names + 1
  end
  local text
  if change.action == "restore" then
    text = builder:insert_unless_there(names, change.more and change.more.names)
  else
    text = builder:update(names) .. more
  end
  return text, table.concat(kinds) .. spec.key_kinds .. more_kinds,
    row.pick(change.row, indexes, key) .. more_params, #names + 1
end

--- Runs a change; a write that does not meet exactly one row is a conflict.
function statement.run(conn, spec, change, key)
  local text, kinds, packed = statement.build(spec, change, key)
  local result = conn:put(text, kinds, packed)
  if result.affected ~= 1 then
    require("dualdb.errors").raise("conflict", "%s affected %d rows of the %s instead of one",
      change.action, result.affected, change.side)
  end
end

-- ---- for people and files ----

--- Writes the statement of a change with its values in it, in parts: of a row of megabytes there is
--- no second copy.
---@param change dualdb.Change
---@param key string            canonical
---@param write fun(text: string)
function statement.write(spec, change, key, write)
  local driver = spec.statements[change.side].driver
  local text, kinds, packed, compared = statement.build(spec, change, key)
  local values, i = core.texts(kinds, packed), 0
  local more, stored = change.more and change.more.literals or {}, 0
  -- Quoted names may hold question marks; the builder's placeholders stand alone.
  statement.substitute(driver, text, write, function()
    if i == compared - 1 and stored < #more then
      stored = stored + 1
      return more[stored]
    end
    i = i + 1
    local value = values[i]
    values[i] = false
    return literal.of(driver, kinds:sub(i, i), value, i >= compared)
  end)
  write(";")
end

--- The same as one text.
---@return string
function statement.render(spec, change, key)
  local parts = {}
  statement.write(spec, change, key, function(part) parts[#parts + 1] = part end)
  return table.concat(parts)
end

--- Writes the text in parts, each placeholder outside quoted names as what `value()` returns.
---@param write fun(text: string)
---@param value fun(): string
function statement.substitute(driver, text, write, value)
  local quote = driver == "mysql" and "`" or '"'
  local at = 1
  while true do
    local stop = text:find("[?" .. quote .. "]", at)
    if not stop then break end
    if stop > at then write(text:sub(at, stop - 1)) end
    if text:sub(stop, stop) == "?" then
      write(value())
      at = stop + 1
    else
      local close = text:find(quote, stop + 1, true)
      write(text:sub(stop, close))
      at = close + 1
    end
  end
  if at <= #text then write(text:sub(at)) end
end

return statement
