--- The order in which rows of a table are repaired when one of them takes a unique value that
--- another one still has: that one goes first. Where they take each other's, one of them is given
--- another value for the time being, in the same transaction.

local core = require "dualdb.core"
local plan = require "dualdb.repair.plan"

local unique = {}

---@class dualdb.UniqueIndex
---@field side "primary"|"secondary"
---@field columns integer[]     of the model

---@class dualdb.Step            what is done with a planned repair
---@field at integer             its place in the file
---@field park dualdb.UniqueIndex|nil   only out of the way of another one

---@alias dualdb.Group dualdb.Step[]    what is done in one transaction, or not at all

local SIDES = { "primary", "secondary" }

--- The unique indexes of the tables beside the key, as far as the model has their columns.
---@param spec dualdb.Spec
---@return dualdb.UniqueIndex[]
function unique.indexes(spec)
  local by_name = { primary = {}, secondary = {} }
  for i, column in ipairs(spec.columns) do
    by_name.primary[column.name], by_name.secondary[column.secondary] = i, i
  end
  local list = {}
  for _, side in ipairs(SIDES) do
    for _, index in ipairs(spec[side .. "_table"].indexes) do
      local columns, beyond_key = {}, false
      for i, name in ipairs(index.columns) do
        columns[i] = by_name[side][name]
        beyond_key = beyond_key or (columns[i] or 0) > spec.key_count
      end
      if index.unique and beyond_key and #columns == #index.columns then
        list[#list + 1] = { side = side, columns = columns }
      end
    end
  end
  return list
end

local NULL = core.pack("t", { core.NULL })

--- What tells a row's value in an index from others; nil where there is no row, or a NULL.
local function value_of(index, packed)
  if not packed then return nil end
  local picked = core.pick(packed, index.columns)
  for _, field in ipairs(core.fields(picked)) do
    if field == NULL then return nil end
  end
  return core.digest(picked)
end

--- Of each index: the value that a planned repair takes, and the one that it lets go of.
local function values_of(indexes, planned)
  local takes, frees = {}, {}
  for n, index in ipairs(indexes) do
    if plan.writes(planned, index.side) then
      local before, after = value_of(index, planned[index.side]), value_of(index, planned.wanted)
      if before ~= after then takes[n], frees[n] = after, before end
    end
  end
  return takes, frees
end

--- Values whose rows are to be deleted, which happens last. Beyond this number they are forgotten:
--- a row that takes one of them is refused by the server then, and tried again at the end.
local MOST_DELETES = 50000

---@class dualdb.Leaving
local Leaving = {}
Leaving.__index = Leaving

---@param spec dualdb.Spec
---@return dualdb.Leaving
function unique.leaving(spec)
  return setmetatable({ indexes = unique.indexes(spec), values = {}, count = 0 }, Leaving)
end

--- Takes note of a row that is to be deleted.
function Leaving:add(planned)
  if #self.indexes == 0 or self.count >= MOST_DELETES then return end
  self.count = self.count + 1
  local _, frees = values_of(self.indexes, planned)
  for n, value in pairs(frees) do self.values[n .. value] = true end
end

--- Whether a repair takes a value of a row that is to be deleted.
function Leaving:awaited_by(planned)
  if self.count == 0 then return false end
  for n, value in pairs((values_of(self.indexes, planned))) do
    if self.values[n .. value] then return true end
  end
  return false
end

-- ---- the order ----

--- The planned repairs of a window as nodes: which others each of them waits for.
local function graph(indexes, file, places)
  local takes, holder = {}, {}
  for i, at in ipairs(places) do
    local frees
    takes[i], frees = values_of(indexes, file:get(at))
    for n, value in pairs(frees) do holder[n .. value] = i end
  end
  local edges = {}
  for i in ipairs(places) do
    for n, value in pairs(takes[i]) do
      local other = holder[n .. value]
      if other and other ~= i then
        edges[i] = edges[i] or {}
        table.insert(edges[i], { to = other, index = n })
      end
    end
    -- pairs has no order, and a dry run has to say what a run does.
    if edges[i] then table.sort(edges[i], function(a, b) return a.index < b.index end) end
  end
  return edges
end

--- Tarjan's strongly connected components, those first that others wait for. Without recursion: a
--- chain may be as long as the window.
local function components(count, edges)
  local number, low, on_stack, stack, result, next_number = {}, {}, {}, {}, {}, 0
  local function enter(calls, node)
    next_number = next_number + 1
    number[node], low[node] = next_number, next_number
    stack[#stack + 1], on_stack[node] = node, true
    calls[#calls + 1] = { node = node, edge = 0 }
  end
  local function leave(node)
    local component = {}
    repeat
      local member = table.remove(stack)
      on_stack[member] = nil
      component[#component + 1] = member
    until member == node
    table.sort(component)
    result[#result + 1] = component
  end
  for start = 1, count do
    local calls = {}
    if not number[start] then enter(calls, start) end
    while #calls > 0 do
      local call = calls[#calls]
      call.edge = call.edge + 1
      local edge = (edges[call.node] or {})[call.edge]
      if not edge then
        calls[#calls] = nil
        local above = calls[#calls]
        if above then low[above.node] = math.min(low[above.node], low[call.node]) end
        if low[call.node] == number[call.node] then leave(call.node) end
      elseif not number[edge.to] then
        enter(calls, edge.to)
      elseif on_stack[edge.to] then
        low[call.node] = math.min(low[call.node], number[edge.to])
      end
    end
  end
  return result
end

--- The steps of rows that take each other's values: whoever is in the way is parked before.
local function untangle(indexes, places, edges, component)
  local inside, done, parked, steps = {}, {}, {}, {}
  for _, node in ipairs(component) do inside[node] = true end
  for _, node in ipairs(component) do
    for _, edge in ipairs(edges[node]) do
      local id = edge.to .. " " .. edge.index
      if inside[edge.to] and not done[edge.to] and not parked[id] then
        parked[id] = true
        steps[#steps + 1] = { at = places[edge.to], park = indexes[edge.index] }
      end
    end
    steps[#steps + 1] = { at = places[node] }
    done[node] = true
  end
  return steps
end

--- The groups of a window of planned repairs, in the order in which they are done.
---@param spec dualdb.Spec
---@param file dualdb.PlanFile
---@param places integer[]
---@return dualdb.Group[]
function unique.groups(spec, file, places)
  local indexes, groups = unique.indexes(spec), {}
  if #indexes == 0 then
    for i, at in ipairs(places) do groups[i] = { { at = at } } end
    return groups
  end
  local edges = graph(indexes, file, places)
  for i, component in ipairs(components(#places, edges)) do
    groups[i] = #component > 1 and untangle(indexes, places, edges, component)
      or { { at = places[component[1]] } }
  end
  return groups
end

-- ---- values for the time being ----

local LARGEST = {
  tinyint = 0x7f, smallint = 0x7fff, mediumint = 0x7fffff, int = 0x7fffffff,
  int2 = 0x7fff, int4 = 0x7fffffff,
}

--- Makes a value of a kind out of 32 hexadecimal digits, or nil: as unlikely as can be that another
--- row has it. If one has, the server refuses it.
local MAKE = {
  t = function(at, digits)
    if at.labels or at.type == "set" then return nil end
    local text = digits:sub(1, math.min(at.length or #digits, #digits))
    return #text > 0 and text or nil
  end,
  x = function(at, digits)
    if at.type == "uuid" then return (digits:gsub("%x%x", function(pair)
      return string.char(tonumber(pair, 16))
    end)) end
    local length = at.length or #digits
    return digits:rep(length // #digits + 1):sub(1, math.min(length, 1024))
  end,
  u = function(_, digits)
    return ("%s-%s-4%s-8%s-%s"):format(digits:sub(1, 8), digits:sub(9, 12), digits:sub(14, 16),
      digits:sub(18, 20), digits:sub(21, 32))
  end,
  i = function(at, digits)
    local most = LARGEST[at.type] or math.maxinteger
    return most - (tonumber(digits:sub(1, 7), 16) & most >> 2)
  end,
}

--- A row with another value in the index: NULL where it may be, else one that is made up. The row
--- itself when there is none; the server says then what is in the way.
---@param spec dualdb.Spec
---@param index dualdb.UniqueIndex
---@param packed string
---@return string
function unique.parked(spec, index, packed)
  local fields, digits = core.fields(packed), core.digest(packed)
  local function with(i, field)
    fields[i] = field
    return table.concat(fields)
  end
  local function at(i)
    local column = spec.columns[i]
    return index.side == "primary" and column.primary or column.other
  end
  for _, i in ipairs(index.columns) do
    if i > spec.key_count and at(i).nullable and not at(i).generated then return with(i, NULL) end
  end
  for _, i in ipairs(index.columns) do
    local make = MAKE[spec.columns[i].kind]
    local value = i > spec.key_count and make and not at(i).generated and make(at(i), digits)
    if value then return with(i, core.pack(spec.columns[i].kind, { value })) end
  end
  return packed
end

return unique
