-- Opens a page from disk in headless Chromium, with no network, and gives the document that its
-- scripts have made of it.

local browser = {}

local PROGRAMS = "chromium chromium-headless-shell chromium-browser google-chrome"

--- No name resolves and every proxy is refused: whatever the page asked for would fail.
local FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
  .. "--disable-background-networking --disable-component-update --disable-sync "
  .. "--disable-dev-shm-usage --proxy-server=127.0.0.1:9 --host-resolver-rules='MAP * ~NOTFOUND' "
  .. "--virtual-time-budget=5000 --dump-dom"

local function capture(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read("a")
end

local program

local function find()
  local look = ("for p in %s; do command -v $p && break; done"):format(PROGRAMS)
  program = program or capture(look):match "[^\n]+"
  return assert(program, "no Chromium: scripts/install-packages.sh browser")
end

--- The document as HTML, without its scripts and styles. `state` is what its address says behind
--- the #.
---@param path string   absolute
---@param state table<string, string>|nil
---@return string
function browser.open(path, state)
  local words = {}
  for name, value in pairs(state or {}) do
    words[#words + 1] = name .. "=" .. value:gsub("[^%w]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
  end
  local home = capture("mktemp -d /tmp/dualdb-spec-XXXXXX"):gsub("\n", "")
  local document = capture(("HOME=%s timeout 60 %s %s --user-data-dir=%s/data 'file://%s#%s' "
    .. "2>%s/err"):format(home, find(), FLAGS, home, path, table.concat(words, "&"), home))
  if not document:find("<html", 1, true) then
    error("the browser gave no document: " .. capture("tail -c 2000 " .. home .. "/err"))
  end
  os.execute("rm -rf " .. home)
  return (document:gsub("<script.->.-</script>", ""):gsub("<style.->.-</style>", ""))
end

local ENTITIES = { amp = "&", lt = "<", gt = ">", quot = '"', nbsp = "\u{A0}" }

--- What a person reads in a piece of the document.
---@param html string
---@return string
function browser.text(html)
  return (html:gsub("<[^>]*>", ""):gsub("&(%a+);", ENTITIES))
end

--- Each element of a name in a piece of the document that has no other of that name inside.
---@param html string
---@param name string
---@return string[]
function browser.elements(html, name)
  local list = {}
  for element in html:gmatch(("<%s[ >].-</%s>"):format(name, name)) do
    list[#list + 1] = element
  end
  return list
end

return browser
