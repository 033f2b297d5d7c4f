-- dualdb recover: finishes dual writes whose processes died in the middle.

local errors = require "dualdb.errors"
local json = require "dualdb.json"

local command = {
  name = "recover",
  summary = "finish dual writes whose processes died in the middle",
  description = "Prepared transactions of this project are committed when the side that decides "
    .. "has their decision, else rolled back, after making sure that their owner can no longer "
    .. "commit. Those of living owners are left alone.",
}

function command.add_to_parser(cmd)
  cmd:flag("--accept-identity", "the sides are the right ones, though they are not the servers "
    .. "that they were, and have every decision that was made")
end

local WORDS = {
  committed = "committed", rolled_back = "rolled back", owner_alive = "owner is alive",
  undecided = "undecided",
}

---@return integer exit_code
function command.command(args, out)
  local list, failures = args.db():recover { accept_identity = args.accept_identity }
  local rows, codes, entries = {}, {}, json.array()
  for i, item in ipairs(list) do
    rows[i] = { item.gid, item.side, WORDS[item.outcome] }
    entries[i] = { gid = item.gid, side = item.side, outcome = item.outcome, error = item.error }
    if item.error then
      out.error(item.error, item.gid)
      codes[#codes + 1] = errors.exit_code(item.error)
    end
  end
  for _, err in ipairs(failures) do
    out.error(err)
    codes[#codes + 1] = errors.exit_code(err)
  end
  if #rows > 0 then
    out.table({ "write", "prepared on", "now" }, rows)
  elseif #failures == 0 then
    out.print("nothing is in doubt")
  end
  out.result { recovered = entries, error = out.document.error or failures[1] }
  return errors.strongest(codes)
end

return command
