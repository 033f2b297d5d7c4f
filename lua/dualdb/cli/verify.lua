-- dualdb verify: are the tables equal?

local json = require "dualdb.json"
local crossed = require "dualdb.cli.crossed"
local progress = require "dualdb.progress"
local quarantine = require "dualdb.quarantine"
local quantity = require "dualdb.cli.quantity"
local ReportFile = require "dualdb.cli.report_file"
local select_models = require "dualdb.cli.select"
local text = require "dualdb.cli.text"

local command = {
  name = "verify",
  summary = "compare the tables of both sides, row by row; writes nothing",
}

--- Differences of a model that are shown; all of them are in the report.
local SHOWN = 5

local function seed(word)
  local number = word:match "^%-?%d+$" and math.tointeger(tonumber(word))
  if number then return number end
  return nil, ("option '--seed': '%s' is not a whole number"):format(word)
end

local function run_id(word)
  local id = math.tointeger(tonumber(word))
  if id and id > 0 then return id end
  return nil, ("option '--resume': '%s' is no run's number"):format(word)
end

local function column_names(list)
  local names = {}
  for name in (list .. ","):gmatch "%s*([^,]-)%s*," do
    if name == "" then return nil, "option '--columns': names with commas between them expected" end
    names[#names + 1] = name
  end
  return names
end

function command.add_to_parser(cmd)
  select_models.add_to_parser(cmd)
  cmd:option("--where", "compare only the rows for which this holds, on either side")
    :argname("SQL")
  cmd:option("--columns", "compare only the key and these columns, as in content,score")
    :argname("LIST"):convert(column_names)
  cmd:option("--since", "compare only the rows whose watermark is of this time (ISO) or of as long "
    .. "ago (90s, 30m, 2h, 7d) or later"):argname("TIME")
  cmd:option("--sample", "compare only so many rows, drawn from all that either side has")
    :argname("N"):convert(quantity.count "--sample")
  cmd:option("--seed", "draw the same rows again: the number that the sample was drawn with")
    :argname("S"):convert(seed)
  cmd:option("--resume", "go on with a run that was killed, or could not verify all: the same "
    .. "models, compared the same way"):argname("RUN"):convert(run_id)
  cmd:option("--method", "read both sides (stream), have the servers digest their rows "
    .. "(pushdown), or measure which is faster (auto, the default)")
    :argname("METHOD"):choices { "auto", "stream", "pushdown" }
  cmd:option("--jobs", "how many ranges of a large table are compared at the same time (default: "
    .. "half of the processors, 4 at most)"):argname("N"):convert(quantity.count "--jobs")
  cmd:option("--report", "write what was found there: FILE.jsonl has every difference as a line of "
    .. "JSON, FILE.html is a page to look at, FILE.sql what a repair would run")
    :argname("FILE"):convert(ReportFile.path):count("*")
end

local function key_text(spec, key)
  local parts = {}
  for i, name in ipairs(spec.key_names) do
    parts[i] = ("%s=%s"):format(text.visible(name), text.value(key[name]))
  end
  return table.concat(parts, " ")
end

local function first_differences(report)
  local lines = { shown = 0 }  -- a line may be of several rows
  for difference in report:differences { rows = false } do
    if #lines == SHOWN then break end
    local columns = {}
    for i, name in ipairs(difference.columns) do columns[i] = text.visible(name) end
    lines.shown = lines.shown + (difference.count or 1)
    lines[#lines + 1] = ("  %-8s %s%s"):format(difference.kind,
      key_text(report.spec, difference.key),
      #columns > 0 and "  in " .. table.concat(columns, ", ") or "")
    if difference.kind == "changed" and #difference.columns == 0 then
      lines[#lines] = lines[#lines] .. "  the condition holds on one side only"
    end
    if difference.count and difference.count > 1 then
      lines[#lines] = ("%s  %s times"):format(lines[#lines], progress.count(difference.count))
    end
    if difference.pending then lines[#lines] = lines[#lines] .. "  pending" end
    if difference.reason then
      lines[#lines] = ("%s  cannot cross: %s"):format(lines[#lines],
        text.visible(quarantine.text(difference.column, difference.reason)))
    end
  end
  return lines
end

local FIELDS = {
  "model", "verdict", "reason", "rows_primary", "rows_secondary", "missing", "extra", "changed",
  "not_verified", "quarantined", "pending", "policies", "method", "method_reason", "chunks",
  "coverage", "changed_columns", "run", "sample", "seconds", "error",
}

local function entry_of(report)
  local entry = {}
  for _, field in ipairs(FIELDS) do entry[field] = report[field] end
  entry.columns, entry.uncovered = json.array(report.columns), json.array(report.uncovered)
  entry.narrowed, entry.map = json.array(report.narrowed), json.array(report.map)
  return entry
end

--- The verdict with what it is about, when that is not the whole table.
local function verdict_of(entry)
  if entry.sample then return entry.verdict .. " (sample)" end
  return entry.narrowed and #entry.narrowed > 0 and entry.verdict .. " (narrowed)" or entry.verdict
end

local COLOURS = {}
for verdict, colour in pairs { equal = "green", different = "red", not_verified = "yellow" } do
  for _, part in ipairs { "", " (narrowed)", " (sample)" } do COLOURS[verdict .. part] = colour end
end

local function show(entries, details, wanted, out)
  local rows, right = {}, {}
  for i, entry in ipairs(entries) do
    rows[i] = {
      entry.model, verdict_of(entry), progress.count(entry.rows_primary),
      progress.count(entry.rows_secondary), progress.count(entry.missing),
      progress.count(entry.extra), progress.count(entry.changed), entry.chunks, #entry.columns,
      entry.method, ("%.2f"):format(entry.seconds),
    }
  end
  for i = 3, 9 do right[i] = true end
  right[11] = true
  out.table({ "model", "verdict", "primary", "secondary", "missing", "extra", "changed", "chunks",
              "columns", "method", "seconds" }, rows, { right = right, colours = COLOURS })
  for i, entry in ipairs(entries) do
    local lines = details[i]
    if entry.narrowed and #entry.narrowed > 0 then
      out.print(("\n%s: compared %s"):format(text.visible(entry.model),
        text.visible(table.concat(entry.narrowed, "; "))))
    end
    if entry.sample then
      out.print(("  drawn %s, with --seed %d"):format(entry.sample.drawn_by, entry.sample.seed))
      if entry.sample.confidence then out.print("  " .. entry.sample.confidence) end
    end
    if wanted == "pushdown" and entry.method ~= wanted and entry.method_reason then
      out.print(("\n%s: streamed, %s"):format(text.visible(entry.model),
        text.visible(entry.method_reason)))
    end
    local total = entry.missing + entry.extra + entry.changed
    if total > 0 then out.print(("\n%s:"):format(text.visible(entry.model))) end
    for _, line in ipairs(lines) do out.print(line) end
    if total > lines.shown then
      out.print(("  and %s more"):format(progress.count(total - lines.shown)))
    end
    if (entry.pending or 0) > 0 then
      out.print(("  %s pending: in the journal, for `dualdb journal replay`"):format(
        progress.count(entry.pending)))
    end
    if entry.reason and not entry.error then
      out.print(("\n%s: not verified: %s"):format(text.visible(entry.model), entry.reason))
    end
  end
end

local function note_uncovered(entry, out)
  if #entry.uncovered == 0 then return end
  out.log("warn", ("%s: columns that only the secondary has are not compared: %s"):format(
    entry.model, table.concat(entry.uncovered, ", ")), { model = entry.model })
end

--- Exit codes of what may be otherwise when the run goes on: a server, or rows that were not read.
local PASSES = { [4] = true, [5] = true, [8] = true }

--- What goes on has its models in its record, unless they are named once more.
local function names_of(args)
  if args.resume and not args.all and #args.models == 0 then return nil end
  return select_models.names("verify", args, true)
end

--- The report files, as the run's record names them.
local function files_of(paths)
  local files = {}
  for i, path in ipairs(paths) do files[i] = { kind = "report", path = path } end
  return files
end

---@return integer exit_code
function command.command(args, out)
  local names = names_of(args)
  local db, meter = args.db(), progress.new("verify")
  local report_files <close> = ReportFile.open_all(args.report, db)
  local verification <close> = db:verification(names, {
    where = args.where, columns = args.columns, since = args.since, resume = args.resume,
    sample = args.sample, seed = args.seed, method = args.method, jobs = args.jobs,
  })
  local entries, details = json.array(), {}
  out.result { models = entries, verdict = "not_verified", run = verification.run.id }
  for i, name in ipairs(verification.models) do
    meter:start(name)
    local report = verification:verify(name, meter:callback())
    local entry = entry_of(report)
    entries[i], details[i] = entry, first_differences(report)
    report_files:add(report)
    report.spool:close()
    meter:finish { verdict = entry.verdict, rows = entry.rows_primary }
    if entry.error then out.error(entry.error, name) end
    note_uncovered(entry, out)
    crossed.report(entry, out)
  end
  local verdict, code = verification:conclude()
  report_files:commit(verdict)
  verification:finish(files_of(args.report))
  out.result { verdict = verdict }
  show(entries, details, verification.options.method, out)
  if verdict == "not_verified" and verification.run.id and PASSES[code] then
    out.log("info", ("run %d can go on: dualdb verify --resume %d"):format(verification.run.id,
      verification.run.id))
  end
  return code
end

return command
