--- Recovers and replays beside the clients of the soak, over and over, as `dualdb recover` and
--- `dualdb journal replay` do.
---
--- arguments: way, log file, when to end (clock)

local core = require "dualdb.core"
local tables = require "spec.soak.tables"

local way, ends_at = arg[1], tonumber(arg[3])
local out = assert(io.open(arg[2], "a"))

local function note(...)
  out:write(table.concat({ ... }, "\t"):gsub("\n", " ") .. ("\t%.3f\n"):format(core.clock()))
  out:flush()
end

local function failed(what, err)
  note("because", what, core.is_error(err) and err.class or "-", tostring(err))
  if not core.is_error(err) or err.class == "internal" or err.class == "usage" then
    note("wrong", ("%s: %s"):format(what, tostring(err)))
  end
end

local function recover(db)
  for _, item in ipairs((db:recover())) do
    note("recovered", item.gid, item.outcome, tostring(item.error or ""))
    if item.error then failed("recover", item.error) end
  end
end

local function replay(db)
  for _, result in ipairs(db:journal():replay { strategy = tables.WAYS[way].strategy }) do
    if result.replayed > 0 then note("replayed", result.model, result.replayed) end
    if result.conflicts + result.quarantined > 0 and tables.WAYS[way].isolated then
      note("wrong", ("replay of %s: %d conflicts, %d quarantined"):format(result.model,
        result.conflicts, result.quarantined))
    end
    if result.error then failed("replay", result.error) end
  end
end

local function run()
  local db <close> = tables.open(way)
  while core.clock() < ends_at do
    for what, step in pairs { recover = recover, replay = replay } do
      local ok, err = pcall(step, db)
      if not ok then failed(what, err) end
    end
    core.sleep(0.2)
  end
end

local ok, err = xpcall(run, debug.traceback)
if not ok then note("wrong", tostring(err)) end
