-- What a dual write costs, beside MySQL alone and beside the naive sequence that is not safe: both
-- servers one after the other, each with its own begin and commit. Run by `make bench` on private
-- servers. WRITES=200 makes it short; CLIENTS=1,8 and ROWS_EACH=1,100 are what is tried; and one
-- client whose secondary answers LAG=20 milliseconds late.

local core = require "dualdb.core"
local dualdb = require "dualdb"

local WRITES = tonumber(os.getenv "WRITES" or 2000)
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

--- Starts clients that begin together; returns all seconds, sorted, and writes per second.
local function measure(way, rows, clients, next_id, secondary)
  local writes = math.max(20, WRITES // clients // (rows > 1 and 10 or 1))
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
  for i = 1, clients do assert(pipes[i]:read "l" == "ready") end
  open_gate:write(("go\n"):rep(clients))
  open_gate:close()
  local all, longest = {}, 0
  for i = 1, clients do
    for line in pipes[i]:lines() do
      local total = line:match "^total (.*)"
      if total then longest = math.max(longest, tonumber(total))
      else all[#all + 1] = tonumber(line) end
    end
    pipes[i]:close()
  end
  os.remove(gate)
  assert(#all == writes * clients, "a client failed")
  table.sort(all)
  return { p50 = all[(#all + 1) // 2], p99 = all[math.ceil(#all * 0.99)], rate = #all / longest }
end

local function say(way, result, naive)
  print(("  %-10s p50 %7.3f ms  p99 %8.3f ms  %8.1f/s%s"):format(way, result.p50 * 1000,
    result.p99 * 1000, result.rate,
    naive and ("   p50 %.2f times naive, rate %.2f times"):format(result.p50 / naive.p50,
      result.rate / naive.rate) or ""))
end

if arg and arg[1] == "client" then
  run_client(os.getenv "WAY", tonumber(os.getenv "EACH"), WRITES, tonumber(os.getenv "FIRST"))
  return
end

do
  local db <close> = open()
  make_tables(db)
  local info = db.primary:info()
  print(("dual writes, %s %s, loopback"):format(info.product, info.version))
end
local serial = 0
for _, clients in ipairs(numbers("CLIENTS", "1,8")) do
  for _, rows in ipairs(numbers("ROWS_EACH", "1,100")) do
    print(("%d client%s, %d row%s a transaction"):format(clients, clients > 1 and "s" or "", rows,
      rows > 1 and "s" or ""))
    local naive
    for _, way in ipairs { "mysql", "naive", "a1", "a2", "journaled", "insert" } do
      serial = serial + 1
      local result = measure(way, rows, clients, serial * 10000000000)
      if way == "naive" then naive = result end
      say(way, result, way ~= "naive" and naive)
    end
  end
end

local LAG = tonumber(os.getenv "LAG" or 20)
if LAG > 0 then
  local Proxy = require "spec.support.proxy"
  local proxy = Proxy.start "secondary"
  proxy:lag(LAG)
  print(("1 client, 1 row a transaction, the secondary %d ms away"):format(LAG))
  for _, way in ipairs { "naive", "a1", "a2", "journaled" } do
    serial = serial + 1
    local result = measure(way, 1, 1, serial * 10000000000, proxy.url .. "?sslmode=disable")
    print(("  %-10s p50 %7.3f ms = %d times %d ms and %.3f ms"):format(way, result.p50 * 1000,
      TURNS[way], LAG, result.p50 * 1000 - TURNS[way] * LAG))
  end
  proxy:stop()
end
