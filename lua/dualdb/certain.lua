--- Rows that need not be read back after their insert: what the primary stores is certain to be
--- what it was given. Whatever is not known to be so is read.

local core = require "dualdb.core"

local certain = {}

local NULL = core.pack("t", { core.NULL })
--- Bytes of a field before its value.
local PREFIX = #NULL

--- What stands before each value of a fixed size; raw values have others.
local function sized(count)
  return function(field) return #field == PREFIX + count end
end

--- Longer text may be cut where only blanks are lost; `length` is of characters, or of bytes.
local function short(column)
  local most = column.length
  return most and function(field) return #field - PREFIX <= most end
end

local KEPT_CHARACTERS = { utf8mb4 = true, utf8mb3 = true, utf8 = true, ascii = true }

local function text(column)
  return KEPT_CHARACTERS[column.charset] and short(column)
end

local FRACTIONS = 6

--- Instants are rounded to the fraction that the column has.
local function timestamp(column)
  local step = math.tointeger(10 ^ (FRACTIONS - (column.fraction or 0)))
  return function(field)
    return #field == PREFIX + 8
      and (string.unpack(">I8", field, PREFIX + 1) ~ math.mininteger) % step == 0
  end
end

--- Decimals are rounded to the column's scale.
local function decimal(column)
  local scale = column.scale or 0
  return function(field)
    local whole, fraction = field:match("^%-?(%d+)%.?(%d*)$", PREFIX + 1)
    return whole ~= nil and #fraction <= scale
  end
end

local function any() return function() return true end end

--- By type of the primary's column: the kind that its values have, and what tells of a value
--- whether it is stored as it is or refused. Types that are not here change some that they take.
local RULES = {
  tinyint = { "bi", any }, smallint = { "i", any }, mediumint = { "i", any }, int = { "i", any },
  bigint = { "i", any }, decimal = { "d", decimal }, date = { "D", function() return sized(4) end },
  datetime = { "S", timestamp }, varchar = { "t", text }, tinytext = { "t", text },
  text = { "t", text }, mediumtext = { "t", text }, longtext = { "t", text },
  varbinary = { "x", short }, tinyblob = { "x", short }, blob = { "x", short },
  mediumblob = { "x", short }, longblob = { "x", short },
}

local function rule_of(column)
  local at = column.primary
  local rule = RULES[at.type]
  if not rule or at.generated or not rule[1]:find(column.kind, 1, true) then return nil end
  local keeps = rule[2](at)
  return keeps and {
    keeps = keeps, nullable = at.nullable, numbers = at.auto_increment,
    -- Without a value, and without a default, there is NULL in the column.
    empty = at.nullable and at.default == nil and not at.default_is_expression,
  } or nil
end

--- The rules of all columns; false when there is a column, or a trigger, of which nothing is known.
local function rules_of(spec)
  if spec.certain == nil then
    local rules = spec.primary_table.triggers == false and {}
    for i, column in ipairs(rules and spec.columns or {}) do
      rules[i] = rule_of(column)
      if not rules[i] then
        rules = false
        break
      end
    end
    spec.certain = rules
  end
  return spec.certain
end

--- The row that the primary stores when it takes an insert, or nil when it has to be asked.
---@param spec dualdb.Spec
---@param indexes integer[]     of the columns given
---@param packed string         their values
---@param number integer|nil    the AUTO_INCREMENT value that the row was given
---@return string|nil
function certain.row(spec, indexes, packed, number)
  local rules = rules_of(spec)
  if not rules then return nil end
  local given, fields = core.fields(packed), {}
  for i, index in ipairs(indexes) do fields[index] = given[i] end
  for i, rule in ipairs(rules) do
    local field = fields[i]
    local absent = field == nil or field == NULL
    if absent and rule.numbers then
      if not number or number <= 0 then return nil end  -- beyond 2^63 it is not exact
      fields[i] = core.pack(spec.columns[i].kind, { number })
    elseif absent then
      if not (field and rule.nullable or rule.empty) then return nil end
      fields[i] = NULL
    elseif not rule.keeps(field) then
      return nil
    end
  end
  return table.concat(fields)
end

return certain
