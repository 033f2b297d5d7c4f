-- dualdb repair: mends what verify finds.

local confirm = require "dualdb.cli.confirm"
local errors = require "dualdb.errors"
local json = require "dualdb.json"
local naming = require "dualdb.naming"
local progress = require "dualdb.progress"
local quantity = require "dualdb.cli.quantity"
local repair = require "dualdb.repair"
local row = require "dualdb.row"
local select_models = require "dualdb.cli.select"
local strategies = require "dualdb.strategies"
local text = require "dualdb.cli.text"

local command = {
  name = "repair",
  summary = "mend what verify finds, by a strategy",
}

function command.add_to_parser(cmd)
  select_models.add_to_parser(cmd)
  cmd:option("--strategy",
    "which row is right: primary_wins (default), secondary_wins, newest_wins (by the model's "
    .. "watermark), ask (row by row), or one of the project file"):argname("NAME")
  cmd:option("--from", "repair what this report of `verify --report` says, not what is found now")
    :argname("REPORT.jsonl")
  cmd:flag("-n --dry-run", "only print the SQL that would run")
  cmd:option("--max-rows", ("refuse to repair more (default: %d)"):format(repair.DEFAULT_MAX_ROWS))
    :argname("N"):convert(quantity.count "--max-rows")
  cmd:flag("--allow-delete", "rows may be deleted")
  cmd:option("--max-rate", "repair no more rows a second than this"):argname("ROWS")
    :convert(quantity.count "--max-rate")
  cmd:option("--undo", "where to keep what is replaced, as SQL that puts it back: FILE.sql becomes "
    .. "FILE.secondary.sql and FILE.primary.sql (default: in the project's state directory)")
    :argname("FILE.sql")
  cmd:flag("--yes", "do not ask")
end

-- ---- before anything is done ----

local function check_strategy(db, name)
  if not name or db.config.strategies[name] or strategies.built_in[name] then return end
  local known = {}
  for _, map in ipairs { strategies.built_in, db.config.strategies } do
    for other in pairs(map) do known[#known + 1] = other end
  end
  table.sort(known)
  local near = naming.nearest(name, known)
  error(errors.make("usage", ("repair: unknown strategy %s"):format(name), {
    hint = near and ("Did you mean %s?"):format(near)
      or ("Known are %s."):format(table.concat(known, ", ")),
  }))
end

local CONFIRMATION = {
  command = "repair",
  hint = "--yes repairs without asking, --dry-run shows what would be done.",
}

--- The database that is written to, for a person to name: the primary as soon as it may be one.
local function target(db, args, names)
  for _, name in ipairs(names) do
    local strategy = args.strategy or db:model_definition(name).strategy or "primary_wins"
    if strategy ~= "primary_wins" then return "primary" end
  end
  return "secondary"
end

--- Asks a person to type the name of the database that will be written to.
local function asker(db, args)
  return function(total, names)
    confirm.name_of_database(CONFIRMATION, db[target(db, args, names)], ("%s %s"):format(
      progress.count(total), total == 1 and "row differs" or "rows differ"))
  end
end

-- ---- what is said of it ----

local FIELDS = {
  "model", "verdict", "strategy", "planned", "applied", "skipped", "quarantined", "failed",
  "seconds", "undo", "run", "error",
}

local function entry_of(result, sql)
  local entry = {}
  for _, field in ipairs(FIELDS) do entry[field] = result[field] end
  entry.skips = result.skips
  entry.failures = json.array()
  for i, failure in ipairs(result.failures) do
    entry.failures[i] = { key = failure.key, reason = failure.reason }
  end
  if sql then entry.sql = json.array(sql[result.model]) end
  return entry
end

local function show(entries, out)
  local rows, right = {}, {}
  for i, entry in ipairs(entries) do
    rows[i] = {
      entry.model, entry.strategy, progress.count(entry.planned), progress.count(entry.applied),
      progress.count(entry.skipped), progress.count(entry.failed),
    }
  end
  for i = 3, 6 do right[i] = true end
  out.table({ "model", "strategy", "planned", "applied", "skipped", "failed" }, rows,
    { right = right })
end

local ADVICE = { ["deletes are not allowed"] = "; --allow-delete allows them" }

--- Where what was replaced is kept.
local function show_undo(entries, out)
  for _, side in ipairs { "secondary", "primary" } do
    local path = entries[1] and (entries[1].undo or {})[side]
    if path then
      out.print(("undo it on the %s with: dualdb shell %s <%s"):format(side, side,
        text.visible(path)))
    end
  end
end

local function report_problems(entry, out)
  local name = text.visible(entry.model)
  if entry.error then out.error(entry.error, entry.model) end
  local reasons = {}
  for reason in pairs(entry.skips) do reasons[#reasons + 1] = reason end
  table.sort(reasons)
  for _, reason in ipairs(reasons) do
    out.log("warn", ("%s: %s skipped: %s%s"):format(name, progress.count(entry.skips[reason]),
      text.visible(reason), ADVICE[reason] or ""), { model = entry.model, reason = reason })
  end
  for _, failure in ipairs(entry.failures) do
    out.log("warn", ("%s: %s failed: %s"):format(name, text.visible(failure.key),
      text.visible(failure.reason)), { model = entry.model })
  end
end

--- Collects or prints the statements of a dry run, each behind the row that it is for.
local function shower(args, out, sql)
  if not args.dry_run then return nil end
  return function(statement, spec, found, side)
    if out.json then
      sql[spec.name] = sql[spec.name] or {}
      table.insert(sql[spec.name], statement)
    end
    out.print(("-- %s %s: %s; on the %s"):format(text.visible(spec.name),
      text.visible(row.key_text(spec, found.key)), found.kind, side))
    out.print(statement)
  end
end

---@return integer exit_code
function command.command(args, out)
  local names, without_key
  -- A report names its models itself.
  if not args.from or args.all or #args.models > 0 then
    names, without_key = select_models.names("repair", args)
  end
  local db = args.db()
  check_strategy(db, args.strategy)
  local ask = not args.yes and not args.dry_run
  if ask then confirm.needs_terminal(CONFIRMATION) end
  for _, name in ipairs(without_key or {}) do
    out.log("warn", ("table %s has no primary key and is not repaired"):format(name),
      { table = name })
  end
  local entries = json.array()
  local sql = args.dry_run and out.json and {} or nil
  out.result { models = entries, dry_run = args.dry_run or false }
  local results = repair.run(db, names, {
    strategy = args.strategy, dry_run = args.dry_run, allow_delete = args.allow_delete,
    max_rows = args.max_rows, max_rate = args.max_rate, from = args.from, undo = args.undo,
    show = shower(args, out, sql), confirm = ask and asker(db, args) or nil,
    on_undo = function(side, path)
      out.log("info", ("what is replaced on the %s is kept in %s"):format(side, path),
        { side = side, file = path })
    end,
    progress = progress.new("repair"):callback(),
  })
  for i, result in ipairs(results) do
    entries[i] = entry_of(result, sql)
    report_problems(entries[i], out)
  end
  if not args.dry_run then
    show(entries, out)
    show_undo(entries, out)
  end
  return repair.exit_code(results, { dry_run = args.dry_run })
end

return command
