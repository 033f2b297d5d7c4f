--- How SQL of each server writes a value, so that both write two values alike if and only if their
--- canonical bytes are the same (core/row/CANONICAL.md, *In SQL*). What a pair of types is not in
--- here for, no server's SQL can write as the other's does.
---
--- A value of few forms stands in the head of a row's text, where commas part the columns. Texts
--- and bytes may contain anything: the head has their length, and they follow behind it.

local render = {}

---@class dualdb.Rendered    a column in the SQL of one side
---@field head string        what stands in the head: the value, its length, or N for NULL
---@field tail string|nil    what follows behind the head; the empty text for NULL
---@field bytes boolean|nil  the tail is bytes and no text

-- ---- the primary ----

--- A value as bytes without the zeros at the end of its fraction, which has to have a point.
local function without_zeros(name)
  return ("trim(trailing _binary'.' from trim(trailing _binary'0' from cast(%s as binary)))")
    :format(name)
end

--- The same bytes in UTF-8.
local UTF8 = { utf8mb4 = true, utf8mb3 = true, utf8 = true, ascii = true }

local function text_of(name, column)
  if not column.charset then return ("cast(%s as char character set utf8mb4)"):format(name) end
  if UTF8[column.charset] then return name end
  return ("convert(%s using utf8mb4)"):format(name)
end

--- Hexadecimal digits alone are as good as those with hyphens.
local function uuid_text(name, column)
  local text = text_of(name, column)
  return ("lower(if(char_length(%s) = 32, concat_ws('-', left(%s, 8), substr(%s, 9, 4), "
    .. "substr(%s, 13, 4), substr(%s, 17, 4), substr(%s, 21)), %s))")
    :gsub("%%s", (text:gsub("%%", "%%%%")))
end

--- Numbers that are written with leading zeros, or as bytes: + 0 makes plain ones of them.
local function number(name, column)
  local padded = column.type == "year" or column.type == "bit"
    or column.column_type:find("zerofill", 1, true)
  return padded and name .. " + 0" or name
end

local function same_scale(column)
  local scale = column.primary.scale
  if column.other.type ~= "numeric" then return scale == 0 end  -- an integer type
  return column.other.scale == scale
end

local primary = {}

function primary.b(name, column) return number(name, column.primary) end
function primary.i(name, column) return number(name, column.primary) end
function primary.D(name) return name end

function primary.d(name, column)
  local plain = number(name, column.primary)
  local whole = (column.primary.scale or 0) == 0
  return (whole or same_scale(column)) and plain or without_zeros(plain)
end

function primary.T(name, column)
  return (column.primary.fraction or 0) == 0 and name or without_zeros(name)
end

primary.S = primary.T

function primary.B(name, column)
  return ("lpad(bin(%s + 0), %d, '0')"):format(name, column.primary.length)
end

function primary.t(name, column) return text_of(name, column.primary), "text" end
function primary.x(name) return name, "bytes" end

function primary.u(name, column)
  local write = column.primary.kind == "t" and uuid_text or text_of
  return write(name, column.primary), "text"
end

-- ---- the secondary ----

local PLAIN_TEXT = { text = true, varchar = true }

local secondary = {}

function secondary.b(name) return name .. "::integer" end

function secondary.i(name, column)
  return column.other.type == "bool" and name .. "::integer" or name
end

function secondary.d(name, column)
  return same_scale(column) and name or ("trim_scale(%s)"):format(name)
end

function secondary.D(name) return name end
function secondary.T(name) return name end

function secondary.S(name, column)
  return column.other.type == "timestamptz" and ("(%s at time zone 'UTC')"):format(name) or name
end

function secondary.B(name) return name end

function secondary.t(name, column)
  return PLAIN_TEXT[column.other.type] and name or name .. "::text", "text"
end

function secondary.x(name, column)
  return column.other.type == "uuid" and ("uuid_send(%s)"):format(name) or name, "bytes"
end

function secondary.u(name) return name .. "::text", "text" end

-- ---- both ----

local SIDES = { primary = primary, secondary = secondary }

--- Pairs of natural kinds, the primary's first, that both write alike.
local ALIKE = {}
for pair in ("bb bi ib ii id dd di tt xx DD TT SS BB Bb tu xu uu"):gmatch "%S+" do
  ALIKE[pair] = true
end

--- Types whose values their server writes in a way that the other one has not.
local OTHERWISE = { timetz = true, interval = true }

--- Whether both servers write the values of a column alike in SQL.
---@param column table   of pairing.columns, with its counterpart
---@return boolean
function render.alike(column)
  return ALIKE[column.primary.kind .. column.other.kind] and secondary[column.kind] ~= nil
    and not OTHERWISE[column.other.type]
end

local NULL = { primary = "ifnull(%s, 'N')", secondary = "coalesce((%s)::text, 'N')" }
local EMPTY = {
  primary = { text = "ifnull(%s, '')", bytes = "ifnull(%s, '')" },
  secondary = { text = "coalesce(%s, '')", bytes = "coalesce(%s, ''::bytea)" },
}

---@param side "primary"|"secondary"
---@param name string      quoted
---@param column table     of pairing.columns; render.alike(column) holds
---@return dualdb.Rendered
function render.column(side, name, column)
  local nullable = (side == "primary" and column.primary or column.other).nullable
  local value, tail = SIDES[side][column.kind](name, column)
  local head = tail and ("octet_length(%s)"):format(value) or value
  if nullable then head = NULL[side]:format(head) end
  if not tail then return { head = head } end
  if nullable then value = EMPTY[side][tail]:format(value) end
  return { head = head, tail = value, bytes = tail == "bytes" }
end

-- ---- rows ----

--- Arguments that one call of a function may have on the secondary are 100.
local MOST_ARGUMENTS = 90

--- The texts with commas between, of any number.
local function joined(list)
  if #list <= MOST_ARGUMENTS then
    return ("concat_ws(',', %s)"):format(table.concat(list, ", "))
  end
  local groups = {}
  for from = 1, #list, MOST_ARGUMENTS do
    groups[#groups + 1] = joined { table.unpack(list, from, from + MOST_ARGUMENTS - 1) }
  end
  return joined(groups)
end

local function parts_of(spec, side, count)
  local texts, tails, bytes = {}, {}, {}
  for i = 1, count do
    local part = render.column(side, spec.statements[side].columns[i], spec.columns[i])
    texts[i] = part.head
    if part.tail then table.insert(part.bytes and bytes or tails, part.tail) end
  end
  return table.move(tails, 1, #tails, #texts + 1, texts), bytes
end

local WRITE = {}

--- One call with all that is in it is the cheapest form there.
function WRITE.primary(texts, bytes)
  local all = table.concat(texts, ", ',', ")
  if #bytes > 0 then all = all .. ", ',', " .. table.concat(bytes, ", ") end
  return ("concat(%s)"):format(all)
end

function WRITE.secondary(texts, bytes)
  if #bytes == 0 then return ("convert_to(%s, 'UTF8')"):format(joined(texts)) end
  texts[#texts + 1] = "''"  -- for the comma before the bytes
  return ("convert_to(%s, 'UTF8') || %s"):format(joined(texts), table.concat(bytes, " || "))
end

--- The text of a row's first columns, as bytes: that of all of them, or of the key.
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@param count integer
---@return string
function render.row(spec, side, count)
  return WRITE[side](parts_of(spec, side, count))
end

--- The first column that the servers do not write alike, as a sentence; nil when there is none.
---@param spec dualdb.Spec
---@return string|nil
function render.problem(spec)
  for _, column in ipairs(spec.columns) do
    if not render.alike(column) then
      return ("column %s: %s and %s are not written alike in SQL"):format(column.name,
        column.primary.column_type, column.other.column_type)
    end
  end
  return nil
end

return render
