--- dualdb: a MySQL primary and a PostgreSQL secondary that stay the same.
---
---     local dualdb = require "dualdb"
---     local chat <close> = dualdb.open()
---     chat:write(function(tx) tx:insert("Message", { room_id = 7, content = "hi" }) end)

local core = require "dualdb.core"

local dualdb = {}

dualdb._VERSION = "dualdb " .. core.VERSION
dualdb.NULL = core.NULL

--- Marks a string as bytes, where a parameter's type would otherwise be taken for text.
---@param text string
dualdb.bytes = core.bytes

--- Opens the pair. Without settings: from ./dualdb.lua, ./.env and the environment.
---@param settings { primary: string|table|nil, secondary: string|table|nil,
---   policy: string|table|nil, models: table|nil, name: string|nil, project: string|nil,
---   env_file: string|nil }|nil
---@return dualdb.Database
function dualdb.open(settings)
  local config = require "dualdb.config"
  local overrides = {}
  for name, value in pairs(settings or {}) do overrides[name] = value end
  local project, env_file = overrides.project, overrides.env_file
  overrides.project, overrides.env_file = nil, nil
  return require("dualdb.database").new(config.load {
    project = project, env_file = env_file, overrides = overrides,
    libpq_version = select(2, core.client_library "postgres"),
  })
end

--- Calls f(...) and returns its results, or nil and the error object when it raised one.
---@param f function
---@return any, dualdb.Error|nil
function dualdb.try(f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  return nil, require("dualdb.errors").wrap(results[2])
end

--- A repair strategy that takes each column from where its rule says; see dualdb.repair.merge.
---@param rules table<string, string|function>
---@param otherwise string|nil
---@return function
function dualdb.merge(rules, otherwise)
  return require("dualdb.repair.merge").strategy(rules, otherwise)
end

--- Seconds on the monotonic clock.
---@return number
dualdb.clock = core.clock

--- One timestamp for both sides: now, in UTC, with microseconds.
---@return string
function dualdb.now()
  local microseconds = core.wall_clock()
  return os.date("!%Y-%m-%d %H:%M:%S", microseconds // 1000000)
    .. (".%06d"):format(microseconds % 1000000)
end

--- A value of the environment.
---@param name string
---@return string|nil
dualdb.env = os.getenv

return dualdb
