local env_file = require "dualdb.env_file"

describe("a .env file", function()
  local good = {
    { "nothing", "", {} },
    { "plain values", "A=1\nB=two\n", { A = "1", B = "two" } },
    { "an empty value", "A=\nB=''\nC=\"\"", { A = "", B = "", C = "" } },
    { "blanks around names and values", "  A = 1 \n\tB=2\t", { A = "1", B = "2" } },
    { "export", "export A=1\n  export\tB=2", { A = "1", B = "2" } },
    { "a variable of the name export", "export=1", { export = "1" } },
    { "comments and empty lines", "# a\n\n   # b\nA=1\n", { A = "1" } },
    { "comments behind a blank only", "A=a#b # c\nB=#d\nC= # e", { A = "a#b", B = "#d", C = "" } },
    { "comments behind quotes", "A='a # b' # c\nB=\"d\" #", { A = "a # b", B = "d" } },
    { "literal single quotes", [[A='a\n$HOME"']], { A = [[a\n$HOME"]] } },
    { "escapes in double quotes", [[A="a\n\t\r\"\\\$b"]], { A = 'a\n\t\r"\\$b' } },
    { "no interpolation", "A=$HOME\nB=\"${A}\"", { A = "$HOME", B = "${A}" } },
    { "equals signs in values", "A=b=c==\nB=postgres://u:p@h/d?x=y", {
      A = "b=c==", B = "postgres://u:p@h/d?x=y",
    } },
    { "quotes inside of a value", [[A=it's "so"]], { A = [[it's "so"]] } },
    { "the line ends of Windows", "A=1\r\nB='2'\r\n", { A = "1", B = "2" } },
    { "a byte order mark", "\xEF\xBB\xBFA=1", { A = "1" } },
    { "no newline at the end", "A=1", { A = "1" } },
  }
  for _, case in ipairs(good) do
    it("may have " .. case[1], function()
      assert.are.same(case[3], env_file.parse(case[2], ".env"))
    end)
  end

  local bad = {
    { "a line without =", "A=1\nhunter2\n", 2 },
    { "a name with a blank", "A=1\n\nMY SQL=hunter2", 3 },
    { "a name that starts with a digit", "1A=hunter2", 1 },
    { "no name", "=hunter2", 1 },
    { "an open single quote", "A='hunter2", 1 },
    { "an open double quote", "# x\nA=\"hunter2\nB=2", 2 },
    { "text behind a quote", "A='hunter2'hunter2", 1 },
    { "an unknown escape", [[A="hunter2\q"]], 1 },
    { "a backslash before the closing quote", [[A="hunter2\"]], 1 },
    { "a variable that is set twice", "A=1\nB=2\nA=hunter2", 3 },
    { "a NUL byte", "A=hunter2\0", 1 },
    { "export without a value", "export A", 1 },
  }
  for _, case in ipairs(bad) do
    it(("with %s is refused with its path and line"):format(case[1]), function()
      local ok, err = pcall(env_file.parse, case[2], "conf/.env")
      assert.is_false(ok)
      assert.are.equal("config", err.class)
      assert.are.equal("conf/.env", err.file)
      assert.are.equal(case[3], err.line)
      assert.are.equal(1, err.message:find(("conf/.env:%d: "):format(case[3]), 1, true))
      assert.is_nil(tostring(err):find("hunter2", 1, true))
    end)
  end

  it("says where a variable was set before", function()
    local _, err = pcall(env_file.parse, "A=1\nB=2\nA=3", ".env")
    assert.are.equal(".env:3: A is set already in line 1", err.message)
  end)
end)
