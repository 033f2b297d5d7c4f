--- The pair: both sides, the models, and everything that can be done with them.

local core = require "dualdb.core"
local config = require "dualdb.config"
local errors = require "dualdb.errors"
local Model = require "dualdb.model"
local pairing = require "dualdb.schema.pairing"
local Schema = require "dualdb.schema"
local Side = require "dualdb.side"
local write = require "dualdb.write"

---@class dualdb.Database
---@field primary dualdb.Side
---@field secondary dualdb.Side
---@field policy table
---@field config table
---@field name string          of the project
local Database = {}

local METHODS = {}

--- Models are fields: chat.Message is chat:model_of("Message").
function Database.__index(self, field)
  local method = METHODS[field]
  if method ~= nil then return method end
  local declared = rawget(self, "models")[field]
  if declared then return declared end
  if type(field) ~= "string" or rawget(self, "closed") then return nil end
  if METHODS.has_model(self, field) then return METHODS.model_of(self, field) end
  return nil
end

Database.__close = function(self) self:close() end
Database.__name = "dualdb.database"
Database.__tostring = function(self) return ("dualdb (%s)"):format(self.name) end

--- What a URL says of time-outs is for that side alone.
local function new_side(name, driver, settings)
  local connection = {}
  for key, value in pairs(settings[name]) do connection[key] = value end
  local connect = tonumber(connection["connect-timeout"] or connection.connect_timeout)
  connection["connect-timeout"], connection.connect_timeout = nil, nil
  return Side.new(name, driver, connection, {
    connect = connect or settings.policy.connect_timeout,
    statement = settings.policy.statement_timeout,
  })
end

--- Opens the pair. Nothing is connected before it is needed.
---@param settings table   what config.load returned
---@return dualdb.Database
function Database.new(settings)
  local self = {
    config = settings, name = settings.name, policy = settings.policy, models = {},
    definitions = {}, specs = {}, closed = false, declared = settings.models ~= nil,
    primary = new_side("primary", "mysql", settings),
    secondary = new_side("secondary", "postgres", settings),
  }
  self.schema = Schema.new(self)
  setmetatable(self, Database)
  for name, definition in pairs(settings.models or {}) do  -- checked by config.load
    self.definitions[name] = definition
  end
  return self
end

-- ---- models ----

--- Declares a model, or replaces its declaration. Checked against the databases when it is first
--- used.
---@param name string
---@param definition table   table, key, columns, watermark, sync, strategy, integers
---@return dualdb.Model
function METHODS:model(name, definition)
  if type(name) ~= "string" or name == "" then errors.usage("a model's name is a string") end
  local model = config.model(self.config, name, definition or {})
  self.definitions[name] = model
  self.declared = true
  self.specs[name] = nil
  self.models[name] = Model.new(self, name)
  return self.models[name]
end

local function discoverable(tab)
  return tab and tab.primary_key and not Schema.is_own(tab.name)
end

--- The declaration of a model, made from the primary's table when nothing was declared.
---@param name string
function METHODS:model_definition(name)
  local definition = self.definitions[name]
  if definition then return definition end
  if not self.declared and discoverable(self.schema:table("primary", name)) then
    return config.model(self.config, name, { table = name })
  end
  return errors.usage("no model %s", tostring(name))
end

function METHODS:has_model(name)
  if self.definitions[name] then return true end
  if self.declared then return false end
  local ok, tab = pcall(self.schema.table, self.schema, "primary", name)
  return ok and discoverable(tab) and true or false
end

---@param name string
---@return dualdb.Model
function METHODS:model_of(name)
  if not self.models[name] then
    self:model_definition(name)
    self.models[name] = Model.new(self, name)
  end
  return self.models[name]
end

--- The names of all models, in order: those declared, or every table of the primary that has a
--- primary key. Second result: tables that are no models because they have none.
---@return string[], string[]
function METHODS:model_names()
  local names, without_key = {}, {}
  if self.declared then
    for name in pairs(self.definitions) do names[#names + 1] = name end
    table.sort(names)
    return names, without_key
  end
  local tables, all = self.schema:tables("primary")
  for _, name in ipairs(all) do
    if discoverable(tables[name]) then
      names[#names + 1] = name
    elseif not Schema.is_own(name) then
      without_key[#without_key + 1] = name
    end
  end
  return names, without_key
end

--- A model with both its tables, checked.
---@param name string
---@return dualdb.Spec
function METHODS:spec(name)
  local spec = self.specs[name]
  if not spec then
    spec = pairing.resolve(self:model_definition(name), self.schema, self)
    local filter = (spec.model.sync or {}).filter
    if type(filter) ~= "table" then filter = { primary = filter, secondary = filter } end
    spec.filter = filter
    self.specs[name] = spec
  end
  return spec
end

--- Forgets what is known of the tables, after they were changed.
function METHODS:refresh()
  self.schema:refresh()
  self.specs = {}
end

-- ---- writing and reading ----

--- A dual write: fn(tx) on both sides or on neither. See dualdb.write.
---@param fn fun(tx: dualdb.Transaction): any
function METHODS:write(fn, options)
  if type(fn) ~= "function" then errors.usage("write: function expected") end
  for name in pairs(options or {}) do errors.usage("write: unknown option %s", tostring(name)) end
  return write.run(self, fn)
end

local Reader = {}
Reader.__index = Reader

function Reader:query(text, ...) return self.side:query(text, ...) end
function Reader:rows(text, ...) return self.side:rows(text, ...) end
function Reader:get(model, key) return self.db:model_of(model):get_from(self.side, key) end
function Reader:find(model, where) return self.db:model_of(model):find_on(self.side, where) end

local function read_on(self, side, fn)
  return fn(setmetatable({ db = self, side = side }, Reader))
end

--- Runs fn(db) on the primary, or, when that is unavailable, on the secondary. Returns what fn
--- returned first, then where it came from: { side, stale }; stale is true on the secondary, which
--- can be behind.
---@param fn fun(db: any): any
---@return any, { side: string, stale: boolean }
function METHODS:read(fn)
  if type(fn) ~= "function" then errors.usage("read: function expected") end
  local ok, result = pcall(read_on, self, self.primary, fn)
  if ok then return result, { side = "primary", stale = false } end
  if not (errors.is(result) and result.class == "unavailable" and result.side == "primary") then
    error(result, 0)
  end
  return read_on(self, self.secondary, fn), { side = "secondary", stale = true }
end

--- Wraps a function into a dual write: writer(fn)(...) is write(function(tx) return fn(tx, ...)
--- end).
function METHODS:writer(fn)
  if type(fn) ~= "function" then errors.usage("writer: function expected") end
  return function(...)
    local given = table.pack(...)
    return self:write(function(tx) return fn(tx, table.unpack(given, 1, given.n)) end)
  end
end

--- Wraps a function into a fallback read: reader(fn)(...) is read(function(db) return fn(db, ...)
--- end).
function METHODS:reader(fn)
  if type(fn) ~= "function" then errors.usage("reader: function expected") end
  return function(...)
    local given = table.pack(...)
    return self:read(function(db) return fn(db, table.unpack(given, 1, given.n)) end)
  end
end

--- The rows that the secondary could not hold: :list(models) and :retry(models).
---@return dualdb.Quarantine
function METHODS:quarantine()
  return require("dualdb.quarantine").of(self)
end

-- ---- health ----

local function probe(side, sql)
  local started = core.clock()
  local ok, result = pcall(side.with, side, function(conn)
    local info = conn:info()
    return {
      ok = true, product = info.product, version = info.version,
      database = conn:query(sql)[1].name,
    }
  end)
  if not ok then
    result = errors.wrap(result)
    if result.class == "canceled" then error(result, 0) end
    return { ok = false, error = result }
  end
  result.seconds = core.clock() - started
  return result
end

--- Asks both sides whether they answer. Never writes.
function METHODS:health()
  local setup = require "dualdb.setup"
  local health = {
    primary = probe(self.primary, "select database() as name"),
    secondary = probe(self.secondary, "select current_database()::text as name"),
    policy = self.policy.preset, protocol = "plain",
  }
  health.setup = health.primary.ok and health.secondary.ok and setup.is_done(self) or false
  health.ok = health.primary.ok and health.secondary.ok
  return health
end

function METHODS:close()
  if self.closed then return end
  rawset(self, "closed", true)
  self.primary:close()
  self.secondary:close()
end

return Database
