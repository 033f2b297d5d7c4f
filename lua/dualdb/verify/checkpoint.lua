--- What a verification has seen so far, in a local database of its run: which ranges of each model
--- are through, and the differences in them, not yet confirmed. A chunk and its differences are one
--- transaction, so that a run that is killed goes on behind its last chunk. Of rows there are keys
--- and digests, nothing else.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local runs = require "dualdb.runs"

local Checkpoint = {}
Checkpoint.__index = Checkpoint

local TABLES = [[
create table if not exists models (
  part integer primary key, model text not null unique, definition text not null,
  compared integer not null default 0, method text, method_reason text);
create table if not exists ranges (
  part integer not null, range integer not null, reached blob, through blob,
  done integer not null default 0, primary key (part, range)) without rowid;
create table if not exists chunks (
  part integer not null, range integer not null, chunk integer not null, reached blob,
  through blob, rows_primary integer not null, rows_secondary integer not null,
  primary key (part, range, chunk)) without rowid;
create table if not exists policies (
  part integer not null, policy text not null, count integer not null,
  primary key (part, policy)) without rowid;
create table if not exists differences (
  part integer not null, range integer not null, chunk integer not null, packed blob not null);
create index if not exists by_chunk on differences (part, range, chunk);]]

--- Bytes of differences that are written together, some of a chunk before it is through.
local PIECE = 256 * 1024
--- Kind, key, digests of the rows.
local RECORD = "<B s4 s1 s1"
local CODES = { missing = 1, extra = 2, changed = 3 }
local KINDS = { "missing", "extra", "changed" }

---@param path string|nil      nil: temporary
---@return dualdb.Checkpoint
function Checkpoint.open(path)
  local store = core.sqlite(path, 0)
  -- Nobody else has to look at it: the run holds a lock.
  store:exec "pragma locking_mode = exclusive"
  pcall(store.exec, store, "pragma journal_mode = wal")
  store:exec "pragma synchronous = normal"
  store:exec(TABLES)
  return setmetatable({ store = store, statements = {} }, Checkpoint)
end

function Checkpoint:close()
  for _, statement in pairs(self.statements) do statement:close() end
  self.store:close()
end

local function run(self, kinds, sql, ...)
  local statement = self.statements[sql]
  if not statement then
    statement = self.store:prepare(sql, kinds)
    self.statements[sql] = statement
  end
  return statement:run(...)
end

-- ---- a model ----

---@class dualdb.VerifyPart     what is known of one model
---@field compared boolean      all of its ranges are through
---@field begun boolean         an earlier process has begun it
---@field opened number        by core.clock: what an earlier process has seen was before
---@field noted table<integer, table<integer, number>>   range -> chunk -> when it was through
---@field method string|nil     that it is compared by, and why
---@field method_reason string|nil
local Part = {}
Part.__index = Part

--- How two definitions differ: the name of the first line that does.
local function difference(a, b)
  local lines = {}
  for name, value in a:gmatch "([^\t]+)\t([^\n]*)\n" do lines[name] = value end
  for name, value in b:gmatch "([^\t]+)\t([^\n]*)\n" do
    if lines[name] ~= value then return name end
  end
  return "the definition"
end

--- The part of a model. One that was begun with another definition is a usage error.
---@param model string
---@param definition string    lines of a name, a tab and a value
---@return dualdb.VerifyPart
function Checkpoint:part(model, definition)
  local row = self.store:first("select part, definition, compared, method, method_reason "
    .. "from models where model = ?", "t", model)
  if row and row.definition ~= definition then
    error(errors.make("usage", ("model %s: %s is not what it was when the run began"):format(model,
      difference(row.definition, definition)), {
        model = model, hint = "Verify anew, without --resume.",
      }))
  end
  if not row then
    run(self, "tt", "insert into models (model, definition) values (?, ?)", model, definition)
  end
  return setmetatable({
    checkpoint = self, begun = row ~= nil, compared = row ~= nil and row.compared == 1,
    opened = core.clock(), noted = {},
    method = row and row.method, method_reason = row and row.method_reason,
    id = row and row.part or self.store:first("select last_insert_rowid() as id").id,
  }, Part)
end

--- Forgets what was seen of the model.
function Part:forget()
  runs.transaction(self.checkpoint.store, function()
    for _, name in ipairs { "ranges", "chunks", "policies", "differences" } do
      run(self.checkpoint, "i", ("delete from %s where part = ?"):format(name), self.id)
    end
    run(self.checkpoint, "i", "update models set compared = 0 where part = ?", self.id)
  end)
  self.compared, self.begun, self.noted = false, false, {}
end

--- The ranges, in the order of their keys; of a chunk that was not through nothing is left.
---@return dualdb.KeyRange[]
function Part:ranges()
  local list = {}
  run(self.checkpoint, "i", [[
delete from differences where part = ? and not exists (select 1 from chunks c
where c.part = differences.part and c.range = differences.range and c.chunk = differences.chunk)]],
    self.id)
  for row in self.checkpoint.store:rows([[
select range, reached, through, done,
  (select count(*) from chunks c where c.part = r.part and c.range = r.range) as chunks
from ranges r where part = ? order by range]], "i", self.id) do
    list[#list + 1] = {
      id = row.range, reached = row.reached, through = row.through, done = row.done == 1,
      chunks = row.chunks,
    }
  end
  return list
end

local function insert_range(self, range)
  run(self.checkpoint, "iibb",
    "insert into ranges (part, range, reached, through) values (?, ?, ?, ?)", self.id, range.id,
    range.reached, range.through)
end

--- Notes the ranges that the model is to be compared in.
---@param ranges dualdb.KeyRange[]
function Part:plan(ranges)
  runs.transaction(self.checkpoint.store, function()
    for i, range in ipairs(ranges) do
      range.id, range.chunks = i, 0
      insert_range(self, range)
    end
  end)
end

--- Leaves out a chunk of a range that could not be compared: a range of its own, for another run.
---@param range dualdb.KeyRange
---@param through string        the last key of the chunk, canonical
---@return dualdb.KeyRange
function Part:leave_out(range, through)
  local checkpoint, left = self.checkpoint, { reached = range.reached, through = through }
  runs.transaction(checkpoint.store, function()
    left.id = checkpoint.store:first("select max(range) + 1 as id from ranges where part = ?", "i",
      self.id).id
    insert_range(self, left)
    run(checkpoint, "bii", "update ranges set reached = ? where part = ? and range = ?", through,
      self.id, range.id)
  end)
  range.reached = through
  return left
end

--- Notes the method that the model is compared by.
---@param name string
---@param reason string|nil
function Part:choose(name, reason)
  run(self.checkpoint, "tti", "update models set method = ?, method_reason = ? where part = ?",
    name, reason, self.id)
  self.method, self.method_reason = name, reason
end

--- All ranges are through.
function Part:finish()
  run(self.checkpoint, "i", "update models set compared = 1 where part = ?", self.id)
  self.compared = true
end

-- ---- a chunk ----

---@class dualdb.ChunkWriter    takes what is seen of one range, chunk by chunk
---@field range dualdb.KeyRange
local Writer = {}
Writer.__index = Writer

---@param range dualdb.KeyRange
---@return dualdb.ChunkWriter
function Part:writer(range)
  return setmetatable({ part = self, range = range, pieces = {}, bytes = 0, early = false }, Writer)
end

local function write_piece(self)
  if self.bytes == 0 then return end
  local part, range = self.part, self.range
  run(part.checkpoint, "iiib", "insert into differences values (?, ?, ?, ?)", part.id, range.id,
    range.chunks + 1, table.concat(self.pieces))
  self.pieces, self.bytes = {}, 0
end

---@param kind "missing"|"extra"|"changed"
---@param key string              canonical
---@param primary string|nil      the digest of the row
---@param secondary string|nil
function Writer:add(kind, key, primary, secondary)
  local packed = RECORD:pack(CODES[kind], key, primary or "", secondary or "")
  self.pieces[#self.pieces + 1] = packed
  self.bytes = self.bytes + #packed
  if self.bytes >= PIECE then
    write_piece(self)
    self.early = true
  end
end

--- The chunk is through: it and its differences are noted together.
---@param chunk dualdb.VerifiedChunk
function Writer:finish(chunk)
  local part, range = self.part, self.range
  local checkpoint = part.checkpoint
  runs.transaction(checkpoint.store, function()
    write_piece(self)
    run(checkpoint, "iiibbii", "insert into chunks values (?, ?, ?, ?, ?, ?, ?)", part.id, range.id,
      range.chunks + 1, range.reached, chunk.through or range.through, chunk.rows_primary,
      chunk.rows_secondary)
    part:add_policies(chunk.policies or {})
    run(checkpoint, "biii", "update ranges set reached = ?, done = ? where part = ? and range = ?",
      chunk.through or range.reached, chunk.through and 0 or 1, part.id, range.id)
    core.crash_point "verify.seen"
  end)
  core.crash_point "verify.noted"
  range.chunks = range.chunks + 1
  local noted = part.noted[range.id] or {}
  part.noted[range.id], noted[range.chunks] = noted, core.clock()
  range.reached, range.done = chunk.through or range.reached, not chunk.through
  self.early = false
end

--- The chunk did not get through: nothing of it stays.
function Writer:drop()
  self.pieces, self.bytes = {}, 0
  if not self.early then return end
  run(self.part.checkpoint, "iii",
    "delete from differences where part = ? and range = ? and chunk = ?", self.part.id,
    self.range.id, self.range.chunks + 1)
  self.early = false
end

-- ---- afterwards ----

--- Iterates over the chunks in the order of their keys.
---@return fun(): { range: integer, chunk: integer, reached: string|nil, through: string|nil,
---   rows_primary: integer, rows_secondary: integer }|nil
function Part:chunks()
  return self.checkpoint.store:rows(
    "select * from chunks where part = ? order by part, range, chunk", "i", self.id)
end

--- Adds to how often each policy changed a value.
---@param counts table<string, integer>
function Part:add_policies(counts)
  for policy, count in pairs(counts) do
    run(self.checkpoint, "iti", "insert into policies values (?, ?, ?) "
      .. "on conflict do update set count = count + excluded.count", self.id, policy, count)
  end
end

--- How often each policy changed a value.
---@return table<string, integer>
function Part:policies()
  local counts = {}
  for row in self.checkpoint.store:rows("select policy, count from policies where part = ?", "i",
                                        self.id) do
    counts[row.policy] = row.count
  end
  return counts
end

--- Iterates over the differences in the order of their keys: what was added, the range and the
--- chunk that it was seen in, and a time since when it has been seen.
---@return fun(): "missing"|"extra"|"changed"|nil, string, string|nil, string|nil, integer, integer,
---   number
function Part:differences()
  local next_row = self.checkpoint.store:rows(
    "select range, chunk, packed from differences where part = ? order by range, chunk, rowid", "i",
    self.id)
  local packed, at, range, chunk, since
  return function()
    if not packed or at > #packed then
      local row = next_row()
      if not row then return nil end
      packed, at, range, chunk = row.packed, 1, row.range, row.chunk
      since = (self.noted[range] or {})[chunk] or self.opened
    end
    local kind, key, primary, secondary
    kind, key, primary, secondary, at = RECORD:unpack(packed, at)
    return KINDS[kind], key, primary ~= "" and primary or nil, secondary ~= "" and secondary or nil,
      range, chunk, since
  end
end

return Checkpoint
