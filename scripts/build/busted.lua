-- Runs busted inside whatever interpreter runs this file: the stock one, or the dualdb executable.
-- (busted's own --lua=... breaks arguments with spaces.) With DUALDB_SPEC_GC=aggressive the
-- collector starts anew when memory has grown by 10 %: that brings lifetime defects to light.

if os.getenv("DUALDB_SPEC_GC") == "aggressive" then
  collectgarbage("incremental", 110, 400)
end

require "busted.runner" { standalone = false }
