-- The chat application of the demo: makes its tables on the primary and fills them, 100,000
-- messages. Run by `make demo`; by hand: dualdb run scripts/demo/chat_data.lua

local MESSAGES = 100000

local TABLES = {
  room = [[
create table room (
  id int unsigned not null auto_increment primary key,
  name varchar(80) not null,
  topic varchar(255) null,
  is_public tinyint(1) not null default 1,
  messages int unsigned not null default 0,
  created_at datetime(6) not null,
  unique key name (name)
) comment 'where people talk']],
  user_profile = [[
create table user_profile (
  id bigint not null auto_increment primary key,
  user_name varchar(40) character set ascii collate ascii_bin not null,
  display_name varchar(80) not null,
  bio text null,
  balance decimal(12,2) not null default 0.00,
  settings json not null,
  avatar varbinary(64) null,
  plan enum('free','team','enterprise') not null default 'free',
  born date null,
  last_seen datetime(6) null,
  unique key user_name (user_name)
)]],
  message = [[
create table message (
  id bigint not null auto_increment primary key,
  room_id int unsigned not null,
  sender_id bigint not null,
  reply_to bigint null,
  content text character set utf8mb4 not null,
  is_read tinyint(1) not null default 0,
  score decimal(12,3) null,
  mood double null,
  attachment blob null,
  sent_at datetime(6) not null,
  key room_sent (room_id, sent_at),
  key sender (sender_id),
  constraint message_room foreign key (room_id) references room (id),
  constraint message_sender foreign key (sender_id) references user_profile (id)
)]],
}

local DIGIT = "(select 0 as d union all select 1 union all select 2 union all select 3 union all "
  .. "select 4 union all select 5 union all select 6 union all select 7 union all select 8 "
  .. "union all select 9)"

-- 0 to 9,999, counted by the server.
local NUMBERS = ("(select a.d + 10 * b.d + 100 * c.d + 1000 * e.d as n from %s a, %s b, %s c, "
  .. "%s e)"):format(DIGIT, DIGIT, DIGIT, DIGIT)

local ROOMS = {
  { "general", "everything else", true }, { "café", "crème, thé et pâtisserie ☕", true },
  { "日本語", "雑談と質問", true }, { "ops", dualdb.NULL, false },
  { "it's \"quoted\" \\ room", "O'Neill; drop table room; --", true },
}

local db <close> = dualdb.open()
local primary = db.primary

for _, name in ipairs { "message", "user_profile", "room" } do
  primary:execute("drop table if exists " .. name)
end
for _, name in ipairs { "room", "user_profile", "message" } do primary:execute(TABLES[name]) end

for _, room in ipairs(ROOMS) do
  primary:execute("insert into room (name, topic, is_public, created_at) values (?, ?, ?, ?)",
    room[1], room[2], room[3], "2026-01-01 09:00:00.000001")
end

primary:execute(([[
insert into user_profile
  (user_name, display_name, bio, balance, settings, avatar, plan, born, last_seen)
select concat('user', n),
       elt(1 + n %% 5, 'Zoë Müller', 'José Ñúñez', '田中 さくら', 'Ольга', 'Ann 🎈'),
       if(n %% 4 = 0, null, concat('bio of ', n, ' – ', repeat('…', n %% 7))),
       (n * 137 %% 200001 - 100000) / 100,
       concat('{"theme": "', if(n %% 2, 'dark', 'light'), '", "size": ', n,
              '.50, "tags": ["a", "é"]}'),
       if(n %% 3 = 0, null, unhex(sha1(n))),
       1 + n %% 3,
       if(n %% 6 = 0, null, date('1950-01-01') + interval n * 13 day),
       if(n %% 5 = 0, null, timestamp('2026-11-01') + interval n * 7919 microsecond)
from %s numbers where n < 1000 order by n]]):format(NUMBERS))

for first = 0, MESSAGES - 1, 10000 do
  primary:execute(([[
insert into message
  (room_id, sender_id, reply_to, content, is_read, score, mood, attachment, sent_at)
select 1 + n %% 5, 1 + n * 31 %% 1000, if(n %% 9 = 0 and n > 0, n, null),
       concat(elt(1 + n %% 6, 'hello ', 'déjà vu ', '你好 ', '👋🏽 ', 'naïve façade ', 'plain '), n,
              repeat(' lorem', n %% 12)),
       n %% 2, if(n %% 8 = 0, null, (n %% 100003) / 7), if(n %% 11 = 0, null, sin(n)),
       if(n %% 10 < 7, null, unhex(sha2(n, 256))),
       timestamp('2026-01-01') + interval n * 250000003 microsecond
from (select ? + n as n from %s inner_numbers) numbers order by n]]):format(NUMBERS), first)
end
primary:execute("update room set messages = (select count(*) from message where room_id = room.id)")
primary:query("analyze table room, user_profile, message")

for _, name in ipairs { "room", "user_profile", "message" } do
  print(("%-14s %7d rows"):format(name,
    primary:query(("select count(*) as n from %s"):format(name))[1].n))
end
