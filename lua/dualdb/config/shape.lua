--- What a project may say: the keys that there are, and what each of them may be.

local naming = require "dualdb.naming"
local policies = require "dualdb.policies"
local pgtype = require "dualdb.schema.pgtype"
local strategies = require "dualdb.strategies"

local shape = {}

local function text(value) return type(value) == "string" and value ~= "" end

local function texts(value)
  if type(value) ~= "table" or #value == 0 then return false end
  for key, entry in pairs(value) do
    if math.type(key) ~= "integer" or not text(entry) then return false end
  end
  return true
end

local function map_of_texts(value)
  if type(value) ~= "table" then return false end
  for key, entry in pairs(value) do
    if not text(key) or not text(entry) then return false end
  end
  return true
end

local function map_of_functions(value)
  if type(value) ~= "table" then return false end
  for key, entry in pairs(value) do
    if not text(key) or type(entry) ~= "function" then return false end
  end
  return true
end

local function is(kind)
  return function(value) return type(value) == kind end
end

local function any(...)
  local checks = { ... }
  return function(value)
    for _, check in ipairs(checks) do
      if check(value) then return true end
    end
    return false
  end
end

local function one_of(...)
  local values = { ... }
  return function(value)
    for _, known in ipairs(values) do
      if value == known then return true end
    end
    return false
  end
end

local function positive(value)
  return type(value) == "number" and value > 0 and value < math.huge
end

local function not_negative(value)
  return value == 0 or positive(value)
end

local function count(value) return math.type(value) == "integer" and value > 0 end

local snake_case = one_of("snake_case")

local function project_name(value)
  return text(value) and #value <= 32 and value:match("^[%w-]+$") ~= nil
end

local function table_names(value)
  if text(value) then return true end
  if not map_of_texts(value) or next(value) == nil then return false end
  for key in pairs(value) do
    if key ~= "primary" and key ~= "secondary" then return false end
  end
  return true
end

local function distinct_columns(value)
  if not map_of_texts(value) then return false end
  local seen = {}
  for _, name in pairs(value) do
    if seen[name] then return false end
    seen[name] = true
  end
  return true
end

local function column_types(value)
  if not map_of_texts(value) then return false end
  for _, name in pairs(value) do
    if not pgtype.parse(name) then return false end
  end
  return true
end

--- Per key: what checks its value, and how a message calls what is expected.
local PROJECT = {
  name = { project_name, "a name of at most 32 letters, digits and hyphens" },
  primary = { any(text, is "table"), "a URL or a table of settings" },
  secondary = { any(text, is "table"), "a URL or a table of settings" },
  policy = { any(text, is "table"), "the name of a preset or a table" },
  models = { is "table", "a table of models by name" },
  strategies = { map_of_functions, "a table of functions by name" },
  schedule = { is "table", "a table" },
  hooks = { map_of_functions, "a table of functions by name" },
  tables = { snake_case, '"snake_case"' },
  columns = { snake_case, '"snake_case"' },
  insecure = { is "boolean", "true or false" },
  policies = { is "table", "a table of policies by name" },
}

local MODEL = {
  table = { table_names, "a name or { primary = name, secondary = name }" },
  key = { any(text, texts), "a column's name or a list of them" },
  columns = { any(snake_case, distinct_columns),
    '"snake_case" or a table from the primary\'s names to the secondary\'s, each once' },
  watermark = { text, "a column's name" },
  sync = { is "table", "a table" },
  strategy = { any(text, is "function"), "a strategy's name or a function" },
  integers = { texts, "a list of column names" },
  policies = { is "table", "a table of policies by name" },
  types = { column_types, "a table from column names to types of the secondary, as numeric(30,4)" },
  unique = { one_of("citext"), '"citext"' },
}

local SYNC = {
  filter = { text, "a condition in SQL" },
  transform = { is "function", "a function" },
  direction = { one_of("to_secondary", "to_primary"), '"to_secondary" or "to_primary"' },
  deletes = { is "boolean", "true or false" },
  on_conflict = { any(text, is "function"), "a strategy's name or a function" },
  throttle = { is "function", "a function" },
}

local POLICY = {
  preset = { one_of("available", "strict"), '"available" or "strict"' },
  commit = { one_of("atomic", "journaled", "a1", "a2"), '"atomic", "journaled", "a1" or "a2"' },
  deadline = { positive, "a number of seconds above 0" },
  retry = { is "table", "a table" },
  breaker = { is "table", "a table" },
  max_staleness = { not_negative, "a number of seconds" },
  connect_timeout = { positive, "a number of seconds above 0" },
  statement_timeout = { positive, "a number of seconds above 0" },
  lock_timeout = { positive, "a number of seconds above 0" },
  recheck = { not_negative, "a number of seconds" },
  journal_cap = { count, "a whole number above 0" },
  id_gap = { count, "a whole number above 0" },
  replicas = { texts, "a list of URLs" },
}
local RETRY = {
  base = { positive, "a number of seconds above 0" },
  cap = { positive, "a number of seconds above 0" },
}
local BREAKER = {
  failures = { count, "a whole number above 0" },
  open = { positive, "a number of seconds above 0" },
}

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function path_of(path, key)
  local longer = { table.unpack(path) }
  longer[#longer + 1] = key
  return longer
end

local function or_nearest(name, candidates)
  local near = naming.nearest(name, candidates)
  if near then return (", did you mean %s?"):format(near) end
  return (" (known: %s)"):format(table.concat(candidates, ", "))
end

--- Checks every key of `value`, which stands at `path`; `what` is put before the key in messages.
local function check(place, path, what, rules, value)
  for _, key in ipairs(sorted_keys(value)) do
    local at = path_of(path, key)
    if type(key) ~= "string" then
      place:fail(path, "%sentry %s has no name", what, tostring(key))
    end
    local rule = rules[key]
    if not rule then
      place:fail(at, "%sunknown key %s%s", what, key, or_nearest(key, sorted_keys(rules)))
    end
    if not rule[1](value[key]) then
      place:fail(at, "%s%s: expected %s", what, key, rule[2])
    end
  end
end

--- Checks that a strategy given by name exists.
local function check_strategy(place, path, what, name, own)
  if type(name) ~= "string" or strategies.built_in[name] or (own and own[name]) then return end
  local known = sorted_keys(strategies.built_in)
  for _, other in ipairs(sorted_keys(own or {})) do known[#known + 1] = other end
  place:fail(path, "%sunknown strategy %s%s", what, name, or_nearest(name, known))
end

local MODEL_POLICIES = { columns = { is "table", "a table of policies by column" } }
for name, rule in pairs(policies.RULES) do MODEL_POLICIES[name] = rule end

--- Checks what a model says of values that the secondary cannot hold.
local function check_policies(place, path, what, value)
  check(place, path, what .. "policies: ", MODEL_POLICIES, value)
  for _, name in ipairs(sorted_keys(value.columns or {})) do
    local at = path_of(path_of(path, "columns"), name)
    if not text(name) or type(value.columns[name]) ~= "table" then
      place:fail(at, "%spolicies: columns: %s: expected a table of policies by name", what,
        tostring(name))
    end
    check(place, at, ("%spolicies: %s: "):format(what, name), policies.RULES, value.columns[name])
  end
end

---@class dualdb.Model
---@field name string
---@field file string|nil       where it is declared
---@field line integer|nil
---@field table string|table|nil
---@field tables "snake_case"|nil   how the secondary's table is named when `table` does not say
---@field columns "snake_case"|table|nil

--- A model's definition, checked, with its name, where it stands and the project's naming.
---@param name string
---@param definition table|string   a string is the table's name
---@param opts table   place, path in it, strategies of the project, naming of tables and columns
---@return dualdb.Model
function shape.model(name, definition, opts)
  local place, path = opts.place, opts.path or {}
  if not text(name) then place:fail(path, "models: %s is not a name", tostring(name)) end
  local what = ("model %s: "):format(name)
  if type(definition) == "string" then definition = { table = definition } end
  if type(definition) ~= "table" then place:fail(path, "%sexpected a table", what) end
  check(place, path, what, MODEL, definition)
  check_strategy(place, path_of(path, "strategy"), what, definition.strategy, opts.strategies)
  if definition.sync then
    local sync_path = path_of(path, "sync")
    check(place, sync_path, what .. "sync: ", SYNC, definition.sync)
    check_strategy(place, path_of(sync_path, "on_conflict"), what .. "sync: ",
      definition.sync.on_conflict, opts.strategies)
  end
  if definition.policies then
    check_policies(place, path_of(path, "policies"), what, definition.policies)
  end
  local model = {}
  for key, value in pairs(definition) do model[key] = value end
  model.policies = policies.merge(opts.policies, definition.policies)
  model.name = name
  model.file, model.line = place.text and place.label or nil, place:line_of(path)
  model.tables = opts.tables
  model.columns = model.columns or opts.columns
  return model
end

--- Checks the top level of a project file, or of the argument of dualdb.open.
---@param settings table
---@param place dualdb.Place
function shape.project(settings, place)
  check(place, {}, "", PROJECT, settings)
  if settings.policies then
    check(place, { "policies" }, "policies: ", policies.RULES, settings.policies)
  end
end

local PRESETS = { "available", "strict" }

--- A policy with everything that it does not say filled in.
---@param value string|table|nil
---@param place dualdb.Place
---@return table
function shape.policy(value, place)
  local given = value == nil and {} or value
  if type(given) == "string" then
    if not POLICY.preset[1](given) then
      place:fail({ "policy" }, "unknown policy %s%s", given, or_nearest(given, PRESETS))
    end
    given = { preset = given }
  end
  check(place, { "policy" }, "policy: ", POLICY, given)
  check(place, { "policy", "retry" }, "policy: retry: ", RETRY, given.retry or {})
  check(place, { "policy", "breaker" }, "policy: breaker: ", BREAKER, given.breaker or {})
  local retry, breaker = given.retry or {}, given.breaker or {}
  local policy = {
    preset = given.preset or "available",
    commit = given.commit or "atomic",
    deadline = given.deadline or 10,
    retry = { base = retry.base or math.min(0.05, retry.cap or 0.05),
              cap = retry.cap or math.max(2, retry.base or 2) },
    breaker = { failures = breaker.failures or 3, open = breaker.open or 10 },
    max_staleness = given.max_staleness,
    connect_timeout = given.connect_timeout or 15,  -- a server that was suspended has to wake up
    statement_timeout = given.statement_timeout or 300,
    lock_timeout = given.lock_timeout or (given.deadline or 10) / 2,
    recheck = given.recheck or 0.5,  -- seconds that a difference has to last before it counts
    journal_cap = given.journal_cap or 100000,  -- entries of a model before it is marked as a whole
    id_gap = given.id_gap or 1000000,
    replicas = given.replicas,  -- of the primary, for sync; nil: those that the primary knows of
  }
  if policy.preset == "strict" and policy.commit == "journaled" then
    place:fail({ "policy", "commit" },
      "policy: strict and journaled contradict each other: what is journaled is on one side only")
  end
  if policy.retry.base > policy.retry.cap then
    place:fail({ "policy", "retry" }, "policy: retry: base is above cap")
  end
  return policy
end

return shape
