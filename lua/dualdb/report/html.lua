--- The report as one page that needs nothing else: what it shows stands in it as JSON, and its own
--- script (page/) draws it. Memory does not grow with the differences: those beyond a number and a
--- size are counted and not shown.

local assets = require "dualdb.report.assets"
local core = require "dualdb.core"
local escape = require "dualdb.report.escape"
local json = require "dualdb.json"
local memory = require "dualdb.memory"
local places = require "dualdb.report.places"
local quarantine = require "dualdb.quarantine"
local system = require "dualdb.sandbox.system"
local values = require "dualdb.report.values"

local html = {}

--- Differences of a model that are shown at most, and bytes of them; bytes of those of all models.
local SHOWN, BYTES, ALL_BYTES = 1000, 4 << 20, 32 << 20
--- Bytes that are kept of a value that has not changed, and of one of a row that one side has.
local SAME, LONELY = 256, 2048

-- ---- what the page says of the run ----

--- No URL, and nothing else that can hold a password.
local function describe(side)
  local settings = side.settings
  local about = {
    host = settings.socket or settings.host, port = settings.port, database = settings.dbname,
    user = settings.user,
  }
  local ok, info = pcall(side.info, side)
  if ok then
    about.product, about.version = info.product, info.version
  elseif core.is_error(info) and info.class == "canceled" then
    error(info, 0)
  end
  return about
end

local function moment(microseconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", microseconds // 1000000)
end

-- ---- differences ----

--- How many of each part's differences are shown, so that no part takes what others could have.
---@param counts integer[]
---@param total integer
---@return integer[]
function html.shares(counts, total)
  local order, shares = {}, {}
  for i = 1, #counts do order[i] = i end
  table.sort(order, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] < counts[b] end
    return a < b
  end)
  for n, i in ipairs(order) do
    shares[i] = math.min(counts[i], total // (#order - n + 1))
    total = total - shares[i]
  end
  return shares
end

--- A column's value as text. One at a time: it may have megabytes.
local function field_text(spec, packed, index)
  memory.sweep()
  local field = core.pick(packed, { index })
  memory.note(2 * #field)
  return core.texts(spec.kinds:sub(index, index), field)[1]
end

local function changed_parts(spec, found)
  local changed, same, differs = {}, {}, {}
  for _, index in ipairs(core.differing(found.primary, found.secondary)) do
    differs[index] = true
    changed[#changed + 1] = ("[%d,%s,%s]"):format(index - 1,
      values.pair(spec.kinds:sub(index, index), field_text(spec, found.primary, index),
        field_text(spec, found.secondary, index)))
  end
  for index = spec.key_count + 1, #spec.names do
    if not differs[index] then
      same[#same + 1] = ("[%d,%s]"):format(index - 1,
        values.one(spec.kinds:sub(index, index), field_text(spec, found.primary, index), SAME))
    end
  end
  return (',"changed":[%s],"same":[%s]'):format(table.concat(changed, ","),
    table.concat(same, ","))
end

local function lonely_row(spec, packed)
  local list = {}
  for index in ipairs(spec.names) do
    list[index] = values.one(spec.kinds:sub(index, index), field_text(spec, packed, index), LONELY)
  end
  return (',"row":[%s]'):format(table.concat(list, ","))
end

--- A difference as JSON; `part` counts from 1 and is nil when it is not known.
local function difference_json(spec, found, part)
  local key = core.prefix(found.key, spec.key_count)
  local text = ('{"kind":"%s","key":%s'):format(found.kind, values.key(spec.key_kinds, key))
  if part then text = ('%s,"part":%d'):format(text, part - 1) end
  if found.pending then text = text .. ',"pending":true' end
  if found.reason then
    text = ('%s,"reason":%s'):format(text,
      escape.text(quarantine.text(found.column, found.reason)))
  end
  local lonely = found.primary or found.secondary
  if found.primary and found.secondary then
    text = text .. changed_parts(spec, found)
  elseif lonely then
    text = text .. lonely_row(spec, lonely)
  end
  return text .. "}"
end

-- ---- models ----

local FIELDS = {
  "model", "verdict", "reason", "rows_primary", "rows_secondary", "missing", "extra", "changed",
  "not_verified", "quarantined", "pending", "policies", "method", "method_reason", "chunks",
  "seconds", "error", "coverage", "sample", "changed_columns", "run",
}

local function part_entry(spec, part)
  local entry = {}
  for name, value in pairs(part) do entry[name] = value end
  for _, name in ipairs { "first", "last" } do
    local packed, kinds = places.pack(spec, part[name])
    entry[name] = packed and json.raw(values.key(kinds, packed)) or nil
  end
  return entry
end

--- What the page says of a model, but its differences.
local function model_entry(report)
  local entry, spec = {}, report.spec
  for _, name in ipairs(FIELDS) do entry[name] = report[name] end
  entry.narrowed, entry.uncovered = json.array(report.narrowed), json.array(report.uncovered)
  entry.columns, entry.map = json.array(), json.array()
  if not spec then return entry end
  entry.table, entry.key = spec.table, json.array(spec.key_names)
  for i, name in ipairs(spec.names) do
    entry.columns[i] = { name = name, kind = core.kind_name(spec.kinds:sub(i, i)) }
  end
  for i, part in ipairs(report.map or {}) do entry.map[i] = part_entry(spec, part) end
  return entry
end

-- ---- the page ----

---@class dualdb.Page
local Page = {}
Page.__index = Page

local HEAD = [[
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-%s'; ]]
  .. [[script-src 'nonce-%s'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>verify %s</title>
<style nonce="%s">
%s</style>
</head>
<body>
<main id="page"></main>
]]

local SCRIPTS = {
  "values.js", "difference.js", "state.js", "map.js", "rows.js", "top.js", "models.js", "page.js",
}

--- Begins a page.
---@param db dualdb.Database
---@param write fun(text: string)   called with parts of it
---@return dualdb.Page
function html.open(db, write)
  local page = setmetatable({
    db = db, write = write, started = core.wall_clock(), left = ALL_BYTES, summary = {},
    -- What no value in the page can know: only elements that have it are style or script.
    nonce = system.random(16),
  }, Page)
  write(HEAD:format(page.nonce, page.nonce, escape.html(db.name), page.nonce,
    assets.read("page/style.css")))
  return page
end

function Page:write_differences(report)
  local spec, shown, bytes = report.spec, 0, 0
  local counts = {}
  for i, part in ipairs(report.map or {}) do
    counts[i] = part.missing + part.extra + part.changed
  end
  local left, place = html.shares(counts, SHOWN), places.of(spec, report.map or {})
  for found in report:each() do
    local part = place(found.key)
    if not part or left[part] > 0 then
      if part then left[part] = left[part] - 1 end
      local text = difference_json(spec, found, part)
      bytes = bytes + #text
      if shown > 0 and bytes > math.min(BYTES, self.left) then break end
      self.write((shown > 0 and ",\n" or "\n") .. text)
      shown = shown + 1
    end
    if shown == SHOWN then break end
  end
  self.left = math.max(0, self.left - bytes)
end

--- Takes a model, whose report may say no more than that it was not verified.
---@param report dualdb.Report|table
function Page:add(report)
  local entry = model_entry(report)
  self.summary[#self.summary + 1] = ("<tr><th scope=\"row\">%s</th><td>%s</td><td>%d</td></tr>\n")
    :format(escape.html(entry.model), entry.verdict, entry.missing + entry.extra + entry.changed)
  self.write('<script type="application/json" class="model">{"about":')
  self.write(escape.script(json.encode(entry)))
  self.write(',"differences":[')
  if entry.missing + entry.extra + entry.changed > 0 and report.spool then
    self:write_differences(report)
  end
  self.write("]}</script>\n")
end

local WITHOUT_SCRIPT = [[
<noscript>
<h1>%s</h1>
<p>The map and the rows are drawn by a script of this page, which is not allowed to run here.</p>
<table>
<thead><tr><th scope="col">model</th><th scope="col">verdict</th><th scope="col">differences</th>
</tr></thead>
<tbody>
%s</tbody>
</table>
</noscript>
]]

--- Ends the page.
---@param verdict "equal"|"different"|"not_verified"   on all models
function Page:finish(verdict)
  local db, now = self.db, core.wall_clock()
  local run = {
    verdict = verdict, project = db.name, version = core.VERSION, host = core.hostname(),
    user = core.user_name(),
    started = moment(self.started), ended = moment(now), seconds = (now - self.started) / 1e6,
    primary = describe(db.primary), secondary = describe(db.secondary),
  }
  self.write(WITHOUT_SCRIPT:format(verdict, table.concat(self.summary)))
  self.write(('<script type="application/json" id="run">%s</script>\n'):format(
    escape.script(json.encode(run))))
  self.write(('<script nonce="%s">\n(() => {\n"use strict";\n'):format(self.nonce))
  for _, name in ipairs(SCRIPTS) do self.write(assets.read("page/" .. name)) end
  self.write("})();\n</script>\n</body>\n</html>\n")
end

return html
