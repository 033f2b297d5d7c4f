--- What a person's own SQL writes to: as it says, or as far as its words tell.

local errors = require "dualdb.errors"
local pairing = require "dualdb.schema.pairing"
local row = require "dualdb.row"

local touched = {}

--- { Model = { key, key }, Other = true }
local function note_given(tx, given)
  if type(given) ~= "table" then errors.usage("execute: touches is a table of keys by model") end
  for name, keys in pairs(given) do
    local spec = tx.db:spec(name)
    if keys == true then
      tx:touch(spec, nil)
    elseif type(keys) == "table" then
      for _, key in ipairs(keys) do tx:touch(spec, row.pack_key(spec, key)) end
    else
      errors.usage("execute: touches.%s is a list of keys, or true", tostring(name))
    end
  end
end

--- The words of a statement outside of literals and comments, in lower case; quoted names too.
local function words_of(text)
  local words = {}
  text = text:gsub("/%*.-%*/", " "):gsub("%-%-[^\n]*", " "):gsub("#[^\n]*", " ")
    :gsub("'[^']*'", " ")
  for word in text:gmatch('[%w_$\128-\255]+') do words[word:lower()] = true end
  return words
end

local READS = { select = true, show = true, explain = true, with = false }

--- A table that a trigger or a cascade writes is not seen: such statements have to say what they
--- touch.
local function note_named(tx, text)
  local first = text:match("^[%s(]*(%a+)")
  if first and READS[first:lower()] then return end
  local words, found = words_of(text), false
  local names = tx.db:model_names()
  for _, name in ipairs(names) do
    local primary, secondary = pairing.table_names(tx.db:model_definition(name))
    if words[primary:lower()] or words[secondary:lower()] then
      tx:touch(tx.db:spec(name), nil)
      found = true
    end
  end
  if found then return end
  for _, name in ipairs(names) do tx:touch(tx.db:spec(name), nil) end
end

--- Protocols that need to know in any case: the others need it only when the secondary's journal
--- has entries.
local JOURNALS = { journaled = true, primary_only = true, secondary_only = true }

--- Notes what `statement` (a string, or a table with `touches`) writes.
---@param tx dualdb.Transaction
---@param statement string|table
---@param text string
function touched.by_statement(tx, statement, text)
  if type(statement) == "table" and statement.touches then
    note_given(tx, statement.touches)
  elseif JOURNALS[tx.mode] then
    note_named(tx, text)
  else
    tx.unnamed = tx.unnamed or {}
    table.insert(tx.unnamed, text)
  end
end

--- Notes what statements write that were let pass until now.
---@param tx dualdb.Transaction
function touched.name_all(tx)
  for _, text in ipairs(tx.unnamed or {}) do note_named(tx, text) end
  tx.unnamed = nil
end

return touched
