--- Ids that the secondary hands out while the primary is down: far beyond every key, so that the
--- primary, which does not know of them, never hands out the same.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local sequences = require "dualdb.schema.sequences"

local fallback_ids = {}

--- dualdb_meta's names have 64 characters, tables up to 63.
local PREFIX, LONGEST = "fallback_ids:", 64 - #"fallback_ids:"

local function meta_name(spec)
  local name = spec.table.secondary
  return PREFIX .. (#name <= LONGEST and name or core.digest(core.pack("t", { name })))
end

local BITS = { tinyint = 8, smallint = 16, mediumint = 24, int = 32, bigint = 64 }

--- The largest value that the primary's column can have, as a text; nil when its type says none.
local function most_on_primary(column)
  local bits = BITS[column.primary.type]
  if not bits then return nil end
  if not column.primary.unsigned then return ("%d"):format((1 << (bits - 1)) - 1) end
  return bits < 64 and ("%d"):format((1 << bits) - 1) or nil
end

local STATE = [[
select wanted::text as wanted, wanted < most as fits, rises
from (select greatest(q.last_value::numeric, (select max(%s) from %s)::numeric) + %d as wanted,
             least(p.seqmax::numeric, ?::text::numeric) as most, p.seqincrement > 0 as rises
      from %s q, pg_sequence p where p.seqrelid = ?::text::regclass) state]]

local function move(conn, spec, i, gap)
  local column, builder = spec.columns[i], spec.statements.secondary
  local sequence = column.other.sequence
  local state = conn:query(STATE:format(builder.columns[i], builder.table, gap, sequence),
    most_on_primary(column) or core.NULL, sequence)[1]
  if not state.rises or not state.fits then
    error(errors.make("refused",
      ("model %s: the secondary cannot number rows while the primary is down: %s leaves no room "
        .. "for a gap of %d"):format(spec.name, sequence, gap),
      { model = spec.name, side = "secondary",
        hint = "`policy.id_gap` says how wide the gap is." }), 0)
  end
  conn:query("select setval(?::text::regclass, ?::text::bigint)", sequence, state.wanted)
end

local ADD = "insert into dualdb_meta (name, value) values (?, ?) on conflict (name) do nothing"

--- Moves the sequences, once for all processes.
local function open_gap(db, spec, name, columns)
  db.secondary:transaction(function(conn)
    conn:query("select pg_advisory_xact_lock(hashtextextended(?::text, 0))::text as done", name)
    if #conn:query("select value from dualdb_meta where name = ?", name) > 0 then return end
    for _, i in ipairs(columns) do move(conn, spec, i, db.policy.id_gap) end
    conn:execute(ADD, name, tostring(db.policy.id_gap))
  end)
end

local function numbered(spec)
  local columns = {}
  for i, column in ipairs(spec.columns) do
    if sequences.counts(column) then columns[#columns + 1] = i end
  end
  return columns
end

--- Called within a write to the secondary alone, before it inserts a row that the secondary
--- numbers.
---@param tx dualdb.Transaction
---@param spec dualdb.Spec
function fallback_ids.ready(tx, spec)
  local columns, name = numbered(spec), meta_name(spec)
  if #columns == 0 then return end
  -- Held until the write has ended: a replay that ends the fallback waits for it, and sees its
  -- entry in the journal then.
  local function hold()
    return tx.dual:execute("secondary", "select 1 from dualdb_meta where name = ? for share",
      name).affected > 0
  end
  while not hold() do open_gap(tx.db, spec, name, columns) end
end

--- Ends it for a model, when the primary has everything that the secondary was given alone: what
--- was brought is in the primary's own numbering, since InnoDB counts on from the highest key that
--- it was ever given.
---@param db dualdb.Database
---@param spec dualdb.Spec
function fallback_ids.finished(db, spec)
  local name = meta_name(spec)
  if #db.secondary:query("select value from dualdb_meta where name = ?", name) == 0 then return end
  db.secondary:transaction(function(conn)
    conn:query("select value from dualdb_meta where name = ? for update", name)
    if #conn:query("select id from dualdb_journal where model = ? limit 1", spec.name) == 0 then
      conn:execute("delete from dualdb_meta where name = ?", name)
    end
  end)
end

return fallback_ids
