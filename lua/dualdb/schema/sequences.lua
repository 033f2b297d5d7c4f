--- The sequences behind the secondary's key columns: the value that comes next has to be beyond
--- every key, or the secondary would hand out a key that is taken.

local core = require "dualdb.core"

local sequences = {}

-- In numeric throughout: keys go beyond what a sequence, or an addition of bigints, can hold.
-- `free` is the first value of the sequence's own steps beyond all keys; NULL when the next one is.
local STATE = [[
with state as (
  select q.last_value::numeric + case when q.is_called then p.seqincrement else 0 end as next,
         p.seqincrement::numeric as step, p.seqmin::numeric as lowest, p.seqmax::numeric as highest
  from %s q, pg_sequence p where p.seqrelid = '%s'::regclass),
keys as (
  select *, case when step > 0 then greatest((select max(%s) from %s)::numeric, ?::text::numeric)
                 else least((select min(%s) from %s)::numeric, ?::text::numeric) end as last
  from state),
result as (
  select *, case when next between lowest and highest and (last - next) / step >= 0
                 then next + (div(last - next, step) + 1) * step end as free
  from keys)
]]

--- A sequence cannot go beyond its end. There it is left as used up: an error is better than a key
--- that is taken.
local MOVE = STATE .. [[
select case when free between lowest and highest then setval('%s'::regclass, free::bigint, false)
            else setval('%s'::regclass, (case when step > 0 then highest else lowest end)::bigint,
                        true) end as v
from result where free is not null]]

local READ = STATE .. [[
select next::text as next, last::text as last, free::text as free,
       next not between lowest and highest as used_up
from result]]

local function literal(name) return (name:gsub("'", "''")) end

local function fill(text, table_sql, column_sql, name)
  local n = literal(name)
  return text:format(name, n, column_sql, table_sql, column_sql, table_sql, n, n)
end

--- Whether a column's keys are numbers that a sequence can count.
---@param column table   of a spec
function sequences.counts(column)
  return column.other ~= nil and column.other.sequence ~= nil
    and (column.kind == "i" or column.kind == "d")
end

--- Moves the sequence past every key of the table, never back.
---@param conn userdata          of the secondary
---@param table_sql string       quoted
---@param column_sql string      quoted
---@param name string            the sequence, as schema/postgres.lua gives it
function sequences.move(conn, table_sql, column_sql, name)
  conn:query(fill(MOVE, table_sql, column_sql, name), core.NULL, core.NULL)
end

---@class dualdb.SequenceState   numbers are texts
---@field next string             the value that comes next
---@field last string|nil         the key farthest in the sequence's direction, on either side
---@field free string|nil         where it would have to go on; nil when `next` is beyond every key
---@field used_up boolean         it will give no value at all

--- What the sequence would do next.
---@param beyond string|nil      a key of the other side that counts too
---@return dualdb.SequenceState
function sequences.state(conn, table_sql, column_sql, name, beyond)
  local key = beyond or core.NULL
  local row = conn:query(fill(READ, table_sql, column_sql, name), key, key)[1]
  for field, value in pairs(row) do
    if value == core.NULL then row[field] = nil end
  end
  return row
end

return sequences
