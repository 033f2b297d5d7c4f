--- The two ways in which a load goes into MySQL: by LOAD DATA where the server has local_infile=ON,
--- else by INSERT. A spec is told when its rows went another way than it says.

local servers = require "spec.support.servers"

local loading = {}

--- Statements of LOAD DATA that the server has run.
local function count()
  return tonumber(servers.look("mysql", "show global status like 'Com_load'")[1].Value)
end

local function set(value)
  servers.command("mysql", ("set global local_infile = %d"):format(value))
end

--- Whether the server allows LOAD DATA LOCAL; after the spec it does as before.
---@param allowed boolean
function loading.allow(allowed)
  local before = servers.look("mysql", "select @@global.local_infile as v")[1].v
  servers.finally(function() set(before) end)
  set(allowed and 1 or 0)
end

--- Calls f(way) with "load_data" and with "insert". With "insert" no LOAD DATA may run; with
--- "load_data" one has to, unless f returns false.
---@param f fun(way: "load_data"|"insert"): boolean|nil
function loading.both_ways(f)
  for _, way in ipairs { "load_data", "insert" } do
    loading.allow(way == "load_data")
    local first = count()
    local expected = f(way) ~= false and way == "load_data"
    assert((count() > first) == expected,
      ("%s: the server ran %d LOAD DATA"):format(way, count() - first))
  end
end

return loading
