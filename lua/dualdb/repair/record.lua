--- What is recorded of a repair, and its exit code.

local errors = require "dualdb.errors"
local runs = require "dualdb.runs"

local record = {}

local RECORDED = {
  "from", "dry_run", "allow_delete", "max_rows", "max_rate", "strategy", "undo",
}

--- Begins the record of a run.
---@param db dualdb.Database
---@param names string[]|nil
---@param options dualdb.RepairOptions
---@return dualdb.Run
function record.begin(db, names, options)
  local kept = {}
  for _, name in ipairs(RECORDED) do kept[name] = options[name] end
  return runs.begin(db, { command = "repair", models = names, options = kept })
end

--- The exit code of a repair: the strongest of what became of each model.
---@param results dualdb.RepairResult[]
---@param options { dry_run: boolean|nil }
---@return integer
function record.exit_code(results, options)
  local codes = {}
  local function add(code, applies) if applies then codes[#codes + 1] = code end end
  for _, result in ipairs(results) do
    if result.error then codes[#codes + 1] = errors.exit_code(result.error) end
    add(8, result.verdict == "not_verified")
    add(7, result.failed > 0 or result.quarantined > 0)
    local settled = result.skips["equal meanwhile"] or 0
    add(1, result.skipped > settled or options.dry_run and result.planned > 0)
  end
  return errors.strongest(codes)
end

local COUNTED = { "strategy", "planned", "applied", "skipped", "failed", "quarantined" }

--- Ends the record with the results so far, and what was raised.
---@param run dualdb.Run
---@param results dualdb.RepairResult[]
---@param options dualdb.RepairOptions
---@param err any
function record.finish(run, results, options, err)
  local what = { counts = {}, files = {}, error = err }
  what.exit = err and errors.exit_code(err) or record.exit_code(results, options)
  for _, result in ipairs(results) do
    local counts = {}
    for _, name in ipairs(COUNTED) do counts[name] = result[name] end
    what.counts[result.model] = counts
    what.error = what.error or result.error
  end
  for side, path in pairs(results[1] and results[1].undo or {}) do
    what.files[#what.files + 1] = { kind = "undo " .. side, path = path }
  end
  if options.from then what.files[#what.files + 1] = { kind = "report", path = options.from } end
  run:finish(what)
end

return record
