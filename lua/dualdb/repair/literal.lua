--- Values as literals of a dialect, for statements that people read, keep, or run by the server's
--- own client.

local core = require "dualdb.core"

local literal = {}

local HEX = {}
for code = 0, 255 do HEX[string.char(code)] = ("%02x"):format(code) end

local function hex(bytes) return (bytes:gsub(".", HEX)) end

--- What the mysql client would change on its way: it reads lines, and no NUL bytes.
local MYSQL_ESCAPES = { ["\\"] = "\\\\", ["'"] = "''", ["\0"] = "\\0", ["\r"] = "\\r",
                        ["\26"] = "\\Z" }

--- A copy of a text of megabytes is made only where there is something to escape.
local function mysql_text(text)
  if not text:find("[\\'%z\r\26]") then return "'" .. text .. "'" end
  return "'" .. text:gsub("[\\'%z\r\26]", MYSQL_ESCAPES) .. "'"
end

local CONTROL = "[\1-\8\11-\31\127]"

--- Control characters other than tabs and ends of lines are written as escapes.
local function postgres_text(text)
  if text:find(CONTROL) then
    return "E'" .. text:gsub("['\\]", "%0%0"):gsub(CONTROL, function(c)
      return ("\\x%02x"):format(c:byte())
    end) .. "'"
  end
  if text:find("'", 1, true) then text = text:gsub("'", "''") end
  return "'" .. text .. "'"
end

local QUOTED = { mysql = mysql_text, postgres = postgres_text }

--- MySQL takes '100:00:00.000000' for the year 100; the form with days is taken for nothing else.
local function mysql_time(text)
  local sign, hours, rest = text:match "^(%-?)(%d+)(:.*)$"
  if not hours or #hours < 3 then return mysql_text(text) end
  return ("'%s%d %02d%s'"):format(sign, hours // 24, hours % 24, rest)
end

--- Years before 1 are BC there: 0000 is 1 BC, and -0043 is 44 BC.
local function postgres_moment(text)
  local year, rest = text:match "^%-(%d+)(.*)$"
  if not year and text:find "^0000%-" then year, rest = "0", text:sub(5) end
  if not year then return postgres_text(text) end
  return ("'%04d%s BC'"):format(math.tointeger(year) + 1, rest)
end

local RAW = { i = true, d = true, f = true, g = true }

local function number(driver, kind, text, compared)
  local plain = text:match "^%-?[%d.eE+-]+$"
  if not plain then return "'" .. text .. "'" end
  if not compared or kind == "i" or kind == "d" then return text end
  -- Compared with a column of 32 bits, the shortest digits of its value are another number.
  if driver == "postgres" then return "'" .. text .. "'" end
  return kind == "f" and ("%.17g"):format(("<f"):unpack(("<f"):pack(tonumber(text)))) or text
end

--- A value as a literal.
---@param driver "mysql"|"postgres"
---@param kind string       a kind's letter
---@param text any          what core.texts gave
---@param compared boolean|nil   it is compared with a column, not stored in it
---@return string
function literal.of(driver, kind, text, compared)
  if text == core.NULL then return "null" end
  if kind == "b" then return text end
  if RAW[kind] then return number(driver, kind, text, compared) end
  if kind == "x" then
    return driver == "mysql" and ("x'%s'"):format(hex(text)) or ("'\\x%s'"):format(hex(text))
  end
  if kind == "B" then return ("b'%s'"):format(text) end
  if kind == "T" and driver == "mysql" then return mysql_time(text) end
  if (kind == "D" or kind == "S") and driver == "postgres" then return postgres_moment(text) end
  return QUOTED[driver](text)
end

return literal
