-- Full sync, each time as a whole process: beside a program that was written for this one table
-- alone (reference_copy.c), beside pgloader, and beside verify. Run by `make bench` on private
-- servers.
--
--   ROWS=2000000   rows of the table; 20000000 for a table that fits into no memory
--   RUNS=5         of which the medians are printed
--   JOBS=          dualdb's own --jobs
--   ONLY=          some of reference, keeping, pgloader, load, verify, equal, changed: the others
--                  are left out, and what is judged by them too
--   WIDE=1         rows of 10 MiB instead, for dualdb's memory alone

local cjson = require "cjson"
local dualdb = require "dualdb"
local message_table = require "spec.bench.message_table"
local support = require "spec.bench.support"

local ROWS = tonumber(os.getenv "ROWS" or 2000000)
local RUNS = tonumber(os.getenv "RUNS" or 5)
local JOBS = os.getenv "JOBS"
local ONLY = os.getenv "ONLY"
local WIDE = os.getenv "WIDE" == "1"

local TABLE = message_table.NAME
local WIDE_TABLE, WIDE_ROWS, WIDE_MIB = "bench_wide", 60, 10

-- ---- servers ----

local POLICY = { deadline = 3600, statement_timeout = 3600 }

local function open(secondary)
  return dualdb.open { name = "bench", secondary = secondary, policy = POLICY }
end

local db <close> = open()
local superuser <close> = open(assert(os.getenv "DUALDB_SANDBOX_PG_SUPERUSER_URL",
  "the benchmark wants the servers of `dualdb sandbox up`"))

--- The sandbox's own 256 MB are written in two seconds here, and checkpoints without end would be
--- what is measured, in all of them. What is kept is as much as may be used: a run that finds files
--- of the one before is faster than one that has to make them.
local WAL_SIZE = "4GB"

local function set_wal_size(size)
  for _, name in ipairs { "min_wal_size", "max_wal_size" } do
    superuser.secondary:execute("alter system " .. (size and ("set %s = '%s'"):format(name, size)
      or "reset " .. name))
  end
  superuser.secondary:query "select pg_reload_conf()"
end

--- What one run wrote must not be written to the disk during the next.
local function settle() superuser.secondary:execute "checkpoint" end

local function remake_secondary()
  for _, text in ipairs(message_table.SECONDARY) do db.secondary:execute(text) end
  settle()
end

-- ---- the contestants ----

local function sync(name)
  local words = { "sync", name, "--full" }
  if JOBS then table.move({ "--jobs", JOBS }, 1, 2, #words + 1, words) end
  return support.dualdb(table.unpack(words))
end

local function verify(name)
  local run, entry = support.dualdb("verify", name)
  assert(entry.verdict == "equal")
  return run
end

local contestants = {}

local function run_reference(...)
  db.secondary:execute("drop table if exists " .. TABLE)
  settle()
  local run = support.run(support.program "reference_copy", ...)
  if not run.ok then error("the reference program failed: " .. run.complaints, 0) end
  local said = cjson.decode(run.output)
  assert(said.rows == ROWS)
  run.load, run.indexes = said.load, said.indexes
  return run
end

function contestants.reference() return run_reference() end

--- What the same program takes when it keeps the primary key, as dualdb has to.
function contestants.keeping() return run_reference "keep-key" end

function contestants.load()
  remake_secondary()
  local run, entry = sync(TABLE)
  assert(entry.rows_written == ROWS)
  return run
end

--- With the table's three indexes; nil and why not, when it is not there or cannot do it.
function contestants.pgloader()
  if not os.execute "command -v pgloader >/dev/null" then return nil, "it is not installed" end
  db.secondary:execute "drop schema if exists chatdb cascade"
  settle()
  local path = os.tmpname()
  os.execute("chmod 600 " .. path)
  local file = assert(io.open(path, "w"))
  file:write(("load database from %s into %s\n"):format(os.getenv "DUALDB_PRIMARY_URL",
    os.getenv "DUALDB_SECONDARY_URL"),
    "with include drop, create tables, create indexes, reset sequences\n",
    ("including only table names matching '%s';\n"):format(TABLE))
  file:close()
  local run = support.run("pgloader", path)
  os.remove(path)
  db.secondary:execute "drop schema if exists chatdb cascade"
  local copied = run.output:match "Total import time%s+[^%d]*(%d+)"
  if not run.ok or tonumber(copied) ~= ROWS then
    local said = run.output .. run.complaints
    return nil, "it failed: " .. (said:match "[^\n]*ERROR[^\n]*" or said:sub(-200))
  end
  return run
end

function contestants.verify() return verify(TABLE) end

function contestants.equal()
  local run, entry = sync(TABLE)
  assert(entry.rows_written == 0)
  return run
end

function contestants.changed(round)
  db.secondary:execute(("update %s set score = coalesce(score, 0) + 1, is_read = not is_read "
    .. "where id %% 100 = ?"):format(TABLE), round % 100)
  settle()
  local run, entry = sync(TABLE)
  assert(entry.rows_written == ROWS // 100)
  return run
end

-- ---- what is printed ----

local function say(what, runs, details)
  if not runs then return end
  if runs.why then return print(("%s: none, %s"):format(what, runs.why)) end
  local seconds, least, most = support.median_of(runs, "seconds")
  print(("%-34s %7.2f s  (%.2f to %.2f)  %9.0f rows/s  processor %.2f + %.2f s  %6.1f MiB%s")
    :format(what, seconds, least, most, ROWS / seconds, support.median_of(runs, "user"),
      support.median_of(runs, "system"), support.median_of(runs, "peak_mib"), details or ""))
end

local function judge(what, ratio, sign, target)
  local met = sign == ">=" and ratio >= target or sign == "<=" and ratio <= target
    or sign == "<" and ratio < target
  print(("%-34s %7.2f  target %s %s: %s"):format(what, ratio, sign, target,
    met and "met" or "MISSED"))
end

--- One contestant's time by another's; nothing is said when one of them did not run.
local function compare(what, runs, other, sign, target)
  if not runs or not other or runs.why or other.why then return end
  local ratio = support.median_of(runs, "seconds") / support.median_of(other, "seconds")
  if sign then judge(what, ratio, sign, target)
  else print(("%-34s %7.2f"):format(what, ratio)) end
end

local function highest_peak(lists)
  local highest = 0
  for _, list in ipairs(lists) do
    for _, run in ipairs(list) do highest = math.max(highest, run.peak_mib) end
  end
  return highest
end

-- ---- rows of ordinary width ----

--- Runs the contestants in turn, so that a slow minute of the machine is everybody's. One that
--- cannot run is not asked again; its list has the reason.
local function race(names, results, before_round)
  local racing = {}
  for _, name in ipairs(names) do
    if support.takes_part(name) then
      racing[#racing + 1], results[name] = name, {}
    end
  end
  if #racing == 0 then return end
  for round = 1, RUNS do
    if before_round then before_round() end
    for _, name in ipairs(racing) do
      local list = results[name]
      if not list.why then
        local run, why = contestants[name](round)
        list[#list + 1], list.why = run, why
      end
    end
  end
end

local function bench_rows()
  message_table.make(db.primary, ROWS)
  support.print_surroundings(db)
  print(("%s of %d rows, medians of %d runs"):format(TABLE, ROWS, RUNS))
  if not ONLY then
    contestants.reference()
    verify(TABLE)  -- a program that copies wrongly is no reference
  end
  local runs = {}
  race({ "reference", "keeping", "pgloader", "load" }, runs)
  race({ "verify", "equal", "changed" }, runs, function()
    db.secondary:execute("vacuum analyze " .. TABLE)
    settle()
  end)

  local reference = runs.reference
  say("reference program, 1 table only", reference, reference and (", load %.2f, indexes %.2f s")
    :format(support.median_of(reference, "load"), support.median_of(reference, "indexes")))
  say("the same, keeping the primary key", runs.keeping)
  say("dualdb sync --full, empty table", runs.load)
  say("pgloader", runs.pgloader)
  say("dualdb verify, equal", runs.verify)
  say("dualdb sync --full, equal", runs.equal)
  say("dualdb sync --full, 1 % changed", runs.changed)

  compare("pgloader / dualdb", runs.pgloader, runs.load, ">=", 4.5)
  compare("dualdb / reference", runs.load, reference, "<=", ROWS > 10000000 and 1.3 or 1.25)
  compare("dualdb / reference keeping its key", runs.load, runs.keeping)
  compare("equal / verify", runs.equal, runs.verify, "<=", 1.3)
  compare("1 % changed / verify", runs.changed, runs.verify, "<=", 1.6)
  local ours = {}
  for _, name in ipairs { "load", "verify", "equal", "changed" } do ours[#ours + 1] = runs[name] end
  if #ours > 0 then judge("peak memory of dualdb in MiB", highest_peak(ours), "<", 64) end
end

-- ---- wide rows ----

local function make_wide_tables()
  db.primary:execute("drop table if exists " .. WIDE_TABLE)
  db.primary:execute(("create table %s (id bigint not null primary key, body longblob not null)")
    :format(WIDE_TABLE))
  for id = 1, WIDE_ROWS do
    db.primary:execute(("insert into %s values (?, repeat(?, %d))"):format(WIDE_TABLE,
      WIDE_MIB << 16), id, ("%016d"):format(id))
  end
  db.secondary:execute("drop table if exists " .. WIDE_TABLE)
  db.secondary:execute(("create table %s (id bigint primary key, body bytea not null)"):format(
    WIDE_TABLE))
  -- What the server compresses would be its work, and not ours.
  db.secondary:execute(("alter table %s alter body set storage external"):format(WIDE_TABLE))
  settle()
end

local function say_wide(what, run)
  print(("%-34s %7.2f s  %6.0f MiB/s  %6.1f MiB"):format(what, run.seconds,
    WIDE_ROWS * WIDE_MIB / run.seconds, run.peak_mib))
end

local function bench_wide()
  make_wide_tables()
  support.print_surroundings(db)
  print(("%d rows of %d MiB"):format(WIDE_ROWS, WIDE_MIB))
  local loaded = sync(WIDE_TABLE)
  settle()
  local compared = verify(WIDE_TABLE)
  db.secondary:execute(("update %s set body = body || 'x' where id %% 10 = 0"):format(WIDE_TABLE))
  settle()
  local changed, entry = sync(WIDE_TABLE)
  assert(entry.rows_written == WIDE_ROWS // 10)
  verify(WIDE_TABLE)
  say_wide("dualdb sync --full, empty table", loaded)
  say_wide("dualdb verify, equal", compared)
  say_wide("dualdb sync --full, 10 % changed", changed)
  judge("peak memory of dualdb in MiB", highest_peak { { loaded, compared, changed } }, "<", 256)
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute("drop table " .. WIDE_TABLE)
  end
end

set_wal_size(WAL_SIZE)
local ok, err = pcall(function()
  if WIDE then bench_wide() else bench_rows() end
end)
set_wal_size(nil)
if not ok then error(err, 0) end
