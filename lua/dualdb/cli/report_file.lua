--- A report on its way into a file: whole under its name, or not there at all.

local core = require "dualdb.core"
local errors = require "dualdb.errors"

local ReportFile = {}
ReportFile.__index = ReportFile

--- Opens the file beside the one that it will be, so that a place that cannot be written is known
--- before anything is done.
---@param path string
function ReportFile.open(path)
  local directory = io.open(path .. "/.", "rb")
  if directory then
    directory:close()
    errors.usage("verify: --report %s: it is a directory", path)
  end
  local scratch = ("%s.%d.part"):format(path, core.pid())
  local file, reason = io.open(scratch, "wb")
  if not file then errors.usage("verify: --report %s:%s", path, reason:match(":([^:]*)$")) end
  return setmetatable({ path = path, scratch = scratch, file = file }, ReportFile)
end

function ReportFile:fail(reason)
  errors.raise("internal", "%s cannot be written: %s", self.path, reason)
end

function ReportFile:write(line)
  local ok, reason = self.file:write(line)
  if not ok then self:fail(reason) end
end

--- Gives the file its name.
function ReportFile:commit()
  local file = self.file
  self.file = nil
  local ok, reason = file:close()
  if ok then ok, reason = os.rename(self.scratch, self.path) end
  if not ok then
    os.remove(self.scratch)
    self:fail(reason)
  end
  self.scratch = nil
end

--- Without a commit nothing is left of it.
function ReportFile:__close()
  if self.file then self.file:close() end
  if self.scratch then os.remove(self.scratch) end
  self.file, self.scratch = nil, nil
end

return ReportFile
