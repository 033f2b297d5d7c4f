--- A report on its way into a file: whole under its name, or not there at all. How the file ends
--- says what is written.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local html = require "dualdb.report.html"
local sql = require "dualdb.report.sql"

local ReportFile = {}
ReportFile.__index = ReportFile

--- What is written, by how the file ends. A writer takes each model's report and, at the end, the
--- verdict on all of them.
local WRITERS = {
  jsonl = function(_, write)
    return {
      add = function(_, report)
        if report.spool then report:write_jsonl(write) end
      end,
      finish = function() end,
    }
  end,
  html = html.open,
  sql = sql.open,
}

local function ending(path)
  return path:match("[^/]%.(%a+)$")
end

--- For the parser: the path, or nil and what is wrong with it.
---@param path string
function ReportFile.path(path)
  if WRITERS[ending(path)] then return path end
  return nil, ("option '--report': %s does not end in .jsonl, .html or .sql"):format(path)
end

local function dropped_on_error(file)
  return setmetatable({}, { __close = function(_, err) if err then file:drop() end end })
end

--- Opens the file beside the one that it will be, so that a place that cannot be written is known
--- before anything is done.
---@param path string
---@param db dualdb.Database
function ReportFile.open(path, db)
  local directory = io.open(path .. "/.", "rb")
  if directory then
    directory:close()
    errors.usage("verify: --report %s: it is a directory", path)
  end
  local scratch = ("%s.%d.part"):format(path, core.pid())
  local file, reason = io.open(scratch, "wb")
  if not file then errors.usage("verify: --report %s:%s", path, reason:match(":([^:]*)$")) end
  local self = setmetatable({ path = path, scratch = scratch, file = file }, ReportFile)
  local guard <close> = dropped_on_error(self)
  self.writer = WRITERS[ending(path)](db, function(piece) self:write(piece) end)
  return self
end

function ReportFile:fail(reason)
  errors.raise("internal", "%s cannot be written: %s", self.path, reason)
end

function ReportFile:write(piece)
  local ok, reason = self.file:write(piece)
  if not ok then self:fail(reason) end
end

--- Takes the report of a model, or an entry that says why there is none.
---@param report dualdb.Report|table
function ReportFile:add(report)
  self.writer:add(report)
end

--- Gives the file its name.
---@param verdict "equal"|"different"|"not_verified"   on all models
function ReportFile:commit(verdict)
  self.writer:finish(verdict)
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
function ReportFile:drop()
  if self.file then self.file:close() end
  if self.scratch then os.remove(self.scratch) end
  self.file, self.scratch = nil, nil
end
ReportFile.__close = ReportFile.drop

-- ---- several ----

local ReportFiles = {}
ReportFiles.__index = ReportFiles

--- Opens a file for each path.
---@param paths string[]
---@param db dualdb.Database
function ReportFile.open_all(paths, db)
  local self = setmetatable({}, ReportFiles)
  local guard <close> = dropped_on_error(self)
  local seen = {}
  for i, path in ipairs(paths) do
    if seen[path] then errors.usage("verify: --report %s is there twice", path) end
    seen[path] = true
    self[i] = ReportFile.open(path, db)
  end
  return self
end

function ReportFiles:add(report)
  for _, file in ipairs(self) do file:add(report) end
end

function ReportFiles:commit(verdict)
  for _, file in ipairs(self) do file:commit(verdict) end
end

function ReportFiles:drop()
  for _, file in ipairs(self) do file:drop() end
end
ReportFiles.__close = ReportFiles.drop

return ReportFile
