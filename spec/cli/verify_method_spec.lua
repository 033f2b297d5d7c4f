-- `dualdb verify --method`, as a person runs it.

local chat = require "spec.support.chat"

describe("dualdb verify --method", function()
  local db, dir

  before_each(function()
    db, dir = chat.open()
    chat.sync(dir)
  end)
  after_each(function() chat.close(db, dir) end)

  it("pushdown has the servers digest their rows, and finds what differs", function()
    local document, run = dir:json { "verify", "--all", "--method", "pushdown" }
    assert.equal(0, run.code, run.err)
    for _, entry in ipairs(document.models) do
      assert.same({ "equal", "pushdown" }, { entry.verdict, entry.method })
    end
    db.secondary:execute("update cli_item set note = 'y' where id = 1")
    run = dir:run { "verify", "Item", "--method", "pushdown" }
    assert.equal(1, run.code)
    assert.matches("changed  id=1  in note", run.out)
  end)

  it("pushdown streams what the servers do not write alike, and says why", function()
    db.primary:execute("alter table cli_room add d double")
    db.secondary:execute("alter table cli_room add d double precision")
    local run = dir:run { "verify", "Room", "Item", "--method", "pushdown" }
    assert.equal(0, run.code, run.err)
    assert.matches("Room: streamed, no pushdown: column d: double and double precision are not "
      .. "written alike in SQL", run.out)
    assert.not_matches("Item: streamed", run.out)
    local document = dir:json { "verify", "Room", "--method", "pushdown" }
    assert.same({ "equal", "stream" }, { document.models[1].verdict, document.models[1].method })
    assert.matches("^no pushdown: column d", document.models[1].method_reason)
  end)

  it("auto is what it does by itself, and says what it took the method for", function()
    local entry = dir:json({ "verify", "Item" }).models[1]
    assert.equal("stream", entry.method)
    assert.equal(entry.method_reason,
      dir:json({ "verify", "Item", "--method", "auto" }).models[1].method_reason)
    assert.matches("^not measured", entry.method_reason)
    assert.is_nil(dir:json({ "verify", "Item", "--method", "stream" }).models[1].method_reason)
  end)

  it("takes no other name", function()
    assert.equal(2, dir:run({ "verify", "Item", "--method", "guess" }).code)
  end)
end)
