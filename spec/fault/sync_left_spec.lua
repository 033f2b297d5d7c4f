--- A full sync is killed when some rows could not go yet, or not at all: the next one knows them.

local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local synced = require "spec.support.synced"

local NAME, COUNT, CHUNK = "spec_synced", 2000, 100
local REFUSED = 7

describe("a full sync that is killed", function()
  before_each(edge.before_each)
  after_each(edge.after_each)

  local function die(tab, step, direction)
    local run = synced.run({ tab }, {
      chunk_rows = CHUNK, jobs = 1, direction = direction,
      environment = { DUALDB_CRASH_AT = step },
    })
    assert.equal(137, run.code, run.text)
  end

  local function assert_equal(tab)
    edge.verify(edge.pair({ T = { table = tab.name } }).T, "equal")
    synced.assert_same(tab)
  end

  --- Rows that refer to the table's last one.
  local function make_referring()
    local tab = synced.make(NAME, "integer", COUNT)
    local column = ("alter table %s add column parent bigint references %s (id)"):format(NAME, NAME)
    clients.run("mysql", column:gsub(" references.*", ""))
    clients.run("mysql", ("update %s set parent = %d where v %% 1000 = 7"):format(NAME,
      7 * (COUNT - 1)))
    clients.run("postgres", column)
    return tab
  end

  for _, often in ipairs { 1, 3 } do
    it(("brings rows over that waited for others, after %d chunks"):format(often), function()
      local tab = make_referring()
      die(tab, "sync.released:" .. often)
      local run = synced.run({ tab }, { chunk_rows = CHUNK, jobs = 1 })
      assert.equal(0, run.code, run.text)
      assert_equal(tab)
    end)
  end

  it("brings rows over that waited for others in a refresh", function()
    local tab = make_referring()
    assert.equal(0, synced.run({ tab }).code)
    clients.run("postgres", ("delete from %s where v %% 1000 = 7; delete from %s where v = %d")
      :format(NAME, NAME, COUNT - 1))
    die(tab, "sync.released:3")
    local run = synced.run({ tab }, { chunk_rows = CHUNK, jobs = 1 })
    assert.equal(0, run.code, run.text)
    assert_equal(tab)
  end)

  for direction, driver in pairs { to_secondary = "postgres", to_primary = "mysql" } do
    it(("begins anew where the rows that it had brought are gone: %s"):format(direction), function()
      local tab = synced.make(NAME, "integer", COUNT)
      if direction == "to_primary" then
        assert.equal(0, synced.run({ tab }).code)
        synced.empty({ tab }, driver)
      end
      die(tab, "sync.released:3", direction)
      clients.run(driver, "delete from " .. NAME)
      local run = synced.run({ tab }, { chunk_rows = CHUNK, jobs = 1, direction = direction })
      assert.equal(0, run.code, run.text)
      assert.is_false(run.results[NAME].resumed)
      assert_equal(tab)
    end)
  end

  --- Keys in quarantine, as the client shows them.
  local function in_quarantine()
    return clients.rows("postgres", ("select key ->> 'id' from dualdb_quarantine "
      .. "where model = '%s' order by (key ->> 'id')::int"):format(NAME))
  end

  for _, mode in ipairs { "load", "refresh" } do
    it(("keeps the rows in quarantine that the secondary cannot hold: %s"):format(mode), function()
      local tab = synced.make(NAME, "integer", COUNT)
      if mode == "refresh" then
        assert.equal(0, synced.run({ tab }).code)
        synced.spoil { tab }
      end
      clients.run("mysql", ("update %s set filler = concat('a', char(0)) where v %% 250 = 7")
        :format(NAME))
      local expected = clients.rows("mysql", ("select id from %s where v %% 250 = 7 order by id")
        :format(NAME))
      die(tab, "sync.released:5")
      assert.is_true(#in_quarantine() > 0)
      local run = synced.run({ tab }, { chunk_rows = CHUNK, jobs = 1 })
      assert.equal(REFUSED, run.code, run.text)
      assert.is_true(run.results[NAME].resumed)
      assert.equal(#expected, run.results[NAME].quarantined)
      assert.same(expected, in_quarantine())
      -- Those that have become others go, and leave the quarantine.
      clients.run("mysql", ("update %s set filler = 'a' where v %% 250 = 7"):format(NAME))
      assert.equal(0, synced.run({ tab }).code)
      assert.same({}, in_quarantine())
      assert_equal(tab)
    end)
  end
end)
