--- The words of the command line: which are ours, which belong to a script, and what they mean.

local argparse = require "argparse"
local errors = require "dualdb.errors"
local log = require "dualdb.log"
local url = require "dualdb.url"

local arguments = {}

---@class dualdb.Words
---@field own string[]          for the parser
---@field script integer|nil    index in argv of the script's file, whose words follow it
---@field rest integer|nil      index in argv of the first word for code given by -e
---@field json boolean
---@field help boolean
---@field version boolean

local GLOBALS_WITH_VALUE = { ["--project"] = true, ["--env-file"] = true, ["--log-format"] = true }

local function is_script(word)
  return word == "-" or word:find("/", 1, true) ~= nil or word:match("%.lua$") ~= nil
end

--- Options whose effect starts before the parser has understood the rest.
local function note(words, word)
  if word == "--json" then words.json = true end
  if word == "--version" then words.version = true end
  if word == "-h" or word == "--help" then
    words.help = true
    return false
  end
  return true
end

--- Cuts the command line in front of what a script is given: those words are never looked at.
---@param argv table    argv[1].. as the process got them
---@return dualdb.Words
function arguments.split(argv)
  local words = { own = {}, json = false, help = false, version = false }
  local own = words.own
  -- "start" until there is a command, "run" until its script, "code" behind -e, else "command"
  local state = "start"
  local function run()
    if state == "start" then own[#own + 1] = "run" end
  end
  local function script(i)
    run()
    own[#own + 1], own[#own + 2] = "--", argv[i]
    words.script = i
    return words
  end
  local i = 0
  while i < #argv do
    i = i + 1
    local word = argv[i]
    local option = word:match("^%-.") and word ~= "--"
    if state == "command" then
      if word == "--" then
        table.move(argv, i, #argv, #own + 1, own)
        return words
      end
    elseif word == "--" then
      if state ~= "code" and i < #argv then return script(i + 1) end
      words.rest = i + 1
      return words
    elseif not option then
      if state == "code" then
        words.rest = i
        return words
      end
      if state == "run" or is_script(word) then return script(i) end
      state = word == "run" and "run" or "command"
    elseif word == "-e" and state ~= "code" then
      run()
      state = "code"
      own[#own + 1], i = word, i + 1
      word = argv[i]
    end
    if note(words, word) then own[#own + 1] = word end
    if GLOBALS_WITH_VALUE[word] then
      i = i + 1
      own[#own + 1] = argv[i]
    end
  end
  return words
end

local function add_globals(parser)
  parser:option("--project", "the project file (default: ./dualdb.lua)"):argname("FILE")
  parser:option("--env-file", "a file of variables (default: ./.env)"):argname("FILE")
  parser:flag("--json", "one JSON document on standard output")
  parser:mutex(
    parser:flag("-q --quiet", "say only what is wrong"),
    parser:flag("-v --verbose", "say more; with a defect, where it happened"))
  parser:flag("--no-color", "plain text, on a terminal too")
  parser:option("--log-format", "messages on standard error: human, logfmt or json")
    :argname("FORMAT"):choices(log.FORMATS)
end

--- The parser of all commands, and each command's own by name.
---@param commands table[]
function arguments.parser(commands)
  local parser = argparse("dualdb", "Keeps a MySQL primary and a PostgreSQL secondary the same.")
  parser:add_help(false)
  parser:require_command(false)
  parser:command_target("command")
  parser:usage_max_width(98)
  parser:help_max_width(98)
  parser:flag("--version", "which dualdb this is")
  add_globals(parser)
  local own = {}
  for _, command in ipairs(commands) do
    local cmd = parser:command(command.name)
    cmd:summary(command.summary)
    cmd:description(command.description or command.summary:gsub("^%l", string.upper) .. ".")
    cmd:add_help(false)
    command.add_to_parser(cmd)
    own[command.name] = cmd
  end
  return parser, own
end

--- What the words say.
---@param parser table
---@param own string[]
---@return table
function arguments.parse(parser, own)
  local ok, result = parser:pparse(own)
  if ok then return result end
  return error(arguments.error(result))
end

--- What the parser has against the words, as an error with its suggestion for a hint.
---@param complaint string
---@return dualdb.Error
function arguments.error(complaint)
  -- A word may be an address with its password, put in the wrong place.
  local message, tip = url.mask(complaint):match("^([^\n]*)\n?(.*)$")
  return errors.make("usage", message, {
    hint = tip ~= "" and tip or "`dualdb help` lists commands and options.",
  })
end

return arguments
