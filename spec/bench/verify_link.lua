-- Verify over a slow link, pushed down: against the slower server's own checksum query over the
-- same link, with the bytes on the wire; and what `auto` picks there and on loopback. Run by `make
-- bench` on private servers. ROWS=200000 makes it short.

local both = require "dualdb.verify.pushdown.both"
local core = require "dualdb.core"
local dualdb = require "dualdb"
local Link = require "spec.support.link"
local message_table = require "spec.bench.message_table"
local support = require "spec.bench.support"

local ROWS = tonumber(os.getenv "ROWS" or 2000000)
local RUNS = tonumber(os.getenv "RUNS" or 5)
--- Each way: a round trip takes twice as long.
local LIMITS = { milliseconds = 40, megabits = 100 }

local COLUMNS = "'|', id, room_id, sender_id, content, is_read, score, attachment, created_at, "
  .. "updated_at"

--- What a person would ask: one SHA-256 of all columns a row, summed.
local CHECKSUM = {
  primary = ("select count(*) as n, sum(cast(conv(left(sha2(concat_ws(%s), 256), 16), 16, 10) "
    .. "as unsigned)) as checksum from chat_message"):format(COLUMNS),
  secondary = ("select count(*) as n, sum(('x' || left(encode(sha256(convert_to(concat_ws(%s), "
    .. "'UTF8')), 'hex'), 16))::bit(64)::bigint) as checksum from chat_message"):format(COLUMNS),
}

do
  local db <close> = dualdb.open()
  message_table.make(db.primary, ROWS)
  for _, text in ipairs(message_table.SECONDARY) do db.secondary:execute(text) end
  db:refresh()
  db.chat_message:sync()
  db.secondary:execute("vacuum analyze " .. message_table.NAME)
end

local links = {}
for _, side in ipairs { "primary", "secondary" } do links[side] = Link.start(side, LIMITS) end

local function timed(fn, ...)
  local started = core.clock()
  fn(...)
  return core.clock() - started
end

local function bytes() return links.primary:bytes() + links.secondary:bytes() end

--- Both servers are on this machine: what they take of it from each other is in this.
local function together(db)
  local conns = { primary = db.primary:acquire(), secondary = db.secondary:acquire() }
  local queries = {}
  for side, sql in pairs(CHECKSUM) do
    queries[side] = { text = sql, param_kinds = "", params = "", kinds = "id" }
  end
  both.fetch(conns, queries)
  for side, conn in pairs(conns) do db[side]:release(conn) end
end

local function equal(report, method)
  assert(report.verdict == "equal" and (not method or report.method == method), report.reason)
  return report
end

local function line(name, list)
  local median, least, most = support.median(list)
  print(("%-46s %7.2f s  (%.2f to %.2f)"):format(name, median, least, most))
  return median
end

do
  local db <close> = dualdb.open { primary = links.primary.url, secondary = links.secondary.url }
  local times, wire = { primary = {}, secondary = {}, together = {}, verify = {} }, 0
  db:spec "chat_message"
  for i = 1, RUNS do
    for side, sql in pairs(CHECKSUM) do times[side][i] = timed(db[side].query, db[side], sql) end
    times.together[i] = timed(function() together(db) end)
    bytes()
    times.verify[i] = timed(function()
      equal(db.chat_message:verify { method = "pushdown" }, "pushdown")
    end)
    wire = math.max(wire, bytes())
  end
  print(("%d rows over a link of %d ms and %d Mbit/s each way, medians of %d runs"):format(ROWS,
    LIMITS.milliseconds, LIMITS.megabits, RUNS))
  local slower = math.max(line("checksum query of the primary", times.primary),
    line("checksum query of the secondary", times.secondary))
  local at_once = line("both queries at once, on this one machine", times.together)
  local verified = line("verify, equal, pushed down", times.verify)
  print(("%-46s %7.2f    (target: at most 1.2)"):format("  against the slower server's query",
    verified / slower))
  print(("%-46s %7.2f"):format("  against both queries at once", verified / at_once))
  print(("%-46s %7.1f kB (target: under 1000)"):format("  on the wire", wire / 1000))
  local report = equal(db.chat_message:verify())
  print(("auto over the link: %s, %s"):format(report.method, report.method_reason))
end

do
  local db <close> = dualdb.open()
  local report = equal(db.chat_message:verify())
  print(("auto on loopback: %s, %s"):format(report.method, report.method_reason))
end
for _, link in pairs(links) do link:stop() end
