-- How a connection comes about, and what is said when it does not.

local core = require "dualdb.core"
local Proxy = require "spec.support.proxy"
local servers = require "spec.support.servers"

local failure = servers.failure

local CLOSED_PORT = "1" -- tcpmux: nothing listens there, and no unprivileged process can

local TLS = { mysql = "ssl-mode", postgres = "sslmode" }

local function has_tls(driver)
  if driver == "postgres" then return servers.look(driver, "show ssl")[1].ssl == "on" end
  local rows = servers.look(driver, "show variables like 'have_ssl'")
  if #rows > 0 then return rows[1].Value == "YES" end
  return servers.look(driver, "show variables like 'ssl_cert'")[1].Value ~= ""
end

-- Every text of an error, and of the object as a whole.
local function texts_of(err)
  local texts = { tostring(err) }
  for name, value in pairs(err) do texts[#texts + 1] = name .. "=" .. tostring(value) end
  return table.concat(texts, "\n")
end

for _, side in ipairs(servers.SIDES) do
  local driver = side.driver

  describe("connecting to " .. driver, function()
    before_each(servers.before_each)
    after_each(servers.after_each)

    local function refused(settings, more)
      more = more or {}
      more.settings = settings
      local started = core.clock()
      local err = failure(servers.connect, driver, more)
      assert.equal(side.label, err.side)
      assert.equal("not_applied", err.outcome)
      return err, core.clock() - started
    end

    it("to a closed port is unavailable at once", function()
      local err, seconds = refused({ port = CLOSED_PORT }, { connect_timeout = 5 })
      assert.equal("unavailable", err.class)
      assert.is_true(err.retryable)
      assert.is_true(seconds < 2)
    end)

    it("to a socket that is not there is unavailable at once", function()
      local err = refused(driver == "mysql" and { host = false, port = false,
        socket = "/nonexistent/mysql.sock" } or { host = "/nonexistent" })
      assert.equal("unavailable", err.class)
    end)

    it("to a host that has no address is unavailable", function()
      assert.equal("unavailable", refused({ host = "no-such-host.invalid" }).class)
    end)

    it("to a server that accepts and says nothing is unavailable at the connect timeout", function()
      if not servers.sandboxed() then return pending("needs a sandbox") end
      servers.freeze(side.label)
      local err, seconds = refused({}, { connect_timeout = 1 })
      assert.equal("unavailable", err.class)
      assert(seconds >= 0.9 and seconds < 4, ("it took %.2f s"):format(seconds))
    end)

    it("with a wrong password is an auth error that has the password nowhere", function()
      local err = refused { password = "Tr0ub4dor-and-3" }
      assert.equal("auth", err.class)
      assert.is_false(err.retryable)
      assert.is_string(err.hint)
      assert.is_nil(texts_of(err):find("Tr0ub4dor", 1, true))
    end)

    it("without a password is an auth error", function()
      assert.equal("auth", refused({ password = false }).class)
    end)

    it("as a user that is not there is an auth error", function()
      local err = refused { user = "spec_nobody", password = "Tr0ub4dor-and-3" }
      assert.equal("auth", err.class)
      assert.is_nil(texts_of(err):find("Tr0ub4dor", 1, true))
    end)

    it("to a database that is not there is a config error that names it", function()
      local err = refused { dbname = "spec_no_such_database" }
      assert.equal("config", err.class)
      assert.matches("spec_no_such_database", err.message, 1, true)
    end)

    it("with an unknown setting is a config error that names it", function()
      local err = refused { frobnicate = "yes" }
      assert.equal("config", err.class)
      assert.matches("frobnicate", err.message, 1, true)
    end)

    it("with a setting that makes no sense is a config error", function()
      assert.equal("config", refused({ port = "nonsense" }).class)
      assert.equal("config", refused({ port = "70000" }).class)
      assert.equal("config", refused({ [TLS[driver]] = "nonsense" }).class)
    end)

    it("with TLS required works where the server has it, and is a config error where not",
      function()
        local required = { [TLS[driver]] = driver == "mysql" and "required" or "require" }
        if has_tls(driver) then
          local conn = servers.open(driver, { settings = required })
          assert.equal(1, conn:query("select 1 as one")[1].one)
        else
          local err = refused(required)
          assert.equal("config", err.class)
          assert.is_string(err.hint)
        end
      end)

    it("with an authority's file that is not there fails and says so", function()
      local err = refused(driver == "mysql"
        and { ["ssl-mode"] = "verify-identity", ["ssl-ca"] = "/nonexistent/ca.pem" }
        or { sslmode = "verify-full", sslrootcert = "/nonexistent/ca.pem" })
      assert.is_true(err.class == "config" or err.class == "unavailable", tostring(err))
    end)

    it("stops at an interrupt", function()
      core.interrupt()
      assert.equal("canceled", refused({}).class)
    end)

    it("many times one after the other leaves nothing behind", function()
      for _ = 1, 30 do servers.connect(driver):close() end
    end)
  end)
end

describe("connecting to mysql where TLS is taken out on the way", function()
  local proxy

  before_each(function()
    servers.before_each()
    proxy = Proxy.start "primary"
    servers.command("mysql", "flush privileges") -- it forgets the passwords that it has seen
  end)

  after_each(function()
    proxy:stop()
    servers.after_each()
  end)

  local function through(settings)
    settings.port = proxy:ask "port"
    return { settings = settings }
  end

  it("does not send the password for all to read, which the server would not take", function()
    local conn = servers.open("mysql", through {})
    assert.equal(1, conn:query("select 1 as one")[1].one)
  end)

  it("is a config error where TLS is required, before any password is sent", function()
    local mysql = servers.open("mysql"):info().product == "mysql"
    servers.command("mysql", "flush privileges")
    local password = mysql and "wrong" or nil -- MariaDB's own login is over by then, and sends none
    local err = failure(servers.connect, "mysql",
      through { ["ssl-mode"] = "required", password = password })
    assert.equal("config", err.class, tostring(err))
    assert.is_string(err.hint)
  end)
end)

describe("connecting", function()
  it("by a driver that is not there is a usage error", function()
    local err = failure(core.connect, { driver = "oracle", label = "x", settings = {} })
    assert.equal("usage", err.class)
  end)

  it("with settings that are no text is a usage error", function()
    local err = failure(core.connect, { driver = "mysql", label = "x", settings = { host = {} } })
    assert.equal("usage", err.class)
    err = failure(core.connect, { driver = "mysql", label = "x", settings = { "host" } })
    assert.equal("usage", err.class)
  end)
end)
