--- How often policies changed values on their way to the secondary.

local progress = require "dualdb.progress"
local text = require "dualdb.cli.text"

local crossed = {}

--- Says it of one model, one line a policy.
---@param entry { model: string, policies: table<string, integer>|nil }
---@param out dualdb.Output
function crossed.report(entry, out)
  local names = {}
  for name in pairs(entry.policies or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local count = entry.policies[name]
    out.log("info", ("%s: policy %s: %s"):format(text.visible(entry.model), name,
      progress.plural(count, "value")), { model = entry.model, policy = name, values = count })
  end
end

return crossed
