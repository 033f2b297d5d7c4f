--- The statements that digest rows on the servers. A row's digest is the SHA-256 of its text
--- (verify/pushdown/render.lua). It needs SELECT on the table and nothing else.

local core = require "dualdb.core"
local key_range = require "dualdb.sync.key_range"
local render = require "dualdb.verify.pushdown.render"

local digest = {}

--- Of a digest, what tells rows of one key apart.
local ROW_BYTES = 16

--- What is summed of a digest: so many of its hexadecimal digits, each of them as the two decimal
--- digits of its character, in one decimal. Its upper and its lower half are two sums of 48 bits of
--- the digest each: an exact sum of both in one, for which MySQL writes and digests the row but
--- once.
local SUMMED_DIGITS = 24

--- What a row counts whose digest is NULL, as MySQL says of one beyond max_allowed_packet: more
--- than all others of a chunk together.
local UNKNOWN = "1" .. ("0"):rep(58)

local NUMBER = {
  primary = ("ifnull(cast(hex(left(sha2(%%s, 256), %d)) as decimal(%d,0)), %s)"):format(
    SUMMED_DIGITS, 2 * SUMMED_DIGITS, UNKNOWN),
  secondary = ("encode(encode(substr(sha256(%%s), 1, %d), 'hex')::bytea, 'hex')::numeric"):format(
    SUMMED_DIGITS // 2),
}

local BYTES = {
  primary = ("unhex(left(sha2(%%s, 256), %d))"):format(2 * ROW_BYTES),
  secondary = ("substr(sha256(%%s), 1, %d)"):format(ROW_BYTES),
}

local HEXADECIMAL = {
  primary = "left(sha2(%s, 256), %d)",
  secondary = "left(encode(sha256(%s), 'hex'), %d)",
}

---@class dualdb.Sum        what a statement says of a part of a table
---@field rows integer
---@field sum string        of the digests
---@field unknown boolean   there are rows whose digest the server could not compute

local KINDS = "iid"

---@class dualdb.Query
---@field text string
---@field param_kinds string
---@field params string     canonical
---@field kinds string      of the columns that it returns

local function where(condition)
  return condition and " where " .. condition or ""
end

local function number_of(spec, side)
  return NUMBER[side]:format((render.row(spec, side, #spec.columns)))
end

local function sum_of(spec, side)
  return ("coalesce(sum(%s), 0)"):format(number_of(spec, side))
end

local function listed(spec, builder)
  local marks, names = {}, {}
  for i = 1, spec.key_count do
    names[i] = builder.columns[i]
    marks[i] = builder:mark(names[i])
  end
  return "(" .. table.concat(names, ", ") .. ")", "(" .. table.concat(marks, ", ") .. ")"
end

--- One bit of the number, from 0, of the range that a key is in: whether it is in the upper half of
--- ranges[from + 1 .. from + size], when `below` is 0, else in the upper half of its half.
local function bit_of(spec, builder, ranges, from, size, below, params)
  local half = size // 2
  local last = ranges[from + half]
  if not ranges[from + half + 1] then  -- there is no upper half
    if below == 0 then return "false" end
    return bit_of(spec, builder, ranges, from, half, below - 1, params)
  end
  local names, marks = listed(spec, builder)
  params[#params + 1] = last.through
  if below == 0 then return ("%s > %s"):format(names, marks) end
  local lower = bit_of(spec, builder, ranges, from, half, below - 1, params)
  return ("case when %s <= %s then %s else %s end"):format(names, marks, lower,
    bit_of(spec, builder, ranges, from + half, half, below - 1, params))
end

local function follow_each_other(spec, ranges)
  for i = 1, #ranges - 1 do
    local bound = ranges[i].through
    if bound ~= ranges[i + 1].reached or #core.fields(bound) ~= spec.key_count then return false end
  end
  return #ranges > 1
end

--- The sums of ranges that follow each other, by one scan of them all: the secondary reads many
--- small ranges a quarter slower. The bits of a range's number are grouped by, not the number:
--- PostgreSQL counts on two groups for each boolean, and on one for each key for anything else that
--- is made of the key, so that it would sort all rows before it sums them (estimate_num_groups in
--- src/backend/utils/adt/selfuncs.c).
local function sums_by_number(spec, side, filter, ranges)
  local builder, bounds = spec.statements[side], {}
  local size, bits, names, number = 1, {}, {}, {}
  while size < #ranges do size = 2 * size end
  for i = 1, math.tointeger(math.log(size, 2)) do
    names[i] = "dualdb_bit" .. i
    bits[i] = ("%s as %s"):format(bit_of(spec, builder, ranges, 0, size, i - 1, bounds), names[i])
    number[i] = ("%s::integer * %d"):format(names[i], size >> i)
  end
  local condition, kinds, values = key_range.condition(builder, spec.key_kinds, ranges[1].reached,
    ranges[#ranges].through)
  return {
    text = ("select 1 + %s, count(*), coalesce(sum(dualdb_number), 0) from (select %s, %s as "
      .. "dualdb_number from %s%s) as dualdb_rows group by %s"):format(table.concat(number, " + "),
      table.concat(bits, ", "), number_of(spec, side), builder.table,
      where(key_range.both(condition, filter)), table.concat(names, ", ")),
    param_kinds = spec.key_kinds:rep(#bounds) .. kinds, params = table.concat(bounds) .. values,
    kinds = KINDS,
  }
end

--- A row for each of the ranges, in any order: its number, count and sum. One without rows may have
--- none.
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@param filter string|nil
---@param ranges dualdb.KeyRange[]
---@return dualdb.Query
function digest.sums(spec, side, filter, ranges)
  if side == "secondary" and follow_each_other(spec, ranges) then
    return sums_by_number(spec, side, filter, ranges)
  end
  local builder, sum = spec.statements[side], sum_of(spec, side)
  local parts, letters, values = {}, {}, {}
  for i, range in ipairs(ranges) do
    local condition
    condition, letters[i], values[i] = key_range.condition(builder, spec.key_kinds, range.reached,
      range.through)
    parts[i] = ("select %d, count(*), %s from %s%s"):format(i, sum, builder.table,
      where(key_range.both(condition, filter)))
  end
  return { text = table.concat(parts, " union all "), param_kinds = table.concat(letters),
           params = table.concat(values), kinds = KINDS }
end

local function sum_from(count, sum)
  return { rows = count, sum = sum, unknown = #sum >= #UNKNOWN }
end

--- The count and sum of as many rows as are asked for, whichever the server has first.
---@param limit integer
---@return dualdb.Query
function digest.some(spec, side, limit)
  return {
    text = ("select 1, count(*), %s from (select %s from %s limit %d) as dualdb_rows"):format(
      sum_of(spec, side), spec.statements[side]:column_list(), spec.statements[side].table, limit),
    param_kinds = "", params = "", kinds = KINDS,
  }
end

--- What the answer to digest.sums says, by the number of the range.
---@param rows string[]   canonical
---@param count integer   of the ranges
---@return dualdb.Sum[]
function digest.read_sums(rows, count)
  local found = {}
  for i = 1, count do found[i] = sum_from(0, "0") end
  for _, packed in ipairs(rows) do
    local number, rows_there, sum = table.unpack(core.unpack(KINDS, packed))
    found[number] = sum_from(rows_there, sum)
  end
  return found
end

---@param a dualdb.Sum
---@param b dualdb.Sum
---@return boolean
function digest.same(a, b)
  return a.rows == b.rows and a.sum == b.sum and not a.unknown and not b.unknown
end

local function key_and_digest(spec, side)
  return ("select %s, %s from %s"):format(spec.statements[side]:key_list(), BYTES[side]:format(
    (render.row(spec, side, #spec.columns))), spec.statements[side].table)
end

--- The key and the digest of every row of the ranges, in key order.
---@param ranges dualdb.KeyRange[]
---@return dualdb.Query
function digest.list(spec, side, filter, ranges)
  local builder = spec.statements[side]
  local parts, letters, values, open = {}, {}, {}, false
  for i, range in ipairs(ranges) do
    local condition
    condition, letters[i], values[i] = key_range.condition(builder, spec.key_kinds, range.reached,
      range.through)
    open = open or not condition
    parts[i] = condition and "(" .. condition .. ")"
  end
  local condition = not open and "(" .. table.concat(parts, " or ") .. ")" or nil
  return {
    text = ("%s%s order by %s"):format(key_and_digest(spec, side),
      where(key_range.both(condition, filter)), builder:key_list()),
    param_kinds = open and "" or table.concat(letters),
    params = open and "" or table.concat(values), kinds = spec.key_kinds .. "x",
  }
end

-- ---- parts by the key's digest ----

local function part_of(spec, side, digits)
  return HEXADECIMAL[side]:format((render.row(spec, side, spec.key_count)), digits)
end

local PART_KINDS = "tid"

--- One row for each part of the table: the first digits of its keys' digests, its count and sum.
---@param digits integer
---@return dualdb.Query
function digest.parts(spec, side, filter, digits)
  return {
    text = ("select %s, count(*), %s from %s%s group by 1"):format(
      part_of(spec, side, digits), sum_of(spec, side), spec.statements[side].table, where(filter)),
    param_kinds = "", params = "", kinds = PART_KINDS,
  }
end

--- What the answer to digest.parts says, by the part.
---@return table<string, dualdb.Sum>
function digest.read_parts(rows)
  local found = {}
  for _, packed in ipairs(rows) do
    local part, count, sum = table.unpack(core.unpack(PART_KINDS, packed))
    found[part] = sum_from(count, sum)
  end
  return found
end

--- The key and the digest of every row of the parts, in any order; without parts of all rows.
---@param digits integer
---@param parts string[]|false
---@return dualdb.Query
function digest.list_parts(spec, side, filter, digits, parts)
  if not parts then
    return { text = key_and_digest(spec, side) .. where(filter), param_kinds = "", params = "",
             kinds = spec.key_kinds .. "x" }
  end
  local condition = ("%s in (%s)"):format(part_of(spec, side, digits),
    ("?"):rep(#parts, ", "))
  return {
    text = key_and_digest(spec, side) .. where(key_range.both(condition, filter)),
    param_kinds = ("t"):rep(#parts), params = core.pack(("t"):rep(#parts), parts),
    kinds = spec.key_kinds .. "x",
  }
end

return digest
