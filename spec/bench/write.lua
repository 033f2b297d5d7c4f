-- What a dual write costs, beside MySQL alone and beside the naive sequence that is not safe: both
-- servers one after the other, each with its own begin and commit; and beside a C program that does
-- the steps of a protocol and nothing else ("least", reference_write.c). Run by `make bench` on
-- private servers.
--
--   WRITES=2000       of each way
--   ROUNDS=5          that they are shared among; the medians are printed
--   CLIENTS=1,8       processes that write at once
--   ROWS_EACH=1,100   rows of a transaction
--   LAG=20            and one client whose secondary answers as many milliseconds late; 0: not that

local core = require "dualdb.core"
local dualdb = require "dualdb"
local support = require "spec.bench.support"

local WRITES = tonumber(os.getenv "WRITES" or 2000)
local ROUNDS = tonumber(os.getenv "ROUNDS" or 5)
local TABLE = "bench_row"
local SQL = ("insert into %s (id, room, content) values (?, ?, ?)"):format(TABLE)
local TEXT = ("x"):rep(100)
local MODELS = { bench_row = { table = TABLE } }
local PROTOCOLS = { "a1", "a2", "journaled" }

local function numbers(name, default)
  local list = {}
  for word in (os.getenv(name) or default):gmatch "%d+" do list[#list + 1] = tonumber(word) end
  return list
end

local function open(policy)
  return dualdb.open { models = MODELS, name = "bench", policy = policy }
end

local function make_tables(db)
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute("drop table if exists " .. TABLE)
    side:execute(("create table %s (id bigint not null primary key, room bigint not null, "
      .. "content varchar(200) not null)"):format(TABLE))
  end
end

-- ---- one client ----

--- The ways of writing: each returns a function that writes `rows` rows with ids from `first`.
local WAYS = {}

local function insert_alone(conn, first, rows)
  conn:execute "begin"
  for id = first, first + rows - 1 do conn:execute(SQL, id, 7, TEXT) end
  conn:execute "commit"
end

function WAYS.mysql(db, rows)
  local primary = db.primary:acquire()
  return function(first) insert_alone(primary, first, rows) end
end

function WAYS.naive(db, rows)
  local primary, secondary = db.primary:acquire(), db.secondary:acquire()
  return function(first)
    insert_alone(primary, first, rows)
    insert_alone(secondary, first, rows)
  end
end

local function through_dualdb(db, rows)
  return function(first)
    db:write(function(tx)
      for id = first, first + rows - 1 do
        tx:execute({ sql = SQL, touches = { bench_row = { id } } }, id, 7, TEXT)
      end
    end)
  end
end

for _, name in ipairs(PROTOCOLS) do WAYS[name] = through_dualdb end

--- The model's own insert, which gives the stored row back.
function WAYS.insert(db, rows)
  return function(first)
    db:write(function(tx)
      for id = first, first + rows - 1 do
        tx:insert("bench_row", { id = id, room = 7, content = TEXT })
      end
    end)
  end
end

local POLICY = { insert = "a1" }

--- How often a write of one statement waits for the secondary;
--- spec/integration/round_trips_spec.lua counts them.
local TURNS = { naive = 3, a1 = 2, a2 = 3, journaled = 2, insert = 2 }

--- Writes until all is written; prints the seconds of each write, one a line.
local function run_client(way, rows, writes, first)
  local db <close> = open { commit = POLICY[way] or (WAYS[way] == through_dualdb and way or "a1") }
  local write = WAYS[way](db, rows)
  for i = 1, 20 do write(first + (i - 1) * rows) end
  first = first + 20 * rows
  io.write "ready\n"
  io.flush()
  io.read "l"
  local seconds = {}
  local started = core.clock()
  for i = 1, writes do
    local before = core.clock()
    write(first + (i - 1) * rows)
    seconds[i] = core.clock() - before
  end
  local total = core.clock() - started
  for i = 1, writes do io.write(("%.9f\n"):format(seconds[i])) end
  io.write(("total %.9f\n"):format(total))
end

-- ---- all of them ----

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

--- Adds what a client printed to `result`; returns how long it wrote.
local function take(pipe, result)
  local total
  for line in pipe:lines() do
    total = total or tonumber((line:match "^total (.*)"))
    if not total then result[#result + 1] = tonumber(line) end
  end
  pipe:close()
  return total or error("a client failed", 0)
end

--- Starts clients that begin together; returns the seconds of all their writes, and `longest`, the
--- seconds of the slowest client.
local function start_clients(way, rows, clients, writes, next_id, secondary)
  local gate = os.tmpname()
  os.remove(gate)
  os.execute("mkfifo " .. quote(gate))
  local pipes = {}
  for i = 1, clients do
    pipes[i] = assert(io.popen(("WAY=%s EACH=%d WRITES=%d FIRST=%d %s dualdb run "
      .. "spec/bench/write.lua client < %s"):format(way, rows, writes, next_id + i * 100000000,
      secondary and "DUALDB_SECONDARY_URL=" .. quote(secondary) or "", quote(gate))))
  end
  local open_gate = assert(io.open(gate, "w"))
  for i = 1, clients do assert(pipes[i]:read "l" == "ready", "a client failed") end
  open_gate:write(("go\n"):rep(clients))
  open_gate:close()
  local result = { longest = 0 }
  for i = 1, clients do result.longest = math.max(result.longest, take(pipes[i], result)) end
  os.remove(gate)
  return result
end

--- The least that a protocol costs: a C program that does its steps and nothing else.
local function start_reference(way, writes, next_id)
  local result = {}
  local pipe = assert(io.popen(("%s %s %d %d"):format(support.program "reference_write",
    way:match "%S+$", writes, next_id)))
  result.longest = take(pipe, result)
  return result
end

local serial = 0

--- One round of one way.
local function measure(way, rows, clients, writes, secondary)
  serial = serial + 1
  local next_id = serial * 10000000000
  local result = way:find "^least" and start_reference(way, writes, next_id)
    or start_clients(way, rows, clients, writes, next_id, secondary)
  assert(#result == writes * clients, "a client failed")
  table.sort(result)
  return { p50 = result[(#result + 1) // 2], p99 = result[math.ceil(#result * 0.99)],
    rate = #result / result.longest }
end

--- A line of medians; `beside`: and what they are of the naive sequence's.
local function say(way, list, beside)
  local function middle(field) return (support.median_of(list, field)) end
  io.write(("  %-16s p50 %7.3f ms  p99 %8.3f ms  %8.1f/s"):format(way, middle "p50" * 1000,
    middle "p99" * 1000, middle "rate"))
  if beside and list[1].p50_ratio then
    io.write(("   p50 %.2f times naive, rate %.2f times"):format(middle "p50_ratio",
      middle "rate_ratio"))
  end
  print()
end

--- All ways in turn, and that again and again: the machine is not as fast at one moment as at
--- another. Each is judged beside the naive sequence of its own round.
local function compare(ways, rows, clients)
  local rounds = {}
  local writes = math.max(20, WRITES // ROUNDS // clients // (rows > 1 and 10 or 1))
  for round = 1, ROUNDS do
    local naive
    for _, way in ipairs(ways) do
      local result = measure(way, rows, clients, writes)
      if way == "naive" then naive = result end
      result.p50_ratio = naive and result.p50 / naive.p50
      result.rate_ratio = naive and result.rate / naive.rate
      rounds[way] = rounds[way] or {}
      rounds[way][round] = result
    end
  end
  for _, way in ipairs(ways) do say(way, rounds[way], way ~= "naive") end
end

if arg and arg[1] == "client" then
  run_client(os.getenv "WAY", tonumber(os.getenv "EACH"), WRITES, tonumber(os.getenv "FIRST"))
  return
end

do
  local db <close> = open()
  make_tables(db)
  db:write(function() end)  -- makes dualdb's own tables
  local info = db.primary:info()
  print(("dual writes, %s %s, loopback"):format(info.product, info.version))
end
for _, clients in ipairs(numbers("CLIENTS", "1,8")) do
  for _, rows in ipairs(numbers("ROWS_EACH", "1,100")) do
    print(("%d client%s, %d row%s a transaction"):format(clients, clients > 1 and "s" or "", rows,
      rows > 1 and "s" or ""))
    compare(clients * rows == 1
      and { "mysql", "naive", "least naive", "least a1", "a1", "least journaled", "journaled", "a2",
        "insert" }
      or { "mysql", "naive", "a1", "journaled", "a2", "insert" }, rows, clients)
  end
end

local LAG = tonumber(os.getenv "LAG" or 20)
if LAG > 0 then
  local Proxy = require "spec.support.proxy"
  local proxy = Proxy.start "secondary"
  proxy:lag(LAG)
  print(("1 client, 1 row a transaction, the secondary %d ms away"):format(LAG))
  for _, way in ipairs { "naive", "a1", "a2", "journaled" } do
    local result = measure(way, 1, 1, math.max(20, WRITES // 10), proxy.url .. "?sslmode=disable")
    print(("  %-10s p50 %7.3f ms = %d times %d ms and %.3f ms"):format(way, result.p50 * 1000,
      TURNS[way], LAG, result.p50 * 1000 - TURNS[way] * LAG))
  end
  proxy:stop()
end
