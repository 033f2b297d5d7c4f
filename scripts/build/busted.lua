-- Runs busted inside whatever interpreter runs this file: the stock one, or the dualdb executable.
-- (busted's own --lua=... breaks arguments with spaces.) With DUALDB_SPEC_GC=aggressive the
-- collector starts anew as soon as a cycle has ended: that brings lifetime defects to light.

if os.getenv("DUALDB_SPEC_GC") == "aggressive" then
  collectgarbage("incremental", 1, 1000)
end

require "busted.runner" { standalone = false }
