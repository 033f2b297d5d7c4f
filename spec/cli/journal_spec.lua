local chat = require "spec.support.chat"
local dirty = require "spec.support.dirty"
local pair = require "spec.support.pair"
local setup = require "dualdb.setup"

describe("dualdb journal", function()
  local db, dir, project

  before_each(function()
    db, dir = chat.open()
    setup.run(db)
    dirty.clear(db)
    chat.sync(dir)
    project = pair.open { Room = { table = chat.ROOM }, Item = { table = chat.ITEM } }
  end)

  after_each(function()
    dirty.clear(db)
    project:close()
    chat.close(db, dir)
  end)

  local function write_alone()
    dirty.write(project, project.primary, "Room", { 1 },
      "update cli_room set name = 'A' where id = 1")
    dirty.write(project, project.primary, "Item", { 9007199254740993, 1 },
      "delete from cli_item where id in (1, 9007199254740993)")
  end

  local function write_on_both()
    dirty.write(project, project.primary, "Room", { 2 },
      "update cli_room set name = 'M' where id = 2")
    dirty.write(project, project.secondary, "Room", { 2 },
      "update cli_room set name = 'P' where id = 2")
  end

  it("says that the journals are empty, with 0, also before there are any", function()
    for _, action in ipairs { "status", "list", "replay" } do
      local run = dir:run { "journal", action }
      assert.same({ 0, "the journals are empty\n" }, { run.code, run.out })
    end
    for _, side in ipairs { db.primary, db.secondary } do
      side:execute "drop table dualdb_journal"
    end
    for _, action in ipairs { "status", "list", "replay" } do
      assert.equal(0, dir:run({ "journal", action }).code)
    end
    assert.same({}, dir:json({ "journal", "status" }).models)
    setup.run(db)
  end)

  it("counts and lists what waits, with 1", function()
    write_alone()
    local run = dir:run { "journal", "status" }
    assert.equal(1, run.code)
    assert.matches("Item +primary +2 +0 +0 +0", run.out)
    local document
    document, run = dir:json { "journal", "status", "Room" }
    assert.equal(1, run.code)
    assert.equal(1, #document.models)
    assert.same({ "Room", 1, 1 },
      { document.models[1].model, document.models[1].open, document.models[1].primary.open })
    run = dir:run { "journal", "list" }
    assert.equal(1, run.code)
    assert.matches('Item +primary +{"id":"9007199254740993"} +open', run.out)
    document = dir:json { "journal", "list" }
    local entry = document.models[1].entries[1]
    assert.same({ "primary", "9007199254740993", "open", 0, "spec" },
      { entry.side, entry.key.id, entry.state, entry.attempts, entry.gid })
  end)

  it("replays what waits, with 0, after which both sides are equal", function()
    write_alone()
    assert.equal(1, dir:run({ "verify", "--all" }).code)
    assert.matches("2 pending: in the journal", dir:run({ "verify", "Item" }).out, 1, true)
    local document, run = dir:json { "verify", "--all" }
    assert.equal(1, run.code)
    assert.equal(1, document.models[2].pending + document.models[3].pending > 0 and 1 or 0)
    run = dir:run { "journal", "replay", "Room" }
    assert.equal(0, run.code)
    assert.matches("Room +1 +0 +0 +0", run.out)
    document, run = dir:json { "journal", "replay" }
    assert.equal(0, run.code)
    assert.same({ "Item", 2, 0 },
      { document.models[1].model, document.models[1].replayed, document.models[1].left })
    assert.equal(0, dir:run({ "verify", "--all" }).code)
  end)

  it("leaves what was written on both sides, with 1, until somebody says who is right", function()
    write_on_both()
    local run = dir:run { "journal", "replay" }
    assert.equal(1, run.code)
    assert.matches("Room +0 +0 +2 +0", run.out)
    run = dir:run { "journal", "list" }
    assert.matches("conflict +1 .* written on both sides", run.out)
    assert.equal(2, dir:run({ "journal", "replay", "--strategy", "nobody" }).code)
    assert.equal(0, dir:run({ "journal", "replay", "--strategy", "secondary_wins" }).code)
    assert.equal("P", pair.value(db.primary, "select name as v from cli_room where id = 2"))
  end)

  it("shows why a key was not taken, and tries it again when told to", function()
    dirty.write(project, project.secondary, "Item", { 5 },
      "insert into cli_item (id, room_id) values (5, 1)")
    db.primary:execute "alter table cli_item add constraint few check (id <> 5)"
    local run = dir:run { "journal", "replay" }
    assert.equal(1, run.code)
    assert.matches("Item +0 +0 +0 +1", run.out)
    assert.matches("few", dir:run({ "journal", "list" }).out, 1, true)
    db.primary:execute "alter table cli_item drop constraint few"
    assert.equal(1, dir:run({ "journal", "replay" }).code)
    assert.equal(0, dir:run({ "journal", "replay", "--retry-quarantined" }).code)
    assert.equal(5, pair.value(db.primary, "select id as v from cli_item where id = 5"))
  end)

  it("ends with 4 or 5 when a side is unavailable, and shows the other's", function()
    write_alone()
    local away = { env = {
      DUALDB_SECONDARY_URL = pair.with_port(os.getenv "DUALDB_SECONDARY_URL", 1),
    } }
    local run = dir:run({ "journal", "status" }, away)
    assert.equal(5, run.code)
    assert.matches("Item +primary +2", run.out)
    local document
    document, run = dir:json({ "journal", "list" }, away)
    assert.equal(5, run.code)
    assert.equal(2, #document.models[1].entries)
    assert.equal(5, dir:run({ "journal", "replay" }, away).code)
    away = { env = { DUALDB_PRIMARY_URL = pair.with_port(os.getenv "DUALDB_PRIMARY_URL", 1) } }
    assert.equal(4, dir:run({ "journal", "replay" }, away).code)
    assert.equal(4, dir:run({ "journal", "status" }, away).code)
  end)

  it("ends with 2 for a model that does not exist, unless it has entries", function()
    local run = dir:run { "journal", "status", "Rom" }
    assert.equal(2, run.code)
    assert.matches("Room", run.err, 1, true)
    dirty.whole(db.primary, "Gone")
    assert.equal(1, dir:run({ "journal", "status", "Gone" }).code)
    assert.equal(2, dir:run({ "journal", "replay", "Gone" }).code)
  end)

  it("explains itself", function()
    local run = dir:run { "help", "journal" }
    assert.equal(0, run.code)
    assert.matches("replay", run.out, 1, true)
  end)
end)
