-- dualdb runs [RUN]: who ran what, and with what result.

local json = require "dualdb.json"
local progress = require "dualdb.progress"
local text = require "dualdb.cli.text"

local command = {
  name = "runs",
  summary = "list the verifications and repairs that were run from this machine",
  description = "The newest run is first. One that is interrupted can go on: "
    .. "`dualdb verify --resume RUN`.",
}

--- Runs that are shown, unless all are asked for.
local SHOWN = 20

local function run_id(word)
  local id = math.tointeger(tonumber(word))
  if id and id > 0 then return id end
  return nil, ("'%s' is no run's number"):format(word)
end

function command.add_to_parser(cmd)
  cmd:argument("run", "one run, with all that is recorded of it"):args("?"):argname("RUN")
    :convert(run_id)
  cmd:flag("--all", ("all runs, not only the last %d"):format(SHOWN))
end

local COLOURS = {
  equal = "green", different = "red", not_verified = "yellow", interrupted = "yellow",
}

local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function models_text(record)
  local count = #record.models
  if count <= 2 then return table.concat(record.models, ", ") end
  return ("%s and %d more"):format(record.models[1], count - 1)
end

local function entry_of(record)
  local entry = {}
  for name, value in pairs(record) do entry[name] = value end
  entry.of_models, entry.models = json.array(record.models), nil
  entry.files = json.array(record.files)
  return entry
end

local function show_list(list, out)
  if #list == 0 then return out.print "there are no runs" end
  local rows = {}
  for i, record in ipairs(list) do
    rows[i] = {
      record.run, record.started_at, record.user .. "@" .. record.host, record.command,
      models_text(record), record.verdict or record.state, record.exit or "",
      record.seconds and progress.duration(record.seconds) or "",
    }
  end
  out.table({ "run", "started", "by", "command", "models", "result", "exit", "took" }, rows,
    { right = { [1] = true, [7] = true, [8] = true }, colours = COLOURS })
end

local FIELDS = {
  "run", "command", "user", "host", "pid", "version", "started_at", "finished_at", "state",
  "verdict", "exit", "error",
}

local function show_one(record, out)
  for _, name in ipairs(FIELDS) do
    if record[name] ~= nil then
      out.print(("%-12s %s"):format(name, text.visible(tostring(record[name]))))
    end
  end
  out.print(("%-12s %s"):format("models", text.visible(table.concat(record.models, ", "))))
  for _, name in ipairs(sorted(record.options)) do
    out.print(("%-12s %s = %s"):format("option", name,
      text.visible(tostring(record.options[name]))))
  end
  for _, file in ipairs(record.files) do
    out.print(("%-12s %s (XXH3-128 %s)"):format(file.kind, text.visible(file.path),
      file.digest or "unknown"))
  end
  local rows = {}
  for _, model in ipairs(sorted(record.counts)) do
    for _, name in ipairs(sorted(record.counts[model])) do
      rows[#rows + 1] = { model, name, tostring(record.counts[model][name]) }
    end
  end
  if #rows == 0 then return end
  out.print ""
  out.table({ "model", "count", "value" }, rows, { right = { [3] = true } })
end

---@return integer exit_code
function command.command(args, out)
  local db = args.db()
  if args.run then
    local record = db:run(args.run)
    out.result { run = entry_of(record) }
    show_one(record, out)
    return 0
  end
  local list = db:runs(not args.all and SHOWN or nil)
  local entries = json.array()
  for i, record in ipairs(list) do entries[i] = entry_of(record) end
  out.result { runs = entries }
  show_list(list, out)
  return 0
end

return command
