--- Journal entries for specs: what a dual write that reached one side alone leaves behind.

local core = require "dualdb.core"
local journal = require "dualdb.journal"
local row = require "dualdb.row"

local dirty = {}

local INSERT = "insert into dualdb_journal (model, key_digest, kinds, canonical, gid) "
  .. "values (?, ?, ?, ?, ?)"

--- Enters a key on a connection of a side, or on the side.
---@param conn any
---@param key any   as people write it
function dirty.enter(conn, db, model, key, gid)
  local spec = db:spec(model)
  local packed = row.pack_key(spec, key)
  conn:execute(INSERT, model, core.digest(packed), spec.key_kinds, core.bytes(packed),
    gid or "spec")
end

--- Enters the model as a whole.
function dirty.whole(conn, model)
  conn:execute(INSERT, model, journal.WHOLE, "", core.NULL, "spec")
end

--- Writes on one side alone, with entries for the keys, as a dual write does whose other side is
--- down.
---@param side dualdb.Side
---@param keys any[]
function dirty.write(db, side, model, keys, sql, ...)
  local values = table.pack(...)
  side:transaction(function(conn)
    conn:execute(sql, table.unpack(values, 1, values.n))
    for _, key in ipairs(keys) do dirty.enter(conn, db, model, key) end
  end)
end

--- The number of entries on both sides together, or on one.
function dirty.count(db, side)
  local counts = journal.counts(db)
  return side and counts[side] or counts.primary + counts.secondary
end

--- Empties dualdb's own tables.
function dirty.clear(db)
  for _, side in ipairs { db.primary, db.secondary } do
    side:execute "delete from dualdb_journal"
    side:execute "delete from dualdb_meta where name like 'fallback_ids:%'"
  end
end

return dirty
