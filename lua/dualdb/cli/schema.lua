-- dualdb schema ddl|apply|diff [MODEL...]: the secondary's tables from the primary's, and what is
-- not the same in both.

local apply = require "dualdb.schema.apply"
local diff = require "dualdb.schema.diff"
local ddl = require "dualdb.schema.ddl"
local json = require "dualdb.json"
local select_models = require "dualdb.cli.select"
local text = require "dualdb.cli.text"

local command = {
  name = "schema",
  summary = "make the secondary's tables from the primary's; compare both",
}

local function warn(out, model, message)
  out.log("warn", ("%s: %s"):format(model, message), { model = model })
end

--- The models named, or all.
local function names_of(args)
  return select_models.names("schema " .. args.action, {
    models = args.models, all = #args.models == 0, db = args.db,
  })
end

local actions = {}

function actions.ddl(args, out, names)
  local statements, warnings = ddl.statements(args.db(), names)
  local models, by_name = json.array(), {}
  for i, name in ipairs(names) do
    by_name[name] = { model = name, statements = json.array(), warnings = json.array() }
    models[i] = by_name[name]
  end
  for _, statement in ipairs(statements) do
    table.insert(by_name[statement.model].statements, statement.sql)
    if statement.comment then out.print("-- " .. statement.comment:gsub("%c", " ")) end
    out.print(statement.sql .. ";")
  end
  for _, warning in ipairs(warnings) do
    table.insert(by_name[warning.model].warnings, warning.message)
    warn(out, warning.model, warning.message)
  end
  out.result { models = models }
  return 0
end

function actions.apply(args, out, names)
  local results = apply.run(args.db(), names, {
    progress = function(result)
      out.log("debug", ("%s: table %s is made"):format(result.model, result.table),
        { model = result.model, statements = result.statements })
    end,
  })
  local rows = {}
  for i, result in ipairs(results) do
    rows[i] = { result.model, result.table, result.created and "made" or "was there",
                result.statements }
    for _, message in ipairs(result.warnings) do warn(out, result.model, message) end
    json.array(result.warnings)
  end
  out.table({ "model", "table", "state", "statements" }, rows, {
    right = { [4] = true }, colours = { made = "green" },
  })
  out.result { models = json.array(results) }
  return 0
end

--- Hints are the same for many differences: each is said once.
local function show_hints(differences, out)
  local seen = {}
  for _, difference in ipairs(differences) do
    local line = difference.hint
      and ("hint: %s: %s"):format(text.visible(difference.model), text.visible(difference.hint))
    if line and not seen[line] then out.print(line) end
    seen[line or ""] = true
  end
end

function actions.diff(args, out, names)
  local result = diff.run(args.db(), #args.models > 0 and names or nil)
  for _, difference in ipairs(result.differences) do
    out.print(("%s: %s"):format(text.visible(difference.model), text.visible(difference.message)))
  end
  show_hints(result.differences, out)
  for _, note in ipairs(result.notes) do
    local of = note.model and text.visible(note.model) .. ": " or ""
    out.print(("note: %s%s"):format(of, text.visible(note.message)))
  end
  out.print(#result.differences == 0 and "no differences"
    or ("%d difference%s"):format(#result.differences, #result.differences == 1 and "" or "s"))
  out.result {
    models = json.array(names), differences = json.array(result.differences),
    notes = json.array(result.notes),
  }
  return #result.differences == 0 and 0 or 1
end

local SUMMARIES = {
  { "ddl", "the statements, without running them" },
  { "apply", "make the tables that are not there; check those that are" },
  { "diff", "what is not the same in both sides' tables; exit code 1 when there is something" },
}

function command.add_to_parser(cmd)
  select_models.add_actions(cmd, SUMMARIES)
end

---@param args table
---@param out dualdb.Output
---@return integer exit_code
function command.command(args, out)
  local names, without_key = names_of(args)
  for _, name in ipairs(without_key) do
    out.log("warn", ("table %s has no primary key and is not a model"):format(name),
      { table = name })
  end
  return actions[args.action](args, out, names)
end

return command
