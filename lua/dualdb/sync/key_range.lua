--- A range of keys of a table: where a lane has got to in it, and where it ends. Bounds are packed
--- values of the key's first columns, of one or of all; no bound is nil. A range goes from behind
--- `reached` through `through`.

local core = require "dualdb.core"

local key_range = {}

---@class dualdb.KeyRange
---@field id integer              within its table
---@field reached string|nil      the last key that was copied, packed
---@field through string|nil      the last key of the range, packed
---@field done boolean
---@field merged boolean|nil      the chunk of it that failed last was merged, see sync/merge.lua
---@field waits boolean|nil       rows of it wait for others

--- Kinds whose packed values have one width and rise as the bytes do, so that there is a middle.
local EVEN = { i = true, D = true, S = true }
--- Bytes of these with the length before them. A value that its kind does not have is of another.
local WIDTHS = { [4 + 9] = true, [4 + 4] = true, [4 + 8] = true }

-- ---- conditions ----

--- What a bound says of the first columns: "beyond" it, or "through" it. Written as a union of
--- ranges, each of which an index of the key can be entered by.
local function union(builder, fields, kinds, beyond)
  local branches, letters, values = {}, {}, {}
  for last = #fields, 1, -1 do
    local parts = {}
    for i = 1, last do
      local operator = "="
      if i == last then
        operator = beyond and ">" or (last == #fields and "<=" or "<")
      end
      local name = builder.columns[i]
      parts[i] = ("%s %s %s"):format(name, operator, builder:mark(name))
      letters[#letters + 1], values[#values + 1] = kinds:sub(i, i), fields[i]
    end
    branches[#branches + 1] = "(" .. table.concat(parts, " and ") .. ")"
  end
  return "(" .. table.concat(branches, " or ") .. ")", table.concat(letters), table.concat(values)
end

--- The condition of a range with bound parameters: its text (nil when there is none), and their
--- kinds and values.
---@param builder dualdb.Statements
---@param kinds string            of the key
---@param reached string|nil
---@param through string|nil
---@return string|nil, string, string
function key_range.condition(builder, kinds, reached, through)
  local parts, letters, values = {}, "", ""
  for i = 1, 2 do
    local bound = i == 1 and reached or i == 2 and through
    if bound then
      local text, more, packed = union(builder, core.fields(bound), kinds, i == 1)
      parts[#parts + 1], letters, values = text, letters .. more, values .. packed
    end
  end
  return parts[1] and table.concat(parts, " and "), letters, values
end

--- A bound's values as the secondary reads them.
local function literals(kinds, bound)
  local count = #core.fields(bound)
  local texts = core.texts(kinds:sub(1, count), bound)
  for i, value in ipairs(core.unpack(kinds:sub(1, count), bound)) do
    if kinds:sub(i, i) == "x" then
      texts[i] = "\\x" .. value:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)
    end
  end
  return texts
end

--- A range is a part of the table that is read in the order of its key: by the index, whose pages
--- are next to each other. The planner takes single pages for dear, and would rather sort what is
--- read, with helpers that cost more to start than a chunk takes.
local PLAN = "set_config('random_page_cost', current_setting('seq_page_cost'), true), "
  .. "set_config('max_parallel_workers_per_gather', '0', true)"

local SET = "set_config('dualdb.%s_%d', ?, true)"
local GET = "current_setting('dualdb.%s_%d')::%s"

--- The same for a statement of the secondary that takes no parameters, as COPY: the bounds are put
--- into settings of the transaction, beside those for a plan that fits a range. Returns the
--- condition, nil when there is none, and the statement that sets them with its values, nil when
--- there is nothing to set.
---@param spec dualdb.Spec
---@return string|nil, string|nil, string[]
function key_range.settings(spec, reached, through)
  local builder, parts, sets, values = spec.statements.secondary, {}, {}, {}
  for _, entry in ipairs { { "low", ">", reached }, { "high", "<=", through } } do
    local name, operator, bound = entry[1], entry[2], entry[3]
    if bound then
      local columns, marks = {}, {}
      for i, text in ipairs(literals(spec.key_kinds, bound)) do
        columns[i] = builder.columns[i]
        marks[i] = GET:format(name, i, spec.columns[i].other.column_type)
        sets[#sets + 1], values[#values + 1] = SET:format(name, i), text
      end
      parts[#parts + 1] = ("(%s) %s (%s)"):format(table.concat(columns, ", "), operator,
        table.concat(marks, ", "))
    end
  end
  if #parts == 0 then return nil, nil, values end
  return table.concat(parts, " and "), ("select %s, %s"):format(PLAN, table.concat(sets, ", ")),
    values
end

--- Two conditions as one; either may be nil.
---@param a string|nil
---@param b string|nil
---@return string|nil
function key_range.both(a, b)
  if a and b then return ("(%s) and (%s)"):format(a, b) end
  return a or b
end

-- ---- splitting ----

--- Whether ranges of this key can be split by the values of its first column.
---@param key_kinds string
function key_range.splits(key_kinds)
  return EVEN[key_kinds:sub(1, 1)] or false
end

--- The value in the middle of two packed values; nil when there is none between them, or one of
--- them is none of its kind, as a zero date.
---@param low string
---@param high string
---@return string|nil
function key_range.middle(low, high)
  if low >= high or #low ~= #high or not WIDTHS[#low] then return nil end
  local length = low:sub(1, 4)  -- of the field, the same in both
  local sum, carry = {}, 0
  for i = #low, 5, -1 do
    local digit = low:byte(i) + high:byte(i) + carry
    sum[i - 4], carry = digit % 256, digit // 256
  end
  for i, digit in ipairs(sum) do
    sum[i], carry = (carry * 256 + digit) // 2, digit % 2
  end
  local middle = length .. string.char(table.unpack(sum))
  return middle > low and middle < high and middle or nil
end

--- The least and the greatest value of the first column in a range; nil when it has no rows.
---@param conn any                a connection of the side that is read
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@param range dualdb.KeyRange
---@return string|nil, string|nil
function key_range.ends(conn, spec, side, range)
  local builder, kind = spec.statements[side], spec.key_kinds:sub(1, 1)
  local condition, kinds, values = key_range.condition(builder, spec.key_kinds, range.reached,
    range.through)
  local where = condition and " where " .. condition or ""
  local name, found = builder.columns[1], {}
  for i, order in ipairs { "", " desc" } do
    found[i] = conn:fetch(("select %s from %s%s order by %s%s limit 1"):format(name, builder.table,
      where, name, order), kinds, values, kind)[1]
  end
  return found[1], found[2]
end

--- Cuts a range in two: it keeps the lower half, and the upper one is returned with the given id;
--- nil when there is nothing to cut.
---@param range dualdb.KeyRange
---@param low string              packed values of the first column, the ends of what is left
---@param high string
---@param id integer
---@return dualdb.KeyRange|nil
function key_range.split(range, low, high, id)
  local middle = key_range.middle(low, high)
  if not middle then return nil end
  local upper = { id = id, reached = middle, through = range.through, done = false }
  range.through = middle
  return upper
end

return key_range
