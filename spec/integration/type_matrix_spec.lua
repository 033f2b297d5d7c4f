--- The matrix of types in core/row/CANONICAL.md is what both real servers have: each type that it
--- names becomes a column, and has the kind that it says.

local pair = require "spec.support.pair"
local types = require "dualdb.schema.types"

local NAME = "spec_matrix"

--- What has to follow a type's name in a column.
local MORE = {
  char = "(9)", varchar = "(9)", binary = "(9)", varbinary = "(9)", decimal = "(9,2)",
  enum = "('a','b')", set = "('a','b')", bit = "(9)", varbit = "(9)",
}

--- Types in the order that "tinyint … bigint" goes through.
local RANGES = {
  tinyint = { "tinyint", "smallint", "mediumint", "int", "bigint" },
  tinytext = { "tinytext", "text", "mediumtext", "longtext" },
  tinyblob = { "tinyblob", "blob", "mediumblob", "longblob" },
}

--- { type, kind, cell } of each type in the table whose head begins with the words. What stands in
--- parentheses behind the types is said about them, and is none of them.
local function table_of(head)
  local list, inside = {}, false
  for line in io.lines "core/row/CANONICAL.md" do
    if line:find("| " .. head .. " | kind |", 1, true) == 1 then
      inside = true
    elseif inside and line:sub(1, 1) ~= "|" then
      break
    elseif inside and not line:find "^|%-" then
      local cell, kind = line:match "^| (.-) | `(%a)`"
      for name in (cell or ""):gsub(" %(.*", ""):gmatch "`([^`]+)`" do
        for _, each in ipairs(cell:find("…", 1, true) and RANGES[name] or { name }) do
          list[#list + 1] = { type = each, kind = kind, cell = cell }
        end
      end
    end
  end
  return list
end

describe("the written matrix of types", function()
  local db

  before_each(function() db = pair.open({}, { name = "spec-matrix" }) end)

  after_each(function()
    pair.drop(db, NAME)
    db:close()
  end)

  --- Makes a table of one column for each type, and returns the kinds that dualdb gives them.
  local function kinds_of(side, list)
    local columns = {}
    for i, entry in ipairs(list) do
      local name = entry.type:gsub("%(n%)$", "")
      columns[i] = ("c%d %s%s"):format(i, name, MORE[name] or "")
    end
    pair.drop(db, NAME)
    side:execute(("create table %s (id int primary key, %s)"):format(NAME,
      table.concat(columns, ", ")))
    db:refresh()
    local tab, kinds = db.schema:table(side.name, NAME), {}
    for i in ipairs(list) do kinds[i] = tab.column["c" .. i].kind end
    return kinds
  end

  it("is what the primary's types are", function()
    local mariadb = db.primary:info().product == "mariadb"
    local list = {}
    for _, entry in ipairs(table_of "MySQL and MariaDB") do
      local there = mariadb or not entry.cell:find("(MariaDB)", 1, true)
      if there then list[#list + 1] = entry end
    end
    assert.is_true(#list > 30)
    local kinds = kinds_of(db.primary, list)
    for i, entry in ipairs(list) do
      assert.equal(entry.kind, kinds[i], entry.type)
    end
  end)

  it("is what the secondary's types are", function()
    local list = {}
    for _, entry in ipairs(table_of "PostgreSQL") do
      -- A column cannot have the first; the second needs its extension, the third is the catalog's.
      if entry.type ~= "unknown" and entry.type ~= "citext" and entry.type ~= "oid"
         and entry.type ~= "name" and entry.type ~= '"char"' then
        list[#list + 1] = entry
      end
    end
    assert.is_true(#list > 18)
    local kinds = kinds_of(db.secondary, list)
    for i, entry in ipairs(list) do
      assert.equal(entry.kind, kinds[i], entry.type)
    end
  end)

  it("has each type of the primary that has a default on the secondary, and no other", function()
    local written, mapped = {}, {}
    for _, entry in ipairs(table_of "MySQL and MariaDB") do
      written[entry.type:gsub("%(.*%)$", "")] = true
    end
    for _, entry in ipairs(types.DEFAULT) do
      mapped[entry[1]:gsub(" unsigned$", ""):gsub("%(.*%)$", "")] = true
    end
    mapped.geomcollection = nil  -- MySQL's own word for geometrycollection
    assert.same(mapped, written)
  end)
end)
