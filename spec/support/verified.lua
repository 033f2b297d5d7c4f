--- A verification as a process of its own, which can be killed, on a table that differs in places
--- that are known.

local child = require "spec.support.child"
local dkjson = require "dkjson"

local verified = {}

--- Rows of the table, and of a chunk: so many that there are several.
verified.ROWS, verified.CHUNK_ROWS = 3000, 250

local function fill(side, sql, rows)
  local texts = {}
  for i = 1, rows do texts[i] = ("(%d, %d, 'row %d')"):format(i, i % 7, i) end
  side:execute(sql .. table.concat(texts, ","))
end

--- Makes the table on both sides, equal but for 30 rows that are changed, 20 missing, 10 extra.
---@param pair table    spec.support.pair
---@param db dualdb.Database
---@param name string
---@param text_key boolean|nil    its key has no order that both sides keep
function verified.make(pair, db, name, text_key)
  local key = text_key and "varchar(20)" or "int"
  pair.make(db, name, {
    mysql = ("id %s primary key, n int, t varchar(40)"):format(key),
    postgres = ("id %s primary key, n int, t varchar(40)"):format(key),
  })
  for _, side in ipairs { "primary", "secondary" } do
    local table_name = db[side]:quote(name)
    fill(db[side], "insert into " .. table_name .. " values ", verified.ROWS)
  end
  local secondary, id = db.secondary:quote(name), text_key and "id::int" or "id"
  db.secondary:execute(("update %s set n = 99 where %s %% 100 = 0"):format(secondary, id))
  db.secondary:execute(("delete from %s where %s %% 150 = 7"):format(secondary, id))
  db.primary:execute(("delete from %s where id %% 300 = 11"):format(db.primary:quote(name)))
end

local SCRIPT = [[
%s
require("dualdb.verify.stream").CHUNK_ROWS = %d
local dualdb = require "dualdb"
local open = dualdb.open
function dualdb.open() return open { policy = { recheck = 0.02 } } end
os.exit(require("dualdb.cli").main { [0] = "dualdb", "-q", "--json", %s })]]

--- Starts `dualdb verify` with the words.
---@param words string[]
---@param options { env: table|nil, before: string|nil, chunk_rows: integer|nil }|nil
function verified.start(words, options)
  options = options or {}
  local list = {}
  for i, word in ipairs(words) do list[i] = ("%q"):format(word) end
  return child.lua(SCRIPT:format(options.before or "", options.chunk_rows or verified.CHUNK_ROWS,
    table.concat(list, ", ")), options.env)
end

--- Waits for its end: its exit code, its document (nil when it was killed), and all that it wrote.
---@return integer, table|nil, string
function verified.finish(started)
  local text, code = started:finish()
  local document = text:match "(%b{})%s*$"
  return code, document and dkjson.decode(document), text
end

---@return integer, table|nil, string
function verified.run(words, options)
  return verified.finish(verified.start(words, options))
end

--- What of a model's entry does not depend on when it was made.
function verified.facts(entry)
  local facts = {}
  for name, value in pairs(entry) do
    if name ~= "seconds" and name ~= "run" then facts[name] = value end
  end
  return facts
end

return verified
