--- Keys that no statement can ask for, since a value of theirs could not be read as the model's
--- kind (core/row/raw.h): one side has such a row, and the other cannot have its equal.

local core = require "dualdb.core"
local policies = require "dualdb.policies"

local unreadable = {}

local TAG = "\xFFunreadable value"
--- Bytes before a value: its length.
local HEAD = 4
--- Text and bytes are never unreadable, whatever they begin with.
local ALWAYS_READ = { t = true, x = true }

--- The column and the reason when a key is one; else nothing.
---@param spec dualdb.Spec
---@param key string   canonical
---@return string|nil column, string|nil reason
function unreadable.key(spec, key)
  if not key:find(TAG, 1, true) then return nil end
  for i, field in ipairs(core.fields(key)) do
    if not ALWAYS_READ[spec.columns[i].kind] and field:find(TAG, HEAD + 1, true) == HEAD + 1 then
      local crossed, _, reason = policies.crossing(spec, { i }):apply(field)
      if not crossed then return spec.names[i], reason end
    end
  end
  return nil
end

return unreadable
