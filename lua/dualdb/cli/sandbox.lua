-- dualdb sandbox up|down|status|env: private servers for trying out and for tests.

local errors = require "dualdb.errors"
local sandbox = require "dualdb.sandbox"

local command = {
  name = "sandbox",
  summary = "private MySQL and PostgreSQL servers, to try out and for tests",
}

local function quote(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

local function side_line(name, side)
  local state = not side.running and "stopped" or side.answers and "running" or "not answering"
  return string.format("%-10s %-11s %-14s 127.0.0.1:%d  socket %s%s", name, side.title, state,
    side.port, side.socket, side.pid and "  pid " .. side.pid or "")
end

local function status_code(status)
  if not status.exists or not status.primary.answers then return 4 end
  return status.secondary.answers and 0 or 5
end

local actions = {}

function actions.up(args, out, opts)
  local status = sandbox.up(opts)
  if args.json then
    out.result { sandbox = status }
  else
    out.print(string.format("the sandbox in %s is up", status.dir))
    out.print(side_line("primary", status.primary))
    out.print(side_line("secondary", status.secondary))
    out.print(string.format('to use it:  eval "$(dualdb sandbox env --dir %s)"',
      quote(status.dir)))
  end
  return 0
end

function actions.down(args, out, opts)
  local removed = sandbox.down(opts)
  if args.json then
    out.result { removed = removed }
  else
    out.print(removed and "the sandbox is removed" or "there is no sandbox")
  end
  return 0
end

function actions.status(args, out, opts)
  local status = sandbox.status(opts)
  local code = status_code(status)
  if args.json then
    out.result { sandbox = status }
  elseif not status.exists then
    out.print("there is no sandbox in " .. status.dir)
  else
    out.print(string.format("sandbox in %s (%s)", status.dir, status.flavor))
    out.print(side_line("primary", status.primary))
    out.print(side_line("secondary", status.secondary))
  end
  return code
end

function actions.env(args, out, opts)
  local pairs_of_env = sandbox.env(opts)
  if args.json then
    local env = {}
    for _, pair in ipairs(pairs_of_env) do env[pair[1]] = pair[2] end
    out.result { env = env }
  else
    for _, pair in ipairs(pairs_of_env) do
      out.print("export " .. pair[1] .. "=" .. quote(pair[2]))
    end
  end
  return 0
end

function command.add_to_parser(cmd)
  cmd:argument("action", "up: make and start; down: stop and remove; status; env: what to export")
    :choices { "up", "down", "status", "env" }
  cmd:option("--dir", "the sandbox's directory (default: $DUALDB_SANDBOX, or .sandbox)")
    :argname("DIR")
  cmd:option("--flavor", "the primary: mariadb, mysql, or mysql9 (see scripts/mysql9.sh)")
    :argname("NAME")
end

---@param args table
---@param out { print: fun(text: string), log: fun(level: string, text: string) }
---@return integer exit_code
function command.command(args, out)
  local action = actions[args.action]
    or errors.raise("usage", "sandbox: unknown action '%s' (up, down, status, env)",
      tostring(args.action))
  return action(args, out, {
    dir = args.dir,
    flavor = args.flavor,
    log = function(text) out.log("info", text) end,
  })
end

return command
