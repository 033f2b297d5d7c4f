-- The music shop "Chinook", as published for MySQL and for PostgreSQL. Each file is loaded by its
-- server's own client. Which rows differ is found here from what the two clients print, with no
-- code of dualdb; dualdb has to report exactly that, and after a repair the clients have to agree.

local cli = require "spec.support.cli"

local DATA = "../shared/data/chinook/"
local MYSQL, PSQL = os.getenv "DUALDB_SANDBOX_MYSQL", os.getenv "DUALDB_SANDBOX_PSQL"

-- Table and columns, the key first: { primary's name, secondary's name }.
local TABLES = {
  { "Album", "album", 1, "AlbumId", "Title", "ArtistId" },
  { "Artist", "artist", 1, "ArtistId", "Name" },
  { "Customer", "customer", 1, "CustomerId", "FirstName", "LastName", "Company", "Address", "City",
    "State", "Country", "PostalCode", "Phone", "Fax", "Email", "SupportRepId" },
  { "Employee", "employee", 1, "EmployeeId", "LastName", "FirstName", "Title", "ReportsTo",
    "BirthDate", "HireDate", "Address", "City", "State", "Country", "PostalCode", "Phone", "Fax",
    "Email" },
  { "Genre", "genre", 1, "GenreId", "Name" },
  { "Invoice", "invoice", 1, "InvoiceId", "CustomerId", "InvoiceDate", "BillingAddress",
    "BillingCity", "BillingState", "BillingCountry", "BillingPostalCode", "Total" },
  { "InvoiceLine", "invoice_line", 1, "InvoiceLineId", "InvoiceId", "TrackId", "UnitPrice",
    "Quantity" },
  { "MediaType", "media_type", 1, "MediaTypeId", "Name" },
  { "Playlist", "playlist", 1, "PlaylistId", "Name" },
  { "PlaylistTrack", "playlist_track", 2, "PlaylistId", "TrackId" },
  { "Track", "track", 1, "TrackId", "Name", "AlbumId", "MediaTypeId", "GenreId", "Composer",
    "Milliseconds", "Bytes", "UnitPrice" },
}

local PROJECT = [[
return {
  name = "chinook",
  primary = %q,
  secondary = %q,
  tables = "snake_case",
  columns = "snake_case",
}
]]

local function exists(path)
  local file = io.open(path)
  return file and file:close()
end

local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1", "r"))
  local text = pipe:read "a"
  assert(pipe:close(), text)
  return text
end

local function snake(name)
  return (name:gsub("(%l)(%u)", "%1_%2"):lower())
end

--- Rows by key as the client prints them: values separated by 0x1f, rows by 0x1e.
local function rows_of(text, key_count)
  local rows = {}
  for line in text:gmatch "([^\30]*)\30" do
    line = line:gsub("^\n", "")
    local values = {}
    for value in (line .. "\31"):gmatch "([^\31]*)\31" do values[#values + 1] = value end
    rows[table.concat(values, "/", 1, key_count)] = values
  end
  return rows
end

local function from_mysql(tab)
  local parts = {}
  for i = 4, #tab do parts[i - 3] = ("ifnull(`%s`, '(null)')"):format(tab[i]) end
  local sql = ("select concat(%s, char(30)) from `%s`"):format(
    table.concat(parts, ", char(31), "), tab[1])
  return rows_of(output(("%s --batch --raw --skip-column-names Chinook -e \"%s\""):format(MYSQL,
    sql:gsub("`", "\\`"))), tab[3])
end

local function from_postgres(tab)
  local parts = {}
  for i = 4, #tab do parts[i - 3] = ("coalesce(%s::text, '(null)')"):format(snake(tab[i])) end
  local sql = ("select concat(%s, chr(30)) from %s"):format(table.concat(parts, ", chr(31), "),
    tab[2])
  return rows_of(output(("PGDATABASE=chinook %s -A -t -c \"%s\""):format(PSQL, sql)), tab[3])
end

--- What differs by the clients' text: "Model/key" -> { column = { a, b } }, and how many rows.
local function outside_differences()
  local found, rows = {}, 0
  for _, tab in ipairs(TABLES) do
    local a, b = from_mysql(tab), from_postgres(tab)
    for key, values in pairs(a) do
      rows = rows + 1
      if not b[key] then
        found[tab[1] .. "/" .. key] = "missing"
      else
        local columns, any = {}, false
        for i, value in ipairs(values) do
          if value ~= b[key][i] then
            columns[tab[i + 3]] = { value, b[key][i] }
            any = true
          end
        end
        if any then found[tab[1] .. "/" .. key] = columns end
      end
    end
    for key in pairs(b) do
      if not a[key] then found[tab[1] .. "/" .. key] = "extra" end
    end
  end
  return found, rows
end

local function count(map)
  local n = 0
  for _ in pairs(map) do n = n + 1 end
  return n
end

describe("the published Chinook databases", function()
  if not exists(DATA .. "Chinook_MySql.sql") then
    pending("are not here: ../shared/data/chinook is absent, so this spec is skipped")
    return
  end
  if not MYSQL or not PSQL then
    pending("need the sandbox's own clients (dualdb sandbox env), so this spec is skipped")
    return
  end

  local directory

  setup(function()
    directory = cli.directory()
    output(("%s < %sChinook_MySql.sql"):format(MYSQL, DATA))
    output(("%s -q -f %sChinook_PostgreSql.sql"):format(PSQL, DATA))
    local function other(name, database)
      return (os.getenv(name):gsub("/[^/]*$", "/" .. database))
    end
    directory:write("dualdb.lua", PROJECT:format(
      other("DUALDB_SANDBOX_MYSQL_SUPERUSER_URL", "Chinook"),
      other("DUALDB_SANDBOX_PG_SUPERUSER_URL", "chinook")))
  end)

  teardown(function()
    output(("%s -e 'drop database if exists Chinook'"):format(MYSQL))
    output(("%s -q -c 'drop database if exists chinook with (force)'"):format(PSQL))
    directory:remove()
  end)

  -- The project file alone says where the databases are.
  local ALONE = { unset = { "DUALDB_PRIMARY_URL", "DUALDB_SECONDARY_URL" } }

  it("differ in exactly the rows, columns and values that the clients' text shows", function()
    local expected, rows = outside_differences()
    assert.is_true(rows > 15000)
    assert.is_true(count(expected) > 0)

    local words = { "verify", "--all", "--report", "report.jsonl" }
    local document, result = directory:json(words, ALONE)
    assert.equal(1, result.code, result.err)
    assert.equal("different", document.verdict)
    assert.equal(#TABLES, #document.models)
    local compared = 0
    for _, model in ipairs(document.models) do compared = compared + model.rows_primary end
    assert.equal(rows, compared)

    local reported = {}
    for _, d in ipairs(cli.json_lines(directory:read "report.jsonl")) do
      for _, tab in ipairs(TABLES) do
        if tab[1] == d.model then
          local key = {}
          for i = 1, tab[3] do key[i] = math.tointeger(d.key[tab[3 + i]]) end
          local entry = d.kind
          if d.kind == "changed" then
            entry = {}
            for _, name in ipairs(d.columns) do
              entry[name] = { d.primary[name], d.secondary[name] }
            end
          end
          reported[d.model .. "/" .. table.concat(key, "/")] = entry
        end
      end
    end
    assert.same(expected, reported)
  end)

  it("are equal by the clients' text after a repair, and dualdb agrees", function()
    local result = directory:run({ "repair", "--all", "--yes", "--allow-delete" }, ALONE)
    assert.equal(0, result.code, result.err)
    assert.same({}, (outside_differences()))
    result = directory:run({ "verify", "--all" }, ALONE)
    assert.equal(0, result.code, result.out)
  end)

  it("are not touched by a repair that nobody confirmed", function()
    output(("PGDATABASE=chinook %s -q -c \"update artist set name = 'x' where artist_id = 1\"")
      :format(PSQL))
    assert.equal(6, directory:run({ "repair", "--all" }, ALONE).code)
    assert.equal(1, count((outside_differences())))
    assert.equal(0, directory:run({ "repair", "Artist", "--yes" }, ALONE).code)
    assert.equal(0, count((outside_differences())))
  end)
end)
