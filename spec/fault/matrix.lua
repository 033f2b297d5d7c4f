--- What the fault specs have tried, printed as a table at the end: protocol and step, by kind of
--- death.

local busted = require "busted"
local core = require "dualdb.core"

local matrix = {}

local rows, by_name, kinds, known = {}, {}, {}, {}

--- The steps of a protocol (or of whatever a step's name begins with), and those named besides.
---@param protocol string
---@param more string[]|nil
---@return { number: integer, name: string, text: string }[]
function matrix.steps(protocol, more)
  local list, wanted = {}, {}
  for _, name in ipairs(more or {}) do wanted[name] = true end
  for _, step in ipairs(core.crash_points()) do
    if step.name:match "^[^.]+" == protocol or wanted[step.name] then list[#list + 1] = step end
  end
  return list
end

local function note(protocol, step, kind, verdict)
  local name = protocol .. "  " .. step
  local row = by_name[name]
  if not row then
    row = { name = name }
    by_name[name], rows[#rows + 1] = row, row
  end
  if not known[kind] then known[kind], kinds[#kinds + 1] = true, kind end
  row[kind] = verdict
end

--- The function of a spec, which is noted as FAILED unless it returns.
---@param protocol string
---@param step string
---@param kind string   of death
---@param fn function
function matrix.watched(protocol, step, kind, fn)
  return function()
    note(protocol, step, kind, "FAILED")
    fn()
    note(protocol, step, kind, "ok")
  end
end

local function text()
  local width, lines, count, failed = #"protocol and step", {}, 0, 0
  for _, row in ipairs(rows) do width = math.max(width, #row.name) end
  local function line(name, cells)
    lines[#lines + 1] = (("%-" .. width .. "s  %s"):format(name, table.concat(cells, "  "))
      :gsub("%s+$", ""))
  end
  local widths, head = {}, {}
  for i, kind in ipairs(kinds) do
    widths[i] = math.max(#kind, #"FAILED")
    head[i] = ("%-" .. widths[i] .. "s"):format(kind)
  end
  line("protocol and step", head)
  for _, row in ipairs(rows) do
    local cells = {}
    for i, kind in ipairs(kinds) do
      cells[i] = ("%-" .. widths[i] .. "s"):format(row[kind] or "-")
      if row[kind] then count = count + 1 end
      if row[kind] == "FAILED" then failed = failed + 1 end
    end
    line(row.name, cells)
  end
  lines[#lines + 1] = ("%d cells, %d failed"):format(count, failed)
  return table.concat(lines, "\n")
end

busted.subscribe({ "suite", "end" }, function()
  if #rows > 0 then io.write("\n", text(), "\n\n") end
  return nil, true -- the next listener is called as well
end)

return matrix
