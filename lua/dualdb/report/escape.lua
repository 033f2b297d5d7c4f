--- Text on its way into a page: it stays text, whatever it says.

local core = require "dualdb.core"

local escape = {}

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
                   ["'"] = "&#39;" }

--- For the content of an element, and for an attribute in quotes. Characters that no page may have
--- and bytes that are no UTF-8 become U+FFFD.
---@param text string
---@return string
function escape.html(text)
  local parts, at = {}, 1
  while at <= #text do
    local good, bad = utf8.len(text, at)
    parts[#parts + 1] = text:sub(at, good and #text or bad - 1)
    if good then break end
    parts[#parts + 1] = "\xEF\xBF\xBD"
    at = bad + 1
  end
  return (table.concat(parts):gsub("[%z\1-\8\11\12\14-\31\127]", "\xEF\xBF\xBD")
    :gsub("[&<>\"']", ENTITIES))
end

--- JSON, of any value, that stands in a script element: no tag and no comment begins or ends in it,
--- and no line ends that one reader sees and another does not.
---@param json string
---@return string
function escape.script(json)
  return (json:gsub("[<>&]", { ["<"] = "\\u003c", [">"] = "\\u003e", ["&"] = "\\u0026" })
    :gsub("\xE2\x80[\xA8\xA9]", { ["\xE2\x80\xA8"] = "\\u2028", ["\xE2\x80\xA9"] = "\\u2029" })
    :gsub("\127", "\\u007f"))
end

--- Text as a JSON string that may stand in a script element.
---@param text string   UTF-8
---@return string
function escape.text(text)
  return escape.script(core.json_string(text))
end

return escape
