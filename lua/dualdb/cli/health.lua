-- dualdb health: do both sides answer?

local errors = require "dualdb.errors"
local json = require "dualdb.json"
local log = require "dualdb.log"

local command = {
  name = "health",
  summary = "whether both sides answer, and what they are",
}

function command.add_to_parser() end

local SIDES = { "primary", "secondary" }

--- What reads and writes make of the side at present, which can differ from what it just said.
local function breaker_text(breaker)
  if breaker.state == "closed" then return "asked" end
  if breaker.state == "open" then return ("not asked for %.0f s"):format(breaker.seconds) end
  return "tried again"
end

local function row(name, side, breaker)
  if not side.ok then return { name, "down", "", "", "", breaker_text(breaker) } end
  return { name, "up", side.product .. " " .. side.version, side.database,
           ("%.1f ms"):format(side.seconds * 1000), breaker_text(breaker) }
end

local function staleness_text(staleness)
  if not staleness then return "it is not known how far the secondary is behind" end
  return ("the secondary is behind by %.1f s at most"):format(staleness)
end

---@return integer exit_code
function command.command(args, out)
  local health = args.db():health()
  local rows, codes = {}, {}
  for i, name in ipairs(SIDES) do
    local side = health[name]
    rows[i] = row(name, side, health.breaker[name])
    if not side.ok then
      codes[#codes + 1] = errors.exit_code(side.error)
      out.error(side.error, name)
      out.result { error = out.document.error or side.error }
    end
  end
  out.table({ "side", "state", "server", "database", "answer", "breaker" }, rows, {
    right = { [5] = true }, colours = { up = "green", down = "red" },
  })
  out.print(("writes: %s (%s), policy %s"):format(health.protocol, health.protocol_why,
    health.policy))
  for _, warning in ipairs(health.warnings) do log.emit("warn", warning) end
  if health.protocol == "refused" then codes[#codes + 1] = 6 end
  if health.ok and not health.setup then
    out.print("dualdb's own tables are not there yet: `dualdb setup` makes them")
  end
  if health.secondary.ok and health.setup then out.print(staleness_text(health.staleness)) end
  out.result {
    primary = health.primary, secondary = health.secondary, policy = health.policy,
    protocol = health.protocol, protocol_why = health.protocol_why,
    warnings = json.array(health.warnings), setup = health.setup,
    breaker = health.breaker, staleness = health.staleness,
  }
  return errors.strongest(codes)
end

return command
