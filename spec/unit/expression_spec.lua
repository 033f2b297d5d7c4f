-- Expressions as the primary's information_schema shows them, in PostgreSQL's words. That both mean
-- the same is shown on the real servers, in spec/integration/schema_expressions_spec.lua.

local expression = require "dualdb.schema.expression"

local KINDS = { int = "i", bigint = "i", tinyint = "b", decimal = "d", varchar = "t", char = "t",
                enum = "t", date = "D", datetime = "S", timestamp = "S", double = "g" }

--- A table with columns of the primary and their types on the secondary.
local function tab(product, model)
  local found = { product = product or "mariadb", model = model or { name = "t" }, columns = {},
                  types = {}, foreign_keys = {} }
  for _, entry in ipairs {
    { "a", "integer", { type = "int" } },
    { "u", "bigint", { type = "int", unsigned = true } },
    { "b", "boolean", { type = "tinyint" } },
    { "d", "numeric(10,2)", { type = "decimal", digits = 10, scale = 2 } },
    { "s", "varchar(20)", { type = "varchar", length = 20, charset = "utf8mb4",
                            collation = "utf8mb4_bin" } },
    { "ci", "varchar(20)", { type = "varchar", length = 20, charset = "utf8mb4",
                             collation = "utf8mb4_0900_ai_ci" } },
    { "nopad", "varchar(20)", { type = "varchar", length = 20, charset = "utf8mb4",
                                collation = "utf8mb4_0900_bin" } },
    { "x", "citext", { type = "varchar", length = 20, charset = "utf8mb4",
                       collation = "utf8mb4_bin" } },
    { "e", "text", { type = "enum", labels = { "new", "Done" }, charset = "utf8mb4",
                     collation = "utf8mb4_0900_ai_ci" } },
    { "t", "date", { type = "date" } },
    { "ts", "timestamptz(0)", { type = "timestamp", fraction = 0 } },
    { "f", "double precision", { type = "double" } },
    { "z", "bigint", { type = "int", unsigned = true, column_type = "int(5) unsigned zerofill" } },
    { "folded", { type = "varchar", length = 20, deterministic = false },
      { type = "varchar", length = 20, charset = "utf8mb4", collation = "utf8mb4_bin" } },
    { "odd`name", "integer", { type = "int" } },
  } do
    local name, type_name, column = table.unpack(entry)
    column.name, column.column_type = name, column.column_type or column.type
    found.columns[name] = {
      name = name, secondary = name, primary = column, kind = KINDS[column.type], key = false,
    }
    found.types[name] = type_name
  end
  return found
end

local function check(text, product, model)
  return expression.check(tab(product, model), { clause = text, enforced = true })
end

local function computed(text, target, type_name, product)
  local found = tab(product)
  target.name, target.generated, target.expression = "g", true, text
  target.column_type = target.type
  found.columns.g = { name = "g", secondary = "g", primary = target, kind = "i", key = false }
  found.types.g = type_name
  return expression.computed(found, found.columns.g)
end

local function refused(text, word, product)
  local sql, why = check(text, product)
  assert(sql == nil, ("%s became %s"):format(text, sql))
  assert(why:find(word, 1, true), ("%q is not in %q"):format(word, why))
end

describe("an expression", function()
  describe("is read as the primary reads it:", function()
    for _, entry in ipairs {
      { "`a` = 1 or `a` = 2 and `b`", [[("a" = 1) or (("a" = 2) and "b")]] },
      { "`a` = 1 xor `a` = 2 and `b`", [[("a" = 1) <> (("a" = 2) and "b")]] },
      { "not `a` = 1 and `b`", [[(not ("a" = 1)) and "b"]] },
      { "not `a` between 1 and 2 and `b`", [[(not ("a" between 1 and 2)) and "b"]] },
      { "`a` = `u` is null", [[("a" = "u") is null]] },
      { "`a` + `u` * 2 > 1 is true", nil },
      { "`a` - 1 - 2 > 0", [[(("a"::bigint - 1) - 2) > 0]] },
      { "`a` DIV 2 MOD 3 = 1", [[(("a"::bigint / 2) % 3) = 1]] },
      { "`odd``name` > 0", [["odd`name" > 0]] },
      { "`a` <=> NULL", nil },
      { "case when `a` > 1 then 1 else NULL end = 1",
        [[case when "a" > 1 then 1 else null end = 1]] },
      { "`s`  not like 'x|_' escape '|'", [["s" not like 'x|_' escape '|']] },
      { "`a` in (1,-2)", [["a" in (1, -2)]] },
      { "!`b`", [[not "b"]] },
      { "`b` = 0", [[not "b"]] },
      { "`a`", [["a" <> 0]] },
    } do
      it(entry[1], function() assert.equal(entry[2], (check(entry[1]))) end)
    end
  end)

  it("of MySQL has its quotes and backslashes escaped twice", function()
    assert.equal([["nopad" = 'it''s']], check([[(`nopad` = _utf8mb4\'it\\\'s\')]], "mysql"))
    assert.equal([["nopad" = E'a\\b']], check([[(`nopad` = _utf8mb4\'a\\\\b\')]], "mysql"))
    refused([[(`nopad` = _utf8mb4\'a\nb\')]], "the server shows it with", "mysql")
  end)

  it("of MySQL with characters beyond ASCII is not believed, nor a question mark", function()
    refused([[(`nopad` = _utf8mb4\'Ã©\')]], "does not show", "mysql")
    assert.equal([["nopad" = 'é']], check("`nopad` = 'é'"))
    refused("`nopad` = '?'", "shows ?")
    refused("`nopad` = _binary'a'", "does not show")
  end)

  it("compares texts only where both sides find the same ones equal", function()
    assert.equal([["nopad" = 'a ']], check "`nopad` = 'a '")
    assert.equal([[rtrim("s", ' ') = 'a']], check "`s` = 'a '")
    refused("`ci` = 'a'", "utf8mb4_0900_ai_ci")
    refused("`ci` <> ''", "utf8mb4_0900_ai_ci")
    refused("`s` = `ci`", "collations")
    refused("`s` < 'a'", "ordered")
    refused("`x` = 'a'", "kind")
    refused("`folded` = 'a'", "kind")
    refused("concat(`s`,`z`) = 'a'", "concat")
    refused("'a' = 'a'", "literals")
  end)

  it("compares an enum with those of its labels that its collation finds equal", function()
    assert.equal([["e" in ('Done')]], (check "`e` in ('DONE')"))
    assert.equal([["e" = 'Done']], check "`e` = 'done'")
    assert.equal([["e" = 'other']], check "`e` = 'other'")
    assert.equal([["e" <> '']], check "`e` <> ''")
    refused("`e` = 'é'", "utf8mb4_0900_ai_ci")
    refused("`e` = 1", "kind")
  end)

  it("computes with integers as wide as the primary does, and refuses what it would", function()
    assert.equal([[("a"::bigint * 2) > 1]], check "`a` * 2 > 1")
    assert.equal([[("u"::numeric * 4294967296) > 1]], check "`u` * 4294967296 > 1")
    refused("`u` - 1 > 0", "below zero")
    refused("`u` * `a` > 0", "below zero")
    refused("`u` * `u` * 2 > 0", "largest number")
    refused("`a` / 2 > 0", "division")
    refused("`a` DIV `u` > 0", "zero")
    refused("`a` % 0 > 0", "zero")
    refused("`f` * 2 > 0", "number")
    refused("`d` * 0.0000000000000000000000000001 * 0.001 > 1", "more digits")
  end)

  it("takes dates that are written in full, and no zone's", function()
    assert.equal([["t" > (date '2020-02-29')]], check "`t` > '2020-02-29'")
    refused("`t` > '2021-02-29'", "complete")
    refused("`t` > '0000-00-00'", "complete")
    refused("`t` > '20200229'", "complete")
    refused("`ts` > '2020-02-29 00:00:00'", "kind")
    refused("year(`ts`) = 2020", "year")
  end)

  it("with anything that is not known to be the same is refused by name", function()
    for text, word in pairs {
      ["`a` & 1"] = "&", ["`a` << 1 = 2"] = "<<", ["~`a` = 1"] = "~", ["rand() > 0.5"] = "rand",
      ["json_valid(`s`)"] = "json_valid", ["`s` regexp 'a'"] = "regexp", ["`a` = 0x41"] = "0x41",
      ["`t` + interval 1 day > `t`"] = "interval", ["@a = 1"] = "@", ["`missing` = 1"] = "missing",
      ["lower(`s`) = 'a'"] = "letters", ["concat_ws(',', `s`) = 'a'"] = "concat_ws",
      ["`a` = 1e400000000000"] = "number", ["`s` like `s`"] = "pattern",
      ["`s` like 'a|' escape '|'"] = "escape", ["greatest(`s`, 'a') = 'a'"] = "number",
      ["coalesce(`s`, 1) = 'a'"] = "kinds", ["`a` ="] = "its end", ["`a` = 1 1"] = "it has 1",
      ["`a"] = "does not end", ["'a"] = "does not end", [""] = "its end", ["("] = "its end",
    } do
      refused(text, word)
    end
    refused(("("):rep(5000) .. "1" .. (")"):rep(5000), "deep")
    refused(("-"):rep(5000) .. "1", "deep")
    refused(("not "):rep(5000) .. "1", "deep")
  end)

  it("keeps NULL where PostgreSQL's function would leave it out", function()
    assert.equal('case when "a" is null or "d" is null then null else least("a", "d") end > 0',
      (check "least(`a`,`d`) > 0"))
    assert.equal([[(' ' || "s"::text) is null]], check "concat(' ',`s`) is null")
  end)

  it("is not carried when the constraint is not enforced", function()
    local sql, why = expression.check(tab(), { clause = "`a` > 0", enforced = false })
    assert.is_nil(sql)
    assert.equal("it is not enforced", why)
  end)

  it("is not carried where a policy or a transform changes what it reads", function()
    local _, why = check("`t` > '2020-01-01'", nil,
      { name = "t", policies = { zero_dates = "null" } })
    assert.equal("a policy may change column t on the secondary", why)
    assert.equal([["a" > 0]], (check("`a` > 0", nil,
      { name = "t", policies = { zero_dates = "null" } })))
    _, why = check("`a` > 0", nil, { name = "t", sync = { transform = print } })
    assert.equal("the model's transform may change the row", why)
  end)

  describe("of a computed column", function()
    it("is stored as the primary stores it", function()
      assert.equal([["a"::bigint + 1]], computed("`a` + 1", { type = "int" }, "integer"))
      assert.equal([[("a" > 1)::integer]], computed("`a` > 1", { type = "int" }, "integer"))
      assert.equal([[rtrim("s", ' ')]],
        computed("`s`", { type = "char", length = 20, charset = "utf8mb4" }, "varchar(20)"))
    end)

    it("stays plain where the secondary's type would hold what the primary's refuses", function()
      for _, entry in ipairs {
        { "`a` + 1", { type = "int" }, "bigint" },
        { "`a`", { type = "tinyint" }, "smallint" },
        { "`a`", { type = "int", unsigned = true }, "bigint" },
        { "`s`", { type = "tinytext", length = 60, charset = "utf8mb4" }, "text" },
        { "`a`", { type = "decimal", digits = 10, scale = 0, unsigned = true }, "numeric(10,0)" },
      } do
        local sql, why = computed(table.unpack(entry))
        assert.is_nil(sql)
        assert(why:find("holds more on the secondary", 1, true), why)
      end
      assert.equal([[case when "a" > 1 then 100 else 0 end]],
        computed("if(`a` > 1,100,0)", { type = "tinyint", unsigned = true }, "smallint"))
    end)

    it("stays plain where its value would be another after it is stored", function()
      for _, entry in ipairs {
        { "`s`", { type = "int" }, "integer" },
        { "`a`", { type = "varchar", length = 20, charset = "utf8mb4" }, "varchar(20)" },
        { "`a`", { type = "int" }, "boolean" },
        { "`d`", { type = "decimal", digits = 10, scale = 2 }, "numeric(10,3)" },
        { "`f`", { type = "double" }, "double precision" },
        { "`s`", { type = "varchar", length = 20, charset = "latin1" }, "varchar(20)" },
        { "`t`", { type = "timestamp", fraction = 0 }, "timestamptz(0)" },
      } do
        local sql, why = computed(table.unpack(entry))
        assert.is_nil(sql)
        assert.is_string(why)
      end
    end)
  end)
end)
