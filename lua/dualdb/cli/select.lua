--- Which models a command is for: MODEL... or --all.

local errors = require "dualdb.errors"
local naming = require "dualdb.naming"

local select_models = {}

function select_models.add_to_parser(cmd)
  cmd:argument("models", "the models by name"):args("*"):argname("MODEL")
  cmd:flag("--all", "every model")
end

--- For a command of several actions on models, none named meaning all: `summaries` is a list of
--- { name, summary }. Returns their parsers by name.
function select_models.add_actions(cmd, summaries)
  local actions = {}
  cmd:command_target("action")
  for _, entry in ipairs(summaries) do
    local action = cmd:command(entry[1]):summary(entry[2]):add_help(false)
    action:description(entry[2]:gsub("^%l", string.upper) .. ".")
    action:argument("models", "the models by name (default: all)"):args("*"):argname("MODEL")
    actions[entry[1]] = action
  end
  return actions
end

local function check(what, given, known)
  local is_known = {}
  for _, name in ipairs(known) do is_known[name] = true end
  local names, seen = {}, {}
  for _, name in ipairs(given) do
    if not is_known[name] then
      local near = naming.nearest(name, known)
      error(errors.make("usage", ("%s: no model %s"):format(what, name), {
        hint = near and ("Did you mean %s?"):format(near) or "`dualdb models` lists them.",
      }))
    end
    if not seen[name] then names[#names + 1] = name end
    seen[name] = true
  end
  return names
end

--- The names of the models, each once; second result: with --all, tables that cannot be models
--- because they have no primary key; these are among the names for a command that takes them too.
--- Names that are none are a usage error.
---@param what string     the command, for messages
---@param takes_unkeyed boolean|nil
---@return string[], string[]
function select_models.names(what, args, takes_unkeyed)
  if args.all and #args.models > 0 then
    errors.usage("%s: both --all and models by name are given", what)
  end
  if not args.all and #args.models == 0 then
    error(errors.make("usage", ("%s: no model is given"):format(what), {
      hint = "Name models, or say --all.",
    }))
  end
  local known, without_key = args.db():model_names()
  if takes_unkeyed then
    known = table.move(without_key, 1, #without_key, #known + 1, known)
    without_key = {}
  end
  if not args.all then return check(what, args.models, known), {} end
  if #known == 0 and #without_key == 0 then
    errors.raise("config", "there are no models: the primary has no tables")
  end
  return known, without_key
end

return select_models
