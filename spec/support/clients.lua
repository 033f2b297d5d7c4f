--- The sandbox's own mysql and psql: an oracle that shares no code with dualdb.

local servers = require "spec.support.servers"

local clients = {}

local PROGRAM = { mysql = "DUALDB_SANDBOX_MYSQL", postgres = "DUALDB_SANDBOX_PSQL" }

local function capture(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  assert(pipe:close(), command)
  return text
end

--- Runs SQL as the superuser; what the client prints.
---@param driver "mysql"|"postgres"
---@param sql string
---@return string
function clients.run(driver, sql)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(driver == "mysql" and "set time_zone = '+00:00';\n" or "set timezone = 'UTC';\n"
    .. "set client_min_messages = warning;\n", sql,
    ";\n")
  file:close()
  local program, database = os.getenv(PROGRAM[driver]), servers.settings(driver).dbname
  local command = driver == "mysql"
    and ("%s --default-character-set=utf8mb4 -N -B -r %s <%s"):format(program, database, path)
    or ("PGDATABASE=%s %s -v ON_ERROR_STOP=1 -qAt -P null=NULL -F '\t' <%s"):format(database,
      program, path)
  local ok, text = pcall(capture, command)
  os.remove(path)
  assert(ok, text)
  return text
end

--- Runs a file of SQL as a person would: the client reads it, and nothing else.
---@param driver "mysql"|"postgres"
---@param path string
---@return string   what the client said
function clients.file(driver, path)
  local program, database = os.getenv(PROGRAM[driver]), servers.settings(driver).dbname
  local pipe = assert(io.popen((driver == "mysql" and "%s %s <'%s' 2>&1"
    or "%s -q -d %s <'%s' 2>&1"):format(program, database, path)))
  local text = pipe:read "a"
  assert(pipe:close(), text)
  return text
end

--- The rows of a query, each a list of texts; NULL is the text NULL.
---@return string[][]
function clients.rows(driver, sql)
  local rows = {}
  for line in clients.run(driver, sql):gmatch "([^\n]*)\n" do
    local fields = {}
    for field in (line .. "\t"):gmatch "([^\t]*)\t" do fields[#fields + 1] = field end
    rows[#rows + 1] = fields
  end
  return rows
end

return clients
