--- A repair from a saved report does what the report says, as long as the rows are still what it
--- saw; a report that it does not understand to its end is refused as a whole.

local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local dualdb = require "dualdb"
local edge = require "spec.support.edge"

describe("a repair from a saved report", function()
  local dir, path

  before_each(function()
    edge.before_each()
    dir = cli.directory()
    path = dir.path .. "/report.jsonl"
  end)

  after_each(function()
    dir:remove()
    edge.after_each()
  end)

  --- Verifies, saves the report, and returns its lines.
  local function save(model)
    local report, parts = model:verify(), {}
    report:write_jsonl(function(text) parts[#parts + 1] = text end)
    report.spool:close()
    local text, lines = table.concat(parts), {}
    dir:write("report.jsonl", text)
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    return lines
  end

  local COLUMNS = { mysql = [[id bigint unsigned not null primary key, i bigint, ti tinyint(1),
      d decimal(30,10), f float, g double, t mediumtext character set utf8mb4, x varbinary(60),
      da date, ti6 time(6), dt datetime(6), j json, b9 bit(9), u char(36)]],
    postgres = [[id numeric(20,0) primary key, i bigint, ti boolean, d numeric(30,10), f real,
      g double precision, t text, x bytea, da date, ti6 interval, dt timestamp(6), j jsonb,
      b9 bit(9), u uuid]] }

  local function open_types()
    local model = edge.open { mysql = COLUMNS.mysql, postgres = COLUMNS.postgres, rows = {
      [[18446744073709551615, -9223372036854775808, 0, 12345678901234567890.0123456789, 0.1, 1e300,
        'it''s "\\ \n\t é 🎈', x'00ff5c', '1000-01-01', '-838:59:58.5', '9999-12-31 23:59:59.999999',
        '{"a": [9007199254740993, "é", null, 0.1]}', b'000000101',
        '11111111-2222-4333-8444-555555555555']],
      "9007199254740993, 9007199254740993, 1, -0.5, 16777216, -0.1, '', x'', '2026-11-29', "
        .. "'00:00:00', '2026-11-29 10:00:00', '\"text\"', b'111111111', null",
      "3" .. (", null"):rep(13),
      "4, 4" .. (", null"):rep(12),
    } }
    assert.equal(4, model:sync().rows_written)
    return model
  end

  it("brings rows of every type, big integers and bytes included", function()
    local model = open_types()
    clients.run("postgres", [[
      update spec_edge set i = i + 1, d = d + 1, g = g * 2, t = t || '"', x = '\x0011', j = '[1]'
        where id > 100;
      update spec_edge set da = 'infinity', dt = '-infinity', j = '"x"' where id = 3;
      delete from spec_edge where id = 4;
      insert into spec_edge (id, i, f, v) values (5, 5, 'NaN', 5)]])
    assert.equal(5, #save(model))
    local result = model:repair { from = path, allow_delete = true }
    assert.same({ 5, 0, {} }, { result.applied, result.failed, result.skips })
    edge.verify(model, "equal")
    -- What it says is done now.
    result = model:repair { from = path, allow_delete = true }
    assert.same({ 0, { ["equal meanwhile"] = 5 } }, { result.applied, result.skips })
  end)

  it("mends nothing that the report does not name, and nothing that has changed since", function()
    local model = edge.open {
      mysql = "id int primary key, a varchar(20)",
      rows = { "1, 'a'", "2, 'b'", "3, 'c'", "4, 'd'" },
    }
    model:sync()
    clients.run("postgres", "update spec_edge set a = 'other' where id < 4")
    assert.equal(3, #save(model))
    clients.run("postgres", "update spec_edge set a = 'newer' where id = 1; "
      .. "update spec_edge set a = 'late' where id = 4")
    clients.run("mysql", "update spec_edge set a = 'B' where id = 2")
    local result = model:repair { from = path }
    assert.same({ 1, 2, 0 }, { result.applied, result.skipped, result.failed })
    assert.equal(2, result.skips["changed meanwhile"])
    assert.same({ { "newer" }, { "other" }, { "c" }, { "late" } },
      clients.rows("postgres", "select a from spec_edge order by id"))
  end)

  it("asks strategies, and leaves what the journal has by now", function()
    local model, db = edge.open {
      mysql = "id int primary key, a varchar(20)", rows = { "1, 'a'", "2, 'b'", "3, 'c'" },
    }
    model:sync()
    require("dualdb.setup").ensure(db, true)
    clients.run("postgres", "update spec_edge set a = a || '!'")
    save(model)
    db.primary:transaction(function(conn)
      local row, journal = require "dualdb.row", require "dualdb.journal"
      journal.add_keys(conn, db:spec "T", { row.pack_key(db:spec "T", 2) }, "spec")
    end)
    local result = model:repair { from = path, strategy = function(_, b)
      return b.id == 3 and "secondary" or "primary"
    end }
    db.primary:execute "delete from dualdb_journal where gid = 'spec'"
    assert.same({ 2, { ["pending in the journal"] = 1 } }, { result.applied, result.skips })
    assert.same({ { "a" }, { "b!" }, { "c!" } },
      clients.rows("postgres", "select a from spec_edge order by id"))
    assert.same({ { "a" }, { "b" }, { "c!" } },
      clients.rows("mysql", "select a from spec_edge order by id"))
  end)

  it("refuses, with the number of the line, what it does not understand to its end", function()
    local model = edge.open {
      mysql = "id int primary key, a varchar(20)", rows = { "1, 'a'", "2, 'b'", "3, 'c'" },
    }
    model:sync()
    clients.run("postgres", "update spec_edge set a = 'other'; delete from spec_edge where id = 3")
    local lines = save(model)
    assert.equal(3, #lines)
    local function with(n, from, to)
      local changed = table.move(lines, 1, #lines, 1, {})
      local text, count = changed[n]:gsub(from, to)
      assert.equal(1, count, from)
      changed[n] = text
      return table.concat(changed, "\n") .. "\n"
    end
    local whole = table.concat(lines, "\n") .. "\n"
    for _, case in ipairs {
      { whole:sub(1, -2), "line 3: the file ends within it" },
      { whole:sub(1, -20), "line 3: the file ends within it" },
      { with(2, "^{", ""), "line 2: text is not json" },
      { with(2, "$", "}"), "line 2: text is not json" },
      { with(3, '"model":"T"', '"model":"Other"'), "line 3: the report is about model Other" },
      { with(1, '"model":"T",', ""), "line 1: model is missing" },
      { with(1, '"kind":"changed"', '"kind":"odd"'), "line 1: there is no kind odd" },
      { with(1, '"kind":"changed"', '"kind":"missing"'), "contradicts the kind" },
      { with(2, '"key":{"id":2}', '"key":{"id":9}'), "line 2: the key of the primary's row" },
      { with(2, '"key":{"id":2}', '"key":{"id":2,"x":1}'), "line 2: key: the model has no column" },
      { with(2, '"a":"b",', ""), "line 2: primary: column a is not in it" },
      { with(2, '"a":"b"', '"b":"b"'), "line 2: primary: column a is not in it" },
      { with(2, '"a":"b"', '"a":"b","z":1'), "line 2: primary: the model has no column z" },
      { with(2, '"a":"b"', '"a":5'), "line 2: primary: column a: " },
      { with(2, '{"id":2,"a":"b"', '{"id":2.5,"a":"b"'), "line 2: primary: column id: " },
      { with(2, '"a":"b"', '"a":"\xff"'), "line 2: text is not json: invalid UTF%-8" },
      { "\n" .. whole, "line 1: text is not json" },
    } do
      dir:write("report.jsonl", case[1])
      local _, err = dualdb.try(model.repair, model, { from = path })
      assert.equal("usage", err and err.class, case[2])
      assert.matches(case[2]:gsub("%-", "%%-"):gsub("%%%%%-", "%%-"), err.message)
    end
    assert.same({ { "1", "other" }, { "2", "other" } },
      clients.rows("postgres", "select id, a from spec_edge order by id"))
    local _, err = dualdb.try(model.repair, model, { from = dir.path .. "/none.jsonl" })
    assert.equal("usage", err.class)
    assert.matches("No such file", err.message)
    dir:write("report.jsonl", whole)
    assert.equal(3, model:repair({ from = path }).applied)
  end)

  it("has the limit on rows, and needs no memory for them", function()
    local model = edge.open { mysql = "id int primary key, a varchar(20)", rows = { "1, 'a'" } }
    model:sync()
    clients.run("postgres", "insert into spec_edge select n, 'x', n from generate_series(2, 30) n")
    assert.equal(29, #save(model))
    local _, err = dualdb.try(model.repair, model, { from = path, max_rows = 28 })
    assert.equal("refused", err.class)
    assert.equal(29, model:repair({ from = path, max_rows = 29, allow_delete = true }).applied)
  end)
end)
