-- The small grammar of PostgreSQL's type names, and what fits into what.

local capacity = require "dualdb.schema.capacity"
local pgtype = require "dualdb.schema.pgtype"

describe("a type's name", function()
  it("is written in one way, and says its kind, length, digits and fraction", function()
    for text, expected in pairs {
      ["numeric(30,4)"] = { "numeric(30,4)", "d", digits = 30, scale = 4 },
      [" NUMERIC ( 30 , 4 ) "] = { "numeric(30,4)", "d", digits = 30, scale = 4 },
      ["decimal(5)"] = { "numeric(5)", "d", digits = 5, scale = 0 },
      ["numeric"] = { "numeric", "d" },
      ["int"] = { "integer", "i" }, ["INT8"] = { "bigint", "i" }, ["int2"] = { "smallint", "i" },
      ["double   precision"] = { "double precision", "g" }, ["float4"] = { "real", "f" },
      ["character varying(20)"] = { "varchar(20)", "t", length = 20 },
      ["varchar"] = { "varchar", "t" }, ["char"] = { "char", "t", length = 1 },
      ["citext"] = { "citext", "t" }, ["bytea"] = { "bytea", "x" },
      ["bit"] = { "bit", "B", length = 1 }, ["bit(8)"] = { "bit(8)", "B", length = 8 },
      ["time with time zone"] = { "timetz", "T", fraction = 6 },
      ["timestamp(3) with time zone"] = { "timestamptz(3)", "S", fraction = 3 },
      ["timestamp(0)"] = { "timestamp(0)", "S", fraction = 0 },
      ["interval(2)"] = { "interval(2)", "T", fraction = 2 },
      ["jsonb"] = { "jsonb", "j" }, ["uuid"] = { "uuid", "u" }, ["bool"] = { "boolean", "b" },
    } do
      local found = pgtype.parse(text)
      assert(found, text)
      assert.equal(expected[1], found.column_type)
      assert.equal(expected[2], found.kind)
      for _, name in ipairs { "length", "digits", "scale", "fraction" } do
        assert.equal(expected[name], found[name], text .. " " .. name)
      end
      local again = pgtype.parse(found.column_type)
      assert.same(found, again)
    end
  end)

  it("may be that of the database's own type, of which nothing is known", function()
    for _, text in ipairs { "mood", "my_schema.mood_2", "_x" } do
      local found = pgtype.parse(text)
      assert.equal(text, found.column_type)
      assert.is_nil(found.kind)
    end
  end)

  it("is one name and nothing else", function()
    for _, text in ipairs { "", " ", "text; drop table x", "text default 'a'", "text not null",
      "numeric(4,5)", "numeric(0)", "numeric(1,2,3)", "numeric()", "numeric(a)", "numeric(-1)",
      "integer(4)", "text(5)", "varchar(0)", "varchar(10,2)", "time(7)", "text[]", "int[3]",
      "serial", "bigserial", "pg_catalog.serial8", "a.b.c", "\"x\"", "x y", "text--", "text/**/",
      "numeric(30,4", "numeric 30,4)", "varchar(99999999999)", "mood(3)", "é", "2text",
      "text collate \"C\"", "numeric(4) check (true)" } do
      assert.is_nil(pgtype.parse(text), text)
    end
  end)
end)

describe("the ends of the integer types", function()
  local function problem(here, there)
    return capacity.problem(here, pgtype.parse(there), pgtype.parse(there).kind)
  end

  it("fit into as many digits as they have, and no fewer", function()
    for _, case in ipairs {
      { "tinyint", 3, 3 }, { "smallint", 5, 5 }, { "mediumint", 7, 8 }, { "int", 10, 10 },
      { "bigint", 19, 20 },
    } do
      for i, unsigned in ipairs { false, true } do
        local here = { type = case[1], kind = "i", unsigned = unsigned }
        assert.is_nil(problem(here, ("numeric(%d)"):format(case[i + 1])))
        assert.is_string(problem(here, ("numeric(%d)"):format(case[i + 1] - 1)))
      end
    end
  end)
end)
