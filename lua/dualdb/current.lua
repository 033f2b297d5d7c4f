--- Which dual write is under way where the program is now. A coroutine has its own: while it is
--- suspended inside a write, what others write is none of that. What runs within it, also by
--- coroutines that it resumes, is.

local errors = require "dualdb.errors"

local current = {}

--- By coroutine; one that was given up in the middle is forgotten.
---@return table<thread, dualdb.Transaction>
function current.none()
  return setmetatable({}, { __mode = "k" })
end

---@param db dualdb.Database
---@param tx dualdb.Transaction|nil
function current.set(db, tx)
  db.current[coroutine.running()] = tx
end

--- The write that a nested one joins, or nil.
---@param db dualdb.Database
---@return dualdb.Transaction|nil
function current.of(db)
  local own = db.current[coroutine.running()]
  if own then return own end
  local found
  for thread, tx in pairs(db.current) do
    if coroutine.status(thread) == "normal" then  -- it has resumed us, or who did
      if found then
        errors.usage("write: this coroutine runs within two dual writes; use the tx of one")
      end
      found = tx
    end
  end
  return found
end

return current
