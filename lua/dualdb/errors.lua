--- Error objects: made here or by the engine, raised, and turned into exit codes.

local core = require "dualdb.core"

local errors = {}

---@class dualdb.Error
---@field class string          one of the names in core.classes
---@field message string        lowercase, one line, no password in it
---@field side string|nil       "primary" or "secondary"
---@field code integer|nil      the server's number
---@field sqlstate string|nil
---@field retryable boolean
---@field outcome string        "applied", "not_applied" or "unknown"
---@field detail string|nil
---@field hint string|nil
---@field model string|nil
---@field key any

--- Makes an error object; `fields` are added to it.
---@param class string
---@param message string
---@param fields table|nil
---@return dualdb.Error
function errors.make(class, message, fields)
  return core.new_error(class, message, fields)
end

--- Raises an error object of the class; the message is a format when there are arguments.
---@param class string
---@param format string
function errors.raise(class, format, ...)
  error(core.new_error(class, select("#", ...) > 0 and format:format(...) or format))
end

---@param value any
---@return boolean
function errors.is(value)
  return core.is_error(value)
end

--- Any raised value as an error object: what is not one already becomes class `internal`.
---@param value any
---@return dualdb.Error
function errors.wrap(value)
  if core.is_error(value) then return value end
  return core.new_error("internal", tostring(value))
end

local SIDE_EXIT = { primary = 4, secondary = 5 }

--- The process's exit code for an error.
---@param err any
---@return integer
function errors.exit_code(err)
  if not core.is_error(err) then return 70 end
  local class = core.classes[err.class]
  return class.exit_code or SIDE_EXIT[err.side] or 70
end

local ORDER = { 130, 70, 2, 3, 4, 5, 6, 8, 7, 1 }

--- The exit code of a run in which several things went wrong.
---@param codes integer[]
---@return integer
function errors.strongest(codes)
  local seen = {}
  for _, code in ipairs(codes) do seen[code] = true end
  for _, code in ipairs(ORDER) do
    if seen[code] then return code end
  end
  return 0
end

--- A caller's argument that makes no sense; `what` names it.
function errors.usage(format, ...)
  errors.raise("usage", format, ...)
end

return errors
