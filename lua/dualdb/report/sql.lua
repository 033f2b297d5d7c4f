--- The repair of what was found as one SQL file, models in the order in which a repair writes them.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"
local order = require "dualdb.order"
local repair = require "dualdb.repair"

local sql = {}

--- Bytes that are copied at once.
local PIECE = 64 * 1024

---@class dualdb.SqlFile
local SqlFile = {}
SqlFile.__index = SqlFile

---@param db dualdb.Database
---@param write fun(text: string)
---@return dualdb.SqlFile
function sql.open(db, write)
  return setmetatable({ db = db, write = write, models = {}, names = {} }, SqlFile)
end

local function comment(format, ...)
  return "-- " .. format:format(...):gsub("%c", " ") .. "\n"
end

--- The file has no statement for a model, and says why; so does the log.
local function leave_out(self, name, reason)
  log.emit("warn", ("%s: its repair is not in the file: %s"):format(name, reason),
    { model = name })
  self.models[name] = { head = comment("model %s: left out: %s", name, reason) }
end

--- Takes a model. Its statements wait in an unlinked file, for its parents come before it.
---@param report dualdb.Report|table
function SqlFile:add(report)
  local name = report.model
  if not report.spool then return end
  self.names[#self.names + 1] = name
  local file = assert(io.tmpfile())
  local ok, side = pcall(repair.write_sql, self.db, report, {}, function(text)
    assert(file:write(text))
  end)
  if not ok then
    file:close()
    local err = errors.wrap(side)
    if err.class ~= "refused" then error(err, 0) end
    return leave_out(self, name, err.message)
  end
  if side and self.side and side ~= self.side then
    file:close()
    return leave_out(self, name, ("it writes the %s, and what is before it the %s; verify it by "
      .. "itself"):format(side, self.side))
  end
  self.side = self.side or side
  local head = ""
  if report.verdict == "not_verified" then
    head = comment("model %s: not verified: this is for what was found", name)
  end
  self.models[name] = { head = head, file = file }
end

---@param verdict "equal"|"different"|"not_verified"   on all models
function SqlFile:finish(verdict)
  self.write(comment("The repair of what dualdb verify found at %s UTC: %s",
    os.date("!%Y-%m-%d %H:%M:%S", core.wall_clock() // 1000000), verdict))
  for _, name in ipairs(order.parents_first(self.db, self.names)) do
    local model = self.models[name]
    self.write(model.head)
    if model.file then
      model.file:seek "set"
      for piece in function() return model.file:read(PIECE) end do self.write(piece) end
      model.file:close()
    end
  end
end

return sql
