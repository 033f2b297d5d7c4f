-- dualdb quarantine list|retry [MODEL...]: rows that the secondary could not hold.

local errors = require "dualdb.errors"
local json = require "dualdb.json"
local progress = require "dualdb.progress"
local quarantine = require "dualdb.quarantine"
local select_models = require "dualdb.cli.select"
local text = require "dualdb.cli.text"

local command = {
  name = "quarantine",
  summary = "show or retry rows that the secondary could not hold",
}

--- The models named; nil means all that have rows there.
local function names_of(args)
  if #args.models == 0 then return nil end
  return (select_models.names("quarantine " .. args.action, {
    models = args.models, all = false, db = args.db,
  }))
end

local actions = {}

function actions.list(args, out)
  local rows, by_model, models = {}, {}, json.array()
  for i, entry in ipairs(args.db():quarantine():list(names_of(args))) do
    rows[i] = {
      entry.model, entry.key, quarantine.text(entry.column, entry.reason), entry.attempts,
      entry.last_seen,
    }
    local entries = by_model[entry.model]
    if not entries then
      entries = json.array()
      by_model[entry.model] = entries
      models[#models + 1] = { model = entry.model, rows = entries }
    end
    entries[#entries + 1] = {
      key = json.raw(entry.key), column = entry.column, reason = entry.reason,
      row = json.raw(entry.row), attempts = entry.attempts, first_seen = entry.first_seen,
      last_seen = entry.last_seen,
    }
  end
  if #rows == 0 then out.print("no row is in quarantine") end
  if #rows > 0 then
    out.table({ "model", "key", "reason", "attempts", "last seen" }, rows,
      { right = { [4] = true } })
  end
  out.result { models = models }
  return 0
end

function actions.retry(args, out)
  local results, rows, codes = args.db():quarantine():retry(names_of(args)), {}, {}
  for i, result in ipairs(results) do
    rows[i] = {
      result.model, progress.count(result.tried), progress.count(result.written),
      progress.count(result.gone), progress.count(result.left),
    }
    if result.error then
      out.error(result.error, text.visible(result.model))
      codes[#codes + 1] = errors.exit_code(result.error)
    end
    if result.left > 0 then codes[#codes + 1] = 7 end
  end
  if #rows == 0 then out.print("no row is in quarantine") end
  if #rows > 0 then
    out.table({ "model", "tried", "written", "gone", "left" }, rows,
      { right = { [2] = true, [3] = true, [4] = true, [5] = true } })
  end
  out.result { models = json.array(results) }
  return errors.strongest(codes)
end

local SUMMARIES = {
  { "list", "the rows, and why each could not go" },
  { "retry", "read each row from the primary again and write it if it can go now" },
}

function command.add_to_parser(cmd)
  select_models.add_actions(cmd, SUMMARIES)
end

---@param args table
---@param out dualdb.Output
---@return integer exit_code
function command.command(args, out)
  return actions[args.action](args, out)
end

return command
