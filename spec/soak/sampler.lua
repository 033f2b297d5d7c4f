--- Looks at the sides while the soak runs, each look one snapshot: the bank's total, that the lists
--- have no gaps, and how each list begins on the secondary (which is compared with how it begins in
--- the end).
---
--- arguments: way, log file, when to end (clock)

local core = require "dualdb.core"
local tables = require "spec.soak.tables"

local way, ends_at = arg[1], tonumber(arg[3])
local out = assert(io.open(arg[2], "a"))

local function note(...)
  out:write(table.concat({ ... }, "\t"):gsub("\n", " ") .. ("\t%.3f\n"):format(core.clock()))
  out:flush()
end

local TOTAL = "select sum(balance) as total from soak_account"
local LISTS = "select list, count(*) as items, max(position) as last from soak_item group by list"
local BEGINNINGS = "select list, count(*) as items, max(position) as last, "
  .. "md5(string_agg(op, ' ' order by position)) as digest from soak_item group by list"

local looks = 0

local function look(db, name)
  local side = db[name]
  local total = tonumber(side:query(TOTAL)[1].total)
  if total ~= tables.ACCOUNTS * tables.BALANCE then
    note("wrong", ("the %s has %g in all accounts"):format(name, total))
  end
  for _, list in ipairs(side:query(name == "secondary" and BEGINNINGS or LISTS)) do
    if list.items ~= list.last then
      note("wrong", ("the %s has %d items of list %d, the last is %d"):format(name, list.items,
        list.list, list.last))
    end
    if list.digest then note("beginning", list.list, list.items, list.digest) end
  end
  looks = looks + 1
end

local db = tables.open(way)
while core.clock() < ends_at do
  for _, name in ipairs(tables.WAYS[way].snapshots) do
    local ok, err = pcall(look, db, name)
    if not ok and not core.is_error(err) then note("wrong", tostring(err)) end
  end
  core.sleep(0.1)
end
note("looks", looks)
db:close()
