--- The undo file of a repair, one for each side that is written: SQL for the server's own client,
--- that puts back what the repair has replaced. It is on the disk before a batch is committed. A
--- statement changes a row only while it is what the repair has made of it, so that rows which were
--- not repaired after all, or have changed since, are left alone.
---
--- The file is whole at any time: each batch makes a new one, in which it comes before those that
--- were there, since what was done last is undone first. One that has grown is put aside under a
--- number; at the end all of them are one again.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local gid = require "dualdb.gid"
local memory = require "dualdb.memory"
local script = require "dualdb.repair.script"
local statement = require "dualdb.statement"

local undo = {}

--- Bytes from which on a file is put aside rather than copied for the next batch.
local GROWN = 1024 * 1024
local COPIED_AT_ONCE = 256 * 1024

---@class dualdb.Undo           the file of one side
---@field side "primary"|"secondary"
---@field path string
---@field body integer|nil      where its statements begin; nil: there is no file yet
---@field kept integer          where those of the batches that were committed begin
---@field stop integer          where its statements end
---@field aside integer         how many files were put aside
local Undo = {}
Undo.__index = Undo

local function fail(path, reason)
  error(errors.make("config", ("the undo file %s cannot be written: %s"):format(path,
    tostring(reason):gsub("^.*: ", "")), {
    hint = "Without it nothing is repaired. --undo FILE names another place.",
  }), 0)
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- ---- writing ----

local Writer = {}
Writer.__index = Writer

--- A new file for this user alone.
local function new_writer(path)
  local ok, err = pcall(core.write_file_atomic, path, "")
  if not ok then fail(path, errors.wrap(err).message) end
  local file, reason = io.open(path, "wb")
  if not file then fail(path, reason) end
  return setmetatable({ path = path, file = file, at = 0 }, Writer)
end

function Writer:write(text)
  local ok, reason = self.file:write(text)
  if not ok then fail(self.path, reason) end
  self.at = self.at + #text
end

--- Copies the bytes of a file from one place to another.
function Writer:copy(path, from, stop)
  local source <close> = assert(io.open(path, "rb"))
  source:seek("set", from)
  while from < stop do
    local text = source:read(math.min(COPIED_AT_ONCE, stop - from))
    if not text then fail(self.path, path .. " is not what it was") end
    self:write(text)
    from = from + #text
  end
end

--- Gives the file its name, when it is on the disk.
function Writer:finish(path)
  local file = self.file
  self.file = nil
  local ok, reason = file:close()
  if ok then ok, reason = pcall(core.sync_file, self.path) end
  if ok then ok, reason = os.rename(self.path, path) end
  if ok then ok, reason = pcall(core.sync_file, path) end
  if not ok then
    os.remove(self.path)
    fail(path, errors.is(reason) and reason.message or reason)
  end
end

function Writer:__close()
  if not self.file then return end
  self.file:close()
  os.remove(self.path)
end

local function head(self)
  return script.head(self.driver, {
    ("Undoes the repair %s on the %s: what was done last comes first."):format(self.id, self.side),
    "A statement changes a row only while it still is what the repair has made of it.",
    ("dualdb shell %s <FILE"):format(self.side),
  })
end

local function put_aside(self)
  self.aside = self.aside + 1
  self.parts = self.parts or {}
  self.parts[self.aside] = { from = self.kept, stop = self.stop }
  local ok, reason = os.rename(self.path, self.path .. "." .. self.aside)
  if not ok then fail(self.path, reason) end
  self.body = nil
end

--- What undoes a change.
---@param change dualdb.Change
---@return dualdb.Change
local function inverse(change)
  local action = change.action == "insert" and "delete"
    or change.action == "delete" and "restore" or "update"
  return { side = change.side, action = action, row = change.from, from = change.row,
           guard = "written", more = change.more }
end

--- Makes a new file, with what `put` writes before the batches that are kept.
local function rewrite(self, put)
  local path = self.path .. ".new"
  local writer <close> = new_writer(path)
  writer:write(head(self))
  local body = writer.at
  put(function(text) writer:write(text) end)
  local kept = writer.at
  if self.body then writer:copy(self.path, self.kept, self.stop) end
  local stop = writer.at
  writer:write(script.TAIL)
  writer:finish(self.path)
  self.body, self.kept, self.stop = body, kept, stop
end

--- Writes what undoes a batch, before it is committed.
---@param entries { spec: dualdb.Spec, change: dualdb.Change, key: string }[]   as they were done
---@param first string|nil   a statement to begin with
function Undo:write(entries, first)
  if #entries == 0 then return end
  if not self.told then
    self.told = true
    self.tell(self.side, self.path)
  end
  if self.body and self.stop - self.kept > GROWN then put_aside(self) end
  rewrite(self, function(write)
    if first then write(first .. "\n") end
    for i = #entries, 1, -1 do
      local entry = entries[i]
      memory.sweep()
      statement.write(entry.spec, inverse(entry.change), entry.key, write)
      write("\n")
      for _, text in ipairs(entry.change.along or {}) do write(text .. "\n") end
      memory.note(2 * #(entry.change.from or "") + 2 * #(entry.change.row or ""))
    end
  end)
end

--- The batch that was written last was committed, or may have been.
function Undo:keep() self.kept = self.body or self.kept end

--- Ends the file: what was not committed is taken out, what was put aside comes back.
---@return string|nil   its path, when there is something to undo
function Undo:finish()
  if self.body and self.kept ~= self.body then rewrite(self, function() end) end
  self:keep()
  local empty = not self.body or self.kept == self.stop
  if self.aside == 0 then
    if empty and self.body then os.remove(self.path) end
    return not empty and self.path or nil
  end
  local writer <close> = new_writer(self.path .. ".new")
  writer:write(head(self))
  if self.body then writer:copy(self.path, self.kept, self.stop) end
  for i = self.aside, 1, -1 do
    writer:copy(self.path .. "." .. i, self.parts[i].from, self.parts[i].stop)
  end
  writer:write(script.TAIL)
  writer:finish(self.path)
  for i = 1, self.aside do os.remove(self.path .. "." .. i) end
  self.aside = 0
  return self.path
end

-- ---- the pair of them ----

---@class dualdb.UndoFiles
---@field id string             of the repair
---@field primary dualdb.Undo
---@field secondary dualdb.Undo
local Files = {}
Files.__index = Files

local function default_base(db, id)
  local directory = db.state:directory()
  return (directory and directory .. "/" or "") .. "undo-" .. id
end

--- Refuses a place where nothing can be written, or that has the undo file of another repair.
local function check(path)
  for _, other in ipairs { path, path .. ".1" } do
    if exists(other) then
      errors.usage("%s is there already, and may be needed to undo another repair", other)
    end
  end
  new_writer(path .. ".new"):__close()
end

--- The undo files of a repair; none is there before something is written.
---@param db dualdb.Database
---@param name string|nil   `NAME.sql` for the files NAME.primary.sql and NAME.secondary.sql;
---                         default: in the project's state directory
---@param tell fun(side: string, path: string)   called before a file is made
---@return dualdb.UndoFiles
function undo.files(db, name, tell)
  local id = os.date "!%Y%m%dT%H%M%SZ" .. "-" .. gid.random(5)
  local base = name and name:gsub("%.sql$", "") or default_base(db, id)
  local files = { id = id }
  for _, side in ipairs { "primary", "secondary" } do
    local path = ("%s.%s.sql"):format(base, side)
    check(path)
    files[side] = setmetatable({
      side = side, driver = db[side].driver, path = path, id = id, aside = 0, kept = 0, stop = 0,
      tell = tell,
    }, Undo)
  end
  return setmetatable(files, Files)
end

--- The batch that was written last was committed, or may have been.
function Files:keep()
  self.primary:keep()
  self.secondary:keep()
end

--- Ends both files; returns the paths of those that are there.
---@return table<"primary"|"secondary", string>
function Files:finish()
  return { primary = self.primary:finish(), secondary = self.secondary:finish() }
end

return undo
