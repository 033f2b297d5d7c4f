-- dualdb shell primary|secondary: the database's own client, connected.

local core = require "dualdb.core"
local errors = require "dualdb.errors"

local command = {
  name = "shell",
  summary = "the database's own client (mariadb or mysql, psql), connected to a side",
}

function command.add_to_parser(cmd)
  cmd:argument("side", "primary or secondary"):choices { "primary", "secondary" }
end

local function output_of(command_line)
  local pipe = io.popen(command_line .. " 2>/dev/null")
  local said = pipe and pipe:read("a") or ""
  if pipe then pipe:close() end
  return said
end

--- What each client calls the ways of TLS.
local TLS = {
  mariadb = {
    disabled = { "--skip-ssl" }, preferred = {}, required = { "--ssl" },
    ["verify-ca"] = { "--ssl", "--ssl-verify-server-cert" },
    ["verify-identity"] = { "--ssl", "--ssl-verify-server-cert" },
  },
}

local function tls_words(is_mariadb, mode)
  if not mode then return {} end
  if is_mariadb then return TLS.mariadb[mode] or {} end
  return { "--ssl-mode=" .. mode:upper():gsub("-", "_") }
end

local MYSQL_OPTIONS = {
  { "port", "--port" }, { "user", "--user" }, { "ssl-ca", "--ssl-ca" },
  { "ssl-cert", "--ssl-cert" }, { "ssl-key", "--ssl-key" },
}

--- The words that run the client, and what it needs in its environment: the password is nowhere
--- else.
local function mysql(settings)
  local version = output_of("mariadb --version")
  local program = version ~= "" and "mariadb" or "mysql"
  if version == "" then version = output_of("mysql --version") end
  local argv = { program, "--default-character-set=utf8mb4" }
  if settings.socket then
    argv[#argv + 1] = "--protocol=socket"
    argv[#argv + 1] = "--socket=" .. settings.socket
  else
    argv[#argv + 1] = "--protocol=tcp"
    argv[#argv + 1] = "--host=" .. (settings.host or "127.0.0.1")
  end
  for _, option in ipairs(MYSQL_OPTIONS) do
    if settings[option[1]] then argv[#argv + 1] = option[2] .. "=" .. settings[option[1]] end
  end
  for _, word in ipairs(tls_words(version:find("MariaDB", 1, true) ~= nil, settings["ssl-mode"])) do
    argv[#argv + 1] = word
  end
  if settings.dbname then argv[#argv + 1] = "--database=" .. settings.dbname end
  return argv, settings.password and { "MYSQL_PWD=" .. settings.password } or {}
end

local SECRET = { password = true, sslpassword = true }

local function postgres(settings)
  local names, words = {}, {}
  for name in pairs(settings) do
    if not SECRET[name] then names[#names + 1] = name end
  end
  table.sort(names)
  for i, name in ipairs(names) do
    words[i] = ("%s='%s'"):format(name, (settings[name]:gsub("[\\']", "\\%0")))
  end
  return { "psql", table.concat(words, " ") },
    settings.password and { "PGPASSWORD=" .. settings.password } or {}
end

---@return integer exit_code
function command.command(args, out)
  if out.json then errors.usage("shell: the client's output is not --json") end
  local settings = args.db().config[args.side]
  local argv, environment = (args.side == "primary" and mysql or postgres)(settings)
  io.stdout:flush()
  return core.exec(argv, environment)
end

return command
