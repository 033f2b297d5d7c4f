-- dualdb journal status|list|replay [MODEL...]: what one side has and the other still lacks.

local errors = require "dualdb.errors"
local json = require "dualdb.json"
local progress = require "dualdb.progress"
local select_models = require "dualdb.cli.select"
local text = require "dualdb.cli.text"

local command = {
  name = "journal",
  summary = "show or replay writes that one side has and the other still lacks",
}

local SUMMARIES = {
  { "status", "how many keys wait, on each side" },
  { "list", "the keys, and why they still wait" },
  { "replay", "bring what waits to the other side" },
}

function command.add_to_parser(cmd)
  local actions = select_models.add_actions(cmd, SUMMARIES)
  actions.replay:option("--strategy",
    "who is right about keys that were written on both sides: primary_wins, secondary_wins, or "
      .. "one of the project file (default: as the model says, or nobody)"):argname("NAME")
  actions.replay:flag("--retry-quarantined", "try keys again that the other side did not take")
end

--- The models named; nil means all that have entries. A model that is no more may be named as long
--- as it has some.
local function names_of(args)
  if #args.models == 0 then return nil end
  local ok, err = pcall(select_models.names, "journal " .. args.action, {
    models = args.models, all = false, db = args.db,
  })
  if not ok and errors.is(err) and err.class == "usage" then
    local known = {}
    for _, entry in ipairs(args.db():journal():status(args.models)) do known[entry.model] = true end
    for _, name in ipairs(args.models) do
      if not known[name] then error(err, 0) end
    end
  end
  return args.models
end

--- The codes for sides that could not be asked.
local function codes_of(failures, out)
  local codes = {}
  for _, side in ipairs { "primary", "secondary" } do
    local err = failures[side]
    if err then
      out.error(err)
      codes[#codes + 1] = errors.exit_code(err)
    end
  end
  return codes
end

local actions = {}

local COUNTS = { "open", "conflict", "quarantined", "whole" }

--- The entries of both sides added up for each model.
local function by_model(entries)
  local models, known = json.array(), {}
  for _, entry in ipairs(entries) do
    local model = known[entry.model]
    if not model then
      model = { model = entry.model, open = 0, conflict = 0, quarantined = 0, whole = 0,
                oldest_seconds = 0 }
      known[entry.model] = model
      models[#models + 1] = model
    end
    local own = { oldest_seconds = entry.oldest_seconds }
    for _, name in ipairs(COUNTS) do
      own[name] = entry[name]
      model[name] = model[name] + entry[name]
    end
    model[entry.side] = own
    model.oldest_seconds = math.max(model.oldest_seconds, entry.oldest_seconds)
  end
  table.sort(models, function(a, b) return a.model < b.model end)
  return models
end

function actions.status(args, out)
  local entries, failures = args.db():journal():status(names_of(args))
  local rows, codes = {}, codes_of(failures, out)
  for i, entry in ipairs(entries) do
    rows[i] = {
      entry.model, entry.side, progress.count(entry.open), progress.count(entry.conflict),
      progress.count(entry.quarantined), progress.count(entry.whole),
      progress.duration(math.max(0, entry.oldest_seconds)),
    }
  end
  if #rows > 0 then
    codes[#codes + 1] = 1
    out.table({ "model", "side", "open", "conflict", "quarantined", "whole", "oldest" }, rows,
      { right = { [3] = true, [4] = true, [5] = true, [6] = true, [7] = true } })
  elseif #codes == 0 then
    out.print("the journals are empty")
  end
  out.result { models = by_model(entries) }
  return errors.strongest(codes)
end

function actions.list(args, out)
  local entries, failures = args.db():journal():list(names_of(args))
  local rows, models, known, codes = {}, json.array(), {}, codes_of(failures, out)
  for i, entry in ipairs(entries) do
    rows[i] = {
      entry.model, entry.side, entry.key or "(all of it)", entry.state, entry.attempts,
      entry.created_at, entry.last_error or "",
    }
    local own = known[entry.model]
    if not own then
      own = json.array()
      known[entry.model] = own
      models[#models + 1] = { model = entry.model, entries = own }
    end
    own[#own + 1] = {
      side = entry.side, key = entry.key and json.raw(entry.key), gid = entry.gid,
      state = entry.state, attempts = entry.attempts, last_error = entry.last_error,
      created_at = entry.created_at,
    }
  end
  if #rows > 0 then
    codes[#codes + 1] = 1
    out.table({ "model", "side", "key", "state", "attempts", "since", "why it waits" }, rows,
      { right = { [5] = true }, colours = { conflict = "yellow", quarantined = "red" } })
  elseif #codes == 0 then
    out.print("the journals are empty")
  end
  out.result { models = models }
  return errors.strongest(codes)
end

function actions.replay(args, out)
  local meter = progress.new("replay")
  local results = args.db():journal():replay {
    models = names_of(args), strategy = args.strategy, progress = meter:callback(),
    retry_quarantined = args.retry_quarantined,
  }
  local rows, codes, shown = {}, {}, {}
  for i, result in ipairs(results) do
    rows[i] = {
      result.model, progress.count(result.replayed), progress.count(result.left),
      progress.count(result.conflicts), progress.count(result.quarantined),
      ("%.2f"):format(result.seconds),
    }
    if result.error then
      -- A side that is away is the same error for every model.
      if not shown[result.error] then out.error(result.error, text.visible(result.model)) end
      shown[result.error] = true
      codes[#codes + 1] = errors.exit_code(result.error)
    end
    if result.left + result.conflicts + result.quarantined > 0 then codes[#codes + 1] = 1 end
  end
  if #rows > 0 then
    out.table({ "model", "replayed", "left", "conflicts", "quarantined", "seconds" }, rows,
      { right = { [2] = true, [3] = true, [4] = true, [5] = true, [6] = true } })
  else
    out.print("the journals are empty")
  end
  out.result { models = json.array(results) }
  return errors.strongest(codes)
end

---@param args table
---@param out dualdb.Output
---@return integer exit_code
function command.command(args, out)
  return actions[args.action](args, out)
end

return command
