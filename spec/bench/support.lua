--- What benchmarks of whole commands share: commands as processes of their own, medians, and where
--- it all ran.

local cjson = require "cjson"
local core = require "dualdb.core"

local support = {}

local PROGRAMS = (os.getenv "DUALDB_BIN" or "build/dualdb"):gsub("[^/]+$", "")

--- The command itself.
support.command = PROGRAMS .. "dualdb"

---@param name string   of a program that `make bench-programs` makes
function support.program(name) return PROGRAMS .. "spec/" .. name end

--- Whether ONLY, a list of names with commas between, has this one; everything has a part without.
---@param name string   of a contestant
function support.takes_part(name)
  local only = os.getenv "ONLY"
  return not only or ("," .. only .. ","):find("," .. name .. ",", 1, true) ~= nil
end

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function take_file(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  os.remove(path)
  return text
end

---@class bench.Run
---@field ok boolean
---@field output string     what the command printed
---@field seconds number    on the clock, from the start of the process to its end
---@field user number       seconds of processor time
---@field system number
---@field peak_mib number   the most memory that it had

--- Runs a command; what it says on standard error is shown only when it fails.
---@param ... string
---@return bench.Run
function support.run(...)
  local report, complaints = os.tmpname(), os.tmpname()
  local words = { quote(support.program "measured"), quote(report) }
  for _, word in ipairs { ... } do words[#words + 1] = quote(word) end
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>" .. quote(complaints)))
  local output = pipe:read "a"
  local ok = pipe:close() or false
  local text, complained = take_file(report), take_file(complaints)
  local run = text ~= "" and cjson.decode(text) or {}
  run.ok, run.output, run.complaints = ok, output, complained
  return run
end

--- Runs `dualdb ... --json`, which must succeed; returns the entry of its one model as well.
---@return bench.Run, table
function support.dualdb(...)
  local run = support.run(support.command, "--json", ...)
  if not run.ok then error(("dualdb failed: %s%s"):format(run.output, run.complaints), 0) end
  return run, cjson.decode(run.output).models[1]
end

--- The middle one of a list, the lower one of two; and the least and the most.
function support.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return sorted[(#sorted + 1) // 2], sorted[1], sorted[#sorted]
end

--- The median of one field of runs.
---@param runs bench.Run[]
---@param field string
function support.median_of(runs, field)
  local list = {}
  for i, run in ipairs(runs) do list[i] = run[field] end
  return support.median(list)
end

local function first_match(path, pattern)
  for line in io.lines(path) do
    local found = line:match(pattern)
    if found then return found end
  end
  return "unknown"
end

local SETTINGS = {
  primary = { "innodb_buffer_pool_size", "innodb_flush_log_at_trx_commit", "sync_binlog" },
  secondary = {
    "fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers",
    "max_wal_size", "maintenance_work_mem", "max_prepared_transactions",
  },
}

local function setting(side, name)
  if side.driver == "mysql" then
    return math.tointeger(side:query("select @@global." .. name .. " as value")[1].value)
  end
  return side:query("select current_setting(?) as value", name)[1].value
end

--- Prints the machine, the servers with the settings that matter, and the client libraries.
---@param db dualdb.Database
function support.print_surroundings(db)
  local cores = 0
  for line in io.lines "/proc/cpuinfo" do
    if line:find "^processor%s*:" then cores = cores + 1 end
  end
  print(("machine: %d cores of %s, %.1f GiB memory, load %s"):format(cores,
    first_match("/proc/cpuinfo", "^model name%s*: (.*)"),
    first_match("/proc/meminfo", "^MemTotal:%s*(%d+)") / 1024 / 1024,
    first_match("/proc/loadavg", "^%S+")))
  for _, side in ipairs { db.primary, db.secondary } do
    local info, words = side:info(), {}
    for i, name in ipairs(SETTINGS[side.name]) do
      words[i] = ("%s %s"):format(name, setting(side, name))
    end
    print(("%s: %s %s, %s"):format(side.name, info.product, info.version,
      table.concat(words, ", ")))
  end
  print(("client libraries: %s, %s"):format((core.client_library "mysql"),
    (core.client_library "postgres")))
end

return support
