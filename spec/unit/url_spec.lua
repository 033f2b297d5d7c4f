local url = require "dualdb.url"

describe("a MySQL URL", function()
  local good = {
    ["mysql://u:p@db:3306/chat"] = {
      user = "u", password = "p", host = "db", port = "3306", dbname = "chat",
    },
    ["mariadb://u@db/chat"] = { user = "u", host = "db", dbname = "chat" },
    ["MySQL://db"] = { host = "db" },
    ["u:p@db/chat"] = { user = "u", password = "p", host = "db", dbname = "chat" },
    ["db:3307"] = { host = "db", port = "3307" },
    ["mysql://"] = {},
    ["mysql:///chat"] = { dbname = "chat" },
    ["mysql://u:@db/"] = { user = "u", host = "db" },
    ["mysql://us%40er:p%3A%2F%3F%23%25@db/ch%61t"] = {
      user = "us@er", password = "p:/?#%", host = "db", dbname = "chat",
    },
    ["mysql://u:p@w@db/chat"] = { user = "u", password = "p@w", host = "db", dbname = "chat" },
    ["mysql://u:p:w@db"] = { user = "u", password = "p:w", host = "db" },
    ["mysql://u@[::1]:3306/chat"] = { user = "u", host = "::1", port = "3306", dbname = "chat" },
    ["mysql://[2001:db8::7]/chat"] = { host = "2001:db8::7", dbname = "chat" },
    ["mysql://u@/chat?socket=/run/my.sock"] = {
      user = "u", dbname = "chat", socket = "/run/my.sock",
    },
    ["mysql://u:p@localhost/chat?socket=%2Frun%2Fmy.sock"] = {
      user = "u", password = "p", host = "localhost", dbname = "chat", socket = "/run/my.sock",
    },
    ["mysql://u@(/run/my.sock)/chat"] = { user = "u", dbname = "chat", socket = "/run/my.sock" },
    ["mysql://(/run/my.sock)"] = { socket = "/run/my.sock" },
    ["mysql://u@%2Frun%2Fmy.sock/chat"] = { user = "u", dbname = "chat", socket = "/run/my.sock" },
    ["mysql://db/chat?ssl-mode=REQUIRED&ssl-ca=/ca.pem&ssl-cert=/c.pem&ssl-key=/k.pem"] = {
      host = "db", dbname = "chat", ["ssl-mode"] = "required", ["ssl-ca"] = "/ca.pem",
      ["ssl-cert"] = "/c.pem", ["ssl-key"] = "/k.pem",
    },
    ["mysql://db?SSL_Mode=VERIFY_IDENTITY&Connect-Timeout=5"] = {
      host = "db", ["ssl-mode"] = "verify-identity", ["connect-timeout"] = "5",
    },
    ["mysql://db/chat?charset=utf8mb4"] = { host = "db", dbname = "chat" },
    ["mysql://db/chat?ssl-ca="] = { host = "db", dbname = "chat" },
  }
  for text, settings in pairs(good) do
    it("is read: " .. url.mask(text), function()
      assert.are.same(settings, url.mysql(text))
    end)
  end

  local bad = {
    { "postgres://u:hunter2@db/chat", "not a MySQL URL" },
    { "mysql://u:hunter2@db:x/chat", "port" },
    { "mysql://u:hunter2@db:0/chat", "port" },
    { "mysql://u:hunter2@db:65536/chat", "port" },
    { "mysql://u:hunter2", "port" },
    { "mysql://u:hunter2@::1/chat", "port" },
    { "mysql://u:hunter2@[::1]x/chat", "text behind the ]" },
    { "mysql://u:hunter2@[::1]:x/chat", "port" },
    { "mysql://u:hunter2%zz@db/chat", "two hex digits" },
    { "mysql://u:hunter2%@db/chat", "two hex digits" },
    { "mysql://u:hunter2%00@db/chat", "NUL" },
    { "mysql://u:hunter2/3@db/chat", "an @ behind the host" },
    { "mysql://u:hun?ter2=hunter2@db/chat", "an @ behind the host" },
    { "mysql://u:hunter2@db/chat/more", "a / in the name" },
    { "mysql://u:hunter2@db/chat?ssl-mod=required",
      "unknown attribute ssl-mod, did you mean ssl-mode" },
    { "mysql://u:hunter2@db/chat?colour=red", "unknown attribute colour" },
    { "mysql://u:hunter2@db/chat?password=hunter2", "unknown attribute password" },
    { "mysql://u:hunter2@db/chat?ssl-mode=hunter2", "ssl-mode is none of" },
    { "mysql://u:hunter2@db/chat?ssl-mode=required&SSL_MODE=disabled", "ssl-mode is there twice" },
    { "mysql://u:hunter2@db/chat?ssl-ca=/a&ssl-ca=/a", "ssl-ca is there twice" },
    { "mysql://u:hunter2@db/chat?hunter2", "no value" },
    { "mysql://u:hunter2@db/chat?hunter%202=x", "not a word" },
    { "mysql://u:hunter2@db/chat?charset=latin1", "utf8mb4" },
    { "mysql://u:hunter2@db/chat?connect-timeout=hunter2", "connect-timeout" },
    { "mysql://u:hunter2@db/chat?connect-timeout=0", "connect-timeout" },
    { "mysql://u:hunter2@db/chat?socket=/run/my.sock", "socket" },
    { "mysql://u:hunter2@(/run/my.sock)x/chat", "text behind the host" },
  }
  for _, case in ipairs(bad) do
    it(("is refused, and its password not shown: %s"):format(case[1]), function()
      local ok, err = pcall(url.mysql, case[1], { where = "environment MYSQL_URL" })
      assert.is_false(ok)
      assert.are.equal("config", err.class)
      assert.are.equal(1, err.message:find("environment MYSQL_URL: ", 1, true))
      assert.is_truthy(err.message:find(case[2], 1, true), err.message)
      assert.is_nil((err.message .. (err.hint or "")):find("hunter2", 1, true))
    end)
  end
end)

describe("a PostgreSQL URL", function()
  local good = {
    ["postgresql://u:p@db:5432/chat"] = {
      user = "u", password = "p", host = "db", port = "5432", dbname = "chat",
    },
    ["postgres://u@ep-x.neon.tech/chat?sslmode=verify-full&channel_binding=require"] = {
      user = "u", host = "ep-x.neon.tech", dbname = "chat", sslmode = "verify-full",
      channel_binding = "require",
    },
    ["postgresql://"] = {},
    ["postgresql:///chat"] = { dbname = "chat" },
    ["postgresql://u:p%40%2F@db/chat"] = {
      user = "u", password = "p@/", host = "db", dbname = "chat",
    },
    ["postgresql://a:1,b:2/chat"] = { host = "a,b", port = "1,2", dbname = "chat" },
    ["postgresql://a,b:2,[::1]/chat"] = { host = "a,b,::1", port = ",2,", dbname = "chat" },
    ["postgresql://a,b/chat?target_session_attrs=read-write"] = {
      host = "a,b", dbname = "chat", target_session_attrs = "read-write",
    },
    ["postgresql://[::1]:5433/chat"] = { host = "::1", port = "5433", dbname = "chat" },
    ["postgresql:///chat?host=/tmp&port=5433"] = { dbname = "chat", host = "/tmp", port = "5433" },
    ["postgresql://%2Ftmp/chat"] = { dbname = "chat", host = "/tmp" },
    ["postgresql://db/chat?options=endpoint%3Dep-x"] = {
      host = "db", dbname = "chat", options = "endpoint=ep-x",
    },
    ["postgresql://u@db/chat?application_name=a@b"] = {
      user = "u", host = "db", dbname = "chat", application_name = "a@b",
    },
    ["postgresql://db/chat?ssl=true"] = { host = "db", dbname = "chat", sslmode = "require" },
    ["postgresql://db/chat?what_libpq_will_refuse=1"] = {
      host = "db", dbname = "chat", what_libpq_will_refuse = "1",
    },
  }
  for text, settings in pairs(good) do
    it("is read: " .. url.mask(text), function()
      assert.are.same(settings, url.postgres(text))
    end)
  end

  local bad = {
    { "mysql://u:hunter2@db/chat", "not a PostgreSQL URL" },
    { "u:hunter2@db/chat", "not a PostgreSQL URL" },
    { "host=db password=hunter2", "not a PostgreSQL URL" },
    { "postgresql://u:hunter2@a:1,b:x/chat", "port" },
    { "postgresql://u:hunter2/3@db/chat", "an @ behind the host" },
    { "postgresql://u:p@hunter2/x@db/chat", "an @ behind the host" },
    { "postgresql://u:hunter2%@db/chat", "two hex digits" },
    { "postgresql://u:hunter2@db/chat?sslmode=require&sslmode=require", "sslmode is there twice" },
    { "postgresql://u:hunter2@db/chat?hunter2", "no value" },
  }
  for _, case in ipairs(bad) do
    it(("is refused, and its password not shown: %s"):format(case[1]), function()
      local ok, err = pcall(url.postgres, case[1])
      assert.is_false(ok)
      assert.are.equal("config", err.class)
      assert.is_truthy(err.message:find(case[2], 1, true), err.message)
      assert.is_nil((err.message .. (err.hint or "")):find("hunter2", 1, true))
    end)
  end

  it("has sslrootcert=system translated for a libpq that does not know it", function()
    local text = "postgresql://db/chat?sslrootcert=system"
    local old = url.postgres(text, { libpq_version = 150000 })
    assert.are.equal("/etc/ssl/certs/ca-certificates.crt", old.sslrootcert)
    assert.are.equal("verify-full", old.sslmode)
    local new = url.postgres(text, { libpq_version = 160000 })
    assert.are.equal("system", new.sslrootcert)
    assert.is_nil(new.sslmode)
    local other = url.postgres("postgresql://db/?sslrootcert=/ca.pem", { libpq_version = 150000 })
    assert.are.equal("/ca.pem", other.sslrootcert)
  end)
end)

describe("a table of settings", function()
  it("is taken with numbers, underscores and database for dbname", function()
    assert.are.same({ host = "db", port = "3306", dbname = "chat", ["ssl-mode"] = "verify-ca" },
      url.settings("mysql", { host = "db", port = 3306.0, database = "chat",
        ssl_mode = "VERIFY_CA" }))
    assert.are.same({ host = "db", port = "5432", dbname = "chat", connect_timeout = "5" },
      url.settings("postgres",
        { host = "db", port = 5432, database = "chat", connect_timeout = 5 }))
  end)

  local bad = {
    { { hots = "db" }, "unknown setting hots, did you mean host?" },
    { { host = {} }, "setting host is neither text nor a number" },
    { { [1] = "hunter2" }, "not text" },
    { { dbname = "a", database = "b" }, "setting dbname is there twice" },
    { { port = 70000 }, "port" },
    { { port = "hunter2" }, "port" },
    { { host = "db", socket = "/run/my.sock" }, "socket" },
    { { password = "hunter2\0" }, "NUL" },
    { { ["ssl-mode"] = "hunter2" }, "ssl-mode" },
  }
  for _, case in ipairs(bad) do
    it("is refused: " .. case[2], function()
      local ok, err = pcall(url.settings, "mysql", case[1])
      assert.is_false(ok)
      assert.are.equal("config", err.class)
      assert.is_truthy(err.message:find(case[2], 1, true), err.message)
      assert.is_nil(err.message:find("hunter2", 1, true))
    end)
  end
end)

describe("a masked text", function()
  local cases = {
    { "mysql://u:hunter2@db/chat", "mysql://u:***@db/chat" },
    { "postgresql://u@db/chat", "postgresql://u@db/chat" },
    { "mysql://db:3306/chat", "mysql://db:3306/chat" },
    { "postgresql://a:1,b:2/chat", "postgresql://a:***/chat" },
    { "mysql://u:hunter2", "mysql://u:***" },
    { "mysql://u:hunter 2@db/chat", "mysql://u:***@db/chat" },
    { "mysql://u:hun/ter2@db/chat", "mysql://u:***@db/chat" },
    { "mysql://u/hunter2@db/chat", "mysql://u:***@db/chat" },
    { "mysql://u:a@hunter2@db/chat", "mysql://u:***@db/chat" },
    { "u:hunter2@db/chat", "u:***@db/chat" },
    { "postgresql://db/chat?user=u&password=hunter2&sslmode=require",
      "postgresql://db/chat?user=u&password=***&sslmode=require" },
    { "host=db password=hunter2 user=u", "host=db password=*** user=u" },
    { "host=db password='hunter2 hunter2' user=u", "host=db password=*** user=u" },
    { "MYSQL_PASSWORD=hunter2", "MYSQL_PASSWORD=***" },
    { "from mysql://u:hunter2@a/b to postgres://v:hunter2@c/d now",
      "from mysql://u:***@a/b to postgres://v:***@c/d now" },
    { "no url in here", "no url in here" },
  }
  for _, case in ipairs(cases) do
    it("is " .. case[2], function()
      assert.are.equal(case[2], url.mask(case[1]))
      assert.are.equal(case[2], url.mask(case[2]))
    end)
  end
end)

describe("an address", function()
  for _, settings in ipairs {
    {}, { socket = "/run/my.sock" }, { host = "localhost" }, { host = "LocalHost" },
    { host = "127.0.0.1" }, { host = "127.8.9.10" }, { host = "::1" }, { host = "/tmp" },
    { host = "@abstract" }, { host = "localhost,127.0.0.1" }, { host = "", hostaddr = "127.0.0.1" },
  } do
    it(("is local: %s"):format(settings.host or settings.socket or "no host"), function()
      assert.is_true(url.is_local(settings))
    end)
  end

  for _, settings in ipairs {
    { host = "db" }, { host = "10.0.0.1" }, { host = "localhost.example.com" },
    { host = "127.0.0.1.example.com" }, { host = "localhost,db" }, { host = "2001:db8::1" },
    { hostaddr = "10.0.0.1" }, { host = "localhost", hostaddr = "10.0.0.1" }, { service = "x" },
  } do
    it(("is not local: %s"):format(settings.host or settings.hostaddr or "a service"), function()
      assert.is_false(url.is_local(settings))
    end)
  end
end)
