--- Run records: who ran what and when on this project's databases, with what result. They are on
--- this machine, in the project's local state, and stay there.
---
---   local run = runs.begin(db, { command = "repair", models = names, options = { n = 10 } })
---   ...
---   run:finish { verdict = "equal", exit = 0, counts = { Message = { applied = 3 } },
---                files = { { kind = "undo", path = path } } }
---
--- A run that is never finished was killed, or is still under way. What is recorded fails nothing:
--- where there is no place for it, the record ends with this process, and that is said once.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local log = require "dualdb.log"

local runs = {}

--- Seconds that another process may need for its part.
local PATIENCE = 10
--- Of this module's tables. A newer dualdb has others.
local SCHEMA = 1
--- Runs whose files are kept when they do not go on: so many, for so long.
local KEPT_UNFINISHED = 20
local KEPT_SECONDS = 30 * 24 * 3600

--- Recorded of those whose files are gone.
local REMOVED = "what it had seen was removed"

local TABLES = [[
create table if not exists runs (
  run integer primary key autoincrement, command text not null, user text not null,
  host text not null, pid integer not null, version text not null, started_at text not null,
  finished_at text, seconds real, verdict text, exit integer, error text);
create table if not exists run_models (
  run integer not null, position integer not null, model text not null,
  primary key (run, position)) without rowid;
create table if not exists run_options (
  run integer not null, name text not null, value not null,
  primary key (run, name)) without rowid;
create table if not exists run_counts (
  run integer not null, model text not null, name text not null, value not null,
  primary key (run, model, name)) without rowid;
create table if not exists run_files (
  run integer not null, kind text not null, path text not null, digest text,
  primary key (run, kind, path)) without rowid;]]

---@class dualdb.RunRecord
---@field run integer
---@field command string
---@field user string           of the operating system
---@field host string
---@field pid integer
---@field version string        of dualdb
---@field started_at string     ISO 8601, UTC
---@field finished_at string|nil
---@field seconds number|nil
---@field state "finished"|"running"|"interrupted"
---@field verdict string|nil
---@field exit integer|nil
---@field error string|nil
---@field models string[]
---@field options table<string, string|number>
---@field counts table<string, table<string, string|number>>   model -> name -> value
---@field files { kind: string, path: string, digest: string|nil }[]

-- ---- the history ----

--- Runs fn() in a transaction of a local database.
---@param store any
---@param fn fun()
function runs.transaction(store, fn)
  store:exec "begin immediate"
  local ok, err = pcall(fn)
  if ok then ok, err = pcall(store.exec, store, "commit") end
  if ok then return end
  if store:in_transaction() then store:exec "rollback" end
  error(err, 0)
end

local function make_tables(store)
  -- Where the file system cannot do it, a commit is slower.
  pcall(store.exec, store, "pragma journal_mode = wal")
  store:exec "pragma synchronous = normal"
  runs.transaction(store, function()
    local schema = store:first("pragma user_version").user_version
    if schema > SCHEMA then errors.raise("config", "local state: it is a newer dualdb's") end
    if schema < SCHEMA then
      store:exec(TABLES .. ("pragma user_version = %d"):format(SCHEMA))
    end
  end)
end

local function open_file(path)
  local store = core.sqlite(path, PATIENCE)
  local ok, err = pcall(make_tables, store)
  if ok then return store end
  store:close()
  return error(err, 0)
end

--- Of each pair, as long as it is used: { store, kept }.
local histories = setmetatable({}, { __mode = "k" })

local function history_of(db)
  local history = histories[db]
  if history then return history end
  history = {}
  local path = db.state:file "runs"  -- else the state has said why not
  if path then
    local ok, store = pcall(open_file, path)
    if ok then
      history.store, history.kept = store, true
    else
      log.emit("warn", ("%s: %s; this run's record ends with this process"):format(path,
        errors.wrap(store).message))
    end
  end
  history.store = history.store or open_file(nil)
  histories[db] = history
  return history
end

-- ---- one run ----

---@class dualdb.Run
---@field db dualdb.Database
---@field id integer|nil        nil: nothing is kept of it
---@field command string
---@field began number          core.clock()
---@field finished boolean|nil
local Run = {}
Run.__index = Run

local function lock_path(db, id) return db.state:file(("run-%d"):format(id)) end

--- The file in which a run keeps what it has seen so far; nil when nothing is kept.
---@return string|nil
function Run:file()
  return self.id and self.db.state:file(("run-%d-seen"):format(self.id))
end

local function remove_files(db, id)
  local path = db.state:file(("run-%d-seen"):format(id))
  if not path then return end
  for _, suffix in ipairs { "", "-wal", "-shm", "-journal" } do os.remove(path .. suffix) end
  os.remove(lock_path(db, id))
end

local KINDS = { integer = "i", float = "d" }

--- A value as it is recorded; nil for what is none, as a function.
local function recordable(value)
  if type(value) == "boolean" then return tostring(value), "t" end
  if type(value) == "number" then return value, KINDS[math.type(value)] end
  if type(value) == "string" then return value, "t" end
  if type(value) == "table" and value[1] ~= nil then return table.concat(value, ","), "t" end
  if type(value) == "function" then return "function", "t" end
  return nil
end

local function put(store, sql, kinds, ...)
  local statement <close> = store:prepare(sql, kinds)
  statement:run(...)
end

local function moment() return os.date("!%Y-%m-%dT%H:%M:%SZ") end

local function record_begin(store, what)
  local id
  runs.transaction(store, function()
    put(store, "insert into runs (command, user, host, pid, version, started_at) "
      .. "values (?, ?, ?, ?, ?, ?)", "tttitt", what.command, core.user_name(), core.hostname(),
      core.pid(), core.VERSION, moment())
    id = store:first("select last_insert_rowid() as id").id
    for i, model in ipairs(what.models or {}) do
      put(store, "insert into run_models values (?, ?, ?)", "iit", id, i, model)
    end
    for name, given in pairs(what.options or {}) do
      local value, kind = recordable(given)
      if value ~= nil then
        put(store, "insert into run_options values (?, ?, ?)", "it" .. kind, id, name, value)
      end
    end
  end)
  return id
end

--- Files of runs that nobody went on with.
local function sweep(db, store)
  local oldest = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - KEPT_SECONDS)
  local gone = {}
  for row in store:rows([[
select run, started_at from runs
where error is null and (finished_at is null or verdict = 'not_verified')
order by run desc limit -1 offset 1]]) do
    gone[#gone + 1] = row
  end
  for i, row in ipairs(gone) do
    if i >= KEPT_UNFINISHED or row.started_at < oldest then
      local lock = core.lock_file(lock_path(db, row.run))
      if lock then
        put(store, "update runs set error = ? where run = ?", "ti", REMOVED, row.run)
        remove_files(db, row.run)
        lock:close()
      end
    end
  end
end

--- Begins a run, and leaves its record.
---@param db dualdb.Database
---@param what { command: string, models: string[]|nil, options: table<string, any>|nil }
---             options without passwords
---@return dualdb.Run
function runs.begin(db, what)
  local history = history_of(db)
  local self = setmetatable({ db = db, command = what.command, began = core.clock() }, Run)
  local ok, err = pcall(function()
    local id = record_begin(history.store, what)
    if not history.kept then return end
    self.lock = core.lock_file(lock_path(db, id))
    self.id = id
    sweep(db, history.store)
  end)
  if not ok then
    err = errors.wrap(err)
    if err.class == "canceled" then error(err, 0) end
    log.emit("warn", err.message .. "; there is no record of this run")
  end
  return self
end

local function record_end(run, store, what)
  runs.transaction(store, function()
    put(store, "update runs set finished_at = ?, seconds = ?, verdict = ?, exit = ?, error = ? "
      .. "where run = ?", "tdtiti", moment(), core.clock() - run.began, what.verdict, what.exit,
      what.error and tostring(what.error), run.id)
    for model, counts in pairs(what.counts or {}) do
      for name, given in pairs(counts) do
        local value, kind = recordable(given)
        if value ~= nil then
          put(store, "insert or replace into run_counts values (?, ?, ?, ?)", "itt" .. kind,
            run.id, model, name, value)
        end
      end
    end
    for _, file in ipairs(what.files or {}) do
      local ok, digest = pcall(core.file_digest, file.path)
      put(store, "insert or replace into run_files values (?, ?, ?, ?)", "ittt", run.id,
        file.kind, file.path, ok and digest or nil)
    end
  end)
end

--- Ends the run. Its files are to be whole by now: their digests (XXH3-128) are recorded. With
--- `keep` a verification that has not verified all can go on.
---@param what { verdict: string|nil, exit: integer|nil, error: any,
---   counts: table<string, table<string, any>>|nil, files: { kind: string, path: string }[]|nil,
---   keep: boolean|nil }
function Run:finish(what)
  if self.finished then return end
  self.finished = true
  if not self.id then return end
  local ok, err = pcall(record_end, self, history_of(self.db).store, what)
  if ok then
    if not what.keep then remove_files(self.db, self.id) end
  else
    err = errors.wrap(err)
    log.emit("warn", ("%s; run %d is recorded without its end"):format(err.message, self.id))
  end
  if self.lock then self.lock:close() end
end

--- Leaves the run as it is, for another one to go on with.
function Run:leave()
  if self.lock then self.lock:close() end
  self.lock, self.finished = nil, true
end

-- ---- looking at them ----

local function state_of(db, record)
  if record.finished_at then return "finished" end
  if record.host ~= core.hostname() then return "interrupted" end
  local lock = core.lock_file(lock_path(db, record.run))
  if not lock then return "running" end
  lock:close()
  return "interrupted"
end

local function fill(db, store, record)
  record.models, record.options, record.counts, record.files = {}, {}, {}, {}
  for row in store:rows("select model from run_models where run = ? order by position", "i",
                        record.run) do
    record.models[#record.models + 1] = row.model
  end
  for row in store:rows("select name, value from run_options where run = ?", "i", record.run) do
    record.options[row.name] = row.value
  end
  for row in store:rows("select model, name, value from run_counts where run = ?", "i",
                        record.run) do
    record.counts[row.model] = record.counts[row.model] or {}
    record.counts[row.model][row.name] = row.value
  end
  for row in store:rows("select kind, path, digest from run_files where run = ? "
                        .. "order by kind, path", "i", record.run) do
    record.files[#record.files + 1] = row
  end
  record.state = state_of(db, record)
  return record
end

--- The newest runs, newest first.
---@param db dualdb.Database
---@param most integer|nil      default all
---@return dualdb.RunRecord[]
function runs.list(db, most)
  local history, list = history_of(db), {}
  if not history.kept then return list end
  for row in history.store:rows("select * from runs order by run desc limit ?", "i", most or -1) do
    list[#list + 1] = row
  end
  for _, record in ipairs(list) do fill(db, history.store, record) end
  return list
end

--- One run; a usage error when there is none.
---@param db dualdb.Database
---@param id integer
---@return dualdb.RunRecord
function runs.get(db, id)
  local history = history_of(db)
  local record = history.kept
    and history.store:first("select * from runs where run = ?", "i", id)
  if not record then
    error(errors.make("usage", ("no run %d"):format(id), { hint = "`dualdb runs` lists them." }))
  end
  return fill(db, history.store, record)
end

--- Goes on with a run that was killed. A usage error when it cannot go on.
---@param db dualdb.Database
---@param id integer
---@param command string
---@return dualdb.Run, dualdb.RunRecord
function runs.resume(db, id, command)
  local record = runs.get(db, id)
  if record.command ~= command then
    errors.usage("run %d is a %s, no %s", id, record.command, command)
  end
  if record.state == "finished" and record.verdict ~= "not_verified" then
    errors.usage("run %d is finished", id)
  end
  local lock = core.lock_file(lock_path(db, id))
  if not lock then errors.usage("run %d is still running", id) end
  local run = setmetatable({ db = db, id = id, command = command, began = core.clock(),
                             lock = lock }, Run)
  if record.error == REMOVED then
    run:leave()
    errors.usage("run %d: %s", id, REMOVED)
  end
  return run, record
end

return runs
