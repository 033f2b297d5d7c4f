--- Defaults of the primary's columns, as PostgreSQL writes them.

local core = require "dualdb.core"
local tokens = require "dualdb.schema.expression_tokens"

local defaults = {}

--- A text as a literal, whatever standard_conforming_strings says.
---@param text string
---@return string
function defaults.literal(text)
  local quoted = "'" .. text:gsub("'", "''") .. "'"
  if not text:find("\\", 1, true) then return quoted end
  return "E" .. quoted:gsub("\\", "\\\\")
end

-- ---- what the primary's information_schema says ----

--- It knows three bytes of UTF-8 only, and shows what has four as a question mark.
defaults.UNCERTAIN = "the server shows ? for some characters"

---@param text string
function defaults.is_uncertain(text)
  return text:find("?", 1, true) ~= nil
end

--- The text of a literal that begins with the quote at `at` and ends where `text` does.
local function quoted_text(text, at)
  local value, after = tokens.quoted(text, at)
  return after == #text + 1 and value or nil
end

local NUMBER = "^%-?%d+%.?%d*[eE]?[-+]?%d*$"
local WORDS = { ["true"] = "1", ["false"] = "0" }

--- What an expression is: a literal's text, or nothing and the function it calls without arguments.
local function read_expression(text)
  local lower = text:lower()
  if lower == "null" then return nil end
  local charset, at = text:match("^_?(%w*)()'")
  if at and (charset == "" or text:sub(1, 1) == "_") then
    local value = quoted_text(text, at)
    local same = charset == "" or charset:find("^utf8") or not (value or ""):find("[\x80-\xff]")
    if value and same then return value end
  end
  local number = lower:match("^%-%((.*)%)$")
  number = number and "-" .. number or lower
  if number:match(NUMBER) then return number end
  return WORDS[lower], lower:match("^([%a_]+)%(?%d?%)?$") or ""
end

--- The literal's text, or nothing and a function's name, or nothing and why there is neither.
local function read_mysql(column)
  local text = column.default
  if column.default_is_expression then
    if text:find("[\x80-\xff]") then return nil, nil, defaults.UNCERTAIN end
    -- Quotes and backslashes are escaped once more where an expression is kept.
    return read_expression((text:gsub("\\(.)", "%1")))
  end
  if column.kind == "S" and text:lower():find("^current_timestamp") then
    return nil, "current_timestamp"
  end
  if column.type == "timestamp" then
    return nil, nil, "the server does not say in which time zone it is"
  end
  if column.kind == "x" and text ~= "" then
    -- The server cuts what it shows at the first zero byte: only a full value is surely whole.
    local hex = text:match("^0x(%x*)$")
    if not hex or #hex // 2 ~= column.length then
      return nil, nil, "the server does not show all of it"
    end
    return (hex:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end))
  end
  return text
end

local function read_mariadb(column)
  local value, name = read_expression(column.default)
  if value and column.kind == "x" and value:find("[?\x80-\xff]") then
    return nil, nil, "the server does not show its bytes"
  end
  return value, name
end

--- b'101': both servers leave out leading zeros.
local function read_bits(column)
  local bits = column.default:match("^b'([01]+)'$")
  if not bits then return nil, column.default:lower() ~= "null" and "" or nil end
  return ("0"):rep(column.length - #bits) .. bits
end

-- ---- what PostgreSQL says ----

local NOW = { current_timestamp = true, now = true, localtime = true, localtimestamp = true }
local TODAY = { curdate = true, current_date = true }
local CLOCK = { curtime = true, current_time = true }

--- The present moment, as the column's type has it.
local function present(column, name)
  local fraction = column.fraction or 0
  if column.kind == "S" and NOW[name] then
    return ("%s(%d)"):format(column.type == "timestamp" and "current_timestamp" or "localtimestamp",
      fraction)
  end
  if column.kind == "D" and (NOW[name] or TODAY[name]) then return "current_date" end
  if column.kind == "T" and (NOW[name] or CLOCK[name]) then
    return ("localtime(%d)"):format(fraction)
  end
  return nil
end

local NO_YEAR = "PostgreSQL has no year 0"

local write = {}

function write.b(text) return text end
function write.i(text) return text end
write.d, write.f, write.g = write.i, write.i, write.i

function write.t(_, value, column)
  if defaults.is_uncertain(value) then return nil, defaults.UNCERTAIN end
  if value:find("\0", 1, true) then return nil, "PostgreSQL's text holds no zero bytes" end
  return defaults.literal(column.type == "char" and value:gsub(" +$", "") or value)
end

local function hex_digits(c) return ("%02x"):format(c:byte()) end

function write.x(_, value)
  return defaults.literal("\\x" .. value:gsub(".", hex_digits))
end

function write.D(text)
  if text:find("^0000") then return nil, NO_YEAR end
  return defaults.literal(text)
end

function write.T(text)
  local hours, rest = text:match("^(%d+):(.*)$")
  if not hours or tonumber(hours) > 24 or tonumber(hours) == 24 and rest:find("[1-9]") then
    return nil, "PostgreSQL's time is within one day"
  end
  return defaults.literal(text)
end

function write.S(text, _, column)
  if text:find("^0000") then return nil, NO_YEAR end
  return defaults.literal(column.type == "timestamp" and text .. "+00" or text)
end

function write.B(text) return ("B'%s'"):format(text) end
function write.u(text) return defaults.literal(text) end

function write.j(_, value)
  if defaults.is_uncertain(value) then return nil, defaults.UNCERTAIN end
  return defaults.literal(value)
end

--- The column's default in PostgreSQL's words. Nothing when there is none; nothing and why when
--- there is one that cannot be said.
---@param column table      as schema/mysql.lua describes it
---@param kind string       the kind that the model gives it
---@param product string    "mysql" or "mariadb"
---@return string|nil, string|nil
function defaults.translate(column, kind, product)
  if not column.default then return nil end
  local read = product == "mariadb" and read_mariadb or read_mysql
  if column.type == "bit" then read = read_bits end
  local value, name, why = read(column)
  if why then return nil, why end
  if not value then
    if not name then return nil end
    local text = present(column, name)
    return text, not text and "it is an expression" or nil
  end
  local ok, packed = pcall(core.pack, kind, { value })
  if not ok then return nil, ("it is no %s"):format(core.kind_name(kind)) end
  return write[kind](core.texts(kind, packed)[1], value, column)
end

return defaults
