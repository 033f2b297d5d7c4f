-- Compares the benchmark's table with an equal one, in this process. Run by `make bench` on private
-- servers. ROWS=100000 makes it short; spec/bench/sync.lua times whole commands.

local core = require "dualdb.core"
local dualdb = require "dualdb"
local message_table = require "spec.bench.message_table"
local support = require "spec.bench.support"

local ROWS = tonumber(os.getenv "ROWS" or 2000000)
local RUNS = tonumber(os.getenv "RUNS" or 5)

local function peak_memory()
  for line in io.lines "/proc/self/status" do
    local kilobytes = line:match "^VmHWM:%s+(%d+)"
    if kilobytes then return tonumber(kilobytes) / 1024 end
  end
end

local db <close> = dualdb.open()
message_table.make(db.primary, ROWS)
for _, text in ipairs(message_table.SECONDARY) do db.secondary:execute(text) end
db:refresh()
db.chat_message:sync()
db.secondary:execute("vacuum analyze " .. message_table.NAME)

local times = {}
for i = 1, RUNS do
  local started = core.clock()
  assert(db.chat_message:verify().verdict == "equal")
  times[i] = core.clock() - started
end
local info = db.primary:info()
print(("%d rows, %s %s, median of %d runs"):format(ROWS, info.product, info.version, RUNS))
local seconds, least, most = support.median(times)
print(("%-34s %7.2f s  (%.2f to %.2f)  %9.0f rows/s  %.1f MiB"):format("verify, equal", seconds,
  least, most, ROWS / seconds, peak_memory()))
