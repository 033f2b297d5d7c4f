-- How a run of several tables is shown while it is under way, on a pseudo terminal that script(1)
-- makes and elsewhere.

local cli = require "spec.support.cli"
local screen = require "spec.support.screen"

--- A run of which nothing is real. An interval of 0: every change is shown.
local OPENING = [[
local log, progress = require "dualdb.log", require "dualdb.progress"
local meter = progress.new("sync", { tables = 3, of = 20000000 })
meter.interval = 0
]]

describe("the progress of several tables", function()
  local dir

  before_each(function() dir = cli.directory() end)
  after_each(function() dir:remove() end)

  --- Runs code on a terminal of a size; returns all that it has written.
  local function written(columns, rows, code)
    dir:write("fake.lua", OPENING .. code)
    local command = ("stty cols %d rows %d; %s"):format(columns, rows,
      cli.command({ "run", "fake.lua" }, { env = { TERM = "xterm" } }))
    local _, _, status = os.execute(("cd %s && script -qec %s typescript </dev/null >/dev/null")
      :format(dir.path, cli.quote(command)))
    local bytes = dir:read("typescript"):gsub("^Script started[^\n]*\n", "")
      :gsub("\n*Script done[^\n]*\n*$", "\n")
    assert.equal(0, status, bytes)
    return bytes
  end

  --- The same; returns what the terminal shows at the end, and all its looks.
  local function on_terminal(columns, rows, code)
    return screen.show(written(columns, rows, code), columns)
  end

  --- Runs code without a terminal; returns what it has said.
  local function said_by(words, code)
    dir:write("fake.lua", OPENING .. code)
    local run = dir:run { "run", table.unpack(words) }
    assert.equal(0, run.code, run.err)
    return run.err
  end

  --- Whether one of the looks has exactly the lines, each given as a pattern.
  local function has_looked(looks, patterns)
    for _, look in ipairs(looks) do
      local matches = #look == #patterns
      for i, pattern in ipairs(patterns) do
        matches = matches and look[i]:match("^" .. pattern .. "$")
      end
      if matches then return true end
    end
    return false
  end

  local TWO = [[
    local first, second = meter:table("message"), meter:table("日本")
    for i = 1, 20 do
      first:update { rows = i * 100000, of = 10000000, bytes = i * 1000000 }
      second:update { rows = i * 10, of = 1000, phase = "compare", differences = 3 }
    end
    log.emit("warn", "something is to be said")
    meter:pause("paused: replica 10.0.0.3 is 14 s behind")
    meter:pause(nil)
    second:update { phase = "indexes" }
    first:finish { rows_read = 2000000 }
    second:finish {}
    meter:close()
    print "the end"
  ]]

  local QUIET = TWO:gsub("log.emit[^\n]*", ""):gsub("print[^\n]*", "")

  it("is a line for each that runs and one for all, in place, and goes away at the end", function()
    local lines, looks = on_terminal(100, 24, TWO)
    assert.same({ "dualdb: warning: something is to be said", "the end" }, lines)
    assert.True(has_looked(looks, {
      "message  copy: 2,000,000 of about 10,000,000 rows, [%d,]+ rows/s, .*ETA %d:%d%d",
      "日本     compare: 200 of about 1,000 rows, [%d,]+ rows/s, .*ETA %d:%d%d, 3 to look at again",
      "sync: 0 of 3 tables, 2,000,200 of about 20,000,000 rows, [%d,]+ rows/s, .*ETA %d:%d%d",
    }))
    for _, look in ipairs(looks) do assert.True(#look <= 4) end
  end)

  it("has messages above it, and stays below them", function()
    local _, looks = on_terminal(100, 24, TWO)
    assert.True(has_looked(looks, {
      "dualdb: warning: something is to be said", "message  copy: .*", "日本     compare: .*",
      "sync: 10%%, paused: replica 10%.0%.0%.3 is 14 s behind",
    }))
    assert.True(has_looked(looks, {
      "dualdb: warning: something is to be said", "message  copy: .*",
      "日本     indexes, 0:%d%d", "sync: .*",
    }))
    assert.True(has_looked(looks, {
      "dualdb: warning: something is to be said", "日本  indexes, 0:%d%d",
      "sync: 1 of 3 tables, .*",
    }))
  end)

  it("says less where there is less room, and never wraps", function()
    for _, columns in ipairs { 80, 40, 20, 5, 1 } do
      local lines, looks = on_terminal(columns, 24, QUIET)
      assert.same({}, lines)
      if columns == 40 then
        assert.True(has_looked(looks, {
          "message  copy: 20%%, .*", "日本     compare: 20%%, .*", "sync: 10%%, .*",
        }))
      end
    end
  end)

  it("takes away what a terminal that has become narrower has broken into more lines", function()
    local bytes = written(100, 24, [[
      meter:table("message"):update { rows = 1, of = 1000 }
      os.execute "stty cols 20"
      meter:tick()
      meter:close()
    ]])
    local first, second, up = bytes:match(
      "\27%[1A([^\27]+)\27%[K\r\n([^\27]+)\27%[J\r\27%[(%d+)A")
    assert.True(#first > 40 and #second > 40)
    assert.equal(math.ceil(#first / 20) + math.ceil(#second / 20) - 1, tonumber(up))
    assert.matches("messag  copy", bytes:match("\27%[%d+A([^\27]*)[^A]*\27%[1A\27%[J"))
  end)

  it("has no more lines than the terminal", function()
    local _, looks = on_terminal(60, 4, [[
      for i = 1, 5 do meter:table("t" .. i):update { rows = i } end
      meter:close()
    ]])
    assert.True(has_looked(looks, { "t1  copy: 1 rows, .*", "and 4 more", "sync: .*" }))
    for _, look in ipairs(looks) do assert.True(#look <= 3) end
  end)

  it("cannot be harmed by a table's name", function()
    local _, looks = on_terminal(60, 24, [[meter:table("a\27[2J\nb") meter:close()]])
    assert.True(has_looked(looks, { "a\\x1b%[2J\\nb  copy: .*", "sync: .*" }))
  end)

  it("is an event for each that runs and one for all, for programs", function()
    local events = cli.json_lines(said_by({ "--log-format", "json", "fake.lua" }, [[
      local message, room = meter:table("message", 500), meter:table("room")
      room:update { rows = 4, bytes = 10, phase = "compare", differences = 2 }
      message:update { rows = 700, of = 1000, bytes = 64 }
      meter:pause "paused: replica 10.0.0.3 is 14 s behind"
      message:finish { rows_read = 700 }
    ]]))
    local last = {}
    for _, event in ipairs(events) do
      assert.equal("sync", event.command)
      last[event.event .. " " .. (event.model or "")] = event
    end
    local message, room, all = last["progress message"], last["progress room"], last["progress "]
    assert.same({ 700, 1000, 64, "copy" },
      { message.rows, message.of, message.bytes, message.phase })
    for _, name in ipairs { "rows_per_second", "bytes_per_second", "seconds", "eta_seconds" } do
      assert.equal("number", type(message[name]), name)
    end
    assert.same({ 4, 10, "compare", 2 }, { room.rows, room.bytes, room.phase, room.differences })
    assert.is_nil(room.of)
    assert.same({ 704, 20000000, 74, "paused", "paused: replica 10.0.0.3 is 14 s behind" },
      { all.rows, all.of, all.bytes, all.phase, all.reason })
    assert.equal(700, last["done message"].rows_read)
  end)

  it("counts no rows of an earlier run as fast ones", function()
    local events = cli.json_lines(said_by({ "--log-format", "json", "fake.lua" }, [[
      meter:table("message", 5000000):update { rows = 5000000, of = 9000000 }
    ]]))
    for i = #events - 1, #events do
      assert.same({ 5000000, 0 }, { events[i].rows, events[i].rows_per_second })
      assert.is_nil(events[i].eta_seconds)
    end
  end)

  it("is a line for all where a person reads a log", function()
    local said = said_by({ "fake.lua" }, TWO)
    assert.matches("\nsync message, 日本 %(compare%): 0 of 3 tables, 2,000,200 of about "
      .. "20,000,000 rows, [%d,]+ rows/s, ", said)
    assert.matches(", paused: replica 10%.0%.0%.3 is 14 s behind\n", said)
    assert.not_matches("\27", said)
  end)

  it("is rare: not more than what is due", function()
    local code = TWO:gsub("^", "meter.interval = 5\n")
    assert.equal("dualdb: warning: something is to be said\n", said_by({ "fake.lua" }, code))
    assert.equal("", said_by({ "-q", "fake.lua" }, QUIET))
  end)
end)
