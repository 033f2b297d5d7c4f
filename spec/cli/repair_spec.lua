-- What the command repair does beside mending: it goes by a saved report, asks, keeps what it
-- replaces, and leaves a record.

local chat = require "spec.support.chat"
local clients = require "spec.support.clients"

describe("dualdb repair", function()
  local db, dir

  before_each(function()
    db, dir = chat.open()
    chat.sync(dir)
    chat.damage(db)
  end)

  after_each(function() chat.close(db, dir) end)

  it("goes by a saved report, and by nothing else", function()
    assert.equal(1, dir:run({ "verify", "--all", "--report", "seen.jsonl" }).code)
    db.secondary:execute("update cli_room set name = 'later' where id = 1")
    local document, run = dir:json { "repair", "--from", "seen.jsonl", "--allow-delete", "--yes" }
    assert.equal(0, run.code, run.err)
    assert.equal(2, #document.models)
    assert.equal(3, document.models[1].applied + document.models[2].applied)
    assert.equal("later", db.secondary:query("select name from cli_room where id = 1")[1].name)
    run = dir:run { "repair", "--from", "seen.jsonl", "Item", "--yes" }
    assert.equal(2, run.code)
    assert.matches("seen.jsonl, line %d: the report is about model Room", run.err)
    dir:write("seen.jsonl", '{"model":"Room"}\n{"mod')
    run = dir:run { "repair", "--from", "seen.jsonl", "--yes" }
    assert.equal(2, run.code)
    assert.matches("seen.jsonl, line 1: kind is missing", run.err)
    run = dir:run { "repair", "--from", "none.jsonl", "--yes" }
    assert.equal(2, run.code)
    assert.matches("none.jsonl: No such file", run.err)
  end)

  it("says where what it replaces is kept, which the shell puts back", function()
    local before = chat.contents(db)
    local document, run = dir:json { "repair", "--all", "--allow-delete", "--yes",
      "--undo", "undo.sql" }
    assert.equal(0, run.code)
    for _, entry in ipairs(document.models) do
      assert.same({ secondary = "undo.secondary.sql" }, entry.undo)
      assert.is_number(entry.run)
    end
    assert.matches("kept in undo.secondary.sql", run.err)
    assert.not_equal(before, chat.contents(db))
    local undone = dir:run({ "shell", "secondary" }, { stdin = dir:read "undo.secondary.sql" })
    assert.equal(0, undone.code, undone.err)
    assert.equal(before, chat.contents(db))
    run = dir:run { "repair", "--all", "--yes", "--undo", "undo.sql" }
    assert.equal(2, run.code)
    assert.matches("undo.secondary.sql is there already", run.err)
  end)

  it("keeps it in the project's state directory unless told otherwise", function()
    local run = dir:run({ "repair", "--all", "--allow-delete", "--yes" },
      { env = { DUALDB_STATE_DIR = dir.path .. "/state" } })
    assert.equal(0, run.code, run.err)
    local path = run.out:match "\nundo it on the secondary with: dualdb shell secondary <(%S+)\n"
    assert.truthy(path:find(dir.path .. "/state/", 1, true) == 1, path)
    local before = chat.contents(db)
    assert.equal("", clients.file("postgres", path))
    assert.not_equal(before, chat.contents(db))
    -- Nothing to undo, nothing said.
    dir:run { "repair", "--all", "--allow-delete", "--yes" }
    run = dir:run { "repair", "--all", "--yes" }
    assert.equal(0, run.code)
    assert.falsy(run.out:find "undo")
  end)

  it("asks a person at a terminal row by row, and then for the database's name", function()
    local name = db.primary:query("select database() as name")[1].name
    local code, said = chat.answer(dir, { "repair", "Item", "--strategy", "ask" },
      name .. "\nx\ns\nq")
    assert.equal(1, code, said)
    assert.matches("Item, id = 1: changed", said)
    assert.matches("note +x +other", said)
    assert.truthy(said:find("leaves?") or said:find("the primary's row is right", 1, true))
    assert.equal("other", db.primary:query("select note from cli_item where id = 1")[1].note)
    assert.equal(0, #db.secondary:query("select 1 as one from cli_item where id > 1000"))
    local run = dir:run { "repair", "Item", "--strategy", "ask", "--yes" }
    assert.equal(6, run.code)
    assert.matches("needs a terminal", run.err)
  end)

  it("is held to a rate, and refuses one that is none", function()
    assert.equal(0, dir:run({ "repair", "--all", "--allow-delete", "--yes", "--max-rate",
      "1000" }).code)
    assert.equal(2, dir:run({ "repair", "--all", "--max-rate", "0" }).code)
  end)

  it("leaves a record that says what was done", function()
    local document = dir:json { "repair", "--all", "--allow-delete", "--yes" }
    local run = dir:run { "runs" }
    assert.equal(0, run.code, run.err)
    assert.matches(document.models[1].run .. " +%S+ +%S+ +repair ", run.out)
  end)
end)
