-- A runbook: what the chat application does, written through dualdb. Each write is on both sides,
-- or on neither.

local chat <close> = dualdb.open()

-- A function of one's own, wrapped: everything it does is one dual write.
local post = chat:writer(function(tx, room_id, sender_id, content)
  local message = tx:insert("message", {
    room_id = room_id, sender_id = sender_id, content = content, sent_at = dualdb.now(),
  })
  tx:execute("update room set messages = messages + 1 where id = ?", room_id)
  return message
end)

local first, how = post(1, 1, "written on both sides – 両方に ✍️")
print(("message %d is on %s (attempt %d)"):format(first.id, table.concat(how.sides, " and "),
  how.attempts))

chat.message:update(first.id, { is_read = true, score = "12.345" })
chat.user_profile:update(1, { balance = "99.95", bio = dualdb.NULL })
local second = post(2, 2, "soon deleted")
chat.message:delete(second.id)

-- A statement that fails on one side is undone on both.
local _, err = dualdb.try(chat.write, chat, function(tx)
  tx:insert("message", {
    room_id = 3, sender_id = 3, content = "never seen", sent_at = dualdb.now(),
  })
  tx:insert("room", { name = "general", created_at = dualdb.now() })  -- the name is taken
end)
print("refused, on both sides: " .. tostring(err))

local rows, from = chat:read(function(db)
  return db:query("select id, content, is_read from message where id >= ?", first.id)
end)
print(("%d message since then, read from the %s: %s"):format(#rows, from.side, rows[1].content))
