--- Tables without a key are compared as multisets: each row with how often either side has it. No
--- row can be asked for again, so a difference counts when two scans in turn see it the same.

local config = require "dualdb.config"
local core = require "dualdb.core"
local errors = require "dualdb.errors"
local pairing = require "dualdb.schema.pairing"
local policies = require "dualdb.policies"
local runs = require "dualdb.runs"
local Schema = require "dualdb.schema"

local multiset = {}

--- Scans before what still changes is given up as not verified.
local LOOKS = 6

--- `net` is how many more the primary has, in the last scan and in the one before.
local TABLE = [[
create table seen (digest blob primary key, row blob not null, net integer not null default 0,
  net_before integer not null default 0) without rowid;]]

-- ---- what is compared ----

--- Whether a name is that of a table of the primary that is no model for want of a key.
---@param db dualdb.Database
---@param name string
---@return boolean
function multiset.is(db, name)
  if db.declared then return false end
  local tab = db.schema:table("primary", name)
  return tab ~= nil and not tab.primary_key and not Schema.is_own(name)
end

--- The table as a model whose key is the whole row.
---@param db dualdb.Database
---@param name string
---@return dualdb.Spec
function multiset.spec(db, name)
  local definition = { multiset = true }
  for field, value in pairs(config.model(db.config, name, { table = name })) do
    definition[field] = value
  end
  local spec = pairing.resolve(definition, db.schema, db)
  spec.filter, spec.recheck, spec.ordered, spec.multiset = {}, db.policy.recheck, false, true
  return spec
end

--- Refuses what is done by keys.
---@param options dualdb.VerifyOptions
function multiset.check(name, options)
  for _, option in ipairs { "sample", "columns" } do
    if options[option] then
      errors.raise("schema", "table %s has no key, and %s goes by keys", name, option)
    end
  end
end

-- ---- comparing ----

local function scan(job, store, crossing)
  local spec, seen = job.spec, nil
  local call = {
    primary = job.conns.primary, secondary = job.conns.secondary, kinds = spec.kinds,
    key_columns = spec.key_count, ordered = false, repeats = true,
    expected_rows = spec.estimated_rows,
    crossing = crossing, progress = job.progress,
    chunk = function(_, rows_primary, rows_secondary) seen = { rows_primary, rows_secondary } end,
  }
  for _, side in ipairs { "primary", "secondary" } do
    call[side .. "_query"] = spec.statements[side]:scan(job.filter[side], false)
  end
  runs.transaction(store, function()
    store:exec "update seen set net_before = net, net = 0"
    local put <close> = store:prepare("insert into seen (digest, row, net) values (?, ?, ?) "
      .. "on conflict do update set net = net + excluded.net", "bbi")
    function call.difference(kind, row)
      put:run(core.digest(row), row, kind == "missing" and 1 or -1)
    end
    core.compare(call)
  end)
  return { rows_primary = seen[1], rows_secondary = seen[2] }
end

local function changes(store)
  return store:first("select count(*) as n from seen where net <> net_before").n
end

--- A method for one table; `each` iterates over what it found, { row, count, lasts }, with a count
--- below zero where the secondary has more.
---@return { compare: fun(job: dualdb.VerifyJob): table, each: (fun(): function), close: fun() }
function multiset.method()
  local store = core.sqlite(nil, 0)
  store:exec(TABLE)
  local method = {}

  function method.compare(job)
    store:exec "delete from seen"
    local crossing, chunk
    for look = 1, LOOKS do
      if look > 1 then core.sleep(job.spec.recheck) end
      crossing = policies.crossing(job.spec)
      chunk = scan(job, store, crossing)
      if changes(store) == 0 then break end
    end
    job.report.method = "stream-multiset"
    chunk.policies = crossing:counts()
    job.chunk(chunk)
    return {}
  end

  function method.each()
    return store:rows [[
select row, net as count, net = net_before as lasts from seen where net <> 0 order by digest]]
  end

  function method.close() store:close() end
  return method
end

--- Passes what a method found on to the report.
---@param report dualdb.Report
---@param method table
function multiset.tell(report, method)
  local place = report.place(1, 1)
  for found in method.each() do
    local count = math.abs(found.count)
    if found.lasts == 0 then
      report:count("not_verified", place, count)
    elseif found.count > 0 then
      report:add({ kind = "missing", key = found.row, primary = found.row, count = count }, place)
    else
      report:add({ kind = "extra", key = found.row, secondary = found.row, count = count }, place)
    end
  end
end

return multiset
