--- The project file: a Lua script that returns a table; and where in its text a key stands.

local errors = require "dualdb.errors"
local url = require "dualdb.url"

local project = {}

---@class dualdb.Place           where a table of settings comes from, for messages
---@field label string           the file's path, or "dualdb.open"
---@field text string|nil        the file's text without comments
local Place = {}
Place.__index = Place

--- The same text with comments as blanks and without braces inside of strings, line by line as it
--- was, so that keys can be searched for and braces be counted.
local function scrub(text)
  local parts, at = {}, 1
  local function blank(piece) return (piece:gsub("[^\n]", " ")) end
  local function flat(piece) return (piece:gsub("[{}]", "_")) end
  while true do
    local start = text:find("[%-\"'%[]", at)
    if not start then break end
    parts[#parts + 1] = text:sub(at, start - 1)
    local stop
    local comment = text:match("^%-%-()", start)
    local level = text:match("^%[(=*)%[", comment or start)
    if level then
      stop = select(2, text:find("]" .. level .. "]", (comment or start) + #level + 2, true))
    elseif comment then
      stop = text:find("\n", comment, true)
    elseif text:find("^[\"']", start) then
      local quote = text:sub(start, start)
      stop = start + 1
      while stop <= #text and text:sub(stop, stop) ~= quote do
        stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
      end
    else
      stop = start
    end
    stop = math.min(stop or #text, #text)
    parts[#parts + 1] = (comment and blank or flat)(text:sub(start, stop))
    at = stop + 1
  end
  return table.concat(parts) .. text:sub(at)
end

--- A place that is no file.
---@param label string
function project.place(label)
  return setmetatable({ label = label }, Place)
end

local function line_at(text, position)
  return 1 + select(2, text:sub(1, position - 1):gsub("\n", ""))
end

--- Where `key = ` stands between the two positions, the least nested one first; and what its braces
--- enclose.
local function find_key(text, key, first, last)
  local word = key:gsub("%W", "%%%0")
  local found, found_depth, behind
  for _, pattern in ipairs {
    "()%f[%w_]" .. word .. "%f[^%w_]%s*=()[^=]", "()%[%s*[\"']" .. word .. "[\"']%s*%]%s*=()[^=]",
  } do
    local at = first
    while true do
      local start, stop = text:match(pattern, at)
      if not start or start > last then break end
      local before = text:sub(first, start - 1)
      local depth = select(2, before:gsub("{", "")) - select(2, before:gsub("}", ""))
      if not found or depth < found_depth then found, found_depth, behind = start, depth, stop end
      at = stop
    end
  end
  if not found then return nil end
  local open, close = text:match("^%s*()%b{}()", behind)
  return found, open or behind, close or behind
end

--- The line of the last of the nested keys that can be found, or nil.
---@param keys string[]
---@return integer|nil
function Place:line_of(keys)
  if not self.text then return nil end
  local first, last, line = 1, #self.text, nil
  for _, key in ipairs(keys) do
    local start, from, to = find_key(self.text, tostring(key), first, last)
    if not start then break end
    line, first, last = line_at(self.text, start), from, to
  end
  return line
end

--- Raises class `config` for what stands at the nested keys.
---@param keys string[]
---@param format string
function Place:fail(keys, format, ...)
  local line = self:line_of(keys)
  local at = line and ("%s:%d"):format(self.label, line) or self.label
  error(errors.make("config", ("%s: %s"):format(at, format:format(...)),
    { file = self.text and self.label or nil, line = line }))
end

local RESERVED = " and break do else elseif end false for function goto if in local nil not or "
  .. "repeat return then true until while "

--- What Lua says, without the piece of the source that it quotes: that may be a password.
local function without_source(message)
  message = message:gsub(" near '?(.-)'?$", function(token)
    local shown = not token:find("%w") or token == "<eof>"
      or RESERVED:find(" " .. token .. " ", 1, true)
    if not shown then return "" end
  end)
  message = message:gsub(" %(constant '.*'%)", " (a constant)")
  return url.mask(message)
end

local function fail_at(path, line, message)
  local at = line and ("%s:%d"):format(path, line) or path
  error(errors.make("config", ("%s: %s"):format(at, message), { file = path, line = line }))
end

--- The text of the file; nil when there is none and it may be missing.
---@param path string
---@param optional boolean
---@return string|nil
function project.read(path, optional)
  local file, reason, code = io.open(path, "rb")
  if not file then
    if optional and code == 2 then return nil end
    errors.raise("config", "%s", reason)
  end
  local text, failure = file:read("a")
  file:close()
  if not text then errors.raise("config", "%s: %s", path, failure or "cannot be read") end
  return text
end

--- The line of the file that was running, innermost first.
local function running_line(chunk_name)
  for level = 2, 200 do
    local info = debug.getinfo(level, "Sl")
    if not info then return nil end
    if info.source == chunk_name then return info.currentline end
  end
end

--- Runs the project file. It is the user's own code: it has the whole language.
---@param path string
---@param text string
---@return table settings
---@return dualdb.Place
function project.run(path, text)
  text = text:gsub("^\xEF\xBB\xBF", "")
  local chunk_name = "@" .. path
  local chunk, wrong = load(text:gsub("^#[^\n]*", ""), chunk_name, "t")
  if not chunk then
    local line, message = tostring(wrong):match(":(%d+): (.*)$")
    fail_at(path, tonumber(line), without_source(message or tostring(wrong)))
  end
  local ok, result = xpcall(chunk, function(raised)
    return { raised = raised, line = running_line(chunk_name) }
  end)
  if not ok then
    local raised = result.raised
    local message = type(raised) == "table" and raised.message or tostring(raised)
    fail_at(path, result.line, without_source(message:match("^.-:%d+: (.*)$") or message))
  end
  local place = setmetatable({ label = path, text = scrub(text) }, Place)
  if type(result) ~= "table" then
    local last = select(2, place.text:gsub("%s+$", ""):gsub("\n", "")) + 1
    fail_at(path, last, ("the file returns %s and not a table"):format(
      result == nil and "nothing" or "a " .. type(result)))
  end
  return result, place
end

return project
