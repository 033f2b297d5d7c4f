-- `dualdb schema diff`, as a person runs it.

local chat = require "spec.support.chat"

describe("dualdb schema diff", function()
  local db, dir

  before_each(function() db, dir = chat.open() end)
  after_each(function() chat.close(db, dir) end)

  it("exits 1 and names each difference, its hint and what is only noted", function()
    db.secondary:execute("create index on cli_item (room_id)")
    db.secondary:execute("alter table cli_item alter column price type integer")
    db.secondary:execute("comment on table cli_room is 'rooms'")
    local run = dir:run { "schema", "diff" }
    assert.equal(1, run.code)
    assert.matches("Item: column price is decimal%(10,2%)", run.out)
    assert.matches("hint: Item: `dualdb schema ddl` makes column price numeric%(10,2%)", run.out)
    assert.matches("note: Room: the comment of the table is not the same", run.out)
    assert.matches("%d+ differences?\n$", run.out)
  end)

  it("exits 0 when there is none, and says so", function()
    db.secondary:execute("create index on cli_item (room_id)")
    chat.sync(dir)
    local run = dir:run { "schema", "diff", "Item", "Room" }
    assert.equal(0, run.code, run.out .. run.err)
    assert.matches("no differences\n$", run.out)
  end)

  it("is one JSON document, with every difference as an object", function()
    chat.sync(dir)
    local document, run = dir:json { "schema", "diff", "Item" }
    assert.equal(1, run.code)
    assert.equal(1, #document.differences)
    local difference = document.differences[1]
    assert.equal("Item", difference.model)
    assert.equal("index", difference.kind)
    assert.equal("(room_id)", difference.primary)
    assert.equal("missing", difference.secondary)
    assert.same({}, document.notes)
  end)
end)
