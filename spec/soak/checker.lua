--- What must hold when everything is healed: reads what the clients noted and both sides, and names
--- each violation.

local tables = require "spec.soak.tables"

local checker = {}

local SIDES = { "primary", "secondary" }

-- ---- what the clients noted ----

--- { [id] = { kind, told = "done"|"refused"|"unknown", note, order } }, the lines `wrong`, the
--- beginnings of lists.
local function read_notes(paths, found)
  local operations, order, beginnings = {}, {}, {}
  for _, path in ipairs(paths) do
    for line in io.lines(path) do
      local word, first, second, third = line:match "^(%a+)\t([^\t]*)\t?([^\t]*)\t?([^\t]*)"
      if word == "begin" then
        operations[first] = { id = first, kind = second, told = "unknown", note = "-" }
        order[#order + 1] = operations[first]
      elseif word == "done" or word == "refused" or word == "unknown" then
        operations[first].told, operations[first].note = word, second
      elseif word == "wrong" then
        found(path:match "[^/]+$" .. ": " .. line:match "^wrong\t(.*)\t")
      elseif word == "beginning" then
        beginnings[#beginnings + 1] = { list = first, items = second, digest = third }
      elseif word == "looks" then
        beginnings.looks = tonumber(first)
      end
    end
  end
  return operations, order, beginnings
end

-- ---- what each operation has left ----

local function presence(db, operations, found)
  for _, side in ipairs(SIDES) do
    local there = {}
    for _, row in ipairs(tables.rows(db[side], "soak_op")) do there[row.id] = row end
    for id, operation in pairs(operations) do
      operation[side] = there[id]
      if operation.told == "done" and not there[id] then
        found(("%s (%s) was acknowledged and is not on the %s"):format(id, operation.kind, side))
      elseif operation.told == "refused" and there[id] then
        found(("%s (%s) was refused and is on the %s"):format(id, operation.kind, side))
      end
    end
    for id in pairs(there) do
      if not operations[id] then found(("%s is on the %s and never began"):format(id, side)) end
    end
  end
  for id, operation in pairs(operations) do
    if (operation.primary == nil) ~= (operation.secondary == nil) then
      found(("%s (%s, %s) is on one side only"):format(id, operation.kind, operation.told))
    end
  end
end

--- What db:outcome says of the operations whose outcome their clients were not told.
local function outcomes(db, operations, found)
  for id, operation in pairs(operations) do
    if operation.told == "unknown" and operation.note ~= "-" then
      local outcome = db:outcome(operation.note)
      if outcome ~= (operation.primary and "applied" or "not_applied") then
        found(("%s: its outcome is said to be %s"):format(id, outcome))
      end
    end
  end
end

--- Nothing that was written belongs to a write that did not take place.
local function mentions(db, operations, found)
  for _, side in ipairs(SIDES) do
    for _, name in ipairs { "soak_item", "soak_note", "soak_slot" } do
      for _, row in ipairs(tables.rows(db[side], name)) do
        if not (operations[row.op] and operations[row.op][side]) then
          found(("%s on the %s has a row of %s, which has not taken place"):format(name, side,
            row.op))
        end
      end
    end
  end
end

-- ---- what follows from all of them ----

local function balances(db, operations, found)
  for _, side in ipairs(SIDES) do
    local expected, total = {}, 0
    for id = 1, tables.ACCOUNTS do expected[id] = tables.BALANCE end
    for _, operation in pairs(operations) do
      local row = operation[side]
      if row and row.kind == "transfer" then
        local giver, taker, amount = row.detail:match "(%d+)>(%d+):(%d+)"
        giver, taker = math.tointeger(giver), math.tointeger(taker)
        expected[giver] = expected[giver] - math.tointeger(amount)
        expected[taker] = expected[taker] + math.tointeger(amount)
      end
    end
    for _, row in ipairs(tables.rows(db[side], "soak_account")) do
      total = total + row.balance
      if row.balance ~= expected[row.id] then
        found(("account %d on the %s has %d, and not %d as its moves say"):format(row.id, side,
          row.balance, expected[row.id]))
      end
    end
    if total ~= tables.ACCOUNTS * tables.BALANCE then
      found(("the total on the %s is %d"):format(side, total))
    end
  end
end

local function lists(db, operations, found)
  for _, side in ipairs(SIDES) do
    local last, appended = {}, {}
    for _, row in ipairs(tables.rows(db[side], "soak_item")) do
      if row.position ~= (last[row.list] or 0) + 1 then
        found(("list %d on the %s has a gap before %d"):format(row.list, side, row.position))
      end
      last[row.list], appended[row.op] = row.position, true
    end
    for _, row in ipairs(tables.rows(db[side], "soak_list")) do
      if row.length ~= (last[row.id] or 0) then
        found(("list %d on the %s has %d items, and says %d"):format(row.id, side,
          last[row.id] or 0, row.length))
      end
    end
    for id, operation in pairs(operations) do
      if operation[side] and (operation.kind == "append" or operation.kind == "mixed")
        and not appended[id] then
        found(("%s (%s) is on the %s without its item"):format(id, operation.kind, side))
      end
    end
  end
end

--- What was seen of a list on the secondary at any time is how it begins now.
local function prefixes(db, beginnings, found)
  for _, seen in ipairs(beginnings) do
    local now = db.secondary:query("select md5(string_agg(op, ' ' order by position)) as digest "
      .. "from soak_item where list = ?::int and position <= ?::int", seen.list, seen.items)[1]
    if now.digest ~= seen.digest then
      found(("the secondary had %s items of list %s that are others now"):format(seen.items,
        seen.list))
    end
  end
end

--- Notes are written by one client each, one operation after the other: the last one that took
--- place says what is there.
local function notes(db, order, found)
  for _, side in ipairs(SIDES) do
    local expected, there = {}, {}
    for _, operation in ipairs(order) do
      local row = operation[side]
      if row and (row.kind == "insert" or row.kind == "update") then
        expected[row.detail] = operation.id
      elseif row and row.kind == "delete" then
        expected[row.detail] = nil
      end
    end
    for _, row in ipairs(tables.rows(db[side], "soak_note")) do
      local id = tostring(row.id)
      there[id] = true
      if row.op ~= expected[id] then
        found(("note %s on the %s is of %s, and not of %s"):format(id, side, row.op,
          expected[id] or "nobody: it is deleted"))
      end
    end
    for id, op in pairs(expected) do
      if not there[id] then found(("note %s of %s is not on the %s"):format(id, op, side)) end
    end
  end
end

-- ---- both sides ----

local function equal(db, found)
  for name in pairs(tables.MODELS) do
    local report = db[name]:verify()
    if report.verdict ~= "equal" then
      found(("%s is %s: %d missing, %d extra, %d changed"):format(name, report.verdict,
        report.missing, report.extra, report.changed))
    end
  end
end

local function nothing_left(db, found)
  for _, row in ipairs(db.secondary:query("select gid::text as gid from pg_prepared_xacts")) do
    found("prepared on the secondary: " .. row.gid)
  end
  for _, row in ipairs(db.primary:query("xa recover")) do
    found("prepared on the primary: " .. tostring(row.data))
  end
  for _, side in ipairs(SIDES) do
    local open = db[side]:query("select count(*) as entries from dualdb_journal")[1].entries
    if open > 0 then found(("%d entries are in the journal of the %s"):format(open, side)) end
  end
end

--- Calls found(text) for each violation; returns how many operations were told what.
---@param db dualdb.Database
---@param way string
---@param paths string[]   the processes' notes
---@param found fun(text: string)
---@return table<string, integer>, integer   looks of the sampler
function checker.run(db, way, paths, found)
  local operations, order, beginnings = read_notes(paths, found)
  equal(db, found)
  presence(db, operations, found)
  outcomes(db, operations, found)
  nothing_left(db, found)
  mentions(db, operations, found)
  if tables.WAYS[way].isolated then
    balances(db, operations, found)
    lists(db, operations, found)
    notes(db, order, found)
  end
  prefixes(db, beginnings, found)
  local told = { done = 0, refused = 0, unknown = 0 }
  for _, operation in ipairs(order) do told[operation.told] = told[operation.told] + 1 end
  return told, beginnings.looks or 0
end

return checker
