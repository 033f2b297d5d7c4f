-- schema diff: what is not the same in the two sides' tables, and the sequences' next values.

local apply = require "dualdb.schema.apply"
local diff = require "dualdb.schema.diff"
local pair = require "spec.support.pair"

local db
local made = {}

local function drop(name)
  db.primary:execute("drop table if exists " .. db.primary:quote(name))
  db.secondary:execute(("drop table if exists %s cascade"):format(db.secondary:quote(name)))
end

local function primary(name, body, options)
  drop(name)
  made[#made + 1] = name
  db.primary:execute(("create table %s (%s) %s"):format(db.primary:quote(name), body,
    options or ""))
  db:refresh()
end

--- Makes the table on both sides: the secondary's by schema apply.
local function both(name, body, options)
  primary(name, body, options)
  apply.run(db, { name })
end

--- Makes both sides' tables as said.
local function each(name, mysql, postgres)
  primary(name, mysql)
  db.secondary:execute(("create table %s (%s)"):format(name, postgres))
end

--- "kind name" of each difference, sorted; and the whole result.
local function differences(...)
  local result, list = diff.run(db, { ... }), {}
  for i, difference in ipairs(result.differences) do
    list[i] = ("%s %s"):format(difference.kind, difference.name)
  end
  table.sort(list)
  return list, result
end

local function notes_of(result)
  local list = {}
  for i, note in ipairs(result.notes) do list[i] = note.message end
  return table.concat(list, "\n")
end

local function has(text, part)
  assert(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
end

describe("schema diff", function()
  before_each(function() db = pair.open() end)

  after_each(function()
    for i = #made, 1, -1 do drop(made[i]) end
    made = {}
    db:close()
    db = nil
  end)

  it("finds nothing in what schema apply has made", function()
    both("sd_wide", [[
      id int unsigned not null auto_increment primary key, flag tinyint(1) not null default 1,
      small smallint default -7, big bigint default -9223372036854775808,
      price decimal(10,2) not null default 1.50, f float default 0.5, d double default -1.5e-7,
      code char(5) default 'ab', note text,
      name varchar(20) collate utf8mb4_bin not null default 'it''s \\ x',
      raw binary(2) default 'AB', day date default '2020-02-29',
      at datetime default current_timestamp, precise timestamp(3) null default current_timestamp(3),
      moment time(3) default '12:34:56.789', doc json,
      e enum('a', 'it''s', 'b\\c', 'x,y') default 'a', one enum('only') comment 'c',
      y year, s set('a', 'b'), b bit(5),
      unique key (name), unique key (price, day), key (at, flag)]],
      "comment 'a table'")
    both("sd_child", [[id int primary key, parent int unsigned not null,
      foreign key (parent) references sd_wide (id) on delete cascade on update cascade]])
    local list, result = differences("sd_wide", "sd_child")
    assert.same({}, list)
    assert.same({}, result.notes)
  end)

  it("names tables and columns that one side lacks", function()
    primary("sd_one", "id int primary key")
    assert.same({ "table sd_one" }, differences "sd_one")
    db.secondary:execute("create table sd_one (id int primary key, more int)")
    db.primary:execute("alter table sd_one add column here int")
    assert.same({ "column here", "column more" }, differences "sd_one")
  end)

  it("names types that do not hold the same values, and accepts those that do", function()
    each("sd_types", [[a int primary key, b bigint, c varchar(20), d decimal(10,2), e date,
        f tinyint(1), g char(36), h int unsigned, i bigint unsigned]],
      [[a bigint primary key, b integer, c varchar(10), d numeric(8,2), e timestamp, f smallint,
        g uuid, h integer, i numeric(20,0)]])
    assert.same({ "type b", "type c", "type d", "type e", "type h" }, differences "sd_types")
  end)

  it("names not null and defaults, by their meaning", function()
    each("sd_null", [[id int primary key, a int not null, b int null, c int default 7,
        d decimal(5,2) default 1.5, e varchar(9) default 'x', f int default 1, g int,
        h datetime default current_timestamp, i datetime default current_timestamp, j varchar(5),
        k varchar(9) default '7']],
      [[id int primary key, a int, b int not null, c int default 8, d numeric(5,2) default 1.500,
        e varchar(9) default 'x'::text, f int, g int default 3, h timestamp default now(),
        i timestamp default '2020-01-01', j varchar(5) default null, k text default 7]])
    assert.same({ "default c", "default f", "default g", "default i", "not null a", "not null b" },
      differences "sd_null")
  end)

  it("never runs a default of the secondary", function()
    db.secondary:execute("drop sequence if exists sd_effect")
    db.secondary:execute("create sequence sd_effect")
    each("sd_effects", "id int primary key, a int default 5",
      "id int primary key, a int default (nextval('sd_effect') + 4)")
    assert.same({ "default a" }, differences "sd_effects")
    assert.is_false(pair.value(db.secondary, "select is_called as v from sd_effect"))
    db.secondary:execute("drop table sd_effects")
    db.secondary:execute("drop sequence sd_effect")
  end)

  it("compares keys and indexes as sets of columns, not by name", function()
    each("sd_keys", [[id int primary key, a int, b int, c int, unique key x (a, b), key y (c),
        key z (b)]],
      "id int primary key, a int, b int, c int, unique (b, a), unique (c)")
    db.secondary:execute("create index whatever on sd_keys (a)")
    local list, result = differences "sd_keys"
    assert.same({ "index z", "unique key sd_keys_c_key" }, list)
    has(notes_of(result), "index whatever is on the secondary alone")
  end)

  it("names a primary key of other columns", function()
    each("sd_pk", "a int not null, b int not null, primary key (a)",
      "a int not null, b int not null, primary key (a, b)")
    assert.same({ "primary key PRIMARY", "unique key sd_pk_pkey" }, differences "sd_pk")
  end)

  it("names foreign keys with other rules, and those of one side", function()
    primary("sd_parent", "id int primary key, other int, unique key (other)")
    db.secondary:execute("create table sd_parent (id int primary key, other int unique)")
    each("sd_kid", [[id int primary key, a int, b int, c int, d int,
        constraint k1 foreign key (a) references sd_parent (id) on delete cascade,
        constraint k2 foreign key (b) references sd_parent (id) on delete restrict,
        constraint k3 foreign key (c) references sd_parent (id)]],
      [[id int primary key, a int constraint q1 references sd_parent (id),
        b int constraint q2 references sd_parent (id),
        c int constraint q3 references sd_parent (id) on delete restrict,
        d int constraint q4 references sd_parent (id)]])
    for _, column in ipairs { "a", "b", "c" } do
      db.secondary:execute(("create index on sd_kid (%s)"):format(column))
    end
    assert.same({ "foreign key k1", "foreign key q1", "foreign key q4" }, differences "sd_kid")
  end)

  it("names labels of enums that are not the same, as a check or as a type", function()
    both("sd_enum", "id int primary key, e enum('a', 'b')")
    db.primary:execute("alter table sd_enum modify e enum('a', 'b', 'c''d')")
    local list, result = differences "sd_enum"
    assert.same({ "labels e" }, list)
    assert.equal("a, b", result.differences[1].secondary)
    db.secondary:execute("drop table sd_enum")
    db.secondary:execute("create type sd_label as enum ('c''d', 'b', 'a')")
    db.secondary:execute("create table sd_enum (id int primary key, e sd_label)")
    assert.same({}, differences "sd_enum")
    db.secondary:execute("drop table sd_enum")
    db.secondary:execute("drop type sd_label")
  end)

  it("names what counts up on one side alone, and generated columns", function()
    each("sd_count", "id int not null auto_increment primary key, a int, b int as (a & 1) stored",
      "id int primary key, a int generated always as (id + 1) stored, b int")
    local list, result = differences "sd_count"
    assert.same({ "generated a", "identity id" }, list)
    has(notes_of(result), "column b is computed on the primary")
  end)

  it("notes comments, and what is not carried", function()
    both("sd_notes", [[id int primary key comment 'new', t varchar(50), price int,
      fulltext key words (t), key start (t(3)), check (price / 2 > 0)]])
    db.secondary:execute("comment on column sd_notes.id is 'old'")
    db.primary:execute("create or replace view sd_view as select id from sd_notes")
    local list, result = differences "sd_notes"
    assert.same({}, list)
    local text = notes_of(result)
    has(text, "the comment of column id is not the same")
    has(text, "fulltext index words of the primary is not carried")
    has(text, "index on a prefix start of the primary is not carried")
    has(text, "check constraint")
    has(notes_of(diff.run(db)), "view sd_view of the primary is not carried")
    db.primary:execute("drop view sd_view")
  end)

  describe("of the direction of an index", function()
    local HERE = "id int primary key, a int, b int, unique key u (b desc), key m (a, b desc)"

    it("finds nothing in what schema apply has carried", function()
      both("sd_down", HERE)
      local columns = {}
      for i, row in ipairs(db.secondary:query("select indexdef as v from pg_indexes "
          .. "where tablename = 'sd_down' order by indexname")) do
        columns[i] = row.v:match("(%([^()]*%))$")
      end
      assert.same({ "(a, b DESC)", "(id)", "(b DESC)" }, columns)
      local list, result = differences "sd_down"
      assert.same({}, list)
      assert.same({}, result.notes)
    end)

    it("names one that orders other rows, and notes one that is read backwards", function()
      each("sd_down", HERE, "id int primary key, a int, b int, unique (b)")
      db.secondary:execute("create index on sd_down (a, b)")
      local list, result = differences "sd_down"
      assert.same({ "direction m" }, list)
      assert.equal("index m is (a, b desc) on the primary and (a, b) on the secondary",
        result.differences[1].message)
      assert.equal("unique key u is (b desc) on the primary and (b) on the secondary",
        notes_of(result))
      db.secondary:execute("create index on sd_down (a desc, b)")
      assert.same({}, (differences "sd_down"))
    end)

    it("notes a primary key's, as the secondary's has none", function()
      primary("sd_down", "id int, n int, primary key (id, n desc)")
      has(apply.run(db, { "sd_down" })[1].warnings[1], "counts down on the primary")
      local list, result = differences "sd_down"
      assert.same({}, list)
      has(notes_of(result), "the primary key is (id, n desc) on the primary")
    end)
  end)

  describe("of a unique key under a case-insensitive collation", function()
    local function make(postgres)
      each("sd_folded", [[id int primary key, name varchar(30) collate utf8mb4_general_ci,
          unique key (name)]],
        "id int primary key, name " .. postgres .. " unique")
    end

    it("names it, and offers ways out", function()
      make "varchar(30)"
      local list, result = differences "sd_folded"
      assert.same({ "collation name" }, list)
      assert.equal("utf8mb4_general_ci", result.differences[1].primary)
      has(result.differences[1].hint, 'unique = "citext"')
      has(result.differences[1].hint, "ICU")
    end)

    it("accepts a nondeterministic collation", function()
      db.secondary:execute("create collation if not exists sd_folds (provider = icu, "
        .. "locale = 'und-u-ks-level1', deterministic = false)")
      make 'text collate "sd_folds"'
      assert.same({}, differences "sd_folded")
      db.primary:execute("alter table sd_folded modify name varchar(30) collate utf8mb4_bin")
      assert.same({ "collation name" }, differences "sd_folded")
      drop "sd_folded"
      db.secondary:execute("drop collation sd_folds")
    end)
  end)

  describe("of a model whose unique texts are citext", function()
    local TABLE = [[id int primary key, name varchar(30) collate utf8mb4_general_ci not null,
      code varchar(30) collate utf8mb4_bin, unique key (name), unique key (code)]]

    before_each(function()
      db:close()
      db = pair.open { sd_citext = { unique = "citext" } }
    end)

    it("makes them so, and is equal after a sync", function()
      both("sd_citext", TABLE)
      db.primary:execute("insert into sd_citext values (1, 'Google', 'x'), (2, 'Zoë', 'X')")
      assert.same({}, differences "sd_citext")
      local column = db.schema:table("secondary", "sd_citext").column
      assert.same({ "citext", "varchar" }, { column.name.type, column.code.type })
      db.sd_citext:sync()
      assert.equal("equal", db.sd_citext:verify().verdict)
      local err = pair.failure(db.secondary.execute, db.secondary,
        "insert into sd_citext values (3, 'GOOGLE', 'y')")
      assert.equal("23505", err.sqlstate)
    end)

    it("notes that accents are told apart", function()
      both("sd_citext", TABLE)
      local _, result = differences "sd_citext"
      has(notes_of(result), "tells accents apart")
    end)

    it("writes the extension into the statements", function()
      primary("sd_citext", TABLE)
      local statements = require("dualdb.schema.ddl").statements(db, { "sd_citext" })
      assert.equal("create extension if not exists citext", statements[1].sql)
    end)
  end)

  describe("of sequences", function()
    local function next_value(name)
      return pair.value(db.secondary,
        ("insert into %s (v) values (1) returning id::text as v"):format(name))
    end

    local function fill(name, body, keys, postgres)
      if postgres then each(name, body, postgres) else both(name, body) end
      for _, key in ipairs(keys) do
        db.primary:execute(("insert into %s (id, v) values (%s, 0)"):format(name, key))
      end
    end

    local function sync_of(name)
      local result = db:model_of(name):sync()
      assert.is_nil(result.error)
      return next_value(name)
    end

    it("names one whose next value is taken on either side", function()
      fill("sd_seq", "id int not null auto_increment primary key, v int", { 41 })
      local list, result = differences "sd_seq"
      assert.same({ "sequence id" }, list)
      assert.same({ "41", "1" }, { result.differences[1].primary, result.differences[1].secondary })
      db.sd_seq:sync()
      assert.same({}, differences "sd_seq")
      db.secondary:execute("insert into sd_seq (id, v) values (42, 0)")
      assert.same({ "sequence id" }, differences "sd_seq")
    end)

    it("gives the value after the highest key, neither that nor the one after", function()
      fill("sd_seq", "id int not null auto_increment primary key, v int", { 1, 2, 3 })
      assert.equal("4", sync_of "sd_seq")
    end)

    it("gives 2 after the only key 1", function()
      fill("sd_seq", "id int not null auto_increment primary key, v int", { 1 })
      assert.equal("2", sync_of "sd_seq")
    end)

    it("stays at its start for an empty table", function()
      fill("sd_seq", "id int not null auto_increment primary key, v int", {},
        "id int generated by default as identity (start 5) primary key, v int")
      assert.equal("5", sync_of "sd_seq")
    end)

    it("stays at its start when all keys are negative", function()
      fill("sd_seq", "id int not null auto_increment primary key, v int", { -5, -1 })
      assert.equal("1", sync_of "sd_seq")
    end)

    it("goes on with its own steps", function()
      fill("sd_seq", "id int not null auto_increment primary key, v int", { 1, 15 },
        "id int generated by default as identity (increment 10) primary key, v int")
      assert.equal("21", sync_of "sd_seq")
      assert.same({}, differences "sd_seq")
      assert.equal("31", next_value "sd_seq")
    end)

    it("goes down past the lowest key when it counts down", function()
      fill("sd_seq", "id int not null auto_increment primary key, v int", { -7, 3 },
        "id int generated by default as identity (increment -1) primary key, v int")
      assert.equal("-8", sync_of "sd_seq")
    end)

    it("never goes back", function()
      fill("sd_seq", "id int not null auto_increment primary key, v int", { 3 })
      db.secondary:query("select setval(pg_get_serial_sequence('sd_seq', 'id'), 1000) as v")
      assert.equal("1001", sync_of "sd_seq")
    end)

    it("is there for unsigned keys, which are numeric, and is above them", function()
      fill("sd_seq", "id bigint unsigned not null auto_increment primary key, v int",
        { "9007199254740993" })
      assert.equal("9007199254740994", sync_of "sd_seq")
      assert.same({}, differences "sd_seq")
    end)

    it("is used up when a key is beyond what it can count to, and gives no taken key", function()
      fill("sd_seq", "id bigint unsigned not null auto_increment primary key, v int",
        { "18446744073709551614" })
      db.sd_seq:sync()
      local list, result = differences "sd_seq"
      assert.same({}, list)
      has(notes_of(result), "used up")
      local err = pair.failure(next_value, "sd_seq")
      assert.equal("2200H", err.sqlstate)
    end)

    it("counts a sequence that the column does not own", function()
      db.secondary:execute("drop sequence if exists sd_loose cascade")
      db.secondary:execute("create sequence sd_loose")
      fill("sd_seq", "id int not null auto_increment primary key, v int", { 8 },
        "id int default nextval('sd_loose') primary key, v int")
      assert.equal("9", sync_of "sd_seq")
      drop "sd_seq"
      db.secondary:execute("drop sequence sd_loose")
    end)
  end)
end)
