-- dualdb run FILE, dualdb FILE, dualdb -e CODE, dualdb -: a Lua script with dualdb in it.

local errors = require "dualdb.errors"
local json = require "dualdb.json"
local log = require "dualdb.log"
local url = require "dualdb.url"

local command = {
  name = "run",
  summary = "run a Lua script: FILE, standard input (-), or the CODE of -e",
}

function command.add_to_parser(cmd)
  cmd:usage("Usage: dualdb run [-e CODE | FILE] [ARG...]")
  cmd:argument("file", "the script; `-` is standard input. What follows is for it alone")
    :args("?"):argname("FILE")
  cmd:option("-e", "code to run in place of a file"):argname("CODE"):target("code")
end

local function read(path)
  if path == "-" then return io.read("a") end
  local file, reason = io.open(path, "rb")
  if not file then errors.usage("%s", url.mask(reason)) end
  local source, failure = file:read("a")
  file:close()
  if not source then errors.usage("%s: %s", url.mask(path), failure or "cannot be read") end
  return source
end

--- The script and the name of its chunk.
local function source_of(args)
  if args.code then return args.code, "=(command line)" end
  local name = args.file == "-" and "=stdin" or "@" .. args.file
  -- The first line may name the interpreter; its end stays, so that lines keep their numbers.
  return (read(args.file):gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "", 1)), name
end

--- Under --json the document has standard output to itself.
local function send_output_to_stderr()
  rawset(io, "stdout", io.stderr)
  io.output(io.stderr)
  _G.print = function(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    io.stderr:write(table.concat(parts, "\t"), "\n")
  end
end

--- A script that leaves by os.exit has its document too.
local function finish_at_exit(out)
  local exit = os.exit
  rawset(os, "exit", function(code, close)
    local number = code == nil and 0 or code
    if type(number) == "boolean" then number = number and 0 or 1 end
    out:finish("run", math.tointeger(number) or 1)
    exit(code, close)
  end)
end

--- The stack down to where the script was called from.
local function traceback(message)
  local stack = debug.traceback(message, 3)
  return (stack:gsub("\n%s*%[C%]: in function 'xpcall'.*$", ""))
end

local function handler(raised)
  if errors.is(raised) then return raised end
  local text = tostring(raised)
  return { message = text, stack = traceback(text) }
end

local OWN_SOURCES = debug.getinfo(1, "S").short_src:match("^(.*)cli/run%.lua$")

--- A message that starts with a line of dualdb's own sources is a defect of dualdb.
local function is_own_defect(message)
  return OWN_SOURCES ~= "" and message:sub(1, #OWN_SOURCES) == OWN_SOURCES
end

--- A script that fails by itself is none of the cases that the exit codes are for: 1.
local function report_failure(out, failure)
  if is_own_defect(failure.message) then
    error(errors.make("internal", failure.message, { traceback = failure.stack }), 0)
  end
  log.emit("error", failure.stack, { class = "script" })
  out.result { error = {
    class = "script", message = failure.message, retryable = false, outcome = "unknown",
  } }
  return 1
end

---@return integer exit_code
function command.command(args, out)
  if args.code and args.file then errors.usage("run: both -e and a file are given") end
  if not args.code and not args.file then errors.usage("run: no file is given") end
  local source, chunk_name = source_of(args)
  local chunk, wrong = load(source, chunk_name, "t")
  if not chunk then return report_failure(out, { message = wrong, stack = wrong }) end
  _G.dualdb = require "dualdb"
  _G.arg = args.script_arguments
  if out.json then
    send_output_to_stderr()
    finish_at_exit(out)
  end
  out.result { models = json.array() }
  local ok, failure = xpcall(chunk, handler, table.unpack(args.script_arguments))
  io.stdout:flush()
  if ok then return 0 end
  if errors.is(failure) then error(failure, 0) end
  return report_failure(out, failure)
end

return command
