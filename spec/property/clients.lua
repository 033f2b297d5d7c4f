--- The oracle: what both servers' own clients say that a table holds. None of it passes through
--- dualdb.

local clients = {}

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

--- How each form is shown so that equal values give equal text: { MySQL, PostgreSQL }.
local FORMS = {
  plain = { "%s", "%s" },
  bool = { "%s", "%s::int" },
  year = { "%s + 0", "%s" },
  bit = { "%s + 0", "%s::int" },
  bits = { "bin(%s + 0)", "%s::text" },
  number = { "cast(%s as double)", "%s::float8" },
  text = { "hex(convert(%s using utf8mb4))", "upper(encode(convert_to(%s, 'UTF8'), 'hex'))" },
  uuid = { "%s", "%s::text" },
  uuid_bytes = { "lower(hex(%s))", "replace(%s::text, '-', '')" },
  interval = { "%s", "%s" },
  bytes = { "hex(%s)", "upper(encode(%s, 'hex'))" },
  json = { "hex(convert(%s using utf8mb4))", "upper(encode(convert_to(%s::text, 'UTF8'), 'hex'))" },
  time = { "time_format(%s, '%%H:%%i:%%s.%%f')", "to_char(%s, 'HH24:MI:SS.US')" },
  moment = { "date_format(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')",
             "to_char(%s, 'YYYY-MM-DD HH24:MI:SS.US')" },
  zoned = { "date_format(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')",
            "to_char(%s at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')" },
}

local function query(case, name, which)
  local list = {}
  for i, column in ipairs(case.columns) do
    list[i] = FORMS[column.form][which]:format(column.name)
  end
  return ("select %s from %s"):format(table.concat(list, ", "), name)
end

--- Runs a client with text on its standard input; fails unless it ends well.
local function run(command, input)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(input)
  file:close()
  local pipe = assert(io.popen(("%s <%s 2>&1"):format(command, path)))
  local output = pipe:read "a"
  local ok = pipe:close()
  os.remove(path)
  if not ok then error(("%s: %s"):format(command:match "^%S+", output:sub(1, 2000)), 0) end
  return output
end

local function mysql(sql)
  local program = quote(os.getenv "DUALDB_SANDBOX_MYSQL")
  return run(program .. " --default-character-set=utf8mb4 -N -B chatdb", sql)
end

local function from_hex(text)
  return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

--- Numbers by their bits, also -0; bits without the zeros in front, and JSON without the blanks,
--- which only one of the servers writes.
local function normal(form, text)
  if text == "NULL" then return text end
  if form == "number" then
    return ("%a"):format(assert(tonumber(text:find "[.eE]" and text or text .. "e0"), text))
  end
  if form == "interval" then return (text:gsub("(%.%d-)0+$", "%1"):gsub("%.$", "")) end
  if form == "bits" then return (text:gsub("^0+(.)", "%1")) end
  if form == "json" then return (from_hex(text):gsub(", ", ","):gsub(": ", ":")) end
  return text
end

--- The rows as sorted texts.
local function lines(case, output)
  local list = {}
  for line in output:gmatch "[^\n]+" do
    local fields, i = {}, 0
    for text in (line .. "\t"):gmatch "([^\t]*)\t" do
      i = i + 1
      fields[i] = normal(case.columns[i].form, text)
    end
    list[#list + 1] = table.concat(fields, "\t")
  end
  table.sort(list)
  return list
end

--- Runs SQL on the primary.
---@param sql string
function clients.load(sql) mysql(sql) end

---@param case spec.GeneratedTable
---@return string[]
function clients.primary(case, name)
  local session = "set time_zone = '+00:00'; set names utf8mb4;\n"
  return lines(case, mysql(session .. query(case, name, 1)))
end

---@param case spec.GeneratedTable
---@return string[]
function clients.secondary(case, name)
  local command = ("PGDATABASE=chatdb PGCLIENTENCODING=UTF8 %s -q -At -F '\t' -P null=NULL "
    .. "-v ON_ERROR_STOP=1"):format(quote(os.getenv "DUALDB_SANDBOX_PSQL"))
  return lines(case, run(command, query(case, name, 2)))
end

return clients
