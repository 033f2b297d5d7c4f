--- The pair: both sides, the models, and everything that can be done with them.

local core = require "dualdb.core"
local Breaker = require "dualdb.breaker"
local commit = require "dualdb.commit"
local config = require "dualdb.config"
local current = require "dualdb.current"
local errors = require "dualdb.errors"
local heartbeat = require "dualdb.heartbeat"
local Model = require "dualdb.model"
local pairing = require "dualdb.schema.pairing"
local protocol = require "dualdb.protocol"
local reading = require "dualdb.reading"
local Schema = require "dualdb.schema"
local Side = require "dualdb.side"
local State = require "dualdb.state"
local write = require "dualdb.write"

---@class dualdb.Database
---@field primary dualdb.Side
---@field secondary dualdb.Side
---@field policy table
---@field config table
---@field name string          of the project
---@field state dualdb.State      what the project remembers on this machine
---@field breaker dualdb.Breaker
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

--- Seconds beyond a write's deadline after which a server ends a session that says nothing.
local IDLE = 50

--- What a URL says of time-outs is for that side alone.
local function new_side(name, driver, settings)
  local connection = {}
  for key, value in pairs(settings[name]) do connection[key] = value end
  local connect = tonumber(connection["connect-timeout"] or connection.connect_timeout)
  connection["connect-timeout"], connection.connect_timeout = nil, nil
  return Side.new(name, driver, connection, {
    connect = connect or settings.policy.connect_timeout,
    statement = settings.policy.statement_timeout, lock = settings.policy.lock_timeout,
    idle = settings.policy.deadline + IDLE,
  })
end

--- Opens the pair. Nothing is connected before it is needed.
---@param settings table   what config.load returned
---@return dualdb.Database
function Database.new(settings)
  local self = {
    config = settings, name = settings.name, policy = settings.policy, models = {},
    definitions = {}, specs = {}, specs_without = {}, heartbeats = {},
    current = current.none(), protocol = false, gid_head = {},
    decided = { primary = {}, secondary = {} }, closed = false, declared = settings.models ~= nil,
    primary = new_side("primary", "mysql", settings),
    secondary = new_side("secondary", "postgres", settings),
  }
  self.schema = Schema.new(self)
  self.state = State.new(settings)
  self.breaker = Breaker.new(settings.policy, self.state)
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
  -- What was resolved while a side was down may be of tables that are others by now.
  local specs = self.schema.down and self.specs_without or self.specs
  local spec = self.specs[name] or specs[name]
  if not spec then
    spec = pairing.resolve(self:model_definition(name), self.schema, self)
    local filter = (spec.model.sync or {}).filter
    if type(filter) ~= "table" then filter = { primary = filter, secondary = filter } end
    spec.filter = filter
    spec.recheck = self.policy.recheck
    specs[name] = spec
  end
  return spec
end

--- Runs fn(...) while a side is known to be down: its models are as they were when it was there.
---@param side_name "primary"|"secondary"|nil
function METHODS:without(side_name, fn, ...)
  if not side_name then return fn(...) end
  local before, specs_before = self.schema.down, self.specs_without
  self.schema:without(side_name)
  self.specs_without = {}
  local guard <close> = setmetatable({}, {
    __close = function()
      self.schema:without(before)
      self.specs_without = specs_before
    end,
  })
  return fn(...)
end

--- Forgets what is known of the tables, after they were changed.
function METHODS:refresh()
  self.schema:refresh()
  self.specs = {}
end

-- ---- writing and reading ----

--- A dual write: fn(tx) on both sides or on neither. See dualdb.write.
---@param fn fun(tx: dualdb.Transaction): any
---@param options { defer: boolean|nil }|nil
function METHODS:write(fn, options)
  if type(fn) ~= "function" then errors.usage("write: function expected") end
  return write.run(self, fn, options)
end

--- What became of a dual write, by the gid that an error carried: "applied", "not_applied", or
--- "unknown" and why. What nobody has decided yet is decided by asking, against it.
---@param gid string
---@return "applied"|"not_applied"|"unknown", string|nil
function METHODS:outcome(gid)
  return require("dualdb.recovery").outcome(self, gid)
end

--- Finishes what dual writes left prepared when their processes died; see dualdb.recovery.
---@param options { accept_identity: boolean|nil }|nil
---@return dualdb.Recovered[], dualdb.Error[]
function METHODS:recover(options)
  return require("dualdb.recovery").run(self, options)
end

local READ_OPTIONS = { max_staleness = true }

local function read_options(what, options)
  options = options or {}
  for name in pairs(options) do
    if not READ_OPTIONS[name] then errors.usage("%s: unknown option %s", what, tostring(name)) end
  end
  local limit = options.max_staleness
  if limit ~= nil and (type(limit) ~= "number" or limit ~= limit or limit < 0) then
    errors.usage("%s: max_staleness: a number of seconds expected", what)
  end
  return options
end

--- Runs fn(reader) on the primary, or, when that is unavailable, on the secondary: at once, without
--- asking the primary, while its breaker is open. fn has to be safe to run again: when the primary
--- is lost in the middle, all of fn runs on the secondary. Returns what fn returned first, then
--- where it came from: { side, stale, staleness }. On the secondary `stale` is true, and
--- `staleness` the seconds that it can be behind at most, or nil when that is not known. An answer
--- that is older than max_staleness (of the options, else of the policy) is refused with class
--- `unavailable`.
---@param fn fun(reader: dualdb.Reader): any
---@param options { max_staleness: number|nil }|nil
---@return any, { side: string, stale: boolean, staleness: number|nil }
function METHODS:read(fn, options)
  if type(fn) ~= "function" then errors.usage("read: function expected") end
  options = read_options("read", options)
  return reading.run(self, fn, options.max_staleness or self.policy.max_staleness)
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
--- end, options).
---@param options { max_staleness: number|nil }|nil
function METHODS:reader(fn, options)
  if type(fn) ~= "function" then errors.usage("reader: function expected") end
  read_options("reader", options)
  return function(...)
    local given = table.pack(...)
    return self:read(function(db) return fn(db, table.unpack(given, 1, given.n)) end, options)
  end
end

--- The rows that the secondary could not hold: :list(models) and :retry(models).
---@return dualdb.Quarantine
function METHODS:quarantine()
  return require("dualdb.quarantine").of(self)
end

--- Begins a verification of models, which leaves one record: `:verify(name, progress)` returns
--- each report, `:finish(files)` ends it. With options.resume it goes on with a run that was
--- killed, and `names` may be nil.
---@param names string[]|nil
---@param options dualdb.VerifyOptions|nil
---@return dualdb.Verification
function METHODS:verification(names, options)
  return require("dualdb.verify").begin(self, names, options or {})
end

--- The newest run records, newest first; see dualdb.runs.
---@param most integer|nil   default all
---@return dualdb.RunRecord[]
function METHODS:runs(most)
  return require("dualdb.runs").list(self, most)
end

--- One run record; a usage error when there is none.
---@param id integer
---@return dualdb.RunRecord
function METHODS:run(id)
  if math.type(id) ~= "integer" then errors.usage("run: the number of a run expected") end
  return require("dualdb.runs").get(self, id)
end

--- What one side has and the other still lacks: :status(models), :list(models) and
--- :replay(options).
---@return dualdb.Journal
function METHODS:journal()
  return require("dualdb.journal").of(self)
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

local function breaker_state(self, side)
  local name, seconds, answered = self.breaker:state(side)
  return { state = name, seconds = seconds, answered_ago = answered }
end

--- How dual writes would be made atomic, as both servers are now.
local function describe_protocol(self, health)
  if not (health.primary.ok and health.secondary.ok) then
    health.protocol = self.state:get("protocol") or "unknown"
    health.protocol_why, health.warnings = "a side does not answer", {}
    return
  end
  local ok, found = pcall(self.primary.with, self.primary, function(primary)
    return self.secondary:with(function(secondary)
      return protocol.probe(self.policy, primary, secondary)
    end)
  end)
  if not ok then
    found = errors.wrap(found)
    if found.class ~= "refused" then error(found, 0) end
    found = { name = "refused", why = found.message, warnings = {} }
  end
  health.protocol, health.protocol_why = found.name, found.why
  health.warnings = found.warnings
end

--- Asks both sides whether they answer, past their breakers, which learn nothing from it. Never
--- writes. `staleness` is the seconds that the secondary can be behind at most, nil when unknown.
function METHODS:health()
  local setup = require "dualdb.setup"
  local health = {
    primary = probe(self.primary, "select database() as name"),
    secondary = probe(self.secondary, "select current_database()::text as name"),
    policy = self.policy.preset,
  }
  health.setup = health.primary.ok and health.secondary.ok and setup.is_done(self) or false
  health.ok = health.primary.ok and health.secondary.ok
  describe_protocol(self, health)
  health.breaker = {
    primary = breaker_state(self, "primary"), secondary = breaker_state(self, "secondary"),
  }
  if health.secondary.ok then health.staleness = heartbeat.staleness(self) end
  return health
end

function METHODS:close()
  if self.closed then return end
  pcall(commit.flush, self)  -- what stays there does no harm
  rawset(self, "closed", true)
  self.primary:close()
  self.secondary:close()
  self.breaker:close()
end

return Database
