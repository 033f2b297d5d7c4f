--- A model's transform for the engine's threads: each has a lua_State of its own, in which the
--- project file is loaded again, since functions do not cross from one to another.

local core = require "dualdb.core"
local fetch = require "dualdb.fetch"

local transforms = {}

--- Runs in the worker: path of the project file, the model, its kinds, the number of key columns,
--- and the names of its columns.
local CODE = [[
local path, name, kinds, key_count = ...
local project = require "dualdb.config.project"
local text = project.read(path, false)
local definition = project.run(path, text)
local sync = (definition.models or {})[name].sync
local spec = {
  name = name, names = { select(5, ...) }, kinds = kinds, key_count = math.tointeger(key_count),
  columns = {}, model = { sync = { transform = sync.transform } },
}
for i, column in ipairs(spec.names) do
  spec.columns[i] = { name = column, kind = kinds:sub(i, i) }
end
return require("dualdb.fetch").transform(spec)
]]

---@class dualdb.TransformOfModel
---@field worker (fun(): userdata)|nil   makes a worker; nil when the function is not the project
---                                      file's, and can only run where it was made

--- nil when the model has no transform.
---@param db dualdb.Database
---@param spec dualdb.Spec
---@return dualdb.TransformOfModel|nil
function transforms.of(db, spec)
  if not fetch.transform(spec) then return nil end
  local path, declared = db.config.project_file, db.config.project_models
  local own = declared and declared[spec.name]
  if not path or type(own) ~= "table" or not own.sync
     or own.sync.transform ~= spec.model.sync.transform then
    return {}
  end
  return {
    worker = function()
      return core.worker(CODE, path, spec.name, spec.kinds, tostring(spec.key_count),
        table.unpack(spec.names))
    end,
  }
end

return transforms
