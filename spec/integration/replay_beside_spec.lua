local child = require "spec.support.child"
local core = require "dualdb.core"
local dirty = require "spec.support.dirty"
local replayed = require "spec.support.replayed"

local NAME = replayed.NAME
local on_primary, on_secondary = replayed.on_primary, replayed.on_secondary
local replay, rows, assert_equal = replayed.replay, replayed.rows, replayed.assert_equal

describe("replay beside others", function()
  local db

  before_each(function() db = replayed.open_equal() end)

  after_each(replayed.close)

  it("may run several times at once", function()
    db.primary:transaction(function(conn)
      for id = 100, 700 do
        conn:execute(("insert into %s (id, name) values (?, ?)"):format(NAME), id, "n" .. id)
        dirty.enter(conn, db, "Item", id)
      end
    end)
    db.secondary:transaction(function(conn)
      for id = 1000, 1300 do
        conn:execute(("insert into %s (id, name) values (?, ?)"):format(NAME), id, "n" .. id)
        dirty.enter(conn, db, "Item", id)
      end
    end)
    local code = ([[
      local dualdb = require "dualdb"
      local db <close> = dualdb.open { models = { Item = { table = %q } }, name = "spec" }
      for _, result in ipairs(db:journal():replay()) do
        if result.error then print(result.error) end
        if result.quarantined + result.conflicts > 0 then print "not settled" end
      end
    ]]):format(NAME)
    local others = {}
    for i = 1, 3 do others[i] = child.lua(code) end
    for _, other in ipairs(others) do assert.same({ "", 0 }, { other:finish() }) end
    replay()
    assert.equal(0, dirty.count(db))
    assert_equal()
  end)

  it("never writes an older state over a newer one of dual writes beside it", function()
    local stop = os.tmpname()
    local writer = ([[
      local core, dualdb = require "dualdb.core", require "dualdb"
      local dirty = require "spec.support.dirty"
      local NAME, STOP, seed = %q, %q, ...
      math.randomseed(%%d)
      local db <close> = dualdb.open { models = { Item = { table = NAME } }, name = "spec",
        policy = { deadline = 30 } }
      local UPDATE = "update " .. NAME .. " set amount = amount + 1 where id = ?"
      local function alone(id)
        db.primary:transaction(function(conn)
          conn:execute(UPDATE, id)
          dirty.enter(conn, db, "Item", id)
        end)
      end
      local function vanish(id)
        db.primary:transaction(function(conn)
          if conn:execute("delete from " .. NAME .. " where id = ?", id).affected == 0 then
            conn:execute("insert into " .. NAME .. " (id, amount) values (?, 0)", id)
          end
          dirty.enter(conn, db, "Item", id)
        end)
      end
      local done, failed = 0, 0
      while io.open(STOP) do
        local id = math.random(3)
        local kind = math.random(4)
        local ok, err
        if kind == 1 then ok, err = pcall(alone, id)
        elseif kind == 2 then ok, err = pcall(vanish, 10 + id)
        else
          ok, err = pcall(db.write, db, function(tx)
            tx:execute(UPDATE, id)
            if kind == 4 then tx:execute(UPDATE, 10 + id) end
          end)
        end
        if ok and kind ~= 2 then done = done + 1 end
        if not ok and err.class ~= "transient" and err.class ~= "conflict" then print(err) end
      end
      print("done", done)
    ]]):format(NAME, stop)
    local writers, replays = {}, 0
    for i = 1, 3 do writers[i] = child.lua(writer:format(i)) end
    local until_time = core.clock() + 6
    while core.clock() < until_time do
      for _, result in ipairs(replay()) do
        assert.is_nil(result.error)
        assert.same({ 0, 0 }, { result.conflicts, result.quarantined })
      end
      replays = replays + 1
    end
    os.remove(stop)
    for _, other in ipairs(writers) do
      local text = other:finish()
      -- What is in doubt for the moment may be finished by any of them, which says so.
      local rest, done = text:gsub("recovered [^\n]*\n", ""):match "^(.-)done\t(%d+)\n$"
      assert.equal("", rest, text)
      assert.is_true(tonumber(done) > 20, text)
    end
    replay()
    assert.equal(0, dirty.count(db))
    assert.is_true(replays > 5)
    assert_equal()
  end)

  local STEPS = {
    "listed", "primary_locked", "horizon", "secondary_locked", "written", "first_committed",
    "entries_deleted", "done", "expanded", "marks_deleted",
  }

  for _, side in ipairs { "primary", "secondary" } do
    local on = side == "primary" and on_primary or on_secondary
    for _, name in ipairs(STEPS) do
      it(("of the %s is finished by another when it dies after step %s"):format(side, name),
        function()
          on({ 1 }, "delete from %s where id = 1")
          on({ 2 }, "update %s set amount = 22 where id = 2")
          on({ 9 }, "insert into %s (id, name) values (9, 'nine')")
          on({ 10 }, "delete from %s where id = 10")   -- neither side has it: believed after a wait
          if name == "expanded" or name == "marks_deleted" then dirty.whole(db[side], "Item") end
          local truth = rows(side)
          local other = child.lua(([[
            local dualdb = require "dualdb"
            local db <close> = dualdb.open { models = { Item = { table = %q } }, name = "spec" }
            db:journal():replay()
            print "alive"
          ]]):format(NAME), { DUALDB_CRASH_AT = "replay." .. name })
          assert.equal("", (other:finish()))
          replay()
          assert.same(truth, rows "primary")
          assert.same(truth, rows "secondary")
          assert.equal(0, dirty.count(db))
        end)
    end
  end

  it("is finished by another when it was killed, at whatever time", function()
    for round = 1, 6 do
      db.primary:transaction(function(conn)
        for id = 100, 400 do
          conn:execute(("insert into %s (id, amount) values (?, ?) on duplicate key update "
            .. "amount = values(amount)"):format(NAME), id, round)
          dirty.enter(conn, db, "Item", id)
        end
      end)
      local other = child.lua(([[
        local dualdb = require "dualdb"
        local db <close> = dualdb.open { models = { Item = { table = %q } }, name = "spec" }
        print "go"
        db:journal():replay()
      ]]):format(NAME))
      other:line()
      core.sleep(0.008 * round)   -- a part of the time that it takes
      other:signal(9)
      other:finish()
      for _, result in ipairs(replay()) do assert.is_nil(result.error) end
      assert.equal(0, dirty.count(db))
      assert_equal()
    end
  end)
end)
