-- The page of verify --report FILE.html, as a person who opens it from disk sees it.

local browser = require "spec.support.browser"
local cli = require "spec.support.cli"
local clients = require "spec.support.clients"
local dualdb = require "dualdb"
local html = require "dualdb.report.html"
local pair = require "spec.support.pair"

local VALUES, MANY, SAME = "report_values", "report_many", "report_same"

-- A model's name is a text like any other.
local NAME = "V</script><i>\"'&"

local PROJECT = [[
return {
  name = "report-spec", policy = { recheck = 0.02 },
  models = {
    ["V</script><i>\"'&"] = { table = "report_values" },
    Many = { table = "report_many" },
    Same = { table = "report_same" },
  },
}
]]

local ATTACKS = {
  "<script>document.documentElement.dataset.hacked = 1</script>",
  "</script><script>document.documentElement.dataset.hacked = 1</script>",
  "<!-- <script ",
  "</script <img src=x onerror=document.documentElement.dataset.hacked=1 x=",
  "\"onmouseover=\"document.documentElement.dataset.hacked=1\" x=\"",
  "<img src=x onerror=document.documentElement.dataset.hacked=1>",
  "]]>\\u003cb\\n${hacked}&lt;i&gt;",
}

local LONG = ("x"):rep(500000)

-- The note of a row by its id, on the primary and on the secondary.
local NOTES = {
  [101] = { "the quick fox", "the qu1ck fox" },
  [102] = { dualdb.NULL, "NULL" },
  [103] = { "", " " },
  [104] = { LONG .. "old" .. LONG, LONG .. "new!" .. LONG },
  [105] = { "zwölf 日本 🎈", "zwölf 日木 🎈" },
  [106] = { "a\u{2028}b", "a\u{202E}b\u{200B}\tc" },
  [107] = { "Zoë", "Zoe\u{308}" },
}

-- What a person does in a page, and notes of what it then says, as attributes of the document.
local DEEDS = [[
const root = document.documentElement, find = (text) => document.querySelector(text);
const note = (name) => { root.dataset[name] = `${location.hash} ${root.dataset.ready}`; };
find('.models button[aria-label="Many"]').click();
note("model");
find(".cells button").focus();
find(".cells button").dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
root.dataset.end = document.activeElement.getAttribute("aria-label");
root.dataset.tip = find(".tip").hidden;
document.activeElement.click();
note("part");
root.dataset.kept = document.activeElement.getAttribute("aria-selected");
find(".clear").click();
note("clear");
find("select[name=kind]").value = "missing";
find("select[name=kind]").dispatchEvent(new Event("change"));
find("input[name=q]").value = "<PRIMARY>";
find("input[name=q]").dispatchEvent(new Event("input"));
note("search");
location.hash = "#kind=changed&q=old";
addEventListener("hashchange", () => {
  note("back");
  const buttons = document.querySelectorAll("article .unfold").length;
  find("article .unfold").click();
  root.dataset.unfolded = `${buttons} ${document.querySelectorAll("article .unfold").length} `
    + find("article .left-out").textContent;
});
]]

local db, dir

local function plant()
  pair.make(db, VALUES, {
    mysql = "id bigint primary key, note longtext character set utf8mb4, raw varbinary(100), "
      .. "ok tinyint(1)",
    postgres = "id bigint primary key, note text, raw bytea, ok boolean",
  })
  pair.make(db, MANY, { mysql = "id int primary key", postgres = "id int primary key" })
  pair.make(db, SAME, { mysql = "id int primary key", postgres = "id int primary key" })
  local insert = ("insert into %s values (?, ?, ?, ?)"):format(VALUES)
  local function row(id, primary, secondary, raw, other)
    db.primary:execute(insert, id, primary, dualdb.bytes(raw or "\0\xFF\x10"), true)
    db.secondary:execute(insert, id, secondary, dualdb.bytes(other or raw or "\0\xFF\x10"), true)
  end
  for i, attack in ipairs(ATTACKS) do row(i, attack, attack .. "!") end
  for id, note in pairs(NOTES) do row(id, note[1], note[2]) end
  row(201, "same", "same", "\0\xFF\x10", "\0\xFE\x10")
  db.primary:execute(insert, 301, "on the <primary> alone", dualdb.bytes "\1", false)
  -- PostgreSQL has no text with it.
  db.primary:execute(insert, 302, "nul \0 inside", dualdb.bytes "\1", false)
  db.secondary:execute(insert, 303, "on the secondary alone", dualdb.bytes "\2", false)
  db.secondary:execute(("insert into %s select generate_series(1, 1500)"):format(MANY))
end

setup(function()
  db = dualdb.open { name = "spec" }
  dir = cli.directory()
  dir:write("dualdb.lua", PROJECT)
  plant()
end)

teardown(function()
  pair.drop_all(db)
  db:close()
  dir:remove()
end)

-- The articles of the differences, by the text of their heading.
local function articles(document)
  local found = {}
  for _, article in ipairs(browser.elements(document, "article")) do
    found[browser.text(article:match "<h3>(.-)</h3>")] = article
  end
  return found
end

-- The cells of an article's lines, two for each.
local function sides(article)
  local cells = {}
  for _, cell in ipairs(browser.elements(article, "td")) do
    cells[#cells + 1] = cell:match "^<td[^>]*>(.*)</td>$"
  end
  return cells
end

local function ready(document)
  local root = document:match "<html[^>]*>"
  assert.is_nil(root:find("data-error", 1, true), root)
  assert.is_nil(root:find("data-hacked", 1, true), "a value was run")
  return tonumber(root:match 'data%-ready="(%d+)"')
end

describe("verify --report FILE.html", function()
  local result, page, document

  setup(function()
    local run
    result, run = dir:json { "verify", "--all", "--report", "r.html", "--report", "r.jsonl" }
    assert(run.code == 1, run.err)
    page = assert(dir:read "r.html")
    document = browser.open(dir.path .. "/r.html", { model = NAME })
  end)

  local function entry(name)
    for _, model in ipairs(result.models) do
      if model.model == name then return model end
    end
  end

  it("leaves both reports, and a page that needs nothing but itself", function()
    assert.same({ "dualdb.lua", "r.html", "r.jsonl" }, dir:list())
    local own = page:gsub('<script type="application/json".-</script>', "")
    for _, reference in ipairs { "src=", "href=", "url%(", "@import", "https?:", "fetch%(",
                                 "innerHTML", "eval%(" } do
      assert.is_nil(own:find(reference), reference)
    end
    assert.matches("default%-src 'none'", own)
    local nonce = own:match "script%-src 'nonce%-(%x+)'"
    assert.equal(32, #nonce)
    assert.matches(('<script nonce="%s">'):format(nonce), own)
  end)

  it("says no password and no URL", function()
    for _, name in ipairs { "DUALDB_PRIMARY_URL", "DUALDB_SECONDARY_URL" } do
      local password = os.getenv(name):match "^%a+://[^:/@]*:([^@]+)@"
      assert.is_nil(password and page:find(password, 1, true))
    end
    assert.is_nil(page:find("mysql://", 1, true) or page:find("postgresql://", 1, true))
  end)

  it("shows the verdict, what it rests on, and the counts of the JSON result", function()
    local text = browser.text(document)
    assert.equal("Different", browser.text(document:match "<h1>(.-)</h1>"))
    local missing, extra, changed = 0, 0, 0
    for _, model in ipairs(result.models) do
      missing, extra = missing + model.missing, extra + model.extra
      changed = changed + model.changed
    end
    assert.same({ 2, 1501, 15 }, { missing, extra, changed })
    assert.truthy(text:find("1,518 rows differ in 2 of 3 models: 2 missing, 1,501 extra, "
      .. "15 changed.", 1, true))
    assert.truthy(text:find("primary" .. os.getenv("DUALDB_PRIMARY_URL"):match "/([^/?]+)[^/]*$",
      1, true))
    for _, line in ipairs(browser.elements(document:match "<tbody>(.-)</tbody>", "tr")) do
      local cells = browser.elements(line, "td")
      for i, cell in ipairs(cells) do cells[i] = browser.text(cell) end
      local model = entry(browser.text(line:match "<th.-</th>"))
      assert.equal(({ equal = "Equal", different = "Different" })[model.verdict], cells[1])
      local counts = { math.max(model.rows_primary, model.rows_secondary), model.missing,
                       model.extra, model.changed, model.pending, model.not_verified }
      for i, count in ipairs(counts) do
        assert.equal(("%d"):format(count), (cells[i + 2]:gsub(",", "")))
      end
    end
  end)

  it("shows hostile values as text and runs none of them", function()
    assert.equal(18, ready(document))
    local found = articles(document)
    for i, attack in ipairs(ATTACKS) do
      local cells = sides(found[NAME .. " id " .. i])
      assert.equal(attack, browser.text(cells[1]))
      assert.equal(attack .. "!", browser.text(cells[2]))
    end
    assert.is_nil(document:find "<img" or document:find "<[^>]*%sonmouseover=")
    assert.equal(NAME, browser.text(document:match '<section class="model".-<h2>(.-) <span'))
  end)

  it("marks the characters that have changed, and those alone", function()
    local found = articles(document)
    local function marked(id)
      local list = {}
      for i, cell in ipairs(sides(found[NAME .. " id " .. id])) do
        list[i] = cell:gsub('<mark title="[^"]*">', "["):gsub('<mark class="gap"[^>]*>', "[")
          :gsub("<mark>", "["):gsub("</mark>", "]"):gsub("<[^>]*>", "")
      end
      return list
    end
    assert.same({ "the qu[i]ck fox", "the qu[1]ck fox" }, marked(101))
    assert.same({ "zwölf 日[本] 🎈", "zwölf 日[木] 🎈" }, marked(105))
    assert.same({ "00 [ff] 10", "00 [fe] 10" }, marked(201))
    assert.same({ "Zo[ë]", "Zo[e◌\u{308}]" }, marked(107))
    assert.same({ "a[U+2028b]", "a[U+202EbU+200B⇥c]" }, marked(106))
    for _, unseen in ipairs { "\u{202E}", "\u{2028}", "\u{200B}" } do
      assert.is_nil(document:find(unseen, 1, true))
    end
  end)

  it("tells NULL, the text NULL, a blank and an empty text apart", function()
    local found = articles(document)
    local cells = sides(found[NAME .. " id 102"])
    assert.matches('^<span class="null"[^>]*>NULL</span>$', cells[1])
    assert.matches('^<mark><bdi class="value">NULL</bdi></mark>$', cells[2])
    cells = sides(found[NAME .. " id 103"])
    assert.matches('class="empty">empty<', cells[1])
    assert.matches('<bdi class="value"> </bdi>', cells[2])
  end)

  it("cuts a long text around what has changed, and says how much it leaves out", function()
    assert.True(#page < 400000, #page)
    local cells = sides(articles(document)[NAME .. " id 104"])
    assert.matches("<mark[^>]*>old</mark>", cells[1])
    assert.matches("<mark[^>]*>new!</mark>", cells[2])
    assert.equal(("x"):rep(24) .. "… 499,916 more …" .. ("x"):rep(60) .. "old" .. ("x"):rep(40)
      .. "… 499,920 more …" .. ("x"):rep(40), browser.text(cells[1]))
  end)

  it("shows a row that one side has, and why the secondary cannot hold it", function()
    local found = articles(document)
    local cells = sides(found[NAME .. " id 301"])
    assert.equal("on the <primary> alone", browser.text(cells[3]))
    assert.equal("no row", browser.text(cells[4]))
    assert.matches('class="difference missing"', found[NAME .. " id 301"])
    assert.equal("on the secondary alone", browser.text(sides(found[NAME .. " id 303"])[4]))
    assert.matches("The secondary cannot hold it: column note: ", found[NAME .. " id 302"])
    assert.equal("nul ␀ inside", browser.text(sides(found[NAME .. " id 302"])[3]))
  end)

  it("counts the changes of each column, and lets it be chosen", function()
    local columns = {}
    for _, line in ipairs(browser.elements(document:match '<div class="columns">(.-)</div>',
      "li")) do
      columns[line:match '<span class="name">(.-)</span>'] =
        tonumber(line:match '<span class="number">(.-)</span>')
    end
    assert.same(entry(NAME).changed_columns, columns)
    assert.same({ note = 14, raw = 1 }, columns)
    local chosen = browser.open(dir.path .. "/r.html", { model = NAME, column = "raw" })
    assert.equal(1, ready(chosen))
    assert.truthy(articles(chosen)[NAME .. " id 201"])
    assert.matches('<button type="button" aria%-pressed="true" aria%-label="raw: changed in 1 row"',
      chosen)
  end)

  it("filters by kind and by text, and says how many there are beyond the page and where",
  function()
    local chosen = browser.open(dir.path .. "/r.html", { kind = "extra", q = "Secondary" })
    assert.equal(1, ready(chosen))
    assert.truthy(articles(chosen)[NAME .. " id 303"])
    assert.truthy(browser.text(chosen):find("500 more differences of Many are not in this page",
      1, true))
    assert.equal(1518, #cli.json_lines(dir:read "r.jsonl"))
  end)

  it("does what a person does in it, and says so in its address", function()
    local nonce = page:match "'nonce%-(%x+)'"
    dir:write("done.html", (page:gsub("</body>", function()
      return ('<script nonce="%s">%s</script></body>'):format(nonce, DEEDS)
    end)))
    local root = browser.open(dir.path .. "/done.html"):match "<html[^>]*>"
    local function noted(name) return root:match("data%-" .. name .. '="([^"]*)"') end
    assert.equal("#model=Many 1000", noted "model")
    assert.truthy(noted("end"))
    assert.equal("false", noted "tip")
    assert.matches("^#model=Many&amp;part=%d+ %d+$", noted "part")
    assert.equal("true", noted "kept")
    assert.equal(" 1018", noted "clear")
    assert.equal("#kind=missing&amp;q=%3CPRIMARY%3E 1", noted "search")
    assert.equal("#kind=changed&amp;q=old 1", noted "back")
    assert.equal("4 3 499,360 characters not in this page", noted "unfolded")
  end)

  it("has a cell for each part of the map", function()
    local grid = document:match '<div class="cells.-</div>'
    assert.equal(#entry(NAME).map, #browser.elements(grid, "button"))
    assert.matches('class="cell missing extra changed', grid)
  end)
end)

describe("the map of a page", function()
  -- Parts of four ids each, the last one open.
  local function parts_of(report, last)
    local map = {}
    for to = 4, last, 4 do
      map[#map + 1] = { first = to > 4 and { id = to - 4 } or nil, last = { id = to }, rows = 4,
                        missing = 0, extra = 0, changed = 0, pending = 0, not_verified = 0 }
    end
    map[#map].last = nil
    report.map = map
    return map
  end

  it("colours the parts by what differs there, and shows those of a chosen one", function()
    local many = pair.open { Many = { table = MANY } }
    local guard <close> = many
    local report = many:model_of("Many"):verify()
    local map = parts_of(report, 1600)
    for i = 1, 375 do map[i].extra = 4 end
    map[1].changed, map[2].pending = 1, 4
    map[400].reason = "</script> it did not answer"
    report.verdict = "not_verified"
    local file <close> = assert(io.open(dir.path .. "/map.html", "wb"))
    local page = html.open(many, function(text) assert(file:write(text)) end)
    page:add(report)
    page:finish "not_verified"
    file:close()
    local document = browser.open(dir.path .. "/map.html", { model = "Many", part = "3" })
    local cells = browser.elements(document:match '<div class="cells.-</div>', "button")
    assert.equal(400, #cells)
    local classes = {}
    for i, cell in ipairs(cells) do classes[i] = cell:match 'class="([^"]*)"' end
    assert.equal("cell extra changed mixed", classes[1])
    assert.equal("cell pending", classes[2])
    assert.equal("cell extra", classes[3])
    assert.equal("cell equal", classes[376])
    assert.equal("cell unverified", classes[400])
    assert.matches('aria%-selected="true"[^>]*aria%-label="id after 8 through 12: 4 rows, 4 extra"',
      cells[3])
    -- Every part has its share of the 1,000 that are shown, for none has more than four.
    assert.equal(2, ready(document))
    assert.truthy(articles(document)["Many id 9"] and articles(document)["Many id 10"])
    assert.truthy(browser.text(document):find("Part 3 of 400 id after 8 through 12. 4 rows: "
      .. "4 extra. 2 of its differences are not in this page.", 1, true))
    assert.truthy(browser.text(document):find("</script> it did not answer: id after 1596", 1,
      true))
  end)
end)

describe("verify --report", function()
  it("refuses a file of which its ending does not say what it is", function()
    for _, name in ipairs { "r.txt", "r", "html", "r.html.gz" } do
      local run = dir:run { "verify", "Same", "--report", name }
      assert.equal(2, run.code)
      assert.truthy(run.err:find("does not end in .jsonl, .html or .sql", 1, true))
    end
  end)

  it("refuses a file that is named twice, and leaves nothing of the others", function()
    local before = dir:list()
    local run = dir:run { "verify", "Same", "--report", "x.html", "--report", "y.sql", "--report",
                          "x.html" }
    assert.equal(2, run.code)
    assert.matches("%-%-report x%.html is there twice", run.err)
    assert.same(before, dir:list())
  end)

  it("says of equal tables that they are, and of what a page was narrowed to", function()
    local run = dir:run { "verify", "Same", "--where", "id < 5", "--report", "same.html" }
    assert.equal(0, run.code)
    local document = browser.open(dir.path .. "/same.html")
    assert.equal(0, ready(document))
    assert.equal("Equal where it was compared", browser.text(document:match "<h1>(.-)</h1>"))
    assert.truthy(browser.text(document):find("where id < 5", 1, true))
    assert.matches('class="list"[^>]*hidden', document)
  end)
end)

describe("verify --report FILE.sql", function()
  local PARENT, CHILD, OTHER = "report_parent", "report_child", "report_other"
  local FILE = "repair.sql"

  before_each(function()
    pair.drop(db, CHILD)
    local text = "id int primary key, note varchar(20)"
    pair.make(db, PARENT, { mysql = text, postgres = text })
    text = "id int primary key, parent int, foreign key (parent) references report_parent (id)"
    pair.make(db, CHILD, { mysql = text, postgres = text })
    pair.make(db, OTHER, { mysql = "id int primary key", postgres = "id int primary key" })
    db.primary:execute("insert into report_parent values (1, 'a'), (2, 'b\\n--')")
    db.primary:execute("insert into report_child values (10, 1), (11, 2)")
    db.secondary:execute("insert into report_parent values (1, 'x'), (3, 'extra')")
    dir:write("dualdb.lua", [[return { policy = { recheck = 0.02 }, models = {
      A = { table = "report_child" }, B = { table = "report_other", strategy = "secondary_wins" },
      Z = { table = "report_parent" } } }]])
  end)

  after_each(function() pair.drop(db, CHILD) end)

  local function verify(...)
    return dir:json { "verify", ... }
  end

  it("is what a repair would run: its client makes equal all but what it names", function()
    local document, run = verify("--all", "--report", FILE)
    assert.equal(1, run.code)
    assert.same({ 2, 1 }, { document.models[1].missing, document.models[3].missing })
    local text = dir:read(FILE)
    -- A child's rows would be refused before those of its parent.
    assert.True(text:find('insert into "report_parent"', 1, true)
      < text:find('insert into "report_child"', 1, true))
    assert.truthy(text:find("model Z: 1 left as they are: deletes are not allowed", 1, true))
    assert.equal("", clients.file("postgres", dir.path .. "/" .. FILE))
    document = verify("--all", "--report", FILE)
    assert.equal("equal", document.models[1].verdict)
    local parent = document.models[3]
    assert.same({ 0, 1, 0 }, { parent.missing, parent.extra, parent.changed })
    assert.is_nil(dir:read(FILE):find "\n[a-z]+ ")
  end)

  it("is for one side: a model whose repair writes the other is named, and left out", function()
    db.secondary:execute("insert into report_other values (1)")
    local run = dir:run { "verify", "--all", "--report", FILE }
    assert.equal(1, run.code)
    assert.matches("B: its repair is not in the file: it writes the primary", run.err)
    assert.matches("\n%-%- model B: left out: it writes the primary", dir:read(FILE))
    assert.is_nil(dir:read(FILE):find("report_other", 1, true))
    run = dir:run { "verify", "B", "--report", FILE }
    assert.equal("", run.err)
    assert.equal("", clients.file("mysql", dir.path .. "/" .. FILE))
    assert.equal("equal", verify("B").verdict)
  end)

  it("changes nothing that is no longer what the verification saw", function()
    verify("Z", "--report", FILE)
    db.secondary:execute("update report_parent set note = 'newer' where id = 1")
    clients.file("postgres", dir.path .. "/" .. FILE)
    assert.equal("newer", pair.value(db.secondary,
      "select note as v from report_parent where id = 1"))
  end)
end)
