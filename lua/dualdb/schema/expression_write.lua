--- Trees of schema/expression_parse.lua as PostgreSQL's expressions.

local functions = require "dualdb.schema.expression_functions"
local tokens = require "dualdb.schema.expression_tokens"
local values = require "dualdb.schema.expression_values"

local write = {}

local refuse, text, operand = tokens.refuse, values.text, values.operand

local function condition(sql) return { class = "truth", sql = sql } end

-- ---- comparisons ----

local SIGNS = { ["="] = "=", ["<>"] = "<>", ["<"] = "<", [">"] = ">", ["<="] = "<=", [">="] = ">=",
                ["<=>"] = "is not distinct from" }
local EQUALITY = { ["="] = true, ["<>"] = true, ["<=>"] = true }

local function one_of(value, list, negated)
  local parts = {}
  for i, one in ipairs(list) do parts[i] = one.sql end
  return condition(("%s %sin (%s)"):format(operand(value), negated and "not " or "",
    table.concat(parts, ", ")))
end

--- A truth beside 1 or 0 is that truth, or not.
local function plain_truth(left, right, negated)
  if left.class ~= "truth" or right.literal ~= 1 and right.literal ~= 0 then return nil end
  if (right.literal == 1) ~= negated then return left end
  return condition(text("not %s", left))
end

local function compare(sign, left, right)
  if EQUALITY[sign] and sign ~= "<=>" then
    local truth = plain_truth(left, right, sign == "<>") or plain_truth(right, left, sign == "<>")
    if truth then return truth end
  end
  local list = values.comparable { left, right }
  if list then return condition(text("%s " .. SIGNS[sign] .. " %s", list[1], list[2])) end
  if not EQUALITY[sign] then refuse("texts are ordered otherwise on the secondary") end
  local value, others = values.equal_texts(left, { right })
  if #others == 1 then return condition(text("%s " .. SIGNS[sign] .. " %s", value, others[1])) end
  local found = one_of(value, others, sign == "<>")
  -- NULL is none of them.
  return sign == "<=>" and condition(("coalesce(%s, false)"):format(found.sql)) or found
end

local function is_in(value, list, negated)
  for _, one in ipairs(list) do
    if one.class == "null" then refuse("it compares with NULL") end
  end
  local all = values.comparable { value, table.unpack(list) }
  if all then return one_of(all[1], table.move(all, 2, #all, 1, {}), negated) end
  local equal, others = values.equal_texts(value, list)
  return one_of(equal, others, negated)
end

--- Whether a value is equal to one of the list.
function write.equal(value, list)
  if #list == 1 then return compare("=", value, list[1]) end
  return is_in(value, list)
end

local function between(value, low, high, negated)
  local list = values.comparable { value, low, high }
  if not list then refuse("texts are ordered otherwise on the secondary") end
  return condition(text("%s " .. (negated and "not " or "") .. "between %s and %s", list[1],
    list[2], list[3]))
end

local function like(value, pattern, escape, negated)
  if not values.is_exact(value) then
    refuse("LIKE is not the same where texts that differ are equal")
  end
  if not pattern.literal or pattern.class ~= "text" or escape and not escape.literal then
    refuse("it has a pattern that is no literal")
  end
  local mark = escape and escape.literal or "\\"
  if utf8.len(mark) ~= 1 or #mark ~= 1 then refuse("its pattern has no escape") end
  -- PostgreSQL refuses a pattern with nothing after its last escape.
  local rest = pattern.literal:gsub(mark:gsub("%p", "%%%0") .. utf8.charpattern, "")
  if rest:find(mark, 1, true) then refuse("its pattern ends with its escape") end
  return condition(text("%s " .. (negated and "not " or "") .. "like %s", value, pattern)
    .. (escape and " escape " .. escape.sql or ""))
end

-- ---- arithmetic ----

--- MySQL's exact numbers have so many digits at most, and so many after the point.
local MOST_DIGITS, MOST_SCALE = 65, 30

local function decimal(sign, left, right, sql)
  local scale = math.max(left.scale, right.scale)
  local before = math.max(left.digits - left.scale, right.digits - right.scale) + 1
  local digits = before + scale
  if sign == "*" then
    scale, digits = left.scale + right.scale, left.digits + right.digits
  end
  if digits > MOST_DIGITS or scale > MOST_SCALE then
    refuse("its result has more digits than the primary computes with")
  end
  if sign == "-" and (left.unsigned or right.unsigned) then
    refuse("it subtracts unsigned numbers, which the primary refuses below zero")
  end
  return { class = "decimal", sql = sql, digits = digits, scale = scale, stored = "numeric",
           unsigned = left.unsigned or right.unsigned }
end

local RANGES = {
  ["+"] = function(a, b) return a.low + b.low, a.high + b.high end,
  ["-"] = function(a, b) return a.low - b.high, a.high - b.low end,
  ["*"] = function(a, b)
    local products = { a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high }
    return math.min(table.unpack(products)), math.max(table.unpack(products))
  end,
  ["div"] = function(a, b)
    local most = math.max(math.abs(a.low), math.abs(a.high)) / math.abs(b.low)
    return a.low < 0 and -most or 0.0, most
  end,
  ["%"] = function(a, b)
    local most = math.abs(b.low) - 1
    return a.low < 0 and -most or 0.0, most
  end,
}

--- Integers are bigints on the primary, unsigned ones as soon as one of two is.
local function integer(sign, left, right)
  local low, high = RANGES[sign](left, right)
  local unsigned = left.unsigned or sign ~= "%" and right.unsigned
  if sign == "div" and right.low < 0 then low, high = -math.max(-low, high), -low end
  local stored = "int8"
  if unsigned and low < 0 then
    refuse("it has unsigned numbers, which the primary refuses below zero")
  elseif unsigned and high >= values.LARGEST_UNSIGNED then
    refuse("it may be more than the primary's largest number, which refuses it")
  elseif unsigned and high >= values.LARGEST or left.stored == "numeric"
         or right.stored == "numeric" then
    if not unsigned then refuse("it has unsigned numbers of 64 bits") end
    stored = "numeric"
  end
  local result = {
    class = "integer", low = math.max(low, -values.LARGEST), digits = 20, scale = 0,
    high = math.min(high, values.LARGEST_UNSIGNED), unsigned = unsigned, stored = stored,
  }
  if stored == "numeric" then
    if left.stored ~= "numeric" then
      left = { sql = text("%s::numeric", left), atom = true }
    end
    if sign == "div" then
      result.sql, result.atom = text("div(%s, %s)", left, right), true
      return result
    end
  elseif left.stored ~= "int8" and right.stored ~= "int8" then
    left = { sql = text("%s::bigint", left), atom = true }
  end
  result.sql = text("%s " .. (sign == "div" and "/" or sign == "%" and "%%" or sign) .. " %s", left,
    right)
  return result
end

local function arithmetic(sign, left, right)
  if left.class == "null" or right.class == "null" then refuse("it computes with NULL") end
  left, right = values.number(left), values.number(right)
  if sign == "/" then refuse("the digits of a division are the session's own") end
  if (sign == "div" or sign == "%") and (not right.literal or tonumber(right.literal) == 0) then
    refuse("it divides by what may be zero")
  end
  if left.class == "integer" and right.class == "integer" then
    return integer(sign, left, right)
  end
  if sign == "div" then refuse("it divides decimals") end
  if left.stored ~= "numeric" and right.stored ~= "numeric" then
    left = setmetatable({ sql = text("%s::numeric", left), atom = true }, { __index = left })
  end
  return decimal(sign, left, right, text("%s " .. (sign == "%" and "%%" or sign) .. " %s", left,
    right))
end

local function negative(value)
  value = values.number(value)
  if value.class == "integer" and math.type(value.literal) then
    return values.integer(-value.literal)
  end
  if value.stored == "numeric" and value.class == "integer" then
    refuse("it has unsigned numbers of 64 bits")
  end
  if value.class == "decimal" and value.unsigned then
    refuse("it has unsigned numbers, which the primary refuses below zero")
  end
  if value.class == "integer" and value.stored ~= "int8" then
    value = setmetatable({ sql = text("%s::bigint", value), atom = true }, { __index = value })
  end
  return {
    class = value.class, sql = text("-%s", value), digits = value.digits, scale = value.scale,
    low = value.high and -value.high, high = value.low and -value.low,
    stored = value.class == "integer" and "int8" or "numeric",
    literal = value.literal and "-" .. value.literal,
  }
end

-- ---- casts ----

local CAST = {}

function CAST.signed(value)
  value = values.number(value)
  if value.class == "integer" and value.high < values.LARGEST then
    return { class = "integer", sql = text("%s::bigint", value), atom = true, low = value.low,
             high = value.high, digits = 20, scale = 0, stored = "int8" }
  end
  return refuse("a cast cuts off what does not fit on the primary")
end

function CAST.unsigned(value)
  value = values.number(value)
  if value.class == "integer" and value.low >= 0 then
    return setmetatable({ unsigned = true }, { __index = value })
  end
  return refuse("a cast makes others of numbers below zero")
end

function CAST.decimal(value, node)
  value = values.number(value)
  local digits, scale = node.digits or 10, node.scale or 0
  -- 9.99 becomes 10.0.
  local whole = value.digits - value.scale + (value.scale > scale and 1 or 0)
  if whole > digits - scale then
    refuse("a cast cuts off what does not fit on the primary")
  end
  return { class = "decimal", sql = text("%s::numeric" .. ("(%d,%d)"):format(digits, scale), value),
           atom = true, digits = digits, scale = scale, stored = "numeric" }
end

function CAST.date(value) return functions.to_date(value) end

-- ---- the tree ----

local visit

local function visit_all(nodes, env)
  local list = {}
  for i, node in ipairs(nodes) do list[i] = visit(node, env) end
  return list
end

local VISIT = {}

function VISIT.column(node, env) return env.column(node.text) end
function VISIT.number(node) return values.number_literal(node.text) end
function VISIT.null() return { class = "null", sql = "null", atom = true } end

function VISIT.string(node, env)
  if node.charset and not node.charset:find("^utf8") and node.charset ~= "latin1"
     and node.charset ~= "ascii" or node.text:find("[\x80-\xff]") and not env.shows_characters then
    refuse("the server does not show a text as it is")
  end
  return values.text_literal(node.text)
end

local TEMPORAL = { date = "date", time = "time", timestamp = "datetime" }

function VISIT.temporal(node)
  local value = values.temporal(node.value)
  if not value or value.class ~= TEMPORAL[node.text] then
    refuse("%s is no complete %s", node.value, node.text)
  end
  return value
end

function VISIT.unary(node, env)
  local value = visit(node.value, env)
  if node.text == "not" then return condition(text("not %s", values.truth(value))) end
  if node.text == "-" then return negative(value) end
  return refuse("it has the operator %s", node.text)
end

local LOGIC = { ["and"] = "%s and %s", ["or"] = "%s or %s", xor = "%s <> %s" }

function VISIT.binary(node, env)
  local left, right, sign = visit(node.left, env), visit(node.right, env), node.text
  if LOGIC[sign] then
    return condition(text(LOGIC[sign], values.truth(left), values.truth(right)))
  end
  if SIGNS[sign] then return compare(sign, left, right) end
  if RANGES[sign] or sign == "/" then return arithmetic(sign, left, right) end
  return refuse("it has the operator %s", sign)
end

VISIT["is"] = function(node, env)
  local value = visit(node.value, env)
  if node.text ~= "null" then value = values.truth(value) end
  return condition(text("%s is " .. (node.negated and "not " or "") .. node.text, value))
end

VISIT["in"] = function(node, env)
  return is_in(visit(node.value, env), visit_all(node.list, env), node.negated)
end

function VISIT.between(node, env)
  return between(visit(node.value, env), visit(node.low, env), visit(node.high, env), node.negated)
end

function VISIT.like(node, env)
  return like(visit(node.value, env), visit(node.pattern, env),
    node.escape and visit(node.escape, env), node.negated)
end

function VISIT.collate(node, env)
  local value = visit(node.value, env)
  if value.class ~= "text" then refuse("it gives %s a collation", value.sql) end
  return setmetatable({ collation = node.text }, { __index = value })
end

function VISIT.case(node, env)
  local whens = {}
  for i, when in ipairs(node.whens) do
    local found = visit(when.condition, env)
    if node.subject then found = compare("=", visit(node.subject, env), found) end
    whens[i] = { condition = found, value = visit(when.value, env) }
  end
  return functions.case(whens, node.otherwise and visit(node.otherwise, env))
end

function VISIT.call(node, env)
  local arguments = visit_all(node.arguments, env)
  if node.text == "mod" and #arguments == 2 then
    return arithmetic("%", arguments[1], arguments[2])
  end
  if node.text == "date" and #arguments == 1 then return functions.to_date(arguments[1]) end
  return functions.call(node.text, arguments, write)
end

function VISIT.cast(node, env)
  local value, cast = visit(node.value, env), CAST[node.text]
  if not cast then refuse("it has a cast to %s", node.text) end
  return cast(value, node)
end

function visit(node, env) return VISIT[node.type](node, env) end

--- The tree as a value. Refuses what does not mean exactly the same on both sides.
---@param tree dualdb.ExpressionNode
---@param env { column: fun(name: string): table, shows_characters: boolean }
function write.value(tree, env) return visit(tree, env) end

return write
