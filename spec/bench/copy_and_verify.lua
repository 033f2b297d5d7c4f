-- Copies and compares the benchmark's table, and runs pgloader beside it where that is installed.
-- Run by `make bench` on private servers. ROWS=100000 makes it short.

local core = require "dualdb.core"
local message_table = require "spec.bench.message_table"

local ROWS = tonumber(os.getenv "ROWS" or 2000000)
local RUNS = tonumber(os.getenv "RUNS" or 3)

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

--- Seconds of each of RUNS runs; `before` is not timed.
local function measure(run, before)
  local times = {}
  for i = 1, RUNS do
    if before then before() end
    local started = core.clock()
    run()
    times[i] = core.clock() - started
  end
  return median(times), times
end

local function peak_memory()
  for line in io.lines "/proc/self/status" do
    local kilobytes = line:match "^VmHWM:%s+(%d+)"
    if kilobytes then return tonumber(kilobytes) / 1024 end
  end
end

local function say(what, seconds, peer, peer_seconds)
  io.write(("%-34s %7.2f s  %9.0f rows/s"):format(what, seconds, ROWS / seconds))
  if peer then io.write(("   %s %.2f s, %.2f times"):format(peer, peer_seconds,
    peer_seconds / seconds)) end
  io.write("\n")
end

local function remake_secondary(db)
  for _, text in ipairs(message_table.SECONDARY) do db.secondary:execute(text) end
  db:refresh()
end

--- pgloader's time for the same table with its three indexes, or nil and why not.
local function pgloader()
  if not os.execute "command -v pgloader >/dev/null" then return nil, "it is not installed" end
  local file = os.tmpname()
  os.execute("chmod 600 " .. file)
  local out <close> = assert(io.open(file, "w"))
  out:write(("load database from %s into %s\n"):format(os.getenv "DUALDB_PRIMARY_URL",
    os.getenv "DUALDB_SECONDARY_URL"),
    "with include drop, create tables, create indexes, reset sequences\n",
    "including only table names matching 'chat_message';\n")
  out:flush()
  local started = core.clock()
  local pipe = io.popen(("pgloader %s 2>&1"):format(file))
  local text = pipe:read "a"
  local ok = pipe:close()
  local seconds = core.clock() - started
  os.remove(file)
  local copied = text:match "Total import time%s+[^%d]*(%d+)"
  if not ok or tonumber(copied) ~= ROWS then
    return nil, "it failed: " .. (text:match "[^\n]*ERROR[^\n]*" or text:sub(-200))
  end
  return seconds
end

local db <close> = dualdb.open()
message_table.make(db.primary, ROWS)
local info = db.primary:info()
print(("%d rows, %s %s, %d runs, medians"):format(ROWS, info.product, info.version, RUNS))

local function sync() db.chat_message:sync() end
local function verify() assert(db.chat_message:verify().verdict == "equal") end

local load = measure(sync, function() remake_secondary(db) end)
local compare = measure(verify)
local refresh = measure(sync)
local peer, why = pgloader()
db.secondary:execute "drop schema if exists chatdb cascade"

if peer then say("sync --full, empty table", load, "pgloader", peer)
else
  say("sync --full, empty table", load)
  print("  no pgloader beside it: " .. why)
end
say("verify, equal", compare)
say("sync --full, equal", refresh, "verify", compare)
print(("peak memory of dualdb %.1f MiB"):format(peak_memory()))
