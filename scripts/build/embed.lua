-- Writes the Lua sources given as arguments as one C file: a table of module name, chunk name and
-- text, for core/app/embedded.h. Plain text, not bytecode: stack traces keep names and lines. Any
-- other file is a module that returns its text, by the name of its path.

local out = io.stdout

local function c_string(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  if lines[#lines] == "" then lines[#lines] = nil end
  for i, line in ipairs(lines) do
    line = line:gsub('[\\"]', "\\%0"):gsub("%?", "\\?")
    line = line:gsub("[^\32-\126]", function(c) return string.format('\\%03o', c:byte()) end)
    lines[i] = '    "' .. line .. '\\n"'
  end
  return table.concat(lines, "\n")
end

out:write('/* Made by scripts/build/embed.lua. */\n#include "app/embedded.h"\n\n')
out:write("const dd_embedded dd_embedded_sources[] = {\n")
for _, path in ipairs(arg) do
  local file <close> = assert(io.open(path, "rb"))
  local name, text = path:gsub("^lua/", ""), file:read("a")
  if name:find("%.lua$") then
    name = name:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  else
    text = "return [==[\n" .. text .. "]==]\n"
  end
  out:write(string.format('  {"%s", "@%s",\n%s},\n', name, path, c_string(text)))
end
out:write("  {0, 0, 0}\n};\n")
