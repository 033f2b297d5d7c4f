-- dualdb sync: makes the secondary's tables what the primary's are.

local confirm = require "dualdb.cli.confirm"
local errors = require "dualdb.errors"
local json = require "dualdb.json"
local order = require "dualdb.order"
local progress = require "dualdb.progress"
local quantity = require "dualdb.cli.quantity"
local crossed = require "dualdb.cli.crossed"
local select_models = require "dualdb.cli.select"
local plan = require "dualdb.sync.plan"
local sync = require "dualdb.sync"
local text = require "dualdb.cli.text"

local command = {
  name = "sync",
  summary = "make the secondary's tables what the primary's are",
}

function command.add_to_parser(cmd)
  select_models.add_to_parser(cmd)
  cmd:flag("--full", "all rows: an empty table is loaded, otherwise what differs is written")
  cmd:flag("-n --dry-run", "only say what would be copied, how, and in what order")
  cmd:option("--jobs", "how many chunks are copied at the same time"):argname("N")
    :convert(quantity.count "--jobs")
  cmd:option("--chunk-rows", "how many rows a chunk has (default: as many as take half a second)")
    :argname("N"):convert(quantity.count "--chunk-rows")
  cmd:flag("--restart", "begin again, and do not go on where an earlier run was stopped")
  cmd:flag("--snapshot", "copy all tables as they are at one moment")
  cmd:option("--max-rate", "read no more bytes a second than this: 500k, 10M, 1G (of 1024)")
    :argname("SIZE"):convert(quantity.size "--max-rate")
  cmd:option("--max-lag", "pause while a replica of the primary is further behind (default: 10)")
    :argname("SECONDS"):convert(quantity.seconds "--max-lag")
  cmd:flag("--to-primary", "the other way, for recovery: the primary's tables become what the "
    .. "secondary's are")
  cmd:flag("--yes", "with --to-primary: do not ask")
end

local CONFIRMATION = {
  command = "sync",
  hint = "--yes writes to the primary without asking, --dry-run shows what would be copied.",
}

--- What contradicts itself is said before any server is asked.
local function check(args)
  if not args.full then
    error(errors.make("usage", "sync: --full is not given",
      { hint = "Only full syncs are there yet: dualdb sync --full MODEL... or --all." }))
  end
  if args.snapshot and args.to_primary then
    error(errors.make("usage", "sync: --snapshot and --to-primary contradict each other", {
      hint = "A snapshot is one of the primary, and --to-primary reads the secondary.",
    }))
  end
  if args.to_primary and not args.yes and not args.dry_run then
    confirm.needs_terminal(CONFIRMATION)
  end
end

--- What the command line says, for sync.all.
local function options_of(args, meter)
  return {
    mode = "full", meter = meter, jobs = args.jobs, chunk_rows = args.chunk_rows,
    restart = args.restart, snapshot = args.snapshot, max_rate = args.max_rate,
    max_lag = args.max_lag, direction = args.to_primary and "to_primary" or nil,
  }
end

local function warn_of_tables(out, without_key)
  for _, name in ipairs(without_key) do
    out.log("warn", ("table %s has no primary key and is not copied"):format(name),
      { table = name })
  end
end

local FIELDS = {
  "model", "mode", "action", "resumed", "rows_read", "rows_written", "rows_deleted", "quarantined",
  "policies", "chunks", "bytes", "snapshot", "seconds", "error",
}

--- What an error leaves to say of a model; an interrupt stops all of them.
local function failed(name, raised)
  local err = errors.wrap(raised)
  if err.class == "canceled" then error(err, 0) end
  return { model = name, mode = "full", error = err }
end

--- One model's error does not stop the others.
local function each(names, fn)
  local results = {}
  for i, name in ipairs(names) do
    local ok, result = pcall(fn, name)
    results[i] = ok and result or failed(name, result)
  end
  return results
end

local function report_errors(models, out)
  for _, model in ipairs(models) do
    if model.error then out.error(model.error, model.model) end
  end
end

local function exit_code(models)
  local codes = {}
  for _, model in ipairs(models) do
    if model.error then codes[#codes + 1] = errors.exit_code(model.error) end
    if (model.quarantined or 0) > 0 then codes[#codes + 1] = 7 end
  end
  return errors.strongest(codes)
end

local function entry_of(result)
  local entry = {}
  for _, field in ipairs(FIELDS) do entry[field] = result[field] end
  return entry
end

--- In the order in which they would be copied.
local function show_plan(models, args, out)
  local rows, sum_rows, sum_bytes = {}, 0, 0
  for i, model in ipairs(models) do
    if model.error then
      rows[i] = { i, model.model, "does not fit", "", "", "" }
    else
      rows[i] = {
        i, model.model, model.table[args.to_primary and "primary" or "secondary"], model.action,
        progress.count(model.estimated_rows), progress.size(model.estimated_bytes),
      }
      sum_rows = sum_rows + model.estimated_rows
      sum_bytes = sum_bytes + model.estimated_bytes
    end
  end
  out.table({ "", "model", "into table", "how", "rows, about", "size, about" }, rows,
    { right = { true, [5] = true, [6] = true } })
  out.print(("\nabout %s and %s in all, to the %s%s"):format(progress.plural(sum_rows, "row"),
    progress.size(sum_bytes), args.to_primary and "primary" or "secondary",
    args.jobs and ", in " .. progress.plural(args.jobs, "lane") or ""))
end

--- A dry run: both sides are looked at, and nothing is written.
local function show_only(db, names, args, out, models)
  local direction = args.to_primary and "to_primary" or "to_secondary"
  local plans = each(names, function(name) return plan.of(db, name, direction) end)
  table.move(plans, 1, #plans, 1, models)
  report_errors(models, out)
  out.result { lanes = args.jobs }
  show_plan(models, args, out)
  return exit_code(models)
end

local function show_results(models, out)
  local rows = {}
  for i, model in ipairs(models) do
    rows[i] = model.error and { model.model, "failed", "", "", "", "" } or {
      model.model, "done", progress.count(model.rows_read), progress.count(model.rows_written),
      progress.count(model.rows_deleted), ("%.2f"):format(model.seconds),
    }
  end
  out.table({ "model", "state", "read", "written", "deleted", "seconds" }, rows, {
    right = { [3] = true, [4] = true, [5] = true, [6] = true },
    colours = { done = "green", failed = "red" },
  })
end

--- What did not arrive as it was, and what was there before.
local function report_values(models, out)
  for _, model in ipairs(models) do
    if model.resumed then
      out.log("info", ("%s: went on from where an earlier sync had got to"):format(
        text.visible(model.model)), { model = model.model, resumed = true })
    end
    crossed.report(model, out)
    if (model.quarantined or 0) > 0 then
      out.log("warn", ("%s: %s cannot go to the secondary and %s in quarantine; "
        .. "`dualdb quarantine list` shows them"):format(text.visible(model.model),
        progress.plural(model.quarantined, "row"), model.quarantined == 1 and "is" or "are"),
        { model = model.model, quarantined = model.quarantined })
    end
  end
end

---@return integer exit_code
function command.command(args, out)
  check(args)
  local names, without_key = select_models.names("sync", args)
  local db = args.db()
  names = order.parents_first(db, names)
  warn_of_tables(out, without_key)
  local models = json.array()
  out.result { models = models, dry_run = args.dry_run or false }
  if args.dry_run then
    return show_only(db, names, args, out, models)
  end
  if args.to_primary and not args.yes then
    confirm.name_of_database(CONFIRMATION, db.primary,
      ("The primary's rows of %s would be replaced"):format(progress.plural(#names, "model")))
  end
  local meter = progress.new("sync", { tables = #names })
  local ok, results = pcall(sync.all, db, names, options_of(args, meter))
  meter:close()
  if not ok then error(results, 0) end
  for i, result in ipairs(results) do models[i] = entry_of(result) end
  report_errors(models, out)
  show_results(models, out)
  report_values(models, out)
  return exit_code(models)
end

return command
