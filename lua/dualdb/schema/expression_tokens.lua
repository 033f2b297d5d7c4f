--- The tokens of an expression as the primary's information_schema shows it.

local tokens = {}

--- Raised, as an error, by whatever reads or writes an expression and cannot go on: nothing is
--- translated, and the reason is for a person.
---@class dualdb.Untranslatable
---@field reason string

local Untranslatable = {}

---@param format string
function tokens.refuse(format, ...)
  error(setmetatable({ reason = format:format(...) }, Untranslatable), 0)
end

---@return string|nil   the reason, when `err` is what refuse raises
function tokens.reason(err)
  return getmetatable(err) == Untranslatable and err.reason or nil
end

-- ---- literals ----

local ESCAPES = {
  ["0"] = "\0", b = "\b", n = "\n", r = "\r", t = "\t", Z = "\26", ["%"] = "\\%", ["_"] = "\\_",
}

--- The text of the literal whose opening quote is at `at`, and the position after its closing one;
--- nil when it has none.
---@param text string
---@param at integer
---@return string|nil, integer|nil
function tokens.quoted(text, at)
  local parts = {}
  at = at + 1
  while true do
    local stop = text:find("['\\]", at)
    if not stop then return nil end
    parts[#parts + 1] = text:sub(at, stop - 1)
    local next_one = text:sub(stop + 1, stop + 1)
    if text:sub(stop, stop) == "\\" then
      if next_one == "" then return nil end
      parts[#parts + 1] = ESCAPES[next_one] or next_one
    elseif next_one == "'" then
      parts[#parts + 1] = "'"
    else
      return table.concat(parts), stop + 1
    end
    at = stop + 2
  end
end

--- MySQL keeps quotes and backslashes escaped once more than it reads them.
---@param text string
---@return string
function tokens.unescape(text)
  local other = text:gsub("\\[\\'\"]", ""):match("\\.?")
  if other then tokens.refuse("the server shows it with %s", other) end
  return (text:gsub("\\(.)", "%1"))
end

-- ---- tokens ----

---@class dualdb.Token
---@field kind "word"|"name"|"string"|"number"|"sign"|"end"
---@field text string            a word in lower case
---@field charset string|nil     of a string that names one

local SIGNS = { "<=>", "<=", ">=", "<>", "!=", "<<", ">>", "||", "&&" }

local function read_sign(text, at)
  for _, sign in ipairs(SIGNS) do
    if text:sub(at, at + #sign - 1) == sign then return sign end
  end
  return text:sub(at, at)
end

--- `a``b`
local function read_name(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = text:find("`", from, true)
    if not stop then tokens.refuse("a name does not end") end
    parts[#parts + 1] = text:sub(from, stop - 1)
    if text:sub(stop + 1, stop + 1) ~= "`" then return table.concat(parts), stop + 1 end
    parts[#parts + 1], from = "`", stop + 2
  end
end

local function read_string(text, at, charset)
  local value, after = tokens.quoted(text, at)
  if not value then tokens.refuse("a text does not end") end
  return { kind = "string", text = value, charset = charset }, after
end

local function read_number(text, at)
  local _, stop = text:find("^%d*%.?%d*", at)
  local _, exponent = text:find("^[eE][-+]?%d+", stop + 1)
  stop = exponent or stop
  if text:find("^[%w_]", stop + 1) then
    tokens.refuse("it has %s", text:match("^[%w_.]+", at))
  end
  return { kind = "number", text = text:sub(at, stop) }, stop + 1
end

local function read_token(text, at)
  local first = text:sub(at, at)
  if first == "`" then
    local name, after = read_name(text, at)
    return { kind = "name", text = name }, after
  elseif first == "'" then
    return read_string(text, at)
  elseif text:find("^%.?%d", at) then
    return read_number(text, at)
  end
  local word = text:match("^[%a_][%w_]*", at)
  if not word then
    local sign = read_sign(text, at)
    return { kind = "sign", text = sign }, at + #sign
  end
  local after = at + #word
  if word:sub(1, 1) == "_" and text:sub(after, after) == "'" then
    return read_string(text, after, word:sub(2):lower())
  end
  return { kind = "word", text = word:lower() }, after
end

--- All tokens, the last one of kind "end". Refuses what is no token.
---@param text string
---@return dualdb.Token[]
function tokens.read(text)
  local list, at = {}, text:find("%S")
  while at do
    local token, after = read_token(text, at)
    list[#list + 1] = token
    at = text:find("%S", after)
  end
  list[#list + 1] = { kind = "end", text = "its end" }
  return list
end

return tokens
