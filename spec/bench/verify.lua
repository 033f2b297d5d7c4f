-- Verify of the benchmark's table beside the least that it takes: reading both sides at once and
-- doing nothing (reference_read.c); and beside reladiff, where it is on PATH. Each time as a whole
-- process, on private servers; run by `make bench`. spec/bench/verify_link.lua is the same over a
-- slow link.
--
--   ROWS=2000000   rows of the table
--   RUNS=5         of which the medians are printed
--   ONLY=          some of read, stream, auto, sample, reladiff, pushdown, changed: the others are
--                  left out, and what is compared with them too

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

--- It takes ${NAME} from the environment itself: no password is written to the file.
local RELADIFF_RUN = ([[
[run.default]
1.database = "${DUALDB_PRIMARY_URL}"
1.table = "%s"
2.database = "${DUALDB_SECONDARY_URL}"
2.table = "%s"
]]):format(TABLE, TABLE)

--- Without content, where it reports differences that are none, and attachment, which it refuses.
local RELADIFF_COLUMNS =
  { "room_id", "sender_id", "is_read", "score", "created_at", "updated_at" }

--- With two jobs a side; nil and why not, when it is not there or cannot do it. It exits with 0
--- whatever happens: only its counts say that it compared anything.
function contestants.reladiff()
  if not os.execute "command -v reladiff >/dev/null" then return nil, "not on PATH" end
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(RELADIFF_RUN)
  file:close()
  local words = { "reladiff", "--conf", path, "--stats", "--json", "--threads", "2" }
  for _, column in ipairs(RELADIFF_COLUMNS) do
    table.move({ "--columns", column }, 1, 2, #words + 1, words)
  end
  local run = support.run(table.unpack(words))
  os.remove(path)
  if run.output == "" then
    local said = run.complaints
    return nil, "it failed: " .. (said:match "ERROR %- ([^\n]*)" or said:sub(-200))
  end
  local counts = cjson.decode(run.output)
  assert(counts.rows_A == ROWS and counts.rows_B == ROWS and counts.total == 0)
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

--- In turn, so that a slow minute of the machine is everybody's. One that cannot run is not asked
--- again; its list has the reason.
local function measure(names, rounds)
  local runs = {}
  for _, name in ipairs(names) do runs[name] = {} end
  for _ = 1, rounds do
    for _, name in ipairs(names) do
      local list = runs[name]
      if support.takes_part(name) and not list.why then
        list[#list + 1], list.why = contestants[name]()
      end
    end
  end
  return runs
end

-- ---- what is said ----

local LINE = "%-40s %7.2f s  (%.2f to %.2f)  %6.1f MiB%s"

--- Nothing of one that did not run.
local function say(label, runs, more)
  if #runs == 0 then return end
  local seconds, least, most = support.median_of(runs, "seconds")
  local _, _, peak = support.median_of(runs, "peak_mib")
  print(LINE:format(label, seconds, least, most, peak, more or ""))
end

local function times(runs, base, what)
  if #runs == 0 or #base == 0 then return "" end
  return ("  %.2f times %s"):format(support.median_of(runs, "seconds")
    / support.median_of(base, "seconds"), what)
end

-- ---- both sides equal ----

message_table.make(db.primary, ROWS)
for _, text in ipairs(message_table.SECONDARY) do db.secondary:execute(text) end
db:refresh()
db[TABLE]:sync()
settle()
support.print_surroundings(db)
print(("%d rows, medians of %d runs"):format(ROWS, RUNS))

local runs = measure({ "read", "stream", "auto", "sample", "reladiff" }, RUNS)
local read, stream, auto, reladiff = runs.read, runs.stream, runs.auto, runs.reladiff
say("both sides read, nothing done", read)
say("verify --method stream, equal", stream, times(stream, read, "the bare read"))
if auto[1] then
  say("verify, equal, which took " .. auto[1].entry.method, auto,
    times(auto, read, "the bare read"))
end
say(("verify of a sample of %d"):format(SAMPLE), runs.sample)
if reladiff.why then print(("reladiff: %s, not compared"):format(reladiff.why)) end
say("reladiff, not content nor attachment", reladiff, times(reladiff, stream, "stream"))
local pushdown = measure({ "pushdown" }, 1).pushdown
say("verify --method pushdown, equal", pushdown, times(pushdown, stream, "stream"))

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
  say(("%d rows changed%s"):format(found, label), list, times(list, stream, "the equal case"))
end

if support.takes_part "changed" then
  differing("", "id % 10 = 0", RUNS)
  differing(", all of them", "true", 1)
end
