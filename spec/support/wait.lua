--- Waiting for something that will happen, in place of sleeping and hoping.

local core = require "dualdb.core"

local wait = {}

--- Calls `condition` until it returns something true, and returns that. Fails when it has not
--- after `seconds` (10).
---@param what string          what is waited for, for the message
---@param condition fun(): any
---@param seconds number|nil
---@return any
function wait.wait_until(what, condition, seconds)
  local started = core.clock()
  local pause = 0.002
  while true do
    local result = condition()
    if result then return result end
    if core.clock() - started > (seconds or 10) then
      error(("waited %g s in vain until %s"):format(seconds or 10, what), 2)
    end
    core.sleep(pause)
    pause = math.min(2 * pause, 0.05)
  end
end

return wait
