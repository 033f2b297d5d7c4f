--- Verifications by both methods that compare whole tables, which have to say the same.

local assert = require "luassert"

local methods = {}

--- What a report says of the rows: its counts, and its differences in an order of their own.
local function substance(report)
  assert.is_nil(report.error)
  local lines, differences = {}, {}
  report:write_jsonl(function(text) lines[#lines + 1] = text end)
  for line in table.concat(lines):gmatch "[^\n]+" do differences[#differences + 1] = line end
  table.sort(differences)
  return {
    verdict = report.verdict, rows_primary = report.rows_primary, differences = differences,
    rows_secondary = report.rows_secondary, missing = report.missing, extra = report.extra,
    changed = report.changed, not_verified = report.not_verified, columns = report.columns,
    quarantined = report.quarantined, changed_columns = report.changed_columns,
  }
end

--- Verifies by both methods, each of which has to have run, and to say what the other one says;
--- returns that.
---@param model dualdb.Model
---@param options dualdb.VerifyOptions|nil
---@return table
function methods.both(model, options)
  local found = {}
  for i, method in ipairs { "pushdown", "stream" } do
    local given = { method = method }
    for name, value in pairs(options or {}) do given[name] = value end
    local report = model:verify(given)
    assert.equal(method, report.method:match "^%a+", report.method_reason or report.reason)
    found[i] = substance(report)
    report.spool:close()
  end
  assert.same(found[2], found[1])
  return found[1]
end

return methods
