--- Plants differences: changes single values of a table on the secondary by as little as their type
--- can differ. Only the server's own client writes, and says what has changed.

local clients = require "spec.support.clients"

local planted = {}

--- The value of the nth character with its last bit turned, or a text that was empty.
local FLIPPED_TEXT = "case when char_length(%s) = 0 then 'a' else overlay(%s::text placing "
  .. "chr(ascii(substr(%s::text, 1 + n % char_length(%s), 1)) # 1) "
  .. "from 1 + n % char_length(%s)) end"
--- Another JSON document: the last digit turned, or a word, or a letter more in a string.
local FLIPPED_JSON = [[(select case
  when t ~ '\d' then overlay(t placing chr(ascii(substr(t, p, 1)) # 1) from p)
  when t ~ 'true' then regexp_replace(t, 'true', 'false')
  when t ~ 'false' then regexp_replace(t, 'false', 'true')
  when t ~ '"' then regexp_replace(t, '"([^"]*)$', 'a"\1')
  when t ~ 'null' then regexp_replace(t, 'null', 'false')
  when t ~ '\[\]' then regexp_replace(t, '\[\]', '[null]')
  else regexp_replace(t, '\{\}', '{"a": null}') end
  from (select %s::text as t, length(%s::text) - length(substring(%s::text from '\D*$')) as p) _)]]

local function repeated(form)
  return function(name) return (form:gsub("%%s", name)) end
end

--- Up or down by the least that the column's precision shows.
local function stepped(middle, unit)
  return function(name, column)
    local digits = tonumber(column.column_type:match "%((%d)%)") or 6
    local step = unit:format(math.tointeger(10 ^ (6 - digits)))
    return ("case when %s > %s then %s - %s else %s + %s end"):format(name, middle, name, step,
      name, step)
  end
end

local function decimal(name, column)
  local scale = tonumber(column.column_type:match "%(%d+,%s*(%d+)%)") or 0
  local unit = scale == 0 and "1" or "0." .. ("0"):rep(scale - 1) .. "1"
  return ("case when %s > 0 then %s - %s else %s + %s end"):format(name, name, unit, name, unit)
end

local MICROSECONDS = "%d * interval '1 microsecond'"

--- Per type of the secondary: another value instead of a column's, and one instead of null.
local FLIPS = {
  bool = { repeated "not %s", "false" },
  int2 = { repeated "%s # 1::int2", "0" }, int4 = { repeated "%s # 1", "0" },
  int8 = { repeated "%s # 1", "0" }, numeric = { decimal, "0" },
  text = { repeated(FLIPPED_TEXT), "''" }, varchar = { repeated(FLIPPED_TEXT), "''" },
  bpchar = { repeated(FLIPPED_TEXT), "''" },
  bytea = { repeated("case when length(%s) = 0 then '\\x00' else set_bit(%s, "
    .. "n % (8 * length(%s)), 1 - get_bit(%s, n % (8 * length(%s)))) end"), "''" },
  bit = { repeated "set_bit(%s, n % length(%s), 1 - get_bit(%s, n % length(%s)))" },
  varbit = { repeated "set_bit(%s, n % length(%s), 1 - get_bit(%s, n % length(%s)))" },
  date = { repeated "case when %s > '2000-01-01' then %s - 1 else %s + 1 end", "'2000-01-01'" },
  time = { stepped("'12:00'", MICROSECONDS), "'00:00'" },
  interval = { stepped("'0'", MICROSECONDS), "'0'" },
  timestamp = { stepped("'2000-01-01'", MICROSECONDS), "'2000-01-01'" },
  timestamptz = { stepped("'2000-01-01'", MICROSECONDS), "'2000-01-01'" },
  json = { repeated(FLIPPED_JSON), "'null'" }, jsonb = { repeated(FLIPPED_JSON), "'null'" },
  uuid = { repeated("(left(%s::text, 35) || translate(right(%s::text, 1), '0123456789abcdef', "
    .. "'1032547698badcfe'))"), "'00000000-0000-0000-0000-000000000000'" },
}

local FLOATS = { float4 = { ">f", "%.9g" }, float8 = { ">d", "%.17g" } }

--- SQL has no way from the bits to a float.
local function float_cases(name, column, tab)
  local format, shown = table.unpack(FLOATS[column.type])
  local cases = {}
  for _, row in ipairs(clients.rows("postgres", ("select n, encode(%ssend(%s), 'hex') from %s "
    .. "where %s is not null"):format(column.type, name, tab, name))) do
    local bytes = row[2]:gsub("%x%x", function(hex) return string.char(tonumber(hex, 16)) end)
    bytes = bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1)
    cases[#cases + 1] = ("when %s then '%s'"):format(row[1],
      shown:format((format:unpack(bytes))))
  end
  if #cases == 0 then return "'0'" end
  return ("(case n %s end)"):format(table.concat(cases, " "))
end

--- The expression of another value for a column, null now and then where it may be.
local function flipped(name, column, tab)
  local flip, instead = table.unpack(FLIPS[column.type] or {})
  local value
  if FLOATS[column.type] then
    value, instead = float_cases(name, column, tab), "'0'"
  else
    value = assert(flip, "nothing is planted into a " .. column.type)(name, column)
  end
  local size = tonumber(column.column_type:match "%((%d+)%)")
  instead = instead or ("repeat('0', %d)"):format(size or 1)
  local text = column.nullable
    and ("case when %s is null then %s when n %% 8 = 0 then null else (%s)::text end")
      :format(name, instead .. "::text", value) or ("(%s)::text"):format(value)
  return ("(%s)::%s"):format(text, column.column_type)
end

--- What the client shows of each row, by n.
local function shown(tab)
  local rows = {}
  local sql = ("select n, md5(t::text) from %s t"):format(tab)
  for _, row in ipairs(clients.rows("postgres", sql)) do
    rows[tonumber(row[1])] = row[2]
  end
  return rows
end

--- Changes one value in each of some rows, of all columns in turn. The table has an integer column
--- n, the number of the row; its checks are dropped.
---@param tab table       as dualdb.Schema has it
---@param most integer    rows
---@return table<integer, string>, integer   by n: the column; and how many they are
function planted.run(tab, most)
  local name, columns = tab.name, {}
  clients.run("postgres", ([[do $$ declare c record; begin
    for c in select conname from pg_constraint where contype = 'c' and conrelid = '%s'::regclass
    loop execute 'alter table %s drop constraint ' || quote_ident(c.conname); end loop; end $$]])
    :format(name, name))
  for _, column in ipairs(tab.columns) do
    if column.name ~= "n" and not column.generated then columns[#columns + 1] = column end
  end
  local before, wanted, statements = shown(name), {}, {}
  local numbers = {}
  for n in pairs(before) do numbers[#numbers + 1] = n end
  table.sort(numbers)
  for i = #numbers, 2, -1 do
    local j = math.random(i)
    numbers[i], numbers[j] = numbers[j], numbers[i]
  end
  local rows_of = {}
  for i = 1, math.min(most, #numbers) do
    local column = columns[i % #columns + 1]
    wanted[numbers[i]] = column.name
    rows_of[column] = rows_of[column] or {}
    table.insert(rows_of[column], numbers[i])
  end
  for column, list in pairs(rows_of) do
    -- A key that another row has is left as it is.
    statements[#statements + 1] = ([[do $$ declare i int; begin
      foreach i in array array[%s] loop begin update %s set %s = %s where n = i;
      exception when unique_violation then null; end; end loop; end $$]]):format(
      table.concat(list, ", "), name, column.name, flipped(column.name, column, name))
  end
  clients.run("postgres", table.concat(statements, ";\n"))
  local after, count = shown(name), 0
  for n, column in pairs(wanted) do
    if before[n] == after[n] then
      assert(tab.primary_key and column == tab.primary_key[1],
        ("nothing was planted into %s of row %d"):format(column, n))
      wanted[n] = nil
    else
      count = count + 1
    end
  end
  return wanted, count
end

return planted
