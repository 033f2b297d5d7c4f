-- dualdb help [TOPIC]: the commands, and what is the same for all of them.

local errors = require "dualdb.errors"
local naming = require "dualdb.naming"

local command = {
  name = "help",
  summary = "what a command does, or a topic",
}

local TOPICS = {}

TOPICS["exit-codes"] = [[
Exit codes:

    0  done; for verify: equal
    1  differences remain, or writes in the journal; or a script of yours failed by itself
    2  the command line makes no sense
    3  the configuration or the credentials are wrong
    4  the primary is unavailable
    5  the secondary is unavailable
    6  refused: a confirmation or a capability is missing
    7  data, schema or integrity error
    8  not verified: something could not be read or compared
   70  a defect of dualdb
  130  interrupted

When several apply: 130, 70, 2, 3, 4, 5, 6, 8, 7, 1, in this order.]]

TOPICS.configuration = [[
Where the databases are, the strongest source first:

  --project FILE, --env-file FILE     which files to read
  the environment                     DUALDB_PRIMARY_URL and DUALDB_SECONDARY_URL; or MYSQL_URL, or
                                      MYSQL_HOST MYSQL_PORT MYSQL_SOCKET MYSQL_USER MYSQL_PASSWORD
                                      MYSQL_DATABASE; and POSTGRES_URL or DATABASE_URL, or NEON_HOST
                                      NEON_PORT NEON_USER NEON_PASSWORD NEON_DATABASE
  ./.env                              the same names, NAME=value
  ./dualdb.lua                        a Lua script that returns a table: primary, secondary, models,
                                      strategies, policy, name

Without models in the project file every table of the primary with a primary key is one.]]

TOPICS.scripts = [[
A script is Lua 5.4, with `dualdb` in it (also as require "dualdb") and its arguments in `arg`:

  local chat <close> = dualdb.open()
  local id = chat:write(function(tx)
    return tx:insert("Message", { room_id = 7, content = arg[1] }).id
  end)
  print(id)

  dualdb FILE.lua ARG...        or dualdb run FILE ARG...; a #! line works
  dualdb -e CODE ARG...
  dualdb - ARG...               from standard input

An error that the script does not catch ends it with the exit code of the error's class (see
`dualdb help exit-codes`), and with 1 when it is the script's own.]]

TOPICS.policies = [[
What becomes of a value of the primary that the secondary cannot hold. Without a policy its row is
refused: it goes to quarantine, the others go on, and the command ends with 7.

  zero_dates      0000-00-00, 2020-00-15: "refuse", "null", "infinity" or a date as "1970-01-01"
  nul             NUL bytes in text, \u0000 in JSON: "refuse", "strip" or "replace" (by U+FFFD)
  time_range      times below 0 or above 24 hours: "refuse", "clamp" or "null"
  overflow        numbers beyond the type, text beyond its length, 2 in a boolean: "refuse",
                  "clamp" or "null"; declared, it also allows a type that is smaller
  invalid_utf8    "refuse" or "replace" (by U+FFFD)
  float_digits    how many significant digits are kept and compared, 1 to 15 (6 in a real)

In the project file, for all models, one model, or one of its columns (the closest counts):

  policies = { nul = "strip" },
  models = { Person = { policies = { zero_dates = "null",
                                     columns = { born = { zero_dates = "1970-01-01" } } } } },

A key has no policies. Each application is counted, and sync and verify report the counts.]]

TOPICS.output = [[
Results go to standard output, everything else to standard error.

  --json                one document on standard output: command, ok, verdict, models, seconds,
                        error; integers beyond 2^53 are strings
  --log-format FORMAT   messages on standard error as text (human), logfmt or lines of JSON; the
                        latter two have progress as events
  -q, -v                less, more
  --no-color            plain text; so do NO_COLOR and TERM=dumb]]

local NAMES = { "configuration", "exit-codes", "output", "policies", "scripts" }

function command.add_to_parser(cmd)
  cmd:argument("topic", "a command, or " .. table.concat(NAMES, ", "))
    :args("?"):argname("TOPIC")
end

--- argparse makes the text; what it does not know is added.
local function overview(parser)
  return parser:get_help():match("\n\n(.*)$")
end

local USAGE = [=[
Usage: dualdb [OPTION...] COMMAND ...
       dualdb [OPTION...] [FILE.lua [ARG...]]     a script; without one: a prompt
       dualdb [OPTION...] -e CODE [ARG...]
]=]

local function text_of(topic, parser, parsers)
  if not topic then
    return USAGE .. "\n" .. overview(parser) .. "\n\n`dualdb help TOPIC` says more: a command, or "
      .. table.concat(NAMES, ", ") .. "."
  end
  if parsers[topic] then return parsers[topic]:get_help() end
  if TOPICS[topic] then return TOPICS[topic] end
  local known = { table.unpack(NAMES) }
  for name in pairs(parsers) do known[#known + 1] = name end
  table.sort(known)
  local near = naming.nearest(topic, known)
  return error(errors.make("usage", ("help: no topic '%s'"):format(topic), {
    hint = near and ("Did you mean '%s'?"):format(near)
      or "There are " .. table.concat(known, ", ") .. ".",
  }))
end

local function show(topic, parser, parsers, out)
  local text = text_of(topic, parser, parsers)
  out.print(text)
  out.result { text = text }
  return 0
end

--- For -h and --help: of the command that is among the words, or of all.
---@param words string[]
function command.show(words, parser, parsers, out)
  for _, word in ipairs(words) do
    if parsers[word] then return show(word, parser, parsers, out) end
  end
  return show(nil, parser, parsers, out)
end

---@return integer exit_code
function command.command(args, out)
  return show(args.topic, args.parser, args.parsers, out)
end

return command
