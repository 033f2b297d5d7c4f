--- Stops a server of the sandbox by a signal, and starts it again some time later.
---
--- arguments: side, signal ("" = the server's graceful stop), seconds

local core = require "dualdb.core"
local sandbox = require "dualdb.sandbox"

sandbox.stop(arg[1], arg[2] ~= "" and arg[2] or nil)
core.sleep(tonumber(arg[3]))
sandbox.start(arg[1])
