local naming = require "dualdb.naming"

describe("a name", function()
  local cases = {
    { "AlbumId", "album_id" },
    { "Album", "album" },
    { "HTTPServer2", "http_server2" },
    { "ReportsTo", "reports_to" },
    { "userID", "user_id" },
    { "Album2Track", "album2_track" },
    { "MediaTypeId", "media_type_id" },
    { "already_snake", "already_snake" },
    { "chat_message_2", "chat_message_2" },
    { "Chat_Message", "chat_message" },
    { "ID", "id" },
    { "x", "x" },
    { "", "" },
    { "größeX", "größe_x" },
  }
  for _, case in ipairs(cases) do
    it(("%s becomes %s in snake_case, and stays that"):format(case[1], case[2]), function()
      assert.are.equal(case[2], naming.snake_case(case[1]))
      assert.are.equal(case[2], naming.snake_case(case[2]))
    end)
  end
end)

describe("the nearest name", function()
  local candidates = { "columns", "key", "strategy", "table", "watermark", "ssl-mode" }

  local cases = {
    { "tabel", "table" },
    { "colums", "columns" },
    { "Table", "table" },
    { "watermarks", "watermark" },
    { "startegy", "strategy" },
    { "ssl_mode", "ssl-mode" },
    { "kye", "key" },
  }
  for _, case in ipairs(cases) do
    it(("to %s is %s"):format(case[1], case[2]), function()
      assert.are.equal(case[2], naming.nearest(case[1], candidates))
    end)
  end

  it("is nothing when none is near", function()
    assert.is_nil(naming.nearest("colour", candidates))
    assert.is_nil(naming.nearest("zz", candidates))
    assert.is_nil(naming.nearest("x", {}))
  end)
end)
