--- A person's word for what a command is about to write: the name of the database, typed.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"
local text = require "dualdb.cli.text"

local confirm = {}

---@class dualdb.Confirmation
---@field command string   the command, for messages: "repair"
---@field hint string      what to do without a terminal

local function refuse(ask, message)
  error(errors.make("refused", ("%s: %s"):format(ask.command, message), { hint = ask.hint }))
end

--- Refuses at once where there is nobody to ask, before any work is done.
---@param ask dualdb.Confirmation
function confirm.needs_terminal(ask)
  if not core.isatty(0) then refuse(ask, "without --yes this needs a terminal to ask at") end
end

local function database_name(side)
  local sql = side.driver == "mysql" and "select database() as name"
    or "select current_database()::text as name"
  return side:query(sql)[1].name
end

--- Asks a person to type the name of the database that will be written to; refuses anything else.
---@param ask dualdb.Confirmation
---@param side dualdb.Side   that will be written to
---@param reason string      what is asked about: "2 rows differ"
function confirm.name_of_database(ask, side, reason)
  log.clear_status()
  local name = database_name(side)
  io.stderr:write(("%s. To %s, type the name of the %s's database (%s): "):format(reason,
    ask.command, side.name, text.visible(name)))
  if io.read("l") ~= name then refuse(ask, "not confirmed") end
end

return confirm
