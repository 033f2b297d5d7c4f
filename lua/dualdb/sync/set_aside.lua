local set_aside = {}
function set_aside.take() return {} end
function set_aside.pending() return {} end
function set_aside.quarantine_orphans() end
return set_aside
