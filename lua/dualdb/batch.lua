--- Writes of many rows: they go to the servers in slices, one statement for a slice. The
--- secondary's statement runs while the primary's next one does.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local on_secondary = require "dualdb.secondary_writes"
local row = require "dualdb.row"

local batch = {}

--- Of one statement. More rows are not faster; the last is the limit of both servers.
local ROWS, BYTES, PARAMETERS = 1000, 1024 * 1024, 65535

-- ---- slices ----

local OPTIONS = { returning = "boolean" }

local function check_options(what, options)
  for name, value in pairs(options or {}) do
    if type(value) ~= OPTIONS[name] then
      errors.usage("%s: unknown option %s, or not a %s", what, tostring(name),
        OPTIONS[name] or "known one")
    end
  end
  return options or {}
end

--- What `list` has, one by one.
local function each(what, list)
  if type(list) == "function" then return list end
  if type(list) ~= "table" then
    errors.usage("%s: a list or an iterator expected, got a %s", what, type(list))
  end
  local i = 0
  return function()
    i = i + 1
    return list[i]
  end
end

local packets = setmetatable({}, { __mode = "k" })

--- Bytes of values that a statement may have: the primary refuses packets beyond a size.
local function most_bytes(self)
  if self.mode == "secondary_only" then return BYTES end
  local db = self.db
  packets[db] = packets[db]
    or tonumber(self:call("primary", "query", "select @@max_allowed_packet as v")[1].v)
  return math.min(BYTES, packets[db] // 2)
end

---@class dualdb.BatchItem     a row of a slice, as it was given
---@field packed string       values of its columns, or its key alone
---@field key string|nil      packed
---@field indexes integer[]|nil   of the columns
---@field kinds string|nil
---@field values table|nil       what was given
---@field numbered boolean|nil    the primary numbers it

---@class dualdb.BatchSlice     an array of items; `has` are their keys
---@field has table<string, boolean>

--- Calls write(slice) for lists of items, made by item(given) of what `next_given` returns. A slice
--- ends before an item for which apart(slice, item) is true.
local function in_slices(self, spec, next_given, item, apart, write)
  local most, bytes_left = math.min(ROWS, PARAMETERS // #spec.columns), most_bytes(self)
  local slice, bytes = { has = {} }, 0
  local function flush()
    if #slice == 0 then return end
    write(slice)
    slice, bytes = { has = {} }, 0
  end
  for given in next_given do
    local one = item(given)
    if #slice == most or bytes + #one.packed > bytes_left or (slice[1] and apart(slice, one)) then
      flush()
    end
    slice[#slice + 1] = one
    if one.key then slice.has[one.key] = true end
    bytes = bytes + #one.packed
  end
  flush()
end

--- A part of the rows must not stay when the rest fails, also when the error is caught.
local function whole(self, fn)
  local ok, err = pcall(fn)
  if ok then return end
  self.refused = self.refused or err
  error(err, 0)
end

local function each_field(slice, field)
  local list = {}
  for i, item in ipairs(slice) do list[i] = item[field] end
  return list
end

local function concat(slice, field)
  return table.concat(each_field(slice, field))
end

--- Rows as one parameter list of the columns with the indexes.
local function picked(spec, rows, indexes)
  if #indexes == #spec.columns then return table.concat(rows) end
  local parts = {}
  for i, packed in ipairs(rows) do parts[i] = row.pick(packed, indexes) end
  return table.concat(parts)
end

local function prefixes(spec, rows)
  local keys = {}
  for i, packed in ipairs(rows) do keys[i] = core.prefix(packed, spec.key_count) end
  return keys
end

--- A side's rows with the keys, by key; locked.
local function locked_rows(self, spec, side, keys)
  local found = {}
  if #keys == 0 then return found end
  if side == "secondary" then self.dual:settle() end
  local rows = self:call(side, "fetch", spec.statements[side]:select_by_keys(#keys, "update"),
    spec.key_kinds:rep(#keys), table.concat(keys), spec.kinds)
  for _, packed in ipairs(rows) do found[core.prefix(packed, spec.key_count)] = packed end
  return found
end

--- The rows as the secondary gets them, and the keys of those that the transform leaves out.
local function copies_of(self, spec, rows)
  local crosser, copies, left_out = fetch.crosser(spec), {}, {}
  for _, packed in ipairs(rows) do
    local copy = self:for_secondary(spec, packed, crosser)
    if copy then
      copies[#copies + 1] = copy
    else
      left_out[#left_out + 1] = core.prefix(packed, spec.key_count)
    end
  end
  return copies, left_out
end

-- ---- insert ----

local function same_columns(a, b)
  if #a.indexes ~= #b.indexes then return false end
  for i, index in ipairs(a.indexes) do
    if index ~= b.indexes[i] then return false end
  end
  return true
end

--- The columns that any of the rows gives, and what stands for each row in the statement.
local function columns_and_rows(spec, side, slice)
  local builder = spec.statements[side]
  local alike = #slice[1].indexes > 0
  for i = 2, #slice do alike = alike and same_columns(slice[1], slice[i]) end
  if alike then return builder:names(slice[1].indexes), #slice end
  local given, indexes, tuples = {}, {}, {}
  for _, item in ipairs(slice) do
    for _, index in ipairs(item.indexes) do given[index] = true end
  end
  for index in pairs(given) do indexes[#indexes + 1] = index end
  table.sort(indexes)
  if #indexes == 0 then indexes[1] = 1 end
  local names, absent = builder:names(indexes), {}
  for i, index in ipairs(indexes) do
    local numbers = side == "primary" and spec.columns[index].primary.auto_increment
    if numbers then absent[names[i]] = "null" end  -- its default would be 0
  end
  for i, item in ipairs(slice) do
    local own = {}
    for _, name in ipairs(builder:names(item.indexes)) do own[name] = true end
    tuples[i] = builder:tuple(names, own, absent)
  end
  return names, tuples
end

--- The insert of a slice on a side, and the values for it.
---@param slice dualdb.BatchSlice
local function insert_statement(spec, side, slice)
  local text = spec.statements[side]:insert(columns_and_rows(spec, side, slice))
  return text, concat(slice, "kinds"), concat(slice, "packed")
end

--- The key of a row that the primary has numbered.
local function key_with(spec, values, number)
  local key = {}
  for i, name in ipairs(spec.key_names) do
    local value = values[name]
    key[i] = (value == nil or value == core.NULL) and number or value
  end
  return core.pack(spec.key_kinds, key, spec.key_names)
end

--- Keys of rows that were just inserted. AUTO_INCREMENT values of one statement that knows its rows
--- beforehand, and gives a value to none or to all of them, follow one another.
local function inserted_keys(self, spec, slice, result)
  local keys, step = {}, 0
  if slice[1].numbered and #slice > 1 then
    step = tonumber(self:call("primary", "query", "select @@auto_increment_increment as v")[1].v)
  end
  for i, item in ipairs(slice) do
    keys[i] = item.key or key_with(spec, item.values, result.insert_id + (i - 1) * step)
  end
  return keys
end

local function insert_on_primary(self, spec, slice)
  local text, kinds, packed = insert_statement(spec, "primary", slice)
  if self.returning then
    local rows = self:call("primary", "fetch",
      text .. " returning " .. spec.statements.primary:column_list(), kinds, packed, spec.kinds)
    core.crash_point(self.mode .. ".written")
    return rows
  end
  local result = self.dual:primary(text, kinds, packed)
  local keys = inserted_keys(self, spec, slice, result)
  local found, rows = locked_rows(self, spec, "primary", keys), {}
  for i, key in ipairs(keys) do rows[i] = found[key] or row.not_found(spec, key) end
  return rows
end

--- A row to insert. Key columns come first, so a key that is given is the beginning of its values.
local function insert_item(self, spec, values)
  local item = {}
  item.indexes, item.kinds, item.packed = row.pack_given(spec, values)
  local missing
  for i, name in ipairs(spec.key_names) do
    if values[name] == nil or values[name] == core.NULL then missing = i end
  end
  if not missing then
    item.key = core.prefix(item.packed, spec.key_count)
    return item
  end
  item.numbered = spec.columns[missing].primary.auto_increment
  if not item.numbered and not self.returning then
    errors.usage("model %s: key column %s has no value and the primary does not number it",
      spec.name, spec.key_names[missing])
  end
  item.values = values
  return item
end

local function insert_slice(self, spec, slice)
  local rows = insert_on_primary(self, spec, slice)
  local number = self:touch_all(spec, prefixes(spec, rows))
  local copies = copies_of(self, spec, rows)
  if #copies > 0 then
    local indexes, names, kinds = row.writable(spec, "secondary")
    self:trail(spec.statements.secondary:insert(names, #copies), kinds:rep(#copies),
      picked(spec, copies, indexes), #copies, number)
  end
  return rows
end

local function insert_alone(self, spec, slice)
  on_secondary.cross(spec, slice)
  return on_secondary.insert_rows(self, spec, slice, insert_statement(spec, "secondary", slice))
end

--- Keeps rows as tables, or counts them; false stands for one that is not there.
local function collector(spec, options)
  local list, count = options.returning ~= false and {} or nil, 0
  return function(rows)
    for _, stored in ipairs(rows) do
      if stored then count = count + 1 end
      if list then
        list[#list + 1] = type(stored) == "string" and row.unpack(spec, stored) or stored
      end
    end
  end, function() return list or count end
end

---@param self dualdb.Transaction
---@param spec dualdb.Spec
function batch.insert(self, spec, list, options)
  options = check_options("insert_many", options)
  local keep, kept = collector(spec, options)
  local alone = self.mode == "secondary_only"
  local write = alone and insert_alone or insert_slice
  if alone then on_secondary.check_model(spec) end
  whole(self, function()
    in_slices(self, spec, each("insert_many", list),
      function(values) return insert_item(self, spec, values) end,
      function(slice, item)
        -- Only where the numbers are told by the first of them.
        return not alone and not self.returning and slice[1].numbered ~= item.numbered
      end,
      function(slice) keep(write(self, spec, slice)) end)
  end)
  return kept()
end

-- ---- update ----

local function update_item(spec, values)
  local indexes, kinds, packed = row.pack_given(spec, values)
  for _, name in ipairs(spec.key_names) do
    if values[name] == nil or values[name] == core.NULL then
      errors.usage("model %s: key column %s has no value", spec.name, name)
    end
  end
  if #indexes == spec.key_count then errors.usage("model %s: update sets no column", spec.name) end
  local key = core.prefix(packed, spec.key_count)
  return {
    key = key, packed = packed, values = values, kinds = kinds, indexes = indexes,
    set = table.move(indexes, spec.key_count + 1, #indexes, 1, {}),
  }
end

--- Rows as they will be, in lists of so many bytes as one statement may have.
local function changed_rows(self, slice, before)
  local lists, bytes = {}, math.huge
  local most = most_bytes(self)
  for _, item in ipairs(slice) do
    local fields, given = core.fields(before[item.key]), core.fields(item.packed)
    for i, index in ipairs(item.indexes) do fields[index] = given[i] end
    local packed = table.concat(fields)
    if bytes + #packed > most then
      lists[#lists + 1] = {}
      bytes = 0
    end
    table.insert(lists[#lists], packed)
    bytes = bytes + #packed
  end
  return lists
end

--- Sets the columns on rows that are there, and locked, by the one statement that both servers have
--- for it: an insert that finds each of them. False when the server does not take such a row anew
--- although it holds it (a date of zeros): its statement is undone, and no more.
local function set_columns(self, spec, side, slice, before)
  local builder = spec.statements[side]
  local indexes, names, kinds = row.writable(spec, side)
  local set = builder:names(slice[1].set)
  for _, rows in ipairs(changed_rows(self, slice, before)) do
    local ok, err = pcall(self[side].put, self[side], builder:upsert(names, #rows, set),
      kinds:rep(#rows), picked(spec, rows, indexes))
    if not ok then
      if side == "primary" and errors.is(err) and err.class == "data" then return false end
      self.dual:fail()
      error(err, 0)
    end
    core.crash_point(self.mode .. ".written")
  end
  return true
end

--- The secondary has those of the keys that the primary has, and no others.
local function compare_keys(self, spec, keys, expected, number)
  if #keys == 0 then return end
  local builder = spec.statements.secondary
  self:trail(("select 1 from %s where %s for update"):format(builder.table,
    builder:any_key_match(#keys)), spec.key_kinds:rep(#keys), table.concat(keys), expected, number)
end

local function put_on_secondary(self, spec, rows, number)
  local copies, left_out = copies_of(self, spec, rows)
  local builder = spec.statements.secondary
  if #left_out > 0 then
    self:trail(builder:delete_keys(#left_out), spec.key_kinds:rep(#left_out),
      table.concat(left_out), -1, number)
  end
  if #copies > 0 then
    local indexes, names, kinds = row.writable(spec, "secondary")
    self:trail(builder:upsert(names, #copies), kinds:rep(#copies), picked(spec, copies, indexes),
      -1, number)
  end
end

local function one_by_one(self, spec, slice)
  local rows = {}
  for i, item in ipairs(slice) do
    local values = {}
    for name, value in pairs(item.values) do
      if spec.index[name] > spec.key_count then values[name] = value end
    end
    rows[i] = self:update(spec.name, row.unpack_key(spec, item.key), values) or false
  end
  return rows
end

--- Items whose rows are there, and the keys of those and of the others.
local function sort_by_presence(slice, before)
  local there, present, absent = {}, {}, {}
  for _, item in ipairs(slice) do
    table.insert(before[item.key] and present or absent, item.key)
    if before[item.key] then there[#there + 1] = item end
  end
  return there, present, absent
end

--- The stored rows of a slice in its order, false where there is none; and those that there are.
local function stored_rows(spec, slice, before, after)
  local rows, stored = {}, {}
  for i, item in ipairs(slice) do
    rows[i] = before[item.key] and (after[item.key] or row.not_found(spec, item.key)) or false
    stored[#stored + 1] = rows[i] or nil
  end
  return rows, stored
end

local function update_slice(self, spec, slice)
  local keys = each_field(slice, "key")
  local before = locked_rows(self, spec, "primary", keys)
  local there, present, absent = sort_by_presence(slice, before)
  if #there > 0 and not set_columns(self, spec, "primary", there, before) then
    return one_by_one(self, spec, slice)
  end
  local number = self:touch_all(spec, keys)
  if not fetch.transform(spec) then compare_keys(self, spec, present, #present, number) end
  compare_keys(self, spec, absent, 0, number)
  local after = locked_rows(self, spec, "primary", present)
  local rows, stored = stored_rows(spec, slice, before, after)
  put_on_secondary(self, spec, stored, number)
  return rows
end

local function update_alone(self, spec, slice)
  on_secondary.cross(spec, slice)
  local keys = each_field(slice, "key")
  self:touch_all(spec, keys)
  local before = locked_rows(self, spec, "secondary", keys)
  local there, present = sort_by_presence(slice, before)
  if #there > 0 then set_columns(self, spec, "secondary", there, before) end
  return (stored_rows(spec, slice, before, locked_rows(self, spec, "secondary", present)))
end

---@param self dualdb.Transaction
---@param spec dualdb.Spec
function batch.update(self, spec, list, options)
  options = check_options("update_many", options)
  local keep, kept = collector(spec, options)
  local write = update_slice
  if self.mode == "secondary_only" then
    on_secondary.check_model(spec)
    write = update_alone
  elseif spec.primary_table.triggers ~= false or spec.wide then
    write = one_by_one  -- triggers of inserts must not run, and rows of megabytes not be sent twice
  end
  whole(self, function()
    in_slices(self, spec, each("update_many", list),
      function(values) return update_item(spec, values) end,
      function(slice, item) return slice.has[item.key] or not same_columns(slice[1], item) end,
      function(slice) keep(write(self, spec, slice)) end)
  end)
  return kept()
end

-- ---- delete ----

local function delete_slice(self, spec, slice)
  local keys, packed = each_field(slice, "key"), concat(slice, "key")
  local kinds = spec.key_kinds:rep(#slice)
  local text = spec.statements.secondary:delete_keys(#slice)
  if self.mode == "secondary_only" then
    self:touch_all(spec, keys)
    self.dual:secondary(text, kinds, packed)
    return self.dual:settle().affected
  end
  local result = self.dual:primary(spec.statements.primary:delete_keys(#slice), kinds, packed)
  self:trail(text, kinds, packed, fetch.transform(spec) and -1 or result.affected,
    self:touch_all(spec, keys))
  return result.affected
end

---@param self dualdb.Transaction
---@param spec dualdb.Spec
function batch.delete(self, spec, list)
  local count = 0
  if self.mode == "secondary_only" then on_secondary.check_model(spec) end
  whole(self, function()
    in_slices(self, spec, each("delete_many", list),
      function(given)
        local key = row.pack_key(spec, given)
        return { key = key, packed = key }
      end,
      function() return false end,
      function(slice) count = count + delete_slice(self, spec, slice) end)
  end)
  return count
end

return batch
