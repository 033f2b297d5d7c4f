--- SQL of a repair as a file for a server's own client: what it sets before, and after.

local script = {}

local HEAD = {
  mysql = [[
set names utf8mb4;
set time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,]]
    .. [[NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
begin;
]],
  postgres = [[
\set ON_ERROR_STOP on
set client_encoding = 'UTF8';
set standard_conforming_strings = on;
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
begin;
set constraints all deferred;
]],
}

--- What comes before the statements: comments, and settings under which the literals mean the same.
---@param driver "mysql"|"postgres"
---@param comments string[]   lines
---@return string
function script.head(driver, comments)
  local lines = {}
  for i, line in ipairs(comments) do lines[i] = "-- " .. line:gsub("%c", " ") .. "\n" end
  return table.concat(lines) .. HEAD[driver]
end

script.TAIL = "commit;\n"

return script
