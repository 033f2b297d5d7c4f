--- A full sync beside dual writes: whatever they write, no older state goes over a newer one, and
--- once all have stopped both sides are equal.

local child = require "spec.support.child"
local clients = require "spec.support.clients"
local core = require "dualdb.core"
local dirty = require "spec.support.dirty"
local edge = require "spec.support.edge"
local servers = require "spec.support.servers"
local setup = require "dualdb.setup"
local sync = require "dualdb.sync"
local synced = require "spec.support.synced"

--- SYNC_BESIDE=SECONDS is for how long each of them refreshes again and again.
local SECONDS = tonumber(os.getenv "SYNC_BESIDE") or 1
local SEED = math.tointeger(tonumber(os.getenv "SYNC_SEED")) or os.time()

local NAME = "spec_beside"
local ROWS, WRITERS = 30000, 3
--- Keys of the rows that are there before are multiples of it; a writer's own have its number as
--- their remainder.
local STEP = 7

local WRITER = [[
  local dualdb = require "dualdb"
  local errors = require "dualdb.errors"
  local ME, STOP, LOADING, ROWS, STEP, KEY = %d, %q, %q, %d, %d, %q
  math.randomseed(%d, ME)
  local db <close> = dualdb.open { models = { T = { table = %q } }, name = "spec",
    policy = { preset = %q, commit = %q, deadline = 60, breaker = { failures = 1000 } } }
  local OWN = "w" .. ME
  local number = 0
  local last, there, doubtful = {}, {}, {}   -- what was acknowledged, by key
  local counts = { done = 0, conflict = 0, transient = 0 }

  local function key_of(n)
    n = math.tointeger(n)
    return KEY == "text" and ("k%%07d"):format(n) or n
  end

  --- A row of which this writer alone writes one column.
  local function shared()
    local kind = math.random(3)
    if kind == 1 then return STEP * math.random(0, 4) end
    if kind == 2 then return STEP * (ROWS // 2 + math.random(0, 4)) end
    return STEP * math.random(0, ROWS - 1)
  end

  local function own() return STEP * math.random(0, 300) * (ROWS // 300) + ME end

  --- A secondary that has rows is not loaded, so that rows are inserted once that is under way.
  local loading = false
  local function may_insert()
    loading = loading or io.open(LOADING) ~= nil
    return loading
  end

  local function round()
    number = number + 1
    local changes = {}   -- by key; false is for a row that is gone
    local function update(tx, key)
      tx:update("T", key, { [OWN] = number })
      changes[key] = number
    end
    local keys = { key_of(shared()), key_of(shared()) }
    local kind, mine = math.random(may_insert() and 6 or 3), key_of(own())
    if doubtful[mine] then return end
    local ok, err = pcall(db.write, db, function(tx)
      changes = {}
      if kind <= 2 then
        update(tx, keys[1])
      elseif kind == 3 then
        update(tx, keys[1])
        if keys[2] ~= keys[1] then update(tx, keys[2]) end
      elseif not there[mine] then
        tx:insert("T", { id = mine, [OWN] = number })
        changes[mine] = number
      elseif kind == 4 then
        update(tx, mine)
      else
        tx:delete("T", mine)
        changes[mine] = false
      end
    end)
    if ok then
      counts.done = counts.done + 1
      for key, value in pairs(changes) do
        last[key], there[key] = value, value ~= false
      end
      return
    end
    err = errors.wrap(err)
    if err.outcome ~= "not_applied" then
      for key in pairs(changes) do doubtful[key] = true end
    end
    if counts[err.class] then
      counts[err.class] = counts[err.class] + 1
    else
      print("error " .. tostring(err))
    end
  end

  print "begins"
  while io.open(STOP) do round() end
  for key, value in pairs(last) do
    if not doubtful[key] then print(("last %%s %%s"):format(key, value or "gone")) end
  end
  for name, count in pairs(counts) do print(("count %%s %%d"):format(name, count)) end
]]

local REPLAYER = [[
  local dualdb = require "dualdb"
  local db <close> = dualdb.open { models = { T = { table = %q } }, name = "spec",
    policy = { breaker = { failures = 1000 } } }
  print "begins"
  while io.open(%q) do
    for _, result in ipairs(db:journal():replay()) do
      local err = result.error
      if err and not err.retryable then print("error " .. tostring(err)) end
      if result.quarantined + result.conflicts > 0 then print "error not settled" end
    end
  end
]]

describe("a full sync", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local KEYS = {
    integer = { type = "bigint", value = "%d * n" },
    text = { type = "varchar(20)", value = "concat('k', lpad(%d * n, 7, '0'))" },
  }

  local function make(key)
    local id = KEYS[key]
    edge.drop_later(NAME)
    local columns = "w1 bigint not null default 0, w2 bigint not null default 0, "
      .. "w3 bigint not null default 0, filler varchar(60)"
    clients.run("mysql", ("create table %s (id %s not null primary key, %s); "
      .. "insert into %s select %s, 0, 0, 0, repeat('x', n %% 60) from (%s) q where n < %d; "
      .. "analyze table %s"):format(NAME, id.type, columns, NAME, id.value:format(STEP),
      servers.million("mysql", 1), ROWS, NAME))
    clients.run("postgres", ("create table %s (id %s not null primary key, %s); "
      .. "alter table %s owner to dualdb"):format(NAME, id.type, columns, NAME))
    if key == "text" then
      local db = edge.pair { T = { table = NAME } }
      assert.equal("load", db.T:sync().action)
    end
  end

  local function start(policy, commit, key, stop, loading)
    local others = {}
    for i = 1, WRITERS do
      others[i] = child.lua(WRITER:format(i, stop, loading, ROWS, STEP, key, SEED, NAME,
        policy, commit))
    end
    others[WRITERS + 1] = child.lua(REPLAYER:format(NAME, stop))
    for _, other in ipairs(others) do assert.equal("begins", other:line()) end
    return others
  end

  --- Waits for their end; returns what was acknowledged last of each key, by writer, and counts.
  local function gather(others)
    local last, counts = {}, {}
    for i, other in ipairs(others) do
      local text, code = other:finish()
      assert.equal(0, code, text)
      assert.is_nil(text:match "error [^\n]*")
      last[i] = {}
      for key, value in text:gmatch "last (%S+) (%S+)\n" do last[i][key] = value end
      for name, count in text:gmatch "count (%S+) (%d+)\n" do
        counts[name] = (counts[name] or 0) + tonumber(count)
      end
    end
    return last, counts
  end

  --- The rows as the clients show them, by their keys.
  local function rows()
    local sql = ("select id, w1, w2, w3, filler from %s order by id"):format(NAME)
    assert(clients.run("mysql", sql) == clients.run("postgres", sql), "the sides are not equal")
    local by_key = {}
    for _, row in ipairs(clients.rows("postgres", sql)) do by_key[row[1]] = row end
    return by_key
  end

  local function assert_acknowledged(last)
    local found = rows()
    for writer, keys in ipairs(last) do
      for key, value in pairs(keys) do
        local row = found[key]
        assert.equal(value, row and row[1 + writer] or "gone",
          ("key %s of writer %d"):format(key, writer))
      end
    end
  end

  --- Runs fn(db, loading) while writers and a replay are under way, and looks at what is there when
  --- they have stopped. loading() is for it to call when a load has begun.
  local function beside(policy, commit, key, fn)
    make(key)
    local db = edge.pair({ T = { table = NAME } }, { policy = policy })
    setup.run(db)
    dirty.clear(db)
    local stop, loading = os.tmpname(), os.tmpname()
    os.remove(loading)
    local others = start(policy, commit, key, stop, loading)
    local ok, err = pcall(fn, db, function() assert(io.open(loading, "w")):close() end)
    os.remove(stop)
    os.remove(loading)
    local last, counts = gather(others)
    if not ok then error(err, 0) end
    db:recover()
    for _, result in ipairs(db:journal():replay()) do
      assert.is_nil(result.error)
      assert.same({ 0, 0 }, { result.conflicts, result.quarantined })
    end
    assert.equal(0, dirty.count(db))
    edge.verify(db.T, "equal")
    assert_acknowledged(last)
    print(("\nSYNC_SEED=%d %s %s: %d writes, %d conflicts, %d gave up"):format(SEED, policy,
      commit, counts.done, counts.conflict, counts.transient))
    return counts
  end

  local WAYS = {
    { "available", "a1" }, { "available", "a2" }, { "available", "journaled" },
    { "strict", "a1" }, { "strict", "a2" },
  }

  for _, way in ipairs(WAYS) do
    local policy, commit = table.unpack(way)
    it(("loads and refreshes beside writers: %s, %s"):format(policy, commit), function()
      local counts = beside(policy, commit, "integer", function(db, loading)
        local loaded = sync.run(db, "T", {
          chunk_rows = 400, jobs = 2, progress = function() loading() end,
        })
        assert.equal("load", loaded.action)
        assert.equal(0, loaded.quarantined)
        local stop, refreshes = core.clock() + SECONDS, 0
        repeat
          local refreshed = sync.run(db, "T", { chunk_rows = 3000, jobs = 2 })
          assert.equal("refresh", refreshed.action)
          assert.equal(0, refreshed.quarantined)
          refreshes = refreshes + 1
        until core.clock() > stop
        print(("\nload %.1f s, %d chunks; %d refreshes"):format(loaded.seconds, loaded.chunks,
          refreshes))
      end)
      assert.is_true(counts.done > 100)
    end)
  end

  for _, commit in ipairs { "a1", "a2" } do
    it(("refreshes by keys beside writers: %s"):format(commit), function()
      local counts = beside("available", commit, "text", function(db, loading)
        loading()
        local stop, refreshes = core.clock() + SECONDS, 0
        repeat
          clients.run("postgres", ("update %s set filler = 'old' where %s"):format(NAME,
            "right(id, 1) = '3'"))
          local refreshed = sync.run(db, "T")
          assert.equal("refresh", refreshed.action)
          assert.equal(0, refreshed.quarantined)
          refreshes = refreshes + 1
        until core.clock() > stop
        print(("\n%d refreshes"):format(refreshes))
      end)
      assert.is_true(counts.done > 100)
    end)
  end

  for _, commit in ipairs { "a1", "a2", "journaled" } do
    it(("that is killed again and again goes on beside writers: %s"):format(commit), function()
      local tab = { name = NAME }
      math.randomseed(SEED)
      local counts = beside("available", commit, "integer", function(_, loading)
        local stop, killed, completed = core.clock() + SECONDS, 0, 0
        repeat
          local started = synced.start({ tab }, {
            chunk_rows = 500, jobs = math.random(3), moving = true,
          })
          loading()
          core.sleep(0.6 * math.random())  -- a part of the time that it takes
          started:signal(9)
          local run = synced.finish(started)
          if run.code == 0 then completed = completed + 1 else killed = killed + 1 end
        until core.clock() > stop and killed > 3
        local run = synced.run({ tab })
        assert.equal(0, run.code, run.text)
        print(("\n%d killed, %d came to their end before"):format(killed, completed))
      end)
      synced.assert_forgotten(tab)
      assert.is_true(counts.done > 50)
    end)
  end
end)
