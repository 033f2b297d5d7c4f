-- Verify of the benchmark's table beside the least that it takes: reading both sides at once and
-- doing nothing (reference_read.c). Each time as a whole process, on private servers; run by
-- `make bench`. spec/bench/verify_link.lua is the same over a slow link.
--
--   ROWS=2000000   rows of the table
--   RUNS=5         of which the medians are printed

local cjson = require "cjson"
local core = require "dualdb.core"
local dualdb = require "dualdb"
local message_table = require "spec.bench.message_table"
local support = require "spec.bench.support"

local ROWS = tonumber(os.getenv "ROWS" or 2000000)
local RUNS = tonumber(os.getenv "RUNS" or 5)
local TABLE = message_table.NAME
local SAMPLE = 1000

local db <close> = dualdb.open { policy = { deadline = 3600, statement_timeout = 3600 } }

--- What was written before must not be written to the disk meanwhile.
local function settle()
  db.secondary:execute("vacuum analyze " .. TABLE)
end

--- `dualdb verify`, whose exit code says what it found.
local function verify(...)
  local run = support.run(support.command, "--json", "verify", TABLE, ...)
  run.entry = run.output ~= "" and cjson.decode(run.output).models[1]
  if not run.entry then error("verify failed: " .. run.complaints, 0) end
  return run
end

-- ---- the contestants ----

local contestants = {}

--- Both sides read at once.
function contestants.read()
  local run = support.run(support.program "reference_read")
  if not run.ok then error("the reference program failed: " .. run.complaints, 0) end
  local said = cjson.decode(run.output)
  assert(said.rows[1] == ROWS and said.rows[2] == ROWS)
  return run
end

local function equal(method)
  return function()
    local run = verify("--method", method)
    assert(run.entry.verdict == "equal" and run.entry.rows_primary == ROWS)
    return run
  end
end

contestants.stream, contestants.pushdown = equal "stream", equal "pushdown"
contestants.auto = equal "auto"

--- A call in a process that has the database open; no time of a process's start.
function contestants.sample()
  local started = core.clock()
  local report = db[TABLE]:verify { sample = SAMPLE }
  local seconds = core.clock() - started
  assert(report.verdict == "equal")
  return { seconds = seconds, peak_mib = 0, entry = { method = report.method } }
end

local function measure(names)
  local runs = {}
  for _, name in ipairs(names) do runs[name] = {} end
  for i = 1, RUNS do
    for _, name in ipairs(names) do runs[name][i] = contestants[name]() end
  end
  return runs
end

-- ---- what is said ----

local LINE = "%-40s %7.2f s  (%.2f to %.2f)  %6.1f MiB%s"

local function say(label, runs, more)
  local seconds, least, most = support.median_of(runs, "seconds")
  local _, _, peak = support.median_of(runs, "peak_mib")
  print(LINE:format(label, seconds, least, most, peak, more or ""))
  return seconds
end

local function times(seconds, base, what)
  return ("  %.2f times %s"):format(seconds / base, what)
end

-- ---- both sides equal ----

message_table.make(db.primary, ROWS)
for _, text in ipairs(message_table.SECONDARY) do db.secondary:execute(text) end
db:refresh()
db[TABLE]:sync()
settle()
support.print_surroundings(db)
print(("%d rows, medians of %d runs"):format(ROWS, RUNS))

local runs = measure { "read", "stream", "auto", "sample" }
local read = say("both sides read, nothing done", runs.read)
local stream = say("verify --method stream, equal", runs.stream,
  times(support.median_of(runs.stream, "seconds"), read, "the bare read"))
say("verify, equal, which took " .. runs.auto[1].entry.method, runs.auto,
  times(support.median_of(runs.auto, "seconds"), read, "the bare read"))
say(("verify of a sample of %d"):format(SAMPLE), runs.sample)
local pushdown = { contestants.pushdown() }
say("verify --method pushdown, equal", pushdown, times(pushdown[1].seconds, stream, "stream"))

-- ---- with differences ----

local function differing(label, condition, count)
  db.secondary:execute("update " .. TABLE .. " set content = content || '!' where " .. condition)
  settle()
  local list = {}
  for i = 1, count do
    list[i] = verify("--method", "stream")
    assert(list[i].entry.verdict == "different")
  end
  local found = list[1].entry.changed
  say(("%d rows changed%s"):format(found, label), list,
    times(support.median_of(list, "seconds"), stream, "the equal case"))
end

differing("", "id % 10 = 0", RUNS)
differing(", all of them", "true", 1)
