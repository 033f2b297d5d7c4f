--- What differs between a model's keys, indexes, foreign keys and sequences on the two sides.

local collations = require "dualdb.schema.collations"
local core = require "dualdb.core"
local pairing = require "dualdb.schema.pairing"
local sequences = require "dualdb.schema.sequences"

local diff_keys = {}

-- ---- keys and indexes ----

--- The secondary's names of the primary's columns.
local function translated(context, columns)
  local list = {}
  for i, name in ipairs(columns) do
    list[i] = context.by_name[name] and context.by_name[name].secondary or name
  end
  return list
end

--- One text for all indexes that are the same: what is unique is so in any order of its columns.
local function identity(columns, unique)
  local list = table.move(columns, 1, #columns, 1, {})
  if unique then table.sort(list) end
  return (unique and "unique\0" or "\0") .. table.concat(list, "\0")
end

--- What the secondary cannot have, as in schema/ddl.lua.
local function foreign_kind(index)
  if index.type == "fulltext" or index.type == "spatial" then return index.type .. " index" end
  for _, name in ipairs(index.columns) do
    if name == "(expression)" then return "index on an expression" end
  end
  return not index.whole and "index on a prefix" or nil
end

local function what_of(index)
  if index.name == "PRIMARY" then return "the primary key" end
  return ("%s %s"):format(index.unique and "unique key" or "index", index.name)
end

local FOLDS = "%s: texts of column %s that are equal on the primary (%s) differ on the secondary, "
  .. "whose collation (%s) tells all texts apart"
local TELLS = "%s: texts of column %s that differ on the primary (%s) are equal on the secondary "
  .. "(%s)"

local function check_collation(context, index)
  for _, name in ipairs(index.columns) do
    local column = context.by_name[name]
    local other = column and column.other
    if other and column.kind == "t" and column.primary.type ~= "enum" and column.primary.collation
    then
      local folds = not collations.is_strict(column.primary.collation)
      local there = collations.secondary_folds(other)
      if folds ~= there then
        local here, has = column.primary.collation, other.collation or other.column_type
        context.add("collation", {
          name = index.name, primary = here, secondary = has,
          message = (folds and FOLDS or TELLS):format(what_of(index), name, here, has),
          hint = folds and collations.ways_out(context.db, name) or nil,
        })
      elseif folds and other.type == "citext" and collations.folds_accents(column.primary.collation)
      then
        context.note(("%s: column %s is citext, which tells accents apart; %s does not"):format(
          what_of(index), name, column.primary.collation))
      end
    end
  end
end

--- (a, b desc)
local function columns_text(index)
  local list = {}
  for i, name in ipairs(index.columns) do
    list[i] = name .. (index.descending[i] and " desc" or "")
  end
  return ("(%s)"):format(table.concat(list, ", "))
end

local function add_index(context, index, side)
  local has = columns_text(index)
  local kind = index.name == "PRIMARY" and "primary key" or index.unique and "unique key" or "index"
  context.add(kind, {
    name = index.name, primary = side == "primary" and has or "missing",
    secondary = side == "secondary" and has or "missing",
    message = ("%s %s is on the %s alone"):format(what_of(index), has, side),
  })
end

--- The directions of the columns, as they are when it is read one way and the other.
local function directions(index)
  local one, other = {}, {}
  for i in ipairs(index.columns) do
    one[i], other[i] = index.descending[i] and "-" or "+", index.descending[i] and "+" or "-"
  end
  return table.concat(one), table.concat(other)
end

--- Columns in the same order, but up and down otherwise: for such rows the secondary has to sort.
local function check_directions(context, index, columns, is_key)
  local wanted, backwards = directions(index)
  local other
  for _, has in ipairs(context.other.indexes) do
    if has.whole and identity(has.columns) == identity(columns) then
      local found = directions(has)
      if found == wanted then return end
      if not other or found == backwards then other = has end
    end
  end
  if not other then return end
  if is_key or directions(other) == backwards then
    context.note(("%s is %s on the primary and %s on the secondary"):format(what_of(index),
      columns_text(index), columns_text(other)))
    return
  end
  context.add("direction", {
    name = index.name, primary = columns_text(index), secondary = columns_text(other),
    message = ("%s is %s on the primary and %s on the secondary"):format(what_of(index),
      columns_text(index), columns_text(other)),
  })
end

local function check_indexes(context)
  local there, wanted = {}, {}
  local key = identity(translated(context, context.key), true)
  for _, index in ipairs(context.other.indexes) do
    if index.whole then there[identity(index.columns, index.unique)] = index end
  end
  for _, index in ipairs(context.tab.indexes) do
    local foreign = foreign_kind(index)
    if foreign then
      context.note(("%s%s %s of the primary is not carried"):format(
        index.unique and "unique " or "", foreign, index.name))
    else
      local columns = translated(context, index.columns)
      local id = identity(columns, index.unique)
      wanted[id] = true
      -- What is unique there finds as much as what is not.
      if there[id] or not index.unique and there[identity(columns, true)] then
        if index.unique then check_collation(context, index) end
        check_directions(context, index, columns, index.unique and id == key)
      else
        add_index(context, index, "primary")
      end
    end
  end
  for _, index in ipairs(context.other.indexes) do
    local id = identity(index.columns, index.unique)
    if not wanted[id] and id ~= key then
      if index.unique then
        add_index(context, index, "secondary")
      else
        context.note(("index %s is on the secondary alone"):format(index.name))
      end
    end
  end
end

-- ---- foreign keys ----

--- MySQL's `restrict` and `no action` are the same.
local function rule(word)
  word = word:upper()
  return word == "RESTRICT" and "NO ACTION" or word
end

local function foreign_key_text(key)
  return ("(%s) references %s (%s) on delete %s on update %s"):format(
    table.concat(key.columns, ", "), key.referenced_table,
    table.concat(key.referenced_columns, ", "), rule(key.on_delete):lower(),
    rule(key.on_update):lower())
end

--- The primary's foreign key as the secondary would have it, or nil and why it is not carried.
local function carried(context, key)
  if key.elsewhere then return nil, "it refers to another database" end
  local parent = context.models_by_table[key.referenced_table]
  if not parent then return nil, ("table %s is no model"):format(key.referenced_table) end
  local sync = parent.sync or {}
  if sync.filter or sync.transform then
    return nil, ("model %s has a filter or a transform, and may lack rows"):format(parent.name)
  end
  local names = {}
  for _, column in ipairs(pairing.columns(parent, pairing.primary_table(parent, context.db.schema)))
  do
    names[column.name] = column.secondary
  end
  local referenced = {}
  for i, name in ipairs(key.referenced_columns) do referenced[i] = names[name] or name end
  return {
    columns = translated(context, key.columns), referenced_columns = referenced,
    referenced_table = select(2, pairing.table_names(parent)), on_delete = key.on_delete,
    on_update = key.on_update,
  }
end

local function check_foreign_keys(context)
  local there, wanted = {}, {}
  for _, key in ipairs(context.other.foreign_keys) do there[foreign_key_text(key)] = true end
  for _, key in ipairs(context.tab.foreign_keys) do
    local expected, why = carried(context, key)
    if not expected then
      context.note(("foreign key %s of the primary is not carried: %s"):format(key.name, why))
    else
      local text = foreign_key_text(expected)
      wanted[text] = true
      if not there[text] then
        context.add("foreign key", {
          name = key.name, primary = text, secondary = "missing",
          message = ("foreign key %s %s is on the primary alone"):format(key.name, text),
        })
      end
    end
  end
  for _, key in ipairs(context.other.foreign_keys) do
    local text = foreign_key_text(key)
    if not wanted[text] then
      context.add("foreign key", {
        name = key.name, primary = "missing", secondary = text,
        message = ("foreign key %s %s is on the secondary alone"):format(key.name, text),
      })
    end
  end
end

-- ---- sequences ----

--- What AUTO_INCREMENT would give next. information_schema remembers an older one.
local function next_of_primary(context)
  local name = context.db.primary:quote(context.tab.name)
  local row = context.db.primary:query("show create table " .. name)[1]
  return (row["Create Table"] or ""):match("[^\n]*$"):match(" AUTO_INCREMENT=(%d+)")
end

local function compare_numbers(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function check_sequence(context, column)
  local primary = context.db.primary
  local beyond
  if column.primary.auto_increment then
    local value = primary:query(("select cast(max(%s) as char) as v from %s"):format(
      primary:quote(column.name), primary:quote(context.tab.name)))[1].v
    beyond = value ~= core.NULL and value or nil
  end
  local secondary = context.db.secondary
  local state = secondary:with(sequences.state, secondary:quote(context.other.name),
    secondary:quote(column.secondary), column.other.sequence, beyond)
  if state.free then
    context.add("sequence", {
      name = column.name, primary = state.last, secondary = state.next,
      message = ("the sequence of column %s would give %s next, and %s is taken"):format(
        column.name, state.next, state.last),
      hint = "`dualdb sync` moves it past every key.",
    })
  elseif state.used_up then
    context.note(("the sequence of column %s is used up"):format(column.name))
  elseif column.primary.auto_increment then
    local next_value = next_of_primary(context)
    if next_value and not state.next:find("^%-") and compare_numbers(state.next, next_value) then
      context.note(("column %s counts on from %s on the primary and from %s on the secondary")
        :format(column.name, next_value, state.next))
    end
  end
end

--- Compares keys, indexes, foreign keys and sequences, after the columns.
---@param context table   of schema/diff.lua
function diff_keys.run(context)
  check_indexes(context)
  check_foreign_keys(context)
  for _, column in ipairs(context.columns) do
    if sequences.counts(column) then check_sequence(context, column) end
  end
end

return diff_keys
