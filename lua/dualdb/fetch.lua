--- Current rows of a model by their keys.

local core = require "dualdb.core"

local fetch = {}

--- Keys that one statement asks for at most: well within the 65,535 parameters of both servers.
fetch.BATCH = 500

--- The row with a packed key on a connection, or nil.
---@param conn any
---@param spec dualdb.Spec
---@param side "primary"|"secondary"
---@param key string            canonical
---@param lock "share"|"update"|nil
---@return string|nil
function fetch.one(conn, spec, side, key, lock)
  local text = spec.statements[side]:select_by_key(lock)
  local rows = conn:fetch(text, spec.key_kinds, key, spec.kinds)
  -- A collation may find rows whose key is only similar.
  for _, found in ipairs(rows) do
    if core.prefix(found, spec.key_count) == key then return found end
  end
  return nil
end

--- The rows with packed keys: packed key -> canonical row; absent ones are left out.
---@param keys string[]
function fetch.many(conn, spec, side, keys, lock)
  local found = {}
  for from = 1, #keys, fetch.BATCH do
    local to = math.min(from + fetch.BATCH - 1, #keys)
    local count = to - from + 1
    local rows = conn:fetch(spec.statements[side]:select_by_keys(count, lock),
      spec.key_kinds:rep(count), table.concat(keys, "", from, to), spec.kinds)
    for _, packed in ipairs(rows) do found[core.prefix(packed, spec.key_count)] = packed end
  end
  return found
end

--- The primary's transform of a model as the engine wants it: canonical row -> canonical row or
--- nil.
function fetch.transform(spec)
  local sync = spec.model.sync
  local transform = sync and sync.transform
  if not transform then return nil end
  local rows = require "dualdb.row"
  return function(packed)
    local changed = transform(rows.unpack(spec, packed))
    if changed == nil or changed == false then return nil end
    if type(changed) ~= "table" then
      require("dualdb.errors").usage("model %s: transform returned a %s, not a row or nil",
        spec.name, type(changed))
    end
    local result = rows.pack(spec, changed)
    if core.prefix(result, spec.key_count) ~= core.prefix(packed, spec.key_count) then
      require("dualdb.errors").usage("model %s: transform changed the key", spec.name)
    end
    return result
  end
end

return fetch
