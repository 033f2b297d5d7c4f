-- Runs the built executable as a person would, and keeps what it said. No password may ever be in
-- it.

local dkjson = require "dkjson"
local wait = require "spec.support.wait"

local cli = {}

local function capture(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read("a"):gsub("\n$", ""))
end

local function quote(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end
cli.quote = quote

local function executable()
  local path = os.getenv("DUALDB_BIN") or os.getenv("DUALDB") or "build/dualdb"
  return capture("realpath " .. quote(path))
end
cli.executable = executable()

local function read_all(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

--- The passwords of the sandbox: whatever stands between : and @ in the URLs.
local function secrets()
  local list = { "geheim" }
  for _, name in ipairs { "DUALDB_PRIMARY_URL", "DUALDB_SECONDARY_URL" } do
    list[#list + 1] = (os.getenv(name) or ""):match("^%a+://[^:/@]*:([^@]+)@")
  end
  return list
end

local function check_secrets(output)
  for _, secret in ipairs(secrets()) do
    assert(not output:find(secret, 1, true), "a password is in the output:\n" .. output)
  end
end

-- ---- a directory of its own ----

---@class spec.Directory
local Directory = {}
Directory.__index = Directory

--- A new directory that the runs happen in.
---@return spec.Directory
function cli.directory()
  return setmetatable({ path = capture("mktemp -d /tmp/dualdb-spec-XXXXXX") }, Directory)
end

function Directory:remove()
  os.execute("rm -rf " .. quote(self.path))
end

---@param name string
---@param text string
function Directory:write(name, text)
  local file <close> = assert(io.open(self.path .. "/" .. name, "wb"))
  assert(file:write(text))
end

---@return string|nil
function Directory:read(name)
  return read_all(self.path .. "/" .. name)
end

--- Names of what is in the directory, sorted.
---@return string[]
function Directory:list()
  local names = {}
  for name in capture("ls -A " .. quote(self.path)):gmatch("[^\n]+") do names[#names + 1] = name end
  return names
end

---@class spec.Run
---@field code integer
---@field out string
---@field err string

--- Words of the shell that run dualdb with the arguments.
function cli.command(args, options)
  options = options or {}
  local words = { "env" }
  for name, value in pairs(options.env or {}) do words[#words + 1] = name .. "=" .. quote(value) end
  for _, name in ipairs(options.unset or {}) do table.insert(words, 2, "-u " .. name) end
  words[#words + 1] = quote(cli.executable)
  for _, arg in ipairs(args) do words[#words + 1] = quote(arg) end
  return table.concat(words, " ")
end

--- Runs dualdb in the directory. options: stdin (text), env (name -> value), unset (names).
---@param args string[]
---@return spec.Run
function Directory:run(args, options)
  options = options or {}
  local scratch = capture("mktemp -d /tmp/dualdb-spec-XXXXXX")
  if options.stdin then
    local file <close> = assert(io.open(scratch .. "/in", "wb"))
    file:write(options.stdin)
  end
  local input = options.stdin and scratch .. "/in" or "/dev/null"
  local _, how, code = os.execute(("cd %s && %s <%s >%s/out 2>%s/err"):format(quote(self.path),
    cli.command(args, options), input, scratch, scratch))
  local run = { out = read_all(scratch .. "/out"), err = read_all(scratch .. "/err") }
  os.execute("rm -rf " .. scratch)
  run.code = how == "exit" and code or 128 + code
  check_secrets(run.out)
  check_secrets(run.err)
  return run
end

--- Runs dualdb with --json; standard output has to be one document and nothing else.
---@return table document
---@return spec.Run
function Directory:json(args, options)
  local words = { "--json", table.unpack(args) }
  local run = self:run(words, options)
  local document, stop = dkjson.decode(run.out, 1, dkjson.null)
  assert(document, "no document: " .. run.out .. run.err)
  assert(run.out:sub(stop) == "\n", "more than one document: " .. run.out)
  assert(type(document.ok) == "boolean" and type(document.seconds) == "number"
    and type(document.models) == "table", run.out)
  assert(document.ok == (run.code == 0), run.out)
  return document, run
end

--- Each line of the text, decoded.
function cli.json_lines(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do
    list[#list + 1] = assert(dkjson.decode(line, 1, dkjson.null), line)
  end
  return list
end

--- Starts dualdb in the background. Returns a function that waits for its end and gives the run,
--- and its process id.
function Directory:start(args, options)
  local scratch = capture("mktemp -d /tmp/dualdb-spec-XXXXXX")
  os.execute(("cd %s && { %s </dev/null >%s/out 2>%s/err & echo $! >%s/pid; wait $!; "
    .. "echo $? >%s/code.new; mv %s/code.new %s/code; } >/dev/null 2>&1 &"):format(
    quote(self.path), "exec " .. cli.command(args, options), scratch, scratch, scratch, scratch,
    scratch, scratch))
  local function wait_for(name)
    wait.wait_until("the file " .. name .. " is there", function()
      return (read_all(scratch .. "/" .. name) or ""):find("\n", 1, true)
    end, 20)
    return tonumber(read_all(scratch .. "/" .. name))
  end
  local pid = wait_for("pid")
  return function()
    local run = { code = wait_for("code"), out = read_all(scratch .. "/out"),
                  err = read_all(scratch .. "/err") }
    os.execute("rm -rf " .. scratch)
    check_secrets(run.out .. run.err)
    return run
  end, pid
end

return cli
