--- The addresses of both databases, as URLs.
---
--- A URL holds a password, and a URL that is written wrongly holds it where it is not expected. So
--- no message quotes any part of one, but for the names of its attributes.

local errors = require "dualdb.errors"
local naming = require "dualdb.naming"

local url = {}

--- What a MySQL URL takes behind its question mark.
local MYSQL_ATTRIBUTES = {
  "charset", "connect-timeout", "socket", "ssl-ca", "ssl-cert", "ssl-key", "ssl-mode",
}
--- What a table of MySQL settings takes.
local MYSQL_SETTINGS = {
  "connect-timeout", "dbname", "host", "password", "port", "socket", "ssl-ca", "ssl-cert",
  "ssl-key", "ssl-mode", "user",
}
local SSL_MODES = { "disabled", "preferred", "required", "verify-ca", "verify-identity" }
local ENCODE = "Percent-encode @ : / ? # and % in the name of the user and in the password."
local SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

local function contains(list, value)
  for _, entry in ipairs(list) do
    if entry == value then return true end
  end
  return false
end

--- Raises; `where` says where the URL comes from, and `hint` is optional.
local function fail(where, message, hint)
  error(errors.make("config", ("%s: %s"):format(where or "url", message), { hint = hint }))
end

local function unknown(where, kind, name, candidates)
  local near = naming.nearest(name, candidates)
  fail(where, ("unknown %s %s"):format(kind, name) .. (near and (", did you mean %s?"):format(near)
    or (", known are " .. table.concat(candidates, ", "))))
end

local function decode(text, where)
  local rest = text:gsub("%%%x%x", "")
  if rest:find("%", 1, true) then fail(where, "a % is not followed by two hex digits", ENCODE) end
  local decoded = text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  if decoded:find("\0", 1, true) then fail(where, "there is a NUL byte") end
  return decoded
end

--- The scheme and what is behind it; nil when there is none.
local function split_scheme(text)
  local scheme, rest = text:match("^(%a[%w+.-]*)://(.*)$")
  return scheme and scheme:lower(), rest or text
end

--- The scheme of a URL in lower case; nil when there is none.
---@param text string
---@return string|nil
function url.scheme(text)
  return (split_scheme(text))
end

--- Cuts [user[:password]@]target[/path][?query]. A socket's path may stand in parentheses.
local function split(rest, where)
  local authority, tail = rest:match("^([^@/?]*@%([^()]*%))(.*)$")
  if not authority then authority, tail = rest:match("^(%([^()]*%))(.*)$") end
  if not authority then authority, tail = rest:match("^([^/?]*)(.*)$") end
  local userinfo, target = authority:match("^(.*)@(.*)$")
  local path, query = tail:match("^([^?]*)%??(.*)$")
  -- An @ behind the host is a password with a raw / or ? in it: nothing of it is what it seems.
  if path:find("@", 1, true) or (query:find("@", 1, true) and not userinfo) then
    fail(where, "there is an @ behind the host", ENCODE)
  end
  local parts = { target = target or authority, query = query }
  if path ~= "" and not path:match("^/") then fail(where, "there is text behind the host") end
  parts.path = path:sub(2)
  if parts.path:find("/", 1, true) then
    fail(where, "there is a / in the name of the database", ENCODE)
  end
  if userinfo then
    local user, password = userinfo:match("^([^:]*):(.*)$")
    parts.user, parts.password = user or userinfo, password
  end
  return parts
end

--- Host and port of `host`, `host:port`, `[ipv6]` or `[ipv6]:port`, not decoded.
local function split_host(target, where)
  local host, port = target:match("^%[([%x:.%%%w]*)%](.*)$")
  if host then
    if port ~= "" and not port:match("^:") then fail(where, "there is text behind the ]") end
    port = port:sub(2)
  else
    host, port = target:match("^([^:]*):?(.*)$")
  end
  if port ~= "" then
    local number = port:match("^%d+$") and #port <= 5 and tonumber(port)
    if not number or number < 1 or number > 65535 then
      fail(where, "the port is not a number from 1 to 65535",
        "An IPv6 address stands in brackets. " .. ENCODE)
    end
  end
  return host, port
end

local function text_or_nil(text, where)
  if text == nil or text == "" then return nil end
  return decode(text, where)
end

--- Calls each(name, value) for what is behind the question mark, decoded.
local function each_attribute(query, where, each)
  local seen = {}
  for pair in query:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]+)=(.*)$")
    if not name then fail(where, "an attribute has no value", ENCODE) end
    name, value = decode(name, where), decode(value, where)
    if not name:match("^[%a][%w_-]*$") then
      fail(where, "the name of an attribute is not a word", ENCODE)
    end
    local key = each(name, value)
    if seen[key] then fail(where, ("attribute %s is there twice"):format(key)) end
    seen[key] = true
  end
end

--- Checks MySQL settings and brings the value of ssl-mode into its one form.
local function check_mysql(settings, where)
  local mode = settings["ssl-mode"]
  if mode then
    local known = mode:lower():gsub("_", "-")
    if not contains(SSL_MODES, known) then
      fail(where, "ssl-mode is none of " .. table.concat(SSL_MODES, ", "))
    end
    settings["ssl-mode"] = known
  end
  local timeout = settings["connect-timeout"]
  if timeout and not (timeout:match("^%d+%.?%d*$") and tonumber(timeout) > 0) then
    fail(where, "connect-timeout is not a number of seconds")
  end
  local port = tonumber(settings.port or 1)
  if not port or port % 1 ~= 0 or port < 1 or port > 65535 then
    fail(where, "the port is not a number from 1 to 65535")
  end
  local host = settings.host
  if settings.socket and host and not url.is_local { host = host } then
    fail(where, "a socket and the host of another machine are both given")
  end
  return settings
end

--- The settings of [scheme://][user[:password]@]host[:port][/schema][?attribute=value...].
--- A socket is `?socket=/path`, `(/path)` in place of the host, or a percent-encoded path there.
---@param text string
---@param opts { where: string|nil }|nil   where the URL comes from, for messages
---@return table<string, string>
function url.mysql(text, opts)
  local where = opts and opts.where
  local scheme, rest = split_scheme(text)
  if scheme and scheme ~= "mysql" and scheme ~= "mariadb" then
    fail(where, "this is not a MySQL URL", "It starts with mysql:// or mariadb://.")
  end
  local parts = split(rest, where)
  local settings = {
    user = text_or_nil(parts.user, where), password = text_or_nil(parts.password, where),
    dbname = text_or_nil(parts.path, where),
  }
  local socket = parts.target:match("^%((.*)%)$")
  if socket then
    settings.socket = text_or_nil(socket, where)
  else
    local host, port = split_host(parts.target, where)
    settings.host, settings.port = text_or_nil(host, where), port ~= "" and port or nil
    if settings.host and settings.host:match("^/") then
      settings.socket, settings.host = settings.host, nil
    end
  end
  each_attribute(parts.query, where, function(name, value)
    local key = name:lower():gsub("_", "-")
    if not contains(MYSQL_ATTRIBUTES, key) then
      unknown(where, "attribute", name, MYSQL_ATTRIBUTES)
    end
    if key == "charset" then
      if value:lower() ~= "utf8mb4" then fail(where, "charset is not utf8mb4, the only one") end
    elseif settings[key] then
      fail(where, ("attribute %s is there twice"):format(key))
    else
      settings[key] = value ~= "" and value or nil
    end
    return key
  end)
  return check_mysql(settings, where)
end

--- libpq before 16 takes sslrootcert=system for a file's name; what it means is this.
local function translate_system_authorities(settings, opts)
  local version = opts and opts.libpq_version
  if settings.sslrootcert == "system" and version and version < 160000 then
    settings.sslrootcert = SYSTEM_AUTHORITIES
    settings.sslmode = settings.sslmode or "verify-full"
  end
  return settings
end

--- The settings, as keywords of libpq, of
--- postgresql://[user[:password]@][host[:port],...][/database][?attribute=value...].
--- Attributes are handed on as they are; libpq refuses those that it does not know.
---@param text string
---@param opts { where: string|nil, libpq_version: integer|nil }|nil
---@return table<string, string>
function url.postgres(text, opts)
  local where = opts and opts.where
  local scheme, rest = split_scheme(text)
  if scheme ~= "postgres" and scheme ~= "postgresql" then
    fail(where, "this is not a PostgreSQL URL", "It starts with postgresql:// or postgres://.")
  end
  local parts = split(rest, where)
  local settings = {
    user = text_or_nil(parts.user, where), password = text_or_nil(parts.password, where),
    dbname = text_or_nil(parts.path, where),
  }
  local hosts, ports, any_port = {}, {}, false
  for target in (parts.target .. ","):gmatch("([^,]*),") do
    local host, port = split_host(target, where)
    hosts[#hosts + 1], ports[#ports + 1] = decode(host, where), port
    any_port = any_port or port ~= ""
  end
  local host = table.concat(hosts, ",")
  settings.host = host:find("[^,]") and host or nil
  settings.port = any_port and table.concat(ports, ",") or nil
  each_attribute(parts.query, where, function(name, value)
    if name == "ssl" and value == "true" then name, value = "sslmode", "require" end
    settings[name] = value ~= "" and value or nil
    return name
  end)
  return translate_system_authorities(settings, opts)
end

--- The setting's name as the driver has it; `_` and `-` are the same in MySQL's.
local function setting_name(driver, name)
  if driver == "mysql" then name = name:lower():gsub("_", "-") end
  if name == "database" then return "dbname" end
  return name
end

--- Settings that were given as a table in place of a URL: checked, every value text.
---@param driver "mysql"|"postgres"
---@param given table
---@param opts { where: string|nil, libpq_version: integer|nil }|nil
---@return table<string, string>
function url.settings(driver, given, opts)
  local where = opts and opts.where
  local settings = {}
  for name, value in pairs(given) do
    if type(name) ~= "string" then fail(where, "the name of a setting is not text") end
    local key = setting_name(driver, name)
    if driver == "mysql" and not contains(MYSQL_SETTINGS, key) then
      unknown(where, "setting", name, MYSQL_SETTINGS)
    end
    if type(value) ~= "string" and math.type(value) == nil then
      fail(where, ("setting %s is neither text nor a number"):format(name))
    end
    if settings[key] then fail(where, ("setting %s is there twice"):format(key)) end
    local whole = math.type(value) == "float" and value % 1 == 0
    value = whole and ("%d"):format(value) or tostring(value)
    if value:find("\0", 1, true) then fail(where, ("setting %s has a NUL byte"):format(name)) end
    settings[key] = value ~= "" and value or nil
  end
  if driver == "mysql" then return check_mysql(settings, where) end
  return translate_system_authorities(settings, opts)
end

--- What stands behind scheme:// with its password hidden.
local function mask_rest(rest)
  local before, behind = rest:match("^(.*)@(.*)$")
  if before then
    local user = before:match("^([^:/?]*)")
    return (user == before and user or user .. ":***") .. "@" .. behind
  end
  -- Nothing says where the host starts: what is behind a colon is shown when it is a port.
  local name, secret, tail = rest:match("^([^:/?%[]*):([^/?]*)(.*)$")
  if not name or secret:match("^[%d,:]*$") then return rest end
  return name .. ":***" .. tail
end

--- The text with every password of a URL in it replaced by ***.
---@param text string
---@return string
function url.mask(text)
  local masked
  local scheme, rest = text:match("^(%a[%w+.-]*://)(.*)$")
  if scheme and not rest:find("://", 1, true) then
    masked = scheme .. mask_rest(rest)
  elseif text:find("://", 1, true) then
    masked = text:gsub("(%a[%w+.-]*://)([^%s'\"]*)", function(start, behind)
      return start .. mask_rest(behind)
    end)
  else
    masked = text:gsub("^([^:/@%s]+):(.*)@", "%1:***@")
  end
  local word = "([Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd]%s*=%s*)"
  masked = masked:gsub(word .. "'[^']*'", "%1***"):gsub(word .. '"[^"]*"', "%1***")
  return (masked:gsub(word .. "[^%s&'\"*][^%s&]*", "%1***"))
end

local function is_local_host(host)
  host = host:lower()
  return host == "" or host == "localhost" or host == "::1" or host:match("^[/@]") ~= nil
    or host:match("^127%.%d+%.%d+%.%d+$") ~= nil
end

--- Whether the settings lead to this machine: no host, a socket, or the loopback.
---@param settings table<string, string>
---@return boolean
function url.is_local(settings)
  if settings.service then return false end
  for _, name in ipairs { "host", "hostaddr" } do
    for host in ((settings[name] or "") .. ","):gmatch("([^,]*),") do
      if not is_local_host(host) then return false end
    end
  end
  return true
end

return url
