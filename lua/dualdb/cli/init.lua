--- The command line: finds the command, gives it its arguments, and turns what happens into output
--- and an exit code. Each command is a module { name, summary, add_to_parser(cmd),
--- command(args, out) }.

local arguments = require "dualdb.cli.arguments"
local core = require "dualdb.core"
local dualdb = require "dualdb"
local errors = require "dualdb.errors"
local log = require "dualdb.log"
local Output = require "dualdb.cli.output"

local cli = {}

--- In the order of `dualdb help`.
local COMMANDS = {
  "run", "setup", "health", "models", "schema", "sync", "verify", "repair", "journal", "recover",
  "quarantine", "runs", "shell", "sandbox", "help",
}

local function load_commands()
  local list, by_name = {}, {}
  for i, name in ipairs(COMMANDS) do
    list[i] = require("dualdb.cli." .. name)
    by_name[name] = list[i]
  end
  return list, by_name
end

--- What --project and --env-file say is said to scripts too, wherever they open the pair.
local function follow_flags(args)
  local open = dualdb.open
  if not args.project and not args.env_file then return end
  ---@diagnostic disable-next-line: duplicate-set-field
  function dualdb.open(settings)
    local given = { project = args.project, env_file = args.env_file }
    for name, value in pairs(settings or {}) do given[name] = value end
    return open(given)
  end
end

--- args.db() opens the pair when it is first called.
local function add_database(args)
  local db
  function args.db()
    db = db or dualdb.open()
    return db
  end
  return function()
    if db then db:close() end
  end
end

--- The script's `arg`: its words from 1, itself at 0, and what stood before it below.
local function script_arguments(argv, words)
  local base = words.script or (words.rest and words.rest - 1) or #argv
  local list = {}
  for i = 0, #argv do list[i - base] = argv[i] end
  if not words.script then list[0] = argv[0] end
  return list
end

local function level_of(args)
  return args.quiet and "warn" or args.verbose and "debug" or "info"
end

local function version(out)
  local libraries = { (core.client_library "mysql"), (core.client_library "postgres") }
  out.print(("dualdb %s (canonical form %d, %s, %s)"):format(core.VERSION, core.CANONICAL_VERSION,
    _VERSION, table.concat(libraries, ", ")))
  out.result {
    version = core.VERSION, canonical_version = core.CANONICAL_VERSION, lua = _VERSION,
    libraries = libraries,
  }
  return 0
end

--- No command: a conversation with a person, or a script from elsewhere.
local function without_command(args, out)
  if not core.isatty(0) then
    args.file = "-"
    return "run"
  end
  if out.json then errors.usage("--json needs a command") end
  return "repl"
end

--- State of one run of the program that its error handling needs.
---@class dualdb.Run
---@field argv table
---@field out dualdb.Output
---@field command string|nil

local function dispatch(run, words)
  local commands, by_name = load_commands()
  local parser, parsers = arguments.parser(commands)
  local argv = run.argv
  if words.version then
    run.command = "version"
    return version(run.out)
  end
  if words.help then
    run.command = "help"
    return by_name.help.show(words.own, parser, parsers, run.out)
  end
  local args = arguments.parse(parser, words.own)
  run.command = args.command
  log.configure { format = args.log_format, level = level_of(args) }
  run.out = Output.new { json = args.json, verbose = args.verbose, no_color = args.no_color }
  args.script_arguments = script_arguments(argv, words)
  args.parser, args.parsers = parser, parsers
  follow_flags(args)
  local name = args.command or without_command(args, run.out)
  run.command = name
  local close = add_database(args)
  local guard <close> = setmetatable({}, { __close = close })
  if name == "repl" then return require("dualdb.repl").run(args, run.out) end
  return by_name[name].command(args, run.out)
end

local function with_traceback(raised)
  if core.is_error(raised) then return raised end
  local message = tostring(raised)
  return errors.make("internal", message, { traceback = debug.traceback(message, 2) })
end

--- The whole program.
---@param argv table    argv[0] the program, argv[1].. its arguments
---@return integer exit_code
function cli.main(argv)
  local words = arguments.split(argv)
  local run = { argv = argv, out = Output.new { json = words.json } }
  local ok, result = xpcall(dispatch, with_traceback, run, words)
  if ok then return run.out:finish(run.command, result) end
  if result.class == "internal" and result.traceback and run.out.verbose then
    log.emit("debug", result.traceback)
  end
  run.out.error(result)
  run.out.result { error = result }
  return run.out:finish(run.command, errors.exit_code(result))
end

return cli
