local chat = require "spec.support.chat"
local cli = require "spec.support.cli"

describe("dualdb", function()
  local db, dir

  before_each(function() db, dir = chat.open() end)
  after_each(function() chat.close(db, dir) end)

  describe("health", function()
    it("says what both sides are and ends with 0", function()
      local run = dir:run { "health" }
      assert.equal(0, run.code)
      assert.matches("primary%s+up%s", run.out)
      assert.matches("secondary%s+up%s+postgresql 1%d", run.out)
      local document = dir:json { "health" }
      assert.True(document.primary.ok and document.secondary.ok)
      assert.equal("postgresql", document.secondary.product)
      assert.equal("available", document.policy)
    end)

    it("says whether reads and writes ask the sides, and how far the secondary can be behind",
    function()
      assert.equal(0, dir:run({ "setup" }).code)
      local run = dir:run { "health" }
      assert.matches("primary +up .* ms +asked\n", run.out)
      assert.matches("it is not known how far the secondary is behind\n", run.out)
      local document = dir:json { "health" }
      assert.equal("closed", document.breaker.primary.state)
      assert.equal("closed", document.breaker.secondary.state)
      assert.is_nil(document.staleness)
      db.secondary:execute("insert into dualdb_heartbeat values ('cli-spec', 1, "
        .. "current_timestamp - interval '30 seconds')")
      run, document = dir:run { "health" }, dir:json { "health" }
      db.secondary:execute "delete from dualdb_heartbeat where project = 'cli-spec'"
      assert.matches("the secondary is behind by 3%d%.%d s at most\n", run.out)
      assert.is_true(document.staleness >= 30 and document.staleness < 40)
    end)

    it("says which side is down, with its error", function()
      local document, run = dir:json({ "health" }, {
        env = { DUALDB_SECONDARY_URL = "postgresql://u:geheim@127.0.0.1:1/x" },
      })
      assert.equal(5, run.code)
      assert.True(document.primary.ok)
      assert.False(document.secondary.ok)
      assert.equal("unavailable", document.secondary.error.class)
      assert.equal("unavailable", document.error.class)
      assert.matches("dualdb: secondary: ", run.err)
    end)

    it("ends with 3 when the password is wrong", function()
      local url = os.getenv("DUALDB_SECONDARY_URL"):gsub(":[^:@/]*@", ":geheim@")
      assert.equal(3, dir:run({ "health" }, { env = { DUALDB_SECONDARY_URL = url } }).code)
    end)
  end)

  describe("models", function()
    it("shows tables, key and columns of each, by its name", function()
      local run = dir:run { "models" }
      assert.equal(0, run.code)
      assert.matches("Item +cli_item +cli_item +id +integer +5", run.out)
      local document = dir:json { "models" }
      assert.equal(3, #document.models)
      local odd = document.models[2]
      assert.equal('O"dd', odd.model)
      assert.same({ primary = chat.ODD, secondary = chat.ODD }, odd.table)
      assert.same({ "Select" }, odd.key)
      assert.same({ "text" }, odd.key_kinds)
      assert.equal(2, odd.columns)
    end)

    it("shows the error of a model that does not fit, and the others", function()
      dir:write("dualdb.lua", [[return { models = {
        A = { table = "cli_room" }, B = { table = "cli_nowhere" },
        C = { table = { primary = "cli_room", secondary = "cli_nowhere" } },
        D = { table = "cli_room", key = "nokey" },
      } }]])
      local document, run = dir:json { "models" }
      assert.equal(3, run.code)
      assert.equal(2, document.models[1].columns)
      assert.equal("config", document.models[2].error.class)
      assert.matches("B: table cli_nowhere does not exist", document.models[2].error.message)
      assert.equal("schema", document.models[3].error.class)
      assert.equal("config", document.models[4].error.class)
      run = dir:run { "models" }
      assert.matches("B +does not fit", run.out)
      assert.matches("dualdb: model B: table", run.err)
    end)

    it("without declarations are the tables with a primary key; the others are named", function()
      os.remove(dir.path .. "/dualdb.lua")
      db.primary:execute("drop table if exists cli_nokey")
      db.primary:execute("create table cli_nokey (a int)")
      local document = dir:json { "models" }
      local run = dir:run { "verify", chat.ODD }
      local alone = dir:run { "verify", "cli_nokey" }  -- the secondary does not have it
      local unknown = dir:run { "sync", "cli_nokey" }
      db.primary:execute("drop table cli_nokey")
      local found, without_key = {}, {}
      for _, model in ipairs(document.models) do found[model.model] = true end
      for _, name in ipairs(document.without_key) do without_key[name] = true end
      assert.True(found.cli_room and found[chat.ODD])
      assert.Nil(found.cli_nokey)
      assert.True(without_key.cli_nokey)
      assert.equal(1, run.code)
      assert.equal(8, alone.code)
      assert.equal(2, unknown.code)
    end)
  end)

  describe("setup", function()
    it("makes dualdb's tables once and is harmless then", function()
      assert.equal(0, dir:run({ "setup" }).code)
      local document = dir:json { "setup" }
      assert.False(document.changed)
      assert.True(dir:json({ "health" }).setup)
    end)
  end)

  describe("sync", function()
    it("copies parents before children and says what it did", function()
      local document, run = dir:json { "sync", "--all", "--full" }
      assert.equal(0, run.code)
      assert.equal("Room", document.models[1].model)
      assert.equal("Item", document.models[2].model)
      local entry = document.models[1]
      assert.same({ "full", 3, 3, 0, 0 }, { entry.mode, entry.rows_read, entry.rows_written,
        entry.rows_deleted, entry.quarantined })
      assert.equal("number", type(entry.chunks))
      assert.equal("number", type(entry.seconds))
      assert.equal(0, dir:run({ "verify", "--all" }).code)
    end)

    it("writes only what differs the second time, and deletes", function()
      chat.sync(dir)
      chat.damage(db)
      local document = dir:json { "sync", "--all", "--full" }
      assert.equal(1, document.models[1].rows_deleted)
      assert.equal(2, document.models[2].rows_written)
      assert.equal(0, dir:run({ "verify", "--all" }).code)
    end)

    it("only says what it would do in a dry run", function()
      db.secondary:execute("insert into cli_room (id, name) values (1, 'other')")
      local before, position = chat.contents(db), chat.position()
      local run = dir:run { "sync", "--all", "--full", "--dry-run", "--jobs", "2" }
      assert.equal(0, run.code)
      assert.matches("1 +Room +cli_room +refresh +%d+ +%d+ KiB\n2 +Item +cli_item +load ",
        run.out)
      assert.matches("\nabout %d+ rows and %d+ KiB in all, to the secondary, in 2 lanes\n$",
        run.out)
      local document = dir:json { "sync", "Item", "Room", "--full", "-n" }
      assert.True(document.dry_run)
      local room, item = document.models[1], document.models[2]
      assert.same({ "Room", "full", "to_secondary", "refresh" },
        { room.model, room.mode, room.direction, room.action })
      assert.same({ "Item", "load" }, { item.model, item.action })
      assert.same({ primary = "cli_item", secondary = "cli_item" }, item.table)
      assert.equal("number", type(item.estimated_rows))
      assert.True(item.estimated_bytes > 0)
      assert.equal(before, chat.contents(db))
      assert.same(position, chat.position())
    end)

    it("says in a dry run what would be written to the primary, without asking", function()
      local before, position = chat.contents(db), chat.position()
      local document = dir:json { "sync", "Room", "--full", "--to-primary", "-n" }
      assert.same({ "to_primary", "refresh" },
        { document.models[1].direction, document.models[1].action })
      assert.matches("to the primary\n$",
        dir:run({ "sync", "Room", "--full", "--to-primary", "-n" }).out)
      assert.equal(before, chat.contents(db))
      assert.same(position, chat.position())
    end)

    it("goes on with the other models after an error", function()
      dir:write("dualdb.lua", [[return { models = {
        A = { table = { primary = "cli_room", secondary = "cli_nowhere" } },
        B = { table = "cli_room" },
      } }]])
      local document, run = dir:json { "sync", "--all", "--full" }
      assert.equal(7, run.code)
      assert.equal("schema", document.models[1].error.class)
      assert.equal(3, document.models[2].rows_written)
      assert.matches("hint: `dualdb schema apply`", run.err)
    end)

    it("takes what says how it copies", function()
      local run = dir:run { "sync", "--all", "--full", "--jobs", "2", "--chunk-rows", "100",
        "--restart", "--max-rate", "1.5G", "--max-lag", "2.5" }
      assert.equal(0, run.code, run.err)
      assert.equal(0, dir:run({ "verify", "--all" }).code)
    end)

    it("does not write to the primary without --yes when there is no terminal", function()
      local before = chat.contents(db)
      local document, run = dir:json { "sync", "--all", "--full", "--to-primary" }
      assert.equal(6, run.code)
      assert.equal("refused", document.error.class)
      assert.matches("needs a terminal", document.error.message)
      assert.matches("%-%-yes", document.error.hint)
      assert.equal(before, chat.contents(db))
    end)

    it("asks on a terminal for the name of the primary's database before it writes there",
    function()
      local before = chat.contents(db)
      local name = db.primary:query("select database() as name")[1].name
      local code, said = chat.answer(dir, { "sync", "Room", "--full", "--to-primary" }, "yes")
      assert.equal(6, code)
      assert.truthy(said:find("primary's database (" .. name .. ")", 1, true))
      assert.matches("sync: not confirmed %(refused%)", said)
      assert.equal(before, chat.contents(db))
      said = select(2, chat.answer(dir, { "sync", "Room", "--full", "--to-primary" }, name))
      assert.not_matches("not confirmed", said)
    end)

    it("tells programs about the end of each model", function()
      local run = dir:run { "sync", "Room", "--full", "--log-format", "json" }
      local event = cli.json_lines(run.err)[1]
      assert.same({ "done", "sync", "Room", 3 },
        { event.event, event.command, event.model, event.rows_read })
    end)
  end)

  describe("verify", function()
    it("ends with 0 and the verdict equal", function()
      chat.sync(dir)
      local document, run = dir:json { "verify", "--all" }
      assert.equal(0, run.code)
      assert.equal("equal", document.verdict)
      for _, entry in ipairs(document.models) do
        assert.equal("equal", entry.verdict)
        assert.equal(entry.rows_primary, entry.rows_secondary)
        for _, name in ipairs { "missing", "extra", "changed", "not_verified" } do
          assert.equal(0, entry[name])
        end
        assert.equal("string", type(entry.method))
        assert.equal("number", type(entry.chunks))
        assert.equal("number", type(entry.seconds))
      end
    end)

    it("ends with 1 and names exactly what differs", function()
      chat.sync(dir)
      chat.damage(db)
      db.secondary:execute(([[update %s set "a ""b" = 'Y' || chr(27) where "Select" = 'k''1']])
        :format(db.secondary:quote(chat.ODD)))
      local run = dir:run { "verify", "--all" }
      assert.equal(1, run.code)
      assert.matches("Item:\n  changed  id=1  in note, ok\n", run.out)
      assert.matches("  missing  id=9007199254740993\n", run.out)
      assert.matches("Room:\n  extra    id=77\n", run.out)
      assert.matches("O\"dd:\n  changed  Select=k'1  in a \"b\n", run.out)
      local document = dir:json { "verify", "Item", "Room", "Item" }
      assert.equal("different", document.verdict)
      assert.equal(2, #document.models)
      local item, room = document.models[1], document.models[2]
      local function counts(entry)
        return { entry.verdict, entry.changed, entry.missing, entry.extra }
      end
      assert.same({ "different", 1, 1, 0 }, counts(item))
      assert.same({ "different", 0, 0, 1 }, counts(room))
    end)

    it("shows the first differences and the number of the others", function()
      chat.sync(dir)
      db.secondary:execute("insert into cli_room (id, name) select n, 'x' from "
        .. "generate_series(101, 112) n")
      local run = dir:run { "verify", "Room" }
      assert.equal(5, select(2, run.out:gsub("\n  extra ", "")))
      assert.matches("\n  and 7 more\n", run.out)
    end)

    it("writes every difference into the report, with both rows and exact values", function()
      chat.sync(dir)
      chat.damage(db)
      dir:write("r.jsonl", "old")
      local run = dir:run { "verify", "--all", "--report", "r.jsonl" }
      assert.equal(1, run.code)
      local lines = cli.json_lines(dir:read "r.jsonl")
      assert.equal(3, #lines)
      local by_kind = {}
      for _, line in ipairs(lines) do by_kind[line.kind] = line end
      assert.equal("Item", by_kind.changed.model)
      assert.same({ "note", "ok" }, by_kind.changed.columns)
      assert.same({ id = 1 }, by_kind.changed.key)
      assert.equal("x", by_kind.changed.primary.note)
      assert.equal("other", by_kind.changed.secondary.note)
      assert.same({ id = "9007199254740993" }, by_kind.missing.key)
      assert.equal("it's \\ \n", by_kind.missing.primary.note)
      assert.equal(77, by_kind.extra.secondary.id)
      assert.same({ "dualdb.lua", "r.jsonl" }, dir:list())
    end)

    it("leaves an old report and nothing else behind when it ends early", function()
      dir:write("r.jsonl", "old")
      dir:write("dualdb.lua", [[return { models = { A = { table = "cli_room",
        sync = { transform = function() return 5 end } } } }]])
      local run = dir:run { "verify", "A", "--report", "r.jsonl" }
      assert.not_equal(0, run.code)
      assert.equal("old", dir:read "r.jsonl")
      assert.same({ "dualdb.lua", "r.jsonl" }, dir:list())
    end)

    it("refuses a report that cannot be written before it looks at anything", function()
      assert.equal(2, dir:run({ "verify", "Room", "--report", "no/where.jsonl" }).code)
      os.execute("mkdir " .. dir.path .. "/d.jsonl")
      assert.equal(2, dir:run({ "verify", "Room", "--report", "d.jsonl" }).code)
      assert.same({ "d.jsonl", "dualdb.lua" }, dir:list())
    end)

    it("is not verified, and never equal, when a table cannot be read", function()
      dir:write("dualdb.lua", [[return { models = { A = { table = "cli_room" },
        B = { table = { primary = "cli_room", secondary = "cli_nowhere" } } } }]])
      chat.sync { run = function() return { code = 0 } end }
      assert.equal(0, dir:run({ "sync", "A", "--full" }).code)
      local document, run = dir:json { "verify", "--all" }
      assert.equal(8, run.code)
      assert.equal("not_verified", document.verdict)
      assert.equal("equal", document.models[1].verdict)
      assert.equal("not_verified", document.models[2].verdict)
      assert.equal("schema", document.models[2].error.class)
    end)

    it("writes nothing", function()
      local before = chat.contents(db)
      assert.equal(1, dir:run({ "verify", "--all" }).code)
      assert.equal(before, chat.contents(db))
    end)
  end)

  describe("repair", function()
    before_each(function()
      chat.sync(dir)
      chat.damage(db)
    end)

    it("prints exactly the SQL in a dry run, and changes nothing", function()
      local before = chat.contents(db)
      local run = dir:run { "repair", "--all", "--dry-run", "--allow-delete" }
      assert.equal(1, run.code)
      assert.equal([[
-- Item 1: changed; on the secondary
update "cli_item" set "note" = 'x', "ok" = true where "id" = 1 ]] .. [[and "note" = 'other' ]]
        .. [[and "ok" is null;
-- Item 9007199254740993: missing; on the secondary
insert into "cli_item" ("id", "room_id", "price", "note", "ok") overriding system value values ]]
        .. "(9007199254740993, 3, null, 'it''s \\ \n', null);\n"
        .. [[
-- Room 77: extra; on the secondary
delete from "cli_room" where "id" = 77 and "name" = 'extra';
]], run.out)
      assert.equal(before, chat.contents(db))
      -- What was printed is what repairs: run by the server, the sides are equal.
      for statement in run.out:gsub("%-%- [^\n]*\n", ""):gmatch("(.-);\n") do
        db.secondary:execute(statement)
      end
      assert.equal(0, dir:run({ "verify", "--all" }).code)
    end)

    it("mends everything with --yes and --allow-delete", function()
      local document, run = dir:json { "repair", "--all", "--yes", "--allow-delete" }
      assert.equal(0, run.code)
      local applied = 0
      for _, entry in ipairs(document.models) do
        assert.equal("primary_wins", entry.strategy)
        assert.equal(entry.planned, entry.applied)
        assert.equal(0, entry.skipped + entry.failed)
        applied = applied + entry.applied
      end
      assert.equal(3, applied)
      assert.equal(0, dir:run({ "verify", "--all" }).code)
    end)

    it("skips deletes that are not allowed, says so, and ends with 1", function()
      local document, run = dir:json { "repair", "--all", "--yes" }
      assert.equal(1, run.code)
      assert.equal("Room", document.models[1].model)
      assert.equal(1, document.models[1].skipped)
      assert.matches("%-%-allow%-delete", run.err)
    end)

    it("follows the strategy that is named", function()
      assert.equal(0, dir:run({ "repair", "Room", "--yes", "--strategy", "secondary_wins" }).code)
      assert.equal("extra", db.primary:query("select name from cli_room where id = 77")[1].name)
      db.secondary:execute("update cli_room set name = 'b' where id = 1")
      local run = dir:run { "repair", "Room", "--yes", "--strategy", "skip_all" }
      assert.equal(1, run.code)
      assert.matches("strategy said so", run.err)
      assert.equal(0, dir:run({ "repair", "Room", "--yes", "--strategy", "loud" }).code)
      assert.equal("a!", db.secondary:query("select name from cli_room where id = 1")[1].name)
      assert.equal("a!", db.primary:query("select name from cli_room where id = 1")[1].name)
    end)

    it("refuses without --yes when there is no terminal, and above --max-rows", function()
      local before = chat.contents(db)
      local document, run = dir:json { "repair", "--all" }
      assert.equal(6, run.code)
      assert.equal("refused", document.error.class)
      assert.matches("%-%-yes", document.error.hint)
      assert.equal(6, dir:run({ "repair", "--all", "--max-rows", "2", "--yes" }).code)
      assert.equal(before, chat.contents(db))
    end)

    it("asks for the database's name on a terminal", function()
      local before = chat.contents(db)
      local name = db.secondary:query("select current_database()::text as name")[1].name
      local code, said = chat.answer(dir, { "repair", "Item" }, "yes")
      assert.equal(6, code)
      assert.matches("2 rows differ", said)
      assert.truthy(said:find("secondary's database (" .. name .. ")", 1, true))
      assert.equal(before, chat.contents(db))
      assert.equal(0, (chat.answer(dir, { "repair", "Item" }, name)))
      assert.equal(0, dir:run({ "verify", "Item" }).code)
    end)

    it("counts a row that the server refuses as failed, and ends with 7", function()
      db.secondary:execute("alter table cli_item add constraint cli_check check (id < 1000)")
      local document, run = dir:json { "repair", "Item", "--yes" }
      assert.equal(7, run.code)
      local entry = document.models[1]
      assert.same({ 2, 1, 1 }, { entry.planned, entry.applied, entry.failed })
      assert.equal("9007199254740993", entry.failures[1].key)
      assert.matches("cli_check", entry.failures[1].reason)
    end)
  end)

  it("ends with 5 when the secondary is down, with a verdict of not verified", function()
    local down = { env = { DUALDB_SECONDARY_URL = "postgresql://u:geheim@127.0.0.1:1/x" } }
    for _, words in ipairs {
      { "models" }, { "setup" }, { "sync", "Room", "--full" }, { "verify", "Room" },
      { "repair", "Room", "--yes" },
    } do
      local document, run = dir:json(words, down)
      assert.equal(5, run.code, run.err)
      assert.equal("unavailable", (document.error or document.models[1].error).class)
    end
    assert.equal("not_verified", dir:json({ "verify", "Room" }, down).verdict)
  end)

  it("refuses models, strategies and files that are not there, with exit 2, and changes nothing",
  function()
    chat.sync(dir)
    chat.damage(db)
    local before = chat.contents(db)
    for _, case in ipairs {
      { { "sync", "Romo", "--full" }, "no model Romo", "Did you mean Room" },
      { { "verify", "Item", "item " }, "no model item ", "Did you mean Item" },
      { { "repair", "Room", "zzzzzzzz", "--yes", "--allow-delete" }, "no model zzz", "models" },
      { { "verify", "Room; drop table cli_room" }, "no model" },
      { { "verify", "" }, "no model" },
      { { "sync", "Room", "--all", "--full" }, "both %-%-all and models" },
      { { "repair", "Room", "--all", "--yes" }, "both %-%-all and models" },
      { { "repair", "Room", "--yes", "--strategy", "primary_win" }, "unknown strategy",
        "primary_wins" },
      { { "repair", "Room", "--yes", "--strategy", "" }, "unknown strategy",
        "Known are ask, loud" },
      { { "schema", "apply", "Romo" }, "no model Romo", "Room" },
    } do
      local run = dir:run(case[1])
      local what = table.concat(case[1], " ") .. ": " .. run.err
      assert.equal(2, run.code, what)
      assert.equal("", run.out, what)
      assert.truthy(run.err:match("^dualdb: [^\n]*" .. case[2]), what)
      if case[3] then assert.truthy(run.err:match("\nhint: [^\n]*" .. case[3]), what) end
    end
    assert.equal(before, chat.contents(db))
  end)

  describe("shell", function()
    it("runs the client of each side, connected to its database", function()
      for _, side in ipairs { "primary", "secondary" } do
        local run = dir:run({ "shell", side }, { stdin = "select count(*) as n from cli_room;\n" })
        assert.equal(0, run.code, run.err)
        assert.matches("n%s", run.out)
      end
    end)

    it("gives the password to the client without anybody seeing it", function()
      -- Each client's own command for the shell shows how the client was called.
      local show = { stdin = "\\! tr '\\000' ' ' </proc/$PPID/cmdline\n" }
      assert.matches("psql.* user='", dir:run({ "shell", "secondary" }, show).out)
      assert.matches("%-%-user=", dir:run({ "shell", "primary" }, show).out)
    end)

    it("has no JSON, and needs a client that is there", function()
      assert.equal(2, dir:run({ "--json", "shell", "primary" }).code)
      local run = dir:run({ "shell", "secondary" }, { env = { PATH = "/nonexistent" } })
      assert.equal(3, run.code)
      assert.matches("psql cannot be run", run.err)
    end)
  end)
end)
