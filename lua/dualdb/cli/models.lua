-- dualdb models: what the models are, and whether their two tables fit.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local json = require "dualdb.json"

local command = {
  name = "models",
  summary = "the models: their tables, keys and columns, and whether the sides fit",
}

function command.add_to_parser() end

--- Not the model's fault: there is nothing to say about any model then.
local function concerns_all(err)
  local class = err.class
  return class == "canceled" or class == "unavailable" or class == "auth" or class == "capacity"
    or class == "internal"
end

local function describe(spec)
  local key, kinds = json.array(), json.array()
  for i, name in ipairs(spec.key_names) do
    key[i], kinds[i] = name, core.kind_name(spec.key_kinds:sub(i, i))
  end
  return {
    model = spec.name, table = spec.table, key = key, key_kinds = kinds, columns = #spec.columns,
    uncovered = json.array(spec.uncovered), estimated_rows = spec.estimated_rows,
  }
end

local function row_of(model)
  if model.error then return { model.model, "", "", "", "", "does not fit" } end
  return {
    model.model, model.table.primary, model.table.secondary, table.concat(model.key, ", "),
    table.concat(model.key_kinds, ", "), model.columns,
  }
end

---@return integer exit_code
function command.command(args, out)
  local db = args.db()
  local names, without_key = db:model_names()
  local models, rows, codes = json.array(), {}, {}
  out.result { models = models, without_key = json.array(without_key) }
  for i, name in ipairs(names) do
    local ok, spec = pcall(db.spec, db, name)
    if ok then
      models[i] = describe(spec)
    else
      local err = errors.wrap(spec)
      if concerns_all(err) then error(err, 0) end
      models[i] = { model = name, error = err }
      codes[#codes + 1] = errors.exit_code(err)
      out.error(err, name)
    end
    rows[i] = row_of(models[i])
  end
  if #rows > 0 then
    out.table({ "model", "primary", "secondary", "key", "of kind", "columns" }, rows,
      { right = { [6] = true }, colours = { ["does not fit"] = "red" } })
  elseif #without_key == 0 then
    out.print("there are no models: the primary has no tables")
  end
  for _, name in ipairs(without_key) do
    out.log("warn", ("table %s has no primary key and is not a model"):format(name),
      { table = name })
  end
  return errors.strongest(codes)
end

return command
