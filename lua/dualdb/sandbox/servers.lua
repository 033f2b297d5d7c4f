-- Starting and stopping the sandbox's servers. A server is one of the modules mysql and postgres,
-- which say how; `box` is the sandbox's state, whose fields they share.

local errors = require "dualdb.errors"
local system = require "dualdb.sandbox.system"
local mysql = require "dualdb.sandbox.mysql"
local postgres = require "dualdb.sandbox.postgres"

local servers = {}

local START_LIMIT = 60 -- seconds; a first start of MySQL 9 takes about five
local STOP_LIMIT = 30
local SIDE_OF = { [mysql] = "primary", [postgres] = "secondary" }

---Tells the caller's log what is being done.
function servers.say(opts, ...)
  if opts.log then opts.log(string.format(...)) end
end

---Raises what is wrong with one of the servers.
local function unavailable(server, ...)
  error(errors.make("unavailable", "sandbox: " .. string.format(...), { side = SIDE_OF[server] }))
end

---@return fun, table, integer for a loop over both servers
function servers.each()
  return ipairs { mysql, postgres }
end

---The last line of a log from `offset` that says what went wrong; that a server is "Aborting" for
---what it said before does not.
function servers.complaint(path, offset)
  local text = (system.read_file(path) or ""):sub(offset + 1)
  local found
  for line in text:gmatch("[^\n]+") do
    local says = line:find("ERROR", 1, true) or line:find("FATAL", 1, true)
    if not found or says and not line:find("Aborting$") then found = line end
  end
  return found or "it says nothing", text
end

---Makes the directories of the sockets, which may be in /tmp and gone after a restart of the
---machine.
function servers.make_run(box)
  local run = system.quote(box.run)
  local command = "mkdir -p " .. run .. "/mysql " .. run .. "/postgres && chmod 755 " .. run
  for _, name in ipairs { "mysql", "postgres" } do
    local user = box[name .. "_user"]
    if user then command = command .. " && chown " .. user .. " " .. run .. "/" .. name end
  end
  system.must("make " .. box.run, command)
end

local function kill(pid, signal)
  return (system.run("kill -" .. signal .. " " .. pid .. " 2>/dev/null"))
end

function servers.stop(box, server, signal)
  local pid = server.pid(box)
  if not pid then return end
  local family = system.children(pid)
  family[#family + 1] = pid
  local function gone()
    for _, one in ipairs(family) do
      if system.alive(one) then return false end
    end
    return true
  end
  servers.signal(box, server, "CONT") -- what a test has frozen does not hear other signals
  kill(pid, signal or server.stop_signal)
  if signal ~= "KILL" and system.wait(STOP_LIMIT, gone) then return end
  -- PostgreSQL's sessions outlive a killed postmaster for a while, and keep the next from starting.
  for _, one in ipairs(family) do kill(one, "KILL") end
  if not system.wait(STOP_LIMIT, gone) then
    unavailable(server, "process %d of %s does not end", pid, server.title(box))
  end
end

---Starts a server and waits until it answers.
---@return boolean port_taken true when it did not start because its port is in use
function servers.start(box, server, opts)
  local path = server.log(box)
  local offset = #(system.read_file(path) or "")
  servers.make_run(box)
  server.write_client(box) -- which has to know the port
  local pid = server.start(box)
  local answered = system.wait(opts.start_limit or START_LIMIT, function()
    return server.answers(box) and "yes" or not system.alive(pid) and "dead"
  end)
  if answered == "yes" then return false end
  servers.stop(box, server, "KILL")
  local last, text = servers.complaint(path, offset)
  if text:find("Address already in use", 1, true) then return true end
  unavailable(server, "%s %s: %s (log: %s)", server.title(box),
    answered and "did not start" or "does not answer after " .. (opts.start_limit or START_LIMIT)
    .. " s", last, path)
end

function servers.new_port(box, server)
  local key = server == mysql and "mysql_port" or "postgres_port"
  local taken = {}
  for _, name in ipairs { "mysql_port", "postgres_port" } do
    if box[name] then taken[box[name]] = true end
  end
  box[key] = system.free_port(taken)
end

---Starts a server if it does not run; a port that somebody took meanwhile is given up.
function servers.ensure_running(box, server, opts, save)
  if server.pid(box) and system.wait(START_LIMIT, function() return server.answers(box) end) then
    return
  end
  servers.stop(box, server, "KILL") -- only if it runs and does not answer
  servers.say(opts, "starting %s", server.title(box))
  for _ = 1, 8 do
    if not servers.start(box, server, opts) then return end
    servers.new_port(box, server)
    save(box)
  end
  unavailable(server, "no free port for %s (log: %s)", server.title(box),
    server.log(box))
end

---Sends STOP or CONT to a server and all its processes.
function servers.signal(box, server, signal)
  local pid = server.pid(box)
  if not pid then return end
  for _, one in ipairs(system.children(pid)) do kill(one, signal) end
  kill(pid, signal)
end

---Starts a server on the port it has, whatever state it is in now.
function servers.restart(box, server, opts)
  if server.pid(box) then
    if server.answers(box) then return end
    servers.stop(box, server, "KILL")
  end
  -- A client's closing connection can hold the port for a moment.
  local started = system.wait(START_LIMIT, function()
    return not servers.start(box, server, opts)
  end)
  if not started then
    unavailable(server, "the port of %s is in use (log: %s)", server.title(box), server.log(box))
  end
end

return servers
