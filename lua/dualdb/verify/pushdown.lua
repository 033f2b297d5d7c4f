--- The method that has the servers digest their rows by plain SQL, and brings over no more than
--- sums: for slow links. It takes the right to read the table, and nothing else. Where sums differ,
--- it goes down to the rows; each is then read and judged as every other method's suspects are.

local ordered = require "dualdb.verify.pushdown.ordered"
local parts = require "dualdb.verify.pushdown.parts"
local policies = require "dualdb.policies"
local render = require "dualdb.verify.pushdown.render"

local pushdown = {}

--- Why the model cannot be compared so; nil when it can.
---@param spec dualdb.Spec
---@return string|nil
function pushdown.refusal(spec)
  if (spec.model.sync or {}).transform then
    return "the model has a transform, which runs here"
  end
  for _, column in ipairs(spec.columns) do
    if policies.may_change(spec.model, column) then
      return ("column %s: a policy of the model changes values"):format(column.name)
    end
  end
  local encoding = spec.secondary_table.encoding
  if encoding ~= "UTF8" then
    return ("the secondary's database is in %s, not in UTF8"):format(encoding)
  end
  if not spec.ordered and spec.estimated_rows > parts.MOST_ROWS then
    return ("the servers do not order the key alike, and %d rows are too many for one statement")
      :format(spec.estimated_rows)
  end
  return render.problem(spec)
end

---@param job dualdb.VerifyJob   whose model is not refused
---@return { rows_primary: integer, rows_secondary: integer, chunks: integer }
function pushdown.compare(job)
  return (job.spec.ordered and ordered or parts).compare(job)
end

return pushdown
