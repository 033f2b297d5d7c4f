--- The page's own files: embedded in the executable, and beside the Lua sources elsewhere.

local assets = {}

---@param name string   "page/style.css"
---@return string
function assets.read(name)
  local module = "dualdb/report/" .. name
  local embedded = package.preload[module]
  if embedded then return embedded(module) end
  local stem, ending = module:match("^(.*)(%.%a+)$")
  local path = assert(package.searchpath(stem, (package.path:gsub("%?%.lua", "?" .. ending))))
  local file <close> = assert(io.open(path, "rb"))
  return (assert(file:read("a")))
end

return assets
