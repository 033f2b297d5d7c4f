--- Expressions of MySQL and MariaDB as trees, by their own precedence: the servers read the text in
--- information_schema again whenever they open the table, so that it means what they would read.

local tokens = require "dualdb.schema.expression_tokens"

local parse = {}

---@class dualdb.ExpressionNode
---@field type "column"|"number"|"string"|"null"|"temporal"|"unary"|"binary"|"is"|"in"|"between"|
---   "like"|"case"|"call"|"cast"|"collate"
---@field text string|nil       of a literal, name of a column or a function, operator

local Parser = {}
Parser.__index = Parser

function Parser:peek(offset) return self.tokens[math.min(self.at + (offset or 0), #self.tokens)] end

function Parser:next()
  local token = self:peek()
  self.at = self.at + 1
  return token
end

--- Far beyond what a person nests, and far below what the stack holds.
local DEEPEST = 60

--- What `read` reads, within something else.
function Parser:deeper(read, ...)
  self.depth = self.depth + 1
  if self.depth > DEEPEST then tokens.refuse("it is nested too deeply") end
  local node = read(self, ...)
  self.depth = self.depth - 1
  return node
end

--- Whether the next token is one of these words or signs; it is then taken.
function Parser:take(...)
  local token = self:peek()
  if token.kind ~= "word" and token.kind ~= "sign" then return nil end
  for _, text in ipairs { ... } do
    if token.text == text then
      self.at = self.at + 1
      return text
    end
  end
  return nil
end

function Parser:expect(text)
  if not self:take(text) then tokens.refuse("it has %s", self:peek().text) end
end

--- Expressions with commas between, and the closing parenthesis.
function Parser:list()
  local list = {}
  if self:take(")") then return list end
  repeat list[#list + 1] = self:expression() until not self:take(",")
  self:expect(")")
  return list
end

-- ---- what stands by itself ----

function Parser:case()
  local node = { type = "case", whens = {} }
  if not self:take("when") then
    node.subject = self:expression()
    self:expect("when")
  end
  repeat
    local condition = self:expression()
    self:expect("then")
    node.whens[#node.whens + 1] = { condition = condition, value = self:expression() }
  until not self:take("when")
  if self:take("else") then node.otherwise = self:expression() end
  self:expect("end")
  return node
end

--- cast(a as decimal(10,2)): `text` is "decimal", `digits` and `scale` follow.
function Parser:cast()
  self:expect("(")
  local node = { type = "cast", value = self:expression() }
  self:expect("as")
  node.text = self:next().text
  if self:take("(") then
    node.digits = math.tointeger(tonumber(self:next().text))
    if self:take(",") then node.scale = math.tointeger(tonumber(self:next().text)) end
    self:expect(")")
  end
  if self:take("charset") then node.charset = self:next().text end
  self:take("integer")
  self:expect(")")
  return node
end

local CONSTANTS = { ["true"] = "1", ["false"] = "0" }
local TEMPORAL = { date = true, time = true, timestamp = true }

function Parser:word(token)
  local word = token.text
  if word == "null" then return { type = "null" } end
  if word == "case" then return self:case() end
  if CONSTANTS[word] then return { type = "number", text = CONSTANTS[word] } end
  if TEMPORAL[word] and self:peek().kind == "string" then
    return { type = "temporal", text = word, value = self:next().text }
  end
  if word == "cast" then return self:cast() end
  if not self:take("(") then tokens.refuse("it has %s", word) end
  return { type = "call", text = word, arguments = self:list() }
end

function Parser:primary()
  local token = self:next()
  if token.kind == "name" then return { type = "column", text = token.text } end
  if token.kind == "number" then return { type = "number", text = token.text } end
  if token.kind == "string" then
    return { type = "string", text = token.text, charset = token.charset }
  end
  if token.kind == "word" then return self:word(token) end
  if token.text == "(" then
    local node = self:expression()
    self:expect(")")
    return node
  end
  return tokens.refuse("it has %s", token.text)
end

-- ---- operators, those that bind tighter first ----

function Parser:unary()
  local sign = self:take("-", "+", "!", "~")
  if sign then
    local value = self:deeper(self.unary)
    if sign == "+" then return value end
    return { type = "unary", text = sign == "!" and "not" or sign, value = value }
  end
  local node = self:primary()
  while self:take("collate") do
    node = { type = "collate", value = node, text = self:next().text:lower() }
  end
  return node
end

--- Levels of operators that are read from the left, the tightest last.
local LEVELS = {
  { "|" }, { "&" }, { "<<", ">>" }, { "+", "-" }, { "*", "/", "div", "%", "mod" }, { "^" },
}
local SAME = { mod = "%" }

function Parser:operation(level)
  local signs = LEVELS[level]
  if not signs then return self:unary() end
  local node = self:operation(level + 1)
  while true do
    local sign = self:take(table.unpack(signs))
    if not sign then return node end
    node = {
      type = "binary", text = SAME[sign] or sign, left = node, right = self:operation(level + 1),
    }
  end
end

--- a [not] in (...), between ... and ..., like ... [escape ...]
function Parser:predicate()
  local node = self:operation(1)
  while true do
    local negated
    local following = self:peek(1).text
    if self:peek().kind == "word" and self:peek().text == "not"
       and (following == "in" or following == "between" or following == "like") then
      self:next()
      negated = true
    end
    if self:take("in") then
      self:expect("(")
      node = { type = "in", value = node, list = self:list(), negated = negated }
    elseif self:take("between") then
      local low = self:operation(1)
      self:expect("and")
      node = { type = "between", value = node, low = low, high = self:predicate(),
               negated = negated }
    elseif self:take("like") then
      node = { type = "like", value = node, pattern = self:operation(1), negated = negated }
      if self:take("escape") then node.escape = self:operation(1) end
    else
      return node
    end
  end
end

local TRUTHS = { null = "null", unknown = "null", ["true"] = "true", ["false"] = "false" }

function Parser:comparison()
  local node = self:predicate()
  while true do
    local sign = self:take("=", "<=>", "<>", "!=", "<", "<=", ">", ">=")
    if sign then
      node = { type = "binary", text = sign == "!=" and "<>" or sign, left = node,
               right = self:predicate() }
    elseif self:take("is") then
      local negated = self:take("not") ~= nil
      local what = self:next().text
      if not TRUTHS[what] then tokens.refuse("it has is %s", what) end
      node = { type = "is", value = node, text = TRUTHS[what], negated = negated }
    else
      return node
    end
  end
end

function Parser:negation()
  if self:take("not") then
    return { type = "unary", text = "not", value = self:deeper(self.negation) }
  end
  return self:comparison()
end

--- Operators on truths, the loosest first.
local LOGIC = { { "or" }, { "xor" }, { "and", "&&" } }

function Parser:logic(level)
  local words = LOGIC[level]
  if not words then return self:negation() end
  local node = self:logic(level + 1)
  while self:take(table.unpack(words)) do
    node = { type = "binary", text = words[1], left = node, right = self:logic(level + 1) }
  end
  return node
end

function Parser:expression()
  return self:deeper(self.logic, 1)
end

--- The tree of an expression. Refuses what it does not know.
---@param text string
---@return dualdb.ExpressionNode
function parse.tree(text)
  local parser = setmetatable({ tokens = tokens.read(text), at = 1, depth = 0 }, Parser)
  local node = parser:expression()
  local rest = parser:peek()
  if rest.kind ~= "end" then tokens.refuse("it has %s", rest.text) end
  return node
end

return parse
