--- Memory is bounded by bytes: what a command needs depends on the largest row, and not on the
--- number of rows or of differences. Each command is a process of its own, which is measured.

local child = require "spec.support.child"
local cli = require "spec.support.cli"
local servers = require "spec.support.servers"

local MIB = 1024 * 1024
--- Bytes of a row.
local WIDTH = 8 * MIB
--- What README.md promises: so much, and ten times the largest row.
local LIMIT = 24 * MIB + 10 * WIDTH
--- Peaks of the same command differ by a batch on either side that was read ahead or was not; if
--- all rows were held, they would differ by twice this and more.
local MARGIN = 3 * WIDTH
--- Numbers of rows that are to need the same.
local FEW, MANY = 3, 9

--- A piece of code that sets `code`, and then the process's peak, as a script.
local SCRIPT = [[
local code
%s
for line in io.lines "/proc/self/status" do
  local peak = line:match "^VmHWM:%%s*(%%d+) kB"
  if peak then print("\npeak", peak) end
end
os.exit(code)
]]

local COPY_BACK = [[
local core, servers = require "dualdb.core", require "spec.support.servers"
core.copy { source = servers.connect "postgres", target = servers.connect "mysql", kinds = "iix",
  query = "select id, n, body from %s", table = %q, columns = "id, n, body", key_columns = %s }
code = 0]]

describe("memory for rows of 8 MiB", function()
  before_each(servers.before_each)
  after_each(servers.after_each)

  --- Runs the code in a process; returns its peak in bytes.
  local function peak_of(expected, code)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(SCRIPT:format(code))
    file:close()
    local text, status = child.command(cli.executable .. " run " .. path):finish()
    os.remove(path)
    assert.equal(expected, status, text)
    return tonumber(text:match "\npeak%s+(%d+)\n") * 1024
  end

  --- The same of a command of dualdb.
  local function peak(expected, ...)
    local words = {}
    for i, word in ipairs { ... } do words[i] = ("%q"):format(word) end
    return peak_of(expected, ('code = require("dualdb.cli").main { [0] = "dualdb", "-q", %s }')
      :format(table.concat(words, ", ")))
  end

  --- The peak of each command on so many rows; where it is to find differences, all of them differ.
  local function peaks(rows)
    local primary, secondary = servers.open "mysql", servers.open "postgres"
    local name = servers.scratch_name()
    local found = {}
    primary:execute(("create table %s (id int primary key, n int, body longblob)"):format(name))
    for id = 1, rows do
      primary:execute(("insert into %s values (?, 0, repeat(?, %d))"):format(name, WIDTH // 16), id,
        ("%016d"):format(id))
    end
    secondary:execute(("create table %s (id int primary key, n int, body bytea)"):format(name))
    secondary:execute(("alter table %s alter body set storage external"):format(name))
    found["a copy"] = peak(0, "sync", name, "--full")
    found["a verification without differences"] = peak(0, "verify", name)
    secondary:execute(("update %s set n = 1"):format(name))
    found["a verification with every row different"] = peak(1, "verify", name)
    local report = os.tmpname()
    found["a report of every row"] = peak(1, "verify", name, "--report", report .. ".jsonl",
      "--report", report .. ".html")
    for _, ending in ipairs { "", ".jsonl", ".html" } do os.remove(report .. ending) end
    found["a repair"] = peak(0, "repair", name, "--yes")
    primary:execute(("update %s set n = 2, body = concat(body, 'x')"):format(name))
    found["a sync that compares"] = peak(0, "sync", name, "--full")
    assert.equal(rows, secondary:query(("select count(*) as n from %s where n = 2 and "
      .. "length(body) = %d"):format(name, WIDTH + 1))[1].n)
    primary:execute("delete from " .. name)
    found["a copy into the primary"] = peak_of(0, COPY_BACK:format(name, name, "nil"))
    primary:execute(("update %s set n = 3"):format(name))
    found["a copy that replaces"] = peak_of(0, COPY_BACK:format(name, name, "1"))
    assert.equal(rows, primary:query(("select count(*) as n from %s where n = 2 and "
      .. "length(body) = %d"):format(name, WIDTH + 1))[1].n)
    return found
  end

  it("is under the stated bound, and the same for few rows and for many", function()
    if child.sanitized() then return pending("a sanitizer needs memory of its own") end
    local few, many = peaks(FEW), peaks(MANY)
    for command, bytes in pairs(many) do
      local text = ("%s of %d rows took %.1f MiB, of %d rows %.1f MiB"):format(command, FEW,
        few[command] / MIB, MANY, bytes / MIB)
      assert(bytes < LIMIT, text)
      assert(bytes < few[command] + MARGIN, text)
    end
  end)
end)
