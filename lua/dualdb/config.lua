--- Where the two databases are and what the project says, from its four sources. The stronger comes
--- first: the argument of dualdb.open (the command line's flags are one), the environment, the .env
--- file, the project file.

local env_file = require "dualdb.env_file"
local errors = require "dualdb.errors"
local project = require "dualdb.config.project"
local shape = require "dualdb.config.shape"
local url = require "dualdb.url"

local config = {}

--- Variables that make up one address: the setting each of them is.
local SIDES = {
  primary = {
    driver = "mysql", database = "MySQL", own = "DUALDB_PRIMARY_URL", named = "MYSQL_URL",
    schemes = { mysql = true, mariadb = true },
    parts = {
      { "MYSQL_HOST", "host" }, { "MYSQL_PORT", "port" }, { "MYSQL_SOCKET", "socket" },
      { "MYSQL_USER", "user" }, { "MYSQL_PASSWORD", "password" }, { "MYSQL_DATABASE", "dbname" },
    },
    defining = { "host", "socket", "dbname" },
    help = "set DUALDB_PRIMARY_URL, MYSQL_URL, DATABASE_URL with a mysql scheme, or MYSQL_HOST, "
      .. "MYSQL_PORT, MYSQL_SOCKET, MYSQL_USER, MYSQL_PASSWORD and MYSQL_DATABASE",
  },
  secondary = {
    driver = "postgres", database = "PostgreSQL", own = "DUALDB_SECONDARY_URL",
    named = "POSTGRES_URL", schemes = { postgres = true, postgresql = true },
    parts = {
      { "NEON_HOST", "host" }, { "NEON_PORT", "port" }, { "NEON_USER", "user" },
      { "NEON_PASSWORD", "password" }, { "NEON_DATABASE", "dbname" },
    },
    defining = { "host" },
    help = "set DUALDB_SECONDARY_URL, POSTGRES_URL, DATABASE_URL with a postgres scheme, or "
      .. "NEON_HOST, NEON_PORT, NEON_USER, NEON_PASSWORD and NEON_DATABASE",
  },
}

--- What a URL may leave to single variables, so that it needs no secret in it.
local LEFT_TO_PARTS = { user = true, password = true, dbname = true }
local DEFAULT_PORT = { mysql = "3306", postgres = "5432" }

---@class dualdb.Level     variables of one source
---@field name string      "environment" or the .env file's path
---@field get fun(name: string): string|nil

--- A variable of the level; an empty one counts as not set.
local function variable(level, name)
  local value = level.get(name)
  if value == "" then return nil end
  return value
end

local function parse(side, value, where, opts)
  local url_opts = { where = where, libpq_version = opts.libpq_version }
  if type(value) == "table" then return url.settings(side.driver, value, url_opts) end
  return url[side.driver](value, url_opts)
end

--- URLs for the side in this level, by variable.
local function urls_of(side, level, opts)
  local found = {}
  for _, name in ipairs { side.named, "DATABASE_URL" } do
    local value = variable(level, name)
    if value and (name ~= "DATABASE_URL" or side.schemes[url.scheme(value) or ""]) then
      found[#found + 1] = {
        name = name, settings = parse(side, value, level.name .. " " .. name, opts),
      }
    end
  end
  return found
end

--- Settings from the single variables of this level, and the variable of each.
local function parts_of(side, level)
  local settings, names = {}, {}
  for _, part in ipairs(side.parts) do
    local value = variable(level, part[1])
    if value then settings[part[2]], names[part[2]] = value, part[1] end
  end
  return settings, names
end

local function same_settings(a, b)
  for name, value in pairs(a) do
    if b[name] ~= value then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

local function contradiction(level, one, other)
  errors.raise("config", "%s: %s and %s contradict each other", level.name, one, other)
end

--- A URL and single variables of the same level have to agree in what both say.
local function check_agreement(side, level, found)
  local settings, names = parts_of(side, level)
  for _, part in ipairs(side.parts) do
    local name = part[2]
    local said, there = settings[name], found.settings[name]
    if name == "port" and not there and not found.settings.socket then
      there = DEFAULT_PORT[side.driver]
    end
    if said and said ~= there and not (there == nil and LEFT_TO_PARTS[name]) then
      contradiction(level, found.name, names[name])
    end
  end
end

--- Adds what a URL left out. A password is for the user that it was given with.
local function fill_in(settings, parts)
  if parts.user and settings.user and parts.user ~= settings.user then return end
  for name in pairs(LEFT_TO_PARTS) do settings[name] = settings[name] or parts[name] end
end

--- Puts stronger settings over weaker ones; a host and a socket stand for each other.
local function overlay(settings, over)
  if over.host and not over.socket then settings.socket = nil end
  if over.socket and not over.host then settings.host, settings.port = nil, nil end
  for name, value in pairs(over) do settings[name] = value end
end

--- The address in the variables: the URL of the strongest level that has one, with the single
--- variables of stronger levels over it, and its source. When there is no URL: nil, the strongest
--- source, and the single variables.
local function from_variables(side, levels, opts)
  for _, level in ipairs(levels) do
    local own = variable(level, side.own)
    if own then
      local where = level.name .. " " .. side.own
      return parse(side, own, where, opts), where
    end
  end
  local over, over_source = {}, nil
  for index, level in ipairs(levels) do
    local found = urls_of(side, level, opts)
    if found[2] and not same_settings(found[1].settings, found[2].settings) then
      contradiction(level, found[1].name, found[2].name)
    end
    if found[1] then
      check_agreement(side, level, found[1])
      local settings = found[1].settings
      for weaker = index, #levels do fill_in(settings, (parts_of(side, levels[weaker]))) end
      overlay(settings, over)
      return settings, over_source or (level.name .. " " .. found[1].name)
    end
    local parts, names = parts_of(side, level)
    local first
    for _, part in ipairs(side.parts) do first = first or names[part[2]] end
    over_source = over_source or (first and level.name .. " " .. first)
    overlay(parts, over)
    over = parts
  end
  return nil, over_source, over
end

local function defines(side, settings)
  for _, name in ipairs(side.defining) do
    if settings[name] then return true end
  end
  return false
end

local function fail_missing(name, side, levels)
  local why = ""
  for _, level in ipairs(levels) do
    local value = variable(level, "DATABASE_URL")
    local scheme = value and url.scheme(value)
    if value and not SIDES.primary.schemes[scheme] and not SIDES.secondary.schemes[scheme] then
      why = ("; DATABASE_URL of the %s has the scheme of neither"):format(level.name)
    end
  end
  error(errors.make("config", ("no %s database is given: %s, or %s in the project file%s"):format(
    name, side.help, name, why), { hint = "dualdb init writes a project file to start from." }))
end

--- The settings of one side, and where they come from. Third result: whether they are made of
--- single variables alone.
local function resolve(name, sources, opts)
  local side = SIDES[name]
  if sources.overrides[name] ~= nil then
    local where = sources.overrides_place.label .. " " .. name
    return parse(side, sources.overrides[name], where, opts), where
  end
  local settings, source, over = from_variables(side, sources.levels, opts)
  if settings then return settings, source end
  local given = sources.project[name]
  if given ~= nil then
    local where = ("%s %s"):format(sources.project_place.label, name)
    local line = sources.project_place:line_of { name }
    settings = parse(side, given,
      line and ("%s:%d: %s"):format(sources.project_place.label, line, name) or where, opts)
    if next(over) == nil then return settings, where end
    overlay(settings, over)
    return parse(side, settings, source, opts), defines(side, over) and source or where
  end
  if not defines(side, over) then fail_missing(name, side, sources.levels) end
  return parse(side, over, source, opts), source, true
end

--- What libpq would take from its own variables, as far as it decides where it goes and how.
local function add_libpq_defaults(settings, levels)
  local function default(setting, name)
    for _, level in ipairs(levels) do
      settings[setting] = settings[setting] or variable(level, name)
    end
  end
  local function somewhere() return settings.host or settings.hostaddr or settings.service end
  if not somewhere() then default("service", "PGSERVICE") end
  if not somewhere() then
    default("host", "PGHOST")
    default("hostaddr", "PGHOSTADDR")
  end
  if not url.is_local(settings) then default("sslmode", "PGSSLMODE") end
end

local TLS = {
  mysql = {
    setting = "ssl-mode", default = "required", insecure = "preferred",
    plain = { disabled = true, preferred = true },
  },
  postgres = {
    setting = "sslmode", default = "require", insecure = "prefer",
    plain = { disable = true, allow = true, prefer = true },
  },
}

--- No plaintext to another machine, unless somebody has said so.
local function demand_tls(name, settings, source, insecure)
  if url.is_local(settings) then return end
  local tls = TLS[SIDES[name].driver]
  local mode = settings[tls.setting]
  if not mode then
    settings[tls.setting] = insecure and tls.insecure or tls.default
  elseif tls.plain[mode] and not insecure then
    local message = "%s: %s=%s may send data and password to a remote host in the clear"
    error(errors.make("config", message:format(source, tls.setting, mode), {
      hint = ("Use %s=%s or stronger; or say insecure = true in the project file, or "
        .. "DUALDB_INSECURE=1."):format(tls.setting, tls.default),
    }))
  end
end

local FLAGS = { ["1"] = true, ["true"] = true, ["0"] = false, ["false"] = false }

local function is_insecure(sources)
  if sources.overrides.insecure ~= nil then return sources.overrides.insecure end
  for _, level in ipairs(sources.levels) do
    local value = variable(level, "DUALDB_INSECURE")
    if value then
      if FLAGS[value] == nil then
        errors.raise("config", "%s DUALDB_INSECURE: expected 1 or 0", level.name)
      end
      return FLAGS[value]
    end
  end
  return sources.project.insecure or false
end

--- The stronger of what the argument and the project file say of a key, and where it stands.
local function stronger(sources, key)
  if sources.overrides[key] ~= nil then return sources.overrides[key], sources.overrides_place end
  return sources.project[key], sources.project_place
end

local function merged(sources, key)
  local all = {}
  for name, value in pairs(sources.project[key] or {}) do all[name] = value end
  for name, value in pairs(sources.overrides[key] or {}) do all[name] = value end
  return all
end

local function models_of(sources, result)
  local given = { sources.project, sources.overrides }
  if not given[1].models and not given[2].models then return nil end
  local places = { sources.project_place, sources.overrides_place }
  local models = {}
  for i = 1, 2 do
    for name, definition in pairs(given[i].models or {}) do
      models[name] = shape.model(name, definition, {
        place = places[i], path = { "models", name }, strategies = result.strategies,
        tables = result.tables, columns = result.columns, policies = result.policies,
      })
    end
  end
  return models
end

--- The project's name when it says none: the same on every machine, as the database's is.
local function default_name(settings)
  local name = (settings.dbname or ""):gsub("[^%w]+", "-"):sub(1, 32):match("^%-?(.-)%-?$")
  return name ~= "" and name or "dualdb"
end

local function gather(opts)
  local directory = opts.cwd and opts.cwd:gsub("/*$", "/") or ""
  local sources = { overrides = opts.overrides or {}, project = {}, levels = {} }
  sources.overrides_place = project.place("dualdb.open")
  shape.project(sources.overrides, sources.overrides_place)

  local env_path = opts.env_file or directory .. ".env"
  local env_text = project.read(env_path, not opts.env_file)
  sources.levels[1] = { name = "environment", get = opts.getenv or os.getenv }
  if env_text then
    local values = env_file.parse(env_text, env_path)
    sources.levels[2] = { name = env_path, get = function(name) return values[name] end }
  end

  local path = opts.project or directory .. "dualdb.lua"
  local text = project.read(path, not opts.project)
  if text then
    sources.project_file = path
    sources.project, sources.project_place = project.run(path, text)
    shape.project(sources.project, sources.project_place)
  else
    sources.project_place = project.place("project file")
  end
  return sources
end

---@class dualdb.Config
---@field name string                     part of every gid
---@field primary table<string, string>   settings of the connection
---@field secondary table<string, string>
---@field policy table                    with everything filled in
---@field models table<string, dualdb.Model>|nil   nil: every table with a primary key is a model
---@field strategies table<string, function>
---@field schedule table|nil
---@field hooks table<string, function>
---@field tables "snake_case"|nil         naming of tables and columns that no model names
---@field columns "snake_case"|nil
---@field policies table|nil              of values that the secondary cannot hold
---@field sources { primary: string, secondary: string }
---@field project_file string|nil
---@field project_models table<string, table>|nil   as the project file has them

---@class dualdb.ConfigOptions
---@field project string|nil          the project file; default ./dualdb.lua, which may be missing
---@field env_file string|nil         default ./.env, which may be missing
---@field overrides table|nil         the argument of dualdb.open
---@field getenv (fun(name: string): string|nil)|nil   default os.getenv
---@field cwd string|nil              where the default files are
---@field libpq_version integer|nil   PQlibVersion(); below 160000 sslrootcert=system is translated

--- Resolves the configuration. Everything wrong with it is class `config` and says where it stands.
---@param opts dualdb.ConfigOptions|nil
---@return dualdb.Config
function config.load(opts)
  opts = opts or {}
  local sources = gather(opts)
  local result = {
    sources = {}, project_file = sources.project_file, project_models = sources.project.models,
  }
  local insecure = is_insecure(sources)
  for _, name in ipairs { "primary", "secondary" } do
    local settings, source, single = resolve(name, sources, opts)
    if name == "secondary" then
      if single then settings.dbname = settings.dbname or result.primary.dbname end
      add_libpq_defaults(settings, sources.levels)
    end
    demand_tls(name, settings, source, insecure)
    result[name], result.sources[name] = settings, source
  end

  result.name = stronger(sources, "name") or default_name(result.primary)
  result.policy = shape.policy(stronger(sources, "policy"))
  result.strategies = merged(sources, "strategies")
  result.hooks = merged(sources, "hooks")
  result.schedule = stronger(sources, "schedule")
  result.tables = stronger(sources, "tables")
  result.columns = stronger(sources, "columns")
  result.policies = stronger(sources, "policies")
  result.models = models_of(sources, result)
  return result
end

--- A model that is declared while the program runs, as those of the project file are.
---@param loaded dualdb.Config
---@param name string
---@param definition table|string
---@return dualdb.Model
function config.model(loaded, name, definition)
  return shape.model(name, definition or {}, {
    place = project.place(("model %s"):format(tostring(name))), strategies = loaded.strategies,
    tables = loaded.tables, columns = loaded.columns, policies = loaded.policies,
  })
end

return config
