-- dualdb setup: makes dualdb's own tables on both sides.

local setup = require "dualdb.setup"

local command = {
  name = "setup",
  summary = "make dualdb's own tables (dualdb_*) on both sides",
}

function command.add_to_parser() end

---@return integer exit_code
function command.command(args, out)
  local db = args.db()
  local done_before = setup.is_done(db)
  if not done_before then setup.run(db) end
  out.print(done_before and "dualdb's tables are there already" or "dualdb's tables are made")
  out.result { changed = not done_before, version = setup.VERSION }
  return 0
end

return command
