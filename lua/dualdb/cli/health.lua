-- dualdb health: do both sides answer?

local errors = require "dualdb.errors"

local command = {
  name = "health",
  summary = "whether both sides answer, and what they are",
}

function command.add_to_parser() end

local SIDES = { "primary", "secondary" }

local function row(name, side)
  if not side.ok then return { name, "down", "", "", "" } end
  return { name, "up", side.product .. " " .. side.version, side.database,
           ("%.1f ms"):format(side.seconds * 1000) }
end

---@return integer exit_code
function command.command(args, out)
  local health = args.db():health()
  local rows, codes = {}, {}
  for i, name in ipairs(SIDES) do
    local side = health[name]
    rows[i] = row(name, side)
    if not side.ok then
      codes[#codes + 1] = errors.exit_code(side.error)
      out.error(side.error, name)
      out.result { error = out.document.error or side.error }
    end
  end
  out.table({ "side", "state", "server", "database", "answer" }, rows, {
    right = { [5] = true }, colours = { up = "green", down = "red" },
  })
  if health.ok and not health.setup then
    out.print("dualdb's own tables are not there yet: `dualdb setup` makes them")
  end
  out.result {
    primary = health.primary, secondary = health.secondary, policy = health.policy,
    protocol = health.protocol, setup = health.setup,
  }
  return errors.strongest(codes)
end

return command
