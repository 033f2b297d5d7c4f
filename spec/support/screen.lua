--- What a terminal shows of the bytes that a program writes to it: as much of one as dualdb uses.

local text = require "dualdb.cli.text"

local screen = {}

--- The terminal's lines at its end, and how it looked before each time that the cursor went back to
--- the beginning of a line. Fails when a line is as wide as the terminal: it would have wrapped.
---@param bytes string
---@param columns integer
---@return string[] lines, string[][] looks
function screen.show(bytes, columns)
  local lines, row, looks = { "" }, 1, {}
  local fresh = true   -- the cursor is at the beginning of its line, and what is there is replaced
  local function look()
    local copy = { table.unpack(lines) }
    while copy[#copy] == "" do copy[#copy] = nil end
    looks[#looks + 1] = copy
  end
  local at = 1
  while at <= #bytes do
    local escape, count, command = bytes:match("^(\27%[(%d*)(%a))", at)
    local plain = bytes:match("^[^\27\r\n]+", at)
    if escape then
      at = at + #escape
      if command == "A" then
        row = row - tonumber(count)
        assert(row >= 1, "the cursor went above the first line")
      elseif command == "K" or command == "J" then
        if fresh then lines[row] = "" end
        for i = row + 1, command == "J" and #lines or 0 do lines[i] = nil end
      else
        error("an unknown sequence: ESC " .. escape:sub(2))
      end
    elseif plain then
      at = at + #plain
      lines[row] = (fresh and "" or lines[row]) .. plain
      fresh = false
      assert(text.width(lines[row]) < columns, "a line wraps: " .. lines[row])
    else
      if bytes:sub(at, at) == "\r" then
        if bytes:sub(at + 1, at + 1) ~= "\n" then look() end
      else
        row = row + 1
        lines[row] = lines[row] or ""
      end
      fresh, at = true, at + 1
    end
  end
  look()
  return looks[#looks], looks
end

return screen
