-- Sync the other way: a primary that was lost or damaged gets its rows from the secondary. Judged
-- by the servers' own clients.

local clients = require "spec.support.clients"
local errors = require "dualdb.errors"
local pair = require "spec.support.pair"
local sync = require "dualdb.sync"

local COLUMNS = {
  mysql = "id bigint unsigned not null auto_increment primary key, parent bigint unsigned null, "
    .. "content varchar(100) not null unique, flag tinyint(1) not null, price decimal(12,3) null, "
    .. "raw varbinary(40) null, at datetime(6) not null",
  postgres = "id numeric(20,0) primary key, parent numeric(20,0) null, "
    .. "content varchar(100) not null unique, flag boolean not null, price numeric(12,3) null, "
    .. "raw bytea null, at timestamp(6) not null",
}
local ROWS = 3000

describe("a sync to the primary", function()
  local db

  before_each(function()
    db = pair.open { Item = { table = "spec_back" }, Word = { table = "spec_back_word" } }
    pair.make(db, "spec_back", COLUMNS)
    pair.make(db, "spec_back_word", {
      mysql = "word varchar(30) character set utf8mb4 collate utf8mb4_unicode_ci primary key, "
        .. "n int",
      postgres = "word varchar(30) primary key, n int",
    })
    require("dualdb.setup").run(db)
    db.secondary:execute(([[
insert into spec_back select n, nullif(n / 2, 0),
  'thing ' || n || ' déjà 你好 ' || chr(9) || '\x', n %% 2 = 0,
  case when n %% 5 > 0 then n / 8.0 end, case when n %% 3 > 0 then decode('00ff5c0a27', 'hex') end,
  timestamp '2026-01-01' + n * interval '1.000001 second'
from generate_series(1, %d) n]]):format(ROWS))
    db:refresh()
  end)

  after_each(function()
    pair.drop_all(db)
    db:close()
  end)

  local function run(options, name)
    local given = { direction = "to_primary", chunk_rows = 700, jobs = 2 }
    for key, value in pairs(options or {}) do given[key] = value end
    return sync.run(db, name or "Item", given)
  end

  --- All rows as both servers' clients print them alike.
  local function contents()
    return clients.rows("mysql", "select id, coalesce(parent, '-'), hex(content), flag, "
        .. "coalesce(price, '-'), coalesce(hex(raw), '-'), at from spec_back order by id"),
      clients.rows("postgres", "select id, coalesce(parent::text, '-'), "
        .. "upper(encode(convert_to(content, 'UTF8'), 'hex')), flag::int, "
        .. "coalesce(price::text, '-'), coalesce(upper(encode(raw, 'hex')), '-'), "
        .. "to_char(at, 'YYYY-MM-DD HH24:MI:SS.US') from spec_back order by id")
  end

  local function is_whole()
    local primary, secondary = contents()
    assert.equal(ROWS, #secondary)
    assert.same(secondary, primary)
    assert.equal("equal", db.Item:verify().verdict)
  end

  it("loads an empty table, in chunks", function()
    local result = run()
    assert.equal("load", result.action)
    assert.equal(ROWS, result.rows_written)
    assert.is_true(result.chunks > 3)
    is_whole()
    assert.same({}, db.primary:query "select * from dualdb_sync")
  end)

  it("counts on where the secondary's keys end", function()
    run()
    db.primary:execute("insert into spec_back (content, flag, at) values ('new', 0, now())")
    assert.equal(ROWS + 1, pair.value(db.primary, "select max(id) as v from spec_back"))
  end)

  it("writes what is missing or changed, takes away what is extra, and leaves the rest", function()
    run()
    db.primary:execute "delete from spec_back where id % 100 = 3"
    db.primary:execute "update spec_back set price = -1, parent = null where id % 100 = 4"
    db.primary:execute("insert into spec_back (id, content, flag, at) "
      .. "values (18446744073709551615, 'extra', 0, now())")
    local result = run()
    assert.equal("refresh", result.action)
    assert.equal(60, result.rows_written)
    assert.equal(1, result.rows_deleted)
    is_whole()
    assert.equal(0, run().rows_written)
  end)

  it("goes on from where an earlier run was stopped", function()
    local stop = require "dualdb.errors"
    local seen = 0
    local err = pair.failure(run, { jobs = 1, throttle = function(so_far)
      seen = so_far.rows
      if so_far.rows >= 1400 then stop.raise("refused", "enough") end
    end })
    assert.equal("refused", err.class)
    assert.equal(tostring(seen), clients.rows("mysql", "select count(*) from spec_back")[1][1])
    local result = run()
    assert.is_true(result.resumed)
    assert.equal(ROWS - seen, result.rows_read)
    is_whole()
  end)

  it("takes keys that the servers order differently row by row", function()
    db.secondary:execute "insert into spec_back_word values ('ö', 1), ('B', 2), ('a', 3), ('Z', 4)"
    db.primary:execute "insert into spec_back_word values ('B', 9), ('extra', 1)"
    run({}, "Word")
    assert.equal("equal", db.Word:verify().verdict)
  end)

  -- Rows of the secondary that the primary has no place for; what is said, and what ends it.
  local REFUSED = {
    { name = "a number that is none", spoil = "price = 'NaN'", says = "key 1000 .*column price",
      mend = "price = 1" },
    { name = "an id beyond its own", spoil = "id = 99999999999999999999",
      says = "key 99999999999999999999 .*column id", mend = "id = 3500", moves = true },
    { name = "a negative id", spoil = "id = -5", says = "column 'id'", mend = "id = 1000" },
    { name = "a moment that is none", spoil = "at = 'infinity'", says = "key 1000 .*column at",
      mend = "at = now()" },
    { name = "a year that it does not have", spoil = "at = '20000-01-01'",
      says = "key 1000 .*column at", mend = "at = now()" },
    { name = "bytes that are too long", spoil = "raw = decode(repeat('00', 41), 'hex')",
      says = "raw", mend = "raw = null" },
    { name = "a text that it takes for another one's", spoil = "content = 'OTHER'",
      says = "content", mend = "content = 'own'" },
    { name = "what its check refuses", spoil = "price = 7000000", says = "spec_back_price",
      mend = "price = 1" },
  }

  local THERE = "select * from spec_back where id = 1000 or id not between 1 and " .. ROWS

  for _, mode in ipairs { "load", "refresh" } do
    for _, case in ipairs(REFUSED) do
      it(("says so when the primary cannot hold a row, and goes on with it mended: %s, in a %s")
        :format(case.name, mode), function()
        db.primary:execute("alter table spec_back add constraint spec_back_price "
          .. "check (price < 7e6)")
        db.secondary:execute "update spec_back set content = 'one' where id = 1000"
        db.secondary:execute "update spec_back set content = 'other' where id = 1001"
        db:refresh()
        if mode == "refresh" then
          run()
          db.primary:execute "update spec_back set flag = 1 - flag where id > 900"
        end
        local before = clients.rows("mysql", THERE)
        db.secondary:execute(("update spec_back set %s where id = 1000"):format(case.spoil))
        local err = pair.failure(run)
        assert.equal(7, errors.exit_code(err), tostring(err))
        assert.equal("primary", err.side)
        assert.matches(case.says, tostring(err))
        -- A row with another key is gone from where it was, as it is on the secondary.
        assert.same(case.moves and {} or before, clients.rows("mysql", THERE))
        db.secondary:execute(("update spec_back set %s where content in ('one', 'OTHER')"):format(
          case.mend))
        run()
        is_whole()
      end)
    end
  end

  it("does not go over rows that only the primary has got", function()
    db.primary:execute("insert into dualdb_journal (model, key_digest, kinds, gid) values "
      .. "('Item', 'x', 'i', 'x')")
    local err = pair.failure(run)
    assert.equal("refused", err.class)
    assert.equal("primary", err.side)
  end)
end)
