--- Rows of the secondary whose parent is absent, found when a foreign key is made again: they take
--- the way that they would have taken had it been there.

local bring = require "dualdb.bring"
local fetch = require "dualdb.fetch"
local pairing = require "dualdb.schema.pairing"
local patience = require "dualdb.sync.patience"
local quarantine = require "dualdb.quarantine"
local settle = require "dualdb.settle"

local orphans = {}

--- Keys that are in memory at a time.
local MOST = 100 * fetch.BATCH

--- The keys of rows that break a foreign key of the model, the first of them in key order.
---@param db dualdb.Database
---@param spec dualdb.Spec
---@param name string   of the foreign key
---@return string[]
function orphans.find(db, spec, name)
  local builder = spec.statements.secondary
  return db.secondary:transaction(function(conn)
    patience.unlimited(conn)
    local broken = settle.broken(conn, spec, name)
    if not broken then return {} end
    return conn:fetch(("select %s from %s c where %s order by %s limit %d"):format(
      builder:key_list(), builder.table, broken, builder:key_list(), MOST), nil, nil,
      spec.key_kinds)
  end)
end

-- ---- rows that refer to rows ----

local REFERRING = [[
select c.relname::text as tab,
       string_agg(format('p.%I = c.%I', b.attname, a.attname), ' and ') as refers
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
cross join lateral unnest(k.conkey, k.confkey) as u (own, other)
join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.own
join pg_attribute b on b.attrelid = k.confrelid and b.attnum = u.other
where k.contype = 'f' and k.conparentid = 0 and k.confrelid = ?::regclass
  and n.nspname = current_schema()
group by k.oid, c.relname
order by c.relname, k.oid]]

local function models_by_table(db)
  local models = {}
  for _, name in ipairs(db:model_names()) do
    local _, secondary_name = pairing.table_names(db:model_definition(name))
    models[secondary_name] = models[secondary_name] or name
  end
  return models
end

--- The keys of rows of `child` that refer to the rows with the keys.
local function referring_keys(secondary, spec, keys, child, refers)
  local parent, own = spec.statements.secondary, child.statements.secondary
  return secondary:fetch(("select %s from %s c where exists (select from "
    .. "(select * from %s where %s) p where %s)"):format(own:key_list(), own.table, parent.table,
    parent:any_key_match(#keys), refers), spec.key_kinds:rep(#keys), table.concat(keys),
    child.key_kinds)
end

--- Locks rows on both sides, the primary's first as dual writes do.
local function lock(primary, secondary, spec, keys)
  for _, side in ipairs { { primary, "primary", "share" }, { secondary, "secondary", "update" } } do
    local last = 0
    while last < #keys do
      local _
      _, last = fetch.some(side[1], spec, side[2], keys, last + 1, side[3])
    end
  end
end

--- The rows with the keys and all that refer to them, directly or not, locked: lists of at most
--- fetch.BATCH, each after the rows that it refers to.
---@return { spec: dualdb.Spec, keys: string[] }[]
local function with_referring(db, primary, secondary, spec, keys)
  local models, seen, lists = models_by_table(db), {}, {}
  local function add(model_spec, found)
    local known = seen[model_spec.name] or {}
    seen[model_spec.name] = known
    local new = {}
    for _, key in ipairs(found) do
      if not known[key] then
        known[key] = true
        new[#new + 1] = key
      end
    end
    for from = 1, #new, fetch.BATCH do
      lists[#lists + 1] = {
        spec = model_spec,
        keys = table.move(new, from, math.min(from + fetch.BATCH - 1, #new), 1, {}),
      }
    end
  end
  add(spec, keys)
  local at = 1
  while lists[at] do
    local list = lists[at]
    lock(primary, secondary, list.spec, list.keys)
    for _, entry in ipairs(secondary:query(REFERRING, list.spec.statements.secondary.table)) do
      local model = models[entry.tab]
      if model then
        local child = db:spec(model)
        add(child, referring_keys(secondary, list.spec, list.keys, child, entry.refers))
      end
    end
    at = at + 1
  end
  return lists
end

-- ---- what becomes of them ----

local function delete(secondary, spec, keys)
  secondary:put(spec.statements.secondary:delete_keys(#keys), spec.key_kinds:rep(#keys),
    table.concat(keys))
end

--- Writes the rows as the primary has them; those that the secondary refuses go to the bin.
local function bring_back(primary, secondary, spec, keys, bin)
  local last = 0
  while last < #keys do
    local brought = bring.within(primary, secondary, spec, keys, last + 1, { apart = true })
    last = brought.last
    for _, refused in ipairs(brought.refused) do bin:add(bring.entry(spec, refused)) end
  end
end

--- What takes the keys of rows whose parent is absent: they, and the rows that refer to them, are
--- taken out and brought over again. The primary may have changed or deleted them by its own
--- foreign key meanwhile; those that the secondary now refuses are in quarantine before they are
--- gone.
---@param db dualdb.Database
---@param spec dualdb.Spec
---@param bin dualdb.Bin
---@return fun(keys: string[])
function orphans.quarantine(db, spec, bin)
  return function(keys)
    local bins = { [spec.name] = bin }
    bring.transaction(db, function(primary, secondary)
      local lists = with_referring(db, primary, secondary, spec, keys)
      for i = #lists, 1, -1 do delete(secondary, lists[i].spec, lists[i].keys) end
      -- What still refers to them is no model's, and this error is not of the rows that follow.
      secondary:execute("set constraints all immediate")
      secondary:execute("set constraints all deferred")
      for _, list in ipairs(lists) do
        local name = list.spec.name
        bins[name] = bins[name] or quarantine.bin(db, list.spec)
        bring_back(primary, secondary, list.spec, list.keys, bins[name])
      end
      for _, filled in pairs(bins) do filled:flush() end
    end)
  end
end

return orphans
