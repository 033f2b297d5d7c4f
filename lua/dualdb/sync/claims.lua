--- Which models a run has for itself: two syncs of a model at once would take each other's
--- checkpoint and set-aside indexes away. A claim is a lock of a session of the primary, so it ends
--- with the process, however that ends. A pooler may be before the secondary, which has none.

local core = require "dualdb.core"
local errors = require "dualdb.errors"

---@class dualdb.Claims
---@field db dualdb.Database
---@field conn userdata|nil                     whose session has the locks
---@field names string[]                        models that are claimed, or shall be
---@field refused table<string, dualdb.Error>   models that another run has, by their names
local Claims = {}
Claims.__index = Claims

local claims = {}

--- Seconds in which the server ends the session of a process that has just died, and between two
--- looks whether it has.
local WAIT, LOOK = 3, 0.05
--- Seconds that the session may be idle: longer than any sync.
local IDLE = 2147483

local function lock_name(db, model)
  return "dualdb_sync:" .. core.digest(core.pack("tt", { db.primary.settings.dbname or "", model }))
end

local function taken(conn, name, model)
  local session = conn:query("select is_used_lock(?) as id", name)[1].id
  local hint = "Two syncs of a model at a time help nobody: wait until the other one is through."
  if session ~= core.NULL then
    hint = ("%s Its lock is that of the primary's session %d, which can be killed there if its "
      .. "process is gone."):format(hint, session)
  end
  return errors.make("conflict", ("model %s: another sync of it is running"):format(model),
    { model = model, hint = hint })
end

local function lock(self)
  local stop = core.clock() + WAIT
  for _, model in ipairs(self.names) do
    local name = lock_name(self.db, model)
    while self.conn:query("select get_lock(?, 0) as got", name)[1].got ~= 1 do
      if core.clock() >= stop then
        self.refused[model] = taken(self.conn, name, model)
        break
      end
      core.sleep(LOOK)
    end
  end
end

local function connect(self)
  self:close()
  self.refused = {}
  self.conn = self.db.primary:connect()
  self.conn:execute(("set session wait_timeout = %d"):format(IDLE))
  lock(self)
end

--- Claims the models, all before any of them is touched: of two runs over the same models one gets
--- them all. Those that cannot be had are said by `keep`.
---@param db dualdb.Database
---@param names string[]
---@return dualdb.Claims
function claims.take(db, names)
  local self = setmetatable({ db = db, names = { table.unpack(names) }, refused = {} }, Claims)
  table.sort(self.names)
  local ok, err = pcall(connect, self)
  if ok then return self end
  self:close()
  if errors.wrap(err).class == "canceled" then error(err, 0) end
  return self
end

--- Raises when the model is not the run's own any more. A session that the primary has lost is
--- replaced, if nobody was faster.
---@param model string
function Claims:keep(model)
  if not self.conn or self.conn:hung_up() then connect(self) end
  if self.refused[model] then error(self.refused[model], 0) end
end

function Claims:close()
  if self.conn then self.conn:close() end
  self.conn = nil
end
Claims.__close = Claims.close

return claims
