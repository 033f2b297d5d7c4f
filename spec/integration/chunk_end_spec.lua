-- A chunk of a refresh ends where about as many rows are through as it may have, however the keys
-- lie. On the primary of this run.

local chunk_end = require "dualdb.sync.chunk_end"
local clients = require "spec.support.clients"
local edge = require "spec.support.edge"
local row = require "dualdb.row"

describe("a chunk", function()
  local db, spec

  --- The key where a chunk of `limit` rows ends that begins behind `reached`, and the rows in it.
  local function find(limit, reached, density, through, exact)
    local range = {
      reached = row.pack_key(spec, reached), density = density,
      through = through and row.pack_key(spec, through),
    }
    local found = db.primary:with(function(conn)
      return chunk_end.find(conn, spec, "primary", range, limit, exact)
    end)
    local last = found and row.unpack_key(spec, found).id
    local rows = last and tonumber(clients.rows("mysql", ("select count(*) from spec_edge where "
      .. "id > %d and id <= %d"):format(reached, last))[1][1])
    return last, rows
  end

  before_each(function()
    edge.before_each()
    local rows = {}
    for i = 1, 4000 do rows[i] = ("%d, 'a'"):format(i) end                  -- dense
    for i = 1, 20 do rows[#rows + 1] = ("%d, 'a'"):format(i * 10 ^ 12 // 1 | 0) end  -- sparse
    for i = 1, 4000 do rows[#rows + 1] = ("%d, 'a'"):format(10 ^ 15 // 1 + i * 7 | 0) end
    local _
    _, db = edge.open { mysql = "id bigint primary key, a varchar(20)", rows = rows }
    clients.run("mysql", "analyze table spec_edge")
    spec = db:spec "T"
  end)
  after_each(edge.after_each)

  it("ends by arithmetic where keys lie as they did before", function()
    assert.same({ 1500, 1000 }, { find(1000, 500, 1) })
    -- No row need have the key where it ends.
    local last, rows = find(1000, 10 ^ 15 // 1 | 0, 1000 / 7003)
    assert.equal((10 ^ 15 // 1 | 0) + 7003, last)
    assert.equal(1000, rows)
  end)

  it("ends by a scan where the keys lie otherwise than before, with the rows that it may have",
    function()
      assert.same({ 10 ^ 12 * 20 // 1 | 0, 20 }, { find(20, 4000, 1) })
      assert.same({ 1500, 1000 }, { find(1000, 500, 1e-9) })
      assert.same({ 1500, 1000 }, { find(1000, 500, nil) })
      assert.same({ 1500, 1000 }, { find(1000, 500, 5) })
    end)

  it("ends by a scan when it may not have more rows than that", function()
    assert.same({ (10 ^ 15 // 1 | 0) + 7000, 1000 },
      { find(1000, 10 ^ 15 // 1 | 0, 1000 / 7003, nil, true) })
  end)

  it("has no end of its own when the range ends before it", function()
    assert.is_nil((find(1000, 500, 1, 1200)))
    assert.is_nil((find(1000, 500, nil, 1200)))
    assert.is_nil((find(1000, (10 ^ 15 // 1 | 0) + 27000, 1 / 7)))
  end)

  it("is remembered by how densely its keys lie", function()
    local range = { reached = row.pack_key(spec, 1000) }
    chunk_end.note(spec, range, row.pack_key(spec, 3000), 500)
    assert.equal(0.25, range.density)
    chunk_end.note(spec, range, nil, 500)
    assert.is_nil(range.density)
    chunk_end.note(spec, range, row.pack_key(spec, 3000), 0)
    assert.is_nil(range.density)
  end)
end)
