--- The .env file: NAME=value, one a line.
---
--- `export ` before a name is allowed; `#` starts a comment at the start of a line or after a
--- blank; 'single quotes' are literal; "double quotes" know \n \t \r \" \$ and \\. Nothing is
--- expanded. A line that is none of this is an error and not skipped; no value is ever part of a
--- message.

local errors = require "dualdb.errors"

local env_file = {}

local ESCAPES = { n = "\n", t = "\t", r = "\r", ['"'] = '"', ["\\"] = "\\", ["$"] = "$" }

--- What is inside of a value that starts with a double quote, and what is behind it.
local function double_quoted(text)
  local parts, at = {}, 2
  while true do
    local stop = text:find('["\\]', at)
    if not stop then return nil, nil, "a double quote is not closed" end
    parts[#parts + 1] = text:sub(at, stop - 1)
    if text:sub(stop, stop) == '"' then return table.concat(parts), text:sub(stop + 1) end
    local escaped = ESCAPES[text:sub(stop + 1, stop + 1)]
    if not escaped then
      return nil, nil, [[a backslash in double quotes is followed by none of n t r " $ \]]
    end
    parts[#parts + 1] = escaped
    at = stop + 2
  end
end

--- The value that the text behind `=` stands for; or nil and what is wrong with it.
local function value_of(text)
  local quote = text:match("^['\"]")
  if not quote then
    if text:match("^#") then return text end
    return (text:gsub("%s+#.*$", ""):gsub("%s+$", ""))
  end
  local value, behind, wrong
  if quote == '"' then
    value, behind, wrong = double_quoted(text)
  else
    value, behind = text:match("^'([^']*)'(.*)$")
    wrong = not value and "a single quote is not closed" or nil
  end
  if wrong then return nil, wrong end
  if not behind:match("^%s*$") and not behind:match("^%s+#") then
    return nil, "there is text behind the closing quote"
  end
  return value
end

--- The name and value of a line; or nil and what is wrong with it.
local function parse_line(line)
  if line:find("\0", 1, true) then return nil, "there is a NUL byte" end
  local name, blanks, text = line:match("^%s*([%a_][%w_]*)%s*=(%s*)(.*)$")
  if not name then
    name, blanks, text = line:match("^%s*export%s+([%a_][%w_]*)%s*=(%s*)(.*)$")
  end
  if not name then return nil, "expected NAME=value" end
  if blanks ~= "" and text:match("^#") then text = "" end
  local value, wrong = value_of(text)
  if wrong then return nil, wrong end
  return name, value
end

--- The variables of a .env file. `path` is for messages.
---@param text string
---@param path string
---@return table<string, string>
function env_file.parse(text, path)
  local values, lines, number = {}, {}, 0
  text = text:gsub("^\xEF\xBB\xBF", "")
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    line = line:gsub("\r$", "")
    if not line:match("^%s*$") and not line:match("^%s*#") then
      local name, value = parse_line(line)
      local wrong = not name and value
      if name and lines[name] then
        wrong = ("%s is set already in line %d"):format(name, lines[name])
      end
      if wrong then
        error(errors.make("config", ("%s:%d: %s"):format(path, number, wrong),
          { file = path, line = number }))
      end
      values[name], lines[name] = value, number
    end
  end
  return values
end

return env_file
